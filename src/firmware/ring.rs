//! The log of a board that writes nothing to its card: the newest lines, in a fixed amount of memory.
//!
//! The serial console reads from here at its own pace. A slow or stuck console misses what was pushed out of the ring meanwhile,
//! and blocks nobody.

use std::collections::VecDeque;

/// The newest `capacity` bytes of a text.
#[derive(Debug)]
pub struct Ring {
    bytes: VecDeque<u8>,
    capacity: usize,
    /// Bytes written so far.
    written: u64,
}

impl Ring {
    /// A ring of `capacity` bytes, allocated now.
    pub fn new(capacity: usize) -> Self {
        Self {
            bytes: VecDeque::with_capacity(capacity),
            capacity,
            written: 0,
        }
    }

    /// Appends `text`; the oldest text is dropped to make room.
    pub fn write(&mut self, text: &[u8]) {
        self.written += text.len() as u64;
        let kept = &text[text.len().saturating_sub(self.capacity)..];
        let excess = (self.bytes.len() + kept.len()).saturating_sub(self.capacity);
        self.bytes.drain(..excess);
        self.bytes.extend(kept);
    }

    /// Some of the text written from position `from` on, and the position where it begins: `from`, or later when that is gone
    /// already. Empty when there is nothing new.
    pub fn piece(&self, from: u64) -> (u64, &[u8]) {
        let oldest = self.written - self.bytes.len() as u64;
        let from = from.clamp(oldest, self.written);
        let index = (from - oldest) as usize;
        let (front, back) = self.bytes.as_slices();
        let piece = if index < front.len() {
            &front[index..]
        } else {
            &back[index - front.len()..]
        };
        (from, piece)
    }

    /// All that the ring holds, starting at the beginning of a line.
    pub fn to_bytes(&self) -> Vec<u8> {
        let is_cut = self.written > self.bytes.len() as u64;
        let lost = self.bytes.iter().position(|&byte| byte == b'\n');
        let skipped = lost.filter(|_| is_cut).map_or(0, |newline| newline + 1);
        self.bytes.iter().skip(skipped).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept_without_growing() {
        let mut ring = Ring::new(20);
        let capacity = ring.bytes.capacity();
        ring.write(b"one\n");
        assert_eq!(ring.to_bytes(), b"one\n");
        for n in 0..1000 {
            ring.write(format!("line {n}\n").as_bytes());
        }
        assert_eq!(ring.to_bytes(), b"line 998\nline 999\n");
        ring.write(b"a text that is longer than the whole ring\nend\n");
        assert_eq!(ring.to_bytes(), b"end\n");
        assert_eq!((ring.bytes.len(), ring.bytes.capacity()), (20, capacity));
    }

    #[test]
    fn a_slow_console_gets_what_is_left_in_order() {
        let mut ring = Ring::new(16);
        let (mut at, mut got) = (0, Vec::new());
        let mut drain = |ring: &Ring, at: &mut u64| {
            loop {
                let (from, piece) = ring.piece(*at);
                if piece.is_empty() {
                    break;
                }
                got.extend_from_slice(piece);
                *at = from + piece.len() as u64;
            }
        };
        for n in 0..10 {
            ring.write(format!("{n:04}\n").as_bytes());
            ring.write(b"x");
            drain(&ring, &mut at);
        }
        let expected: Vec<u8> = (0..10)
            .flat_map(|n| format!("{n:04}\nx").into_bytes())
            .collect();
        assert_eq!(got, expected);
        ring.write(b"0123456789abcdefghij");
        let (from, piece) = ring.piece(at);
        assert_eq!((from, piece.first()), (at + 4, Some(&b'4')));
    }
}
