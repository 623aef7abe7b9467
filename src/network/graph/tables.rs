//! Functions of a byte, as tables: whatever is done with each value of a tensor between DequantizeLinear and QuantizeLinear is one,
//! for all channels or for each.

use super::requantise::{Requantise, dequantise, quantise};
use super::{FREE, Quant, Unary};
use std::rc::Rc;

/// A function from bytes to bytes, both in 0..=255.
pub type Table = [u8; 256];

/// One function for all channels, or one for each.
#[derive(Clone, PartialEq)]
pub struct Tables(Rc<Vec<Table>>);

/// What is done with the bytes of a layer's result before they are stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Then {
    /// The quantisation of the result, which the function reads.
    pub quant: Quant,
    /// The function.
    pub tables: Tables,
}

impl Tables {
    /// For all channels `f(0, q)`, or for each of `channels` a function `f(channel, q)`.
    pub fn new(channels: Option<usize>, f: impl Fn(usize, u8) -> u8) -> Self {
        let table = |c: usize| std::array::from_fn(|q| f(c, q as u8));
        let mut all: Vec<Table> = (0..channels.unwrap_or(1)).map(table).collect();
        if all.iter().all(|table| table == &all[0]) {
            all.truncate(1);
        }
        Self(Rc::new(all))
    }

    /// A function of the real values.
    pub fn of_function(f: Unary, from: Quant, to: Quant) -> Self {
        Self::new(None, |_, q| quantise(f.of(dequantise(q, from)), to) as u8)
    }

    /// The product of a number and its function, which is rounded to `inner` before.
    pub fn of_gate(f: Unary, from: Quant, inner: Quant, to: Quant, clamp: (f32, f32)) -> Self {
        let end = Requantise::new(to, clamp, false);
        let multiplier = from.scale * inner.scale / to.scale;
        Self::new(None, |_, q| {
            let factor = quantise(f.of(dequantise(q, from)), inner) - inner.zero;
            end.of((i32::from(q) - from.zero) * factor, multiplier)
        })
    }

    /// The tables: one, or one per channel.
    pub fn each(&self) -> &[Table] {
        &self.0
    }

    /// The function of a channel.
    pub fn of(&self, channel: usize) -> &Table {
        &self.0[if self.0.len() == 1 { 0 } else { channel }]
    }

    /// This function, and `next` of its result.
    pub fn then(&self, next: &Self) -> Self {
        let channels = self.0.len().max(next.0.len());
        let channels = (channels > 1).then_some(channels);
        Self::new(channels, |c, q| {
            next.of(c)[usize::from(self.of(c)[usize::from(q)])]
        })
    }

    /// Real limits, if the function of bytes with this quantisation does nothing else.
    pub fn limits(&self, quant: Quant) -> Option<(f32, f32)> {
        let [table] = &self.0[..] else {
            return None;
        };
        let (low, high) = (table[0], table[255]);
        let same = |(q, &y): (usize, &u8)| low <= high && (q as u8).clamp(low, high) == y;
        if !table.iter().enumerate().all(same) {
            return None;
        }
        let limit = |q: u8, end: u8, free: f32| match q == end {
            true => free,
            false => dequantise(q, quant),
        };
        Some((limit(low, 0, FREE.0), limit(high, 255, FREE.1)))
    }
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} tables", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: Quant = Quant {
        scale: 0.05,
        zero: 100,
    };

    #[test]
    fn limits_are_found_and_nothing_else_is_taken_for_them() {
        let relu = Tables::of_function(Unary::Clamp(0.0, f32::INFINITY), FROM, FROM);
        assert_eq!(relu.limits(FROM), Some((0.0, f32::INFINITY)));
        let six = Tables::of_function(Unary::Clamp(0.0, 6.0), FROM, FROM);
        let (low, high) = six.limits(FROM).expect("limits");
        assert_eq!((quantise(low, FROM), quantise(high, FROM)), (100, 220));
        let other = Quant { zero: 99, ..FROM };
        let moved = Tables::of_function(Unary::NONE, FROM, other);
        assert_eq!(moved.limits(FROM), None);
        let by_channel = Tables::new(Some(2), |c, q| q.max(c as u8));
        assert_eq!(by_channel.limits(FROM), None);
    }

    #[test]
    fn two_tables_in_sequence_become_one() {
        let first = Tables::new(Some(3), |c, q| q.wrapping_mul(c as u8 + 1));
        let next = Tables::new(None, |_, q| 255 - q);
        let both = first.then(&next);
        for c in 0..3 {
            for q in 0..=255u8 {
                let want = 255 - q.wrapping_mul(c as u8 + 1);
                assert_eq!(both.of(c)[usize::from(q)], want);
            }
        }
        assert_eq!(Tables::new(Some(9), |_, q| q).each().len(), 1);
    }
}
