//! What processes cost, and where they run. The measurement programs use it; it starts nothing.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Processor time that a process has used, all its threads together. Exact to one tick of the
/// system's clock, 10 ms as a rule.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let ticks = ticks_used(&stat)
        .ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat has no processor times")))?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Ok(Duration::from_secs(ticks) / u32::try_from(per_second).unwrap_or(u32::MAX))
}

/// User and system ticks: fields 14 and 15. The name before them may hold anything, so it is
/// skipped by its last parenthesis.
fn ticks_used(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Keeps this thread, and every thread and process that it starts from now on, on the first
/// processor that it may use. Returns which.
pub fn pin_to_one_cpu() -> io::Result<usize> {
    let allowed = sched_getaffinity(None)?;
    let cpu = (0..CpuSet::MAX_CPU)
        .find(|cpu| allowed.is_set(*cpu))
        .ok_or_else(|| io::Error::other("this thread may run on no processor"))?;
    let mut one = CpuSet::new();
    one.set(cpu);
    sched_setaffinity(None, &one)?;
    Ok(cpu)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn ticks_are_read_past_a_name_with_parentheses_and_spaces() {
        let stat = "17 (a) b (c) S 1 17 17 0 -1 4194560 7 8 9 10 120 34 5 6 20 0 3 0 99 100";
        assert_eq!(ticks_used(stat), Some(154));
        assert_eq!(ticks_used("17 (short) S 1"), None);
    }

    #[test]
    fn a_process_that_computes_uses_time() {
        let own = std::process::id();
        let before = cpu_time(own).expect("own process");
        let deadline = Instant::now() + Duration::from_secs(20);
        while cpu_time(own).expect("own process") == before {
            assert!(Instant::now() < deadline, "time is counted");
        }
    }
}
