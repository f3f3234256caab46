//! Functions: sent once for each session, kept until what names them is recorded.

use phalanx_transport::protocol::function::{Digest, Function, FunctionLimits};
use phalanx_transport::protocol::limits::FUNCTION_BYTES_PER_SESSION_MAX;

use super::*;

fn with(name: u8, len: usize) -> NewTask {
    let bytes = Bytes::from(vec![name; len]);
    let function = Some(Function { digest: Digest([name; 16]), bytes });
    NewTask { function, ..task(Target::Any, 0) }
}

impl Bench {
    fn limited() -> Self {
        let mut bench = Self::unopened();
        let limits = FunctionLimits { count: 2, bytes: 10 };
        bench.room = bench.room.with_function_limits(limits);
        bench.check(Event::SessionUp, "open");
        bench.check(opened(1, 0, ENDLESS), "opened c1 h1, engines");
        bench
    }

    #[track_caller]
    fn call(&mut self, name: u8, len: usize, expected: &str) {
        let mut effects = Vec::new();
        let submitted = self.room.submit([with(name, len)], |id| id.seq, &mut effects);
        assert_eq!(submitted, Ok(()));
        self.room.check_invariants();
        assert_eq!(text(&effects), expected);
    }
}

#[test]
fn a_function_is_defined_before_the_first_submit_that_names_it_and_not_again() {
    let mut bench = Bench::limited();
    bench.call(1, 3, "define 0 f1, submit c1/0");
    bench.call(1, 3, "submit c1/1");
    bench.call(2, 3, "define 1 f2, submit c1/2");
    bench.submit(0, "submit c1/3");
    bench.check(accepted(4, ENDLESS), "");
    bench.call(1, 3, "submit c1/4");
}

#[test]
fn at_the_limits_the_session_begins_anew_with_its_functions() {
    let mut bench = Bench::limited();
    bench.call(1, 3, "define 0 f1, submit c1/0");
    bench.call(2, 3, "define 1 f2, submit c1/1");
    bench.call(3, 3, "define 2 f3 reset, submit c1/2");
    bench.call(1, 3, "define 3 f1, submit c1/3");
    bench.call(4, 10, "define 4 f4 reset, submit c1/4");
}

#[test]
fn a_function_lost_with_its_session_is_defined_again_if_it_is_needed() {
    let mut bench = Bench::limited();
    bench.call(1, 3, "define 0 f1, submit c1/0");
    bench.call(2, 3, "define 1 f2, submit c1/1");
    bench.check(accepted(1, ENDLESS), "");
    bench.check(Event::SessionDown, "");
    bench.call(2, 3, "");
    bench.check(Event::SessionUp, "open as c1");
    let again = "opened c1 h1, engines, define 0 f2, submit c1/1, submit c1/2";
    bench.check(opened(1, 1, ENDLESS), again);
    bench.call(1, 3, "define 1 f1, submit c1/3");
    // All is recorded: nothing is kept, and nothing said again.
    bench.check(Event::SessionDown, "");
    bench.check(Event::SessionUp, "open as c1");
    bench.check(opened(1, 4, ENDLESS), "opened c1 h1, engines");
}

#[test]
fn a_function_is_sent_with_the_submit_that_the_grant_lets_through() {
    let mut bench = Bench::opened(Grant { seq_end: 1, bytes_end: 100 });
    bench.call(1, 3, "define 0 f1, submit c1/0");
    bench.call(2, 3, "");
    bench.check(accepted(1, ENDLESS), "define 1 f2, submit c1/1");
}

#[test]
fn a_function_over_the_limit_is_refused_at_the_caller() {
    let mut bench = Bench::opened(ENDLESS);
    let len = FUNCTION_BYTES_PER_SESSION_MAX + 1;
    // Zeros that nobody touches take no memory.
    let bytes = Bytes::from(vec![0; len as usize]);
    let function = Some(Function { digest: Digest([1; 16]), bytes });
    let task = NewTask { function, ..task(Target::Any, 0) };
    let refused = bench.room.submit([task], |id| id.seq, &mut Vec::new());
    assert_eq!(refused, Err(SubmitError::FunctionTooLong(len)));
}
