//! What a task costs from end to end: client, hub and engines in processes of their own.
//!
//! | module | what lives there |
//! |---|---|
//! | [`method`] | the one method that is called, and the engine that offers it |
//! | [`bare`] | the same frames without a hub, as a measure of the machine |
//! | [`load`] | the client's part: many calls at once, or one at a time |
//! | [`processes`] | which processes there are, and what each has cost |
//! | [`report`] | the figures, as a table and as JSON |
//!
//! The program `apply` puts them together. Nothing here knows how the cluster works inside.

pub mod bare;
pub mod load;
pub mod method;
pub mod processes;
pub mod report;
