//! What every byte of an arena holds while the verifier walks through a plan.

use super::Fault;
use std::collections::BTreeMap;

/// Whose value bytes hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// A tensor's; one that differs only in shape is the same.
    Tensor(usize),
    /// The padded copy of a layer's input.
    Padded(usize),
    /// A row of padding of this byte.
    Fill(u8),
    /// No value after the step.
    Own,
}

/// A map of the arena.
pub(super) struct Memory {
    /// From the first byte to the end and the value; ranges do not overlap.
    held: BTreeMap<u64, (u64, Value)>,
    /// Tensors whose values must not be overwritten.
    kept: Vec<bool>,
}

impl Memory {
    /// An empty map for `tensors` tensors.
    pub(super) fn new(tensors: usize) -> Self {
        Self {
            held: BTreeMap::new(),
            kept: vec![false; tensors],
        }
    }

    /// Marks a tensor's value as never to be overwritten.
    pub(super) fn keep(&mut self, tensor: usize) {
        self.kept[tensor] = true;
    }

    /// The ranges that overlap these bytes.
    pub(super) fn over(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, u64, Value)> + '_ {
        let before = self.held.range(..from).next_back();
        let before = before.filter(|(_, (end, _))| *end > from);
        let within = self.held.range(from..to.max(from));
        let all = before.into_iter().chain(within);
        all.map(|(&start, &(end, value))| (start, end, value))
    }

    /// Records that these bytes hold a value now, in place of what was there.
    pub(super) fn hold(&mut self, from: u64, to: u64, value: Value) -> Result<(), Fault> {
        if from >= to {
            return Ok(());
        }
        let gone: Vec<_> = self.over(from, to).collect();
        for (start, end, old) in gone {
            let stays = match old {
                Value::Tensor(tensor) => self.kept[tensor],
                Value::Fill(_) => true,
                Value::Padded(_) | Value::Own => false,
            };
            if stays {
                return Err(Fault::Kept(start.max(from), end.min(to)));
            }
            self.held.remove(&start);
            // The rest is no longer the whole value, but still nothing else's.
            if start < from {
                self.held.insert(start, (from, old));
            }
            if end > to {
                self.held.insert(to, (end, Value::Own));
            }
        }
        self.held.insert(from, (to, value));
        Ok(())
    }

    /// Whether the value begins at `from` and extends to `to`.
    pub(super) fn holds(&self, from: u64, to: u64, value: Value) -> Result<(), Fault> {
        match self.held.get(&from) {
            Some(&(end, held)) if held == value && to <= end => Ok(()),
            _ if from == to => Ok(()),
            _ => Err(Fault::Undefined(from, to)),
        }
    }
}
