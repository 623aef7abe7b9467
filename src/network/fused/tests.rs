//! The fast plan against ONNX Runtime's stored scores, and against itself on other kernels and thread counts.
#![allow(clippy::unwrap_used)]

mod compare;
mod coverage;
mod found;
mod half;
mod layers;
mod near;
mod others;
mod plainest;
mod random;
mod shipped;

use super::*;
use crate::basics::{cases, shared};
use crate::network::graph::Op;
use crate::spec::{Dtype, InputSpec, Layout, Table};
use prost::Message;
use std::path::{Path, PathBuf};

const PHOTOS: [&str; 8] = [
    "cat",
    "chickadee",
    "daisy",
    "dragonfly",
    "hotdog",
    "macaw",
    "military_uniform",
    "packet",
];

fn onnx(file: &Path) -> ModelProto {
    ModelProto::decode(&std::fs::read(file).unwrap()[..]).unwrap()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures")).join(name)
}

/// A variant of MobileNet v2, if the developers' files are there.
fn model(name: &str) -> Option<ModelProto> {
    Some(onnx(&shared()?.join("models").join(name)))
}

fn zoo_input() -> InputSpec {
    InputSpec::imagenet(Layout::Nchw, Dtype::F32, 224, 224)
}

/// Puts a reference photo into a network.
fn put_reference(net: &mut Fused, photo: &str) {
    let file = shared().unwrap().join(format!("reference/{photo}.224.png"));
    let rgb = image::open(file).unwrap().to_rgb8();
    put_photo(net, rgb.as_raw(), &zoo_input());
}

/// Puts an RGB photo into a network with this input.
fn put_photo(net: &mut Fused, rgb: &[u8], spec: &InputSpec) {
    let tables = net.input_encoding(spec).table;
    let pixels = rgb.iter().enumerate();
    match (net.input(), &tables) {
        (crate::spec::Input::F32(input), Table::F32(t)) => {
            pixels.for_each(|(i, &p)| input[i] = t[i % 3][usize::from(p)]);
        }
        (crate::spec::Input::U8(input), Table::U8(t)) => {
            pixels.for_each(|(i, &p)| input[i] = t[i % 3][usize::from(p)]);
        }
        _ => panic!("the tables do not fit the input"),
    }
}

fn reference(photo: &str, form: &str) -> Vec<f32> {
    let file = shared()
        .unwrap()
        .join(format!("reference/{photo}.{form}.logits.f32"));
    floats_of(&file)
}

/// The little-endian f32 values of a file.
fn floats_of(file: &Path) -> Vec<f32> {
    let bytes = std::fs::read(file).unwrap();
    let values = bytes.chunks_exact(4);
    values
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect()
}

fn top(scores: &[f32]) -> usize {
    (0..scores.len())
        .max_by(|&a, &b| scores[a].total_cmp(&scores[b]))
        .unwrap()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    // By `total_cmp`, because `f32::max` passes over what is not a number.
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .max_by(f32::total_cmp)
        .unwrap_or(0.0)
}

#[test]
fn float_scores_are_onnx_runtimes() {
    let Some(model) = model("mobilenetv2-1.0.onnx") else {
        return;
    };
    let mut net = fuse(model).unwrap();
    for photo in PHOTOS {
        put_reference(&mut net, photo);
        let difference = largest_difference(net.run(), &reference(photo, "f32"));
        assert!(difference < 1e-3, "{photo}: {difference}");
    }
    assert!(net.arena_bytes() <= 3_670_016, "{}", net.arena_bytes());
}

#[test]
fn qlinear_scores_are_onnx_runtimes_to_the_bit() {
    let Some(model) = model("mobilenetv2-1.0-int8.onnx") else {
        return;
    };
    let mut net = fuse(model).unwrap();
    for photo in PHOTOS {
        put_reference(&mut net, photo);
        assert_eq!(net.run(), reference(photo, "qop"), "{photo}");
    }
}

/// ONNX Runtime runs 15 of this file's convolutions in float, so its scores are up to 5 steps off its own scores for the QLinear
/// form of the same network; ours match the QLinear form bit for bit.
#[test]
fn qdq_scores_are_those_of_the_qlinear_form() {
    let Some(model) = model("mobilenetv2-1.0-qdq.onnx") else {
        return;
    };
    let mut net = fuse(model).unwrap();
    for photo in PHOTOS {
        put_reference(&mut net, photo);
        let scores = net.run();
        assert_eq!(scores, reference(photo, "qop"), "{photo}");
        let other = reference(photo, "qdq");
        assert_eq!(top(scores), top(&other), "{photo}");
        let step = 0.063_365;
        assert!(largest_difference(scores, &other) < 5.5 * step, "{photo}");
    }
    assert!(net.arena_bytes() <= 1 << 20, "{}", net.arena_bytes());
}

#[test]
fn dynamic_scores_are_onnx_runtimes_to_the_bit_with_every_kernel_and_thread_count() {
    let pictures = floats_of(&fixture("nchw.input.f32"));
    for name in ["dynamic-fork", "dynamic-zero-points"] {
        let model = onnx(&fixture(&format!("{name}.onnx")));
        let scores = floats_of(&fixture(&format!("{name}.output.f32")));
        for kernels in kernels::available() {
            for threads in [1, 2, 3] {
                let understood = understand(model.clone()).unwrap();
                let mut net = understood.plan_with(threads, kernels).unwrap();
                let runs = pictures.chunks_exact(3 * 32 * 32).zip(scores.chunks(10));
                // Twice in a row: a run leaves nothing behind for the next one.
                for (picture, scores) in runs.clone().chain(runs) {
                    assert!(net.set_f32(picture, Layout::Nchw));
                    let case = format!("{name} on {} x {threads}", kernels.name());
                    assert_eq!(net.run(), scores, "{case}");
                }
            }
        }
    }
}

/// A single byte that differs by one moves a score by more than the tolerance, which is for float classifiers.
#[test]
fn chains_between_bytes_are_onnx_runtimes_with_every_kernel_and_thread_count() {
    let pictures = floats_of(&fixture("nchw.input.f32"));
    for name in ["qop-chains", "qdq-chains", "qdq-norms"] {
        let model = onnx(&fixture(&format!("{name}.onnx")));
        let scores = floats_of(&fixture(&format!("{name}.output.f32")));
        for kernels in kernels::available() {
            for threads in [1, 3] {
                let understood = understand(model.clone()).unwrap();
                let mut net = understood.plan_with(threads, kernels).unwrap();
                let runs = pictures.chunks_exact(3 * 32 * 32).zip(scores.chunks(10));
                for (picture, scores) in runs {
                    assert!(net.set_f32(picture, Layout::Nchw));
                    let difference = largest_difference(net.run(), scores);
                    assert!(difference < 2e-5, "{name} {}: {difference}", kernels.name());
                }
            }
        }
    }
}

/// Only what depends on two tensors is left in float between bytes.
#[test]
fn chains_between_bytes_become_tables() {
    for (name, sums) in [("qdq-norms", 0), ("qdq-chains", 1), ("qop-chains", 1)] {
        let mut graph = understand(onnx(&fixture(&format!("{name}.onnx"))))
            .unwrap()
            .0;
        lower::merge_layers(&mut graph);
        let quantised = graph.layers.iter().filter(|l| l.op == Op::Quantise);
        assert_eq!(quantised.count(), sums, "{name}");
    }
}

/// MXNet's form in float: BatchNormalization not folded, initialisers listed as inputs.
#[test]
fn normalisations_are_folded_into_float_convolutions() {
    let graph = understand(onnx(&fixture("opset7.onnx"))).unwrap().0;
    let kept = graph
        .layers
        .iter()
        .any(|l| matches!(l.op, Op::Affine { .. }));
    assert!(!kept);
}

#[test]
fn integers_at_the_end_are_the_real_numbers_that_they_stand_for() {
    let pictures = floats_of(&fixture("nchw.input.f32"));
    for name in ["qop", "qop-u8-weights", "qdq-whole-s8"] {
        let model = onnx(&fixture(&format!("{name}.onnx")));
        let mut cut = model.clone();
        let graph = cut.graph.as_mut().unwrap();
        let last = graph.node.pop().unwrap();
        assert_eq!(last.op_type, "DequantizeLinear");
        graph.output[0].name.clone_from(&last.input[0]);
        let mut whole = fuse(model).unwrap();
        for kernels in kernels::available() {
            let mut net = understand(cut.clone())
                .unwrap()
                .plan_with(2, kernels)
                .unwrap();
            for picture in pictures.chunks_exact(3 * 32 * 32) {
                assert!(net.set_f32(picture, Layout::Nchw) && whole.set_f32(picture, Layout::Nchw));
                assert_eq!(net.run(), whole.run(), "{name} on {}", kernels.name());
            }
        }
    }
}

#[test]
fn threads_do_not_change_float_scores() {
    let Some(model) = model("mobilenetv2-1.0.onnx") else {
        return;
    };
    for threads in [2, 3] {
        let mut net = understand(model.clone()).unwrap().plan(threads).unwrap();
        put_reference(&mut net, "cat");
        let difference = largest_difference(net.run(), &reference("cat", "f32"));
        assert!(difference < 1e-3, "{threads}: {difference}");
    }
}

#[test]
fn the_error_names_the_operator_that_is_not_understood() {
    let mut model = onnx(&fixture("opset7.onnx"));
    let graph = model.graph.as_mut().unwrap();
    graph.node[5].op_type = "Einsum".into();
    let failure = fuse(model).unwrap_err();
    assert_eq!(failure.op, "Einsum");
    assert!(failure.to_string().contains("no fused form"), "{failure}");
}
