//! A socket cannot be an argument.

use std::convert::Infallible;
use std::net::TcpStream;

use phalanx_actors::Engine;
use phalanx_protocol::method::Method;

const READ: Method<TcpStream, u64> = Method::new("socket.read");

fn main() {
    let read = async |_socket: TcpStream| Ok::<_, Infallible>(0_u64);
    let _ = Engine::builder().on(READ, read);
}
