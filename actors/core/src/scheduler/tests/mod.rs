//! What the scheduler promises, as tables and as properties.

mod model;
mod pace;
mod placement;
mod properties;
mod tables;
mod text;
