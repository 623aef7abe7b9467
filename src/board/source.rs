//! A camera or display in words: what the command line asks for, and what a board says of itself.

use super::{
    CameraConfig, DisplayConfig, PatternConfig, PipeConfig, RawTuning, StillConfig, Tuning,
    V4l2Config,
};
use crate::frame::{BayerFormat, PixelFormat};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

impl CameraConfig {
    /// The camera that `--camera SOURCE` means on a board that has this one. What `SOURCE` leaves open stays as the board
    /// file says when the kind is the same, and is the kind's default when it is not.
    pub fn replaced_by(&self, source: &str) -> Self {
        match (source, self) {
            ("v4l2", Self::V4l2(_)) | ("pattern", Self::Pattern(_)) | ("-", Self::Pipe(_)) => {
                self.clone()
            }
            ("v4l2", _) => Self::V4l2(V4l2Config::default()),
            ("pattern", _) => Self::Pattern(PatternConfig::default()),
            ("-", _) => Self::Pipe(PipeConfig::default()),
            (node, _) if node.starts_with("/dev/") => {
                let config = if let Self::V4l2(own) = self {
                    own.clone()
                } else {
                    V4l2Config::default()
                };
                Self::V4l2(V4l2Config {
                    device: Some(PathBuf::from(node)),
                    ..config
                })
            }
            (file, Self::Still(own)) => Self::Still(StillConfig {
                files: vec![file.into()],
                ..own.clone()
            }),
            (file, _) => Self::Still(StillConfig {
                files: vec![file.into()],
                ..StillConfig::default()
            }),
        }
    }
}

impl Default for V4l2Config {
    /// Any camera, 640x480 at 30 frames a second, every known format.
    fn default() -> Self {
        use PixelFormat::{Bgr24, Grey, Mjpeg, Nv12, Rgb24, Uyvy, Yu12, Yuyv};
        Self {
            device: None,
            width_px: 640,
            height_px: 480,
            rate_fps: 30,
            formats: vec![Yuyv, Uyvy, Nv12, Yu12, Rgb24, Bgr24, Mjpeg, Grey],
            sensor: None,
            media: None,
            timeout: Duration::from_secs(2),
            tuning: Tuning::default(),
            raw: RawTuning::default(),
        }
    }
}

impl Default for RawTuning {
    /// A pedestal of a sixteenth, as Sony's sensors have; white follows the picture; colours as they come.
    fn default() -> Self {
        Self {
            black_level: 4096,
            white_balance: None,
            lights: None,
            matrix: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        }
    }
}

impl fmt::Display for RawTuning {
    /// What raw pictures are taken for, with the keys that change it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "black_level {}", self.black_level)?;
        match self.white_balance {
            Some([red, blue]) => write!(f, ", white_balance {red} {blue}")?,
            None => f.write_str(", white_balance measured")?,
        }
        match self.lights {
            Some(_) => Ok(()),
            None => f.write_str(", colours of no known sensor"),
        }
    }
}

impl Default for StillConfig {
    /// Each picture once for five frames, as fast as they are taken.
    fn default() -> Self {
        Self {
            files: Vec::new(),
            frames_each: 5,
            repeat: false,
            rate_fps: 0,
        }
    }
}

impl Default for PipeConfig {
    /// Up to full HD; a stalled sender is noticed after five seconds.
    fn default() -> Self {
        Self {
            max_width_px: 1920,
            max_height_px: 1080,
            timeout: Duration::from_secs(5),
        }
    }
}

impl Default for PatternConfig {
    /// 640x480 YUYV, as fast as the frames are taken.
    fn default() -> Self {
        Self {
            width_px: 640,
            height_px: 480,
            format: PixelFormat::Yuyv,
            rate_fps: 0,
        }
    }
}

impl DisplayConfig {
    /// Its kind, as in `[display.KIND]`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Framebuffer(_) => "framebuffer",
            Self::Drm(_) => "drm",
            Self::Spi(_) => "spi",
            Self::Oled(_) => "oled",
            Self::Epaper(_) => "epaper",
            Self::Png(_) => "png",
            Self::Window(_) => "window",
        }
    }

    /// Whether the board must not run without this display. A screen or a panel may be missing unless its table says
    /// otherwise; PNG files must always be writable, and who wants a window wants to look at it.
    pub fn is_required(&self) -> bool {
        match self {
            Self::Framebuffer(c) => c.required,
            Self::Spi(c) => c.required,
            Self::Oled(c) => c.required,
            Self::Epaper(c) => c.required,
            Self::Drm(c) => c.required,
            Self::Png(_) | Self::Window(_) => true,
        }
    }

    /// Whether a picture takes longer than a frame may wait, so that the display has a thread of its own. Memory and files are
    /// quick; a panel behind a serial bus, or one that moves ink, is not, and one of DRM waits for its next picture.
    pub fn is_slow(&self) -> bool {
        match self {
            Self::Framebuffer(_) | Self::Png(_) | Self::Window(_) => false,
            Self::Drm(_) | Self::Spi(_) | Self::Oled(_) | Self::Epaper(_) => true,
        }
    }

    /// Where a panel is wired to: its bus, and on I2C its address there; none for displays of other kinds.
    pub(super) fn bus_node(&self) -> Option<(&Path, Option<u16>)> {
        match self {
            Self::Spi(c) => Some((&c.link.device, None)),
            Self::Oled(c) => Some((c.link.device(), c.link.address())),
            Self::Epaper(c) => Some((&c.link.device, None)),
            Self::Framebuffer(_) | Self::Drm(_) | Self::Png(_) | Self::Window(_) => None,
        }
    }

    /// `rotate_deg` and `mirror`, where the kind has them.
    pub fn turned(&self) -> Option<(u16, bool)> {
        match self {
            Self::Framebuffer(c) => Some((c.rotate_deg, c.mirror)),
            Self::Drm(c) => Some((c.rotate_deg, c.mirror)),
            Self::Spi(c) => Some((c.rotate_deg, c.mirror)),
            Self::Oled(c) => Some((c.rotate_deg, c.mirror)),
            Self::Epaper(c) => Some((c.rotate_deg, c.mirror)),
            Self::Png(_) | Self::Window(_) => None,
        }
    }

    /// The keys that change what its test picture looks like.
    pub fn setup_keys(&self) -> &'static [&'static str] {
        match self {
            Self::Framebuffer(_) => &["rotate_deg", "mirror", "width_px", "height_px"],
            Self::Drm(_) => &["rotate_deg", "mirror", "width_px", "height_px", "rate_hz"],
            Self::Spi(_) => &[
                "controller",
                "rotate_deg",
                "mirror",
                "width_px",
                "height_px",
                "left_px",
                "top_px",
                "invert",
                "bgr",
                "round",
                "speed_hz",
            ],
            Self::Oled(_) => &[
                "controller",
                "rotate_deg",
                "mirror",
                "width_px",
                "height_px",
                "left_px",
                "invert",
                "contrast",
            ],
            Self::Epaper(_) => &["rotate_deg", "mirror", "panel", "invert"],
            Self::Png(_) => &["width_px", "height_px", "depth", "round", "paper"],
            Self::Window(_) => &["width_px", "height_px", "scale", "depth"],
        }
    }

    /// What log and messages call each of `displays`: `display` where it is the only one, with its kind where there are others,
    /// and with a number where there are others of its kind: `display spi 2`.
    pub fn names(displays: &[Self]) -> Vec<String> {
        let kinds: Vec<_> = displays.iter().map(Self::kind).collect();
        let name = |(i, kind): (usize, &&'static str)| {
            let alike = |kinds: &[&str]| kinds.iter().filter(|other| *other == kind).count();
            match (displays.len(), alike(&kinds)) {
                (1, _) => "display".to_owned(),
                (_, 1) => format!("display {kind}"),
                _ => format!("display {kind} {}", alike(&kinds[..=i])),
            }
        };
        kinds.iter().enumerate().map(name).collect()
    }
}

impl fmt::Display for CameraConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4l2(c) => {
                let device = c
                    .device
                    .as_ref()
                    .map_or("the first that can capture".into(), |d| {
                        d.display().to_string()
                    });
                let (w, h, rate) = (c.width_px, c.height_px, c.rate_fps);
                let raw_formats = c.formats.iter();
                let raw_formats = raw_formats.filter(|f| matches!(f, PixelFormat::Bayer(_)));
                // Twenty names say no more than this.
                let formats = if raw_formats.count() == BayerFormat::ALL.len() {
                    "raw pictures".to_owned()
                } else {
                    let names: Vec<String> = c.formats.iter().map(ToString::to_string).collect();
                    names.join(" or ")
                };
                write!(
                    f,
                    "V4L2, {device}, {w}x{h} at {rate} frames per second, {formats}"
                )
            }
            Self::Still(c) => {
                let files: Vec<String> = c.files.iter().map(|f| f.display().to_string()).collect();
                let frames = c.frames_each;
                write!(
                    f,
                    "still pictures {}, {frames} frames each",
                    files.join(", ")
                )
            }
            Self::Pipe(c) => write!(
                f,
                "standard input, MJPEG or Y4M up to {}x{}",
                c.max_width_px, c.max_height_px
            ),
            Self::Pattern(c) => write!(
                f,
                "drawn pattern, {}x{} {}",
                c.width_px, c.height_px, c.format
            ),
        }
    }
}

impl fmt::Display for DisplayConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Framebuffer(c) => {
                write!(
                    f,
                    "framebuffer, {}",
                    c.driver.as_deref().unwrap_or("the first driver")
                )?;
                if let (Some(w), Some(h)) = (c.width_px, c.height_px) {
                    write!(f, ", {w}x{h}")?;
                }
                Ok(())
            }
            Self::Spi(c) => c.fmt(f),
            Self::Oled(c) => c.fmt(f),
            Self::Epaper(c) => c.fmt(f),
            Self::Drm(c) => {
                let or = |text: &Option<String>, other: &str| {
                    text.clone().unwrap_or_else(|| other.to_owned())
                };
                let connector = or(&c.connector, "the first connector with a display");
                write!(f, "DRM, {connector} of {}", or(&c.driver, "any driver"))?;
                if let (Some(w), Some(h)) = (c.width_px, c.height_px) {
                    write!(f, ", {w}x{h}")?;
                }
                c.rate_hz.map_or(Ok(()), |hz| write!(f, " at {hz} Hz"))
            }
            Self::Window(c) => {
                write!(f, "window of {}x{}", c.width_px, c.height_px)?;
                if c.scale > 1 {
                    write!(f, ", {} times as large", c.scale)?;
                }
                Ok(())
            }
            Self::Png(c) => write!(
                f,
                "PNG files of {}x{} in {}",
                c.width_px,
                c.height_px,
                c.folder.display()
            ),
        }
    }
}
