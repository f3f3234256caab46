//! Phalanx.
