//! Plans with any one number changed at random: rejected, or harmless.

use super::networks::{block, forked};
use super::*;
use crate::network::graph::resize::Resize;
use crate::network::graph::{Shape, Window};
use crate::network::run::steps::{Block, ConvStep, DepthwiseStep, Front};
use fastrand::Rng;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Called on each number.
type Visit<'a> = &'a mut dyn FnMut(&mut usize);

fn of_shape(of: &mut Shape, visit: Visit<'_>) {
    let [mut h, mut w, mut c] = [of.h, of.w, of.c];
    [&mut h, &mut w, &mut c].into_iter().for_each(visit);
    if let Ok(changed) = Shape::new(h, w, c) {
        *of = changed;
    }
}

fn of_window(w: &mut Window, visit: Visit<'_>) {
    let sides = [&mut w.kh, &mut w.kw, &mut w.sh, &mut w.sw, &mut w.dh];
    let pads = [&mut w.dw, &mut w.top, &mut w.left, &mut w.bottom];
    let all = sides.into_iter().chain(pads).chain([&mut w.right]);
    all.for_each(visit);
}

fn of_front(f: &mut Front, visit: Visit<'_>) {
    let pitches = [&mut f.row_pitch, &mut f.pixel_pitch, &mut f.group_pitch];
    pitches.into_iter().for_each(visit);
}

fn of_conv(c: &mut ConvStep, visit: Visit<'_>) {
    of_front(&mut c.front, visit);
    let sizes = [&mut c.rows, &mut c.columns, &mut c.y_pixel, &mut c.y_group];
    sizes.into_iter().for_each(visit);
}

fn of_depthwise(d: &mut DepthwiseStep, visit: Visit<'_>) {
    let sizes = [&mut d.h_in, &mut d.row_bytes, &mut d.rows, &mut d.y_row];
    sizes.into_iter().for_each(&mut *visit);
    visit(&mut d.channels);
    of_window(&mut d.window, visit);
}

fn of_block(b: &mut Block, visit: Visit<'_>) {
    let sizes = [&mut b.h_in, &mut b.w_in, &mut b.row_bytes, &mut b.rows];
    sizes.into_iter().for_each(&mut *visit);
    let sizes = [&mut b.dw_row, &mut b.dw_pixel, &mut b.band_rows];
    sizes.into_iter().for_each(&mut *visit);
    let sizes = [&mut b.channels, &mut b.y_row, &mut b.y_pixel];
    sizes.into_iter().for_each(&mut *visit);
    visit(&mut b.columns);
    for slots in b.ring.iter_mut().chain(&mut b.band) {
        visit(&mut slots.pitch);
    }
    if let Some((f, _)) = &mut b.front {
        of_front(f, visit);
    }
    of_window(&mut b.window, visit);
}

/// All numbers of a step that say where it works or on how much.
fn numbers(work: &mut Work, visit: Visit<'_>) {
    let places = work.places().into_iter();
    places.for_each(|place| visit(place.byte_mut()));
    match work {
        Work::Pad(p) => {
            visit(&mut p.elem);
            of_shape(&mut p.shape, visit);
            of_window(&mut p.window, visit);
        }
        Work::Conv(c) => of_conv(c, visit),
        Work::DynamicConv(d) => of_conv(&mut d.conv, visit),
        Work::Depthwise(d) => of_depthwise(d, visit),
        Work::DynamicDepthwise(d) => of_depthwise(&mut d.conv, visit),
        Work::Block(b) => of_block(b, visit),
        Work::Sum(s) => {
            visit(&mut s.len);
            visit(&mut s.period);
        }
        Work::Average(a) => {
            of_shape(&mut a.input, visit);
            of_shape(&mut a.output, visit);
            of_window(&mut a.window, visit);
        }
        Work::Max(m) => {
            of_shape(&mut m.pool.input, visit);
            of_shape(&mut m.pool.output, visit);
            of_window(&mut m.pool.window, visit);
        }
        Work::Affine(a) => visit(&mut a.pixels),
        Work::Slopes(s) => visit(&mut s.pixels),
        Work::Norm(n) => visit(&mut n.pixels),
        Work::Lrn(n) => [&mut n.pixels, &mut n.c].into_iter().for_each(visit),
        Work::Resize(r) => {
            visit(&mut r.elem);
            of_shape(&mut r.input, visit);
            of_shape(&mut r.output, visit);
            match &mut r.of {
                Resize::Nearest { rows, columns } => {
                    rows.iter_mut().chain(columns).for_each(visit);
                }
                Resize::Linear { rows, columns } => {
                    let all = rows.iter_mut().chain(columns);
                    let all = all.flat_map(|b| [&mut b.first, &mut b.second]);
                    all.for_each(visit);
                }
            }
        }
        Work::Softmax(s) => [&mut s.pixels, &mut s.c].into_iter().for_each(visit),
        Work::Pick(p) => {
            let sizes = [&mut p.pixels, &mut p.x_pixel];
            sizes.into_iter().for_each(&mut *visit);
            let runs = p.runs.iter_mut().flat_map(|r| [&mut r.0, &mut r.1]);
            runs.for_each(visit);
        }
        Work::Map(m) => visit(&mut m.pixels),
        Work::Function(f) => visit(&mut f.len),
        Work::Quantise(q) => visit(&mut q.len),
        Work::Dequantise(d) => visit(&mut d.len),
        Work::Extremes(e) => visit(&mut e.len),
        Work::DynamicQuantise(r) => visit(&mut r.len),
        Work::Concat(c) => {
            visit(&mut c.pixels);
            c.parts.iter_mut().for_each(|p| visit(&mut p.1));
        }
        Work::ChannelsFirst(c) => of_shape(&mut c.shape, visit),
        Work::Move(_) | Work::Product(_) => {}
    }
}

/// The numbers of a plan, apart from those of its steps.
fn other_numbers(plan: &mut Plan, visit: Visit<'_>) {
    let ports = plan.segments.iter_mut();
    for port in ports.flat_map(|s| s.imports.iter_mut().chain(&mut s.exports)) {
        visit(port.offset.byte_mut());
        of_shape(&mut port.shape, visit);
    }
    for segment in &mut plan.segments {
        visit(&mut segment.steps.start);
        visit(&mut segment.steps.end);
    }
    if let Some(at) = &mut plan.input_offset {
        visit(at.byte_mut());
    }
    for fill in &mut plan.fills {
        visit(fill.at.byte_mut());
        visit(&mut fill.bytes);
    }
    for constant in &mut plan.constants {
        visit(constant.0.byte_mut());
    }
    visit(plan.scratch.at.byte_mut());
    visit(&mut plan.scratch.bytes_per_thread);
    visit(&mut plan.arena_bytes);
}

/// Changes one number of a plan.
fn change(planned: &mut Planned, random: &mut Rng) -> String {
    let plan = &mut planned.plan;
    let step = random.usize(..plan.steps.len() + 1);
    let mut each = |visit: Visit<'_>| match plan.steps.get_mut(step) {
        Some(step) => numbers(&mut step.work, visit),
        None => other_numbers(plan, visit),
    };
    let mut count = 0;
    each(&mut |_| count += 1);
    let (chosen, kind) = (random.usize(..count), random.u8(..12));
    let (mut at, mut what) = (0, String::new());
    each(&mut |value| {
        if at == chosen {
            let old = *value;
            *value = match kind {
                0 | 1 => old.wrapping_add(1),
                2 | 3 => old.saturating_sub(1),
                4 => old.wrapping_add(4),
                5 => old.wrapping_add(64),
                6 => old.saturating_sub(64),
                7 => 0,
                8 => old.wrapping_mul(2),
                9 => usize::MAX / 2 - random.usize(..100),
                10 => usize::MAX - random.usize(..100),
                _ => random.usize(..4096) & !3,
            };
            what = format!("step {step}, number {chosen} of {count}: {old} is now {value}");
        }
        at += 1;
    });
    what
}

#[test]
fn a_changed_plan_is_refused_or_harmless() {
    let mut random = Rng::with_seed(21);
    let networks: Vec<Graph> = (0..80)
        .map(networks::random)
        .chain((0..6).map(block))
        .chain((0..2).map(forked))
        .collect();
    let (mut refused, mut harmless) = (0, 0);
    let mut harmful = Vec::new();
    let all = available();
    let turns = cases(6000);
    for turn in 0..turns {
        let graph = &networks[random.usize(..networks.len())];
        let kernels = all[random.usize(..all.len())];
        let mut planned = Planned::new(graph, kernels, random.usize(1..=4));
        let what = change(&mut planned, &mut random);
        if planned.verify().is_err() {
            refused += 1;
            continue;
        }
        harmless += 1;
        // An arena that has become huge is only large, not unsafe.
        if planned.plan.arena_bytes < 1 << 18 && harmless % 4 == 0 {
            let name = format!("turn {turn}: {what}");
            let run = || reality::check(&mut planned, &mut random, &name);
            if catch_unwind(AssertUnwindSafe(run)).is_err() {
                harmful.push(name);
            }
        }
    }
    println!("{refused} refused, {harmless} harmless");
    assert!(harmful.is_empty(), "{}", harmful.join("\n"));
    assert!(refused > turns / 2 && harmless > turns / 60);
}
