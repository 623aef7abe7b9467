//! Offsets of all activations in one block of memory, from the steps at which each is written and last read.

use crate::network::kernels::SLACK;

/// Something that needs memory from step `first` to step `last`, both included.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// Bytes, without the slack that kernels may read past them.
    pub bytes: usize,
    /// Step that writes it first.
    pub first: usize,
    /// Step that reads it last.
    pub last: usize,
}

/// An arena has no more bytes than this: half of what a pointer of 32 bits can count.
pub const ARENA_BYTES_MOST: usize = 1 << 30;

/// Offsets (multiples of 64) in the order of `needs`, and the size of the whole. Two needs share memory only when no step
/// needs both. Greedy: the largest first, each at the lowest place that is free for all of its steps. What is more than
/// [`ARENA_BYTES_MOST`] has no places: its size is `usize::MAX`.
pub fn place(needs: &[Need]) -> (Vec<usize>, usize) {
    let size = |n: &Need| (n.bytes + SLACK).next_multiple_of(64);
    if needs.iter().any(|n| n.bytes > ARENA_BYTES_MOST) {
        return (vec![0; needs.len()], usize::MAX);
    }
    let mut order: Vec<usize> = (0..needs.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(needs[i].bytes), i));
    let mut offsets = vec![0; needs.len()];
    let mut placed = Placed::new(needs.iter().map(|n| n.last + 1).max().unwrap_or(0));
    let mut total = 0;
    for i in order {
        let mut rivals: Vec<usize> = placed.together(&needs[i]).collect();
        rivals.sort_by_key(|&p| offsets[p]);
        let mut at = 0;
        for p in rivals {
            if at + size(&needs[i]) <= offsets[p] {
                break;
            }
            at = at.max(offsets[p] + size(&needs[p]));
        }
        offsets[i] = at;
        total = total.max(at + size(&needs[i]));
        if total > ARENA_BYTES_MOST {
            return (offsets, usize::MAX);
        }
        placed.add(i, &needs[i]);
    }
    (offsets, total)
}

/// Needs that have a place, found by the steps of another without a look at all of them.
struct Placed {
    steps: usize,
    /// Those that begin at each step.
    begin: Vec<Vec<usize>>,
    /// A segment tree over the steps: a need is at the few nodes that are its steps together.
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

    fn add(&mut self, number: usize, need: &Need) {
        self.begin[need.first].push(number);
        let (mut left, mut right) = (need.first + self.steps, need.last + 1 + self.steps);
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

    /// Those that need one of the steps of `need`: they are there at its first one, or begin later.
    fn together(&self, need: &Need) -> impl Iterator<Item = usize> + '_ {
        let first = need.first + self.steps;
        let above = std::iter::successors(Some(first), |&node| (node > 1).then_some(node / 2));
        let there = above.flat_map(|node| &self.nodes[node]);
        let later = self.begin[need.first + 1..=need.last].iter().flatten();
        there.chain(later).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lives_at_the_same_time_never_overlaps() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let needs: Vec<Need> = (0..random.usize(1..20))
                .map(|_| {
                    let first = random.usize(0..12);
                    Need {
                        bytes: random.usize(0..5000),
                        first,
                        last: first + random.usize(0..4),
                    }
                })
                .collect();
            let (offsets, total) = place(&needs);
            for (i, a) in needs.iter().enumerate() {
                assert_eq!(offsets[i] % 64, 0);
                assert!(offsets[i] + a.bytes + SLACK <= total);
                for (j, b) in needs.iter().enumerate().skip(i + 1) {
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
    fn what_is_too_large_has_no_place() {
        let need = |bytes, first| Need {
            bytes,
            first,
            last: 1,
        };
        let half = ARENA_BYTES_MOST / 2;
        assert!(place(&[need(half, 0), need(half / 2, 0)]).1 < ARENA_BYTES_MOST);
        assert_eq!(place(&[need(half, 0), need(half, 0)]).1, usize::MAX);
        assert_eq!(place(&[need(usize::MAX, 0)]).1, usize::MAX);
    }

    #[test]
    fn a_chain_needs_its_two_largest_neighbours_only() {
        let needs: Vec<Need> = [1000, 2000, 500, 1500]
            .iter()
            .enumerate()
            .map(|(i, &bytes)| Need {
                bytes,
                first: i,
                last: i + 1,
            })
            .collect();
        assert!(place(&needs).1 <= 3000 + 3 * SLACK + 128);
    }
}
