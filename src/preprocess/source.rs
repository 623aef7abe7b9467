//! The location of each colour's samples in a frame's bytes, for every uncompressed format.
//!
//! The vertical pass filters rows of *bytes*, whatever they mean; a [`Component`] then selects its own bytes from the result with
//! a stride. So packed formats are never unpacked.

use super::taps::Taps;
use crate::frame::{Geometry, PixelFormat};

/// The colour components of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colours {
    /// R, G, B.
    Rgb,
    /// Y, U (Cb), V (Cr), BT.601, limited range.
    Yuv,
    /// The same in full range: of a JPEG.
    FullYuv,
    /// One full-range grey value.
    Grey,
}

/// A colour's samples: full resolution, or chroma at a half or a quarter of it along an axis. (A JPEG that is shrunk while it is
/// decoded has samples that span more pixels than that; see `mjpeg::window`.)
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Pitch {
    #[default]
    Full,
    Half,
    Quarter,
}

impl Pitch {
    pub const ALL: [Self; 3] = [Self::Full, Self::Half, Self::Quarter];

    /// Pixels that a sample spans.
    pub fn px(self) -> u32 {
        1 << self as u32
    }
}

/// The taps of one axis for each pitch.
#[derive(Debug, Default)]
pub(super) struct AxisTaps {
    pub full: Taps,
    pub half: Taps,
    /// Only a JPEG has such samples.
    pub quarter: Taps,
}

impl AxisTaps {
    #[inline(always)]
    pub fn of(&self, pitch: Pitch) -> &Taps {
        match pitch {
            Pitch::Full => &self.full,
            Pitch::Half => &self.half,
            Pitch::Quarter => &self.quarter,
        }
    }

    pub fn of_mut(&mut self, pitch: Pitch) -> &mut Taps {
        match pitch {
            Pitch::Full => &mut self.full,
            Pitch::Half => &mut self.half,
            Pitch::Quarter => &mut self.quarter,
        }
    }
}

/// A plane of the frame, narrowed to the bytes of each row that the crop needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Plane {
    /// Offset in the plane of the needed part of its row 0.
    pub offset: usize,
    /// Bytes from row to row.
    pub stride: usize,
    /// Needed bytes per row.
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
    /// One to three planes, in the order of the frame's; those that the format does not have are empty.
    pub planes: [Plane; 3],
    /// In the order of [`Colours`]; `Grey` uses only the first.
    pub components: [Component; 3],
    /// Columns from one sample to the next: of component 0, and of components 1 and 2.
    pub steps: (usize, usize),
    /// Horizontal pitch of components 1 and 2.
    pub chroma: Pitch,
    /// Columns of all planes together.
    pub columns: usize,
}

/// One plane in the format's terms: its stride and vertical pitch, and its samples:
/// (component, byte of the first sample, step, horizontal pitch).
type Layout<'a> = (usize, Pitch, &'a [(usize, usize, usize, Pitch)]);

impl Source {
    /// `None` for formats that are converted first. The geometry has been checked, so nothing here overflows.
    pub fn of(geometry: &Geometry, x: &AxisTaps) -> Option<Self> {
        use Pitch::{Full, Half};
        let stride = geometry.stride_bytes as usize;
        let chroma_stride = geometry.chroma_stride_bytes() as usize;
        let rgb = |r, g, b| [(0, r, 3, Full), (1, g, 3, Full), (2, b, 3, Full)];
        let build = |colours, layout: &[Layout<'_>]| Some(Self::build(colours, layout, x));
        match geometry.format {
            PixelFormat::Yuyv => {
                let samples = [(0, 0, 2, Full), (1, 1, 4, Half), (2, 3, 4, Half)];
                build(Colours::Yuv, &[(stride, Full, &samples)])
            }
            PixelFormat::Uyvy => {
                let samples = [(0, 1, 2, Full), (1, 0, 4, Half), (2, 2, 4, Half)];
                build(Colours::Yuv, &[(stride, Full, &samples)])
            }
            PixelFormat::Nv12 => {
                let y = (stride, Full, &[(0, 0, 1, Full)][..]);
                let uv = [(1, 0, 2, Half), (2, 1, 2, Half)];
                build(Colours::Yuv, &[y, (chroma_stride, Half, &uv)])
            }
            // The second byte of a sample has its upper eight bits.
            PixelFormat::P010 => {
                let y = (stride, Full, &[(0, 1, 2, Full)][..]);
                let uv = [(1, 1, 4, Half), (2, 3, 4, Half)];
                build(Colours::Yuv, &[y, (chroma_stride, Half, &uv)])
            }
            PixelFormat::Yu12 => {
                let y = (stride, Full, &[(0, 0, 1, Full)][..]);
                let u = (chroma_stride, Half, &[(1, 0, 1, Half)][..]);
                let v = (chroma_stride, Half, &[(2, 0, 1, Half)][..]);
                build(Colours::Yuv, &[y, u, v])
            }
            PixelFormat::Rgb24 => build(Colours::Rgb, &[(stride, Full, &rgb(0, 1, 2))]),
            PixelFormat::Bgr24 => build(Colours::Rgb, &[(stride, Full, &rgb(2, 1, 0))]),
            PixelFormat::Grey => build(Colours::Grey, &[(stride, Full, &[(0, 0, 1, Full)])]),
            PixelFormat::Mjpeg | PixelFormat::DeepGrey(_) | PixelFormat::Bayer(_) => None,
        }
    }

    /// Of this layout, with these taps along its rows. Allocates nothing.
    pub fn build(colours: Colours, layout: &[Layout<'_>], x: &AxisTaps) -> Self {
        let mut source = Self {
            colours,
            planes: [Plane::default(); 3],
            components: [Component::default(); 3],
            steps: (1, 1),
            chroma: Pitch::Full,
            columns: 0,
        };
        for (plane, &(stride, rows, samples)) in source.planes.iter_mut().zip(layout) {
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
            *plane = Plane {
                offset: begin,
                stride,
                len: end - begin,
                rows,
                first_column: source.columns,
            };
            source.columns += end - begin;
        }
        source
    }
}
