//! A plain JPEG encoder for tests, which knows what a decoder must make of its pictures.

use super::super::scan::ORDER;
use super::super::standard;
use std::collections::BTreeMap;
use std::f64::consts::PI;

/// How a picture is encoded.
#[derive(Debug, Clone)]
pub struct Recipe {
    pub size_px: (usize, usize),
    /// Blocks of each component in a unit: one component or three.
    pub sampling: Vec<(u8, u8)>,
    pub restart_interval: u16,
    /// The quantiser of all coefficients; above 255 the table is one of words.
    pub quantiser: u16,
    /// Huffman tables of its own instead of the standard's.
    pub has_own_codes: bool,
    /// Whether it defines its Huffman tables.
    pub has_tables: bool,
}

/// A picture, and the samples of each component's blocks.
pub struct Encoded {
    pub jpeg: Vec<u8>,
    pub planes: Vec<Samples>,
}

/// The samples of one component, in whole blocks.
pub struct Samples {
    pub width: usize,
    pub values: Vec<f64>,
}

/// `sum(cos)` of T.81's A.3.3, along one axis.
pub fn cosine(frequency: usize, position: usize) -> f64 {
    let scale = if frequency == 0 { 0.5f64.sqrt() } else { 1.0 };
    scale * ((2 * position + 1) as f64 * frequency as f64 * PI / 16.0).cos() / 2.0
}

/// Both axes, one after the other; `basis(from, to)`.
fn both_axes(block: &[f64; 64], basis: impl Fn(usize, usize) -> f64) -> [f64; 64] {
    let along = |block: &[f64; 64]| -> [f64; 64] {
        // Transposes too.
        std::array::from_fn(|i| {
            let (to, other) = (i / 8, i % 8);
            (0..8)
                .map(|from| block[other * 8 + from] * basis(from, to))
                .sum()
        })
    };
    along(&along(block))
}

/// Symbols with the bits that follow them, and which table each is of.
type Symbols = Vec<(usize, usize, u8, u32, u32)>;

fn size_of(value: i32) -> (u32, u32) {
    let size = 32 - value.unsigned_abs().leading_zeros();
    let bits = if value < 0 {
        value - 1 + (1 << size)
    } else {
        value
    };
    (size, bits as u32)
}

fn block_symbols(values: &[i32; 64], difference: i32, slot: usize, symbols: &mut Symbols) {
    let (size, bits) = size_of(difference);
    symbols.push((0, slot, size as u8, bits, size));
    let last = (1..64).rev().find(|&i| values[i] != 0).unwrap_or(0);
    let mut zeros = 0;
    for &value in &values[1..=last] {
        if value == 0 {
            zeros += 1;
            continue;
        }
        while zeros > 15 {
            symbols.push((1, slot, 0xf0, 0, 0));
            zeros -= 16;
        }
        let (size, bits) = size_of(value);
        symbols.push((1, slot, (zeros << 4) as u8 | size as u8, bits, size));
        zeros = 0;
    }
    if last < 63 {
        symbols.push((1, slot, 0, 0, 0));
    }
}

/// Codes of the most frequent symbols first, with as many of each length as the standard's.
fn own_codes(symbols: &[Symbols], class: usize, slot: usize) -> Vec<u8> {
    let mut counts = BTreeMap::new();
    for symbol in symbols
        .iter()
        .flatten()
        .filter(|s| (s.0, s.1) == (class, slot))
    {
        *counts.entry(symbol.2).or_insert(0) += 1;
    }
    let mut values: Vec<(u8, i32)> = counts.into_iter().collect();
    values.sort_by_key(|&(value, count)| (-count, value));
    let mut left = values.len() as u8;
    let lengths = standard::CODES[class][0][..16].iter().map(|&most| {
        let count = most.min(left);
        left -= count;
        count
    });
    lengths
        .collect::<Vec<_>>()
        .into_iter()
        .chain(values.iter().map(|v| v.0))
        .collect()
}

/// Each symbol's code and its length.
fn code_book(codes: &[u8]) -> BTreeMap<u8, (u32, u32)> {
    let (mut book, mut code, mut place) = (BTreeMap::new(), 0, 16);
    for length in 1..=16 {
        for _ in 0..codes[length - 1] {
            book.insert(codes[place], (code, length as u32));
            code += 1;
            place += 1;
        }
        code <<= 1;
    }
    book
}

fn segment(jpeg: &mut Vec<u8>, marker: u8, content: &[u8]) {
    jpeg.extend([0xff, marker]);
    jpeg.extend((content.len() as u16 + 2).to_be_bytes());
    jpeg.extend(content);
}

impl Recipe {
    /// Encodes a picture; `sample(component, x, y)` at the component's own resolution.
    pub fn encode(&self, mut sample: impl FnMut(usize, usize, usize) -> f64) -> Encoded {
        let most = |f: fn(&(u8, u8)) -> u8| usize::from(self.sampling.iter().map(f).max().unwrap());
        let is_grey = self.sampling.len() == 1;
        let most = if is_grey {
            (1, 1)
        } else {
            (most(|s| s.0), most(|s| s.1))
        };
        let units = (
            self.size_px.0.div_ceil(8 * most.0),
            self.size_px.1.div_ceil(8 * most.1),
        );
        let blocks = |component: usize| match is_grey {
            true => (1, 1),
            false => {
                let (h, v) = self.sampling[component];
                (usize::from(h), usize::from(v))
            }
        };
        let mut planes: Vec<Samples> = (0..self.sampling.len())
            .map(|component| {
                let (h, v) = blocks(component);
                let (width, height) = (units.0 * h * 8, units.1 * v * 8);
                Samples {
                    width,
                    values: vec![0.0; width * height],
                }
            })
            .collect();
        let mut pieces = vec![Symbols::new()];
        let mut before = [0; 3];
        let mut until_restart = self.restart_interval;
        for unit in 0..units.0 * units.1 {
            if self.restart_interval > 0 {
                if until_restart == 0 {
                    pieces.push(Symbols::new());
                    before = [0; 3];
                    until_restart = self.restart_interval;
                }
                until_restart -= 1;
            }
            for (component, plane) in planes.iter_mut().enumerate() {
                let (h, v) = blocks(component);
                for i in 0..h * v {
                    let x = (unit % units.0 * h + i % h) * 8;
                    let y = (unit / units.0 * v + i / h) * 8;
                    let pixels = std::array::from_fn(|i| {
                        sample(component, x + i % 8, y + i / 8)
                            .round()
                            .clamp(0.0, 255.0)
                            - 128.0
                    });
                    let exact =
                        both_axes(&pixels, |position, frequency| cosine(frequency, position));
                    let q = f64::from(self.quantiser);
                    let values: [i32; 64] = std::array::from_fn(|i| {
                        let (across, down) = ORDER[i];
                        (exact[usize::from(down) * 8 + usize::from(across)] / q).round() as i32
                    });
                    let mut coefficients = [0.0; 64];
                    for (&value, (across, down)) in values.iter().zip(ORDER) {
                        coefficients[usize::from(down) * 8 + usize::from(across)] =
                            f64::from(value) * q;
                    }
                    let back = both_axes(&coefficients, cosine);
                    for (i, value) in back.iter().enumerate() {
                        plane.values[(y + i / 8) * plane.width + x + i % 8] = value + 128.0;
                    }
                    let symbols = pieces.last_mut().unwrap();
                    let difference = values[0] - before[component];
                    block_symbols(&values, difference, component.min(1), symbols);
                    before[component] = values[0];
                }
            }
        }
        Encoded {
            jpeg: self.file(&pieces),
            planes,
        }
    }

    fn file(&self, pieces: &[Symbols]) -> Vec<u8> {
        let slots = self.sampling.len().min(2);
        let codes: Vec<Vec<Vec<u8>>> = (0..2)
            .map(|class| {
                (0..slots)
                    .map(|slot| match self.has_own_codes {
                        true => own_codes(pieces, class, slot),
                        false => standard::CODES[class][slot].to_vec(),
                    })
                    .collect()
            })
            .collect();
        let mut jpeg = vec![0xff, 0xd8];
        segment(&mut jpeg, 0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
        let table = match u8::try_from(self.quantiser) {
            Ok(value) => [&[0][..], &[value; 64]].concat(),
            Err(_) => [&[0x10][..], &self.quantiser.to_be_bytes().repeat(64)].concat(),
        };
        segment(&mut jpeg, 0xdb, &table);
        let (w, h) = (self.size_px.0 as u16, self.size_px.1 as u16);
        let count = self.sampling.len() as u8;
        let mut frame = [&[8][..], &h.to_be_bytes(), &w.to_be_bytes(), &[count]].concat();
        for (id, &(h, v)) in (1..).zip(&self.sampling) {
            frame.extend([id, h << 4 | v, 0]);
        }
        segment(
            &mut jpeg,
            if self.quantiser > 255 { 0xc1 } else { 0xc0 },
            &frame,
        );
        for class in (0..2).filter(|_| self.has_tables) {
            for (slot, code) in codes[class].iter().enumerate().take(slots) {
                let kind = (class << 4 | slot) as u8;
                segment(&mut jpeg, 0xc4, &[&[kind][..], code].concat());
            }
        }
        if self.restart_interval > 0 {
            segment(&mut jpeg, 0xdd, &self.restart_interval.to_be_bytes());
        }
        let mut scan = vec![count];
        for id in 1..=count {
            scan.extend([id, if id == 1 { 0 } else { 0x11 }]);
        }
        scan.extend([0, 63, 0]);
        segment(&mut jpeg, 0xda, &scan);
        let books: Vec<Vec<_>> = codes
            .iter()
            .map(|class| class.iter().map(|codes| code_book(codes)).collect())
            .collect();
        for (i, piece) in pieces.iter().enumerate() {
            if i > 0 {
                jpeg.extend([0xff, 0xd0 + ((i - 1) % 8) as u8]);
            }
            write_bits(piece, &books, &mut jpeg);
        }
        jpeg.extend([0xff, 0xd9]);
        jpeg
    }
}

fn write_bits(symbols: &Symbols, books: &[Vec<BTreeMap<u8, (u32, u32)>>], jpeg: &mut Vec<u8>) {
    let (mut ahead, mut count) = (0u64, 0);
    let mut put = |bits: u32, length: u32, jpeg: &mut Vec<u8>| {
        ahead = ahead << length | u64::from(bits);
        count += length;
        while count >= 8 {
            count -= 8;
            let byte = (ahead >> count) as u8;
            jpeg.push(byte);
            if byte == 0xff {
                jpeg.push(0);
            }
        }
        count
    };
    let mut left = 0;
    for &(class, slot, symbol, bits, length) in symbols {
        let (code, code_length) = books[class][slot][&symbol];
        put(code, code_length, jpeg);
        left = put(bits, length, jpeg);
    }
    if left > 0 {
        put((1 << (8 - left)) - 1, 8 - left, jpeg);
    }
}
