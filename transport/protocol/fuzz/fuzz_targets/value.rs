//! MessagePack values of calls between languages.
#![no_main]

#[path = "../body.rs"]
#[allow(dead_code, reason = "each target uses one of the bodies")]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::value(data));
