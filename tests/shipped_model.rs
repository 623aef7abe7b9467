//! The shipped network: its test data, and the sample photos from the file to the class that `boards/photos/ORIGIN.md` states.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;

use common::argmax;
use eyelet::camera::read_picture;
use eyelet::model::Model;
use eyelet::network::Network;
use eyelet::preprocess::Mount;
use eyelet::preprocess::Preprocess;
use eyelet::spec::Input;
use std::path::{Path, PathBuf};

/// A quantised score has steps of 0.062; where a value lies between two steps inside the network, right answers differ.
const SCORE_TOLERANCE: f32 = 4.0 * 0.0624;
/// The same for a probability near one half.
const PROBABILITY_TOLERANCE: f32 = 0.06;

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn shipped() -> (Model, Network) {
    let folder = project().join("models/efficientnet-lite0");
    let path = folder.join("efficientnet-lite0-int8.onnx");
    let model = Model::find(path.to_str().unwrap(), None).unwrap();
    let network = Network::load(&model, 1).unwrap();
    (model, network)
}

/// The values of a float TensorProto whose raw data is its longest field: `count` little-endian f32.
fn tensor(path: PathBuf, count: usize) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    // Field 9 (raw_data), length-delimited; the length as a varint of 7-bit groups.
    let mut key = vec![0x4a];
    let mut length = count * 4;
    while length >= 0x80 {
        key.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    key.push(length as u8);
    let at = bytes.windows(key.len()).position(|w| w == key).unwrap() + key.len();
    let values = bytes[at..at + count * 4].chunks_exact(4);
    values
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect()
}

#[test]
fn test_data_gives_the_scores_of_onnx_runtime() {
    let (_, mut network) = shipped();
    let data = project().join("models/efficientnet-lite0/test_data_set_0");
    let input = tensor(data.join("input_0.pb"), 3 * 224 * 224);
    let expected = tensor(data.join("output_0.pb"), 1000);
    match network.input() {
        Input::F32(values) => values.copy_from_slice(&input),
        // The network's quantised input is the pixel itself.
        Input::U8(_) => {
            let pixel = |n: usize| (input[n] * 128.0 + 127.0).round() as u8;
            let rgb: Vec<u8> = (0..224 * 224)
                .flat_map(|n| [pixel(n), pixel(n + 224 * 224), pixel(n + 2 * 224 * 224)])
                .collect();
            let encoder = network.encoder().clone();
            encoder.encode(&rgb, network.input()).unwrap();
        }
    }
    let scores = network.run().unwrap();
    let difference = scores
        .iter()
        .zip(&expected)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    println!("largest difference {difference}");
    assert_eq!(argmax(scores), argmax(&expected));
    assert!(difference < SCORE_TOLERANCE, "{difference}");
}

#[test]
fn sample_photos_have_the_classes_that_their_page_states() {
    let (model, mut network) = shipped();
    let mount = Mount::default();
    let mut preprocess = Preprocess::new(&model.input, mount, network.encoder().clone());
    let page = std::fs::read_to_string(project().join("boards/photos/ORIGIN.md")).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split('|').map(str::trim).collect())
        .filter(|cells: &Vec<&str>| cells[2].parse::<usize>().is_ok())
        .collect();
    assert!(rows.len() >= 4, "{page}");
    for row in rows {
        let file = project()
            .join("boards/photos")
            .join(row[1].trim_matches('`'));
        let picture = read_picture(&file).unwrap();
        let frame = picture.frame().unwrap();
        preprocess.run(&frame, network.input()).unwrap();
        let scores = network.run().unwrap();
        let best = argmax(scores);
        let sum: f32 = scores.iter().map(|s| (s - scores[best]).exp()).sum();
        println!("{}: {} {:.3}", row[1], model.labels[best], 1.0 / sum);
        assert_eq!(
            (best, model.labels[best].as_str()),
            (row[2].parse().unwrap(), row[3]),
            "{row:?}"
        );
        let stated: f32 = row[4].parse().unwrap();
        assert!(
            (1.0 / sum - stated).abs() < PROBABILITY_TOLERANCE,
            "{row:?}: {}",
            1.0 / sum
        );
    }
}
