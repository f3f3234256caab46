//! A method whose argument and result travel, and a handler that fits it.

use std::convert::Infallible;

use phalanx::{Engine, Method};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Point {
    x: f64,
    y: f64,
}

const LENGTH: Method<Point, f64> = Method::new("point.length");

fn main() {
    let length = async |point: Point| Ok::<_, Infallible>(point.x.hypot(point.y));
    let _ = Engine::builder().on(LENGTH, length);
}
