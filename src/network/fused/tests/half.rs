//! Networks in half precision: random ones against the plainest executor, and MobileNet v2's photos against single precision.

use super::near::Near;
use super::random::{self, Limits};
use super::{PHOTOS, cases, compare, largest_difference, model, plainest, put_reference, top};
use crate::network::fused::{Merged, Understood, understand};
use crate::network::graph::{Graph, Kind};
use crate::network::kernels::{self, Kernels};
use crate::network::lower::gate;
use crate::network::rewrite::forms;
use crate::spec::Layout;

/// The best kernels with loops for half precision: on a CPU that does not compute in it the reference.
fn computes_half() -> &'static dyn Kernels {
    let mut all = kernels::available().into_iter();
    all.find(|k| k.half().is_some()).unwrap()
}

/// Whether a value in half precision is as near as its rounding allows: [`Near`] says how far rounding to single precision can lead.
fn takes(want: &Near, got: f32) -> bool {
    let ratio = 2.0 / (f32::EPSILON * 1024.0);
    let off = 2.0 * ratio * want.off + 0.01 * (1.0 + want.is.abs());
    (got - want.is).abs() <= off || want.is.abs() + off > 30_000.0 || !off.is_finite()
}

/// Whether no value comes near the largest of half precision.
fn fits(all: &[Vec<Near>]) -> bool {
    all.iter().flatten().all(|value| value.is.abs() < 10_000.0)
}

/// Runs one random network; whether it runs in half precision.
fn check(seed: u64) -> bool {
    let limits = Limits {
        turns: 1 + seed as usize % 8,
        halved: 0,
        large: seed % 50 == 49,
        unknown: false,
    };
    let network = random::network(seed, limits);
    let mut proto = network.model.clone();
    if forms::rewrite(&mut proto).is_err() {
        return false;
    }
    let Ok(Understood(mut graph)) = understand(proto) else {
        return false;
    };
    gate::merge(&mut graph);
    let Ok(half) = Understood(graph.clone()).in_half() else {
        return false;
    };
    let picture = compare::by_pixels(&network, &compare::picture(&network, seed, 0));
    let want = plainest::run(&graph, &picture, &[]);
    if !fits(&want) {
        return false;
    }
    let want = &want[graph.exports[0].tensor.0];
    let mut first: Option<Vec<f32>> = None;
    for threads in [1, 3] {
        let planned = Merged(half.0.clone()).plan_with(threads, computes_half());
        let mut net = planned.unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        assert!(net.set_f32(&picture, Layout::Nhwc));
        let got = net.run().to_vec();
        let wrong = got
            .iter()
            .zip(want)
            .position(|(&got, want)| !takes(want, got));
        if let Some(at) = wrong {
            panic!(
                "seed {seed}: value {at} is {} instead of {:?}",
                got[at], want[at]
            );
        }
        let first = first.get_or_insert_with(|| got.clone());
        let same = first
            .iter()
            .zip(&got)
            .all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same, "seed {seed}: {threads} threads change the result");
    }
    true
}

#[test]
fn random_networks_in_half_precision_are_near_the_plainest_executor() {
    let count = cases(1500);
    let ran = (0..count as u64).filter(|&seed| check(seed)).count();
    assert!(
        ran > count / 20,
        "only {ran} of {count} ran in half precision"
    );
}

fn kinds(graph: &Graph, kind: Kind) -> usize {
    graph.tensors.iter().filter(|t| t.kind == kind).count()
}

#[test]
fn a_network_in_half_precision_has_the_classes_and_nearly_the_probabilities_of_single() {
    let Some(model) = model("mobilenetv2-1.0.onnx") else {
        return;
    };
    let mut single = understand(model.clone()).unwrap().plan(1).unwrap();
    let half = understand(model).unwrap().in_half().unwrap();
    // The picture and the scores; the tensors before and after them; all others are of half precision.
    assert_eq!(kinds(&half.0, Kind::F32), 2);
    let mut half = half.plan_with(1, computes_half()).unwrap();
    assert!(
        half.arena_bytes() * 10 <= single.arena_bytes() * 7,
        "{}",
        half.arena_bytes()
    );
    let probabilities = |scores: &[f32]| -> Vec<f32> {
        let most = scores.iter().fold(f32::MIN, |a, b| a.max(*b));
        let all: Vec<f32> = scores.iter().map(|s| (s - most).exp()).collect();
        let sum: f32 = all.iter().sum();
        all.iter().map(|e| e / sum).collect()
    };
    let mut largest = 0f32;
    for photo in PHOTOS.into_iter().take(cases(PHOTOS.len())) {
        put_reference(&mut single, photo);
        put_reference(&mut half, photo);
        let (single, half) = (probabilities(single.run()), probabilities(half.run()));
        assert_eq!(top(&single), top(&half), "{photo}");
        let difference = largest_difference(&single, &half);
        assert!(difference < 0.02, "{photo}: {difference}");
        largest = largest.max(difference);
    }
    println!("the largest difference of a probability is {largest}");
}
