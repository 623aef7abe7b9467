//! Offsets of all activations in one block of memory, from the steps in which each is first written and last read.

use crate::network::kernels::SLACK;
use crate::network::run::offset::Offset;

/// The largest arena in bytes: half of what a 32-bit pointer can address.
const MAX_ARENA_BYTES: usize = 1 << 30;

/// A block of memory that a plan needs, by its index in [`Needs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Need(usize);

/// A need's size, and its life from step `first` to step `last` inclusive.
#[derive(Debug, Clone, Copy)]
struct Life {
    /// Bytes, without the slack that kernels may read beyond them.
    bytes: usize,
    /// The step that first writes it.
    first: usize,
    /// The step that last reads it.
    last: usize,
}

/// All memory that a plan needs.
#[derive(Debug, Default)]
pub(super) struct Needs(Vec<Life>);

/// The offset of every need.
#[derive(Debug)]
pub(super) struct Places {
    offsets: Vec<Offset>,
    /// Size of the arena.
    pub(super) bytes: usize,
}

impl Places {
    /// The offset of a need.
    pub(super) fn of(&self, need: Need) -> Offset {
        self.offsets[need.0]
    }
}

impl Needs {
    /// Adds `bytes` that live from step `first` to step `last`.
    pub(super) fn add(&mut self, bytes: usize, first: usize, last: usize) -> Need {
        self.0.push(Life { bytes, first, last });
        Need(self.0.len() - 1)
    }

    /// Extends its life to step `step`.
    pub(super) fn last_until(&mut self, need: Need, step: usize) {
        let last = &mut self.0[need.0].last;
        *last = step.max(*last);
    }

    /// Grows it to at least `bytes`.
    pub(super) fn grow(&mut self, need: Need, bytes: usize) {
        let own = &mut self.0[need.0].bytes;
        *own = bytes.max(*own);
    }

    /// Places all needs of a run that ends with step `end`; the error says that they would be too large.
    pub(super) fn place(mut self, end: usize) -> Result<Places, String> {
        for life in &mut self.0 {
            life.last = life.last.min(end);
        }
        let (offsets, bytes) = place(&self.0).ok_or_else(|| {
            let most = MAX_ARENA_BYTES >> 20;
            format!(
                "its activations need more than {most} MiB at once, the limit: take a smaller picture or network"
            )
        })?;
        let offsets = offsets.into_iter().map(Offset::at_byte).collect();
        Ok(Places { offsets, bytes })
    }
}

/// Offsets (multiples of 64) in the order of `lives`, and the total size. Two share memory only if no step needs both. Greedy:
/// the largest first, each at the lowest offset that is free in all of its steps. `None` if the total would exceed
/// [`MAX_ARENA_BYTES`].
fn place(lives: &[Life]) -> Option<(Vec<usize>, usize)> {
    let size = |life: &Life| (life.bytes + SLACK).next_multiple_of(64);
    if lives.iter().any(|life| life.bytes > MAX_ARENA_BYTES) {
        return None;
    }
    let mut order: Vec<usize> = (0..lives.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(lives[i].bytes), i));
    let mut offsets = vec![0; lives.len()];
    let mut placed = Placed::new(lives.iter().map(|life| life.last + 1).max().unwrap_or(0));
    let mut total = 0;
    for i in order {
        let mut rivals: Vec<usize> = placed.together(&lives[i]).collect();
        rivals.sort_by_key(|&p| offsets[p]);
        let mut at = 0;
        for p in rivals {
            if at + size(&lives[i]) <= offsets[p] {
                break;
            }
            at = at.max(offsets[p] + size(&lives[p]));
        }
        offsets[i] = at;
        total = total.max(at + size(&lives[i]));
        if total > MAX_ARENA_BYTES {
            return None;
        }
        placed.add(i, &lives[i]);
    }
    Some((offsets, total))
}

/// Lives that are placed, indexed by step so that overlapping ones are found without scanning all.
struct Placed {
    steps: usize,
    /// The lives that begin at each step.
    begin: Vec<Vec<usize>>,
    /// A segment tree over the steps: a life is stored at the few nodes that together cover its steps.
    nodes: Vec<Vec<usize>>,
}

impl Placed {
    fn new(steps: usize) -> Self {
        Self {
            steps,
            begin: vec![Vec::new(); steps],
            nodes: vec![Vec::new(); 2 * steps],
        }
    }

    fn add(&mut self, number: usize, life: &Life) {
        self.begin[life.first].push(number);
        let (mut left, mut right) = (life.first + self.steps, life.last + 1 + self.steps);
        while left < right {
            if left % 2 == 1 {
                self.nodes[left].push(number);
                left += 1;
            }
            if right % 2 == 1 {
                right -= 1;
                self.nodes[right].push(number);
            }
            (left, right) = (left / 2, right / 2);
        }
    }

    /// The lives that overlap `life`: they are alive at its first step, or begin later.
    fn together(&self, life: &Life) -> impl Iterator<Item = usize> + '_ {
        let first = life.first + self.steps;
        let above = std::iter::successors(Some(first), |&node| (node > 1).then_some(node / 2));
        let there = above.flat_map(|node| &self.nodes[node]);
        let later = self.begin[life.first + 1..=life.last].iter().flatten();
        there.chain(later).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_that_live_at_the_same_time_never_overlap() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let lives: Vec<Life> = (0..random.usize(1..20))
                .map(|_| {
                    let first = random.usize(0..12);
                    Life {
                        bytes: random.usize(0..5000),
                        first,
                        last: first + random.usize(0..4),
                    }
                })
                .collect();
            let (offsets, total) = place(&lives).expect("they are small");
            for (i, a) in lives.iter().enumerate() {
                assert_eq!(offsets[i] % 64, 0);
                assert!(offsets[i] + a.bytes + SLACK <= total);
                for (j, b) in lives.iter().enumerate().skip(i + 1) {
                    let together = a.first <= b.last && b.first <= a.last;
                    let apart = offsets[i] + a.bytes + SLACK <= offsets[j]
                        || offsets[j] + b.bytes + SLACK <= offsets[i];
                    assert!(
                        !together || apart,
                        "{a:?} at {} and {b:?} at {}",
                        offsets[i],
                        offsets[j]
                    );
                }
            }
        }
    }

    #[test]
    fn oversized_tensors_get_no_place() {
        let life = |bytes, first| Life {
            bytes,
            first,
            last: 1,
        };
        let half = MAX_ARENA_BYTES / 2;
        assert!(place(&[life(half, 0), life(half / 2, 0)]).is_some());
        assert!(place(&[life(half, 0), life(half, 0)]).is_none());
        assert!(place(&[life(usize::MAX, 0)]).is_none());
    }

    #[test]
    fn a_chain_needs_its_two_largest_neighbours_only() {
        let lives: Vec<Life> = [1000, 2000, 500, 1500]
            .iter()
            .enumerate()
            .map(|(i, &bytes)| Life {
                bytes,
                first: i,
                last: i + 1,
            })
            .collect();
        let (_, total) = place(&lives).expect("they are small");
        assert!(total <= 3000 + 3 * SLACK + 128);
    }
}
