//! Kernels for half precision with NEON (`fmla .8h`, on Cortex-A55, A76 and later).
//!
//! Convolution: the sums of a tile, for example 5 pixels by 4 vectors of 8 output channels, stay in registers over at most [`BLOCK`]
//! products ([`super::neon_f16_tiles`]). Those of a few blocks are added where the result goes, those of more to sums of single
//! precision.

use super::neon_f16_depthwise;
use super::neon_f16_tiles::*;
use super::neon_f16_vectors::{self, narrowed, store, wide};
use crate::network::graph::FREE;
use crate::network::kernels::half_values::of_f32;
use crate::network::kernels::panels::{Panel, Panels, half_panels};
use crate::network::kernels::{ConvF16, DepthwiseF16, Half, Pixels, Runs};
use std::arch::aarch64::*;
use std::mem::MaybeUninit;
use std::ops::Range;

/// The most products that are added in half precision. The probabilities of MobileNet v2's photos differ from those in single
/// precision by up to 0.0076.
const BLOCK: usize = 256;

/// The most blocks whose sums are added in half precision.
const BLOCKS: usize = 4;

/// Vectors of 8 channels in the widest panel.
const WIDEST: usize = 4;

/// The loops. Only [`Fp16::detect`] hands one out, so a value of this type proves that the CPU has the instructions.
#[derive(Debug)]
pub(super) struct Fp16(());

impl Fp16 {
    /// `None` if this CPU lacks the instructions.
    pub(super) fn detect() -> Option<&'static dyn Half> {
        static LOOPS: Fp16 = Fp16(());
        std::arch::is_aarch64_feature_detected!("fp16").then_some(&LOOPS)
    }
}

impl Half for Fp16 {
    fn name(&self) -> &'static str {
        "neon-half"
    }

    fn panels(&self, runs: &Runs) -> Panels {
        half_panels(runs, 8, WIDEST)
    }

    fn channel_group(&self, n: usize) -> usize {
        Panels::new(n, 8, WIDEST, 0).group()
    }

    unsafe fn conv(&self, conv: &ConvF16, p: &Pixels, channels: Range<usize>) {
        let panels = self.panels(&conv.runs).within(channels);
        // SAFETY: contract (reads, writes), tile by tile; `self` proves that the CPU has the instructions.
        unsafe { run_panels(conv, p, panels) };
    }

    fn depthwise_lanes(&self) -> usize {
        8
    }

    unsafe fn depthwise(
        &self,
        conv: &DepthwiseF16,
        rows: &[*const u8],
        y: *mut u8,
        channels: Range<usize>,
    ) {
        // SAFETY: the caller's contract is the same; `self` proves that the CPU has the instructions.
        unsafe { neon_f16_depthwise::run(conv, rows, y, channels) }
    }

    fn widen(&self, x: &[u16], y: &mut [f32]) {
        // SAFETY: every aarch64 CPU has NEON.
        unsafe { neon_f16_vectors::widen(x, y) }
    }

    fn narrow(&self, x: &[f32], y: &mut [u16]) {
        // SAFETY: every aarch64 CPU has NEON.
        unsafe { neon_f16_vectors::narrow(x, y) }
    }

    fn add(&self, clamp: (f32, f32), a: &[u16], b: &[u16], y: &mut [u16]) {
        // SAFETY: `self` proves that the CPU has the instructions.
        unsafe { neon_f16_vectors::add(clamp, a, b, y) }
    }
}

/// The most sums of a tile, and one pixel more.
const SUMS: usize = 24 * 8;

/// No sums yet.
static NONE: [u16; 32] = [0; 32];

/// Sums of a tile, pixel by pixel.
type Sums = MaybeUninit<[u16; SUMS]>;
/// The same in single precision.
type WideSums = MaybeUninit<[f32; SUMS]>;

/// A shape of tiles: its pixels, and how one runs.
type Shape = (usize, unsafe fn(&Job));

/// The shapes for so many vectors of channels, the largest first.
fn shapes(vectors: usize) -> &'static [Shape] {
    match vectors {
        1 => &[(8, tile_8x1)],
        2 => &[(8, tile_8x2)],
        3 => &[(7, tile_7x3), (6, tile_6x3)],
        _ => &[(5, tile_5x4), (4, tile_4x4), (1, tile_1x4)],
    }
}

/// What all panels of a convolution have in common.
struct Way {
    /// Least and most of what is stored, if there are any.
    limits: Option<[[u16; 8]; 2]>,
    /// Bytes from each run to the next, if they are always as many.
    run_pitch: Option<usize>,
    /// Blocks of products.
    blocks: usize,
    /// Runs of a block.
    together: usize,
    /// Values of a run in a block.
    len: usize,
}

impl Way {
    fn of(conv: &ConvF16) -> Self {
        let Runs { offsets, len, .. } = &conv.runs;
        let limits = [conv.clamp.0, conv.clamp.1].map(|limit| [of_f32(limit); 8]);
        let mut pitches = offsets.windows(2).map(|two| two[1].wrapping_sub(two[0]));
        let first = pitches.next().unwrap_or(0);
        let parts = len.div_ceil(BLOCK).max(1);
        let together = (BLOCK / (*len).max(1)).clamp(1, offsets.len());
        Self {
            limits: (conv.clamp != FREE).then_some(limits),
            run_pitch: pitches.all(|pitch| pitch == first).then_some(first),
            blocks: offsets.len().div_ceil(together) * parts,
            together,
            len: if parts > 1 {
                len.div_ceil(parts).next_multiple_of(8)
            } else {
                *len
            },
        }
    }
}

/// Pixels in tiles: the first of some, the pixels of each and its shape, and how many.
type Tiles = (usize, usize, &'static Shape, usize);

/// Nearly equal tiles for so many vectors of channels: first those that take one more of the remaining pixels.
fn tiles(pixels: usize, vectors: usize) -> [Tiles; 2] {
    let shapes = shapes(vectors);
    let tiles = pixels.div_ceil(shapes[0].0).max(1);
    let (size, longer) = (pixels / tiles, pixels % tiles);
    let shape = |size| shapes.iter().rfind(|shape| shape.0 >= size);
    let some = |first, size, tiles| (first, size, shape(size).unwrap_or(&shapes[0]), tiles);
    let after = longer * (size + 1);
    [some(0, size + 1, longer), some(after, size, tiles - longer)]
}

/// # Safety
/// The CPU has the instructions; pixels as the geometry says.
unsafe fn run_panels(conv: &ConvF16, p: &Pixels, panels: impl Iterator<Item = Panel>) {
    let way = Way::of(conv);
    let (mut vectors, mut parts) = (0, None);
    for panel in panels {
        if panel.vectors != vectors {
            vectors = panel.vectors;
            parts = Some(tiles(p.count, vectors));
        }
        for &(first, size, shape, tiles) in parts.iter().flatten() {
            if size * tiles > 0 {
                // SAFETY: pixel `first` is one of the caller's; the shape is for the panel's vectors and at least as many pixels.
                unsafe {
                    let x = p.x.add(first * p.x_pitch);
                    let y = p.y.add(first * p.y_pitch + panel.first * 2);
                    let pixels = Pixels {
                        x,
                        y,
                        count: size,
                        ..*p
                    };
                    run_tiles(conv, &way, &panel, &pixels, shape, tiles);
                }
            }
        }
    }
}

/// `tiles` tiles of `p.count` pixels.
///
/// # Safety
/// As [`run_panels`]; the shape is for the panel's vectors and at least as many pixels.
unsafe fn run_tiles(
    conv: &ConvF16,
    way: &Way,
    panel: &Panel,
    p: &Pixels,
    shape: &Shape,
    tiles: usize,
) {
    let values = panel.vectors * 8;
    let Runs { offsets, len, .. } = &conv.runs;
    // SAFETY: contract (reads, writes) of these pixels; the packed panel is biases, then vectors per value.
    unsafe {
        let head = conv.packed.as_ptr().add(panel.offset).cast::<u16>();
        let mut job = Job {
            tiles,
            from: head,
            from_pitch: 0,
            x: p.x.add(offsets[0]),
            x_pitch: p.x_pitch,
            last: p.count - 1,
            runs: 1,
            run_pitch: 0,
            w: head.add(values),
            count: *len,
            y: p.y,
            y_pitch: p.y_pitch,
            more: false,
            limits: way.limits,
        };
        if let Some(pitch) = way.run_pitch {
            (job.runs, job.run_pitch) = (offsets.len(), pitch);
            if p.count == shape.0 && panel.channels == values && way.blocks <= BLOCKS {
                return run_blocks(job, way, values, shape.1);
            }
        }
        job.tiles = 1;
        for tile in 0..tiles {
            let x = p.x.add(tile * p.count * p.x_pitch);
            job.y = p.y.add(tile * p.count * p.y_pitch);
            run_parts(conv, panel, &Pixels { x, y: job.y, ..*p }, shape, job);
        }
    }
}

/// Whole tiles, block by block: the weights of a block stay near, and the sums of the blocks before are where the result goes.
///
/// # Safety
/// As [`run_tiles`]; the job has all runs and values, in tiles of as many pixels and `values` sums as the shape.
unsafe fn run_blocks(all: Job, way: &Way, values: usize, tile: unsafe fn(&Job)) {
    if way.blocks == 1 {
        // SAFETY: the caller's contract is the same.
        return unsafe { tile(&all) };
    }
    let mut job = all;
    for run in (0..all.runs).step_by(way.together) {
        for first in (0..all.count).step_by(way.len) {
            job.runs = way.together.min(all.runs - run);
            job.count = way.len.min(all.count - first);
            let ends = run + job.runs == all.runs && first + job.count == all.count;
            job.limits = if ends { all.limits } else { None };
            job.x = all.x.wrapping_add(run * all.run_pitch + first * 2);
            // SAFETY: the caller's contract, for these runs and values.
            unsafe { tile(&job) };
            job.w = job.w.wrapping_add(job.runs * job.count * values);
            (job.from, job.more) = (NONE.as_ptr(), true);
        }
    }
}

/// A tile of many products, of runs that are not evenly apart, or of fewer pixels or channels than its shape has.
///
/// # Safety
/// As [`run_tiles`] for one; `job` begins it, with all runs if they are evenly apart.
#[target_feature(enable = "neon")]
unsafe fn run_parts(
    conv: &ConvF16,
    panel: &Panel,
    p: &Pixels,
    &(pixels, tile): &Shape,
    mut job: Job,
) {
    let Runs { offsets, len, .. } = &conv.runs;
    let (values, products) = (panel.vectors * 8, offsets.len() * len);
    let block = products.div_ceil(products.div_ceil(BLOCK).max(1));
    let block = block.next_multiple_of(8);
    let (mut sums, mut wide) = (Sums::uninit(), None);
    job.y = sums.as_mut_ptr().cast();
    job.y_pitch = values * 2;
    job.limits = None;
    let mut room = block;
    // SAFETY: contract (reads, writes) of these pixels; the sums have room for every shape, and a tile writes them before they are
    // read.
    unsafe {
        if job.runs == offsets.len() && products <= BLOCK {
            job.x = p.x.add(offsets[0]);
            tile(&job);
        } else {
            job.runs = 1;
            for &offset in offsets {
                let mut k = 0;
                while k < *len {
                    let left = len - k;
                    if room < left.min(8) {
                        add_to(&mut wide, &sums, pixels * values);
                        (job.from, job.from_pitch) = (NONE.as_ptr(), 0);
                        room = block;
                    }
                    job.count = if left <= room { left } else { room / 8 * 8 };
                    job.x = p.x.add(offset + k * 2);
                    tile(&job);
                    job.w = job.w.add(job.count * values);
                    (job.from, job.from_pitch) = (job.y.cast(), job.y_pitch);
                    k += job.count;
                    room -= job.count;
                }
            }
        }
        for m in 0..p.count {
            let y = p.y.add(m * p.y_pitch).cast::<u16>();
            let sums = sums.as_ptr().cast::<u16>().add(m * values);
            let wide = wide
                .as_ref()
                .map(|wide| wide.as_ptr().cast::<f32>().add(m * values));
            finish(conv.clamp, sums, wide, y, panel.channels);
        }
    }
}

/// Adds sums of half precision to sums of single precision, if there are any yet.
///
/// # Safety
/// The first `count` sums are written, a multiple of 8.
#[target_feature(enable = "neon")]
unsafe fn add_to(wide: &mut Option<WideSums>, sums: &Sums, count: usize) {
    let first = wide.is_none();
    let own = wide
        .get_or_insert(WideSums::uninit())
        .as_mut_ptr()
        .cast::<f32>();
    let sums = sums.as_ptr().cast::<u16>();
    for i in (0..count).step_by(8) {
        // SAFETY: eight of the written sums, within both arrays. Wide sums are written before they are read.
        unsafe {
            let [low, high] = self::wide(vld1q_u16(sums.add(i)));
            let before = if first {
                float32x4x2_t(vdupq_n_f32(0.0), vdupq_n_f32(0.0))
            } else {
                vld1q_f32_x2(own.add(i))
            };
            let after = float32x4x2_t(vaddq_f32(before.0, low), vaddq_f32(before.1, high));
            vst1q_f32_x2(own.add(i), after);
        }
    }
}

/// Stores the first `count` of a pixel's sums within `clamp`, the wide ones included.
///
/// # Safety
/// `y` is valid for them, and the sums are written.
#[target_feature(enable = "neon")]
unsafe fn finish(
    clamp: (f32, f32),
    sums: *const u16,
    wide: Option<*const f32>,
    y: *mut u16,
    count: usize,
) {
    let (least, most) = (vdupq_n_f32(clamp.0), vdupq_n_f32(clamp.1));
    for i in (0..count).step_by(8) {
        // SAFETY: eight sums; those are stored that `count` includes.
        unsafe {
            let mut all = self::wide(vld1q_u16(sums.add(i)));
            if let Some(wide) = wide {
                let wide = vld1q_f32_x2(wide.add(i));
                all = [vaddq_f32(all[0], wide.0), vaddq_f32(all[1], wide.1)];
            }
            let limited = all.map(|sum| vminq_f32(vmaxq_f32(sum, least), most));
            store(y.add(i), narrowed(limited), count - i);
        }
    }
}
