//! The network's scores on the stored crops against those of ONNX Runtime, for each form of MobileNet v2.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;

use common::{PHOTOS, argmax, read_f32, say_skipped, shared};
use eyelet::model::Model;
use eyelet::network::Network;
use eyelet::spec::{Dtype, InputSpec, Layout, OutputKind, OutputSpec, Precision};
use std::path::Path;

fn mobilenet(file: &Path) -> Model {
    Model {
        name: "mobilenet-v2".into(),
        file: file.to_owned(),
        input: InputSpec::imagenet(Layout::Nchw, Dtype::F32, 224, 224),
        output: OutputSpec {
            kind: OutputKind::Logits,
            class_count: 1000,
            label_offset: 0,
        },
        output_name: None,
        precision: Precision::Single,
        labels: (0..1000).map(|n| format!("class {n}")).collect(),
        facts: Vec::new(),
    }
}

/// How far the scores of one photo are from ONNX Runtime's.
struct Distance {
    photo: &'static str,
    /// The largest difference of any score.
    largest: f32,
    /// Whether the best class is the same.
    same_class: bool,
    /// Whether our own kernels ran it. A CPU that has none computes quantised models in float, by tract.
    in_integers: bool,
}

/// Runs all photos.
fn compare(file: &str, kind: &str) -> Option<Vec<Distance>> {
    let shared = shared()?;
    let mut network = Network::load(&mobilenet(&shared.join("models").join(file)), 1).unwrap();
    let in_integers = network.fused().is_ok();
    if !in_integers {
        say_skipped(format_args!(
            "{file} but for its classes: this CPU has no kernels of ours"
        ));
    }
    let mut all = Vec::new();
    for photo in PHOTOS {
        let crop = image::open(shared.join(format!("reference/{photo}.224.png")))
            .unwrap()
            .to_rgb8();
        let encoder = network.encoder().clone();
        encoder.encode(crop.as_raw(), network.input()).unwrap();
        let expected = read_f32(&shared.join(format!("reference/{photo}.{kind}.logits.f32")));
        let scores = network.run().unwrap();
        assert_eq!(scores.len(), expected.len(), "{file}: {photo}");
        let differences = scores.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        let largest = differences.max_by(f32::total_cmp).unwrap_or(0.0);
        println!("{file}: {photo}: largest difference {largest:.6}");
        all.push(Distance {
            photo,
            largest,
            same_class: argmax(scores) == argmax(&expected),
            in_integers,
        });
    }
    Some(all)
}

/// Float against float: the same sums in another order.
const FLOAT_TOLERANCE: f32 = 1e-3;

/// The step of the quantised models' scores, as both files have it.
const SCORE_STEP: f32 = 0.063_365_02;

/// Each photo's distance from the QDQ reference, in steps. Not 0, since ONNX Runtime on x86-64 ran 15 convolutions of that file
/// in float; what it gives when told to use integers throughout, we equal (BENCHMARKS.md, `tests/fixtures/qdq_reference.py`).
/// Every kernel gives the same bits, so these are the figures themselves, without a margin.
const QDQ_STEPS: [(&str, f32); 8] = [
    ("cat", 3.0),
    ("chickadee", 4.0),
    ("daisy", 2.0),
    ("dragonfly", 5.0),
    ("hotdog", 5.0),
    ("macaw", 3.0),
    ("military_uniform", 3.0),
    ("packet", 3.0),
];

#[test]
fn float_scores_are_those_of_onnx_runtime() {
    for photo in compare("mobilenetv2-1.0.onnx", "f32").unwrap_or_default() {
        let (name, largest) = (photo.photo, photo.largest);
        assert!(largest < FLOAT_TOLERANCE, "{name}: {largest}");
        assert!(photo.same_class, "{name}");
    }
}

#[test]
fn qdq_scores_are_2_to_5_steps_from_those_of_onnx_runtime() {
    let all = compare("mobilenetv2-1.0-qdq.onnx", "qdq").unwrap_or_default();
    for (photo, (name, expected)) in all.iter().zip(QDQ_STEPS) {
        let steps = photo.largest / SCORE_STEP;
        assert_eq!(photo.photo, name);
        if photo.in_integers {
            assert_eq!(steps.round(), expected, "{name}: {steps} steps");
        }
        assert!(photo.same_class, "{name}");
    }
}

/// Both quantised files hold the same network, and integers leave one answer.
#[test]
fn qdq_scores_are_those_of_the_qoperator_file_to_the_bit() {
    for photo in compare("mobilenetv2-1.0-qdq.onnx", "qop").unwrap_or_default() {
        let (name, largest) = (photo.photo, photo.largest);
        assert!(largest == 0.0 || !photo.in_integers, "{name}: {largest}");
    }
}

#[test]
fn qoperator_scores_are_those_of_onnx_runtime_to_the_bit() {
    for photo in compare("mobilenetv2-1.0-int8.onnx", "qop").unwrap_or_default() {
        let (name, largest) = (photo.photo, photo.largest);
        assert!(largest == 0.0 || !photo.in_integers, "{name}: {largest}");
        assert!(photo.same_class, "{name}");
    }
}
