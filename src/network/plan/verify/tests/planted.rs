//! Plans with planted faults: each kind is found, and a random change that is not found does no harm.

use super::networks::{block, forked, random, shape};
use super::*;
use crate::network::graph::{Shape, Tensor};
use crate::network::kernels::ConvF32;
use crate::network::run::steps::{
    AnyConv, Block, DynamicConv, DynamicDepthwise, FindExtremes, Parts, Slots,
};
use fastrand::Rng;

/// A change to a plan; `false` if it does not apply to the plan.
type Plant = fn(&mut Planned, &mut Rng) -> bool;

/// Every kind of fault, and what the error says (one of these).
const FAULTS: &[(&str, Plant, &[&str])] = &[
    (
        "an input is moved by 64",
        input_moved,
        &["hold its input", "arena of"],
    ),
    (
        "a result is moved by 64",
        result_moved,
        &[
            "hold its input",
            "elsewhere in the step",
            "must stay",
            "arena of",
        ],
    ),
    (
        "padding is moved",
        padding_moved,
        &["hold its input", "arena of"],
    ),
    (
        "padding of another byte",
        other_padding,
        &["hold its input"],
    ),
    (
        "a length is one too long",
        longer,
        &[
            "should have",
            "leave something out",
            "do not fit",
            "arena of",
        ],
    ),
    (
        "a length is one too short",
        shorter,
        &[
            "should have",
            "leave something out",
            "do not fit",
            "arena of",
        ],
    ),
    (
        "the arena ends before the last slack",
        no_slack,
        &["arena of"],
    ),
    (
        "a thread's part ends before its slack",
        old_slots,
        &["parts of a ring", "parts of a band"],
    ),
    (
        "two tensors that live together overlap",
        overlap,
        &[
            "hold its input",
            "elsewhere in the step",
            "must stay",
            "arena of",
        ],
    ),
    (
        "a tensor is in the slots of a step",
        in_slots,
        &[
            "elsewhere in the step",
            "hold its input",
            "must stay",
            "arena of",
        ],
    ),
    (
        "threads' rows overlap",
        rows_overlap,
        &["leave something out", "another size"],
    ),
    (
        "threads' pixels overlap",
        pixels_overlap,
        &["leave something out", "another size"],
    ),
    (
        "memory for too few threads",
        few_threads,
        &["too few threads"],
    ),
    (
        "a constant is overwritten",
        over_constant,
        &["must stay", "elsewhere in the step"],
    ),
    (
        "padding is overwritten",
        over_padding,
        &["must stay", "elsewhere in the step"],
    ),
    (
        "the picture is overwritten",
        over_picture,
        &["must stay", "elsewhere in the step"],
    ),
    (
        "a step reads what is not written yet",
        too_early,
        &["hold its input"],
    ),
    ("a step is left out", left_out, &["hold its input"]),
    (
        "an export is elsewhere",
        export_moved,
        &["hold its input", "arena of"],
    ),
    ("an export is larger", export_larger, &["another tensor"]),
    (
        "an import is elsewhere",
        import_moved,
        &["hold its input", "must stay", "arena of"],
    ),
    (
        "the picture is elsewhere",
        picture_moved,
        &["hold its input", "elsewhere in the step", "arena of"],
    ),
    ("floats are at odd bytes", misaligned, &["multiple of"]),
    (
        "rows of floats are an odd number of bytes apart",
        odd_rows,
        &["multiples of"],
    ),
    (
        "the scratch memory is too small",
        small_scratch,
        &["scratch memory of"],
    ),
    (
        "the scratch memory is elsewhere",
        scratch_moved,
        &[
            "elsewhere in the step",
            "must stay",
            "hold its input",
            "arena of",
        ],
    ),
    (
        "whole numbers take the place of a tensor that is read on",
        in_place,
        &["hold its input"],
    ),
    (
        "a single row is of another size",
        other_row,
        &["another size"],
    ),
    (
        "a single pixel is of another size",
        other_pixel,
        &["another size"],
    ),
    (
        "a band has more rows than the result",
        tall_bands,
        &["more than there are"],
    ),
    (
        "a result is in the slack after the last thread's part",
        in_last_slack,
        &["elsewhere in the step"],
    ),
    ("a step is in no segment", no_segment, &["its segments"]),
    (
        "a constant is no layer's",
        no_layer,
        &["a constant of no layer"],
    ),
    (
        "two imports are in one place",
        imports_overlap,
        &["elsewhere in the step"],
    ),
    (
        "a convolution waits for weights that no one lends",
        lent_weights,
        &["no weights of its own"],
    ),
];

/// A random step among those that `wanted` accepts.
fn some_step(
    planned: &mut Planned,
    random: &mut Rng,
    wanted: impl Fn(&Work) -> bool,
) -> Option<usize> {
    let steps = planned.plan.steps.iter().enumerate();
    let steps: Vec<usize> = steps
        .filter(|(_, s)| wanted(&s.work))
        .map(|s| s.0)
        .collect();
    (!steps.is_empty()).then(|| steps[random.usize(..steps.len())])
}

/// The offset of a step's result.
fn result(work: &mut Work) -> &mut Offset {
    work.places().pop().unwrap()
}

/// The tensor that a step makes.
fn output_of(planned: &Planned, step: usize) -> usize {
    planned.graph.layers[planned.plan.steps[step].layers.1]
        .output
        .0
}

/// For every tensor the one whose value it shares.
fn roots(graph: &Graph) -> Vec<usize> {
    let mut root: Vec<usize> = (0..graph.tensors.len()).collect();
    for layer in &graph.layers {
        if layer.op == Op::Reshape {
            root[layer.output.0] = root[layer.inputs[0].0];
        }
    }
    root
}

/// Whether a step reads a value.
fn reads(planned: &Planned, step: usize, root: usize) -> bool {
    let roots = roots(&planned.graph);
    let first = &planned.graph.layers[planned.plan.steps[step].layers.0];
    first.inputs.iter().any(|i| roots[i.0] == root)
}

/// Moves an offset by 64 bytes.
fn move_on(place: &mut Offset) {
    *place = *place + 64;
}

/// Moves everything at `old` to `new`.
fn replace(planned: &mut Planned, old: Offset, new: Offset) {
    let plan = &mut planned.plan;
    let steps = plan.steps.iter_mut().flat_map(|s| s.work.places());
    let ports = plan.segments.iter_mut();
    let ports = ports.flat_map(|s| s.imports.iter_mut().chain(&mut s.exports));
    let all = steps
        .chain(ports.map(|p| &mut p.offset))
        .chain(&mut plan.input_offset);
    all.filter(|place| **place == old)
        .for_each(|place| *place = new);
}

fn input_moved(planned: &mut Planned, random: &mut Rng) -> bool {
    let Some(step) = some_step(planned, random, |_| true) else {
        return false;
    };
    move_on(planned.plan.steps[step].work.places().swap_remove(0));
    true
}

fn result_moved(planned: &mut Planned, random: &mut Rng) -> bool {
    let Some(step) = some_step(planned, random, |_| true) else {
        return false;
    };
    // A step whose result has a reader.
    let root = roots(&planned.graph)[output_of(planned, step)];
    let exported = planned.graph.exports.iter().any(|e| e.tensor.0 == root);
    let read = (0..planned.plan.steps.len()).any(|s| reads(planned, s, root));
    let pads = matches!(planned.plan.steps[step].work, Work::Pad(_));
    if !exported && !read && !pads {
        return false;
    }
    move_on(result(&mut planned.plan.steps[step].work));
    true
}

fn padding_moved(planned: &mut Planned, random: &mut Rng) -> bool {
    let padded = |work: &Work| {
        matches!(
            work,
            Work::Depthwise(_) | Work::DynamicDepthwise(_) | Work::Block(_)
        )
    };
    let Some(step) = some_step(planned, random, padded) else {
        return false;
    };
    match &mut planned.plan.steps[step].work {
        Work::Depthwise(d) => move_on(&mut d.padding),
        Work::DynamicDepthwise(d) => move_on(&mut d.conv.padding),
        Work::Block(b) => move_on(&mut b.padding),
        _ => return false,
    }
    true
}

fn other_padding(planned: &mut Planned, random: &mut Rng) -> bool {
    let count = planned.plan.fills.len();
    if count == 0 {
        return false;
    }
    planned.plan.fills[random.usize(..count)].byte ^= 1;
    true
}

/// Changes the number that says how large a step's result is.
fn resize(work: &mut Work, to: fn(usize) -> usize) -> bool {
    let number = match work {
        Work::Pad(p) => return rows(&mut p.shape, to),
        Work::Average(a) => return rows(&mut a.output, to),
        Work::Max(max) => return rows(&mut max.pool.output, to),
        Work::Resize(r) => return rows(&mut r.output, to),
        Work::ChannelsFirst(c) => return rows(&mut c.shape, to),
        Work::Conv(c) | Work::DynamicConv(DynamicConv { conv: c, .. }) => {
            if c.rows == 1 {
                &mut c.columns
            } else {
                &mut c.rows
            }
        }
        Work::Depthwise(d) | Work::DynamicDepthwise(DynamicDepthwise { conv: d, .. }) => {
            &mut d.rows
        }
        Work::Block(b) => &mut b.rows,
        Work::Sum(s) => &mut s.len,
        Work::Affine(a) => &mut a.pixels,
        Work::Slopes(s) => &mut s.pixels,
        Work::Pick(p) => &mut p.pixels,
        Work::Softmax(s) => &mut s.pixels,
        Work::Norm(n) => &mut n.pixels,
        Work::Lrn(n) => &mut n.pixels,
        Work::Concat(c) => &mut c.pixels,
        Work::Map(m) => &mut m.pixels,
        Work::Function(f) => &mut f.len,
        Work::Quantise(q) => &mut q.len,
        Work::Dequantise(d) => &mut d.len,
        Work::DynamicQuantise(r) => &mut r.len,
        Work::Extremes(_) | Work::Move(_) | Work::Product(_) => return false,
    };
    *number = to(*number);
    true
}

/// Changes the rows of a shape.
fn rows(of: &mut Shape, to: fn(usize) -> usize) -> bool {
    let changed = Shape::new(to(of.h), of.w, of.c);
    changed.map(|changed| *of = changed).is_ok()
}

fn longer(planned: &mut Planned, random: &mut Rng) -> bool {
    let step = random.usize(..planned.plan.steps.len());
    resize(&mut planned.plan.steps[step].work, |n| n + 1)
}

fn shorter(planned: &mut Planned, random: &mut Rng) -> bool {
    let step = random.usize(..planned.plan.steps.len());
    resize(&mut planned.plan.steps[step].work, |n| n - 1)
}

fn no_slack(planned: &mut Planned, _: &mut Rng) -> bool {
    let touches = planned
        .plan
        .steps
        .iter()
        .map(|s| s.work.touches(planned.team));
    let reads = touches.flat_map(|t| t.reads.clone());
    let end = reads.map(|r| r.at + r.bytes + r.slack).max().unwrap_or(0);
    let less = planned.plan.arena_bytes - 64;
    let last = end > less as u64;
    planned.plan.arena_bytes = if last { less } else { planned.plan.arena_bytes };
    last
}

fn some_block<'a>(planned: &'a mut Planned, random: &mut Rng) -> Option<&'a mut Block> {
    let step = some_step(planned, random, |work| matches!(work, Work::Block(_)))?;
    match &mut planned.plan.steps[step].work {
        Work::Block(block) => Some(block),
        _ => None,
    }
}

/// A past bug: each part at a multiple of 64, with its slack in the next one.
fn old_slots(planned: &mut Planned, random: &mut Rng) -> bool {
    let team = planned.team;
    let Some(block) = some_block(planned, random) else {
        return false;
    };
    if team == 1 {
        return false;
    }
    let (ring_bytes, band_bytes) = (
        block.row_bytes * Block::ring_rows(&block.window, block.band_rows, block.h_in),
        block.dw_row * block.band_rows,
    );
    match (&mut block.ring, &mut block.band) {
        (Some(ring), _) => ring.pitch = ring_bytes.next_multiple_of(64),
        (None, Some(band)) => band.pitch = band_bytes.next_multiple_of(64),
        _ => return false,
    }
    true
}

fn overlap(planned: &mut Planned, random: &mut Rng) -> bool {
    let roots = roots(&planned.graph);
    let count = planned.plan.steps.len();
    let pads = |step: usize| matches!(planned.plan.steps[step].work, Work::Pad(_));
    let lives_after = |&(first, second): &(usize, usize)| {
        let (a, b) = (
            roots[output_of(planned, first)],
            roots[output_of(planned, second)],
        );
        let read_after = (second + 1..count).any(|step| reads(planned, step, a));
        a != b && read_after && !pads(first) && !pads(second)
    };
    let pairs = (0..count).flat_map(|second| (0..second).map(move |first| (first, second)));
    let pairs: Vec<_> = pairs.filter(lives_after).collect();
    if pairs.is_empty() {
        return false;
    }
    let (first, second) = pairs[random.usize(..pairs.len())];
    let old = *result(&mut planned.plan.steps[second].work);
    let new = *result(&mut planned.plan.steps[first].work);
    // Make room in the arena.
    planned.plan.arena_bytes += 1 << 20;
    replace(planned, old, new);
    old != new
}

fn in_slots(planned: &mut Planned, random: &mut Rng) -> bool {
    let Some(block) = some_block(planned, random) else {
        return false;
    };
    let at = [block.x, block.y, block.padding][random.usize(..3)];
    match (&mut block.ring, &mut block.band) {
        (Some(ring), _) => ring.at = at,
        (None, Some(band)) => band.at = at,
        _ => return false,
    }
    true
}

fn rows_overlap(planned: &mut Planned, random: &mut Rng) -> bool {
    let step = random.usize(..planned.plan.steps.len());
    match &mut planned.plan.steps[step].work {
        Work::Depthwise(d) | Work::DynamicDepthwise(DynamicDepthwise { conv: d, .. })
            if d.rows > 1 =>
        {
            d.y_row -= 4;
        }
        Work::Block(b) if b.rows > 1 => b.y_row -= 4,
        _ => return false,
    }
    true
}

fn pixels_overlap(planned: &mut Planned, random: &mut Rng) -> bool {
    let step = random.usize(..planned.plan.steps.len());
    let (Work::Conv(c) | Work::DynamicConv(DynamicConv { conv: c, .. })) =
        &mut planned.plan.steps[step].work
    else {
        return false;
    };
    if c.rows * c.columns > 1 && c.y_pixel > 4 {
        c.y_pixel -= 4;
    } else if c.convs.len() > 1 {
        c.y_group = 0;
    } else {
        return false;
    }
    true
}

fn few_threads(planned: &mut Planned, random: &mut Rng) -> bool {
    let products = |work: &Work| matches!(work, Work::Product(_));
    let Some(step) = some_step(planned, random, products) else {
        return false;
    };
    match &mut planned.plan.steps[step].work {
        Work::Product(p) => p.convs.pop().is_some(),
        _ => false,
    }
}

/// Moves a step's result to `at`, which must stay.
fn over(planned: &mut Planned, random: &mut Rng, at: Option<Offset>) -> bool {
    let step = random.usize(..planned.plan.steps.len());
    let Some(at) = at else { return false };
    // Make room in the arena.
    planned.plan.arena_bytes += 1 << 20;
    let work = &mut planned.plan.steps[step].work;
    // If this very step reads it, the error says that instead.
    *result(work) = at;
    true
}

fn over_constant(planned: &mut Planned, random: &mut Rng) -> bool {
    let at = planned.plan.constants.first().map(|c| c.0);
    over(planned, random, at)
}

fn over_padding(planned: &mut Planned, random: &mut Rng) -> bool {
    let at = planned.plan.fills.first().map(|f| f.at);
    over(planned, random, at)
}

fn over_picture(planned: &mut Planned, random: &mut Rng) -> bool {
    let at = planned.plan.input_offset;
    over(planned, random, at)
}

fn too_early(planned: &mut Planned, random: &mut Rng) -> bool {
    let steps = planned.plan.steps.len();
    if steps < 2 {
        return false;
    }
    let step = random.usize(..steps - 1);
    let same_segment = planned
        .plan
        .segments
        .iter()
        .any(|s| s.steps.contains(&step) && s.steps.contains(&(step + 1)));
    let root = roots(&planned.graph)[output_of(planned, step)];
    if !same_segment || !reads(planned, step + 1, root) {
        return false;
    }
    planned.plan.steps.swap(step, step + 1);
    true
}

fn left_out(planned: &mut Planned, random: &mut Rng) -> bool {
    let step = random.usize(..planned.plan.steps.len());
    let root = roots(&planned.graph)[output_of(planned, step)];
    let read = (step + 1..planned.plan.steps.len()).any(|s| reads(planned, s, root));
    if !read {
        return false;
    }
    planned.plan.steps.remove(step);
    for segment in &mut planned.plan.segments {
        let steps = &mut segment.steps;
        let before = |at: usize| if at > step { at - 1 } else { at };
        *steps = before(steps.start)..before(steps.end);
    }
    true
}

fn export_moved(planned: &mut Planned, random: &mut Rng) -> bool {
    let segment = random.usize(..planned.plan.segments.len());
    let Some(port) = planned.plan.segments[segment].exports.first_mut() else {
        return false;
    };
    move_on(&mut port.offset);
    true
}

fn export_larger(planned: &mut Planned, random: &mut Rng) -> bool {
    let segment = random.usize(..planned.plan.segments.len());
    let Some(port) = planned.plan.segments[segment].exports.first_mut() else {
        return false;
    };
    port.shape = shape(port.shape.h, port.shape.w, port.shape.c + 1);
    true
}

fn import_moved(planned: &mut Planned, random: &mut Rng) -> bool {
    let segment = random.usize(..planned.plan.segments.len());
    let Some(port) = planned.plan.segments[segment].imports.first_mut() else {
        return false;
    };
    move_on(&mut port.offset);
    true
}

fn picture_moved(planned: &mut Planned, _: &mut Rng) -> bool {
    let input = planned
        .graph
        .input
        .as_ref()
        .map(|i| roots(&planned.graph)[i.tensor.0]);
    let Some(input) = input else { return false };
    if !(0..planned.plan.steps.len()).any(|s| reads(planned, s, input)) {
        return false;
    }
    planned.plan.input_offset = planned.plan.input_offset.map(|at| at + 64);
    true
}

fn misaligned(planned: &mut Planned, random: &mut Rng) -> bool {
    let step = random.usize(..planned.plan.steps.len());
    let floats = planned.graph.tensors[output_of(planned, step)].kind == Kind::F32;
    if !floats
        || matches!(
            planned.plan.steps[step].work,
            Work::Pick(_) | Work::Concat(_)
        )
    {
        return false;
    }
    let place = *result(&mut planned.plan.steps[step].work);
    // Bytes in the same memory, a ring or band, would not be misaligned but in the way of what is after them.
    let in_slots = |work: &Work| match work {
        Work::Block(b) => [b.ring, b.band].iter().flatten().any(|s| s.at == place),
        _ => false,
    };
    if planned.plan.steps.iter().any(|s| in_slots(&s.work)) {
        return false;
    }
    // Make room in the arena.
    planned.plan.arena_bytes += 64;
    replace(planned, place, place + 2);
    true
}

fn odd_rows(planned: &mut Planned, random: &mut Rng) -> bool {
    let step = random.usize(..planned.plan.steps.len());
    // Fewer bytes, so that all rows are still in the tensor.
    let less = |pitch: &mut usize| {
        *pitch -= usize::from(*pitch > 0);
        *pitch > 0
    };
    match &mut planned.plan.steps[step].work {
        Work::Depthwise(d) | Work::DynamicDepthwise(DynamicDepthwise { conv: d, .. })
            if d.conv.elem() == 4 =>
        {
            less(&mut d.row_bytes)
        }
        Work::Conv(c) | Work::DynamicConv(DynamicConv { conv: c, .. })
            if c.convs[0].elem() == 4 =>
        {
            less(&mut c.front.row_pitch)
        }
        _ => false,
    }
}

/// Whether a step uses all of the scratch memory.
fn scratch_is_used(planned: &Planned) -> bool {
    let bytes = planned.plan.scratch.bytes_per_thread;
    let touches = planned
        .plan
        .steps
        .iter()
        .map(|s| s.work.touches(planned.team));
    let most = touches.map(|t| t.scratch_bytes).max().unwrap_or(0);
    most > 0 && most > bytes as u64 - 64
}

fn small_scratch(planned: &mut Planned, _: &mut Rng) -> bool {
    let used = scratch_is_used(planned);
    planned.plan.scratch.bytes_per_thread -= if used { 64 } else { 0 };
    used
}

fn scratch_moved(planned: &mut Planned, random: &mut Rng) -> bool {
    let team = planned.team;
    let uses = |work: &Work| work.touches(team).scratch_bytes > 0;
    let Some(step) = some_step(planned, random, uses) else {
        return false;
    };
    // Make room in the arena.
    planned.plan.arena_bytes += 1 << 20;
    planned.plan.scratch.at = *result(&mut planned.plan.steps[step].work);
    true
}

fn in_place(planned: &mut Planned, random: &mut Rng) -> bool {
    let rounds = |work: &Work| matches!(work, Work::DynamicQuantise(round) if round.x != round.y);
    let Some(step) = some_step(planned, random, rounds) else {
        return false;
    };
    let Work::DynamicQuantise(round) = &planned.plan.steps[step].work else {
        return false;
    };
    let (x, y) = (round.x, round.y);
    let roots = roots(&planned.graph);
    let input = planned.graph.layers[planned.plan.steps[step].layers.0].inputs[0];
    let later = (step + 1..planned.plan.steps.len()).any(|s| reads(planned, s, roots[input.0]));
    // The picture must stay: that is another fault.
    if !later || planned.plan.input_offset == Some(x) {
        return false;
    }
    replace(planned, y, x);
    true
}

/// No address is computed with the stride of a single row, but pixels are counted with it.
fn other_row(planned: &mut Planned, random: &mut Rng) -> bool {
    let single = |work: &Work| match work {
        Work::Depthwise(d) | Work::DynamicDepthwise(DynamicDepthwise { conv: d, .. }) => {
            d.rows == 1
        }
        _ => false,
    };
    let Some(step) = some_step(planned, random, single) else {
        return false;
    };
    match &mut planned.plan.steps[step].work {
        Work::Depthwise(d) | Work::DynamicDepthwise(DynamicDepthwise { conv: d, .. }) => {
            d.y_row *= 2;
        }
        _ => return false,
    }
    true
}

/// Nor is one with the stride of a single pixel, but it says whether a part has all channels.
fn other_pixel(planned: &mut Planned, random: &mut Rng) -> bool {
    let single = |work: &Work| match work {
        Work::Conv(c) | Work::DynamicConv(DynamicConv { conv: c, .. }) => c.rows * c.columns == 1,
        _ => false,
    };
    let Some(step) = some_step(planned, random, single) else {
        return false;
    };
    match &mut planned.plan.steps[step].work {
        Work::Conv(c) | Work::DynamicConv(DynamicConv { conv: c, .. }) => c.y_pixel /= 2,
        _ => return false,
    }
    true
}

/// Without a projection no memory depends on the rows of a band, once a ring holds all rows of its input.
fn tall_bands(planned: &mut Planned, random: &mut Rng) -> bool {
    let (end, team) = (planned.plan.arena_bytes, planned.team);
    let Some(block) = some_block(planned, random) else {
        return false;
    };
    let (None, Some(ring)) = (&block.project, &mut block.ring) else {
        return false;
    };
    block.band_rows = usize::MAX;
    ring.at = Offset::at_byte(end);
    ring.pitch = Slots::pitch_of(block.row_bytes * block.h_in);
    let room = ring.pitch * team;
    planned.plan.arena_bytes += room;
    true
}

fn in_last_slack(planned: &mut Planned, random: &mut Rng) -> bool {
    let (end, team) = (planned.plan.arena_bytes, planned.team);
    let Some(block) = some_block(planned, random) else {
        return false;
    };
    let held = Block::ring_rows(&block.window, block.band_rows, block.h_in);
    let (slots, bytes) = match (&mut block.ring, &mut block.band) {
        (Some(ring), _) => (ring, block.row_bytes * held),
        (None, Some(band)) => (band, block.dw_row * block.band_rows),
        _ => return false,
    };
    slots.at = Offset::at_byte(end);
    let after = end + (team - 1) * slots.pitch + bytes;
    let y = block.y;
    // Make room in the arena.
    planned.plan.arena_bytes = after + (1 << 20);
    let after = Offset::at_byte(after.next_multiple_of(4));
    replace(planned, y, after);
    true
}

/// No segment runs it, but `profile` does.
fn no_segment(planned: &mut Planned, _: &mut Rng) -> bool {
    let outside = Offset::at_byte(planned.plan.arena_bytes);
    planned.plan.steps.push(Step {
        work: Work::Extremes(FindExtremes {
            x: outside,
            y: Parts { at: outside },
            len: 1,
        }),
        layers: (0, 0),
    });
    true
}

/// It is copied into the arena all the same.
fn no_layer(planned: &mut Planned, _: &mut Rng) -> bool {
    let at = planned.plan.fills.first().map(|f| f.at);
    let at = at.or(planned.plan.input_offset);
    let constants = &mut planned.plan.constants;
    at.map(|at| constants.push((at, vec![1.0]))).is_some()
}

/// The first one is never read, but threads put in both at the same time.
fn imports_overlap(planned: &mut Planned, random: &mut Rng) -> bool {
    let segment = random.usize(..planned.plan.segments.len());
    let ports = &mut planned.plan.segments[segment].imports;
    let imports = &mut planned.graph.imports;
    let at = imports.iter().position(|b| b.segment == segment);
    let (Some(&port), Some(at)) = (ports.first(), at) else {
        return false;
    };
    let (shape, kind) = (port.shape, Kind::F32);
    let tensors = &mut planned.graph.tensors;
    tensors.push(Tensor { shape, kind });
    let other = Border {
        name: "another".into(),
        tensor: TensorId(tensors.len() - 1),
        ..imports[at].clone()
    };
    imports.insert(at, other);
    ports.insert(0, port);
    true
}

fn lent_weights(planned: &mut Planned, random: &mut Rng) -> bool {
    let floats = |work: &Work| match work {
        Work::Conv(c) => matches!(c.convs[0], AnyConv::F32(..)),
        _ => false,
    };
    let Some(step) = some_step(planned, random, floats) else {
        return false;
    };
    match &mut planned.plan.steps[step].work {
        Work::Conv(c) => match &mut c.convs[0] {
            AnyConv::F32(packed, _) => *packed = ConvF32::lent(packed.runs().clone()),
            _ => return false,
        },
        _ => return false,
    }
    true
}

/// Networks with every kind of step.
fn networks() -> Vec<Graph> {
    let random = (0..cases(60) as u64).map(random);
    random
        .chain((0..12).map(block))
        .chain((0..4).map(forked))
        .collect()
}

#[test]
fn every_kind_of_fault_is_found() {
    let networks = networks();
    let mut wrong = Vec::new();
    for &(name, plant, words) in FAULTS {
        let mut random = Rng::with_seed(9);
        let mut found = 0;
        for (i, graph) in networks.iter().enumerate() {
            for team in 1..=4 {
                let kernels = available()[(i + team) % available().len()];
                let mut planned = Planned::new(graph, kernels, team);
                if !plant(&mut planned, &mut random) {
                    continue;
                }
                let why = match planned.verify() {
                    Ok(()) => "not found".to_owned(),
                    Err(refused) => refused.to_string(),
                };
                let named = words.iter().any(|s| why.contains(s));
                if named && why.contains("bug in Eyelet") {
                    found += 1;
                } else {
                    let kernels = kernels.name();
                    wrong.push(format!("{name}, network {i} on {kernels} x {team}: {why}"));
                }
            }
        }
        println!("{name}: {found}");
        if cases(60) == 60 && found < 8 {
            wrong.push(format!("{name}: found only {found} times"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
