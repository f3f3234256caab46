//! An audit that says who was refused, for measurements with hubs of their own: it should be nobody.

use phalanx_transport::{Audit, PeerInfo, RefusedPeer};

/// Says on standard error who was refused.
#[derive(Debug)]
pub struct Refusals;

impl Audit for Refusals {
    fn admitted(&self, _peer: &PeerInfo) {}

    fn refused(&self, peer: &RefusedPeer) {
        eprintln!("refused: {peer:?}");
    }
}
