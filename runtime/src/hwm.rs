//! The scheduler's high water mark as people write it: `adaptive`, or a number for each slot.
//!
//! Read by the command line and the settings file. What it means is the scheduler's matter.

use std::fmt;
use std::str::FromStr;

use phalanx_actors::scheduling_process::Hwm;
use phalanx_client::protocol::limits::BALANCED_WINDOW_MAX;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

/// How many balanced tasks an engine may have at once: by measured run time, or so many per slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HighWaterMark(pub Hwm);

/// The text is no high water mark.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is no high water mark; write adaptive, a number of tasks for each slot up to \
     {BALANCED_WINDOW_MAX}, or 0 for as many as an engine takes"
)]
pub struct HighWaterMarkError(String);

impl fmt::Display for HighWaterMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Hwm::Adaptive => f.write_str("adaptive"),
            Hwm::Fixed(tasks) => tasks.fmt(f),
        }
    }
}

impl FromStr for HighWaterMark {
    type Err = HighWaterMarkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "adaptive" {
            return Ok(Self(Hwm::Adaptive));
        }
        let tasks: Option<u32> = text.parse().ok().filter(|n| *n as usize <= BALANCED_WINDOW_MAX);
        tasks.map(Hwm::Fixed).map(Self).ok_or_else(|| HighWaterMarkError(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for HighWaterMark {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Number(number) => number.to_string(),
            Written::Text(text) => text,
        };
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        for text in ["adaptive", "0", "1", "64"] {
            assert_eq!(text.parse::<HighWaterMark>().unwrap().to_string(), text);
        }
        assert_eq!("0".parse::<HighWaterMark>().unwrap().0, Hwm::Fixed(0));
    }

    #[test]
    fn what_is_neither_is_refused_with_what_could_be_written() {
        for text in ["", "-1", "fast", "4294967295"] {
            let error = text.parse::<HighWaterMark>().unwrap_err().to_string();
            assert!(error.contains("write adaptive"), "{error}");
        }
    }
}
