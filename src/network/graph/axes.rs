//! Views of a tensor of any rank: sizes, strides and an offset. Most of what an attention network does between tokens and heads
//! moves no data, it only reindexes.
//!
//! No axis is empty, there are at most `MAX_VALUES` values, and each is within that distance of its tensor's first value: the
//! first axes come from [`Axes::plain`], and every view made from them only reaches fewer places or is `None`.

use super::sizes::volume;

/// The most axes supported.
pub const MAX_RANK: usize = 6;

/// Size of each axis, and the stride along it in values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axes {
    rank: usize,
    size: [usize; MAX_RANK],
    /// 0 for an axis of size 1, so that equal orders compare equal, and for a broadcast axis.
    stride: [usize; MAX_RANK],
    offset: usize,
}

impl Axes {
    /// Row-major, without gaps; `None` for more than [`MAX_RANK`] axes, an empty one, or too many values.
    pub fn plain(dims: &[usize]) -> Option<Self> {
        volume(dims).ok()?;
        let mut view = Self {
            rank: dims.len(),
            size: [1; MAX_RANK],
            stride: [0; MAX_RANK],
            offset: 0,
        };
        view.size.get_mut(..dims.len())?.copy_from_slice(dims);
        let mut stride = 1;
        for (i, &size) in dims.iter().enumerate().rev() {
            view.stride[i] = if size == 1 { 0 } else { stride };
            stride *= size;
        }
        Some(view)
    }

    /// Size of each axis.
    pub fn dims(&self) -> &[usize] {
        &self.size[..self.rank]
    }

    /// Stride of each axis, in values.
    pub fn strides(&self) -> &[usize] {
        &self.stride[..self.rank]
    }

    /// Index of the first value.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Number of values.
    pub fn volume(&self) -> usize {
        self.dims().iter().product()
    }

    /// Whether the values are contiguous in row-major order.
    pub fn is_plain(&self) -> bool {
        Self::plain(self.dims()).is_some_and(|p| p.stride == self.stride)
    }

    /// The axes permuted; `None` if `order` is not a permutation of them.
    pub fn transposed(&self, order: &[usize]) -> Option<Self> {
        let mut view = *self;
        let mut seen = [false; MAX_RANK];
        if order.len() != self.rank {
            return None;
        }
        for (to, &from) in order.iter().enumerate() {
            if from >= self.rank || std::mem::replace(&mut seen[from], true) {
                return None;
            }
            (view.size[to], view.stride[to]) = (self.size[from], self.stride[from]);
        }
        Some(view)
    }

    /// Reshaped, if that needs no copy.
    pub fn reshaped(&self, dims: &[usize]) -> Option<Self> {
        let mut view = Self::plain(dims)?;
        view.offset = self.offset;
        let mut old = self.merged().into_iter().filter(|a| a.0 > 1);
        let mut at = 0;
        while at < dims.len() {
            if dims[at] == 1 {
                at += 1;
                continue;
            }
            let (size, stride) = old.next()?;
            let first = at;
            let mut held = 1;
            while held < size {
                held *= *dims.get(at)?;
                at += 1;
            }
            if held != size {
                return None;
            }
            let mut step = stride;
            for i in (first..at).rev() {
                view.stride[i] = if dims[i] == 1 { 0 } else { step };
                step *= dims[i];
            }
        }
        old.next().is_none().then_some(view)
    }

    /// `count` places along an axis, starting at `first`, every `step`-th of them; `None` if they are not all there.
    pub fn sliced(&self, axis: usize, first: usize, count: usize, step: usize) -> Option<Self> {
        let last = count.checked_sub(1)?.checked_mul(step)?;
        if last.checked_add(first)? >= *self.dims().get(axis)? {
            return None;
        }
        let mut view = *self;
        view.offset += first * self.stride[axis];
        view.size[axis] = count;
        view.stride[axis] = if count == 1 {
            0
        } else {
            self.stride[axis] * step
        };
        Some(view)
    }

    /// Without an axis of size 1; `None` if it is larger.
    pub fn without(&self, axis: usize) -> Option<Self> {
        if self.dims().get(axis) != Some(&1) {
            return None;
        }
        let mut view = *self;
        view.size.copy_within(axis + 1.., axis);
        view.stride.copy_within(axis + 1.., axis);
        view.rank -= 1;
        (view.size[view.rank], view.stride[view.rank]) = (1, 0);
        Some(view)
    }

    /// With axes of size 1 in front, `rank` axes in all; `None` if that is too many or fewer than there are.
    pub fn raised(&self, rank: usize) -> Option<Self> {
        let more = rank.checked_sub(self.rank).filter(|_| rank <= MAX_RANK)?;
        let mut view = *self;
        view.rank = rank;
        for i in (0..rank).rev() {
            let from = i.checked_sub(more);
            (view.size[i], view.stride[i]) =
                from.map_or((1, 0), |i| (self.size[i], self.stride[i]));
        }
        Some(view)
    }

    /// With axis `axis`, of size 1, repeated `count` times; `None` if it is larger, or the result has too many values.
    pub fn repeated(&self, axis: usize, count: usize) -> Option<Self> {
        if self.dims().get(axis) != Some(&1) {
            return None;
        }
        let mut view = *self;
        view.size[axis] = count;
        volume(view.dims()).ok()?;
        Some(view)
    }

    /// Size and stride of the axes, with contiguous neighbours merged; the rest of the list is `(1, 0)`.
    pub fn merged(&self) -> [(usize, usize); MAX_RANK] {
        let mut merged = [(1, 0); MAX_RANK];
        let mut count = 0;
        for (&size, &stride) in self.dims().iter().zip(self.strides()) {
            if size == 1 {
                continue;
            }
            if count > 0 && merged[count - 1].1 == size * stride {
                merged[count - 1] = (merged[count - 1].0 * size, stride);
            } else {
                merged[count] = (size, stride);
                count += 1;
            }
        }
        merged
    }

    /// Index of the first value at place `at` of the axes before `axis`, which are counted as one.
    pub fn start(&self, mut at: usize, axis: usize) -> usize {
        let mut start = self.offset;
        for i in (0..axis).rev() {
            start += at % self.size[i] * self.stride[i];
            at /= self.size[i];
        }
        start
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::network::graph::sizes::MAX_VALUES;

    /// The index of every value, in row-major order.
    fn places(a: &Axes) -> Vec<usize> {
        (0..a.volume()).map(|i| a.start(i, a.rank)).collect()
    }

    #[test]
    fn heads_are_seen_in_place() {
        // Queries, keys and values of 3 tokens, 2 heads of 4 values.
        let qkv = Axes::plain(&[1, 3, 24]).unwrap();
        let heads = qkv.reshaped(&[1, 3, 3, 2, 4]).unwrap();
        let heads = heads.transposed(&[2, 0, 3, 1, 4]).unwrap();
        let keys = heads.sliced(0, 1, 1, 1).and_then(|k| k.without(0)).unwrap();
        assert_eq!(keys.dims(), [1, 2, 3, 4]);
        assert_eq!(keys.strides(), [0, 4, 24, 1]);
        assert_eq!(keys.offset(), 8);
        let turned = keys.transposed(&[0, 1, 3, 2]).unwrap();
        let want: Vec<usize> = (0..2)
            .flat_map(|h| (0..4).flat_map(move |d| (0..3).map(move |t| 8 + h * 4 + d + t * 24)))
            .collect();
        assert_eq!(places(&turned), want);
    }

    #[test]
    fn counting_along_other_axes_keeps_the_order_or_is_refused() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut kept = 0;
        for _ in 0..2000 {
            let dims: Vec<usize> = (0..random.usize(1..5))
                .map(|_| random.usize(1..5))
                .collect();
            let mut order: Vec<usize> = (0..dims.len()).collect();
            random.shuffle(&mut order);
            let axes = Axes::plain(&dims).unwrap().transposed(&order).unwrap();
            let mut rest = axes.volume();
            let mut target = Vec::new();
            while rest > 1 && target.len() < 4 {
                let part = (1..=rest).filter(|d| rest.is_multiple_of(*d));
                let part: Vec<usize> = part.collect();
                let part = part[random.usize(..part.len())];
                target.push(part);
                rest /= part;
            }
            target.push(rest);
            if let Some(seen) = axes.reshaped(&target) {
                assert_eq!(places(&seen), places(&axes), "{axes:?} {target:?}");
                kept += 1;
            } else {
                assert!(!axes.is_plain(), "{axes:?} {target:?}");
            }
        }
        assert!(kept > 500);
        let turned = Axes::plain(&[2, 3]).unwrap().transposed(&[1, 0]).unwrap();
        assert_eq!(turned.reshaped(&[6]), None);
        assert_eq!(turned.transposed(&[0, 0]), None);
        assert_eq!(Axes::plain(&[1; 7]), None);
    }

    #[test]
    fn slices_and_raised_axes_lie_where_they_did() {
        let axes = Axes::plain(&[4, 6]).unwrap();
        assert_eq!(
            places(&axes.sliced(1, 1, 3, 2).unwrap()),
            [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23]
        );
        let raised = axes.raised(4).unwrap();
        assert_eq!(
            (raised.dims(), raised.strides()),
            (&[1, 1, 4, 6][..], &[0, 0, 6, 1][..])
        );
        let twice = raised.repeated(0, 2).unwrap();
        assert_eq!(places(&twice)[24..], places(&axes)[..]);
        assert_eq!(axes.raised(1), None);
    }

    #[test]
    fn no_axes_lie_outside_or_wrap() {
        let quarter = (1 << (usize::BITS - 2)) + 1;
        for dims in [
            &[quarter, 4][..],
            &[MAX_VALUES, 2],
            &[0, 3],
            &[0, usize::MAX, 2],
        ] {
            assert_eq!(Axes::plain(dims), None, "{dims:?}");
        }
        let axes = Axes::plain(&[4, 6, 1]).unwrap();
        for (axis, first, count, step) in [
            (0, 4, 1, 1),
            (0, 0, 0, 1),
            (0, 1, 4, 1),
            (0, 0, 3, 2),
            (1, 1 << 30, 1, 1),
            (1, 0, 2, usize::MAX),
            (1, usize::MAX, 2, 1),
            (3, 0, 1, 1),
        ] {
            let view = axes.sliced(axis, first, count, step);
            assert_eq!(view, None, "{axis} {first} {count} {step}");
        }
        assert!(axes.sliced(1, 5, 1, usize::MAX).is_some());
        assert_eq!(axes.without(1), None);
        assert_eq!(axes.repeated(0, 2), None);
        assert_eq!(axes.repeated(2, MAX_VALUES), None);
        assert_eq!(axes.reshaped(&[quarter, 24]), None);
    }
}
