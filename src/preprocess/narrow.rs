//! Converts grey pictures with more than 8 bits to 8 bits: only the part of the frame that one region needs.
//!
//! The upper eight bits of each sample are taken, as for P010, whose byte layout needs no separate pass.

use super::source::AxisTaps;
use crate::frame::{Frame, Geometry, GreyDepth, PixelFormat};

/// The part of the frame that a region needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    depth: GreyDepth,
    /// Offset in a row at which it begins, aligned to a whole group.
    first_byte: usize,
    width_px: usize,
    first_row: usize,
    rows: usize,
}

impl Span {
    /// The part for these taps, which are then counted from its corner.
    pub fn of(depth: GreyDepth, x: &mut AxisTaps, y: &mut AxisTaps) -> Self {
        let ((left, right), (top, bottom)) = (x.full.span(), y.full.span());
        let (samples, bytes) = depth.group();
        let first = left / samples;
        x.full.count_from(first * samples);
        y.full.count_from(top);
        Self {
            depth,
            first_byte: first * bytes,
            width_px: right - first * samples,
            first_row: top,
            rows: bottom - top,
        }
    }

    /// The resulting geometry.
    pub fn geometry(&self) -> Geometry {
        Geometry::packed(PixelFormat::Grey, self.width_px as u32, self.rows as u32)
    }

    /// Bytes of the resulting picture.
    pub fn bytes(&self) -> usize {
        self.width_px * self.rows
    }

    /// Converts `frame` to a picture of [`Self::geometry`] in the first [`Self::bytes`] of `grey`. `frame` has the geometry for
    /// which the taps were made.
    pub fn narrow<'a>(&self, frame: &Frame<'_>, grey: &'a mut [u8]) -> &'a [u8] {
        let stride = frame.geometry.stride_bytes as usize;
        let grey = &mut grey[..self.bytes()];
        for (i, grey) in grey.chunks_exact_mut(self.width_px).enumerate() {
            let row = &frame.data[(self.first_row + i) * stride + self.first_byte..];
            self.depth.upper_bits(row, grey);
        }
        grey
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::reference::spec;
    use super::super::{Area, Mount, Preprocess};
    use super::*;
    use crate::spec::{Encoder, Input};
    use fastrand::Rng;
    use std::time::Duration;

    const AREA: Area = Area {
        left: 0.3,
        top: 0.2,
        width: 0.5,
        height: 0.7,
    };

    /// What the network sees of the whole picture and of a part, in every mounting.
    fn crops(frame: &Frame<'_>) -> Vec<Vec<u8>> {
        let spec = spec(20, 16, 18);
        let mut crops = Vec::new();
        for (rotate_deg, mirror) in [(0, false), (90, true), (180, true), (270, false)] {
            let mount = Mount {
                rotate_deg,
                mirror,
                ..Mount::default()
            };
            let areas = [Area::WHOLE, AREA];
            let mut preprocess = Preprocess::of_areas(&spec, mount, &areas, Encoder::of(&spec));
            let mut tensor = vec![0.0; 20 * 16 * 3];
            for area in 0..areas.len() {
                let input = Input::F32(&mut tensor);
                preprocess.run_area(area, frame, input).unwrap();
                crops.push(preprocess.crop_of_area(area).rgb.to_vec());
            }
        }
        crops
    }

    fn frame(geometry: Geometry, data: &[u8]) -> Frame<'_> {
        Frame::new(geometry, data, Duration::ZERO, 0).unwrap()
    }

    /// A row of a grey picture at this depth; the lower bits are arbitrary.
    fn deepened(depth: GreyDepth, row: &[u8], random: &mut Rng) -> Vec<u8> {
        let (samples, _) = depth.group();
        let groups = row.chunks(samples);
        groups
            .flat_map(|group| match depth {
                GreyDepth::Bits10 | GreyDepth::Bits12 | GreyDepth::Bits16 => {
                    let lower = depth.bits() - 8;
                    let sample = u32::from(group[0]) << lower | random.u32(0..1 << lower);
                    (sample as u16).to_le_bytes().to_vec()
                }
                GreyDepth::Packed10 | GreyDepth::Packed12 => {
                    let mut group = group.to_vec();
                    group.resize(samples, 0);
                    group.push(random.u8(..));
                    group
                }
            })
            .collect()
    }

    #[test]
    fn deep_grey_is_what_its_upper_eight_bits_are() {
        let mut random = Rng::with_seed(5);
        for (width_px, height_px) in [(64, 48), (35, 41), (18, 16)] {
            let plain = Geometry::packed(PixelFormat::Grey, width_px, height_px);
            let mut grey = vec![0; plain.picture_bytes().unwrap()];
            random.fill(&mut grey);
            let expected = crops(&frame(plain, &grey));
            for depth in GreyDepth::ALL {
                for padding in [0, 3] {
                    let format = PixelFormat::DeepGrey(depth);
                    let mut geometry = Geometry::packed(format, width_px, height_px);
                    geometry.stride_bytes += padding;
                    let rows = grey.chunks_exact(width_px as usize);
                    let data: Vec<u8> = rows
                        .flat_map(|row| {
                            let mut row = deepened(depth, row, &mut random);
                            row.resize(geometry.stride_bytes as usize, 77);
                            row
                        })
                        .collect();
                    assert_eq!(crops(&frame(geometry, &data)), expected, "{geometry}");
                }
            }
        }
    }

    #[test]
    fn p010_is_nv12_with_more_bits() {
        let mut random = Rng::with_seed(6);
        for (width_px, height_px) in [(64, 48), (35, 41), (18, 16)] {
            let plain = Geometry::packed(PixelFormat::Nv12, width_px, height_px);
            let mut data = vec![0; plain.picture_bytes().unwrap()];
            random.fill(&mut data);
            let deep = Geometry::packed(PixelFormat::P010, width_px, height_px);
            // Ten bits: the lowest six are zero.
            let bytes = data.iter().flat_map(|&upper| [random.u8(0..4) << 6, upper]);
            let bytes: Vec<u8> = bytes.collect();
            let (shallow, deep) = (crops(&frame(plain, &data)), crops(&frame(deep, &bytes)));
            assert_eq!(shallow, deep, "{width_px}x{height_px}");
        }
    }

    #[test]
    fn planes_that_lie_apart_are_the_same_picture() {
        let mut random = Rng::with_seed(7);
        for format in [PixelFormat::Nv12, PixelFormat::Yu12, PixelFormat::P010] {
            for (width_px, height_px) in [(64, 48), (35, 41)] {
                let mut geometry = Geometry::packed(format, width_px, height_px);
                geometry.stride_bytes += 6;
                let mut data = vec![0; geometry.picture_bytes().unwrap()];
                random.fill(&mut data);
                let together = frame(geometry, &data);
                let copies = together.planes().map(<[u8]>::to_vec);
                let planes = [&copies[0][..], &copies[1], &copies[2]];
                let apart = Frame::of_planes(geometry, planes, Duration::ZERO, 0).unwrap();
                assert_eq!(crops(&together), crops(&apart), "{geometry}");
            }
        }
    }
}
