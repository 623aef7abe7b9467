//! Huffman tables, as one look-up for most of the symbols: a code together with the value that follows it (ITU-T T.81, annexes C
//! and F).

use super::bits::Bits;

/// Bits that a look-up takes.
const LOOKUP_BITS: u32 = 10;
/// The longest code.
const MAX_BITS: usize = 16;

/// Which symbols a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// The number of bits of a difference.
    Dc,
    /// How many coefficients are zero, and the number of bits of the next.
    Ac,
}

/// What a look-up finds, in 32 bits: how many bits it takes, how many coefficients are zero, how far it is to the next after them, and
/// the value of the one between.
///
/// It may be [unfinished](Self::is_finished).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Symbol(u32);

impl Symbol {
    /// Zeros that stand for "the rest of the block": from any place of a block they lead out of it.
    pub const REST: usize = 63;
    /// How far the end of a block leads: from the last coefficient, out of the block.
    pub const LAST_STEP: usize = 1 + Self::REST + 1;

    const UNFINISHED: u32 = 0x80;

    fn finished(bits: u32, zeros: usize, value: i32) -> Self {
        Self((value << 21) as u32 | 1 << 14 | (zeros as u32) << 8 | bits)
    }

    /// The same with the end of the block, a code of `bits`, behind it.
    fn and_last(self, bits: u32) -> Self {
        Self(self.0 + ((Self::LAST_STEP as u32 - 1) << 14) + bits)
    }

    /// A code of `bits` whose value of `size` bits does not fit into the look-up.
    fn unfinished(bits: u32, zeros: usize, size: u32) -> Self {
        Self(Self::finished(bits, zeros, size as i32).0 | Self::UNFINISHED)
    }

    /// Whether bits and value are known; otherwise [`Codes::finish`] finds them.
    #[inline(always)]
    pub fn is_finished(self) -> bool {
        self.0 & Self::UNFINISHED == 0
    }

    #[inline(always)]
    pub fn bits(self) -> u32 {
        self.0 & 0x3f
    }

    #[inline(always)]
    pub fn zeros(self) -> usize {
        (self.0 >> 8 & 0x3f) as usize
    }

    #[inline(always)]
    pub fn step(self) -> usize {
        (self.0 >> 14 & 0x7f) as usize
    }

    #[inline(always)]
    pub fn value(self) -> i32 {
        self.0 as i32 >> 21
    }
}

/// A table that can be looked up.
#[derive(Debug)]
pub(super) struct Codes {
    class: Class,
    lookup: [Symbol; 1 << LOOKUP_BITS],
    /// For each length the first code that is not of it, filled up to 16 bits.
    ends: [u32; MAX_BITS + 1],
    /// What is added to a code of each length to get the place of its value.
    places: [i32; MAX_BITS + 1],
    values: [u8; 256],
    /// The code for the end of a block, and its length.
    end_of_block: Option<(u32, u32)>,
    /// What the table was made of.
    made_of: [u8; MAX_BITS + 256],
    made_of_bytes: usize,
}

impl Codes {
    /// A table without codes.
    pub fn empty(class: Class) -> Self {
        Self {
            class,
            lookup: [Symbol::default(); 1 << LOOKUP_BITS],
            ends: [0; MAX_BITS + 1],
            places: [0; MAX_BITS + 1],
            values: [0; 256],
            end_of_block: None,
            made_of: [0; MAX_BITS + 256],
            made_of_bytes: 0,
        }
    }

    /// Makes it the table of `codes`: 16 counts, then as many values. `None` if that is not a table. Cheap if it is the same as before,
    /// as it is from frame to frame.
    pub fn make(&mut self, codes: &[u8]) -> Option<()> {
        if self.made_of[..self.made_of_bytes] == *codes {
            return Some(());
        }
        self.made_of_bytes = 0;
        let (counts, values) = codes.split_first_chunk::<MAX_BITS>()?;
        let own = self.values.get_mut(..values.len())?;
        own.copy_from_slice(values);
        self.lookup.fill(Symbol::unfinished(0, 0, 0));
        let (mut code, mut place) = (0u32, 0);
        for (length, &count) in (1u32..).zip(counts) {
            self.places[length as usize] = place - code as i32;
            place += i32::from(count);
            code += u32::from(count);
            // No code may consist of ones alone.
            if code >= 1 << length {
                return None;
            }
            self.ends[length as usize] = code << (MAX_BITS as u32 - length);
            code <<= 1;
        }
        if place as usize != values.len() {
            return None;
        }
        let mut end_of_block = coded(counts, values).filter(|&(_, _, value)| value == 0);
        let end_of_block = end_of_block.next().filter(|_| self.class == Class::Ac);
        self.end_of_block = end_of_block.map(|(code, length, _)| (code, length));
        for (code, length, value) in coded(counts, values) {
            self.note(code, length, value)?;
        }
        self.made_of.get_mut(..codes.len())?.copy_from_slice(codes);
        self.made_of_bytes = codes.len();
        Some(())
    }

    /// Enters a code of `length` bits in the look-up.
    fn note(&mut self, code: u32, length: u32, value: u8) -> Option<()> {
        let Some((zeros, size)) = self.meaning(value) else {
            return Some(());
        };
        let Some(free) = LOOKUP_BITS.checked_sub(length) else {
            return Some(());
        };
        let first = (code as usize) << free;
        let entries = self.lookup.get_mut(first..first + (1 << free))?;
        for (following, entry) in entries.iter_mut().enumerate() {
            let Some(unused) = free.checked_sub(size) else {
                *entry = Symbol::unfinished(length, zeros, size);
                continue;
            };
            *entry = Symbol::finished(length + size, zeros, extended(following >> unused, size));
            if let Some((end, bits)) = self.end_of_block
                && let Some(unused) = unused.checked_sub(bits).filter(|_| size > 0)
                && following >> unused & ((1 << bits) - 1) == end as usize
            {
                *entry = entry.and_last(bits);
            }
        }
        Some(())
    }

    /// Undoes that an end of a block was taken with the value before.
    #[cold]
    pub fn put_back_end(&self, bits: &mut Bits<'_>) {
        if let Some((code, length)) = self.end_of_block {
            bits.put_back(code, length);
        }
    }

    /// What a value means: zeros, and bits of what follows.
    fn meaning(&self, value: u8) -> Option<(usize, u32)> {
        match (self.class, value >> 4, value & 15) {
            (Class::Dc, 0, size) => Some((0, size.into())),
            (Class::Ac, 0, 0) => Some((Symbol::REST, 0)),
            (Class::Ac, 15, 0) => Some((15, 0)),
            (Class::Ac, zeros, size @ 1..) => Some((zeros.into(), size.into())),
            // Of progressive pictures, or of none: no code.
            _ => None,
        }
    }

    #[inline(always)]
    pub fn look_up(&self, bits: &Bits<'_>) -> Symbol {
        self.lookup[bits.peek(LOOKUP_BITS)]
    }

    /// The whole of an unfinished symbol; `None`: the bits are not a code. The bits that it takes are at most 31.
    #[inline(never)]
    pub fn finish(&self, bits: Bits<'_>, symbol: Symbol) -> Option<(Symbol, i32)> {
        let (length, zeros, size) = match symbol.bits() {
            0 => {
                let next = bits.peek(MAX_BITS as u32) as u32;
                if next < self.ends[LOOKUP_BITS as usize] {
                    return None;
                }
                let mut lengths = LOOKUP_BITS as usize + 1..=MAX_BITS;
                let length = lengths.find(|&length| next < self.ends[length])?;
                let code = (next >> (MAX_BITS - length)) as i32;
                let place = usize::try_from(code + self.places[length]).ok()?;
                let (zeros, size) = self.meaning(*self.values.get(place)?)?;
                (length as u32, zeros, size)
            }
            length => (length, symbol.zeros(), symbol.value() as u32),
        };
        let mut after = bits;
        after.skip(length);
        let value = match size {
            0 => 0,
            _ => extended(after.peek(size), size),
        };
        Some((Symbol::finished(length + size, zeros, 0), value))
    }
}

/// Each code with its length and value.
fn coded(counts: &[u8; MAX_BITS], values: &[u8]) -> impl Iterator<Item = (u32, u32, u8)> {
    let lengths = (1u32..).zip(counts);
    let lengths = lengths.flat_map(|(length, &count)| (0..count).map(move |_| length));
    let (mut code, mut before) = (0, 0);
    lengths.zip(values).map(move |(length, &value)| {
        let own = code << (length - before);
        (code, before) = (own + 1, length);
        (own, length, value)
    })
}

/// A value of `size` bits: those that begin with 0 are negative (table F.1).
fn extended(bits: usize, size: u32) -> i32 {
    let bits = bits as i32;
    if size == 0 || bits >> (size - 1) != 0 {
        bits
    } else {
        bits - (1 << size) + 1
    }
}
