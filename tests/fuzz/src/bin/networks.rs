//! What plans and runs networks under libFuzzer: `.ci/fuzz` builds and runs this with AddressSanitizer and checks of overflow.
#![no_main]
#![allow(clippy::unwrap_used, reason = "nobody but a developer runs this")]

#[path = "../graph_mutator.rs"]
mod graph_mutator;
#[path = "../program.rs"]
mod program;
#[path = "../../targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(init: program::init(&targets::NETWORKS), |data: &[u8]| program::run(data));

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    graph_mutator::mutate(data, size, max_size, seed)
        .unwrap_or_else(|| libfuzzer_sys::fuzzer_mutate(data, size, max_size))
});
