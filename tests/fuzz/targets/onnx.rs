//! A model file, from its bytes to its scores: looked at, planned on one to three threads, run twice.

use super::{assert_said, file_of};
use eyelet::model::Model;
use eyelet::network::Network;
use eyelet::spec::Input;

/// Larger pictures take the same way and more time.
const MAX_PIXELS: usize = 96 * 96;

pub fn run(data: &[u8]) {
    let file = file_of(data, ".onnx", 0);
    let path = file.path().display().to_string();
    let model = match Model::find(&path, None) {
        Ok(model) => model,
        Err(error) => return assert_said(&error.to_string()),
    };
    let pixels = model.input.width_px as usize * model.input.height_px as usize;
    if pixels > MAX_PIXELS && u32::max(model.input.width_px, model.input.height_px) <= 2048 {
        return;
    }
    let threads = 1 + data.iter().map(|&b| usize::from(b)).sum::<usize>() % 3;
    let mut network = match Network::load(&model, threads) {
        Ok(network) => network,
        Err(error) => return assert_said(&error.to_string()),
    };
    // What a run leaves behind changes no score of the next.
    let first = scores(&mut network, 1);
    let _ = scores(&mut network, 2);
    assert_eq!(first, scores(&mut network, 1), "{}", network.describe());
    if let Some(scores) = first {
        assert_eq!(scores.len(), model.output.class_count);
    }
}

/// The bits of the scores of a picture; `None` when the run fails, as it may for one picture and not for the other.
fn scores(network: &mut Network, seed: u64) -> Option<Vec<u32>> {
    let mut random = fastrand::Rng::with_seed(seed);
    match network.input() {
        Input::F32(values) => values.fill_with(|| random.f32() * 4.0 - 2.0),
        Input::U8(values) => random.fill(values),
    }
    match network.run() {
        Ok(scores) => Some(scores.iter().map(|score| score.to_bits()).collect()),
        Err(error) => {
            assert_said(&error.to_string());
            None
        }
    }
}
