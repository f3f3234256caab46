//! What the measurements share. Those of single parts are in `benches/`; run them with
//! `cargo bench -p phalanx-benches --bench NAME`. Those of whole clusters are programs in
//! `src/bin/`. `README.md` says how to run each.

pub mod apply;
pub mod cpu;

/// Resident memory of this process in bytes; `None` where the system does not say.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// Makes something of `items` parts, and says on stderr how much memory each takes.
pub fn print_bytes_per_item<T>(what: &str, items: u64, make: impl FnOnce() -> T) {
    let before = resident_bytes();
    let made = make();
    if let (Some(before), Some(after)) = (before, resident_bytes()) {
        let bytes = after.saturating_sub(before) / items;
        eprintln!("{what}: {bytes} bytes each ({items} of them)");
    }
    drop(made);
}
