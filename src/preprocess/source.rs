//! Where the samples of a colour lie in a frame's bytes, for every format that is not compressed.
//!
//! The vertical pass filters rows of *bytes*, whatever they mean; a [`Component`] then picks its own bytes out of the
//! result by a step. So packed formats are never taken apart.

use super::taps::Taps;
use crate::frame::{Geometry, PixelFormat};

/// What the components of a format are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colours {
    /// R, G, B.
    Rgb,
    /// Y, U (Cb), V (Cr), BT.601, limited range.
    Yuv,
    /// One full-range grey value.
    Grey,
}

/// A colour's samples: full resolution, or chroma that is halved along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pitch {
    Full,
    Half,
}

/// The taps of one axis for both pitches.
#[derive(Debug, Default)]
pub(super) struct AxisTaps {
    pub full: Taps,
    pub half: Taps,
}

impl AxisTaps {
    #[inline(always)]
    pub fn of(&self, pitch: Pitch) -> &Taps {
        match pitch {
            Pitch::Full => &self.full,
            Pitch::Half => &self.half,
        }
    }
}

/// A plane of the frame, narrowed to the bytes of each row that the crop needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plane {
    /// Byte of the frame at which the needed part of the plane's row 0 starts.
    pub offset: usize,
    /// Bytes from row to row.
    pub stride: usize,
    /// Needed bytes of a row.
    pub len: usize,
    /// Vertical pitch.
    pub rows: Pitch,
    /// Index of the first needed byte among the columns of all planes.
    pub first_column: usize,
}

/// One colour's samples among the columns that the vertical pass yields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Component {
    /// Column of the first needed sample.
    pub first_column: usize,
    /// That sample's index in its row.
    pub first_sample: usize,
}

/// A format's planes and components for one crop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub colours: Colours,
    /// One to three planes.
    pub planes: Vec<Plane>,
    /// In the order of [`Colours`]; `Grey` uses the first alone.
    pub components: [Component; 3],
    /// Columns from one sample to the next: of component 0, and of components 1 and 2.
    pub steps: (usize, usize),
    /// Horizontal pitch of components 1 and 2.
    pub chroma: Pitch,
    /// Columns of all planes together.
    pub columns: usize,
}

/// One plane as the format has it: where its row 0 starts, its stride and vertical pitch, and the samples in it:
/// (component, byte of the first sample, step, horizontal pitch).
type Layout<'a> = (usize, usize, Pitch, &'a [(usize, usize, usize, Pitch)]);

impl Source {
    /// `None` for MJPEG. The geometry has been checked, so nothing here overflows.
    pub fn of(geometry: &Geometry, x: &AxisTaps) -> Option<Self> {
        use Pitch::{Full, Half};
        let stride = geometry.stride_bytes as usize;
        let chroma_stride = geometry.chroma_stride_bytes() as usize;
        let rows = geometry.height_px as usize;
        let u_at = stride * rows;
        let v_at = u_at + chroma_stride * rows.div_ceil(2);
        let rgb = |r, g, b| [(0, r, 3, Full), (1, g, 3, Full), (2, b, 3, Full)];
        let build = |colours, layout: &[Layout<'_>]| Some(Self::build(colours, layout, x));
        match geometry.format {
            PixelFormat::Yuyv => {
                let samples = [(0, 0, 2, Full), (1, 1, 4, Half), (2, 3, 4, Half)];
                build(Colours::Yuv, &[(0, stride, Full, &samples)])
            }
            PixelFormat::Uyvy => {
                let samples = [(0, 1, 2, Full), (1, 0, 4, Half), (2, 2, 4, Half)];
                build(Colours::Yuv, &[(0, stride, Full, &samples)])
            }
            PixelFormat::Nv12 => {
                let y = (0, stride, Full, &[(0, 0, 1, Full)][..]);
                let uv = [(1, 0, 2, Half), (2, 1, 2, Half)];
                build(Colours::Yuv, &[y, (u_at, chroma_stride, Half, &uv)])
            }
            PixelFormat::Yu12 => {
                let y = (0, stride, Full, &[(0, 0, 1, Full)][..]);
                let u = (u_at, chroma_stride, Half, &[(1, 0, 1, Half)][..]);
                let v = (v_at, chroma_stride, Half, &[(2, 0, 1, Half)][..]);
                build(Colours::Yuv, &[y, u, v])
            }
            PixelFormat::Rgb24 => build(Colours::Rgb, &[(0, stride, Full, &rgb(0, 1, 2))]),
            PixelFormat::Bgr24 => build(Colours::Rgb, &[(0, stride, Full, &rgb(2, 1, 0))]),
            PixelFormat::Grey => build(Colours::Grey, &[(0, stride, Full, &[(0, 0, 1, Full)])]),
            PixelFormat::Mjpeg | PixelFormat::Bayer(_) => None,
        }
    }

    fn build(colours: Colours, layout: &[Layout<'_>], x: &AxisTaps) -> Self {
        let mut source = Self {
            colours,
            planes: Vec::with_capacity(layout.len()),
            components: [Component::default(); 3],
            steps: (1, 1),
            chroma: Pitch::Full,
            columns: 0,
        };
        for &(offset, stride, rows, samples) in layout {
            let bytes = |&(_, byte, step, pitch): &(usize, usize, usize, Pitch)| {
                let (first, end) = x.of(pitch).span();
                (byte + first * step, byte + (end - 1) * step + 1)
            };
            let begin = samples.iter().map(|s| bytes(s).0).min().unwrap_or(0);
            let end = samples.iter().map(|s| bytes(s).1).max().unwrap_or(0);
            for sample in samples {
                let &(component, _, step, pitch) = sample;
                source.components[component] = Component {
                    first_column: source.columns + bytes(sample).0 - begin,
                    first_sample: x.of(pitch).span().0,
                };
                if component == 0 {
                    source.steps.0 = step;
                } else {
                    source.steps.1 = step;
                    source.chroma = pitch;
                }
            }
            source.planes.push(Plane {
                offset: offset + begin,
                stride,
                len: end - begin,
                rows,
                first_column: source.columns,
            });
            source.columns += end - begin;
        }
        source
    }
}
