//! The TOML of a board, read and checked into a [`Board`]. Every key stands in `boards/README.md`.
//!
//! A fault in a file is reported with file, line, column and key, all faults of the file at once. No file but the board's own
//! is touched here: whether a camera, a picture or a model exists is found out by whoever opens it.

use super::policy::Policy;
use super::sensor::Sensor;
use super::tuning::{raw_tuning, tuning};
use super::{
    Board, BoardError, CameraConfig, ClassRule, ClassRules, DecideConfig, PatternConfig,
    PipeConfig, StillConfig, Tier, V4l2Config, classes,
};
use crate::data_roots::DataRoots;
use crate::frame::{BayerDepth, BayerFormat, PixelFormat};
use crate::limits::{self, Whole};
use crate::memory::PoolSize;
use crate::model::labels::composed;
use crate::toml_file::{Faults, Table, read, read_text};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Pixel formats of ready pictures that a board file can name; as a default for `formats` they stand best first: those that cost least to
/// convert, with MJPEG after them, because a JPEG has to be decoded.
const FORMATS: [(&str, PixelFormat); 8] = [
    ("yuyv", PixelFormat::Yuyv),
    ("uyvy", PixelFormat::Uyvy),
    ("nv12", PixelFormat::Nv12),
    ("yu12", PixelFormat::Yu12),
    ("rgb24", PixelFormat::Rgb24),
    ("bgr24", PixelFormat::Bgr24),
    ("mjpeg", PixelFormat::Mjpeg),
    ("grey", PixelFormat::Grey),
];

/// The same and the raw ones of a sensor, which are taken only when a board file names them or such a sensor.
const NAMED_FORMATS: [(&str, PixelFormat); FORMATS.len() + BayerFormat::ALL.len()] = {
    let mut named = [FORMATS[0]; FORMATS.len() + BayerFormat::ALL.len()];
    let mut i = 0;
    while i < named.len() {
        named[i] = if i < FORMATS.len() {
            FORMATS[i]
        } else {
            let format = BayerFormat::ALL[i - FORMATS.len()];
            (format.name(), PixelFormat::Bayer(format))
        };
        i += 1;
    }
    named
};

/// What a raw sensor is asked for: 10 bits, which all of them have, before more, which cost more to read.
const RAW_DEPTHS: [BayerDepth; 5] = [
    BayerDepth::Packed10,
    BayerDepth::Bits10,
    BayerDepth::Packed12,
    BayerDepth::Bits12,
    BayerDepth::Bits8,
];

/// What the relative paths of a board file are relative to.
#[derive(Debug, Clone, Copy)]
pub enum Base<'a> {
    /// A file on disk: its own folder.
    Folder(&'a Path),
    /// A compiled-in board: `boards/` of the first data root that has the path; pictures are written below the current folder.
    DataRoots(&'a DataRoots),
}

impl Base<'_> {
    pub(super) fn input(self, path: &str) -> PathBuf {
        match self {
            _ if Path::new(path).is_absolute() => path.into(),
            Base::Folder(folder) => folder.join(path),
            Base::DataRoots(roots) => roots.find_or_first(Path::new("boards").join(path)),
        }
    }

    pub(super) fn output(self, path: &str) -> PathBuf {
        match self {
            Base::Folder(folder) => folder.join(path),
            Base::DataRoots(_) => path.into(),
        }
    }
}

impl Board {
    /// Reads the board file at `path`; the board's name is the file's stem.
    pub fn load(path: &Path) -> Result<Self, BoardError> {
        let unreadable = |reason: String| BoardError::Unreadable {
            path: path.to_owned(),
            reason,
        };
        let text = read_text(path, limits::TOML_FILE_BYTES)
            .map_err(|error| unreadable(error.to_string()))?;
        let name = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .ok_or_else(|| unreadable("its name is not UTF-8 text".to_owned()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let file = path.display().to_string();
        Ok(Self::parse(name, &file, &text, Base::Folder(folder))?)
    }

    /// Checks `text`, which messages call `file`.
    pub fn parse(name: &str, file: &str, text: &str, base: Base<'_>) -> Result<Self, Faults> {
        read(file, text, |top| {
            top.must_have(&[
                "description",
                "tier",
                "model",
                "threads",
                "camera",
                "display",
            ]);
            let description = top.text("description");
            let tiers = [
                ("hardware", Tier::Hardware),
                ("emulation", Tier::Emulation),
                ("untested", Tier::Untested),
            ];
            let tier = top.word("tier", &tiers);
            let device_tree_models = top.texts("device_tree_models").unwrap_or_default();
            let model = top.text("model").map(|model| model_of(model, base));
            let threads = top.integer_u32("threads", limits::THREADS);
            let pool_mib = top.integer_u32("pool_mib", limits::POOL_MIB);
            let camera = camera(top, base);
            let (mount, regions) = super::mount::mount(top);
            let decide = decide(top);
            let (displays, font) = super::display::displays(top, base);
            let firmware = super::firmware::firmware(top);
            let policy = super::policy::policy(top);
            if let Some(camera) = &camera {
                check_timeout(top, camera, &policy);
            }
            Some(Self {
                name: name.to_owned(),
                description: description?,
                tier: tier?,
                device_tree_models,
                model: model?,
                threads: threads? as usize,
                pool: pool_mib.map_or(PoolSize::AsNeeded, |mib| {
                    PoolSize::Bytes((mib as usize) << 20)
                }),
                camera: camera?,
                mount,
                regions,
                decide,
                displays,
                font,
                firmware,
                policy,
            })
        })
    }
}

/// A watchdog must not take a camera that is waited for for a program that hangs.
fn check_timeout(top: &Table<'_, '_>, camera: &CameraConfig, policy: &Policy) {
    let timeout = match camera {
        CameraConfig::V4l2(v4l2) => v4l2.timeout,
        CameraConfig::Pipe(pipe) => pipe.timeout,
        CameraConfig::Still(_) | CameraConfig::Pattern(_) => return,
    };
    if !policy.watchdog.is_zero() && timeout >= policy.watchdog {
        let watchdog_s = policy.watchdog.as_secs();
        top.fault(
            "camera",
            format_args!(
                "its timeout_ms is {}, needs less than policy.watchdog_s, which is {watchdog_s} (0 is no watchdog)",
                timeout.as_millis()
            ),
        );
    }
}

/// A model's name stays as it is; a path is made relative to the board file.
fn model_of(model: String, base: Base<'_>) -> String {
    if crate::model::is_path(&model) {
        base.input(&model).to_string_lossy().into_owned()
    } else {
        model
    }
}

fn millis(table: &mut Table<'_, '_>, key: &str, range: Whole, default: u64) -> Duration {
    Duration::from_millis(table.integer(key, range).unwrap_or(default))
}

fn camera(top: &mut Table<'_, '_>, base: Base<'_>) -> Option<CameraConfig> {
    let (kind, mut table) = top.choice("camera", &["v4l2", "still", "pipe", "pattern"])?;
    let table = &mut table;
    match kind {
        "v4l2" => v4l2(table).map(CameraConfig::V4l2),
        "still" => still(table, base).map(CameraConfig::Still),
        "pipe" => Some(CameraConfig::Pipe(PipeConfig {
            max_width_px: table
                .integer_u32("max_width_px", limits::SIDE_PX)
                .unwrap_or(1920),
            max_height_px: table
                .integer_u32("max_height_px", limits::SIDE_PX)
                .unwrap_or(1080),
            timeout: millis(table, "timeout_ms", limits::PIPE_TIMEOUT_MS, 5000),
        })),
        _ => pattern(table).map(CameraConfig::Pattern),
    }
}

fn v4l2(table: &mut Table<'_, '_>) -> Option<V4l2Config> {
    table.must_have(&["width_px", "height_px"]);
    let device = table.text("device").filter(|device| device != "auto");
    if device.as_ref().is_some_and(|path| !path.starts_with('/')) {
        table.fault(
            "device",
            "needs \"auto\" or a whole path like \"/dev/video0\" or \"/dev/v4l/by-id/...\"",
        );
    }
    let width_px = table.integer_u32("width_px", limits::SIDE_PX);
    let height_px = table.integer_u32("height_px", limits::SIDE_PX);
    let rate_fps = table
        .integer_u32("rate_fps", limits::CAMERA_RATE_FPS)
        .unwrap_or(30);
    let formats = table.words("formats", &NAMED_FORMATS);
    let sensor = table.word("sensor", &Sensor::NAMES);
    let is_raw = sensor.is_some_and(Sensor::is_raw);
    let formats = formats.unwrap_or_else(|| default_formats(is_raw));
    let timeout = millis(table, "timeout_ms", limits::CAMERA_TIMEOUT_MS, 2000);
    let media = super::media::media(table).map(Box::new);
    let tuning = tuning(table);
    let raw = raw_tuning(table, sensor);
    Some(V4l2Config {
        sensor,
        media,
        device: device.map(PathBuf::from),
        width_px: width_px?,
        height_px: height_px?,
        rate_fps,
        formats,
        timeout,
        tuning,
        raw,
    })
}

/// Acceptable formats when the board file says nothing of them.
fn default_formats(is_raw: bool) -> Vec<PixelFormat> {
    if !is_raw {
        return FORMATS.map(|(_, format)| format).to_vec();
    }
    let of_depth = |depth| {
        BayerFormat::ALL
            .into_iter()
            .filter(move |format| format.depth == depth)
    };
    let formats = RAW_DEPTHS.into_iter().flat_map(of_depth);
    formats.map(PixelFormat::Bayer).collect()
}

fn still(table: &mut Table<'_, '_>, base: Base<'_>) -> Option<StillConfig> {
    table.must_have(&["files"]);
    let files = table.texts("files");
    if files.as_ref().is_some_and(Vec::is_empty) {
        table.fault(
            "files",
            "is empty, needs at least one picture file or folder",
        );
    }
    let frames_each = table
        .integer_u32("frames_each", limits::FRAMES_EACH)
        .unwrap_or(1);
    let repeat = table.flag("repeat").unwrap_or(false);
    let rate_fps = table
        .integer_u32("rate_fps", limits::DRAWN_RATE_FPS)
        .unwrap_or(0);
    Some(StillConfig {
        files: files?.iter().map(|file| base.input(file)).collect(),
        frames_each,
        repeat,
        rate_fps,
    })
}

fn pattern(table: &mut Table<'_, '_>) -> Option<PatternConfig> {
    table.must_have(&["width_px", "height_px"]);
    // A pattern is drawn pixel by pixel, so it has no MJPEG.
    let raw = FORMATS.map(|(name, format)| (name, format));
    let raw: Vec<_> = raw
        .into_iter()
        .filter(|(_, format)| *format != PixelFormat::Mjpeg)
        .collect();
    let width_px = table.integer_u32("width_px", limits::SIDE_PX);
    let height_px = table.integer_u32("height_px", limits::SIDE_PX);
    let format = table.word("format", &raw).unwrap_or(PixelFormat::Rgb24);
    let rate_fps = table
        .integer_u32("rate_fps", limits::DRAWN_RATE_FPS)
        .unwrap_or(30);
    Some(PatternConfig {
        width_px: width_px?,
        height_px: height_px?,
        format,
        rate_fps,
    })
}

impl Default for DecideConfig {
    /// What holds where `[decide]` does not say otherwise.
    fn default() -> Self {
        Self {
            ema_weight: 0.4,
            enter: 0.5,
            leave: 0.35,
            frames_in_a_row: 3,
            hold: Duration::from_millis(500),
            unknown_label: "unknown".to_owned(),
            classes: ClassRules::default(),
        }
    }
}

fn decide(top: &mut Table<'_, '_>) -> DecideConfig {
    let default = DecideConfig::default();
    let Some(mut table) = top.table("decide") else {
        return default;
    };
    let ema_weight = table.number("ema_weight", limits::EMA_WEIGHT);
    let ClassRule {
        enter,
        leave,
        frames_in_a_row,
        hold,
    } = classes::rule(&mut table, default.rule());
    let mut config = DecideConfig {
        ema_weight: ema_weight.unwrap_or(default.ema_weight),
        enter,
        leave,
        frames_in_a_row,
        hold,
        unknown_label: table
            .text("unknown_label")
            .map_or(default.unknown_label, |label| composed(&label)),
        classes: ClassRules::default(),
    };
    config.classes = classes::class_rules(&mut table, config.rule());
    config
}
