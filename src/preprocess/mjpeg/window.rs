//! Which part of a JPEG a region needs, and at which size.
//!
//! Blocks are shrunk as they are transformed where the resize shrinks the picture anyway, separately along each axis: to 4, 2 or
//! 1 of 8 samples, as long as at least [`SPARE`] of what is left are shrunk to one. Chroma that the camera halved is shrunk that
//! much less. So the resize, which averages, still sees finer samples than it makes. (With fewer, its few samples would fall on
//! its many taps unevenly.)

use super::super::placement::{Axis, Placement};
use super::super::source::{AxisTaps, Colours, Pitch, Source};
use super::header::Component;
use std::ops::Range;

/// Samples for each pixel of the result that are left at least, along each axis: 5/4.
const SPARE: (u64, u64) = (5, 4);

/// Everything is counted from a multiple of this: the width of the widest block, whose samples span 4 pixels each.
const GRID_PX: u32 = 8 * 4;

/// One axis of the part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    first_px: u32,
    px: u32,
    /// Pixels that a sample spans at least: 1, 2, 4 or 8.
    finest_px: u32,
    /// The samples that the taps need, from the first pixel on, for each pitch.
    needed: [(usize, usize); 3],
}

impl Extent {
    /// Builds the taps, and counts them from the first pixel on.
    fn of(axis: &Axis, taps: &mut AxisTaps) -> Self {
        let enough = |&px: &u32| {
            u64::from(axis.source_px) * SPARE.1 >= axis.resized_px * SPARE.0 * u64::from(px)
        };
        let finest_px = [8, 4, 2].into_iter().find(enough).unwrap_or(1);
        let pitches = Pitch::ALL.map(|pitch| pitch.px().max(finest_px));
        let (mut first_px, mut end_px) = (u32::MAX, 0);
        for (pitch, px) in Pitch::ALL.into_iter().zip(pitches) {
            let taps = taps.of_mut(pitch);
            taps.build(axis, px);
            let (first, end) = taps.span();
            first_px = first_px.min(first as u32 * px);
            end_px = end_px.max(end as u32 * px);
        }
        let first_px = first_px / GRID_PX * GRID_PX;
        let mut needed = [(0, 0); 3];
        for ((pitch, px), needed) in Pitch::ALL.into_iter().zip(pitches).zip(&mut needed) {
            let taps = taps.of_mut(pitch);
            taps.count_from((first_px / px) as usize);
            *needed = taps.span();
        }
        Self {
            first_px,
            px: (end_px - first_px).next_multiple_of(GRID_PX),
            finest_px,
            needed,
        }
    }

    /// How samples of `own_px` pixels each come out of the transform.
    fn pitch(&self, own_px: u32) -> Pitch {
        match own_px {
            _ if own_px <= self.finest_px => Pitch::Full,
            ..=2 => Pitch::Half,
            _ => Pitch::Quarter,
        }
    }

    fn samples(&self, own_px: u32) -> usize {
        (self.px / own_px.max(self.finest_px)) as usize
    }

    fn side(&self, own_px: u32) -> Side {
        let count = (8 * own_px / own_px.max(self.finest_px)) as usize;
        let first = (self.first_px / (8 * own_px)) as usize;
        let needed = self.needed[self.pitch(own_px) as usize];
        Side {
            count,
            first,
            needed: first + needed.0 / count..first + needed.1.div_ceil(count),
        }
    }
}

/// One axis of a component's blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Side {
    /// Samples that a block has after its transform.
    pub count: usize,
    /// The block that comes first in memory.
    pub first: usize,
    /// The blocks that are needed; none is before the first.
    pub needed: Range<usize>,
}

/// The part of a JPEG that a region needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Window {
    x: Extent,
    y: Extent,
}

/// How a JPEG's colours are stored after decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Sampling {
    Grey,
    /// The pitch of chroma, across and down.
    Colour(Pitch, Pitch),
}

impl Window {
    /// Builds the taps, which are then counted from its corner.
    pub fn of(placement: &Placement, x: &mut AxisTaps, y: &mut AxisTaps) -> Self {
        Self {
            x: Extent::of(&placement.x, x),
            y: Extent::of(&placement.y, y),
        }
    }

    /// Bytes of its planes, whatever the sampling.
    pub fn bytes(&self) -> usize {
        3 * self.x.samples(1) * self.y.samples(1)
    }

    /// Samples of a component in memory, across and down.
    pub(super) fn samples(&self, component: &Component) -> (usize, usize) {
        let (x_px, y_px) = component.pitch;
        (self.x.samples(x_px), self.y.samples(y_px))
    }

    /// A component's blocks, across and down.
    pub(super) fn sides(&self, component: &Component) -> (Side, Side) {
        let (x_px, y_px) = component.pitch;
        (self.x.side(x_px), self.y.side(y_px))
    }

    pub(super) fn sampling(&self, components: &[Component]) -> Sampling {
        match components {
            [_, chroma, ..] => {
                let (x_px, y_px) = chroma.pitch;
                Sampling::Colour(self.x.pitch(x_px), self.y.pitch(y_px))
            }
            _ => Sampling::Grey,
        }
    }

    /// Where the samples are in the planes, which are stored without gaps. `x` are the window's taps.
    pub fn source(&self, sampling: Sampling, x: &AxisTaps) -> Source {
        let luma = (
            self.x.samples(1),
            Pitch::Full,
            &[(0, 0, 1, Pitch::Full)][..],
        );
        match sampling {
            Sampling::Grey => Source::build(Colours::Grey, &[luma], x),
            Sampling::Colour(across, down) => {
                let stride = self.x.samples(across.px());
                let u = (stride, down, &[(1, 0, 1, across)][..]);
                let v = (stride, down, &[(2, 0, 1, across)][..]);
                Source::build(Colours::FullYuv, &[luma, u, v], x)
            }
        }
    }

    /// The source with the most columns.
    pub fn widest(&self, x: &AxisTaps) -> Source {
        self.source(Sampling::Colour(Pitch::Full, Pitch::Full), x)
    }
}
