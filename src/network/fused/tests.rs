//! The fast plan against ONNX Runtime's stored scores, and against itself on other kernels and thread counts.
#![allow(clippy::unwrap_used)]

mod compare;
mod coverage;
mod found;
pub(crate) mod near;
mod others;
pub(crate) mod plainest;
mod random;

use super::*;
use crate::spec::{Dtype, InputSpec, Layout, Table};
use prost::Message;
use std::path::PathBuf;

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

fn shared() -> Option<PathBuf> {
    let dir = std::env::var_os("EYELET_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")),
        PathBuf::from,
    );
    if dir.join("reference").is_dir() {
        return Some(dir);
    }
    println!(
        "skipped: no reference models ({} is missing)",
        dir.display()
    );
    None
}

/// Of so many cases those that are run: all, or a few where another processor is emulated, which takes a hundred times as long.
pub(crate) fn cases(count: usize) -> usize {
    let runner = format!(
        "CARGO_TARGET_{}_UNKNOWN_LINUX_GNU_RUNNER",
        std::env::consts::ARCH.to_uppercase()
    );
    let emulated = cfg!(not(target_arch = "x86_64")) && std::env::var_os(runner).is_some();
    if emulated { count.div_ceil(40) } else { count }
}

pub(crate) fn model(name: &str) -> Option<ModelProto> {
    let file = shared()?.join("models").join(name);
    Some(ModelProto::decode(&std::fs::read(file).unwrap()[..]).unwrap())
}

fn zoo_input() -> InputSpec {
    InputSpec::imagenet(Layout::Nchw, Dtype::F32, 224, 224)
}

fn put_photo(net: &mut Fused, photo: &str) {
    let file = shared().unwrap().join(format!("reference/{photo}.224.png"));
    let rgb = image::open(file).unwrap().to_rgb8();
    let tables = net.input_encoding(&zoo_input()).table;
    let pixels = rgb.as_raw().iter().enumerate();
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
    let bytes = std::fs::read(file).unwrap();
    bytes
        .chunks_exact(4)
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
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[test]
fn float_scores_are_onnx_runtimes() {
    let Some(model) = model("mobilenetv2-1.0.onnx") else {
        return;
    };
    let mut net = fuse(model).unwrap();
    for photo in PHOTOS {
        put_photo(&mut net, photo);
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
        put_photo(&mut net, photo);
        assert_eq!(net.run(), reference(photo, "qop"), "{photo}");
    }
}

/// ONNX Runtime runs 15 of this file's convolutions in float, so its scores differ by up to 5 steps from its own scores of the
/// QLinear form of the same network; ours are those of the QLinear form to the bit.
#[test]
fn qdq_scores_are_those_of_the_qlinear_form() {
    let Some(model) = model("mobilenetv2-1.0-qdq.onnx") else {
        return;
    };
    let mut net = fuse(model).unwrap();
    for photo in PHOTOS {
        put_photo(&mut net, photo);
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
fn every_kernel_and_thread_count_gives_the_same_bits() {
    let Some(model) = model("mobilenetv2-1.0-qdq.onnx") else {
        return;
    };
    let mut first: Option<Vec<f32>> = None;
    for kernels in kernels::available() {
        for threads in [1, 2, 3] {
            if threads == 2 && kernels.name().starts_with("reference") {
                continue;
            }
            let mut net = understand(model.clone())
                .unwrap()
                .plan_with(threads, kernels)
                .unwrap();
            put_photo(&mut net, "macaw");
            net.run();
            let again = net.run().to_vec();
            let first = first.get_or_insert_with(|| again.clone());
            assert_eq!(&again, first, "{} x {threads}", kernels.name());
        }
    }
}

#[test]
fn dynamic_scores_are_onnx_runtimes_to_the_bit_with_every_kernel_and_thread_count() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"));
    let floats = |name: &str| -> Vec<f32> {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        let values = bytes.chunks_exact(4);
        values
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    };
    let pictures = floats("nchw.input.f32");
    for name in ["dynamic-fork", "dynamic-zero-points"] {
        let file = std::fs::read(folder.join(format!("{name}.onnx"))).unwrap();
        let model = ModelProto::decode(&file[..]).unwrap();
        let scores = floats(&format!("{name}.output.f32"));
        for kernels in kernels::available() {
            for threads in [1, 2, 3] {
                let understood = understand(model.clone()).unwrap();
                let mut net = understood.plan_with(threads, kernels).unwrap();
                let runs = pictures.chunks_exact(3 * 32 * 32).zip(scores.chunks(10));
                // Again and again: a run leaves nothing to the next one.
                for (picture, scores) in runs.clone().chain(runs) {
                    assert!(net.set_f32(picture, Layout::Nchw));
                    let told = format!("{name} on {} x {threads}", kernels.name());
                    assert_eq!(net.run(), scores, "{told}");
                }
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
        put_photo(&mut net, "cat");
        let difference = largest_difference(net.run(), &reference("cat", "f32"));
        assert!(difference < 1e-3, "{threads}: {difference}");
    }
}

#[test]
fn a_plain_tensor_goes_in_too() {
    let Some(model) = model("mobilenetv2-1.0-qdq.onnx") else {
        return;
    };
    let mut net = fuse(model).unwrap();
    put_photo(&mut net, "cat");
    let by_tables = net.run().to_vec();
    let file = shared().unwrap().join("reference/cat.224.png");
    let rgb = image::open(file).unwrap().to_rgb8();
    let spec = zoo_input();
    let mut nchw = vec![0.0; 3 * 224 * 224];
    for (i, &p) in rgb.as_raw().iter().enumerate() {
        let c = i % 3;
        nchw[c * 224 * 224 + i / 3] = (f32::from(p) / 255.0 - spec.mean[c]) / spec.std[c];
    }
    assert!(net.set_f32(&nchw, Layout::Nchw));
    assert_eq!(net.run(), by_tables);
    assert!(!net.set_f32(&nchw[1..], Layout::Nchw));
}

#[test]
fn what_is_not_understood_is_said() {
    let Some(mut model) = model("mobilenetv2-1.0.onnx") else {
        return;
    };
    let graph = model.graph.as_mut().unwrap();
    graph.node[5].op_type = "Einsum".into();
    let failure = fuse(model).unwrap_err();
    assert_eq!(failure.op, "Einsum");
    assert!(failure.to_string().contains("no fused form"), "{failure}");
}
