//! A thread's handle cannot be a result.

use std::convert::Infallible;
use std::thread::JoinHandle;

use phalanx_actors::Engine;
use phalanx_protocol::method::Method;

const START: Method<u64, JoinHandle<()>> = Method::new("thread.start");

fn main() {
    let start = async |_: u64| Ok::<_, Infallible>(std::thread::spawn(|| {}));
    let _ = Engine::builder().on(START, start);
}
