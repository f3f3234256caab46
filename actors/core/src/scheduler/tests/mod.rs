//! What the scheduler promises, as tables and as properties.

mod model;
mod pace;
mod properties;
mod tables;
mod text;
