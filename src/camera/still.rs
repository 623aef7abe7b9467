//! Picture files as a camera: each is shown for a number of frames, then the next.
//!
//! One decoded picture is held at a time, and it is decoded once per change, not per frame. An unreadable file is reported once,
//! counted as damaged and skipped; the camera cannot be opened if all of them are unreadable.

use super::others::{Others, is_hidden};
use super::pace::Pace;
use super::picture::{Picture, PictureError, read_picture};
use super::{Camera, CameraConfig, CameraError, CameraKind, Counts, Kind, Next};
use crate::data_roots::Base;
use crate::frame::{Frame, Geometry, PixelFormat};
use crate::toml_file::Table;
use crate::{built_in, clock, limits};
use std::fmt;
use std::path::{Path, PathBuf};

/// File name extensions that are picked up from a folder.
pub(crate) const ENDINGS: [&str; 10] = [
    "bmp", "gif", "jfif", "jpe", "jpeg", "jpg", "png", "tif", "tiff", "webp",
];

/// See the module's documentation.
pub(super) const KIND: Kind = Kind {
    name: "still",
    read,
    sources: "picture files or a folder of them",
    of_source,
};

/// `[camera.still]`
#[derive(Debug, Clone, PartialEq)]
pub struct StillConfig {
    /// Picture files and folders of picture files (taken in name order).
    pub files: Vec<PathBuf>,
    /// How many frames each picture is shown for.
    pub frames_each: u32,
    /// Start over after the last picture, for ever.
    pub repeat: bool,
    /// Frames per second; 0 means unpaced.
    pub rate_fps: u32,
}

impl Default for StillConfig {
    /// Each picture once for five frames, unpaced: with fewer than `frames_in_a_row` of `[decide]` no class is decided.
    fn default() -> Self {
        Self {
            files: Vec::new(),
            frames_each: 5,
            repeat: false,
            rate_fps: 0,
        }
    }
}

fn read(table: &mut Table<'_, '_>, base: Base<'_>) -> Option<CameraConfig> {
    table.must_have(&["files"]);
    let default = StillConfig::default();
    let files = table.texts("files");
    if files.as_ref().is_some_and(Vec::is_empty) {
        table.fault(
            "files",
            "is empty, needs at least one picture file or folder",
        );
    }
    let frames_each = table.integer_u32("frames_each", limits::FRAMES_EACH);
    let repeat = table.flag("repeat");
    let rate_fps = table.integer_u32("rate_fps", limits::DRAWN_RATE_FPS);
    Some(CameraConfig::Still(StillConfig {
        files: files?.iter().map(|file| base.input(file)).collect(),
        frames_each: frames_each.unwrap_or(default.frames_each),
        repeat: repeat.unwrap_or(default.repeat),
        rate_fps: rate_fps.unwrap_or(default.rate_fps),
    }))
}

/// A file or folder, whatever its name.
fn of_source(source: &str, own: &CameraConfig) -> Option<CameraConfig> {
    let config = match own {
        CameraConfig::Still(own) => own.clone(),
        _ => StillConfig::default(),
    };
    Some(CameraConfig::Still(StillConfig {
        files: vec![source.into()],
        ..config
    }))
}

impl CameraKind for StillConfig {
    fn open(&self) -> Result<Box<dyn Camera>, CameraError> {
        Ok(Box::new(StillCamera::open(self)?))
    }

    /// Every file and folder exists, every folder has pictures, and one picture can be read.
    fn check(&self) -> Result<(), CameraError> {
        let is_built_in =
            |file| built_in::read(file).is_some() || built_in::files(file).next().is_some();
        for file in self.files.iter().filter(|file| !is_built_in(file)) {
            file.metadata().map_err(|error| {
                let file = file.display();
                CameraError::Unusable(format!(
                    "cannot find the picture or folder {file}: {error}; correct `files` of [camera.still], or --camera"
                ))
            })?;
        }
        StillCamera::open(self).map(drop)
    }
}

impl fmt::Display for StillConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<String> = self.files.iter().map(|f| built_in::shown(f)).collect();
        let (files, frames) = (files.join(", "), self.frames_each);
        write!(f, "still pictures {files}, {frames} frames each")
    }
}

/// Shows picture files.
#[derive(Debug)]
pub struct StillCamera {
    files: Vec<PathBuf>,
    frames_each: u32,
    repeat: bool,
    rate_fps: u32,
    pace: Pace,
    picture: Picture,
    /// Index into `files` of the current picture.
    at: usize,
    /// For how many frames it has been shown.
    shown: u32,
    /// Whether every file has had its turn, so that bad ones have been reported.
    reported: bool,
    sequence: u64,
    damaged: u64,
}

impl StillCamera {
    /// Lists the files and decodes the first readable one.
    pub fn open(config: &StillConfig) -> Result<Self, CameraError> {
        let files = expand(&config.files)?;
        let mut camera = Self {
            files,
            frames_each: config.frames_each.max(1),
            repeat: config.repeat,
            rate_fps: config.rate_fps,
            pace: Pace::new(config.rate_fps),
            picture: Picture {
                width_px: 0,
                height_px: 0,
                rgb: Vec::new(),
            },
            at: 0,
            shown: 0,
            reported: false,
            sequence: 0,
            damaged: 0,
        };
        match camera.load(0) {
            Ok(true) => Ok(camera),
            Ok(false) => Err(CameraError::Unusable(
                "the still camera has no files: name picture files or folders in [camera.still] files".into(),
            )),
            Err(error) => Err(CameraError::Unusable(match camera.files.len() {
                1 => error.to_string(),
                n => format!("none of the {n} pictures can be read; the last one: {error}"),
            })),
        }
    }

    /// The current file.
    pub fn file(&self) -> &Path {
        &self.files[self.at]
    }

    /// Decodes the first readable file from `from` on. `Ok(false)` if none is left and none failed.
    fn load(&mut self, from: usize) -> Result<bool, PictureError> {
        let mut failed = None;
        for at in from..self.files.len() {
            // The old picture is dropped first, so that two are never held at once.
            self.picture.rgb = Vec::new();
            match read_picture(&self.files[at]) {
                Ok(picture) => {
                    self.picture = picture;
                    self.at = at;
                    self.shown = 0;
                    return Ok(true);
                }
                Err(error) => {
                    self.damaged += 1;
                    if !self.reported {
                        log::error!("{error}; it is skipped");
                    }
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(false), Err)
    }

    /// Moves on to the next picture; `false` at the end.
    fn advance(&mut self) -> Result<bool, CameraError> {
        if self.files.len() == 1 && self.repeat {
            self.shown = 0;
            return Ok(true);
        }
        let next = self.load(self.at + 1);
        if matches!(next, Ok(true)) {
            return Ok(true);
        }
        self.reported = true;
        if !self.repeat {
            return Ok(false);
        }
        match self.load(0) {
            Ok(found) => Ok(found),
            Err(error) => Err(CameraError::Lost {
                camera: "the still camera".into(),
                reason: error.to_string(),
            }),
        }
    }
}

impl Camera for StillCamera {
    fn describe(&self) -> String {
        let rate = match self.rate_fps {
            0 => "as fast as they are taken".to_string(),
            fps => format!("{fps} fps"),
        };
        let count = self.files.len();
        let plural = if count == 1 { "picture" } else { "pictures" };
        format!(
            "still: {count} {plural}, {} frames each, {rate}",
            self.frames_each
        )
    }

    fn geometry(&self) -> Geometry {
        Geometry::packed(
            PixelFormat::Rgb24,
            self.picture.width_px,
            self.picture.height_px,
        )
    }

    fn next(&mut self) -> Result<Next<'_>, CameraError> {
        if self.picture.rgb.is_empty() || (self.shown == self.frames_each && !self.advance()?) {
            return Ok(Next::End);
        }
        if !self.pace.is_due() {
            return Ok(Next::NotYet);
        }
        self.shown += 1;
        let sequence = self.sequence;
        self.sequence += 1;
        let frame = Frame::new(self.geometry(), &self.picture.rgb, clock::now(), sequence);
        // A decoded picture is exactly as long as its size requires.
        frame
            .map(Next::Frame)
            .map_err(|error| CameraError::Unusable(error.to_string()))
    }

    fn counts(&self) -> Counts {
        Counts {
            stale: 0,
            damaged: self.damaged,
        }
    }
}

/// Expands folders to their picture files in name order; files stay, even missing ones (they are reported at their turn).
fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>, CameraError> {
    let mut files = Vec::new();
    for path in paths {
        let before = files.len();
        files.extend(built_in::files(path));
        if files.len() > before {
            continue;
        }
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let unreadable = |error| {
            CameraError::Unusable(format!(
                "cannot list the folder {}: {error}",
                path.display()
            ))
        };
        let mut found = Vec::new();
        let mut others = Others::default();
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            match file.is_file() {
                true if is_picture(&file) => found.push(file),
                true => others.add(&file),
                false if file.is_symlink() => others.add_link(&file),
                false => {}
            }
        }
        others.report(path);
        if found.is_empty() {
            return Err(CameraError::Unusable(format!(
                "the folder {} has no pictures (files that end in {})",
                path.display(),
                ENDINGS.join(", ")
            )));
        }
        found.sort();
        files.append(&mut found);
    }
    Ok(files)
}

/// Whether a file in a folder is picked up, judged by its name: hidden ones are not.
pub(crate) fn is_picture(file: &Path) -> bool {
    let ending = file.extension().and_then(|ending| ending.to_str());
    !is_hidden(file) && ending.is_some_and(|e| ENDINGS.contains(&e.to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn save(path: &Path, size: u32, grey: u8) {
        image::RgbImage::from_pixel(size, size, image::Rgb([grey; 3]))
            .save(path)
            .unwrap();
    }

    fn config(files: Vec<PathBuf>) -> StillConfig {
        StillConfig {
            files,
            frames_each: 2,
            repeat: false,
            rate_fps: 0,
        }
    }

    /// The first byte of the next frame, or `None` at the end.
    fn grey(camera: &mut StillCamera) -> Option<u8> {
        match camera.next().unwrap() {
            Next::Frame(frame) => Some(frame.data[0]),
            Next::NotYet => panic!("as fast as they are taken"),
            Next::End => None,
        }
    }

    #[test]
    fn files_of_a_folder_come_in_name_order_and_bad_ones_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        save(&at("c.png"), 3, 30);
        save(&at("a.PNG"), 1, 10);
        std::fs::write(at("b.jpg"), "not a picture").unwrap();
        std::fs::write(at("readme.txt"), "skip me").unwrap();
        save(&at(".hidden.png"), 1, 99);
        let mut camera =
            StillCamera::open(&config(vec![folder.path().into(), at("c.png")])).unwrap();
        assert_eq!(
            camera.geometry(),
            Geometry::packed(PixelFormat::Rgb24, 1, 1)
        );
        let shown: Vec<_> = (0..7).map(|_| grey(&mut camera)).collect();
        let ten = Some(10);
        let thirty = Some(30);
        assert_eq!(shown, [ten, ten, thirty, thirty, thirty, thirty, None]);
        assert_eq!(grey(&mut camera), None);
        assert_eq!(camera.counts().damaged, 1);
        assert!(camera.describe().starts_with("still: 4 pictures"));
    }

    #[test]
    fn repeat_starts_again_and_numbers_on() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a.png"), folder.path().join("b.png"));
        save(&a, 2, 1);
        save(&b, 4, 2);
        let mut repeating = config(vec![a.clone(), b.clone()]);
        (repeating.repeat, repeating.frames_each) = (true, 1);
        let mut camera = StillCamera::open(&repeating).unwrap();
        let shown: Vec<_> = (0..5).map(|_| grey(&mut camera)).collect();
        assert_eq!(shown, [Some(1), Some(2), Some(1), Some(2), Some(1)]);
        assert_eq!(camera.sequence, 5);
        // The files vanish while it runs: an error, not an endless loop.
        std::fs::remove_file(&a).unwrap();
        std::fs::remove_file(&b).unwrap();
        let error = camera.next().unwrap_err();
        assert!(matches!(error, CameraError::Lost { .. }), "{error}");
    }

    #[test]
    fn nothing_readable_is_an_error_at_start() {
        let folder = tempfile::tempdir().unwrap();
        let open = |files| StillCamera::open(&config(files)).unwrap_err().to_string();
        assert!(open(vec![folder.path().into()]).contains("has no pictures"));
        assert!(open(vec![]).contains("has no files"));
        let missing = folder.path().join("none.png");
        assert!(open(vec![missing.clone()]).contains("none.png: No such file"));
        assert!(open(vec![missing.clone(), missing]).starts_with("none of the 2 pictures"));
    }

    #[test]
    fn names_folders_and_the_first_picture_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        save(&at("good.png"), 2, 5);
        std::fs::create_dir(at("empty")).unwrap();
        std::fs::write(at("damaged.png"), "no picture").unwrap();
        let check = |files: &[&str]| {
            let files = files.iter().map(|file| at(file)).collect();
            config(files).check().map_err(|error| error.to_string())
        };
        assert_eq!(check(&["good.png"]), Ok(()));
        // As in `run`, a picture that cannot be read is skipped as long as there are others.
        assert_eq!(check(&["damaged.png", "good.png"]), Ok(()));
        for (files, why) in [
            (&["good.png", "none.png"][..], "none.png: No such file"),
            (&["good.png", "empty"], "empty has no pictures"),
            (&["damaged.png"], "damaged.png: it is not a BMP"),
        ] {
            let error = check(files).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn the_picture_is_decoded_once_for_all_its_frames() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.png");
        save(&file, 2, 5);
        let mut camera = StillCamera::open(&config(vec![file.clone()])).unwrap();
        assert_eq!(grey(&mut camera), Some(5));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(grey(&mut camera), Some(5));
        assert_eq!(grey(&mut camera), None);
    }
}
