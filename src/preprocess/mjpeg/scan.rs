//! The data of a scan: Huffman codes to coefficients to samples, block by block (ITU-T T.81, annex F).
//!
//! All codes are read, so that a picture that is cut short is found out; but only the blocks that are needed are transformed.

use super::super::lanes::dct::{self, FRACTION_BITS};
use super::super::lanes::{LANES, Pass, Vectors};
use super::bits::Bits;
use super::header::Quantiser;
use super::huffman::{Codes, Symbol};
use super::window::Side;

/// The coefficients in the order of the file: which one of its row (frequency across) and of its column (frequency down).
#[rustfmt::skip]
pub(super) const ORDER: [(u8, u8); 64] = [
    (0, 0), (1, 0), (0, 1), (0, 2), (1, 1), (2, 0), (3, 0), (2, 1), (1, 2), (0, 3), (0, 4), (1, 3), (2, 2), (3, 1), (4, 0), (5, 0),
    (4, 1), (3, 2), (2, 3), (1, 4), (0, 5), (0, 6), (1, 5), (2, 4), (3, 3), (4, 2), (5, 1), (6, 0), (7, 0), (6, 1), (5, 2), (4, 3),
    (3, 4), (2, 5), (1, 6), (0, 7), (1, 7), (2, 6), (3, 5), (4, 4), (5, 3), (6, 2), (7, 1), (7, 2), (6, 3), (5, 4), (4, 5), (3, 6),
    (2, 7), (3, 7), (4, 6), (5, 5), (6, 4), (7, 3), (7, 4), (6, 5), (5, 6), (4, 7), (5, 7), (6, 6), (7, 5), (7, 6), (6, 7), (7, 7),
];

/// Fraction bits of a [`Weight`], beside those of the transform.
const WEIGHT_BITS: i32 = 13;

/// A coefficient's place in a block, and what it is multiplied by.
#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    place: u32,
    factor: i32,
}

impl Weight {
    #[inline(always)]
    fn times(self, value: i32) -> i16 {
        (value
            .wrapping_mul(self.factor)
            .wrapping_add(1 << (WEIGHT_BITS - 1))
            >> WEIGHT_BITS) as i16
    }
}

/// The weights of a component's coefficients, in the order of the file; then as many of no effect, for zeros that go past the end.
#[derive(Debug)]
pub(super) struct Weights([Weight; 128]);

/// Where coefficients go that do not count: behind the block.
const NOWHERE: Weight = Weight {
    place: 64,
    factor: 0,
};

impl Weights {
    pub fn none() -> Self {
        Self([NOWHERE; 128])
    }

    /// For blocks of `shape` samples.
    pub fn make(&mut self, quantiser: &Quantiser<'_>, shape: (usize, usize)) {
        for (i, (weight, (across, down))) in self.0.iter_mut().zip(ORDER).enumerate() {
            let factors =
                dct::factor(across.into(), shape.0).zip(dct::factor(down.into(), shape.1));
            *weight = factors.map_or(NOWHERE, |(x, y)| {
                let unit = f32::from(1u16 << FRACTION_BITS) / 8.0 * f32::from(1u16 << WEIGHT_BITS);
                Weight {
                    place: u32::from(across) * 8 + u32::from(down),
                    factor: (x * y * unit * f32::from(quantiser.value(i))).round() as i32,
                }
            });
        }
    }
}

/// One component, and where its samples go.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub dc: &'a Codes,
    pub ac: &'a Codes,
    pub weights: &'a Weights,
    /// Blocks across and down in each unit.
    pub blocks: (usize, usize),
    pub x: Side,
    pub y: Side,
    pub plane: &'a mut [u8],
    pub stride: usize,
    /// The mean of the block before.
    pub prediction: i32,
    /// Where the first needed block of each row of blocks in the current row of units goes, if it is needed.
    pub rows: [Option<usize>; MAX_BLOCKS],
}

/// Rows of blocks in a unit.
pub(super) const MAX_BLOCKS: usize = 4;

/// Why a scan ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its data ends.
    Cut,
    /// What is wrong.
    Damaged(&'static str),
}

/// All of a picture's data.
pub(super) struct Scan<'a, 'b> {
    pub data: &'a [u8],
    pub parts: &'a mut [Part<'b>],
    /// Units across and down.
    pub units: (usize, usize),
    /// 0: no restarts.
    pub restart_interval: u32,
    pub outcome: &'a mut Result<(), Fault>,
}

impl Pass for Scan<'_, '_> {
    #[inline(always)]
    fn run<V: Vectors>(self, vectors: V) {
        *self.outcome = decode(
            vectors,
            self.data,
            self.parts,
            self.units,
            self.restart_interval,
        );
    }
}

#[inline(always)]
fn decode(
    vectors: impl Vectors,
    data: &[u8],
    parts: &mut [Part<'_>],
    units: (usize, usize),
    restart_interval: u32,
) -> Result<(), Fault> {
    let mut bits = Bits::of(data);
    let mut coefficients = Coefficients::default();
    let (mut until_restart, mut restarts) = (restart_interval, 0);
    for unit_y in 0..units.1 {
        parts.iter_mut().for_each(|part| part.begin_row(unit_y));
        for unit_x in 0..units.0 {
            if restart_interval > 0 {
                if until_restart == 0 {
                    bits = restarted(bits, restarts)?;
                    restarts = (restarts + 1) % 8;
                    until_restart = restart_interval;
                    parts.iter_mut().for_each(|part| part.prediction = 0);
                }
                until_restart -= 1;
            }
            for part in &mut *parts {
                let first = unit_x * part.blocks.0;
                for row in 0..part.blocks.1 {
                    for x in first..first + part.blocks.0 {
                        match part.place(x, row) {
                            Some(at) => {
                                part.read(&mut bits, &mut coefficients)?;
                                part.transform(vectors, &mut coefficients, at);
                            }
                            None => part.read_over(&mut bits)?,
                        }
                    }
                }
            }
        }
    }
    if bits.is_overdrawn() {
        return Err(Fault::Cut);
    }
    Ok(())
}

#[cold]
fn restarted(bits: Bits<'_>, number: u8) -> Result<Bits<'_>, Fault> {
    let fault = broken(bits);
    if bits.is_overdrawn() {
        return Err(fault);
    }
    bits.restarted(number).ok_or(match fault {
        Fault::Cut => Fault::Cut,
        _ => Fault::Damaged("a restart marker is missing"),
    })
}

/// A block's coefficients as they are read.
#[derive(Default)]
struct Coefficients {
    /// A block, and behind it room for what does not count.
    places: [[i16; LANES]; 16],
    last: usize,
}

/// The last coefficient of those that are all among the lowest four across and down.
const LAST_LOW: usize = 9;

impl Part<'_> {
    #[inline(always)]
    fn begin_row(&mut self, unit_y: usize) {
        for (down, row) in self.rows.iter_mut().enumerate().take(self.blocks.1) {
            let y = unit_y * self.blocks.1 + down;
            *row = self.y.needed.contains(&y).then(|| {
                let blocks = self.x.needed.start - self.x.first;
                (y - self.y.first) * self.y.count * self.stride + blocks * self.x.count
            });
        }
    }

    /// Where a block goes, if it is needed.
    #[inline(always)]
    fn place(&self, x: usize, row: usize) -> Option<usize> {
        let first = (*self.rows.get(row)?)?;
        let column = x.wrapping_sub(self.x.needed.start);
        (column < self.x.needed.len()).then(|| first + column * self.x.count)
    }

    /// Reads a block. All coefficients are zero before.
    #[inline(always)]
    fn read(&mut self, bits: &mut Bits<'_>, into: &mut Coefficients) -> Result<(), Fault> {
        let mut ahead = *bits;
        let mean = self.mean(&mut ahead)?;
        let weights = &self.weights.0;
        let places = into.places.as_flattened_mut();
        places[0] = weights[0].times(mean).wrapping_add(128 << FRACTION_BITS);
        let end = each(self.ac, &mut ahead, |at, value| {
            let weight = weights[at & 127];
            places[weight.place as usize & 127] = weight.times(value);
        })?;
        into.last = end.checked_sub(Symbol::LAST_STEP).unwrap_or(63);
        *bits = ahead;
        Ok(())
    }

    /// Reads a block that is not needed.
    #[inline(always)]
    fn read_over(&mut self, bits: &mut Bits<'_>) -> Result<(), Fault> {
        let mut ahead = *bits;
        self.mean(&mut ahead)?;
        each(self.ac, &mut ahead, |_, _| ())?;
        *bits = ahead;
        Ok(())
    }

    /// The first coefficient, which is a block's mean.
    #[inline(always)]
    fn mean(&mut self, bits: &mut Bits<'_>) -> Result<i32, Fault> {
        bits.fill();
        let (_, difference) = next(self.dc, bits)?;
        self.prediction = self.prediction.wrapping_add(difference);
        Ok(self.prediction)
    }

    /// Transforms a block, and leaves zeros.
    #[inline(always)]
    fn transform(&mut self, vectors: impl Vectors, from: &mut Coefficients, at: usize) {
        let shape = (self.x.count, self.y.count);
        let plane = &mut self.plane[at..];
        let [block @ .., _, _, _, _, _, _, _, _] = &mut from.places;
        if from.last == 0 {
            let mean = i32::from(block[0][0]) + (1 << (FRACTION_BITS - 1));
            let pixel = (mean >> FRACTION_BITS).clamp(0, 255) as u8;
            write(plane, self.stride, &[[pixel; LANES]; LANES], shape);
            return;
        }
        // The usual shapes are compiled for themselves.
        match shape {
            (8, 8) if from.last <= LAST_LOW => {
                let rows = dct::inverse(vectors, block, (8, 8), true);
                write(plane, self.stride, &rows, (8, 8));
                block[..4].fill([0; LANES]);
                return;
            }
            (8, 8) => {
                let rows = dct::inverse(vectors, block, (8, 8), false);
                write(plane, self.stride, &rows, (8, 8));
            }
            (4, 4) => {
                let rows = dct::inverse(vectors, block, (4, 4), true);
                write(plane, self.stride, &rows, (4, 4));
            }
            _ => {
                let rows = dct::inverse(vectors, block, shape, false);
                write(plane, self.stride, &rows, shape);
            }
        }
        *block = [[0; LANES]; LANES];
    }
}

#[inline(always)]
fn write(
    plane: &mut [u8],
    stride: usize,
    rows: &[[u8; LANES]; LANES],
    (width, height): (usize, usize),
) {
    let mut at = 0;
    for row in rows.iter().take(height) {
        if width == LANES {
            plane[at..at + LANES].copy_from_slice(row);
        } else {
            plane[at..at + width].copy_from_slice(&row[..width]);
        }
        at += stride;
    }
}

/// All coefficients of a block but the first: their numbers in the file, and values. Numbers from 64 on do not count. Returns where
/// it ends: 64, or [`Symbol::LAST_STEP`] after the last coefficient.
#[inline(always)]
fn each(
    codes: &Codes,
    bits: &mut Bits<'_>,
    mut take: impl FnMut(usize, i32),
) -> Result<usize, Fault> {
    let mut at = 1;
    loop {
        bits.fill();
        let (symbol, value) = next(codes, bits)?;
        let place = at + symbol.zeros();
        take(place, value);
        at = place + symbol.step();
        if at >= 64 {
            if place >= 64 && symbol.zeros() != Symbol::REST {
                return Err(broken(*bits));
            }
            if place == 63 && symbol.step() != 1 {
                // A full block needs no end: what looked like one is of the next.
                codes.put_back_end(bits);
                return Ok(64);
            }
            return Ok(at);
        }
    }
}

/// The next symbol, and its value. The bits are filled.
#[inline(always)]
fn next(codes: &Codes, bits: &mut Bits<'_>) -> Result<(Symbol, i32), Fault> {
    let mut symbol = codes.look_up(bits);
    let mut value = symbol.value();
    if !symbol.is_finished() {
        let Some(finished) = codes.finish(*bits, symbol) else {
            return Err(broken(*bits));
        };
        (symbol, value) = finished;
    }
    bits.skip(symbol.bits());
    Ok((symbol, value))
}

#[cold]
fn broken(bits: Bits<'_>) -> Fault {
    if bits.is_cut() {
        Fault::Cut
    } else {
        Fault::Damaged("its data has no meaning")
    }
}
