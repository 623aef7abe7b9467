//! Kernels for half precision with NEON (`fmla .8h`, on Cortex-A55, A76 and later).
//!
//! Convolution: the sums of a tile, for example 5 pixels by 4 vectors of 8 output channels, stay in registers over at most [`BLOCK`]
//! products ([`super::neon_f16_tiles`]); those of more are added to sums of single precision, which are in memory.

use super::neon_f16_depthwise;
use super::neon_f16_tiles::*;
use super::neon_f16_vectors::{self, narrowed, store, wide};
use crate::network::kernels::half::of_f32;
use crate::network::kernels::panels::{Panel, Panels, half_panels};
use crate::network::kernels::{ConvF16, DepthwiseF16, Half, Pixels, Runs};
use std::arch::aarch64::*;
use std::mem::MaybeUninit;
use std::ops::Range;

/// The most products that are added in half precision. The probabilities of MobileNet v2's photos differ from those in single
/// precision by up to 0.0075; by up to 0.005 with half as many products, as with sums in single precision.
const BLOCK: usize = 256;

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
        for panel in self.panels(&conv.runs).within(channels) {
            // SAFETY: contract (reads, writes), tile by tile; `self` proves that the CPU has the instructions.
            unsafe { run_panel(conv, &panel, p) };
        }
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

/// The most sums of a tile, in whole pairs of vectors.
const SUMS: usize = 22 * 8;

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

/// # Safety
/// The CPU has the instructions; pixels as the geometry says.
unsafe fn run_panel(conv: &ConvF16, panel: &Panel, p: &Pixels) {
    let shapes = shapes(panel.vectors);
    // Nearly equal tiles: first those that take one more of the remaining pixels.
    let tiles = p.count.div_ceil(shapes[0].0).max(1);
    let (size, longer) = (p.count / tiles, p.count % tiles);
    let after = longer * (size + 1);
    for (first, size, tiles) in [(0, size + 1, longer), (after, size, tiles - longer)] {
        if size * tiles > 0 {
            let shape = shapes.iter().rfind(|shape| shape.0 >= size);
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
                run_tiles(conv, panel, &pixels, shape.unwrap_or(&shapes[0]), tiles);
            }
        }
    }
}

/// `tiles` tiles of `p.count` pixels.
///
/// # Safety
/// As [`run_panel`]; the shape is for the panel's vectors and at least as many pixels.
unsafe fn run_tiles(conv: &ConvF16, panel: &Panel, p: &Pixels, shape: &Shape, tiles: usize) {
    let values = panel.vectors * 8;
    // SAFETY: contract (reads, writes) of these pixels; the packed panel is biases, then vectors per value.
    unsafe {
        let head = conv.packed.as_ptr().add(panel.offset).cast::<u16>();
        let mut job = Job {
            tiles,
            from: head,
            from_pitch: 0,
            x: p.x.add(conv.runs.offsets[0]),
            x_pitch: p.x_pitch,
            last: p.count - 1,
            w: head.add(values),
            count: conv.runs.len,
            y: p.y,
            y_pitch: p.y_pitch,
            limits: [conv.clamp.0, conv.clamp.1].map(of_f32),
        };
        let whole = conv.runs.offsets.len() == 1 && conv.runs.len <= BLOCK;
        if whole && p.count == shape.0 && panel.channels == values {
            return (shape.1)(&job);
        }
        job.tiles = 1;
        for tile in 0..tiles {
            let x = p.x.add(tile * p.count * p.x_pitch);
            job.y = p.y.add(tile * p.count * p.y_pitch);
            run_parts(conv, panel, &Pixels { x, y: job.y, ..*p }, shape, job);
        }
    }
}

/// A tile of many products, of several runs, or of fewer pixels or channels than its shape has.
///
/// # Safety
/// As [`run_tiles`] for one; `job` begins it, but for its input.
#[target_feature(enable = "neon")]
unsafe fn run_parts(
    conv: &ConvF16,
    panel: &Panel,
    p: &Pixels,
    &(pixels, tile): &Shape,
    mut job: Job,
) {
    /// No sums yet.
    static NONE: [u16; 32] = [0; 32];
    let Runs { offsets, len, .. } = &conv.runs;
    let (values, products) = (panel.vectors * 8, offsets.len() * len);
    let mut gathered = [[0u16; GATHERED]; 8];
    // SAFETY: contract (reads) of these pixels.
    let one = (offsets.len() > 1 && products <= GATHERED - 8)
        .then(|| unsafe { gather(conv, p, &mut gathered) });
    let (offsets, len, x) = match one {
        Some(x) => (&[0][..], products, x),
        None => (&offsets[..], *len, p.x),
    };
    if one.is_some() {
        (job.x, job.x_pitch, job.count) = (x, GATHERED * 2, products);
        if p.count == pixels && panel.channels == values {
            // SAFETY: the gathered values of these pixels, all at once.
            return unsafe { tile(&job) };
        }
    }
    let block = products.div_ceil(products.div_ceil(BLOCK).max(1));
    let block = block.next_multiple_of(8);
    let (mut sums, mut wide) = (Sums::uninit(), None);
    job.y = sums.as_mut_ptr().cast();
    job.y_pitch = values * 2;
    job.limits = [f32::NEG_INFINITY, f32::INFINITY].map(of_f32);
    let mut room = block;
    // SAFETY: contract (reads, writes) of these pixels; the sums have room for every shape, and a tile writes them before they are
    // read.
    unsafe {
        for &offset in offsets {
            let mut k = 0;
            while k < len {
                let left = len - k;
                if room < left.min(8) {
                    add_to(&mut wide, &sums, pixels * values);
                    (job.from, job.from_pitch) = (NONE.as_ptr(), 0);
                    room = block;
                }
                job.count = if left <= room { left } else { room / 8 * 8 };
                job.x = x.add(offset + k * 2);
                tile(&job);
                job.w = job.w.add(job.count * values);
                (job.from, job.from_pitch) = (job.y.cast(), job.y_pitch);
                k += job.count;
                room -= job.count;
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

/// Values of a pixel that are gathered from several runs.
const GATHERED: usize = 64;

/// Copies the runs of each pixel one after the other; returns where.
///
/// # Safety
/// The pixels, at most 8, are as the geometry says, of at most `GATHERED - 8` values.
#[target_feature(enable = "neon")]
unsafe fn gather(conv: &ConvF16, p: &Pixels, to: &mut [[u16; GATHERED]; 8]) -> *const u8 {
    let Runs { offsets, len, .. } = &conv.runs;
    for (m, to) in to.iter_mut().enumerate().take(p.count) {
        for (r, offset) in offsets.iter().enumerate() {
            for k in (0..*len).step_by(8) {
                // SAFETY: contract (reads): at most 14 bytes past a run. What is written past its place is within the pixel's and
                // is overwritten by the next run.
                unsafe {
                    let x = p.x.add(m * p.x_pitch + offset + k * 2).cast();
                    vst1q_u16(to.as_mut_ptr().add(r * len + k), vld1q_u16(x));
                }
            }
        }
    }
    to.as_ptr().cast()
}

/// Adds sums of half precision to sums of single precision, if there are any yet.
///
/// # Safety
/// The first `count` sums are written.
#[target_feature(enable = "neon")]
unsafe fn add_to(wide: &mut Option<WideSums>, sums: &Sums, count: usize) {
    let first = wide.is_none();
    let own = wide
        .get_or_insert(WideSums::uninit())
        .as_mut_ptr()
        .cast::<f32>();
    let sums = sums.as_ptr().cast::<u16>();
    for i in (0..count).step_by(16) {
        // SAFETY: within both arrays, whose sizes are multiples of 16; what is past `count` does not count. Wide sums are written
        // before they are read.
        unsafe {
            for i in [i, i + 8] {
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
