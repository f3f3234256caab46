//! What happened: always as a hash, on request as a story.

use phalanx_core::Time;

/// The record of one run.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    story: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(tell: bool) -> Self {
        // FNV-1a, 64 bit: offset basis and prime of its specification.
        Self { hash: 0xcbf2_9ce4_8422_2325, story: tell.then(Vec::new) }
    }

    /// Notes a step: its time, and bytes that tell it from others.
    pub(crate) fn step(&mut self, now: Time, bytes: &[u8], line: impl FnOnce() -> String) {
        for byte in now.as_nanos().to_le_bytes().iter().chain(bytes) {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.tell(now, line);
    }

    /// Adds a line to the story that changes nothing in the hash.
    pub(crate) fn tell(&mut self, now: Time, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            let ms = now.as_nanos() as f64 / 1e6;
            story.push(format!("{ms:>12.3} ms  {}", line()));
        }
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn take_story(&mut self) -> Vec<String> {
        self.story.take().unwrap_or_default()
    }
}
