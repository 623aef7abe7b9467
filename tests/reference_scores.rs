//! The network's scores on the stored crops against those of ONNX Runtime, for each form of MobileNet v2.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;

use common::{PHOTOS, argmax, read_f32, shared};
use eyelet::model::{Dtype, InputSpec, Layout, Model, OutputKind, OutputSpec};
use eyelet::network::Network;
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
        labels: (0..1000).map(|n| format!("class {n}")).collect(),
    }
}

/// Runs all photos; gives the largest difference of any score and the photos whose best class differs.
fn compare(file: &str, kind: &str) -> Option<(f32, Vec<&'static str>)> {
    let shared = shared()?;
    let mut network = Network::load(&mobilenet(&shared.join("models").join(file)), 1).unwrap();
    let mut largest = 0f32;
    let mut wrong = Vec::new();
    for photo in PHOTOS {
        let crop = image::open(shared.join(format!("reference/{photo}.224.png")))
            .unwrap()
            .to_rgb8();
        let encoder = network.encoder().clone();
        encoder.encode(crop.as_raw(), network.input()).unwrap();
        let expected = read_f32(&shared.join(format!("reference/{photo}.{kind}.logits.f32")));
        let scores = network.run().unwrap();
        for (a, b) in scores.iter().zip(&expected) {
            largest = largest.max((a - b).abs());
        }
        if argmax(scores) != argmax(&expected) {
            wrong.push(photo);
        }
    }
    println!("{file}: largest difference {largest:.6}");
    Some((largest, wrong))
}

/// Float against float: the same sums in another order.
const FLOAT_TOLERANCE: f32 = 1e-3;

#[test]
fn float_scores_are_those_of_onnx_runtime() {
    if let Some((largest, wrong)) = compare("mobilenetv2-1.0.onnx", "f32") {
        assert!(largest < FLOAT_TOLERANCE, "{largest}");
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

#[test]
fn qdq_classes_are_those_of_onnx_runtime() {
    if let Some((_, wrong)) = compare("mobilenetv2-1.0-qdq.onnx", "qdq") {
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

#[test]
fn qoperator_classes_are_those_of_onnx_runtime() {
    if let Some((_, wrong)) = compare("mobilenetv2-1.0-int8.onnx", "qop") {
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}
