//! Chooses format, size and rate of a camera: what the board file requests against what the driver offers.
//!
//! Pure over [`Driver`], so it can be tested without a device. The board's order of formats decides; within a format the driver
//! chooses the size nearest to the requested one, and its answer is accepted (V4L2's own rule for S_FMT).

use super::field::Field;
use super::gone::means_gone;
use crate::camera::v4l2::V4l2Config;
use crate::frame::{Geometry, PixelFormat};
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

/// A camera that answers needs milliseconds to take or refuse a format; the driver waits 5 s for one that does not.
const HUNG: Duration = Duration::from_millis(500);

/// The kernel's four-character code of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FourCc(pub [u8; 4]);

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The highest bit of the last byte marks big-endian formats.
        for byte in self.0 {
            let c = char::from(byte & 0x7f);
            write!(f, "{}", if c.is_ascii_graphic() { c } else { ' ' })?;
        }
        if self.0[3] & 0x80 != 0 {
            f.write_str("-BE")?;
        }
        Ok(())
    }
}

/// The sizes that a driver lists for one format, width and height in pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sizes {
    /// Only these; empty if the driver does not say.
    Discrete(Vec<(u32, u32)>),
    /// Any size between two, in the driver's steps.
    Range {
        /// The smallest.
        least: (u32, u32),
        /// The largest.
        most: (u32, u32),
    },
}

/// A driver's answer to a format request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Accepted {
    pub format: FourCc,
    pub width_px: u32,
    pub height_px: u32,
    /// Size of each piece of memory; 0 if the driver does not say, and for unused pieces.
    pub strides_bytes: [u32; 3],
    /// How many pieces of memory hold a picture.
    pub pieces: usize,
    pub field: Field,
}

/// The part of a device that negotiation needs.
pub(super) trait Driver {
    /// The formats that it can deliver (ENUM_FMT).
    fn formats(&mut self) -> Vec<FourCc>;
    /// Requests a format and size (S_FMT).
    fn set_format(&mut self, format: FourCc, width_px: u32, height_px: u32)
    -> io::Result<Accepted>;
    /// Requests a rate (S_PARM); returns the frame interval that the driver will use, `None` if it does not say.
    fn set_interval(&mut self, rate_fps: u32) -> io::Result<Option<Duration>>;
}

/// The result of the negotiation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Agreement {
    pub geometry: Geometry,
    /// Whether each plane has its own memory.
    pub has_separate_planes: bool,
    /// Frame interval; `None` if the driver does not say.
    pub interval: Option<Duration>,
    /// Whether the rows of a picture were taken at two times.
    pub is_interlaced: bool,
}

/// Why the negotiation failed.
#[derive(Debug)]
pub(super) enum Disagreement {
    /// The driver offers none of the requested formats; this is what it offers.
    NoFormat(Vec<FourCc>),
    /// The driver offers only raw sensor data.
    RawAlone,
    /// A format was offered and then refused; the last answer.
    Refused(FourCc, io::Error),
    /// The driver's pictures are single fields, or two fields one below the other.
    Fields(Accepted),
    /// The driver's answer does not describe a valid picture.
    Nonsense(Accepted, String),
}

impl Disagreement {
    /// None of the offered formats is requested.
    pub fn of_offered(offered: Vec<FourCc>, wanted: &[PixelFormat]) -> Self {
        let wants_raw = wanted.iter().any(|f| matches!(f, PixelFormat::Bayer(_)));
        if !wants_raw && !offered.is_empty() && offered.iter().all(|code| is_raw(*code)) {
            Self::RawAlone
        } else {
            Self::NoFormat(offered)
        }
    }
}

/// Negotiates format, size and rate.
pub(super) fn negotiate(
    driver: &mut impl Driver,
    wanted: &V4l2Config,
) -> Result<Agreement, Disagreement> {
    let offered = driver.formats();
    let mut refusal = None;
    for &format in &wanted.formats {
        let codes = offered
            .iter()
            .filter(|code| PixelFormat::from_fourcc(code.0) == Some(format));
        for &code in codes {
            let began = Instant::now();
            let answer = match driver.set_format(code, wanted.width_px, wanted.height_px) {
                Ok(answer) => answer,
                Err(error) if would_refuse_all(&error, began.elapsed()) => {
                    return Err(Disagreement::Refused(code, error));
                }
                Err(error) => {
                    refusal = Some(Disagreement::Refused(code, error));
                    continue;
                }
            };
            // A driver may answer with another format than the requested one: then try the next format.
            if PixelFormat::from_fourcc(answer.format.0) != Some(format) {
                continue;
            }
            if !answer.field.is_whole() {
                refusal = Some(Disagreement::Fields(answer));
                continue;
            }
            match geometry(format, &answer) {
                Ok(geometry) => {
                    // After S_FMT, because drivers reset the rate there. A driver without S_PARM runs at its own rate.
                    let interval = match wanted.rate_fps {
                        0 => None,
                        rate => driver.set_interval(rate).unwrap_or(None),
                    };
                    return Ok(Agreement {
                        geometry,
                        has_separate_planes: answer.pieces > 1,
                        interval,
                        is_interlaced: answer.field.is_interlaced(),
                    });
                }
                Err(reason) => refusal = Some(Disagreement::Nonsense(answer, reason)),
            }
        }
    }
    Err(match refusal {
        Some(refusal) => refusal,
        None => Disagreement::of_offered(offered, &wanted.formats),
    })
}

/// Whether another format would not help after this error, which came after this long: someone else holds the camera, or it is gone, or
/// it hangs. A USB camera that refuses a format may give the same error as one that hangs, but at once.
fn would_refuse_all(error: &io::Error, after: Duration) -> bool {
    let is_over = matches!(error.raw_os_error(), Some(libc::EBUSY | libc::ENODEV));
    is_over || (means_gone(error) && after >= HUNG)
}

/// The picture that a driver's answer describes, or why it describes none.
fn geometry(format: PixelFormat, answer: &Accepted) -> Result<Geometry, String> {
    let mut geometry = Geometry::packed(format, answer.width_px, answer.height_px);
    if format == PixelFormat::Mjpeg {
        geometry.stride_bytes = 0;
    } else if answer.strides_bytes[0] != 0 {
        geometry.stride_bytes = answer.strides_bytes[0];
    }
    geometry
        .picture_bytes()
        .map_err(|error| error.to_string())?;
    if answer.pieces == 1 {
        return Ok(geometry);
    }
    if answer.pieces != format.planes() {
        return Err(format!(
            "its pictures are in {} pieces of memory, but {format} has planes for {}",
            answer.pieces,
            format.planes()
        ));
    }
    let chroma = geometry.chroma_stride_bytes();
    for &stride in &answer.strides_bytes[1..answer.pieces] {
        if stride != 0 && u64::from(stride) != chroma {
            return Err(format!(
                "its chroma planes have rows of {stride} bytes, where {chroma} would match the luma rows"
            ));
        }
    }
    Ok(geometry)
}

/// Whether a code means raw sensor data: Bayer mosaics of 8 to 16 bits, plain, packed or compressed (the kernel's "Bayer Formats"
/// and the `PC1` and `PC2` ones of the Raspberry Pi).
fn is_raw(code: FourCc) -> bool {
    let [a, b, c, d] = code.0;
    let pattern = matches!(&[a, b], b"BG" | b"GB" | b"GR" | b"RG" | b"BA");
    let bits = matches!(&[c, d], b"10" | b"12" | b"14" | b"16" | b"81");
    (pattern && bits)
        || matches!(&code.0, b"GBRG" | b"GRBG" | b"RGGB" | b"BYR2")
        || (a == b'p' && matches!(b, b'B' | b'G' | b'g' | b'R') && c == d && c.is_ascii_uppercase())
        || matches!(&code.0, b"aBA8" | b"aGA8" | b"agA8" | b"aRA8")
        || matches!(&code.0, b"bBA8" | b"bGA8" | b"bgA8" | b"bRA8")
        || matches!(&[a, b, c], b"PC1" | b"PC2")
}

/// Whether a code means YUV or grey of more than 8 bits in an unsupported packing: `V4L2_PIX_FMT_NV15`, `NV20`, `P012`, `Y210`,
/// `Y212`, `Y216`, `Y10BPACK`, `Y012`, `Y14`, `Y14P` and tiled or big-endian ones.
pub(super) fn is_deep_otherwise(code: FourCc) -> bool {
    let big_endian_y16 = [b'Y', b'1', b'6', b' ' | 0x80];
    code.0 == big_endian_y16
        || matches!(
            &code.0,
            b"NV15" | b"NV20" | b"P012" | b"PM12" | b"T010" | b"Y210" | b"Y212" | b"Y216"
        )
        || matches!(&code.0, b"Y10B" | b"Y012" | b"Y14 " | b"Y14P")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A driver that offers `formats` in `sizes`.
    struct Fake {
        formats: Vec<&'static [u8; 4]>,
        /// The only size, and the row padding.
        size: (u32, u32, u32),
        /// Its answer to S_PARM.
        interval: Result<Option<Duration>, i32>,
        /// Formats that S_FMT refuses, and the error.
        refuses: Vec<(&'static [u8; 4], i32)>,
        /// Pieces of memory per format, and how much longer than they should be chroma rows are; other formats have one piece.
        pieces: Vec<(&'static [u8; 4], usize, u32)>,
        /// The format that S_FMT always settles on.
        stuck_at: Option<&'static [u8; 4]>,
        /// How S_FMT says that rows lie, by format; whole pictures for others.
        fields: Vec<(&'static [u8; 4], u32)>,
        /// How long S_FMT takes.
        takes: Duration,
        asked: Vec<String>,
    }

    impl Fake {
        fn new(formats: &[&'static [u8; 4]]) -> Self {
            Self {
                formats: formats.to_vec(),
                size: (640, 480, 0),
                interval: Ok(Some(Duration::from_millis(40))),
                refuses: vec![],
                pieces: vec![],
                stuck_at: None,
                fields: vec![],
                takes: Duration::ZERO,
                asked: vec![],
            }
        }
    }

    impl Driver for Fake {
        fn formats(&mut self) -> Vec<FourCc> {
            self.formats.iter().map(|&&f| FourCc(f)).collect()
        }

        fn set_format(&mut self, format: FourCc, w: u32, h: u32) -> io::Result<Accepted> {
            self.asked.push(format!("{format} {w}x{h}"));
            std::thread::sleep(self.takes);
            if let Some((_, errno)) = self.refuses.iter().find(|(f, _)| **f == format.0) {
                return Err(io::Error::from_raw_os_error(*errno));
            }
            let format = self.stuck_at.map_or(format, |&f| FourCc(f));
            let (width_px, height_px, padding) = self.size;
            let mut strides_bytes = [0; 3];
            let pieces = self.pieces.iter().find(|(code, ..)| **code == format.0);
            let (pieces, longer) = pieces.map_or((1, 0), |&(_, pieces, longer)| (pieces, longer));
            if let Some(known) = PixelFormat::from_fourcc(format.0) {
                let mut geometry = Geometry::packed(known, width_px, height_px);
                geometry.stride_bytes += padding;
                let chroma = geometry.chroma_stride_bytes() as u32 + longer;
                let strides = [geometry.stride_bytes, chroma, chroma];
                strides_bytes[..pieces].copy_from_slice(&strides[..pieces]);
            }
            Ok(Accepted {
                format,
                width_px,
                height_px,
                strides_bytes,
                pieces,
                field: {
                    let mut fields = self.fields.iter();
                    let own = fields.find(|(code, _)| **code == format.0);
                    own.map_or(Field::WHOLE, |(_, field)| Field(*field))
                },
            })
        }

        fn set_interval(&mut self, rate_fps: u32) -> io::Result<Option<Duration>> {
            self.asked.push(format!("{rate_fps} fps"));
            self.interval.map_err(io::Error::from_raw_os_error)
        }
    }

    fn wanted(formats: &[PixelFormat]) -> V4l2Config {
        V4l2Config {
            device: None,
            width_px: 800,
            height_px: 600,
            rate_fps: 30,
            formats: formats.to_vec(),
            sensor: None,
            media: None,
            timeout: Duration::from_secs(2),
            tuning: crate::camera::v4l2::Tuning::default(),
            raw: crate::frame::RawTuning::default(),
        }
    }

    #[test]
    fn the_boards_order_decides_and_the_drivers_size_is_taken() {
        let mut driver = Fake::new(&[b"MJPG", b"YUYV", b"NV12"]);
        driver.size.2 = 64;
        let request = wanted(&[PixelFormat::Nv12, PixelFormat::Yuyv]);
        let agreed = negotiate(&mut driver, &request).unwrap();
        assert_eq!(agreed.geometry.format, PixelFormat::Nv12);
        assert_eq!(
            (agreed.geometry.width_px, agreed.geometry.height_px),
            (640, 480)
        );
        assert_eq!(agreed.geometry.stride_bytes, 704, "the driver's stride");
        assert_eq!(agreed.interval, Some(Duration::from_millis(40)));
        assert_eq!(driver.asked, ["NV12 800x600", "30 fps"]);
    }

    /// As rkisp1 and vivid answer.
    #[test]
    fn a_multi_planar_device_has_pictures_in_one_piece_or_in_one_a_plane() {
        let device = || {
            let mut driver = Fake::new(&[b"YUYV", b"NV12", b"NM12", b"YM12"]);
            driver.pieces = vec![(b"NM12", 2, 0), (b"YM12", 3, 0)];
            driver.size.2 = 64;
            driver
        };
        let mut driver = device();
        let agreed = negotiate(&mut driver, &wanted(&[PixelFormat::Nv12])).unwrap();
        assert_eq!(driver.asked[0], "NV12 800x600");
        assert!(!agreed.has_separate_planes);
        for (codes, format, stride_bytes) in [
            (&[b"NM12"], PixelFormat::Nv12, 704),
            (&[b"YM12"], PixelFormat::Yu12, 704),
        ] {
            let mut driver = device();
            driver.formats = codes.to_vec();
            let agreed = negotiate(&mut driver, &wanted(&[format])).unwrap();
            assert!(agreed.has_separate_planes);
            let geometry = agreed.geometry;
            assert_eq!(
                (geometry.format, geometry.stride_bytes),
                (format, stride_bytes)
            );
        }
        // Chroma rows that do not follow from luma's, and pieces that belong to no plane.
        for (pieces, expected) in [
            ((2, 64), "rows of 768 bytes, where 704"),
            ((3, 0), "in 3 pieces"),
        ] {
            let mut driver = device();
            driver.formats = vec![b"NM12"];
            driver.pieces = vec![(b"NM12", pieces.0, pieces.1)];
            match negotiate(&mut driver, &wanted(&[PixelFormat::Nv12])) {
                Err(Disagreement::Nonsense(_, why)) => assert!(why.contains(expected), "{why}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn jpeg_counts_as_mjpeg_and_has_no_stride() {
        let mut driver = Fake::new(&[b"H264", b"JPEG"]);
        let agreed = negotiate(&mut driver, &wanted(&[PixelFormat::Mjpeg])).unwrap();
        assert_eq!(agreed.geometry.format, PixelFormat::Mjpeg);
        assert_eq!(agreed.geometry.stride_bytes, 0);
        assert_eq!(driver.asked[0], "JPEG 800x600");
    }

    #[test]
    fn raw_formats_are_taken_on_request() {
        let raw = PixelFormat::from_fourcc(*b"pRAA").unwrap();
        let mut driver = Fake::new(&[b"pBAA", b"pRAA", b"YUYV"]);
        let agreed = negotiate(&mut driver, &wanted(&[raw])).unwrap();
        assert_eq!(agreed.geometry.format, raw);
        assert_eq!(agreed.geometry.stride_bytes, 800, "640 samples of 10 bits");
        let agreed = negotiate(&mut driver, &V4l2Config::default()).unwrap();
        assert_eq!(
            agreed.geometry.format,
            PixelFormat::Yuyv,
            "never by default"
        );
    }

    #[test]
    fn a_driver_without_a_rate_is_accepted() {
        for answer in [Ok(None), Err(libc::ENOTTY), Err(libc::EINVAL)] {
            let mut driver = Fake::new(&[b"GREY"]);
            driver.interval = answer;
            let agreed = negotiate(&mut driver, &wanted(&[PixelFormat::Grey])).unwrap();
            assert_eq!(agreed.interval, None);
        }
        let mut driver = Fake::new(&[b"GREY"]);
        let mut request = wanted(&[PixelFormat::Grey]);
        request.rate_fps = 0;
        negotiate(&mut driver, &request).unwrap();
        assert_eq!(driver.asked, ["GREY 800x600"], "0 leaves the rate alone");
    }

    #[test]
    fn a_refused_format_gives_way_to_the_next() {
        let mut driver = Fake::new(&[b"YUYV", b"UYVY"]);
        driver.refuses = vec![(b"YUYV", libc::EINVAL)];
        let request = wanted(&[PixelFormat::Yuyv, PixelFormat::Uyvy]);
        assert_eq!(
            negotiate(&mut driver, &request).unwrap().geometry.format,
            PixelFormat::Uyvy
        );
        // A driver that is stuck in one format: in the end, the request for that one is met.
        let mut driver = Fake::new(&[b"YUYV", b"UYVY"]);
        driver.stuck_at = Some(b"UYVY");
        assert_eq!(
            negotiate(&mut driver, &request).unwrap().geometry.format,
            PixelFormat::Uyvy
        );
    }

    #[test]
    fn fields_are_no_pictures_and_interlaced_ones_are_told() {
        let request = wanted(&[PixelFormat::Yuyv, PixelFormat::Uyvy]);
        for (field, is_interlaced) in [(0, false), (1, false), (4, true), (8, true), (9, true)] {
            let mut driver = Fake::new(&[b"YUYV", b"UYVY"]);
            driver.fields = vec![(b"YUYV", field)];
            let agreed = negotiate(&mut driver, &request).unwrap();
            assert_eq!(agreed.geometry.format, PixelFormat::Yuyv, "{field}");
            assert_eq!(agreed.is_interlaced, is_interlaced, "{field}");
        }
        for field in [2, 3, 5, 6, 7] {
            let mut driver = Fake::new(&[b"YUYV", b"UYVY"]);
            driver.fields = vec![(b"YUYV", field)];
            let agreed = negotiate(&mut driver, &request).unwrap();
            assert_eq!(agreed.geometry.format, PixelFormat::Uyvy, "{field}");
            driver.fields.push((b"UYVY", field));
            let refusal = negotiate(&mut driver, &request).unwrap_err();
            assert!(
                matches!(&refusal, Disagreement::Fields(answer) if answer.field == Field(field)),
                "{refusal:?}"
            );
        }
    }

    #[test]
    fn a_busy_driver_is_asked_once() {
        let mut driver = Fake::new(&[b"YUYV", b"UYVY"]);
        driver.refuses = vec![(b"YUYV", libc::EBUSY), (b"UYVY", libc::EBUSY)];
        let request = wanted(&[PixelFormat::Yuyv, PixelFormat::Uyvy]);
        assert!(matches!(
            negotiate(&mut driver, &request),
            Err(Disagreement::Refused(_, error)) if error.raw_os_error() == Some(libc::EBUSY)
        ));
        assert_eq!(driver.asked.len(), 1);
    }

    /// Each format would cost the driver's whole patience.
    #[test]
    fn a_camera_that_hangs_is_asked_once_and_one_that_refuses_at_once_is_asked_for_the_next_format()
    {
        let request = wanted(&[PixelFormat::Yuyv, PixelFormat::Uyvy]);
        for errno in [libc::EIO, libc::ETIMEDOUT, libc::EPROTO, libc::ESHUTDOWN] {
            let error = io::Error::from_raw_os_error(errno);
            assert!(would_refuse_all(&error, HUNG));
            assert!(!would_refuse_all(&error, HUNG / 10));
        }
        let invalid = io::Error::from_raw_os_error(libc::EINVAL);
        assert!(!would_refuse_all(&invalid, HUNG));
        let mut driver = Fake::new(&[b"YUYV", b"UYVY"]);
        driver.refuses = vec![(b"YUYV", libc::EIO)];
        let agreed = negotiate(&mut driver, &request).unwrap();
        assert_eq!(agreed.geometry.format, PixelFormat::Uyvy);
        driver.asked.clear();
        driver.takes = HUNG;
        assert!(matches!(
            negotiate(&mut driver, &request),
            Err(Disagreement::Refused(_, error)) if error.raw_os_error() == Some(libc::EIO)
        ));
        assert_eq!(driver.asked.len(), 1);
    }

    #[test]
    fn without_a_common_format_the_offered_ones_are_listed() {
        let mut driver = Fake::new(&[b"H264", b"pBAA"]);
        let request = wanted(&[PixelFormat::Yuyv]);
        assert!(matches!(
            negotiate(&mut driver, &request),
            Err(Disagreement::NoFormat(offered)) if offered.len() == 2
        ));
        let mut driver = Fake::new(&[]);
        assert!(matches!(
            negotiate(&mut driver, &request),
            Err(Disagreement::NoFormat(offered)) if offered.is_empty()
        ));
    }

    #[test]
    fn raw_sensor_formats_are_recognised() {
        let unicam: [&[u8; 4]; 10] = [
            b"BA81", b"GBRG", b"GRBG", b"RGGB", b"pBAA", b"pgCC", b"RG10", b"BG12", b"BYR2",
            b"PC1R",
        ];
        let mut driver = Fake::new(&unicam);
        assert!(matches!(
            negotiate(&mut driver, &wanted(&[PixelFormat::Yuyv])),
            Err(Disagreement::RawAlone)
        ));
        for code in [
            b"YUYV", b"NV12", b"RGB3", b"BGR3", b"GREY", b"MJPG", b"RGBP", b"Y10 ", b"BGR4",
            b"BA24",
        ] {
            assert!(!is_raw(FourCc(*code)), "{}", FourCc(*code));
        }
    }

    #[test]
    fn an_implausible_answer_is_refused() {
        for (size, stride) in [
            ((0, 480), 0),
            ((640, 480), 100),
            ((u32::MAX, u32::MAX), u32::MAX),
        ] {
            let answer = Accepted {
                format: FourCc(*b"YUYV"),
                width_px: size.0,
                height_px: size.1,
                strides_bytes: [stride, 0, 0],
                pieces: 1,
                field: Field::WHOLE,
            };
            assert!(geometry(PixelFormat::Yuyv, &answer).is_err(), "{answer:?}");
        }
    }

    #[test]
    fn codes_print_as_people_write_them() {
        assert_eq!(FourCc(*b"YUYV").to_string(), "YUYV");
        assert_eq!(FourCc(*b"Y10 ").to_string(), "Y10 ");
        assert_eq!(
            FourCc([b'Y', b'1', b'6', b' ' | 0x80]).to_string(),
            "Y16 -BE"
        );
    }
}
