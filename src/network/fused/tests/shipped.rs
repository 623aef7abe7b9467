//! The shipped network with every set of kernels that this machine has, on 1 to 3 threads, and with the plainest executor: all
//! must give ONNX Runtime's scores of the shipped photos, bit for bit (`models/efficientnet-lite0/reference.py`).

use super::{cases, floats_of, onnx, plainest, put_photo};
use crate::network::fused::{fuse, understand};
use crate::network::kernels;
use crate::network::rewrite::forms;
use crate::spec::{Dtype, InputSpec, Layout};
use std::path::{Path, PathBuf};
use tract_onnx::pb::ModelProto;

const PHOTOS: [&str; 4] = ["cat", "espresso", "rocket", "tripod"];

fn file(name: &str) -> PathBuf {
    Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/models/efficientnet-lite0"
    ))
    .join(name)
}

fn model() -> ModelProto {
    let mut model = onnx(&file("efficientnet-lite0-int8.onnx"));
    forms::rewrite(&mut model).unwrap();
    model
}

/// The input that its `model.toml` states.
fn input() -> InputSpec {
    InputSpec {
        scale: 1.0,
        mean: [127.0; 3],
        std: [128.0; 3],
        ..InputSpec::imagenet(Layout::Nchw, Dtype::F32, 224, 224)
    }
}

/// The network's RGB input for a photo, and its scores.
fn reference(photo: &str) -> (Vec<u8>, Vec<f32>) {
    let crop = image::open(file(&format!("reference/{photo}.png"))).unwrap();
    let scores = floats_of(&file(&format!("reference/{photo}.logits.f32")));
    (crop.to_rgb8().into_raw(), scores)
}

/// The same as values of the ONNX input, but in NHWC order.
fn values(rgb: &[u8]) -> Vec<f32> {
    rgb.iter()
        .map(|&p| (f32::from(p) - 127.0) / 128.0)
        .collect()
}

#[test]
fn every_kernel_and_thread_count_gives_the_scores_of_onnx_runtime() {
    let model = model();
    let references = PHOTOS.map(reference);
    for kernels in kernels::available() {
        // The reference kernels are slow.
        let is_reference = kernels.name().starts_with("reference");
        let photos = if is_reference { 1 } else { cases(PHOTOS.len()) };
        // And on an emulated processor they take minutes.
        let most_threads = if is_reference { cases(3) } else { 3 };
        for threads in 1..=most_threads {
            let understood = understand(model.clone()).unwrap();
            let mut net = understood.plan_with(threads, kernels).unwrap();
            // The first once more at the end: a run leaves nothing behind for the next one.
            for at in (0..photos).chain([0]) {
                let (rgb, scores) = &references[at];
                put_photo(&mut net, rgb, &input());
                let case = format!("{} on {} x {threads}", PHOTOS[at], kernels.name());
                assert!(net.run() == scores, "{case}");
            }
        }
    }
}

#[test]
fn the_plainest_executor_gives_the_scores_of_onnx_runtime() {
    if cases(2) < 2 {
        println!("skipped: it knows no processor, and takes minutes on an emulated one");
        return;
    }
    let graph = understand(model()).unwrap().0;
    let (rgb, scores) = reference(PHOTOS[0]);
    let all = plainest::run(&graph, &values(&rgb), &[]);
    let got = &all[graph.exports[0].tensor.0];
    let wrong = got
        .iter()
        .zip(&scores)
        .filter(|(got, score)| got.is != **score);
    assert_eq!((got.len(), wrong.count()), (scores.len(), 0));
}

#[test]
fn a_plain_tensor_goes_in_too() {
    let mut net = fuse(model()).unwrap();
    let (rgb, scores) = reference(PHOTOS[1]);
    let values = values(&rgb);
    assert!(net.set_f32(&values, Layout::Nhwc));
    assert!(net.run() == scores, "by pixels");
    let pixels = 224 * 224;
    let nchw: Vec<f32> = (0..values.len())
        .map(|i| values[i % pixels * 3 + i / pixels])
        .collect();
    assert!(net.set_f32(&nchw, Layout::Nchw));
    assert!(net.run() == scores, "by channels");
    assert!(!net.set_f32(&nchw[1..], Layout::Nchw));
}
