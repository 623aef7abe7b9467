//! Tests that steps do what they declare: each runs on memory full of canaries.

use super::*;
use crate::network::kernels::half_values;
use crate::network::run::arena;
use crate::network::run::offset::Worker;
use fastrand::Rng;

/// Bytes that a thread may write by its declaration: its part of the results, and its own memory.
fn may_write(planned: &Planned, touches: &Touches, id: usize) -> (Vec<bool>, Vec<bool>) {
    let bytes = planned.plan.arena_bytes;
    let (mut results, mut own) = (vec![false; bytes], vec![false; bytes]);
    for write in &touches.writes {
        for place in write.parts[id].clone() {
            let mut at = write.at;
            let mut rest = place;
            for &(count, stride) in write.shared.iter().rev() {
                at += rest % count * stride;
                rest /= count;
            }
            mark(&mut results, at, &write.each, write.unit);
        }
    }
    if touches.scratch_bytes > 0 {
        let scratch = planned.plan.scratch;
        let at = scratch.at.byte() + id * scratch.bytes_per_thread;
        own[at..at + touches.scratch_bytes as usize].fill(true);
    }
    for own_memory in &touches.own {
        let at = (own_memory.at + id as u64 * own_memory.pitch) as usize;
        own[at..at + own_memory.bytes as usize].fill(true);
    }
    (results, own)
}

/// Marks the pieces of a grid.
fn mark(bytes: &mut [bool], at: u64, dims: &[(u64, u64)], unit: u64) {
    match dims.split_first() {
        None => bytes[at as usize..(at + unit) as usize].fill(true),
        Some((&(count, stride), within)) => {
            for place in 0..count {
                mark(bytes, at + place * stride, within, unit);
            }
        }
    }
}

/// Runs one thread's share of a step.
fn run(planned: &Planned, step: usize, arena: &mut Aligned, id: usize) {
    let worker: Worker = planned.plan.worker(arena.as_mut_ptr(), id, planned.team);
    // SAFETY: the plan is verified, and the threads run one after the other.
    unsafe { planned.plan.steps[step].work.run(planned.kernels, &worker) };
}

/// Runs a verified plan step by step and thread by thread: each step writes only what it declares, writes all of its results, and
/// depends only on what it declares to read.
pub(super) fn check(planned: &mut Planned, random: &mut Rng, name: &str) {
    let mut arena = arena(&mut planned.plan).unwrap();
    let input = planned.graph.input.as_ref();
    if let Some((input, at)) = input.zip(planned.plan.input_offset) {
        let tensor = planned.graph.tensors[input.tensor.0].clone();
        put(&mut arena, at, &tensor, random);
    }
    for segment in 0..planned.plan.segments.len() {
        for port in planned.plan.segments[segment].imports.clone() {
            let (shape, kind) = (port.shape, Kind::F32);
            let tensor = crate::network::graph::Tensor { shape, kind };
            put(&mut arena, port.offset, &tensor, random);
        }
        for step in planned.plan.segments[segment].steps.clone() {
            check_step(planned, step, &mut arena, random, name);
        }
    }
}

/// Fills a tensor with random values.
fn put(arena: &mut Aligned, at: Offset, tensor: &crate::network::graph::Tensor, random: &mut Rng) {
    let bytes = &mut arena.bytes_mut()[at.byte()..][..tensor.bytes()];
    match tensor.kind {
        Kind::Q8(_) => bytes.fill_with(|| random.u8(..)),
        Kind::F16 => {
            for value in bytes.as_chunks_mut().0 {
                *value = half_values::of_f32(random.f32() * 4.0 - 2.0).to_ne_bytes();
            }
        }
        Kind::F32 => {
            for value in bytes.as_chunks_mut().0 {
                *value = (random.f32() * 4.0 - 2.0).to_ne_bytes();
            }
        }
    }
}

fn check_step(planned: &Planned, step: usize, arena: &mut Aligned, random: &mut Rng, name: &str) {
    let work = &planned.plan.steps[step].work;
    let touches = work.touches(planned.team);
    let place = |id: usize| {
        format!(
            "{name} on {}, step {step} ({}), thread {id} of {}",
            planned.kernels.name(),
            work.name(),
            planned.team
        )
    };
    let bytes = planned.plan.arena_bytes;
    for id in 0..planned.team {
        let (results, own) = may_write(planned, &touches, id);
        let before = arena.clone();
        // The same inputs among other canaries, also where the results will be.
        let mut other = arena.clone();
        random.fill(other.bytes_mut());
        for read in &touches.reads {
            let read = read.at as usize..(read.at + read.bytes) as usize;
            other.bytes_mut()[read.clone()].copy_from_slice(&arena.bytes()[read]);
        }
        let painted = other.clone();
        run(planned, step, arena, id);
        run(planned, step, &mut other, id);
        let memories = [
            arena.bytes(),
            other.bytes(),
            before.bytes(),
            painted.bytes(),
        ];
        for i in 0..bytes {
            let [now, other, before, painted] = memories.map(|memory| memory[i]);
            if results[i] {
                assert_eq!(
                    now,
                    other,
                    "{}: byte {i} depends on undeclared input, or is not written",
                    place(id)
                );
            } else if !own[i] {
                let same = now == before && other == painted;
                assert!(same, "{}: byte {i} is written", place(id));
            }
        }
    }
}

#[test]
fn steps_do_what_they_declare() {
    let mut random = Rng::with_seed(3);
    let all = all();
    let every = all.len().div_ceil(cases(all.len()));
    let (mut verified, mut checked) = (0, 0);
    for (i, (name, graph)) in all.into_iter().enumerate().step_by(every) {
        for (k, kernels) in available().into_iter().enumerate() {
            let mut planned = Planned::new(&graph, kernels, [1, 2, 3, 4][(i + k) % 4]);
            planned.verify().unwrap();
            verified += 1;
            if planned.plan.arena_bytes < 1 << 20 {
                check(&mut planned, &mut random, &name);
                checked += 1;
            }
        }
    }
    assert!(
        checked * 10 > verified * 9,
        "only {checked} of {verified} plans are small enough"
    );
}
