//! Tests of the dag: tables here, random graphs against a naive model in `properties`.

mod properties;
mod snapshot;
mod tables;
mod text;
