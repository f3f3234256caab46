//! Tables for the plan: what happened on the left, what is to be done on the right.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::*;

/// Runs a plan by a tiny text form and writes down its effects in the same spirit.
///
/// Events: `begin`, `ready P`, `die P`, `nospawn P`, `retire INDEX`, `add INDEX`, `unwant INDEX`, `restart INDEX`, `killed INDEX PID`, `useless hub`, `stop`, `want stop`, `at MS` (time passes,
/// deadlines fire). A spawn is answered with a fresh process id at once, as the shell does it.
struct Bench {
    plan: Plan,
    now: Duration,
    pids: BTreeMap<String, u32>,
    next_pid: u32,
    unspawnable: Option<String>,
}

impl Bench {
    fn new(engines: u32, scheduler: bool) -> Self {
        let limits = PlanLimits { restarts_max: 2, ..PlanLimits::default() };
        let scheduler = scheduler.then_some(Process::Scheduler);
        let engines = (0..engines).map(Process::Engine);
        let plan = Plan::new([Process::Hub].into_iter().chain(scheduler).chain(engines), limits);
        Self { plan, now: Duration::ZERO, pids: BTreeMap::new(), next_pid: 1, unspawnable: None }
    }

    fn pid(&self, process: &str) -> u32 {
        self.pids[process]
    }

    fn step(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let event = match words[..] {
            ["begin"] => Event::Begin,
            ["ready", process] => Event::Ready { pid: self.pid(process) },
            ["die", process] => Event::Exited { pid: self.pid(process), cause: Cause::Signaled(9) },
            ["nospawn", process] => {
                self.unspawnable = Some(process.to_owned());
                return String::new();
            }
            ["useless", "hub"] => {
                Event::Unusable { process: Process::Hub, reason: "told no address".into() }
            }
            ["retire", index] => Event::Retired(Process::Engine(index.parse().unwrap())),
            ["add", index] => Event::EngineAdded(index.parse().unwrap()),
            ["unwant", index] => Event::EngineUnwanted(index.parse().unwrap()),
            ["restart", index] => Event::RestartAsked(index.parse().unwrap()),
            ["killed", index, pid] => {
                let pid = pid.parse().unwrap_or_else(|_| self.pid(pid));
                Event::KillAsked { engine: index.parse().unwrap(), pid }
            }
            ["want", "stop"] => Event::StopWanted,
            ["stop"] => Event::StopAsked,
            ["at", ms] => {
                self.now = Duration::from_millis(ms.parse().unwrap());
                Event::Due
            }
            _ => panic!("no such event: {line}"),
        };
        self.feed(event)
    }

    fn feed(&mut self, event: Event) -> String {
        let mut effects = Vec::new();
        self.plan.handle(self.now, event, &mut effects);
        let mut text = String::new();
        for effect in effects {
            let _ = write!(text, "{}; ", self.show(&effect));
            if let Effect::Spawn(process) = effect {
                let event = self.spawn(process);
                text += &self.feed(event);
            }
        }
        text
    }

    fn spawn(&mut self, process: Process) -> Event {
        if self.unspawnable.take_if(|name| *name == process.to_string()).is_some() {
            return Event::SpawnFailed { process, reason: "no such file".into() };
        }
        let pid = self.next_pid;
        self.next_pid += 1;
        self.pids.insert(process.to_string(), pid);
        Event::Spawned { process, pid }
    }

    fn show(&self, effect: &Effect) -> String {
        match effect {
            Effect::Spawn(process) => format!("spawn {process}"),
            Effect::Terminate { process, pid } => {
                assert_eq!(*pid, self.pid(&process.to_string()));
                format!("term {process}")
            }
            Effect::Kill { process, .. } => format!("kill {process}"),
            Effect::Bury { process, cause, .. } => format!("bury {process} ({cause})"),
            Effect::Started => "started".into(),
            Effect::GaveUp { process, reason } => format!("gave up {process}: {reason}"),
            Effect::Fail { process, reason } => format!("fail {process}: {reason}"),
            Effect::Finish => "finish".into(),
        }
    }
}

fn check(engines: u32, scheduler: bool, script: &[(&str, &str)]) -> Bench {
    let mut bench = Bench::new(engines, scheduler);
    for (number, (event, expected)) in script.iter().enumerate() {
        let effects = bench.step(event);
        assert_eq!(effects.trim_end_matches("; "), *expected, "step {number}: {event}");
    }
    bench
}

/// A running cluster of two engines, and then the script.
fn check_running(script: &[(&str, &str)]) -> Bench {
    let start = [
        ("begin", "spawn hub"),
        ("ready hub", "spawn engine-0; spawn engine-1"),
        ("ready engine-0", ""),
        ("ready engine-1", "started"),
    ];
    check(2, false, &[&start, script].concat())
}

#[test]
fn a_start_waits_for_each_stage() {
    let bench = check(
        2,
        true,
        &[
            ("begin", "spawn hub"),
            ("ready hub", "spawn scheduler"),
            ("ready scheduler", "spawn engine-0; spawn engine-1"),
            ("ready engine-1", ""),
            ("ready engine-0", "started"),
        ],
    );
    assert_eq!(bench.plan.phase(), Phase::Running);
    assert!(bench.plan.statuses().iter().all(|s| s.state == ProcessState::Running));
}

#[test]
fn a_cluster_without_engines_is_ready_with_its_hub() {
    check(0, false, &[("begin", "spawn hub"), ("ready hub", "started")]);
}

#[test]
fn a_process_that_dies_during_the_start_fails_it_by_name() {
    check(
        1,
        false,
        &[
            ("begin", "spawn hub"),
            ("ready hub", "spawn engine-0"),
            (
                "die engine-0",
                "bury engine-0 (killed by SIGKILL); fail engine-0: killed by SIGKILL; term hub",
            ),
            ("die hub", "bury hub (killed by SIGKILL); finish"),
        ],
    );
}

#[test]
fn a_program_that_is_missing_fails_the_start() {
    let bench = check(
        1,
        false,
        &[("nospawn hub", ""), ("begin", "spawn hub; fail hub: no such file; finish")],
    );
    assert_eq!(bench.plan.phase(), Phase::Failed);
}

#[test]
fn a_hub_that_is_not_ready_in_time_is_killed_and_named() {
    check(
        1,
        false,
        &[
            ("begin", "spawn hub"),
            ("at 14999", ""),
            ("at 15000", "kill hub; fail hub: was not ready in time; term hub"),
            ("die hub", "bury hub (killed by SIGKILL); finish"),
        ],
    );
}

#[test]
fn an_engine_that_is_not_ready_in_time_fails_the_start() {
    check(
        1,
        false,
        &[
            ("begin", "spawn hub"),
            ("ready hub", "spawn engine-0"),
            ("at 60000", "kill engine-0; fail engine-0: was not ready in time; term engine-0"),
            ("die engine-0", "bury engine-0 (killed by SIGKILL); term hub"),
            ("die hub", "bury hub (killed by SIGKILL); finish"),
        ],
    );
}

#[test]
fn a_dead_engine_is_restarted_at_once_and_then_after_a_pause() {
    let bench = check_running(&[
        ("die engine-1", "bury engine-1 (killed by SIGKILL); spawn engine-1"),
        ("ready engine-1", ""),
        ("die engine-1", "bury engine-1 (killed by SIGKILL)"),
        ("at 99", ""),
        ("at 100", "spawn engine-1"),
    ]);
    let status = &bench.plan.statuses()[2];
    assert_eq!((status.restarts, status.state), (2, ProcessState::Starting));
    assert_eq!(status.last_exit.as_deref(), Some("killed by SIGKILL"));
}

#[test]
fn an_engine_that_dies_too_often_is_given_up_and_the_others_go_on() {
    let bench = check_running(&[
        ("die engine-0", "bury engine-0 (killed by SIGKILL); spawn engine-0"),
        ("die engine-0", "bury engine-0 (killed by SIGKILL)"),
        ("at 100", "spawn engine-0"),
        (
            "die engine-0",
            "bury engine-0 (killed by SIGKILL); gave up engine-0: died 3 times within 60 s, \
             the last time: killed by SIGKILL",
        ),
        ("at 70000", ""),
        ("die engine-1", "bury engine-1 (killed by SIGKILL); spawn engine-1"),
    ]);
    assert_eq!(bench.plan.phase(), Phase::Running);
    assert_eq!(bench.plan.statuses()[1].state, ProcessState::Failed);
}

#[test]
fn deaths_that_are_far_apart_do_not_add_up() {
    check_running(&[
        ("die engine-0", "bury engine-0 (killed by SIGKILL); spawn engine-0"),
        ("at 60000", ""),
        ("die engine-0", "bury engine-0 (killed by SIGKILL); spawn engine-0"),
        ("at 120000", ""),
        ("die engine-0", "bury engine-0 (killed by SIGKILL); spawn engine-0"),
    ]);
}

#[test]
fn a_restarted_engine_has_no_deadline_but_a_restarted_hub_has() {
    check_running(&[
        ("die hub", "bury hub (killed by SIGKILL); spawn hub"),
        ("die engine-0", "bury engine-0 (killed by SIGKILL); spawn engine-0"),
        ("at 15000", "kill hub"),
        ("die hub", "bury hub (killed by SIGKILL)"),
        ("at 15100", "spawn hub"),
        ("ready hub", ""),
        ("at 300000", ""),
    ]);
}

#[test]
fn a_hub_that_dies_too_often_stops_the_cluster() {
    let bench = check_running(&[
        ("die hub", "bury hub (killed by SIGKILL); spawn hub"),
        ("die hub", "bury hub (killed by SIGKILL)"),
        ("at 100", "spawn hub"),
        (
            "die hub",
            "bury hub (killed by SIGKILL); fail hub: died 3 times within 60 s, the last time: \
             killed by SIGKILL; term engine-0; term engine-1",
        ),
        ("die engine-0", "bury engine-0 (killed by SIGKILL)"),
        ("die engine-1", "bury engine-1 (killed by SIGKILL); finish"),
    ]);
    assert_eq!(bench.plan.phase(), Phase::Failed);
}

#[test]
fn a_stop_ends_the_engines_first_and_the_hub_last() {
    let bench = check_running(&[
        ("stop", "term engine-0; term engine-1"),
        ("die engine-1", "bury engine-1 (killed by SIGKILL)"),
        ("at 2999", ""),
        ("at 3000", "kill engine-0"),
        ("die engine-0", "bury engine-0 (killed by SIGKILL); term hub"),
        ("at 6000", "kill hub"),
        ("die hub", "bury hub (killed by SIGKILL); finish"),
    ]);
    assert_eq!(bench.plan.phase(), Phase::Stopped);
}

#[test]
fn a_second_stop_does_not_wait() {
    check_running(&[
        ("stop", "term engine-0; term engine-1"),
        ("stop", "kill hub; kill engine-0; kill engine-1"),
        ("die hub", "bury hub (killed by SIGKILL)"),
        ("die engine-0", "bury engine-0 (killed by SIGKILL)"),
        ("die engine-1", "bury engine-1 (killed by SIGKILL); finish"),
        ("stop", ""),
    ]);
}

#[test]
fn nothing_is_restarted_once_a_stop_began() {
    check_running(&[
        ("die engine-0", "bury engine-0 (killed by SIGKILL); spawn engine-0"),
        ("die engine-0", "bury engine-0 (killed by SIGKILL)"),
        ("stop", "term engine-1"),
        ("at 200", ""),
        ("die engine-1", "bury engine-1 (killed by SIGKILL); term hub"),
        ("die hub", "bury hub (killed by SIGKILL); finish"),
    ]);
}

#[test]
fn pauses_grow_up_to_their_limit() {
    let pauses: Vec<u128> = (0..8).map(|n| restart_pause(n).as_millis()).collect();
    assert_eq!(pauses, [0, 100, 200, 400, 800, 1600, 2000, 2000]);
    assert_eq!(restart_pause(usize::MAX), limits::RESTART_PAUSE_MAX);
}

#[test]
fn events_about_unknown_processes_change_nothing() {
    let mut bench = check_running(&[]);
    let before = bench.plan.statuses();
    assert_eq!(bench.feed(Event::Exited { pid: 999, cause: Cause::Exited(0) }), "");
    assert_eq!(bench.feed(Event::Ready { pid: 999 }), "");
    assert_eq!(bench.plan.statuses(), before);
}

#[test]
fn a_retired_engine_is_not_started_again() {
    let bench = check_running(&[
        ("retire 0", ""),
        ("die engine-0", "bury engine-0 (killed by SIGKILL)"),
        ("at 5000", ""),
        ("stop", "term engine-1"),
    ]);
    assert_eq!(bench.plan.statuses()[1].state, ProcessState::Stopped);
}

#[test]
fn the_keeper_starts_beside_the_hub_and_ends_last() {
    let mut bench = Bench::new(0, false);
    let limits = PlanLimits { restarts_max: 1, ..PlanLimits::default() };
    bench.plan = Plan::new([Process::Keeper, Process::Hub, Process::Engine(0)], limits);
    for (event, expected) in [
        ("begin", "spawn keeper; spawn hub; "),
        ("ready hub", ""),
        ("ready keeper", "spawn engine-0; "),
        ("ready engine-0", "started; "),
        ("die keeper", "bury keeper (killed by SIGKILL); spawn keeper; "),
        (
            "die keeper",
            "bury keeper (killed by SIGKILL); gave up keeper: died 2 times within 60 s, \
             the last time: killed by SIGKILL; ",
        ),
        ("stop", "term engine-0; "),
        ("die engine-0", "bury engine-0 (killed by SIGKILL); term hub; "),
        ("die hub", "bury hub (killed by SIGKILL); finish; "),
    ] {
        assert_eq!(bench.step(event), expected, "{event}");
    }
}

#[test]
fn a_hub_that_is_of_no_use_fails_the_start() {
    check(
        1,
        false,
        &[
            ("begin", "spawn hub"),
            ("useless hub", "fail hub: told no address; term hub"),
            ("useless hub", ""),
            ("die hub", "bury hub (killed by SIGKILL); finish"),
        ],
    );
}

#[test]
fn a_stop_that_is_wanted_twice_still_has_its_grace() {
    check_running(&[
        ("want stop", "term engine-0; term engine-1"),
        ("want stop", ""),
        ("at 3000", "kill engine-0; kill engine-1"),
    ]);
}

#[test]
fn engines_are_added_to_a_running_cluster() {
    let bench = check_running(&[
        ("add 2", "spawn engine-2"),
        ("add 2", ""),
        ("die engine-2", "bury engine-2 (killed by SIGKILL); spawn engine-2"),
        ("ready engine-2", ""),
        ("want stop", "term engine-0; term engine-1; term engine-2"),
    ]);
    assert_eq!((bench.plan.engine_count(), bench.plan.next_engine()), (3, 3));
}

#[test]
fn engines_that_are_not_wanted_end_and_stay_away() {
    let bench = check_running(&[
        ("unwant 1", "term engine-1"),
        ("restart 1", ""),
        ("at 3000", "kill engine-1"),
        ("die engine-1", "bury engine-1 (killed by SIGKILL)"),
        ("at 60000", ""),
        ("add 1", ""),
    ]);
    assert_eq!(bench.plan.engine(1), None);
    assert!(bench.plan.engine(0).flatten().is_some());
    assert_eq!((bench.plan.engine_count(), bench.plan.next_engine()), (1, 2));
}

#[test]
fn a_restart_that_was_asked_for_is_no_death() {
    let again = ("die engine-0", "bury engine-0 (killed by SIGKILL); spawn engine-0");
    let round = [("restart 0", "term engine-0"), again, ("ready engine-0", "")];
    // More often than an engine may die.
    check_running(&[round, round, round, round].concat());
}

#[test]
fn an_engine_is_killed_and_started_again_as_often_as_it_is_asked_for() {
    let again = ("die engine-0", "bury engine-0 (killed by SIGKILL); spawn engine-0");
    let round = [("killed 0 engine-0", "kill engine-0"), again];
    check_running(&[round, round, round, round].concat());
}

#[test]
fn only_the_process_that_is_meant_is_killed_and_only_while_the_cluster_lives() {
    let again = "bury engine-0 (killed by SIGKILL); spawn engine-0";
    check_running(&[
        ("killed 0 4711", ""),
        ("killed 7 4711", ""),
        ("retire 1", ""),
        ("killed 1 engine-1", ""),
        ("killed 0 engine-0", "kill engine-0"),
        ("killed 0 engine-0", ""),
        ("die engine-0", again),
        ("want stop", "term engine-0; term engine-1"),
        ("killed 0 engine-0", ""),
    ]);
}

#[test]
fn an_engine_killed_while_others_still_start_comes_again_too() {
    check(
        2,
        false,
        &[
            ("begin", "spawn hub"),
            ("ready hub", "spawn engine-0; spawn engine-1"),
            ("ready engine-0", ""),
            ("killed 0 engine-0", "kill engine-0"),
            ("die engine-0", "bury engine-0 (killed by SIGKILL); spawn engine-0"),
            ("ready engine-1", ""),
            ("ready engine-0", "started"),
        ],
    );
}

#[test]
fn a_restart_brings_back_an_engine_that_was_given_up() {
    let bury = "bury engine-0 (killed by SIGKILL)";
    let spawn = format!("{bury}; spawn engine-0");
    let gave_up = format!(
        "{bury}; gave up engine-0: died 3 times within 60 s, the last time: killed by SIGKILL"
    );
    check_running(&[
        ("die engine-0", &spawn),
        ("die engine-0", bury),
        ("restart 0", "spawn engine-0"),
        ("die engine-0", &spawn),
        ("die engine-0", bury),
        ("at 100", "spawn engine-0"),
        ("die engine-0", &gave_up),
        ("restart 0", "spawn engine-0"),
    ]);
}

#[test]
fn a_cluster_that_ends_takes_no_engines() {
    check_running(&[
        ("want stop", "term engine-0; term engine-1"),
        ("add 2", ""),
        ("restart 0", ""),
        ("unwant 1", ""),
    ]);
}
