//! Sizes of tensors, as types that cannot wrap: the product of a [`Shape`] or [`Axes`](super::axes::Axes) was checked when it was
//! made, so everything counted from it (pixels, values, bytes, offsets) fits in 32 bits too.

use std::fmt;
use std::ops::Deref;

/// The most values a tensor may have. As floats they are 1 GiB, the largest power of two whose double still fits in 32 bits; the
/// largest tensor of a picture classifier (64 channels of 2048 x 2048 pixels) has just as many.
pub const MAX_VALUES: usize = 1 << 28;

/// A tensor that is empty, or has more than [`MAX_VALUES`] values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tensor is empty, or has more than {MAX_VALUES} values")]
pub struct NoSize;

impl From<NoSize> for String {
    fn from(none: NoSize) -> Self {
        none.to_string()
    }
}

/// Number of values for axes of these sizes: from 1 to [`MAX_VALUES`].
pub fn volume(dims: &[usize]) -> Result<usize, NoSize> {
    let all = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    all.filter(|n| (1..=MAX_VALUES).contains(n)).ok_or(NoSize)
}

/// Height, width and channels of a [`Shape`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sides {
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

/// Shape of a tensor: `Sides` with 1 to [`MAX_VALUES`] values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape(Sides);

impl Shape {
    /// Rows, columns and channels, if a tensor may be that large.
    pub fn new(h: usize, w: usize, c: usize) -> Result<Self, NoSize> {
        volume(&[h, w, c]).map(|_| Self(Sides { h, w, c }))
    }
    /// One pixel with the channels of `self`.
    pub fn one_pixel(self) -> Self {
        let Sides { c, .. } = self.0;
        Self(Sides { h: 1, w: 1, c })
    }
    /// The same pixels with another number of channels.
    pub fn with_channels(self, c: usize) -> Result<Self, NoSize> {
        Self::new(self.h, self.w, c)
    }
    /// Rows times columns.
    pub fn pixels(self) -> usize {
        self.h * self.w
    }
    /// Number of values.
    pub fn volume(self) -> usize {
        self.h * self.w * self.c
    }
}

impl Deref for Shape {
    type Target = Sides;
    fn deref(&self) -> &Sides {
        &self.0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.h, self.w, self.c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_shape_is_empty_or_wraps() {
        let huge = usize::MAX / 2 + 2;
        for (h, w, c) in [
            (0, 1, 1),
            (1, 0, huge),
            (huge, 4, 1),
            (huge, huge, huge),
            (1, MAX_VALUES, 2),
            (1 << 16, 1 << 16, 1 << 16),
        ] {
            assert_eq!(Shape::new(h, w, c), Err(NoSize), "{h} {w} {c}");
        }
        let largest = Shape::new(1 << 14, 1 << 14, 1).map(|s| (s.pixels(), s.volume()));
        assert_eq!(largest, Ok((MAX_VALUES, MAX_VALUES)));
        assert_eq!(volume(&[]), Ok(1));
        assert_eq!(volume(&[huge, 2, 1]), Err(NoSize));
    }
}
