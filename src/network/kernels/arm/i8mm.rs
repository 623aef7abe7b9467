//! Int8 convolutions with NEON matrix products (`smmla`, FEAT_I8MM: Cortex-A510, A710, X2, Neoverse N2, V1 and later; not the
//! Cortex-A78AE of a Jetson Orin). One adds the 2x2 product of a 2x8 and an 8x2 i8 matrix to four 32-bit lanes, twice the work of
//! an `sdot`. Depthwise convolutions are those of [`super::dotprod_depthwise`]: every such CPU has dot products, too.
//!
//! A tile of 4 pixels by 24 (or 16) output channels stays in registers: see [`super::i8mm_tile`]. That takes one load or zip per
//! six products; a squarer tile needs more loads or zips of pixels. An odd number of pixels is made even by computing the last
//! one twice. (The 2x2 blocks of sums follow from the instruction's definition, the tile from counting instructions.)

use super::dotprod_end::{Channels, End, POSITIVE, Ways, for_way};
use super::neon::{ByteLoops, Neon};
use super::{dotprod_depthwise, i8mm_tile, neon_end};
use crate::network::kernels::panels::{Panel, Panels, byte_panels, pack_bytes, whole_tiles};
use crate::network::kernels::{Aligned, ConvQ8, DepthwiseQ8, DepthwiseRow, Pixels, RawQ8, Runs};
use std::arch::aarch64::*;
use std::ops::Range;

/// The int8 convolutions. Only [`MatrixProduct::detect`] hands one out, so a value of this type proves that the CPU has matrix
/// products and dot products.
#[derive(Debug)]
pub struct MatrixProduct(());

impl MatrixProduct {
    /// `None` if this CPU lacks the instructions.
    pub fn detect() -> Option<&'static Neon<Self>> {
        static KERNELS: Neon<MatrixProduct> = Neon::new(MatrixProduct(()));
        let has_all = std::arch::is_aarch64_feature_detected!("i8mm")
            && std::arch::is_aarch64_feature_detected!("dotprod");
        has_all.then_some(&KERNELS)
    }
}

/// Vectors of 8 channels in the widest panel.
const WIDEST: usize = 3;
/// Pixels of a tile.
const PIXELS: usize = 4;

fn panels(runs: &Runs) -> Panels {
    byte_panels(runs, 8, WIDEST, 8)
}

impl ByteLoops for MatrixProduct {
    const NAME: &'static str = "neon-i8mm";

    fn channel_group(n: usize) -> usize {
        Panels::new(n, 8, WIDEST, 0).group()
    }

    fn pack_conv(runs: &Runs, raw: &RawQ8<'_>) -> Aligned {
        pack(runs, raw)
    }

    unsafe fn conv(conv: &ConvQ8, p: &Pixels, channels: Range<usize>) {
        // SAFETY: the caller's contract is the same, which includes the instructions.
        unsafe {
            let ways = conv.packed.as_ptr().add(panels(&conv.runs).total_bytes());
            for_way!(Ways::read(ways, &conv.end), WAY => run_panels::<WAY>(conv, p, channels));
        }
    }

    fn pack_depthwise(row: &DepthwiseRow, raw: &RawQ8<'_>) -> Aligned {
        dotprod_depthwise::pack(row, raw)
    }

    unsafe fn depthwise(
        conv: &DepthwiseQ8,
        rows: &[*const u8],
        y: *mut u8,
        channels: Range<usize>,
    ) {
        // SAFETY: the caller's contract is the same, which includes the instructions.
        unsafe { dotprod_depthwise::run(conv, rows, y, channels) }
    }
}

/// Bytes of 8 [`Channels`].
const SHIFTED: usize = 160;

/// Packs panels; behind them come the ways to end, and for each panel in turn its [`Channels`]: shifted biases, then multipliers and
/// shifts, two channels at a time and twice, as in the sums.
fn pack(runs: &Runs, raw: &RawQ8<'_>) -> Aligned {
    let panels = panels(runs);
    let mut packed = pack_bytes(panels, runs, raw, 8, |_, place| place);
    let whole = panels.total_bytes();
    let mut all = Aligned::zeroed(whole + Ways::BYTES + runs.n.div_ceil(8) * SHIFTED);
    let bytes = all.bytes_mut();
    bytes[..whole].copy_from_slice(&packed.bytes_mut()[..whole]);
    let channels = Channels::pack(raw, &mut bytes[whole..]);
    for panel in panels.within(0..runs.n) {
        let to = &mut bytes[whole + Ways::BYTES + panel.first / 8 * SHIFTED..];
        let (biases, rest) = to.split_at_mut(panel.vectors * 32);
        for i in 0..panel.channels {
            let [bias, m, shift] = channels.of(panel.first + i);
            biases[i * 4..][..4].copy_from_slice(&bias);
            for (part, of) in [m, shift].iter().enumerate() {
                let at = part * panel.vectors * 64 + i / 2 * 16 + i % 2 * 4;
                rest[at..][..4].copy_from_slice(of);
                rest[at + 8..][..4].copy_from_slice(of);
            }
        }
    }
    all
}

/// # Safety
/// The CPU has matrix products; the contract of `Kernels`.
unsafe fn run_panels<const WAY: u8>(conv: &ConvQ8, p: &Pixels, channels: Range<usize>) {
    // SAFETY: every aarch64 CPU has NEON.
    let end = unsafe { End::new::<WAY>(&conv.end) };
    for panel in panels(&conv.runs).within(channels) {
        // SAFETY: contract (reads, writes), tile by tile, which includes the instructions.
        unsafe {
            whole_tiles(p, panel.first, PIXELS, |pixels, size, count| {
                match (size.div_ceil(2), panel.vectors) {
                    (1, 1) => tiles::<1, 1, WAY>(conv, &end, &panel, pixels, size, count),
                    (1, 2) => tiles::<1, 2, WAY>(conv, &end, &panel, pixels, size, count),
                    (1, _) => tiles::<1, 3, WAY>(conv, &end, &panel, pixels, size, count),
                    (_, 1) => tiles::<2, 1, WAY>(conv, &end, &panel, pixels, size, count),
                    (_, 2) => tiles::<2, 2, WAY>(conv, &end, &panel, pixels, size, count),
                    (_, _) => tiles::<2, 3, WAY>(conv, &end, &panel, pixels, size, count),
                }
            });
        }
    }
}

/// `count` tiles of `size` pixels in PAIRS pairs; the last pair may be the same pixel twice.
///
/// # Safety
/// The CPU has matrix products; the pixels are as the geometry says.
#[target_feature(enable = "neon,i8mm")]
unsafe fn tiles<const PAIRS: usize, const NV: usize, const WAY: u8>(
    conv: &ConvQ8,
    end: &End,
    panel: &Panel,
    p: &Pixels,
    size: usize,
    count: usize,
) {
    let odd = size % 2 == 1;
    let last = |pitch: usize| if odd { 0 } else { pitch };
    let runs = &conv.runs;
    let offsets = runs.offsets.as_slice();
    if offsets.is_empty() {
        return;
    }
    // SAFETY: contract (reads, writes) of `count` times `size` pixels; a run's last load reads at most 15 bytes of slack; the
    // packed panel is as `pack` says.
    unsafe {
        let packed = conv.packed.as_ptr();
        let head = packed.add(panel.offset);
        let shifted = panel.first / 8 * SHIFTED + Ways::BYTES;
        let shifted = packed.add(panels(runs).total_bytes() + shifted);
        let bias = if WAY == POSITIVE { shifted } else { head };
        for tile in 0..count {
            let sums = i8mm_tile::run::<PAIRS, NV>(&i8mm_tile::Place {
                bias,
                w: head.add(NV * 64),
                x: p.x.add(tile * size * p.x_pitch),
                pitch: p.x_pitch,
                last_pitch: last(p.x_pitch),
                offsets: offsets.as_ptr(),
                runs: offsets.len(),
                whole: runs.len / 16 * 16,
                rest: (runs.len % 16).div_ceil(8),
            });
            let to = Output {
                y: p.y.add(tile * size * p.y_pitch),
                pitch: p.y_pitch,
                last_pitch: last(p.y_pitch),
                channels: panel.channels,
            };
            finish::<PAIRS, NV, WAY>(end, &sums, bias.add(NV * 32), &to);
        }
    }
}

/// Where a tile's output bytes go.
struct Output {
    y: *mut u8,
    /// Bytes from one pixel to the next.
    pitch: usize,
    /// The same for the last pixel of the tile (see `Place`).
    last_pitch: usize,
    /// Number of channels.
    channels: usize,
}

/// The bytes of the first and of the second pixel, from two vectors that alternate between two channels of each.
#[inline]
#[target_feature(enable = "neon")]
fn apart(a: int8x16_t, b: int8x16_t) -> [int8x16_t; 2] {
    let (a, b) = (vreinterpretq_u16_s8(a), vreinterpretq_u16_s8(b));
    [vuzp1q_u16(a, b), vuzp2q_u16(a, b)].map(|v| vreinterpretq_s8_u16(v))
}

/// Converts sums to bytes and stores them.
///
/// # Safety
/// `multipliers` is valid for NV vectors of channels (and shifts behind them), the output for what its geometry says.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn finish<const PAIRS: usize, const NV: usize, const WAY: u8>(
    end: &End,
    sums: &[i8mm_tile::Pair; 2],
    multipliers: *const u8,
    to: &Output,
) {
    // SAFETY: as in `tiles`.
    unsafe {
        let mut bytes = [[vdupq_n_s8(0); NV]; PAIRS];
        for v in 0..NV {
            let m = if WAY == POSITIVE {
                let m = vld1q_f32_x4(multipliers.add(v * 64).cast());
                [m.0, m.1, m.2, m.3]
            } else {
                let m = vld4q_dup_s64(multipliers.add(v * 32).cast());
                [m.0, m.1, m.2, m.3].map(|m| vreinterpretq_f32_s64(m))
            };
            let shifts = multipliers.wrapping_add((NV + v) * 64);
            for (bytes, sums) in bytes.iter_mut().zip(sums) {
                let sums = std::array::from_fn(|i| sums[v * 4 + i]);
                bytes[v] = end.bytes::<WAY, 4>(sums, m, shifts);
            }
        }
        // The last of an odd number of vectors: its lower half is the first pair's, the upper half the second pair's.
        let halves = apart(bytes[0][NV - 1], bytes[PAIRS - 1][NV - 1]);
        let mut y = to.y;
        for (pair, bytes) in bytes.iter().enumerate() {
            let wide = apart(bytes[0], bytes[NV.min(2) - 1]);
            for pixel in 0..2 {
                if pair + pixel > 0 {
                    let last = pair + 1 == PAIRS && pixel == 1;
                    y = y.add(if last { to.last_pitch } else { to.pitch });
                }
                let half = if pair == 0 {
                    halves[pixel]
                } else {
                    vextq_s8::<8>(halves[pixel], halves[pixel])
                };
                if to.channels == NV * 8 {
                    if NV > 1 {
                        vst1q_s8(y.cast(), wide[pixel]);
                    }
                    if NV % 2 == 1 {
                        vst1_s8(y.add(NV / 2 * 16).cast(), vget_low_s8(half));
                    }
                } else if NV == 1 {
                    neon_end::store(y, half, to.channels);
                } else {
                    neon_end::store(y, wide[pixel], to.channels);
                    if NV == 3 {
                        neon_end::store(y.add(16), half, to.channels - 16);
                    }
                }
            }
        }
    }
}
