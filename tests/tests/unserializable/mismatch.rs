//! A handler takes and returns what its method says.

use std::convert::Infallible;

use phalanx_actors::Engine;
use phalanx_protocol::method::Method;

const LENGTH: Method<String, u64> = Method::new("text.length");

fn main() {
    let wrong = async |number: u64| Ok::<_, Infallible>(number);
    let _ = Engine::builder().on(LENGTH, wrong);
}
