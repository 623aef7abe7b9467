//! A board: camera, model, display, limits. What a `boards/NAME.toml` says ([`mod@file`]) becomes, once checked, a [`Board`],
//! and nothing after that validates again. Every key, its unit and default stand in `boards/README.md`.

pub mod choose;
pub mod classes;
mod display;
pub mod file;
pub mod firmware;
mod media;
mod mount;
pub mod panel;
pub mod policy;
pub mod sensor;
mod source;
mod tuning;

pub use classes::{ClassRule, ClassRules};
pub use display::{Refresh, Shape};
pub use firmware::Firmware;
pub use media::{FormatSetting, LinkSetting, MediaConfig, PadName};
pub use tuning::{ControlSetting, Tuning};

use crate::failure::{Cause, Failure};
use crate::frame::PixelFormat;
use crate::memory::PoolSize;
use crate::spec::Resize;
use crate::toml_file::Faults;
use panel::SpiConfig;
use panel::epaper::EpaperConfig;
use panel::oled::OledConfig;
use policy::Policy;
use sensor::Sensor;
use std::path::PathBuf;
use std::time::Duration;

/// Why there is no board.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// The file is there, and wrong: one line a fault.
    #[error(transparent)]
    Faults(#[from] Faults),
    /// The file cannot be read.
    #[error("board file {} cannot be read: {reason}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// No compiled-in board has this name.
    #[error(
        "there is no board `{name}`{hint} (`eyelet list boards` names them; --board-file takes a file of your own)"
    )]
    UnknownName {
        /// What was asked for.
        name: String,
        /// `, did you mean ...?` or nothing.
        hint: String,
    },
}

impl From<BoardError> for Failure {
    fn from(error: BoardError) -> Self {
        match error {
            BoardError::Faults(faults) => Self::of_lines(Cause::Board, &faults.lines),
            error => Self::new(Cause::Board, error),
        }
    }
}

/// Everything that is true of a board.
#[derive(Debug, Clone, PartialEq)]
pub struct Board {
    /// The file's name without `.toml`.
    pub name: String,
    /// One line for `eyelet list boards`.
    pub description: String,
    /// How well it is tested.
    pub tier: Tier,
    /// Beginnings of the device-tree model string (`/proc/device-tree/model`) by which the board is recognised.
    pub device_tree_models: Vec<String>,
    /// Which model: a name under `models/`, or a path to an ONNX file.
    pub model: String,
    /// Threads that run the network.
    pub threads: usize,
    /// The size of the fixed memory pool.
    pub pool: PoolSize,
    /// Where frames come from.
    pub camera: CameraConfig,
    /// How the camera is mounted.
    pub mount: Mount,
    /// The parts of the upright picture that are classified, in turn; none is the whole picture.
    pub regions: Vec<Region>,
    /// How scores become a verdict.
    pub decide: DecideConfig,
    /// Where the verdict is drawn, in the order of the file; none is the serial log alone.
    pub displays: Vec<DisplayConfig>,
    /// A font file for letters that the program's own fonts lack (`font` of `[display]`).
    pub font: Option<PathBuf>,
    /// What an image for this board is made of.
    pub firmware: Firmware,
    /// What is done when something is wrong.
    pub policy: Policy,
}

/// How well a board is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// On the hardware itself.
    Hardware,
    /// In emulation only.
    Emulation,
    /// Not at all.
    Untested,
}

/// One camera, of one kind (`[camera.v4l2]`, `[camera.still]`, `[camera.pipe]`, `[camera.pattern]`).
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a program has one of it")]
pub enum CameraConfig {
    /// A V4L2 capture device.
    V4l2(V4l2Config),
    /// Picture files, one after the other.
    Still(StillConfig),
    /// MJPEG or Y4M on standard input.
    Pipe(PipeConfig),
    /// A drawn test picture.
    Pattern(PatternConfig),
}

impl CameraConfig {
    /// How raw pictures are developed, should there be any.
    pub fn raw_tuning(&self) -> RawTuning {
        match self {
            Self::V4l2(v4l2) => v4l2.raw,
            _ => RawTuning::default(),
        }
    }
}

/// `[camera.v4l2]`
#[derive(Debug, Clone, PartialEq)]
pub struct V4l2Config {
    /// `/dev/videoN`, a link under `/dev/v4l/by-id` or `by-path`; `None` is "auto": the first node that can capture.
    pub device: Option<PathBuf>,
    /// Asked-for width; the driver may choose its nearest.
    pub width_px: u32,
    /// Asked-for height.
    pub height_px: u32,
    /// Asked-for frame rate (S_PARM).
    pub rate_fps: u32,
    /// Acceptable formats, best first.
    pub formats: Vec<PixelFormat>,
    /// Which ribbon-cable camera it is, when it is one.
    pub sensor: Option<Sensor>,
    /// How its pipeline is set up, where it has one and the board file says so.
    pub media: Option<Box<MediaConfig>>,
    /// How long a frame may take before the stream counts as stalled.
    pub timeout: Duration,
    /// Its controls.
    pub tuning: Tuning,
    /// How raw pictures are developed.
    pub raw: RawTuning,
}

/// How a sensor's raw pictures become colours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RawTuning {
    /// What a sample has without any light, of 65536 for a full one, whatever its bits.
    pub black_level: u16,
    /// Gains of red and blue against green; `None` follows the picture.
    pub white_balance: Option<[f32; 2]>,
    /// Red : green and blue : green of something grey in the warmest and the coolest light, where the sensor is known.
    pub lights: Option<[[f32; 2]; 2]>,
    /// Red, green and blue of sRGB, in linear light, as parts of the sensor's three colours after white balance.
    pub matrix: [[f32; 3]; 3],
}

/// `[camera.still]`
#[derive(Debug, Clone, PartialEq)]
pub struct StillConfig {
    /// Picture files and folders of picture files (taken in name order).
    pub files: Vec<PathBuf>,
    /// How many frames each picture is shown for.
    pub frames_each: u32,
    /// Start again after the last picture, for ever.
    pub repeat: bool,
    /// Frames a second; 0 is as fast as they are taken.
    pub rate_fps: u32,
}

/// `[camera.pipe]`
#[derive(Debug, Clone, PartialEq)]
pub struct PipeConfig {
    /// The largest picture that is taken, in pixels each way; buffers are allocated for it at start.
    pub max_width_px: u32,
    /// See `max_width_px`.
    pub max_height_px: u32,
    /// How long a frame may take before the stream counts as stalled.
    pub timeout: Duration,
}

/// `[camera.pattern]`
#[derive(Debug, Clone, PartialEq)]
pub struct PatternConfig {
    /// Width of the drawn picture.
    pub width_px: u32,
    /// Height of the drawn picture.
    pub height_px: u32,
    /// The format it is drawn in.
    pub format: PixelFormat,
    /// Frames a second; 0 is as fast as they are taken.
    pub rate_fps: u32,
}

/// How the camera is mounted: the picture is rotated clockwise by `rotate_deg`, then mirrored left-right. That is the upright
/// picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mount {
    /// 0, 90, 180 or 270.
    pub rotate_deg: u16,
    /// Swap left and right (after the rotation).
    pub mirror: bool,
    /// How the picture comes to the network's size; `None` is the model's own way.
    pub resize: Option<Resize>,
}

/// A part of the upright picture that is classified on its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// Its name in `[mount.regions]`; none for the one of `region`.
    pub name: Option<String>,
    /// Where it lies.
    pub area: Area,
}

/// A rectangle in parts of the upright picture: 0 is its left or upper rim, 1 the right or lower one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    /// Left side.
    pub left: f32,
    /// Upper side.
    pub top: f32,
    /// Width, above 0; `left + width` is at most 1, but for rounding.
    pub width: f32,
    /// Height, likewise.
    pub height: f32,
}

impl Area {
    /// The whole picture.
    pub const WHOLE: Self = Self {
        left: 0.0,
        top: 0.0,
        width: 1.0,
        height: 1.0,
    };
}

impl std::fmt::Display for Region {
    /// As the board file has it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name} = ")?;
        }
        let Area {
            left,
            top,
            width,
            height,
        } = self.area;
        write!(f, "[{left}, {top}, {width}, {height}]")
    }
}

/// `[decide]`
#[derive(Debug, Clone, PartialEq)]
pub struct DecideConfig {
    /// Weight of the newest frame in the moving average of probabilities, 0 < x <= 1; 1 is no smoothing.
    pub ema_weight: f32,
    /// A class is decided when its smoothed probability is at least this.
    pub enter: f32,
    /// A decided class is kept while its smoothed probability is at least this (<= `enter`).
    pub leave: f32,
    /// A class must be the best one in this many frames in a row before it is decided.
    pub frames_in_a_row: u32,
    /// A decided class stays at least this long.
    pub hold: Duration,
    /// The word that is shown when no class is decided.
    pub unknown_label: String,
    /// What is said of single classes.
    pub classes: ClassRules,
}

/// One display, of one kind (`[display.framebuffer]`, `[display.spi]`, `[display.png]`). A board has up to [`crate::limits::DISPLAYS`] of them.
#[derive(Debug, Clone, PartialEq)]
pub enum DisplayConfig {
    /// A Linux framebuffer.
    Framebuffer(FramebufferConfig),
    /// A colour panel on SPI.
    Spi(SpiConfig),
    /// A small panel of one colour.
    Oled(OledConfig),
    /// E-paper.
    Epaper(EpaperConfig),
    /// A display of the kernel's display drivers, whose mode is ours to choose.
    Drm(DrmConfig),
    /// PNG files: what a display of that size would show.
    Png(PngConfig),
    /// A window on a desktop.
    Window(WindowConfig),
}

/// `[display.framebuffer]`
#[derive(Debug, Clone, PartialEq)]
pub struct FramebufferConfig {
    /// The beginning of the driver's name as in `/proc/fb` (`virtio_gpu`, `vc4`, `simple`); `None` is the first one.
    pub driver: Option<String>,
    /// The width that the board file promises, checked against the driver's; `None` takes the driver's.
    pub width_px: Option<u32>,
    /// The height likewise.
    pub height_px: Option<u32>,
    /// Rotation of the drawing on the panel, clockwise: 0, 90, 180 or 270.
    pub rotate_deg: u16,
    /// Swap left and right of the panel (after the rotation): for a panel that is seen in a mirror.
    pub mirror: bool,
    /// End with an error when there is no such framebuffer; otherwise the serial log alone goes on.
    pub required: bool,
}

/// `[display.drm]`
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DrmConfig {
    /// The connector as `eyelet list displays` names it (`HDMI-A-1`, `DSI-1`); `None` is the first one with a display.
    pub connector: Option<String>,
    /// The beginning of the driver's name (`vc4`, `virtio_gpu`, `tegra`); `None` is any.
    pub driver: Option<String>,
    /// Width of the mode; `None` leaves it to the display.
    pub width_px: Option<u32>,
    /// Height of the mode, likewise.
    pub height_px: Option<u32>,
    /// Pictures a second of the mode, likewise.
    pub rate_hz: Option<u32>,
    /// Rotation of the drawing on the panel, clockwise: 0, 90, 180 or 270.
    pub rotate_deg: u16,
    /// Swap left and right of the panel (after the rotation).
    pub mirror: bool,
    /// End with an error when there is no such display; otherwise the serial log alone goes on.
    pub required: bool,
}

/// `[display.window]`
#[derive(Debug, Clone, PartialEq)]
pub struct WindowConfig {
    /// Width of the display that is imitated.
    pub width_px: u32,
    /// Height of it.
    pub height_px: u32,
    /// Each of its pixels is a square of so many in the window: 1, 2, 4 or 8.
    pub scale: u32,
    /// Colour depth that is imitated.
    pub depth: Depth,
}

impl WindowConfig {
    /// Whether this program can open windows.
    pub const IS_BUILT_IN: bool = cfg!(feature = "window");
    /// What is said where it cannot.
    pub const NOT_BUILT_IN: &'static str = "this program was built without windows: build it with `cargo build --release --features window`, or use [display.png]";
}

/// `[display.png]`
#[derive(Debug, Clone, PartialEq)]
pub struct PngConfig {
    /// Folder for the pictures, made when it is missing.
    pub folder: PathBuf,
    /// How many pictures are kept: one a change of class, `001.png` first; the oldest is overwritten past this.
    pub keep: u32,
    /// Width of the drawn display.
    pub width_px: u32,
    /// Height of the drawn display.
    pub height_px: u32,
    /// Colour depth that is imitated.
    pub depth: Depth,
    /// Shape that is imitated.
    pub shape: Shape,
    /// Whether paper is imitated.
    pub refresh: Refresh,
}

/// Bits a pixel of a display.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// Black and white.
    Mono,
    /// 5-6-5.
    Rgb565,
    /// 8-8-8.
    Rgb888,
}
