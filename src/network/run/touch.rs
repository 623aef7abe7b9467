//! The memory that a step touches: declared beside each step from the fields that drive it, verified by `plan::verify`, and compared
//! with what steps really do by that module's tests.
//!
//! Numbers are 64-bit and saturate instead of wrapping: every end is compared with the arena's, so a saturated number never fits.

use super::offset::Offset;
use super::threads::share;
use crate::network::graph::{Shape, Window};
use crate::network::kernels::SLACK;
use std::ops::Range;

/// The tensor or memory whose bytes a step touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The step's input with this index.
    Input(usize),
    /// A convolution's first input as the convolution reads it: the tensor, or its padded copy.
    Front,
    /// That copy, in the step that makes it.
    Padded,
    /// The step's output.
    Output,
    /// Minimum and maximum of each thread's part of the output.
    Extremes,
    /// A row of padding of this byte.
    Fill(u8),
}

/// Bytes that any thread of the team may read, from the tensor's start.
#[derive(Debug, Clone, Copy)]
pub struct Read {
    pub whose: Whose,
    pub at: u64,
    pub bytes: u64,
    /// Bytes past these that may be read too, without effect on the result.
    pub slack: u64,
    /// The alignment of `at`.
    pub align: u64,
}

/// A tensor that the team writes: pieces of `unit` bytes at all points of a grid, which the threads divide among themselves.
#[derive(Debug, Clone)]
pub struct Write {
    pub whose: Whose,
    pub at: u64,
    /// `(count, stride in bytes)`, slowest first. Flattened and divided among the threads.
    pub shared: Vec<(u64, u64)>,
    /// The same within each such point; every thread covers all of them.
    pub each: Vec<(u64, u64)>,
    pub unit: u64,
    pub align: u64,
    /// The points of each thread.
    pub parts: Vec<Range<u64>>,
}

/// Memory where each thread has its own part, written and then read within the step.
#[derive(Debug, Clone, Copy)]
pub struct Own {
    pub what: &'static str,
    pub at: u64,
    /// Bytes from one thread's part to the next.
    pub pitch: u64,
    /// Bytes that a thread uses.
    pub bytes: u64,
    /// Bytes past these that it may read too.
    pub slack: u64,
    pub align: u64,
}

/// Everything that a step touches with a team of `team` threads.
#[derive(Debug)]
pub struct Touches {
    pub team: usize,
    pub reads: Vec<Read>,
    pub writes: Vec<Write>,
    pub own: Vec<Own>,
    /// Bytes of the plan's scratch memory that each thread needs.
    pub scratch_bytes: u64,
    /// In place, each thread reads only the input that it then overwrites itself.
    pub in_place: bool,
    /// Contradictions within the step itself.
    pub wrong: Option<&'static str>,
}

/// Bytes from the start of the first piece to the end of the last; `dims` as in [`Write`].
pub fn span(dims: &[(usize, usize)], unit: usize) -> u64 {
    if dims.iter().any(|d| d.0 == 0) {
        return 0;
    }
    let steps = dims.iter().map(|&(count, step)| times(count - 1, step));
    steps.fold(unit as u64, u64::saturating_add)
}

/// A single point, the first thread's.
pub fn alone(id: usize) -> Range<usize> {
    if id == 0 { 0..1 } else { 1..1 }
}

/// The product.
pub fn times(a: usize, b: usize) -> u64 {
    (a as u64).saturating_mul(b as u64)
}

/// Whether windows over this input give this output.
pub fn windows_fit(window: &Window, input: Shape, output: Shape) -> bool {
    let fits = window.output(input.h, input.w) == Some((output.h, output.w));
    fits && input.c == output.c && window.dh > 0 && window.dw > 0
}

impl Touches {
    pub fn new(team: usize) -> Self {
        Self {
            team,
            reads: Vec::new(),
            writes: Vec::new(),
            own: Vec::new(),
            scratch_bytes: 0,
            in_place: false,
            wrong: None,
        }
    }

    /// Reads of values of `align` bytes.
    pub fn reads(&mut self, whose: Whose, at: Offset, bytes: u64, align: usize) {
        self.reads.push(Read {
            whose,
            at: at.byte() as u64,
            bytes,
            slack: 0,
            align: align as u64,
        });
    }

    /// The same, with [`SLACK`] bytes past the end.
    pub fn reads_past(&mut self, whose: Whose, at: Offset, bytes: u64, align: usize) {
        self.reads.push(Read {
            whose,
            at: at.byte() as u64,
            bytes,
            slack: SLACK as u64,
            align: align as u64,
        });
    }

    /// Writes of values of `align` bytes, see [`Write`]; `part` gives the points of a thread.
    pub fn writes(
        &mut self,
        (whose, at, align): (Whose, Offset, usize),
        shared: &[(usize, usize)],
        each: &[(usize, usize)],
        unit: usize,
        part: impl Fn(usize) -> Range<usize>,
    ) {
        let wide = |dims: &[(usize, usize)]| -> Vec<(u64, u64)> {
            dims.iter().map(|d| (d.0 as u64, d.1 as u64)).collect()
        };
        self.writes.push(Write {
            whose,
            at: at.byte() as u64,
            shared: wide(shared),
            each: wide(each),
            unit: unit as u64,
            align: align as u64,
            parts: (0..self.team)
                .map(part)
                .map(|p| p.start as u64..p.end as u64)
                .collect(),
        });
    }

    /// Writes of the output: `count` contiguous pieces of `unit` bytes, shared in multiples of `by`.
    pub fn fills_output(
        &mut self,
        at: Offset,
        (count, by): (usize, usize),
        unit: usize,
        align: usize,
    ) {
        let team = self.team;
        self.writes(
            (Whose::Output, at, align),
            &[(count, unit)],
            &[],
            unit,
            |id| share(count, by, id, team),
        );
    }

    /// A layer over `pixels` pixels of `c` floats, in and out.
    pub fn maps_pixels(&mut self, x: Offset, y: Offset, pixels: usize, c: usize) {
        let pixel = c.saturating_mul(4);
        self.reads(Whose::Input(0), x, times(pixels, pixel), 4);
        self.fills_output(y, (pixels, 1), pixel, 4);
    }

    /// Only the first thread writes the output.
    pub fn fills_output_alone(&mut self, at: Offset, bytes: usize, align: usize) {
        self.writes((Whose::Output, at, align), &[(1, 0)], &[], bytes, alone);
    }

    /// Memory private to each thread, with [`SLACK`] bytes past the end.
    pub fn owns(
        &mut self,
        what: &'static str,
        (at, pitch): (Offset, usize),
        bytes: u64,
        align: usize,
    ) {
        self.own.push(Own {
            what,
            at: at.byte() as u64,
            pitch: pitch as u64,
            bytes,
            slack: SLACK as u64,
            align: align as u64,
        });
    }

    /// Scratch memory of the plan.
    pub fn wants_scratch(&mut self, bytes: usize) {
        self.scratch_bytes = self.scratch_bytes.max(bytes as u64);
    }

    /// Strides between values of `align` bytes, within what is read.
    pub fn steps_by(&mut self, pitches: &[usize], align: usize) {
        let aligned = pitches.iter().all(|pitch| pitch.is_multiple_of(align));
        self.holds(aligned, "its strides are not multiples of its values' size");
    }

    /// Records `else_wrong` as a contradiction unless `it` holds.
    pub fn holds(&mut self, it: bool, else_wrong: &'static str) {
        if !it && self.wrong.is_none() {
            self.wrong = Some(else_wrong);
        }
    }
}
