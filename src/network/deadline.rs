//! The deadline of everything that is done with a model's file once its bytes are in memory.

use crate::guard::{self, GivenUp};
use std::time::Duration;
use tract_onnx::pb::ModelProto;

/// Processor time limit of planning, besides that for weights. Real networks take up to a second on x86-64; the cores of small
/// boards are some ten times as slow.
const PLANNING: Duration = Duration::from_secs(if cfg!(target_arch = "x86_64") { 4 } else { 30 });
/// Bytes of weights that add one second to the limit: they are copied and packed.
const WEIGHTS_BYTES_A_SECOND: u64 = 32 << 20;

/// The result of `work`, if it finishes in time; the error says that it did not. The work then continues in the background: a
/// caller that gets the error is about to end the program.
pub fn in_time<T: Send + 'static>(
    weights_bytes: u64,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let limit = PLANNING + Duration::from_secs(weights_bytes / WEIGHTS_BYTES_A_SECOND);
    guard::run(limit, work).map_err(|why| match why {
        GivenUp::NoThread(error) => format!("cannot be planned: no thread for it: {error}"),
        GivenUp::Panicked => "cannot be planned: the planner panicked on it".to_owned(),
        GivenUp::Late => format!(
            "cannot be planned in {} seconds of the processor's time, the limit: simplify it (onnxsim), or take a network \
             with fewer nodes that `eyelet explain` leaves to tract",
            limit.as_secs()
        ),
    })
}

/// Bytes of a model's own weights.
pub fn weights_bytes(proto: &ModelProto) -> u64 {
    let weights = proto.graph.iter().flat_map(|g| &g.initializer);
    weights.map(|t| t.raw_data.len() as u64).sum()
}
