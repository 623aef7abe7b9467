//! What reads bytes and text under libFuzzer: `.ci/fuzz` builds and runs this with AddressSanitizer and checks of overflow.
#![no_main]
#![allow(clippy::unwrap_used, reason = "nobody but a developer runs this")]

#[path = "../program.rs"]
mod program;
#[path = "../../targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(init: program::init(&targets::PARSERS), |data: &[u8]| program::run(data));
