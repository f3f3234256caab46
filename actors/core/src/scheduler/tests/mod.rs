//! What the scheduler promises, as tables and as properties.

mod makespan;
mod model;
mod model_engine;
mod model_take_back;
mod pace;
mod placement;
mod properties;
mod tables;
mod take_back;
mod text;
mod why;
