//! The README's first promise: the shipped network gives ONNX Runtime's scores for the shipped photos, to the bit, and the photos
//! their classes. The references are those of `models/efficientnet-lite0/reference`, so this runs on any machine.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;

use common::{argmax, read_f32, run_eyelet, say_skipped, tree_file};
use eyelet::camera::read_picture;
use eyelet::model::Model;
use eyelet::network::Network;
use eyelet::preprocess::Mount;
use eyelet::preprocess::Preprocess;
use std::path::{Path, PathBuf};

/// A CPU without kernels of ours computes the network in float, by tract. The scores have steps of 0.0624, and where a value lies
/// between two steps inside the network, right answers differ.
const SCORE_TOLERANCE_IN_FLOAT: f32 = 4.0 * 0.0624;
/// From the photo's file on. Two JPEG decoders and two ways to resize differ by some grey levels, which moves a probability near one
/// half (the rocket's) by as much as this.
const PROBABILITY_TOLERANCE: f32 = 0.06;
const MAX_GREY_LEVELS: u8 = 8;
const GREY_LEVELS_MEAN: f32 = 0.75;

/// What ONNX Runtime makes of a photo.
struct Reference {
    photo: &'static str,
    /// The middle 224x224 of it, RGB.
    crop: Vec<u8>,
    scores: Vec<f32>,
}

impl Reference {
    fn all() -> [Self; 4] {
        ["cat", "espresso", "rocket", "tripod"].map(|photo| {
            let file = |end| {
                tree_file(&format!(
                    "models/efficientnet-lite0/reference/{photo}.{end}"
                ))
            };
            let crop = image::open(file("png")).unwrap().to_rgb8();
            assert_eq!(crop.dimensions(), (224, 224));
            let scores = read_f32(&file("logits.f32"));
            assert_eq!(scores.len(), 1000);
            Self {
                photo,
                crop: crop.into_raw(),
                scores,
            }
        })
    }

    fn file(&self) -> PathBuf {
        tree_file(&format!("boards/photos/{}.jpg", self.photo))
    }

    fn class(&self) -> usize {
        argmax(&self.scores)
    }

    fn probability(&self) -> f32 {
        let best = self.scores[self.class()];
        1.0 / self.scores.iter().map(|s| (s - best).exp()).sum::<f32>()
    }
}

fn shipped(threads: usize) -> (Model, Network) {
    let file = tree_file("models/efficientnet-lite0/efficientnet-lite0-int8.onnx");
    let model = Model::find(file.to_str().unwrap(), None).unwrap();
    let network = Network::load(&model, threads).unwrap();
    (model, network)
}

#[test]
fn scores_are_those_of_onnx_runtime_to_the_bit_on_1_to_3_threads() {
    let references = Reference::all();
    for threads in 1..=3 {
        let (_, mut network) = shipped(threads);
        let in_integers = network.fused().is_ok();
        if !in_integers {
            say_skipped(
                "in part: this CPU has no kernels of ours, so scores are compared with a tolerance",
            );
        }
        for Reference {
            photo,
            crop,
            scores,
        } in &references
        {
            let encoder = network.encoder().clone();
            encoder.encode(crop, network.input()).unwrap();
            let got = network.run().unwrap();
            let differences = got.iter().zip(scores).map(|(a, b)| (a - b).abs());
            let largest = differences.max_by(f32::total_cmp).unwrap_or(0.0);
            println!("{photo} on {threads} threads: largest difference {largest}");
            assert_eq!(argmax(got), argmax(scores), "{photo} on {threads} threads");
            if in_integers {
                assert_eq!(got, scores, "{photo} on {threads} threads");
            }
            assert!(largest <= SCORE_TOLERANCE_IN_FLOAT, "{photo}: {largest}");
        }
    }
}

#[test]
fn photos_reach_the_network_as_pillow_prepares_them() {
    let (model, mut network) = shipped(1);
    let encoder = network.encoder().clone();
    let mut preprocess = Preprocess::new(&model.input, Mount::default(), encoder);
    for reference in Reference::all() {
        let picture = read_picture(&reference.file()).unwrap();
        let frame = picture.frame().unwrap();
        preprocess.run(&frame, network.input()).unwrap();
        let crop = preprocess.crop().rgb;
        let differences = crop
            .iter()
            .zip(&reference.crop)
            .map(|(a, b)| a.abs_diff(*b));
        let most = differences.clone().max().unwrap();
        let mean = differences.map(f32::from).sum::<f32>() / crop.len() as f32;
        let photo = reference.photo;
        println!("{photo}: {most} grey levels at most, {mean:.3} on average");
        assert_eq!(crop.len(), reference.crop.len());
        assert!(most <= MAX_GREY_LEVELS, "{photo}: {most}");
        assert!(mean <= GREY_LEVELS_MEAN, "{photo}: {mean}");
    }
}

#[test]
fn classify_gives_the_photos_their_classes_and_probabilities() {
    let references = Reference::all();
    let mut words = vec!["classify".into(), "--json".into()];
    words.extend(references.iter().map(Reference::file));
    let run = run_eyelet(Path::new("."), &words);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let lines = run.json_lines();
    assert_eq!(lines.len(), references.len());
    for (reference, line) in references.iter().zip(&lines) {
        let best = &line["top"][0];
        let (photo, wanted) = (reference.photo, reference.probability());
        println!("{photo}: {best}, ONNX Runtime {wanted}");
        assert_eq!(best["class"], reference.class(), "{photo}");
        let difference = best["probability"].as_f64().unwrap() as f32 - wanted;
        assert!(
            difference.abs() <= PROBABILITY_TOLERANCE,
            "{photo}: {difference}"
        );
    }
}

#[test]
fn the_photos_page_states_what_onnx_runtime_says() {
    let page = std::fs::read_to_string(tree_file("boards/photos/ORIGIN.md")).unwrap();
    let (model, _) = shipped(1);
    for reference in Reference::all() {
        let (class, probability) = (reference.class(), reference.probability());
        let label = &model.labels[class];
        let row = format!(
            "| `{}.jpg` | {class} | {label} | {probability:.2} |",
            reference.photo
        );
        assert!(page.contains(&row), "{row} is not in {page}");
    }
}
