//! Tests of the engine room: tables here, random orders of events in `properties`.

mod functions;
mod gates;
mod give_back;
mod hub_side;
mod limits;
mod link;
mod output;
mod properties;
mod sessions;
mod tables;
mod text;
mod world;
