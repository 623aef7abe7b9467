//! The deadline of everything that is done with a model's file once its bytes are in memory.

use crate::guard::{self, GivenUp};
use std::time::Duration;
use tract_onnx::pb::ModelProto;

/// Processor time limit of planning, besides that for weights. Real networks take up to a second on x86-64; the cores of small
/// boards are some ten times as slow.
const PLANNING: Duration = Duration::from_secs(if cfg!(target_arch = "x86_64") { 4 } else { 30 });
/// Bytes of weights that add one second to the limit: they are copied and packed.
const WEIGHTS_BYTES_A_SECOND: u64 = 32 << 20;

/// Processor time limit of the first frame, besides that for weights: far above what a camera could wait for.
const FRAME: Duration = Duration::from_secs(10 * PLANNING.as_secs());

/// The result of running a first frame, if it ends in time; the error says that it did not.
pub fn frame_in_time<T: Send + 'static>(
    weights_bytes: u64,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let limit = FRAME + for_weights(weights_bytes);
    guard::run(limit, work).unwrap_or_else(|why| {
        Err(match why {
            GivenUp::NoThread(error) => format!("cannot be run: no thread for it: {error}"),
            GivenUp::Panicked => {
                "cannot be run: tract panicked on a picture of zeros; export it in another opset"
                    .to_owned()
            }
            GivenUp::Late => format!(
                "cannot be run: one picture takes more than {} seconds of the processor's time, the limit; take a smaller network",
                limit.as_secs()
            ),
        })
    })
}

/// The result of `work`, if it finishes in time; the error says that it did not. The work then continues in the background: a
/// caller that gets the error is about to end the program.
pub fn in_time<T: Send + 'static>(
    weights_bytes: u64,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let limit = PLANNING + for_weights(weights_bytes);
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

fn for_weights(bytes: u64) -> Duration {
    Duration::from_secs(bytes / WEIGHTS_BYTES_A_SECOND)
}

/// Bytes of a model's own weights.
pub fn weights_bytes(proto: &ModelProto) -> u64 {
    let weights = proto.graph.iter().flat_map(|g| &g.initializer);
    weights.map(|t| t.raw_data.len() as u64).sum()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_first_frame_that_fails_says_so() {
        assert_eq!(frame_in_time(0, || Ok(7)), Ok(7));
        let why = frame_in_time::<()>(0, || Err("cannot be run: because".to_owned()));
        assert_eq!(why.unwrap_err(), "cannot be run: because");
        let why = frame_in_time::<()>(0, || panic!("on purpose")).unwrap_err();
        assert!(why.contains("panicked on a picture of zeros"), "{why}");
    }
}
