//! The bits of a scan: without the zero that follows each FF, up to the next marker or the end of the data. There the reader goes on
//! with ones, which begin no code (ITU-T T.81, annex C), and knows how many of them were taken.

/// Bits that are there after [`Bits::fill`]: the longest code, 16 bits, and the longest value after it, 15.
pub(super) const MIN_BITS: u32 = 32;

/// A reader. It is small and copied, so that a loop can keep it in registers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bits<'a> {
    data: &'a [u8],
    /// The next byte that is not yet in `ahead`.
    at: usize,
    /// The next bits, the first one on top. What lies below `count` bits is what follows them, or zero.
    ahead: u64,
    count: u32,
    /// Bits of `ahead` and before that were not in the data.
    made_up: u32,
}

impl<'a> Bits<'a> {
    pub fn of(data: &'a [u8]) -> Self {
        Self {
            data,
            at: 0,
            ahead: 0,
            count: 0,
            made_up: 0,
        }
    }

    /// Makes sure of [`MIN_BITS`] bits.
    #[inline(always)]
    pub fn fill(&mut self) {
        if self.count < MIN_BITS {
            let next = self.data.get(self.at..).and_then(|rest| rest.first_chunk());
            let word = u64::from_be_bytes(next.copied().unwrap_or([0xff; 8]));
            // A byte is FF where adding one carries out of it: exact for the lowest such byte, which is all that counts here.
            let is_ff = word & !word.wrapping_add(0x0101_0101_0101_0101) & 0x8080_8080_8080_8080;
            if is_ff == 0 {
                let bytes = (64 - self.count) / 8;
                self.ahead |= word >> self.count;
                self.at += bytes as usize;
                self.count += bytes * 8;
            } else {
                *self = self.filled_byte_by_byte();
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn filled_byte_by_byte(mut self) -> Self {
        self.ahead &= !(u64::MAX >> self.count);
        while self.count <= 56 {
            let byte = match self.data.get(self.at..) {
                Some([0xff, 0x00, ..]) => {
                    self.at += 2;
                    0xff
                }
                // Also a lone FF at the end: the first half of a marker.
                Some([] | [0xff, ..]) | None => {
                    self.made_up = self.made_up.saturating_add(8);
                    0xff
                }
                Some([byte, ..]) => {
                    self.at += 1;
                    *byte
                }
            };
            self.ahead |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
        self
    }

    /// The next `count` bits, 1..=32, which stay.
    #[inline(always)]
    pub fn peek(&self, count: u32) -> usize {
        (self.ahead >> (64 - count)) as usize
    }

    /// Drops `count` of the bits that [`Self::fill`] made sure of.
    #[inline(always)]
    pub fn skip(&mut self, count: u32) {
        self.ahead <<= count;
        self.count = self.count.wrapping_sub(count);
    }

    /// Puts back what was [skipped](Self::skip) last.
    pub fn put_back(&mut self, bits: u32, count: u32) {
        self.ahead = self.ahead >> count | u64::from(bits) << (64 - count);
        self.count += count;
    }

    /// Whether more was taken than there is.
    pub fn is_overdrawn(&self) -> bool {
        self.made_up > self.count
    }

    /// Whether the picture's data ends where the next symbol would: at a marker that is not a restart, or without one.
    pub fn is_cut(&self) -> bool {
        let rest = self.data.get(self.at..).unwrap_or_default();
        let behind = rest.iter().position(|&byte| byte != 0xff);
        let is_end = match behind {
            None => true,
            Some(at) => at > 0 && !matches!(rest[at], 0x00 | 0xd0..=0xd7),
        };
        is_end && self.made_up > 0 && self.count < MIN_BITS + self.made_up
    }

    /// Drops what is left before the next marker, and the marker if it is RST with this number, 0..8. `None` if it is not.
    pub fn restarted(self, number: u8) -> Option<Self> {
        let mut at = self.at;
        loop {
            match *self.data.get(at..)? {
                [0xff, 0x00, ..] => at += 2,
                [0xff, 0xff, ..] => at += 1, // a fill byte
                [0xff, marker, ..] if marker == 0xd0 + number => break,
                [] | [0xff, ..] => return None,
                _ => at += 1,
            }
        }
        Some(Self {
            at: at + 2,
            ..Self::of(self.data)
        })
    }
}
