//! The proof of a plan, always made before it first runs, in microseconds, and independent of the planner's reasoning.
//!
//! Steps declare what they touch (`run::touch`), the graph says what they mean, and the plan has the offsets. The verifier walks
//! through the plan once as it will run, with a map of the arena that knows whose value every byte holds ([`memory`]). It proves,
//! for every step, each thread of the team, and every frame:
//!
//! | property | meaning |
//! |---|---|
//! | all | every step is in one segment, in order; imports of a segment, and what is there before the first step, do not overlap |
//! | inside | everything read (slack included) or written is in the arena; a result is as large as its tensor, and no byte of it is left out or written by two threads |
//! | defined | what is read is the value that the layer needs: put in or written before, from its first byte on, and not overwritten since |
//! | apart | within a step nothing written overlaps what is read (slack included, also the slack after the threads' own memory) or written otherwise, except a thread's own memory and a step that declares that it works in place |
//! | own | the threads' own parts (ring, band, scratch) do not overlap, slack included, and are as large as the kernels require |
//! | kept | constants, padding and the picture are never overwritten |
//! | aligned | floats are at multiples of 4, and so are their strides; scratch memory is at multiples of 64 |
//!
//! A plan that cannot be proved never runs. That is a bug in Eyelet, never in a model, and the error says so.

mod memory;

use crate::network::error::NotFused;
use crate::network::graph::{Border, Graph, Kind, Op, TensorId};
use crate::network::run::border::Port;
use crate::network::run::offset::Offset;
use crate::network::run::steps::{Step, Work};
use crate::network::run::touch::{Own, Read, Touches, Whose, Write};
use crate::network::run::{Fill, Plan, Segment};
use memory::{Memory, Value};
use std::collections::HashMap;
use std::ops::Range;

/// What could not be proved. Byte ranges of the arena are from, to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{0} is bytes {1}..{2} of an arena of {3}")]
    Outside(&'static str, u64, u64, u64),
    #[error("{0} at byte {1} is not on a multiple of {2}")]
    Misaligned(&'static str, u64, u64),
    #[error("{0} has {1} bytes and should have {2}")]
    Size(&'static str, u64, u64),
    #[error("the threads' parts of a result at byte {0} leave something out or overlap")]
    Parts(u64),
    #[error("the threads' parts of a {0} at byte {1} overlap")]
    OwnParts(&'static str, u64),
    #[error("it wants {0} bytes of scratch memory of {1}")]
    Scratch(u64, u64),
    #[error("it reads bytes {0}..{1}, which do not hold its input (any more)")]
    Undefined(u64, u64),
    #[error("bytes {0}..{1}, which it writes, are also read or written elsewhere in the step")]
    Overlap(u64, u64),
    #[error("it overwrites bytes {0}..{1}, which must stay")]
    Kept(u64, u64),
    #[error("{0}")]
    Wrong(&'static str),
}

/// Proves a plan of a graph for a team of `team` threads.
pub(crate) fn verify(graph: &Graph, plan: &Plan, team: usize) -> Result<(), NotFused> {
    let none = |fault: Fault| refused(String::new(), "graph", "before the first step", &fault);
    let mut proof = Proof::new(graph, plan, team).map_err(none)?;
    proof.segments_hold_all().map_err(none)?;
    let mut borders = vec![(Vec::new(), Vec::new()); plan.segments.len()];
    for import in &graph.imports {
        if let Some(of) = borders.get_mut(import.segment) {
            of.0.push(import);
        }
    }
    for export in &graph.exports {
        if let Some(of) = borders.get_mut(export.segment) {
            of.1.push(export);
        }
    }
    for (segment, (imports, exports)) in plan.segments.iter().zip(borders) {
        proof.segment(segment, &imports, &exports)?;
    }
    proof.input_stays().map_err(none)
}

/// The error that rejects a plan.
fn refused(node: String, op: &str, place: &str, fault: &Fault) -> NotFused {
    NotFused {
        node,
        op: op.into(),
        why: format!(
            "its plan cannot be proved, which is a bug in Eyelet (please report it): {place}: {fault}"
        ),
    }
}

/// The threads' own parts of a memory, one after the other.
struct Owned {
    from: u64,
    to: u64,
    /// Bytes past the last part that its thread may read too; those past the others are before the next part.
    slack: u64,
}

/// State of the proof.
struct Proof<'a> {
    graph: &'a Graph,
    plan: &'a Plan,
    team: usize,
    arena: u64,
    /// For every tensor the one whose value it shares.
    root: Vec<usize>,
    /// For each tensor, the tensor of its extremes, if any layer needs them.
    extremes_of: HashMap<usize, usize>,
    /// Which tensors are pairs of extremes.
    pairs: Vec<bool>,
    /// What every byte holds.
    memory: Memory,
}

impl<'a> Proof<'a> {
    /// Starts with what is in the arena before the first run.
    fn new(graph: &'a Graph, plan: &'a Plan, team: usize) -> Result<Self, Fault> {
        let mut proof = Self {
            graph,
            plan,
            team,
            arena: plan.arena_bytes as u64,
            root: (0..graph.tensors.len()).collect(),
            extremes_of: HashMap::new(),
            pairs: vec![false; graph.tensors.len()],
            memory: Memory::new(graph.tensors.len()),
        };
        let mut constants = plan.constants.iter();
        for layer in &graph.layers {
            let output = layer.output.0;
            match &layer.op {
                Op::Reshape => {
                    let input = layer.inputs[0];
                    let (had, has) = (proof.bytes(input), proof.bytes(layer.output));
                    if had != has {
                        return Err(Fault::Size("a tensor of another shape", has, had));
                    }
                    proof.root[output] = proof.root[input.0];
                }
                Op::Extremes => {
                    let of = layer.inputs[0].0;
                    proof.extremes_of.entry(of).or_insert(output);
                    proof.pairs[output] = true;
                }
                Op::Constant(_) => {
                    let (at, values) = constants.next().ok_or(Fault::Wrong("no constant"))?;
                    let bytes = proof.bytes(layer.output);
                    if values.len() as u64 * 4 != bytes {
                        return Err(Fault::Size("a constant", values.len() as u64 * 4, bytes));
                    }
                    proof.is_there("a constant", *at, bytes, 4, Value::Tensor(output))?;
                    proof.memory.keep(output);
                }
                _ => {}
            }
        }
        if constants.next().is_some() {
            return Err(Fault::Wrong("a constant of no layer"));
        }
        for &Fill { at, bytes, byte } in &plan.fills {
            proof.is_there("padding", at, bytes as u64, 1, Value::Fill(byte))?;
        }
        let scratch_at = plan.scratch.at.byte() as u64;
        let scratch_bytes = (plan.scratch.bytes_per_thread as u64).saturating_mul(team as u64);
        proof.inside("scratch memory", scratch_at, scratch_bytes, 64)?;
        if let Some(input) = &graph.input {
            let at = plan.input_offset.ok_or(Fault::Wrong("no picture"))?;
            let tensor = &graph.tensors[input.tensor.0];
            let (bytes, align) = (proof.bytes(input.tensor), tensor.kind.bytes() as u64);
            let value = Value::Tensor(proof.root[input.tensor.0]);
            proof.is_there("the picture", at, bytes, align, value)?;
            proof.memory.keep(proof.root[input.tensor.0]);
        }
        Ok(proof)
    }

    /// Bytes of a tensor.
    fn bytes(&self, tensor: TensorId) -> u64 {
        let tensor = &self.graph.tensors[tensor.0];
        let (shape, value) = (tensor.shape, tensor.kind.bytes() as u64);
        let sizes = [shape.h, shape.w, shape.c];
        let times = |product: u64, size: usize| product.saturating_mul(size as u64);
        sizes.into_iter().fold(value, times)
    }

    /// Records something that is in the arena before the first step; nothing else may be there.
    fn is_there(
        &mut self,
        what: &'static str,
        at: Offset,
        bytes: u64,
        align: u64,
        value: Value,
    ) -> Result<(), Fault> {
        let at = at.byte() as u64;
        self.inside(what, at, bytes, align)?;
        if self.memory.over(at, at + bytes).next().is_some() {
            return Err(Fault::Overlap(at, at + bytes));
        }
        self.memory.hold(at, at + bytes, value)
    }

    fn inside(&self, what: &'static str, at: u64, bytes: u64, align: u64) -> Result<(), Fault> {
        let end = at.saturating_add(bytes);
        if end > self.arena {
            return Err(Fault::Outside(what, at, end, self.arena));
        }
        if align == 0 || !at.is_multiple_of(align) {
            return Err(Fault::Misaligned(what, at, align));
        }
        Ok(())
    }

    /// Checks that the segments are the graph's, and together all steps in order: `profile` runs those of none, too.
    fn segments_hold_all(&self) -> Result<(), Fault> {
        let segments = &self.plan.segments;
        let in_order = segments.iter().try_fold(0, |next, segment| {
            let Range { start, end } = segment.steps;
            (start == next && start <= end).then_some(end)
        });
        if segments.len() != self.graph.segments() || in_order != Some(self.plan.steps.len()) {
            return Err(Fault::Wrong(
                "its segments are not the graph's or do not hold each step",
            ));
        }
        Ok(())
    }

    /// A segment: imports, steps, exports.
    fn segment(
        &mut self,
        segment: &Segment,
        imports: &[&Border],
        exports: &[&Border],
    ) -> Result<(), NotFused> {
        let graph = self.graph;
        if imports.len() != segment.imports.len() || exports.len() != segment.exports.len() {
            let fault = Fault::Wrong("its imports or exports are not the graph's");
            return Err(refused(String::new(), "graph", "a segment", &fault));
        }
        for (port, border) in segment.imports.iter().zip(imports) {
            self.import(port, border)
                .map_err(|fault| refused(border.name.clone(), "import", "putting it in", &fault))?;
        }
        for (port, border) in segment.imports.iter().zip(imports) {
            self.import_stays(port, border)
                .map_err(|fault| refused(border.name.clone(), "import", "putting it in", &fault))?;
        }
        let steps = segment.steps.clone();
        for (number, step) in steps.clone().zip(self.plan.steps.get(steps).unwrap_or(&[])) {
            self.step(step).map_err(|fault| {
                let name = graph.layers.get(step.layers.1).map(|l| l.name.clone());
                let place = format!("step {number}");
                refused(name.unwrap_or_default(), step.work.name(), &place, &fault)
            })?;
        }
        for (port, border) in segment.exports.iter().zip(exports) {
            self.export(port, border)
                .map_err(|fault| refused(border.name.clone(), "export", "taking it out", &fault))?;
        }
        Ok(())
    }

    /// The byte range and value of a port's tensor, if it has floats and the port's shape.
    fn port(&self, port: &Port, border: &Border) -> Result<(u64, u64, Value), Fault> {
        let tensor = &self.graph.tensors[border.tensor.0];
        if tensor.kind != Kind::F32 || port.shape != tensor.shape {
            return Err(Fault::Wrong("it is another tensor"));
        }
        let (at, bytes) = (port.offset.byte() as u64, self.bytes(border.tensor));
        self.inside("it", at, bytes, 4)?;
        Ok((at, at + bytes, Value::Tensor(self.root[border.tensor.0])))
    }

    fn import(&mut self, port: &Port, border: &Border) -> Result<(), Fault> {
        let (from, to, value) = self.port(port, border)?;
        self.memory.hold(from, to, value)
    }

    /// Checks that no later import of the segment overlaps this one: threads do not meet between them.
    fn import_stays(&self, port: &Port, border: &Border) -> Result<(), Fault> {
        let (from, to, value) = self.port(port, border)?;
        let stays = self.memory.holds(from, to, value);
        stays.map_err(|_| Fault::Overlap(from, to))
    }

    fn export(&self, port: &Port, border: &Border) -> Result<(), Fault> {
        let (from, to, value) = self.port(port, border)?;
        self.memory.holds(from, to, value)
    }

    /// Checks that the picture is still there after the last step, for a second run without a new one.
    fn input_stays(&self) -> Result<(), Fault> {
        let Some(input) = &self.graph.input else {
            return Ok(());
        };
        let at = self.plan.input_offset.ok_or(Fault::Wrong("no picture"))?;
        let at = at.byte() as u64;
        let value = Value::Tensor(self.root[input.tensor.0]);
        self.memory.holds(at, at + self.bytes(input.tensor), value)
    }

    /// The value that a step's `whose` means, and its bytes.
    fn meant(&self, step: &Step, whose: Whose) -> Result<(Value, u64), Fault> {
        let none = Fault::Wrong("it belongs to no layer");
        let (first, last) = step.layers;
        let (Some(from), Some(to)) = (self.graph.layers.get(first), self.graph.layers.get(last))
        else {
            return Err(none);
        };
        let input = |i: usize| from.inputs.get(i).copied().ok_or(none.clone());
        let tensor = |id: TensorId| (Value::Tensor(self.root[id.0]), self.bytes(id));
        let window = match &from.op {
            Op::Conv(conv) => Some(&conv.window),
            _ => None,
        };
        Ok(match whose {
            Whose::Input(i) => self.pairs(input(i)?).unwrap_or(tensor(input(i)?)),
            Whose::Output => self.pairs(to.output).unwrap_or(tensor(to.output)),
            Whose::Front if !window.is_some_and(|w| w.padded()) || !has_front(&step.work) => {
                tensor(input(0)?)
            }
            Whose::Front | Whose::Padded => {
                let window = window.ok_or(none.clone())?;
                let tensor = &self.graph.tensors[input(0)?.0];
                let sizes = [
                    tensor
                        .shape
                        .h
                        .saturating_add(window.top)
                        .saturating_add(window.bottom),
                    tensor
                        .shape
                        .w
                        .saturating_add(window.left)
                        .saturating_add(window.right),
                    tensor.shape.c,
                    tensor.kind.bytes(),
                ];
                let bytes = sizes
                    .iter()
                    .fold(1, |n: u64, &s| n.saturating_mul(s as u64));
                (Value::Padded(first), bytes)
            }
            Whose::Extremes => {
                let extremes = self.extremes_of.get(&to.output.0);
                let extremes = extremes.ok_or(Fault::Wrong("no layer reads its extremes"))?;
                (Value::Tensor(*extremes), 8 * self.team as u64)
            }
            Whose::Fill(byte) => (Value::Fill(byte), u64::MAX),
        })
    }

    /// The value and bytes of a tensor of extremes, which has a pair per thread.
    fn pairs(&self, id: TensorId) -> Option<(Value, u64)> {
        self.pairs[id.0].then_some((Value::Tensor(id.0), 8 * self.team as u64))
    }

    /// Checks one step: what it reads is there and what it writes is apart; then records what it writes.
    fn step(&mut self, step: &Step) -> Result<(), Fault> {
        let touches = step.work.touches(self.team);
        if let Some(wrong) = touches.wrong {
            return Err(Fault::Wrong(wrong));
        }
        for read in &touches.reads {
            self.inside(
                "its input",
                read.at,
                read.bytes.saturating_add(read.slack),
                read.align,
            )?;
            let (value, bytes) = self.meant(step, read.whose)?;
            if read.bytes > bytes {
                return Err(Fault::Size("its input", bytes, read.bytes));
            }
            self.memory.holds(read.at, read.at + read.bytes, value)?;
        }
        let mut results = Vec::new();
        for write in &touches.writes {
            let (value, bytes) = self.meant(step, write.whose)?;
            let written = whole(write)?;
            if written != bytes {
                return Err(Fault::Size("its result", written, bytes));
            }
            self.inside("its result", write.at, written, write.align)?;
            results.push((write.at, write.at + written, value));
        }
        let owned = self.owned(&touches)?;
        for own in &owned {
            results.push((own.from, own.to, Value::Own));
        }
        self.apart(&touches, &results, &owned)?;
        // Results last: after the step, a thread's own parts hold no tensor's value.
        for (from, to, value) in results.into_iter().rev() {
            self.memory.hold(from, to, value)?;
        }
        Ok(())
    }

    /// The threads' own memory, with the scratch memory if used.
    fn owned(&self, touches: &Touches) -> Result<Vec<Owned>, Fault> {
        let bytes_per_thread = self.plan.scratch.bytes_per_thread as u64;
        let scratch = Own {
            what: "scratch memory",
            at: self.plan.scratch.at.byte() as u64,
            pitch: bytes_per_thread,
            bytes: touches.scratch_bytes,
            slack: 0,
            align: 64,
        };
        if touches.scratch_bytes > bytes_per_thread {
            return Err(Fault::Scratch(touches.scratch_bytes, bytes_per_thread));
        }
        let used = (touches.scratch_bytes > 0).then_some(&scratch);
        let mut all = Vec::new();
        for own in touches.own.iter().chain(used) {
            let others = (self.team as u64 - 1).saturating_mul(own.pitch);
            let end = others.saturating_add(own.bytes);
            self.inside(own.what, own.at, end.saturating_add(own.slack), own.align)?;
            if !own.pitch.is_multiple_of(own.align) {
                return Err(Fault::Misaligned(own.what, own.pitch, own.align));
            }
            if self.team > 1 && own.bytes.saturating_add(own.slack) > own.pitch {
                return Err(Fault::OwnParts(own.what, own.at));
            }
            all.push(Owned {
                from: own.at,
                to: own.at + end,
                slack: own.slack,
            });
        }
        Ok(all)
    }

    /// Checks that nothing a step writes overlaps anything else that it touches.
    fn apart(
        &self,
        touches: &Touches,
        results: &[(u64, u64, Value)],
        owned: &[Owned],
    ) -> Result<(), Fault> {
        let in_place = |read: &Read| {
            let same = |w: &Write| (w.at, whole(w)) == (read.at, Ok(read.bytes));
            touches.in_place && read.slack == 0 && touches.writes.iter().any(same)
        };
        let reads = touches.reads.iter().filter(|r| !in_place(r));
        let mut all: Vec<(u64, u64, bool)> = reads
            .map(|r| (r.at, r.at + r.bytes + r.slack, false))
            .chain(owned.iter().map(|own| (own.to, own.to + own.slack, false)))
            .chain(results.iter().map(|&(from, to, _)| (from, to, true)))
            .collect();
        all.sort_unstable();
        let (mut read_to, mut written_to) = (0, 0);
        for (from, to, written) in all {
            let over = if written {
                written_to.max(read_to)
            } else {
                written_to
            };
            if from < over && from < to {
                return Err(Fault::Overlap(from, over.min(to)));
            }
            let end = if written {
                &mut written_to
            } else {
                &mut read_to
            };
            *end = to.max(*end);
        }
        Ok(())
    }
}

/// Bytes that a team writes, if its parts together cover all of it without gaps and no byte is in two of them.
fn whole(write: &Write) -> Result<u64, Fault> {
    let bad = Fault::Parts(write.at);
    let count = write
        .shared
        .iter()
        .fold(1, |n: u64, d| n.saturating_mul(d.0));
    let mut next = 0;
    for part in &write.parts {
        if part.start != next && !part.is_empty() || part.end > count {
            return Err(bad);
        }
        next = part.end.max(next);
    }
    if next != count {
        return Err(bad);
    }
    // From the smallest stride to the largest: each stride is at least the extent of all within it, so no byte is covered twice.
    let all = write.shared.iter().chain(&write.each);
    let mut dims: Vec<(u64, u64)> = all.copied().filter(|d| d.0 != 1).collect();
    dims.sort_unstable_by_key(|d| d.1);
    let mut bytes = write.unit;
    for (count, stride) in dims {
        if stride != bytes || !stride.is_multiple_of(write.align.max(1)) {
            return Err(bad);
        }
        bytes = bytes.saturating_mul(count);
    }
    Ok(bytes)
}

/// Whether it reads its input through a padded copy, if it has padding.
fn has_front(work: &Work) -> bool {
    match work {
        Work::Conv(_) | Work::DynamicConv(_) => true,
        Work::Block(block) => block.front.is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
