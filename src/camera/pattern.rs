//! A generated test picture: eight colour bars moving right, above a grey ramp moving left. Needs no hardware and no files, and
//! works in every 8-bit format except MJPEG and the raw ones.

use super::formats::FORMATS;
use super::pace::Pace;
use super::{Camera, CameraConfig, CameraError, CameraKind, Kind, Next};
use crate::data_roots::Base;
use crate::frame::{Frame, Geometry, PixelFormat};
use crate::toml_file::Table;
use crate::{clock, limits};
use std::fmt;

/// See the module's documentation.
pub(super) const KIND: Kind = Kind {
    name: "pattern",
    read,
    sources: "pattern (drawn)",
    of_source,
};

/// `[camera.pattern]`
#[derive(Debug, Clone, PartialEq)]
pub struct PatternConfig {
    /// Width of the picture.
    pub width_px: u32,
    /// Height of the picture.
    pub height_px: u32,
    /// The format it is drawn in.
    pub format: PixelFormat,
    /// Frames per second; 0 means unpaced.
    pub rate_fps: u32,
}

impl Default for PatternConfig {
    /// 640x480 YUYV, unpaced.
    fn default() -> Self {
        Self {
            width_px: 640,
            height_px: 480,
            format: PixelFormat::Yuyv,
            rate_fps: 0,
        }
    }
}

fn read(table: &mut Table<'_, '_>, _: Base<'_>) -> Option<CameraConfig> {
    table.must_have(&["width_px", "height_px"]);
    let default = PatternConfig::default();
    let formats = FORMATS.iter().copied();
    let formats: Vec<_> = formats.filter(|(_, format)| is_drawn(*format)).collect();
    let width_px = table.integer_u32("width_px", limits::SIDE_PX);
    let height_px = table.integer_u32("height_px", limits::SIDE_PX);
    let format = table.word("format", &formats);
    let rate_fps = table.integer_u32("rate_fps", limits::DRAWN_RATE_FPS);
    Some(CameraConfig::Pattern(PatternConfig {
        width_px: width_px?,
        height_px: height_px?,
        format: format.unwrap_or(default.format),
        rate_fps: rate_fps.unwrap_or(default.rate_fps),
    }))
}

/// `pattern`
fn of_source(source: &str, own: &CameraConfig) -> Option<CameraConfig> {
    (source == KIND.name).then(|| match own {
        CameraConfig::Pattern(_) => own.clone(),
        _ => CameraConfig::Pattern(PatternConfig::default()),
    })
}

impl CameraKind for PatternConfig {
    fn open(&self) -> Result<Box<dyn Camera>, CameraError> {
        Ok(Box::new(PatternCamera::open(self)?))
    }
}

impl fmt::Display for PatternConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            width_px,
            height_px,
            format,
            ..
        } = self;
        write!(f, "drawn pattern, {width_px}x{height_px} {format}")
    }
}

/// White, yellow, cyan, green, magenta, red, blue, black.
const BARS: [[u8; 3]; 8] = [
    [255, 255, 255],
    [255, 255, 0],
    [0, 255, 255],
    [0, 255, 0],
    [255, 0, 255],
    [255, 0, 0],
    [0, 0, 255],
    [0, 0, 0],
];

/// Pixels that the drawing moves per frame.
const STEP_PX: u64 = 2;

/// Whether the pattern can be drawn in a format: it is drawn pixel by pixel, so not as MJPEG.
fn is_drawn(format: PixelFormat) -> bool {
    !matches!(format, PixelFormat::Mjpeg | PixelFormat::Bayer(_)) && !format.is_deep()
}

/// Draws frames.
#[derive(Debug)]
pub struct PatternCamera {
    geometry: Geometry,
    rate_fps: u32,
    pace: Pace,
    data: Vec<u8>,
    /// One row of pixels, drawn before it is packed.
    row: Vec<[u8; 3]>,
    sequence: u64,
}

impl PatternCamera {
    /// Allocates room for one picture.
    pub fn open(config: &PatternConfig) -> Result<Self, CameraError> {
        if !is_drawn(config.format) {
            return Err(CameraError::Unusable(format!(
                "the pattern camera does not draw {}: choose another format in [camera.pattern]",
                config.format
            )));
        }
        let geometry = Geometry::packed(config.format, config.width_px, config.height_px);
        let bytes = geometry
            .picture_bytes()
            .map_err(|error| CameraError::Unusable(format!("[camera.pattern]: {error}")))?;
        Ok(Self {
            geometry,
            rate_fps: config.rate_fps,
            pace: Pace::new(config.rate_fps),
            data: vec![0; bytes],
            row: vec![[0; 3]; config.width_px as usize],
            sequence: 0,
        })
    }

    fn draw(&mut self) {
        let width = self.row.len() as u64;
        let height = self.geometry.height_px as usize;
        let bars_end = height - height / 4;
        let moved = self.sequence * STEP_PX % width;
        for (x, pixel) in self.row.iter_mut().enumerate() {
            let at = (x as u64 + width - moved) % width;
            *pixel = BARS[(at * 8 / width) as usize];
        }
        self.fill(0, bars_end);
        for (x, pixel) in self.row.iter_mut().enumerate() {
            let at = (x as u64 + moved) % width;
            *pixel = [(at * 255 / width) as u8; 3];
        }
        self.fill(bars_end, height);
    }

    /// Packs `row` into the picture's rows `begin..end`. Rows that share chroma use that of the upper one.
    fn fill(&mut self, begin: usize, end: usize) {
        if begin == end {
            return;
        }
        let Self {
            geometry,
            data,
            row,
            ..
        } = self;
        let stride = geometry.stride_bytes as usize;
        let chroma_stride = geometry.chroma_stride_bytes() as usize;
        let rows = geometry.height_px as usize;
        // Rows have no padding, so every row of every plane is a full stride long.
        let (luma, chroma) = data.split_at_mut(stride * rows);
        let first = &mut luma[begin * stride..][..stride];
        match geometry.format {
            PixelFormat::Rgb24 => write(first, 3, row, |p| *p),
            PixelFormat::Bgr24 => write(first, 3, row, |p| [p[2], p[1], p[0]]),
            PixelFormat::Grey => write(first, 1, row, |p| [grey_of(*p)]),
            PixelFormat::Yu12 | PixelFormat::Nv12 => write(first, 1, row, |p| [yuv_of(*p)[0]]),
            PixelFormat::Yuyv | PixelFormat::Uyvy => {
                for (four, pair) in first.chunks_exact_mut(4).zip(row.chunks(2)) {
                    let [y0, u, v] = yuv_of(pair[0]);
                    let y1 = yuv_of(pair[pair.len() - 1])[0];
                    four.copy_from_slice(&match geometry.format {
                        PixelFormat::Yuyv => [y0, u, y1, v],
                        _ => [u, y0, v, y1],
                    });
                }
            }
            PixelFormat::Mjpeg
            | PixelFormat::P010
            | PixelFormat::DeepGrey(_)
            | PixelFormat::Bayer(_) => {}
        }
        repeat(luma, stride, begin, end);
        if chroma_stride == 0 {
            return;
        }
        let (begin, end) = (begin.div_ceil(2), end.div_ceil(2));
        if begin == end {
            return;
        }
        let pairs = row.chunks(2).map(|pair| yuv_of(pair[0]));
        if geometry.format == PixelFormat::Nv12 {
            let first = &mut chroma[begin * chroma_stride..];
            for (two, [_, u, v]) in first.chunks_exact_mut(2).zip(pairs) {
                two.copy_from_slice(&[u, v]);
            }
            repeat(chroma, chroma_stride, begin, end);
        } else {
            let (u_plane, v_plane) = chroma.split_at_mut(chroma_stride * rows.div_ceil(2));
            for ((u, v), yuv) in u_plane[begin * chroma_stride..]
                .iter_mut()
                .zip(&mut v_plane[begin * chroma_stride..])
                .zip(pairs)
            {
                (*u, *v) = (yuv[1], yuv[2]);
            }
            repeat(u_plane, chroma_stride, begin, end);
            repeat(v_plane, chroma_stride, begin, end);
        }
    }
}

fn write<const N: usize>(
    to: &mut [u8],
    step: usize,
    row: &[[u8; 3]],
    f: impl Fn(&[u8; 3]) -> [u8; N],
) {
    for (to, pixel) in to.chunks_exact_mut(step).zip(row) {
        to.copy_from_slice(&f(pixel));
    }
}

/// Copies row `begin` of a plane to the rows after it, up to `end`.
fn repeat(plane: &mut [u8], stride: usize, begin: usize, end: usize) {
    for row in begin + 1..end {
        plane.copy_within(begin * stride..(begin + 1) * stride, row * stride);
    }
}

/// BT.601 luma, full range.
fn grey_of([r, g, b]: [u8; 3]) -> u8 {
    let [r, g, b] = [r, g, b].map(u32::from);
    ((r * 299 + g * 587 + b * 114 + 500) / 1000) as u8
}

/// BT.601, limited range.
fn yuv_of([r, g, b]: [u8; 3]) -> [u8; 3] {
    let [r, g, b] = [r, g, b].map(i32::from);
    let y = (16_829 * r + 33_039 * g + 6_416 * b + (1 << 15)) >> 16;
    let u = (-9_714 * r - 19_070 * g + 28_784 * b + (1 << 15)) >> 16;
    let v = (28_784 * r - 24_103 * g - 4_681 * b + (1 << 15)) >> 16;
    // With these coefficients the results stay in 16..=240.
    [(y + 16) as u8, (u + 128) as u8, (v + 128) as u8]
}

impl Camera for PatternCamera {
    fn describe(&self) -> String {
        match self.rate_fps {
            0 => format!("pattern: {}, as fast as frames are taken", self.geometry),
            fps => format!("pattern: {}, {fps} fps", self.geometry),
        }
    }

    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn next(&mut self) -> Result<Next<'_>, CameraError> {
        if !self.pace.is_due() {
            return Ok(Next::NotYet);
        }
        self.draw();
        let sequence = self.sequence;
        self.sequence += 1;
        Frame::new(self.geometry, &self.data, clock::now(), sequence)
            .map(Next::Frame)
            .map_err(|error| CameraError::Unusable(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::preprocess::{Mount, Preprocess};
    use crate::spec::{Dtype, Encoder, Input, InputSpec, Layout};

    fn open(
        format: PixelFormat,
        width_px: u32,
        height_px: u32,
    ) -> Result<PatternCamera, CameraError> {
        PatternCamera::open(&PatternConfig {
            width_px,
            height_px,
            format,
            rate_fps: 0,
        })
    }

    /// What the network sees of frame `number`, at full size.
    fn crop(camera: &mut PatternCamera, size: u32) -> Vec<u8> {
        let spec = InputSpec {
            resize_shorter_px: size,
            ..InputSpec::imagenet(Layout::Nhwc, Dtype::U8, size, size)
        };
        let mut preprocess = Preprocess::new(&spec, Mount::default(), Encoder::of(&spec));
        let mut tensor = vec![0; (size * size * 3) as usize];
        let Next::Frame(frame) = camera.next().unwrap() else {
            panic!("the pattern has no end");
        };
        preprocess.run(&frame, Input::U8(&mut tensor)).unwrap();
        tensor
    }

    #[test]
    fn every_format_shows_the_same_moving_bars() {
        for format in PixelFormat::ALL {
            let Ok(mut camera) = open(format, 64, 64) else {
                assert!(!is_drawn(format), "{format}");
                continue;
            };
            let first = crop(&mut camera, 64);
            // The middle of each bar, and a dark and a light spot of the ramp.
            for (bar, colour) in BARS.iter().enumerate() {
                let at = (10 * 64 + bar * 8 + 4) * 3;
                let expected = match format {
                    PixelFormat::Grey => [grey_of(*colour); 3],
                    _ => *colour,
                };
                for (a, b) in first[at..at + 3].iter().zip(expected) {
                    assert!(
                        a.abs_diff(b) <= 2,
                        "{format} bar {bar}: {:?}",
                        &first[at..at + 3]
                    );
                }
            }
            assert!(
                first[(60 * 64 + 2) * 3] < 20 && first[(60 * 64 + 61) * 3] > 235,
                "{format}"
            );
            let second = crop(&mut camera, 64);
            assert_ne!(first, second);
            let (a, b) = ((10 * 64 + 20) * 3, (10 * 64 + 22) * 3);
            assert_eq!(
                first[a..a + 3],
                second[b..b + 3],
                "{format}: two pixels to the right"
            );
        }
    }

    #[test]
    fn odd_and_tiny_sizes_are_drawn() {
        for format in PixelFormat::ALL {
            for (w, h) in [(1, 1), (3, 5), (2, 1), (1, 9), (33, 7)] {
                if let Ok(mut camera) = open(format, w, h) {
                    assert!(matches!(camera.next(), Ok(Next::Frame(_))));
                }
            }
        }
        assert!(open(PixelFormat::Rgb24, 0, 4).is_err());
    }
}
