//! The steps of a plan and how a team of threads runs one: each thread takes its share of rows or channels.
//!
//! Fields named after tensors are offsets into the arena, in bytes (while planning: numbers of needs).

mod convolutions;
mod dynamic;
mod max_pool;
mod moves;
mod product;

use super::pointwise as each;
use super::threads::share;
use super::touch::{Touches, Whose, times, windows_fit};
use crate::network::graph::requantise::Requantise;
use crate::network::graph::{Norm, Shape, Unary, Window};
use crate::network::kernels::{
    BinaryQ8, ConvF32, ConvQ8, DepthwiseF32, DepthwiseQ8, DepthwiseRow, Kernels, Pixels, Runs,
    SLACK,
};
use std::ops::Range;

pub(crate) use dynamic::{Parts, Sums};
pub(crate) use max_pool::MaxPoolStep;
pub(crate) use moves::Move;
pub(crate) use product::ProductStep;

/// Kernel rows that a depthwise step can take.
pub(crate) const MAX_KERNEL_ROWS: usize = 16;

/// A packed convolution of either kind with the kernels that packed it.
#[derive(Debug)]
pub(crate) enum AnyConv {
    Q8(ConvQ8, &'static dyn Kernels),
    F32(ConvF32, &'static dyn Kernels),
}

impl AnyConv {
    pub(crate) fn kernels(&self) -> &'static dyn Kernels {
        match self {
            Self::Q8(_, k) | Self::F32(_, k) => *k,
        }
    }
    fn runs(&self) -> &Runs {
        match self {
            Self::Q8(c, _) => c.runs(),
            Self::F32(c, _) => c.runs(),
        }
    }
    fn n(&self) -> usize {
        self.runs().n
    }
    /// Bytes of a value.
    pub(crate) fn elem(&self) -> usize {
        match self {
            Self::Q8(..) => 1,
            Self::F32(..) => 4,
        }
    }
    /// Bytes of a pixel's input from its first byte on, over all runs.
    fn reach(&self) -> u64 {
        let far = self.runs().offsets.iter().max().copied().unwrap_or(0);
        times(self.runs().len, self.elem()).saturating_add(far as u64)
    }
    /// That its values are aligned, if pixels, rows and groups are so far apart.
    fn steps_by(&self, front: &Front, to: &mut Touches) {
        let pitches = [front.row_pitch, front.pixel_pitch, front.group_pitch];
        to.steps_by(&pitches, self.elem());
        to.steps_by(&self.runs().offsets, self.elem());
    }
    fn scratch_bytes(&self) -> usize {
        match self {
            Self::Q8(c, k) => k.conv_q8_scratch_bytes(c.runs()),
            Self::F32(..) => 0,
        }
    }
    /// # Safety
    /// The contract of [`Kernels`]: reads, writes, channels, apart, aligned.
    unsafe fn run(&self, pixels: &Pixels, channels: Range<usize>, worker: &Worker) {
        // SAFETY: of the contract, the caller has the rest; packed: it goes by `runs` with the kernels that packed it; scratch:
        // the verifier proves that the worker's own has as many bytes as `scratch_bytes`.
        unsafe {
            match self {
                Self::Q8(c, k) => k.conv_q8(c, pixels, channels, worker.scratch),
                Self::F32(c, k) => k.conv_f32(c, pixels, channels),
            }
        }
    }
}

/// A packed depthwise convolution of either kind with the kernels that packed it.
#[derive(Debug)]
pub(crate) enum AnyDepthwise {
    Q8(DepthwiseQ8, &'static dyn Kernels),
    F32(DepthwiseF32, &'static dyn Kernels),
}

impl AnyDepthwise {
    pub(crate) fn kernels(&self) -> &'static dyn Kernels {
        match self {
            Self::Q8(_, k) | Self::F32(_, k) => *k,
        }
    }
    fn row(&self) -> &DepthwiseRow {
        match self {
            Self::Q8(c, _) => c.row(),
            Self::F32(c, _) => c.row(),
        }
    }
    /// Bytes of a value.
    pub(crate) fn elem(&self) -> usize {
        match self {
            Self::Q8(..) => 1,
            Self::F32(..) => 4,
        }
    }
    /// The byte that padding rows are filled with.
    fn pad(&self) -> u8 {
        match self {
            Self::Q8(c, _) => c.pad(),
            Self::F32(..) => 0,
        }
    }
    fn scratch_bytes(&self) -> usize {
        match self {
            Self::Q8(c, k) => k.depthwise_q8_scratch_bytes(c.row()),
            Self::F32(..) => 0,
        }
    }
    /// # Safety
    /// The contract of [`Kernels`]: reads, writes, channels, apart, aligned.
    unsafe fn run(&self, rows: &[*const u8], y: *mut u8, channels: Range<usize>, worker: &Worker) {
        // SAFETY: of the contract, the caller has the rest; packed: it goes by `row` with the kernels that packed it; scratch:
        // the verifier proves that the worker's own has as many bytes as `scratch_bytes`.
        unsafe {
            match self {
                Self::Q8(c, k) if c.row().kh == rows.len() => {
                    k.depthwise_q8(c, rows, y, channels, worker.scratch);
                }
                // Each weight is a sum of bytes, see `kernels::split`.
                Self::Q8(c, k) => {
                    let mut again = [std::ptr::null(); MAX_KERNEL_ROWS * 3];
                    let again = &mut again[..c.row().kh];
                    again
                        .chunks_mut(rows.len())
                        .for_each(|again| again.copy_from_slice(rows));
                    k.depthwise_q8(c, again, y, channels, worker.scratch);
                }
                Self::F32(c, k) => k.depthwise_f32(c, rows, y, channels),
            }
        }
    }
}

/// A thread of the team that runs a step, and the memory that it works in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Worker {
    /// The plan's arena.
    pub(crate) arena: *mut u8,
    /// This thread's scratch memory, a part of the arena.
    pub(crate) scratch: *mut u8,
    /// Its number, from 0.
    pub(crate) id: usize,
    /// How many threads there are.
    pub(crate) team: usize,
}

impl Worker {
    /// Its part of `0..count`, a multiple of `unit`.
    pub(crate) fn share(&self, count: usize, unit: usize) -> Range<usize> {
        share(count, unit, self.id, self.team)
    }
}

/// How a convolution walks over its input.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) x: usize,
    /// Bytes from one output row's input to the next one's.
    pub(crate) row_pitch: usize,
    /// Bytes from one output pixel's input to the next one's.
    pub(crate) pixel_pitch: usize,
    /// Bytes from one group's channels to the next one's.
    pub(crate) group_pitch: usize,
}

#[derive(Debug)]
pub(crate) struct Pad {
    pub(crate) x: usize,
    pub(crate) y: usize,
    pub(crate) shape: Shape,
    pub(crate) elem: usize,
    pub(crate) window: Window,
    pub(crate) value: u8,
}

#[derive(Debug)]
pub(crate) struct ConvStep {
    pub(crate) front: Front,
    pub(crate) convs: Vec<AnyConv>,
    pub(crate) y: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) y_pixel: usize,
    pub(crate) y_group: usize,
    pub(crate) sums: Option<Sums>,
}

#[derive(Debug)]
pub(crate) struct DepthwiseStep {
    pub(crate) x: usize,
    pub(crate) y: usize,
    pub(crate) padding: usize,
    pub(crate) conv: AnyDepthwise,
    pub(crate) window: Window,
    pub(crate) h_in: usize,
    pub(crate) row_bytes: usize,
    pub(crate) rows: usize,
    pub(crate) y_row: usize,
    pub(crate) channels: usize,
    pub(crate) sums: Option<Sums>,
}

/// Memory of each thread's own within a step, one part after the other. Kernels read past what a thread uses, but never what
/// the next one writes: the slack lies between.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slots {
    pub(crate) at: usize,
    /// Bytes from one thread's part to the next one's.
    pub(crate) pitch: usize,
}

impl Slots {
    /// Bytes from part to part, if each thread uses so many.
    pub(crate) fn pitch_of(bytes: usize) -> usize {
        (bytes + SLACK).next_multiple_of(64)
    }

    /// The worker's.
    fn of(self, worker: &Worker) -> *mut u8 {
        worker.arena.wrapping_add(self.at + worker.id * self.pitch)
    }
}

/// Convolution, depthwise, pointwise by bands of rows: the widest activations exist only a few rows at a time.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) x: usize,
    /// The convolution that makes the depthwise input; without one that is `x` itself.
    pub(crate) front: Option<(Front, AnyConv)>,
    /// Its last `kh` rows, in turn, for each thread.
    pub(crate) ring: Option<Slots>,
    pub(crate) padding: usize,
    pub(crate) depthwise: AnyDepthwise,
    pub(crate) window: Window,
    pub(crate) h_in: usize,
    pub(crate) w_in: usize,
    pub(crate) row_bytes: usize,
    pub(crate) rows: usize,
    pub(crate) dw_row: usize,
    pub(crate) dw_pixel: usize,
    /// Depthwise output rows that wait for the projection, for each thread.
    pub(crate) band: Option<Slots>,
    pub(crate) band_rows: usize,
    pub(crate) channels: usize,
    pub(crate) project: Option<AnyConv>,
    pub(crate) y: usize,
    pub(crate) y_row: usize,
    pub(crate) y_pixel: usize,
    pub(crate) columns: usize,
}

#[derive(Debug)]
pub(crate) struct Add {
    pub(crate) a: usize,
    pub(crate) b: usize,
    pub(crate) y: usize,
    pub(crate) len: usize,
    /// Values of `b`, which repeats.
    pub(crate) period: usize,
    pub(crate) product: bool,
    pub(crate) q8: Option<BinaryQ8>,
    pub(crate) clamp: (f32, f32),
}

#[derive(Debug)]
pub(crate) struct Average {
    pub(crate) x: usize,
    pub(crate) y: usize,
    pub(crate) input: Shape,
    pub(crate) output: Shape,
    pub(crate) window: Window,
    pub(crate) count_pads: bool,
    /// Stored zero point of the input, `scale_x / scale_y`, the end.
    pub(crate) q8: Option<(i32, f64, Requantise)>,
}

#[derive(Debug)]
pub(crate) enum Work {
    Pad(Pad),
    Conv(ConvStep),
    Depthwise(DepthwiseStep),
    Block(Box<Block>),
    Add(Add),
    Average(Average),
    Max(MaxPoolStep),
    Affine {
        x: usize,
        y: usize,
        pixels: usize,
        a: Vec<f32>,
        b: Vec<f32>,
    },
    Slopes {
        x: usize,
        y: usize,
        pixels: usize,
        slopes: Vec<f32>,
    },
    /// Runs of bytes `(start, length)` of each pixel of `x_pixel` bytes.
    Pick {
        x: usize,
        y: usize,
        pixels: usize,
        x_pixel: usize,
        runs: Vec<(usize, usize)>,
    },
    Table {
        x: usize,
        y: usize,
        len: usize,
        table: Box<[u8; 256]>,
    },
    Unary {
        x: usize,
        y: usize,
        len: usize,
        f: Unary,
        /// Whether `x * f(x)` is wanted.
        gate: bool,
    },
    Softmax {
        x: usize,
        y: usize,
        pixels: usize,
        c: usize,
    },
    Norm {
        x: usize,
        y: usize,
        pixels: usize,
        norm: Norm,
    },
    Move(Move),
    Product(Box<ProductStep>),
    Quantise {
        x: usize,
        y: usize,
        len: usize,
        quant: crate::network::graph::Quant,
        flip: u8,
    },
    Dequantise {
        x: usize,
        y: usize,
        len: usize,
        table: Box<[f32; 256]>,
    },
    Extremes {
        x: usize,
        y: Parts,
        len: usize,
    },
    Round {
        x: usize,
        of: Parts,
        y: usize,
        len: usize,
    },
    Concat {
        parts: Vec<(usize, usize)>,
        y: usize,
        pixels: usize,
    },
    ChannelsFirst {
        x: usize,
        y: usize,
        shape: Shape,
    },
}

/// A step of the plan.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) work: Work,
    /// The graph's layers that it does, the first and the last: its inputs are the first one's, its result is the last one's.
    pub(crate) layers: (usize, usize),
}

impl Work {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Pad(_) => "pad",
            Self::Conv(_) => "convolution",
            Self::Depthwise(_) => "depthwise",
            Self::Block(_) => "block",
            Self::Add(a) if a.product => "product",
            Self::Add(_) => "sum",
            Self::Average(_) => "average pool",
            Self::Max(_) => "max pool",
            Self::Affine { .. } => "affine",
            Self::Slopes { .. } => "slopes",
            Self::Pick { .. } => "channels",
            Self::Table { .. } => "table",
            Self::Unary { .. } => "function",
            Self::Softmax { .. } => "softmax",
            Self::Norm { .. } => "normalisation",
            Self::Move(_) => "move",
            Self::Product(_) => "product of matrices",
            Self::Quantise { .. } => "quantise",
            Self::Dequantise { .. } => "dequantise",
            Self::Extremes { .. } => "extremes",
            Self::Round { .. } => "whole numbers",
            Self::Concat { .. } => "concatenate",
            Self::ChannelsFirst { .. } => "channels first",
        }
    }

    /// Numbers of needs become offsets.
    pub(crate) fn settle(&mut self, offsets: &[usize]) {
        for place in self.places() {
            *place = offsets[*place];
        }
    }

    /// All its offsets.
    pub(crate) fn places(&mut self) -> Vec<&mut usize> {
        match self {
            Self::Pad(Pad { x, y, .. })
            | Self::Average(Average { x, y, .. })
            | Self::Max(MaxPoolStep { x, y, .. })
            | Self::Affine { x, y, .. }
            | Self::Slopes { x, y, .. }
            | Self::Pick { x, y, .. }
            | Self::Table { x, y, .. }
            | Self::Unary { x, y, .. }
            | Self::Softmax { x, y, .. }
            | Self::Norm { x, y, .. }
            | Self::Move(Move { x, y, .. })
            | Self::Quantise { x, y, .. }
            | Self::Dequantise { x, y, .. }
            | Self::ChannelsFirst { x, y, .. } => vec![x, y],
            Self::Conv(c) => {
                let own = [&mut c.front.x, &mut c.y].into_iter();
                own.chain(c.sums.iter_mut().flat_map(Sums::places))
                    .collect()
            }
            Self::Depthwise(d) => {
                let own = [&mut d.x, &mut d.y, &mut d.padding].into_iter();
                own.chain(d.sums.iter_mut().flat_map(Sums::places))
                    .collect()
            }
            Self::Extremes { x, y, .. } => vec![x, &mut y.at],
            Self::Round { x, of, y, .. } => vec![x, &mut of.at, y],
            Self::Add(a) => vec![&mut a.a, &mut a.b, &mut a.y],
            Self::Product(p) => vec![&mut p.a, &mut p.b, &mut p.y],
            Self::Block(b) => {
                let own = [&mut b.x, &mut b.y, &mut b.padding].into_iter();
                let slots = b.ring.iter_mut().chain(&mut b.band);
                own.chain(slots.map(|slots| &mut slots.at)).collect()
            }
            Self::Concat { parts, y, .. } => {
                let parts = parts.iter_mut().map(|p| &mut p.0);
                parts.chain([y]).collect()
            }
        }
    }

    /// What it touches with a team of so many.
    pub(crate) fn touches(&self, team: usize) -> Touches {
        let mut to = Touches::new(team);
        let (input, second) = (Whose::Input(0), Whose::Input(1));
        match self {
            Self::Pad(p) => p.touches(&mut to),
            Self::Conv(c) => c.touches(&mut to),
            Self::Depthwise(d) => d.touches(&mut to),
            Self::Block(b) => b.touches(&mut to),
            Self::Add(a) => a.touches(&mut to),
            Self::Average(a) => a.touches(&mut to),
            Self::Max(pool) => pool.touches(&mut to),
            Self::Move(m) => m.touches(&mut to),
            Self::Product(p) => p.touches(&mut to),
            Self::Table { x, y, len, .. } => {
                to.reads(input, *x, *len as u64, 1);
                to.fills_output(*y, (*len, 64), 1, 1);
            }
            Self::Unary { x, y, len, .. } => {
                to.reads(input, *x, times(*len, 4), 4);
                to.fills_output(*y, (*len, 64), 4, 4);
            }
            Self::Quantise { x, y, len, .. } => {
                to.reads(input, *x, times(*len, 4), 4);
                to.fills_output(*y, (*len, 64), 1, 1);
            }
            Self::Dequantise { x, y, len, .. } => {
                to.reads(input, *x, *len as u64, 1);
                to.fills_output(*y, (*len, 64), 4, 4);
            }
            Self::Extremes { x, y, len } => {
                to.reads(input, *x, times(*len, 4), 4);
                y.written(Whose::Output, &mut to);
            }
            Self::Round { x, of, y, len } => {
                to.reads(input, *x, times(*len, 4), 4);
                of.read(second, &mut to);
                to.fills_output(*y, (*len, 64), 4, 4);
                to.in_place = x == y;
            }
            Self::Affine {
                x, y, pixels, a, b, ..
            } => {
                to.holds(a.len() == b.len(), "it has other addends than factors");
                pixels_touched(&mut to, (*x, *y), *pixels, a.len());
            }
            Self::Slopes {
                x,
                y,
                pixels,
                slopes,
            } => pixels_touched(&mut to, (*x, *y), *pixels, slopes.len()),
            Self::Softmax { x, y, pixels, c } => pixels_touched(&mut to, (*x, *y), *pixels, *c),
            Self::Norm { x, y, pixels, norm } => {
                to.holds(
                    norm.scale.len() == norm.bias.len(),
                    "it has other addends than factors",
                );
                pixels_touched(&mut to, (*x, *y), *pixels, norm.scale.len());
            }
            Self::Pick {
                x,
                y,
                pixels,
                x_pixel,
                runs,
            } => {
                let lens = runs.iter().map(|r| r.1);
                let y_pixel = lens.fold(0, usize::saturating_add);
                let inside = |&(start, len): &(usize, usize)| start.saturating_add(len) <= *x_pixel;
                to.holds(
                    runs.iter().all(inside),
                    "it picks channels that are not there",
                );
                to.reads(input, *x, times(*pixels, *x_pixel), 1);
                to.fills_output(*y, (*pixels, 1), y_pixel, 1);
            }
            Self::Concat { parts, y, pixels } => {
                for (i, &(x, bytes)) in parts.iter().enumerate() {
                    to.reads(Whose::Input(i), x, times(*pixels, bytes), 1);
                }
                let lens = parts.iter().map(|p| p.1);
                let whole = lens.fold(0, usize::saturating_add);
                to.fills_output(*y, (*pixels, 1), whole, 1);
            }
            Self::ChannelsFirst { x, y, shape } => {
                let bytes = shape.volume().saturating_mul(4);
                to.reads(input, *x, bytes as u64, 4);
                to.fills_output_alone(*y, bytes, 4);
            }
        }
        to
    }

    /// A worker's share.
    ///
    /// # Safety
    /// The plan is proved ([`crate::network::plan::verify`]) and the worker's arena is its; the worker is one of the team of the proof, and no
    /// other has its number; no thread is at another step.
    pub(crate) unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker) {
        let arena = worker.arena;
        // SAFETY: each range here is what `touches` declares of this worker, of which the verifier proves: inside, aligned, and
        // apart, so what is lent to write is lent once, and what is lent to read is not written meanwhile.
        unsafe {
            match self {
                Self::Pad(p) => p.run(worker),
                Self::Conv(c) => c.run(kernels, worker),
                Self::Depthwise(d) => d.run(kernels, worker),
                Self::Block(b) => b.run(worker),
                Self::Add(a) => a.run(kernels, worker),
                Self::Max(pool) => pool.run(kernels, worker),
                Self::Table { x, y, len, table } => {
                    let part = worker.share(*len, 64);
                    let x = bytes_of(arena, x + part.start, part.len());
                    let y = bytes_at(arena, y + part.start, part.len());
                    for (y, &x) in y.iter_mut().zip(x) {
                        *y = table[usize::from(x)];
                    }
                }
                Self::Unary { x, y, len, f, gate } => {
                    let part = worker.share(*len, 64);
                    let x = floats_of(arena, x + part.start * 4, part.len());
                    let y = floats_at(arena, y + part.start * 4, part.len());
                    kernels.unary_f32(*f, *gate, x, y);
                }
                Self::Extremes { x, y, len } => dynamic::extremes(*x, y, *len, kernels, worker),
                Self::Round { x, of, y, len } => {
                    dynamic::round((*x, *y), of, *len, kernels, worker);
                }
                Self::Affine { x, y, pixels, a, b } => {
                    let (x, y) = pixels_of(worker, (*x, *y), *pixels, a.len());
                    each::affine(x, a, b, y);
                }
                Self::Softmax { x, y, pixels, c } => {
                    let (x, y) = pixels_of(worker, (*x, *y), *pixels, *c);
                    kernels.softmax_f32(x, *c, y);
                }
                Self::Norm { x, y, pixels, norm } => {
                    let (x, y) = pixels_of(worker, (*x, *y), *pixels, norm.scale.len());
                    kernels.norm_f32(norm, x, y);
                }
                Self::Move(m) => m.run(worker),
                Self::Product(p) => p.run(kernels, worker),
                Self::Slopes {
                    x,
                    y,
                    pixels,
                    slopes,
                } => {
                    let (x, y) = pixels_of(worker, (*x, *y), *pixels, slopes.len());
                    each::slopes(x, slopes, y);
                }
                Self::Pick {
                    x,
                    y,
                    pixels,
                    x_pixel,
                    runs,
                } => {
                    let part = worker.share(*pixels, 1);
                    let y_pixel: usize = runs.iter().map(|r| r.1).sum();
                    let x = bytes_of(arena, x + part.start * x_pixel, part.len() * x_pixel);
                    let y = bytes_at(arena, y + part.start * y_pixel, part.len() * y_pixel);
                    each::pick(x, *x_pixel, runs, y_pixel, y);
                }
                Self::Quantise {
                    x,
                    y,
                    len,
                    quant,
                    flip,
                } => {
                    let part = worker.share(*len, 64);
                    let x = floats_of(arena, x + part.start * 4, part.len());
                    let y = bytes_at(arena, y + part.start, part.len());
                    for (y, &x) in y.iter_mut().zip(x) {
                        *y = crate::network::graph::requantise::quantise(x, *quant) as u8 ^ flip;
                    }
                }
                Self::Dequantise { x, y, len, table } => {
                    let part = worker.share(*len, 64);
                    let x = bytes_of(arena, x + part.start, part.len());
                    let y = floats_at(arena, y + part.start * 4, part.len());
                    for (y, &x) in y.iter_mut().zip(x) {
                        *y = table[usize::from(x)];
                    }
                }
                Self::Concat { parts, y, pixels } => {
                    let part = worker.share(*pixels, 1);
                    let whole: usize = parts.iter().map(|p| p.1).sum();
                    let y = bytes_at(arena, y + part.start * whole, part.len() * whole);
                    let mut at = 0;
                    for &(x, bytes) in parts {
                        let x = bytes_of(arena, x + part.start * bytes, part.len() * bytes);
                        for (y, x) in y.chunks_exact_mut(whole).zip(x.chunks_exact(bytes)) {
                            y[at..at + bytes].copy_from_slice(x);
                        }
                        at += bytes;
                    }
                }
                // Small, or sums over all pixels.
                _ if worker.id != 0 => {}
                Self::Average(a) => a.run(arena, kernels),
                Self::ChannelsFirst { x, y, shape } => {
                    let x = floats_of(arena, *x, shape.volume());
                    let y = floats_at(arena, *y, shape.volume());
                    for (i, y) in y.iter_mut().enumerate() {
                        *y = x[i % shape.pixels() * shape.c + i / shape.pixels()];
                    }
                }
            }
        }
    }
}

/// # Safety
/// `offset..offset + len` is inside the arena and nobody writes to it meanwhile.
pub(crate) unsafe fn bytes_of<'a>(arena: *const u8, offset: usize, len: usize) -> &'a [u8] {
    // SAFETY: inside the arena, all of whose bytes are initialised, and not written while it is lent.
    unsafe { std::slice::from_raw_parts(arena.add(offset), len) }
}

/// # Safety
/// `offset..offset + len` is inside the arena and nobody else uses it meanwhile.
pub(crate) unsafe fn bytes_at<'a>(arena: *mut u8, offset: usize, len: usize) -> &'a mut [u8] {
    // SAFETY: inside the arena, all of whose bytes are initialised, and used by nobody else while it is lent.
    unsafe { std::slice::from_raw_parts_mut(arena.add(offset), len) }
}

/// # Safety
/// As `bytes_of`, for `len` floats; offsets are multiples of 4 and every bit pattern is a float.
pub(crate) unsafe fn floats_of<'a>(arena: *const u8, offset: usize, len: usize) -> &'a [f32] {
    // SAFETY: as in `bytes_of`; aligned, for the arena begins on a multiple of 64.
    unsafe { std::slice::from_raw_parts(arena.add(offset).cast(), len) }
}

/// # Safety
/// As `bytes_at`, for `len` floats.
pub(crate) unsafe fn floats_at<'a>(arena: *mut u8, offset: usize, len: usize) -> &'a mut [f32] {
    // SAFETY: as in `bytes_at`; aligned, for the arena begins on a multiple of 64.
    unsafe { std::slice::from_raw_parts_mut(arena.add(offset).cast(), len) }
}

/// A worker's pixels of a layer from `x` to `y`, `c` floats each in both.
///
/// # Safety
/// As `floats_of` and `floats_at` for all `pixels`, but that other workers use theirs.
unsafe fn pixels_of<'a>(
    worker: &Worker,
    (x, y): (usize, usize),
    pixels: usize,
    c: usize,
) -> (&'a [f32], &'a mut [f32]) {
    let part = worker.share(pixels, 1);
    let (at, len) = (part.start * c * 4, part.len() * c);
    // SAFETY: what `pixels_touched` declares of this worker: inside, aligned and apart by the verifier.
    unsafe {
        (
            floats_of(worker.arena, x + at, len),
            floats_at(worker.arena, y + at, len),
        )
    }
}

/// What a layer of such pixels touches.
fn pixels_touched(to: &mut Touches, (x, y): (usize, usize), pixels: usize, c: usize) {
    let pixel = c.saturating_mul(4);
    to.reads(Whose::Input(0), x, times(pixels, pixel), 4);
    to.fills_output(y, (pixels, 1), pixel, 4);
}

impl Add {
    /// Whether the second operand is as large as the first.
    fn whole(&self) -> bool {
        self.period == self.len
    }

    fn touches(&self, to: &mut Touches) {
        let elem = if self.q8.is_some() { 1 } else { 4 };
        to.reads(Whose::Input(0), self.a, times(self.len, elem), elem);
        to.reads(Whose::Input(1), self.b, times(self.period, elem), elem);
        if self.whole() {
            to.fills_output(self.y, (self.len, 64), elem, elem);
        } else {
            let count = self.len / self.period.max(1);
            let unit = self.period.saturating_mul(elem);
            to.fills_output(self.y, (count, 1), unit, elem);
        }
    }

    unsafe fn run(&self, kernels: &dyn Kernels, worker: &Worker) {
        let arena = worker.arena;
        let whole = self.whole();
        let part = if whole {
            worker.share(self.len, 64)
        } else {
            let part = worker.share(self.len / self.period, 1);
            part.start * self.period..part.end * self.period
        };
        let b_at = if whole { part.start } else { 0 };
        let b_len = if whole { part.len() } else { self.period };
        // SAFETY: what `touches` declares of this worker: inside, aligned and apart by the verifier.
        unsafe {
            if let Some(q) = &self.q8 {
                let a = bytes_of(arena, self.a + part.start, part.len());
                let b = bytes_of(arena, self.b + b_at, b_len);
                let y = bytes_at(arena, self.y + part.start, part.len());
                for (a, y) in a.chunks(b_len.max(1)).zip(y.chunks_mut(b_len.max(1))) {
                    if self.product {
                        kernels.mul_q8(q, a, b, y);
                    } else {
                        kernels.add_q8(q, a, b, y);
                    }
                }
            } else {
                let a = floats_of(arena, self.a + part.start * 4, part.len());
                let b = floats_of(arena, self.b + b_at * 4, b_len);
                let y = floats_at(arena, self.y + part.start * 4, part.len());
                for (a, y) in a.chunks(b_len.max(1)).zip(y.chunks_mut(b_len.max(1))) {
                    if self.product {
                        kernels.mul_f32(self.clamp, a, b, y);
                    } else {
                        kernels.add_f32(self.clamp, a, b, y);
                    }
                }
            }
        }
    }
}

impl Average {
    fn touches(&self, to: &mut Touches) {
        let elem = if self.q8.is_some() { 1 } else { 4 };
        let (from, made) = (self.input.volume(), self.output.volume());
        to.holds(
            windows_fit(&self.window, self.input, self.output),
            "its windows do not fit its input",
        );
        to.reads(Whose::Input(0), self.x, times(from, elem), elem);
        to.fills_output_alone(self.y, made.saturating_mul(elem), elem);
    }

    unsafe fn run(&self, arena: *mut u8, kernels: &dyn Kernels) {
        let (input, output) = (self.input, self.output);
        let whole = output.pixels() == 1
            && !self.window.padded()
            && (self.window.kh, self.window.kw) == (input.h, input.w);
        // SAFETY: what `touches` declares, of the first worker alone: inside, aligned and apart by the verifier.
        unsafe {
            match &self.q8 {
                Some((zero, ratio, end)) => {
                    let x = bytes_of(arena, self.x, input.volume());
                    let y = bytes_at(arena, self.y, output.volume());
                    if whole {
                        let m = (ratio / input.pixels() as f64) as f32;
                        kernels.average_q8(x, input.c, *zero, m, end, y);
                    } else {
                        let signed = kernels.signed();
                        each::average_q8(x, self, signed, *zero, *ratio, end, y);
                    }
                }
                None => {
                    let x = floats_of(arena, self.x, input.volume());
                    let y = floats_at(arena, self.y, output.volume());
                    if whole {
                        kernels.average_f32(x, input.c, y);
                    } else {
                        each::average_f32(x, self, y);
                    }
                }
            }
        }
    }
}
