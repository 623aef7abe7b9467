//! MJPEG frames become RGB24 frames; all other frames pass through untouched.
//!
//! The picture's buffer is allocated at start, and a picture is checked before it is decoded: it must have the frame's size, and
//! be sequential with a single scan, as all cameras send them, so that no picture makes the decoder keep all of its coefficients.
//! It must be complete too (truncated pictures would come out half grey): every block must be there, but the end marker, which
//! some webcams omit, and the last eight bytes before it may be missing. The decoder (zune-jpeg) still allocates and frees
//! working rows for each frame: a constant count, and bytes that depend only on the width (`tests/frame_path_allocations`).
//!
//! Webcams omit the Huffman tables and imply the standard's own (ITU-T T.81, K.3); they are inserted if there are none.

use crate::frame::{Frame, FrameError, Geometry, PixelFormat};
use crate::jpeg::{self, Fault, Progress, Walker};

/// Decodes MJPEG frames into its own buffer.
#[derive(Debug)]
pub struct MjpegDecoder {
    largest: Geometry,
    /// The decoded picture.
    rgb: Vec<u8>,
    /// A picture with inserted tables.
    completed: Vec<u8>,
    /// The DHT segment of the standard tables.
    tables: Vec<u8>,
}

/// Why an MJPEG frame is skipped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MjpegError {
    /// The JPEG's data ends before its picture does.
    #[error("the JPEG is cut short after {0} bytes")]
    Truncated(usize),
    /// The JPEG's structure or data is damaged.
    #[error("the JPEG is damaged: {0}")]
    Damaged(String),
    /// The JPEG is not of a kind used for video.
    #[error("the JPEG is progressive or has several scans; a video frame must have a single scan")]
    Scans,
    /// The JPEG's size differs from the camera's frame size.
    #[error("the JPEG is {}x{} pixels, the camera promised {}x{}", .got.0, .got.1, .promised.0, .promised.1)]
    Size {
        /// Width and height of the JPEG.
        got: (u32, u32),
        /// Width and height of the frame.
        promised: (u32, u32),
    },
    /// The frame is larger than the buffers allocated at start.
    #[error("{0} is larger than the MJPEG buffers that were made at start")]
    TooLarge(Geometry),
    /// The frame's geometry is impossible.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl MjpegDecoder {
    /// Allocates buffers for pictures up to the size of `largest`, if its format is MJPEG; none otherwise.
    pub fn new(largest: Geometry) -> Self {
        let pixels = if largest.format == PixelFormat::Mjpeg {
            u64::from(largest.width_px) * u64::from(largest.height_px)
        } else {
            0
        };
        let pixels = usize::try_from(pixels).unwrap_or(usize::MAX / 4);
        let tables = standard_tables();
        Self {
            largest,
            rgb: vec![0; pixels * 3],
            // Drivers give an MJPEG frame no more space than this.
            completed: Vec::with_capacity(if pixels == 0 {
                0
            } else {
                pixels * 2 + tables.len() + 64 * 1024
            }),
            tables,
        }
    }

    /// The same picture as RGB24 if it is MJPEG, otherwise the same frame. Time and sequence are kept.
    pub fn decode<'a>(&'a mut self, frame: Frame<'a>) -> Result<Frame<'a>, MjpegError> {
        if frame.geometry.format != PixelFormat::Mjpeg {
            return Ok(frame);
        }
        let (w, h) = (frame.geometry.width_px, frame.geometry.height_px);
        let geometry = Geometry::packed(PixelFormat::Rgb24, w, h);
        let needed = geometry.picture_bytes()?;
        if needed > self.rgb.len() || w > self.largest.width_px || h > self.largest.height_px {
            return Err(MjpegError::TooLarge(frame.geometry));
        }
        let mut walker = Walker::default();
        let truncated = MjpegError::Truncated(frame.data.len());
        match walker.advance(frame.data) {
            Progress::Complete(_) => {}
            Progress::More if walker.ends_in_scan() => {}
            Progress::More => return Err(truncated),
            Progress::Damaged(at) => {
                return Err(MjpegError::Damaged(format!("no marker at byte {at}")));
            }
        }
        let outline = walker.outline();
        let jpeg = &frame.data[..outline.data_end];
        let (Some(got), Some(scan_at)) = (outline.size_px, outline.scan_at) else {
            return Err(MjpegError::Damaged("it has no picture".into()));
        };
        if outline.scans != 1 || !outline.is_sequential {
            return Err(MjpegError::Scans);
        }
        let got = (u32::from(got.0), u32::from(got.1));
        if got != (w, h) {
            let promised = (w, h);
            return Err(MjpegError::Size { got, promised });
        }
        let jpeg = if outline.has_huffman_tables {
            jpeg
        } else {
            if jpeg.len() + self.tables.len() > self.completed.capacity() {
                return Err(MjpegError::TooLarge(frame.geometry));
            }
            self.completed.clear();
            self.completed.extend_from_slice(&jpeg[..scan_at]);
            self.completed.extend_from_slice(&self.tables);
            self.completed.extend_from_slice(&jpeg[scan_at..]);
            &self.completed
        };
        let rgb = &mut self.rgb[..needed];
        jpeg::decode(jpeg, outline, rgb).map_err(|fault| match fault {
            Fault::Cut => truncated,
            Fault::Damaged(what) => MjpegError::Damaged(what),
        })?;
        Ok(Frame::new(
            geometry,
            rgb,
            frame.captured_at,
            frame.sequence,
        )?)
    }
}

/// Number of codes for each length 1..=16, then the values, of the tables K.3 to K.6.
const DC_LUMA: [u8; 16] = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0];
const DC_CHROMA: [u8; 16] = [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0];
const DC_VALUES: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
const AC_LUMA: [u8; 16] = [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d];
const AC_CHROMA: [u8; 16] = [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77];

#[rustfmt::skip]
const AC_LUMA_VALUES: [u8; 162] = [
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71,
    0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72,
    0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37,
    0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59,
    0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83,
    0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3,
    0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
    0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
    0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
];

#[rustfmt::skip]
const AC_CHROMA_VALUES: [u8; 162] = [
    0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22,
    0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1,
    0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36,
    0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58,
    0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a,
    0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a,
    0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba,
    0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
    0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
];

/// The DHT segment: class and number, lengths, values, for luma (0) and chroma (1).
fn standard_tables() -> Vec<u8> {
    let tables: [(u8, &[u8], &[u8]); 4] = [
        (0x00, &DC_LUMA, &DC_VALUES),
        (0x10, &AC_LUMA, &AC_LUMA_VALUES),
        (0x01, &DC_CHROMA, &DC_VALUES),
        (0x11, &AC_CHROMA, &AC_CHROMA_VALUES),
    ];
    let mut segment = vec![0xff, 0xc4, 0, 0];
    for (class_and_number, lengths, values) in tables {
        segment.push(class_and_number);
        segment.extend_from_slice(lengths);
        segment.extend_from_slice(values);
    }
    // The length includes itself but not the marker: 2 + 2 * (17 + 12) + 2 * (17 + 162).
    segment[2..4].copy_from_slice(&418u16.to_be_bytes());
    segment
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use image::codecs::jpeg::JpegEncoder;
    use std::time::Duration;

    const W: u32 = 70;
    const H: u32 = 50;

    /// A smooth picture as JPEG, and its pixels.
    fn picture() -> (Vec<u8>, Vec<u8>) {
        let rgb: Vec<u8> = (0..W * H)
            .flat_map(|i| [(i % W * 3) as u8, (i / W * 5) as u8, 90])
            .collect();
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, 92)
            .encode(&rgb, W, H, image::ExtendedColorType::Rgb8)
            .unwrap();
        (jpeg, rgb)
    }

    fn without_tables(jpeg: &[u8]) -> Vec<u8> {
        let (mut at, mut out) = (2, jpeg[..2].to_vec());
        while jpeg[at + 1] != 0xda {
            let length = 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
            if jpeg[at + 1] != 0xc4 {
                out.extend_from_slice(&jpeg[at..at + length]);
            }
            at += length;
        }
        out.extend_from_slice(&jpeg[at..]);
        assert!(out.len() + 400 < jpeg.len());
        out
    }

    fn frame(data: &[u8]) -> Frame<'_> {
        let geometry = Geometry::packed(PixelFormat::Mjpeg, W, H);
        Frame::new(geometry, data, Duration::from_millis(7), 3).unwrap()
    }

    fn decoder() -> MjpegDecoder {
        MjpegDecoder::new(Geometry::packed(PixelFormat::Mjpeg, W, H))
    }

    #[test]
    fn a_picture_becomes_rgb_with_its_time_kept() {
        let (jpeg, rgb) = picture();
        let mut decoder = decoder();
        let frame = decoder.decode(frame(&jpeg)).unwrap();
        assert_eq!(frame.geometry, Geometry::packed(PixelFormat::Rgb24, W, H));
        assert_eq!(
            (frame.captured_at, frame.sequence),
            (Duration::from_millis(7), 3)
        );
        let worst = frame
            .data
            .iter()
            .zip(&rgb)
            .map(|(a, b)| a.abs_diff(*b))
            .max();
        assert!(worst.unwrap() < 16, "{worst:?}");
    }

    #[test]
    fn missing_huffman_tables_are_put_in() {
        let (jpeg, _) = picture();
        let expected = decoder().decode(frame(&jpeg)).unwrap().data.to_vec();
        let mut bare = without_tables(&jpeg);
        assert_eq!(decoder().decode(frame(&bare)).unwrap().data, expected);
        bare.extend([0; 100]); // padding after the end, as drivers leave it
        assert_eq!(decoder().decode(frame(&bare)).unwrap().data, expected);
    }

    #[test]
    fn other_formats_pass_untouched() {
        let data = [1, 2, 3, 4];
        let geometry = Geometry::packed(PixelFormat::Grey, 2, 2);
        let frame = Frame::new(geometry, &data, Duration::ZERO, 0).unwrap();
        let mut decoder = MjpegDecoder::new(geometry);
        assert!(decoder.rgb.is_empty() && decoder.completed.capacity() == 0);
        assert_eq!(decoder.decode(frame).unwrap().data.as_ptr(), data.as_ptr());
    }

    #[test]
    fn cut_pictures_are_refused_wherever_the_cut_is() {
        let (jpeg, _) = picture();
        let whole = decoder().decode(frame(&jpeg)).unwrap().data.to_vec();
        let data_end = jpeg.len() - 2;
        let scan_at = jpeg.windows(2).position(|w| w == [0xff, 0xda]).unwrap() + 14;
        let mut decoder = decoder();
        let mut least_accepted = data_end;
        for end in 4..jpeg.len() {
            // As from a webcam that omits the end marker; with an end marker after the cut; with a marker of the next picture.
            for behind in [&[][..], &[0xff, 0xd9], &[0xff]] {
                let cut = [&jpeg[..end], behind].concat();
                match decoder.decode(frame(&cut)) {
                    Ok(frame) if end >= data_end => assert_eq!(frame.data, whole, "{end}"),
                    Ok(_) => least_accepted = least_accepted.min(end),
                    Err(MjpegError::Truncated(length)) if end < data_end => {
                        assert_eq!(length, cut.len());
                    }
                    // In the headers the cut may leave an invalid marker.
                    Err(error) => assert!(end < scan_at, "{end}: {error}"),
                }
            }
        }
        assert!(
            data_end - least_accepted <= 8,
            "{least_accepted} of {data_end}"
        );
    }

    #[test]
    fn flat_pictures_of_few_bits_are_whole() {
        // Two bits per block: the decoder has read to the end before it reaches the last rows.
        for (w, h) in [(16, 16), (16, 400), (64, 64), (1, 1), (8, 2000)] {
            let mut jpeg = Vec::new();
            JpegEncoder::new_with_quality(&mut jpeg, 1)
                .encode(
                    &vec![128; (w * h) as usize],
                    w,
                    h,
                    image::ExtendedColorType::L8,
                )
                .unwrap();
            let geometry = Geometry::packed(PixelFormat::Mjpeg, w, h);
            let mut decoder = MjpegDecoder::new(geometry);
            for end in [jpeg.len(), jpeg.len() - 2] {
                let frame = Frame::new(geometry, &jpeg[..end], Duration::ZERO, 0).unwrap();
                assert!(decoder.decode(frame).is_ok(), "{w}x{h}");
            }
        }
    }

    #[test]
    fn progressive_pictures_are_refused() {
        let (mut jpeg, _) = picture();
        let sof = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
        jpeg[sof + 1] = 0xc2;
        let error = decoder().decode(frame(&jpeg)).unwrap_err();
        assert_eq!(error, MjpegError::Scans);
    }

    #[test]
    fn another_size_is_refused_before_decoding() {
        let (mut jpeg, _) = picture();
        let sof = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
        jpeg[sof + 5..sof + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
        let error = decoder().decode(frame(&jpeg)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the JPEG is 65535x65535 pixels, the camera promised 70x50"
        );
        let huge = Geometry::packed(PixelFormat::Mjpeg, W, H + 1);
        let frame = Frame::new(huge, &jpeg, Duration::ZERO, 0).unwrap();
        assert_eq!(
            decoder().decode(frame).unwrap_err(),
            MjpegError::TooLarge(huge)
        );
    }

    #[test]
    fn damaged_pictures_never_panic() {
        let (jpeg, _) = picture();
        let mut random = fastrand::Rng::with_seed(4);
        let mut decoder = decoder();
        for _ in 0..3000 {
            let mut damaged = jpeg.clone();
            for _ in 0..random.usize(1..8) {
                let at = random.usize(..damaged.len());
                damaged[at] = random.u8(..);
            }
            if let Err(error) = decoder.decode(frame(&damaged)) {
                assert!(!error.to_string().contains('\n'));
            }
        }
        assert!(decoder.decode(frame(&jpeg)).is_ok());
    }
}
