//! Random networks through two executors.
//!
//! Each is lowered, then planned with every set of kernels that this machine has, for one thread and for several, and run on one
//! picture, another, and the first again: the results must match the plainest executor, all thread counts must give the same
//! bits, and nothing may be left over from the previous run. Some of them also run in tract from the original file, which catches
//! faults in lowering, and some have unknown operators between their layers, so that they are split into islands.
//!
//! ```text
//! cargo test --lib -- random_networks                                                 a few thousand, in seconds
//! EYELET_GRAPHS=1000000 cargo test --release --lib -- --ignored many_more_networks    that many
//! EYELET_GRAPH_SEED=4711 cargo test --lib -- random_networks --nocapture              only that one
//! ```

use super::coverage::Seen;
use super::near::Near;
use super::others::{alike, by_islands, by_tract, in_part, turn_by_product};
use super::random::{Limits, Network};
use super::{cases, plainest, random};
use crate::network::fused::{Understood, understand};
use crate::network::graph::{Border, Graph, Kind, Layer, Op};
use crate::network::kernels;
use crate::network::lower::{gate, merge_layers};
use crate::network::rewrite::forms;
use crate::network::run::Fused;
use crate::spec::Layout;
use fastrand::Rng;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use tract_onnx::pb::{GraphProto, ModelProto};

/// One network in this many has large activations.
const LARGE_EVERY: u64 = 50;
/// One in this many has unknown operators.
const UNKNOWN_EVERY: u64 = 8;
/// One in this many also runs in tract.
const TRACT_EVERY: u64 = 4;

fn limits(seed: u64) -> Limits {
    let unknown = seed % UNKNOWN_EVERY == 5;
    let large = seed % LARGE_EVERY == LARGE_EVERY - 1;
    let most = if large { 4 } else { 12 };
    Limits {
        turns: Rng::with_seed(!seed).usize(1..=most),
        halved: 0,
        large,
        unknown,
    }
}

#[test]
fn random_networks_are_the_same_on_every_executor() {
    if let Ok(seed) = std::env::var("EYELET_GRAPH_SEED") {
        let seed: u64 = seed.parse().expect("EYELET_GRAPH_SEED is a number");
        println!("{}", random::listing(&random::network(seed, limits(seed))));
        let mut seen = Seen::default();
        checked(seed, &mut seen).unwrap_or_else(|fault| panic!("{fault}"));
        println!("{seen}");
        return;
    }
    let count = cases(2000);
    let seen = many(0..count as u64);
    println!("{seen}");
    if count == 2000 {
        seen.check();
    }
}

#[test]
#[ignore = "as many networks as EYELET_GRAPHS says, from EYELET_GRAPHS_FROM on"]
fn many_more_networks_are_the_same_on_every_executor() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |n| n.parse().expect("a number"))
    };
    let from = number("EYELET_GRAPHS_FROM", 1_000_000);
    let seen = many(from..from + number("EYELET_GRAPHS", 100_000));
    println!("{seen}");
    seen.check();
}

/// Checks the networks of these seeds, one per processor at a time, and prints all failures.
fn many(seeds: std::ops::Range<u64>) -> Seen {
    let next = AtomicU64::new(seeds.start);
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let (seen, faults) = std::thread::scope(|scope| {
        let work = || {
            let (mut seen, mut faults) = (Seen::default(), Vec::new());
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end || faults.len() >= 5 {
                    return (seen, faults);
                }
                if let Err(fault) = checked(seed, &mut seen) {
                    println!("{fault}");
                    faults.push(fault);
                }
            }
        };
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        let mut all = (Seen::default(), Vec::new());
        for worker in workers {
            let (seen, faults) = worker.join().expect("faults are caught");
            all.0.add(seen);
            all.1.extend(faults);
        }
        all
    });
    assert!(faults.is_empty(), "{} networks differ", faults.len());
    seen
}

/// Whether tract knows all operators: it knows no Resize by sizes.
fn tract_knows(model: &ModelProto) -> bool {
    let mut nodes = model.graph.iter().flat_map(|graph| &graph.node);
    !nodes.any(|node| node.op_type == "Resize" && node.input.len() == 4)
}

/// Checks one network; the error shows the smallest form that fails, and how to run it again.
fn checked(seed: u64, seen: &mut Seen) -> Result<(), String> {
    let fault = |limits: Limits, seen: &mut Seen| {
        let network = random::network(seed, limits);
        let checked = catch_unwind(AssertUnwindSafe(|| check(&network, seed, seen)));
        checked.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&t| t.to_owned()));
            Err(format!("panicked: {}", text.unwrap_or_default()))
        })
    };
    let mut limits = limits(seed);
    let Err(mut why) = fault(limits, seen) else {
        return Ok(());
    };
    let mut try_smaller = |limits: &mut Limits, smaller: Limits| {
        let Err(also) = fault(smaller, &mut Seen::default()) else {
            return false;
        };
        (*limits, why) = (smaller, also);
        true
    };
    for turns in 0..limits.turns {
        let smaller = Limits { turns, ..limits };
        if try_smaller(&mut limits, smaller) {
            break;
        }
    }
    for halved in 1..4 {
        let smaller = Limits { halved, ..limits };
        try_smaller(&mut limits, smaller);
    }
    let network = random::network(seed, limits);
    if let Some(folder) = std::env::var_os("EYELET_GRAPH_SAVE") {
        save(&network, seed, folder.as_ref());
    }
    let lowered = understand(network.model.clone()).map_or_else(
        |why| why.to_string(),
        |understood| crate::network::fused::tests::coverage::listing(&understood.0),
    );
    let nodes = random::listing(&network);
    Err(format!(
        "EYELET_GRAPH_SEED={seed} ({limits:?}): {why}\n{nodes}\n{lowered}"
    ))
}

/// Saves a network and its picture, so that other programs can run them.
fn save(network: &Network, seed: u64, folder: &std::path::Path) {
    use prost::Message;
    let picture = picture(network, seed, 0);
    let bytes: Vec<u8> = picture.iter().flat_map(|x| x.to_le_bytes()).collect();
    let write = |end: &str, bytes: &[u8]| {
        let path = folder.join(format!("{seed}.{end}"));
        std::fs::write(path, bytes).expect("the folder can be written");
    };
    write("onnx", &network.model.encode_to_vec());
    write("f32", &bytes);
}

/// A picture in the layout of the network's own input.
pub fn picture(network: &Network, seed: u64, which: u64) -> Vec<f32> {
    let mut random = Rng::with_seed(seed ^ ((which + 1) << 40));
    let kind = random.u8(..12);
    let mut value = || match kind {
        0 => 0.0,
        1 => [-2.0, 2.0][random.usize(..2)],
        _ => random.f32() * 4.0 - 2.0,
    };
    let count = network.input.iter().product();
    let of = |x: f32| {
        if network.pixels {
            (x * 63.0 + 128.0).round()
        } else {
            x
        }
    };
    (0..count).map(|_| of(value())).collect()
}

/// The same in NHWC order.
pub fn by_pixels(network: &Network, picture: &[f32]) -> Vec<f32> {
    let [_, c, h, w] = network.input[..] else {
        unreachable!("pictures have four axes");
    };
    if network.channels_last {
        return picture.to_vec();
    }
    let pixels = h * w;
    let from = |i: usize| i % c * pixels + i / c;
    (0..picture.len()).map(|i| picture[from(i)]).collect()
}

fn graph_of(model: &ModelProto) -> &GraphProto {
    model.graph.as_ref().expect("it was made with one")
}

fn check(network: &Network, seed: u64, seen: &mut Seen) -> Result<(), String> {
    let mut model = network.model.clone();
    forms::rewrite(&mut model)?;
    let unknown = graph_of(&model).node.iter().any(|n| n.op_type == "Neg");
    // Unknown operators are replaced by known equivalents.
    let mut known = model.clone();
    if unknown {
        turn_by_product(&mut known);
    }
    let graph = match understand(known.clone()) {
        Ok(understood) => understood.0,
        Err(why) => {
            seen.refused(&why);
            return in_part(network, model, seed, seen);
        }
    };
    seen.took(graph_of(&model), &graph);
    let pictures = [0, 1].map(|which| picture(network, seed, which));
    if seed.is_multiple_of(TRACT_EVERY) || unknown {
        let want = plainest::run(&graph, &by_pixels(network, &pictures[0]), &[]);
        let want = &want[graph.exports[0].tensor.0];
        if seed.is_multiple_of(TRACT_EVERY) && tract_knows(&known) {
            let got = by_tract(network, known, &pictures[0])?;
            alike(&got, want, network.quantised).map_err(|why| format!("tract: {why}"))?;
            seen.by_tract += 1;
        }
        if unknown {
            let threads = 1 + (seed / 8 % 4) as usize;
            let got = by_islands(network, model, &pictures[0], threads)?;
            if let Some(got) = got {
                alike(&got, want, network.quantised).map_err(|why| format!("islands: {why}"))?;
                seen.by_islands += 1;
            }
        }
    }
    let pictures = pictures.map(|p| by_pixels(network, &p));
    by_every_plan(graph, &pictures, seed, seen)
}

/// The fast plan with all kernels and several thread counts against the plainest executor.
fn by_every_plan(
    mut graph: Graph,
    pictures: &[Vec<f32>; 2],
    seed: u64,
    seen: &mut Seen,
) -> Result<(), String> {
    let mut random = Rng::with_seed(seed ^ 77);
    if random.u8(..3) == 0 {
        take_more_out(&mut graph, &mut random);
    }
    let mut merged = graph.clone();
    merge_layers(&mut merged);
    let wanted = pictures.each_ref().map(|picture| {
        let mut all = plainest::run(&merged, picture, &[]);
        let exports = graph.exports.iter();
        exports
            .map(|e| std::mem::take(&mut all[e.tensor.0]))
            .collect::<Vec<_>>()
    });
    let rounds = |l: &Layer| matches!(l.op, Op::Quantise | Op::DynamicQuantise);
    if merged.layers.len() < graph.layers.len() && !graph.layers.iter().any(rounds) {
        let apart = plainest::run(&graph, &pictures[0], &[]);
        for (export, merged) in graph.exports.iter().zip(&wanted[0]) {
            let apart: Vec<f32> = apart[export.tensor.0].iter().map(|x| x.is).collect();
            alike(&apart, merged, false).map_err(|why| format!("merged layers: {why}"))?;
        }
    }
    // Between bytes nothing may change.
    let mut gates = graph.clone();
    gate::merge(&mut gates);
    if graph.layers.iter().any(|l| l.op == Op::Quantise) {
        let apart = plainest::run(&gates, &pictures[0], &[]);
        for (export, merged) in graph.exports.iter().zip(&wanted[0]) {
            let apart = apart[export.tensor.0].iter();
            let same = |(a, b): (&Near, &Near)| a.is == b.is || a.is.is_nan() && b.is.is_nan();
            if !apart.zip(merged).all(same) {
                return Err("merged layers, chains of bytes differ".into());
            }
        }
    }
    seen.compared(&wanted[0]);
    let available = kernels::available();
    // One of them also runs on several threads.
    let teamed = random.usize(..available.len());
    for (i, kernels) in available.into_iter().enumerate() {
        let mut first: Option<Vec<Vec<f32>>> = None;
        // The reference kernels are slow, and a run leaves nothing behind in them.
        let reference = kernels.name().starts_with("reference");
        for threads in [1, random.usize(2..5)] {
            if threads > 1 && i != teamed {
                continue;
            }
            let in_case = |why: String| format!("{} x {threads}: {why}", kernels.name());
            let planned = Understood(graph.clone()).plan_with(threads, kernels);
            let mut net = planned.map_err(|why| in_case(why.to_string()))?;
            seen.planned(&net);
            let runs: &[usize] = if reference { &[0] } else { &[0, 1, 0] };
            for &which in runs {
                let got = outputs(&mut net, &graph, &pictures[which]);
                compare(&got, &wanted[which]).map_err(in_case)?;
                if which == 0 {
                    let first = first.get_or_insert_with(|| got.clone());
                    same_bits(first, &got).map_err(in_case)?;
                }
            }
        }
    }
    Ok(())
}

/// Exports some intermediate values too.
fn take_more_out(graph: &mut Graph, random: &mut Rng) {
    let floats = graph.layers.iter().filter(|l| {
        let kind = graph.tensors[l.output.0].kind;
        kind == Kind::F32 && !matches!(l.op, Op::Extremes | Op::Constant(_))
    });
    let tensors: Vec<_> = floats.map(|l| l.output).collect();
    for _ in 0..random.usize(1..4) {
        let tensor = tensors.get(random.usize(..tensors.len().max(1)));
        let Some(&tensor) = tensor.filter(|&&t| graph.exports.iter().all(|e| e.tensor != t)) else {
            continue;
        };
        let border = Border {
            name: format!("more {}", tensor.0),
            tensor,
            channels_first: random.bool(),
            segment: 0,
        };
        graph.exports.insert(0, border);
    }
}

/// All results of a run, in NHWC order.
fn outputs(net: &mut Fused, graph: &Graph, picture: &[f32]) -> Vec<Vec<f32>> {
    assert!(
        net.set_f32(picture, Layout::Nhwc),
        "its input has another length"
    );
    let shapes = graph
        .exports
        .iter()
        .map(|e| (e, graph.tensors[e.tensor.0].shape));
    let mut results: Vec<Vec<f32>> = shapes
        .clone()
        .map(|(_, s)| vec![f32::NAN; s.volume()])
        .collect();
    let mut slices: Vec<&mut [f32]> = results.iter_mut().map(Vec::as_mut_slice).collect();
    net.run_segment(0, &[], &mut slices);
    for ((export, shape), values) in shapes.zip(&mut results) {
        if export.channels_first {
            let from = |i: usize| i % shape.c * shape.pixels() + i / shape.c;
            *values = (0..values.len()).map(|i| values[from(i)]).collect();
        }
    }
    results
}

fn compare(got: &[Vec<f32>], want: &[Vec<Near>]) -> Result<(), String> {
    for (result, (got, want)) in got.iter().zip(want).enumerate() {
        let wrong = got
            .iter()
            .zip(want)
            .position(|(&got, want)| !want.takes(got));
        if let Some(i) = wrong {
            let count = got.iter().zip(want).filter(|&(&g, w)| !w.takes(g)).count();
            return Err(format!(
                "value {i} of result {result} is {} instead of {:?}; {count} of {} are wrong",
                got[i],
                want[i],
                got.len()
            ));
        }
    }
    Ok(())
}

fn same_bits(first: &[Vec<f32>], again: &[Vec<f32>]) -> Result<(), String> {
    let bits =
        |all: &[Vec<f32>]| -> Vec<u32> { all.iter().flatten().map(|x| x.to_bits()).collect() };
    let (first, again) = (bits(first), bits(again));
    match first.iter().zip(&again).position(|(a, b)| a != b) {
        Some(i) => Err(format!(
            "value {i} differs from the first run, or from one thread: {} and {}",
            f32::from_bits(first[i]),
            f32::from_bits(again[i])
        )),
        None => Ok(()),
    }
}
