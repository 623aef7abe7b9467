//! Functions of bytes, in place: what a layer does with its result while it is still in the cache.
//!
//! Most of them are lines between two limits (a normalisation, another quantisation, ReLU6), one per channel. A line needs no lookup,
//! so the compiler vectorises it. It is found from the table ([`line`]) and taken only if it gives the table's byte for each of the
//! 256 bytes and every channel, so tables and lines give the same bits. Everything else is looked up.

mod line;

use crate::network::graph::tables::{Table, Tables};
use std::ops::Range;

/// `1.5 * 2^23`: added to a number below 2^22, it leaves the nearest integer (half to even) in the lowest bits.
const TO_WHOLE: f32 = 12_582_912.0;

/// Lines of a few channels are repeated to at least so many values, so that vectors are full and loops are long,
const MIN_PERIOD: usize = 512;
/// and to no more than this.
const MAX_PERIOD: usize = 4096;
/// A period is a multiple of this.
const VECTOR: usize = 64;

/// A function of the bytes of each channel, as the kernels store them.
#[derive(Debug, Clone)]
pub struct Map {
    channels: usize,
    of: Of,
}

#[derive(Debug, Clone)]
enum Of {
    Lines(Lines),
    /// One for all channels, or one for each.
    Tables(Vec<Table>),
}

/// For each channel `limit(a * x + b)`, rounded half to even.
#[derive(Debug, Clone)]
struct Lines {
    /// Factors of all channels, some times over: a whole number of periods.
    a: Vec<f32>,
    /// Addends, in the same way.
    b: Vec<f32>,
    limits: Limits,
}

/// Limits, as the bits of `TO_WHOLE` and the limit.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Limits {
    low: i32,
    high: i32,
}

impl Limits {
    fn new(low: i32, high: i32) -> Self {
        let bits = |limit: i32| (TO_WHOLE + limit as f32).to_bits() as i32;
        Self {
            low: bits(low),
            high: bits(high),
        }
    }
}

/// A stored byte's number.
#[inline(always)]
fn number<const SIGNED: bool>(byte: u8) -> f32 {
    if SIGNED {
        f32::from(byte as i8)
    } else {
        f32::from(byte)
    }
}

/// A stored byte on a line.
#[inline(always)]
fn on_line<const SIGNED: bool>(x: u8, a: f32, b: f32, limits: Limits) -> u8 {
    let steps = number::<SIGNED>(x) * a + b;
    let bits = (steps + TO_WHOLE).to_bits() as i32;
    bits.max(limits.low).min(limits.high) as u8
}

impl Map {
    /// For the channels `part` of a layer, of bytes stored with the top bit flipped if `signed`.
    pub fn new(tables: &Tables, part: Range<usize>, signed: bool) -> Self {
        let flip = if signed { 0x80 } else { 0 };
        let count = if tables.each().len() == 1 {
            1
        } else {
            part.len()
        };
        let stored = |c: usize| -> Table {
            let of = tables.of(part.start + c);
            std::array::from_fn(|x| of[usize::from(x as u8 ^ flip)] ^ flip)
        };
        let stored: Vec<Table> = (0..count).map(stored).collect();
        let lines = if signed {
            Lines::through::<true>(&stored, part.len())
        } else {
            Lines::through::<false>(&stored, part.len())
        };
        Self {
            channels: part.len(),
            of: lines.map_or(Of::Tables(stored), Of::Lines),
        }
    }

    /// Channels of a pixel.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Whether it is looked up.
    pub fn looks_up(&self) -> bool {
        matches!(self.of, Of::Tables(_))
    }

    /// Puts these channels of some pixels, which `y` holds one after the other, through their functions.
    #[inline(always)]
    pub fn run<const SIGNED: bool>(&self, channels: Range<usize>, y: &mut [u8]) {
        self.run_with::<SIGNED>(channels, y, |table, y| {
            y.iter_mut().for_each(|y| *y = table[usize::from(*y)]);
        });
    }

    /// The same, with an instruction set's own loop for one table of all channels.
    #[inline(always)]
    pub(super) fn run_with<const SIGNED: bool>(
        &self,
        channels: Range<usize>,
        y: &mut [u8],
        look_up: impl Fn(&Table, &mut [u8]),
    ) {
        match &self.of {
            Of::Lines(lines) => lines.run::<SIGNED>(self.channels, channels, y),
            Of::Tables(tables) => match &tables[..] {
                [table] => look_up(table, y),
                tables => {
                    for pixel in y.chunks_exact_mut(channels.len()) {
                        for (y, table) in pixel.iter_mut().zip(&tables[channels.clone()]) {
                            *y = table[usize::from(*y)];
                        }
                    }
                }
            },
        }
    }
}

impl Lines {
    /// The lines through these tables of stored bytes (one, or one per channel), if there are any.
    fn through<const SIGNED: bool>(tables: &[Table], channels: usize) -> Option<Self> {
        let order = |at: usize| if SIGNED { (at ^ 0x80) as u8 } else { at as u8 };
        let numbers = |table: &Table| -> [i32; 256] {
            std::array::from_fn(|at| number::<SIGNED>(table[usize::from(order(at))]) as i32)
        };
        let all = tables.iter().flat_map(numbers);
        let (low, high) = all.fold((255, -128), |(low, high), y| (y.min(low), y.max(high)));
        let limits = Limits::new(low, high);
        let first = if SIGNED { -128 } else { 0 };
        let mut found = Vec::with_capacity(tables.len());
        for table in tables {
            let is_right = |(a, b): (f32, f32)| {
                let right = |x: usize| on_line::<SIGNED>(x as u8, a, b, limits) == table[x];
                (0..256).all(right)
            };
            found.push(line::through(
                first,
                &numbers(table),
                (low, high),
                is_right,
            )?);
        }
        let whole = |n: &usize| (n * channels).is_multiple_of(VECTOR);
        let least = MIN_PERIOD.div_ceil(channels.max(1));
        let times = (least..).take(VECTOR).find(whole);
        let times = times.filter(|n| n * channels <= MAX_PERIOD).unwrap_or(1);
        let spread = |of: fn(&(f32, f32)) -> f32| {
            let channel = |i: usize| of(&found[i % channels % found.len()]);
            (0..times * channels).map(channel).collect()
        };
        Some(Self {
            a: spread(|line| line.0),
            b: spread(|line| line.1),
            limits,
        })
    }

    #[inline(always)]
    fn run<const SIGNED: bool>(&self, all: usize, channels: Range<usize>, y: &mut [u8]) {
        let part = if channels.len() == all {
            0..self.a.len()
        } else {
            channels
        };
        let (a, b) = (&self.a[part.clone()], &self.b[part]);
        for y in y.chunks_mut(a.len().max(1)) {
            for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
                *y = on_line::<SIGNED>(*y, a, b, self.limits);
            }
        }
    }
}
