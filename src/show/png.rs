//! The PNG display: the picture that a display of the board file's size and depth would show, one file for every change of what
//! is decided (or of the state), in a ring of `keep` files `001.png`, `002.png` and so on.
//!
//! A file appears whole or not at all: it is written as `NNN.png.part` and renamed. Files that an earlier run left in the
//! folder are removed at start, so that an old class is never taken for a new one; a file that Eyelet did not write, or a link,
//! is never touched, unless it is empty: power lost at the wrong moment leaves ours so. If the display is reopened in the same run (after a full disk, say), the ring continues where it was. Rows are
//! streamed into the encoder; there is no second picture in memory.

use super::canvas::{Canvas, Rgb};
use super::draw::Painter;
use super::font::Letters;
use super::layout::Surface;
use super::{
    Depth, Display, DisplayConfig, DisplayError, DisplayKind, Fault, Kind, REGIONS, Refresh, Scene,
    Shape, State,
};
use crate::data_roots::Base;
use crate::decide::Verdict;
use crate::limits;
use crate::named;
use crate::toml_file::{Table, Word};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// See the module's documentation.
pub(super) const KIND: Kind = Kind { name: "png", read };

/// `[display.png]`
#[derive(Debug, Clone, PartialEq)]
pub struct PngConfig {
    /// Folder for the pictures, created if missing.
    pub folder: PathBuf,
    /// How many pictures are kept: one per change of class, `001.png` first; after this many the oldest is overwritten.
    pub keep: u32,
    /// Width of the imitated display.
    pub width_px: u32,
    /// Height of the imitated display.
    pub height_px: u32,
    /// Colour depth to imitate.
    pub depth: Depth,
    /// Shape to imitate.
    pub shape: Shape,
    /// Whether to imitate paper.
    pub refresh: Refresh,
}

fn read(table: &mut Table<'_, '_>, base: Base<'_>) -> Option<DisplayConfig> {
    table.must_have(&["folder", "width_px", "height_px"]);
    let folder = table.text("folder");
    let width_px = table.integer_u32("width_px", limits::DISPLAY_SIDE_PX);
    let height_px = table.integer_u32("height_px", limits::DISPLAY_SIDE_PX);
    let keep = table.integer_u32("keep", limits::PNG_KEEP).unwrap_or(20);
    let depth = table.word("depth", Depth::WORDS);
    let is_square = width_px.is_none() || width_px == height_px;
    let shape = Shape::read(table, is_square, false);
    let is_paper = table.flag("paper").unwrap_or(false);
    if is_paper && depth.is_some_and(|depth| depth != Depth::Mono) {
        table.fault(
            "paper",
            "is true, needs `depth` to be \"mono\", or left out",
        );
    }
    let (refresh, default) = if is_paper {
        (Refresh::Standing, Depth::Mono)
    } else {
        (Refresh::Live, Depth::Rgb888)
    };
    Some(DisplayConfig::Png(PngConfig {
        folder: base.output(&folder?),
        keep,
        width_px: width_px?,
        height_px: height_px?,
        depth: depth.unwrap_or(default),
        shape,
        refresh,
    }))
}

impl DisplayKind for PngConfig {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn open(&self, own: Option<&'static Letters>) -> Result<Box<dyn Display>, DisplayError> {
        Ok(Box::new(PngDisplay::open(self, own)?))
    }

    /// Whether files can be written, or what is wrong.
    fn is_required(&self) -> bool {
        true
    }

    fn keeps_picture(&self) -> bool {
        true
    }

    fn setup_keys(&self) -> &'static [&'static str] {
        &["width_px", "height_px", "depth", "round", "paper"]
    }

    fn surface(&self) -> Option<Surface> {
        let surface = Surface::new(self.width_px, self.height_px, self.depth);
        Some(surface.shaped(self.shape).refreshed(self.refresh))
    }

    fn clash(&self, other: &DisplayConfig) -> Option<String> {
        let DisplayConfig::Png(other) = other else {
            return None;
        };
        let folder = self.folder.display();
        (self.folder == other.folder).then(|| {
            format!(
                "has two [display.png] that write to {folder}: each needs a `folder` of its own"
            )
        })
    }
}

impl fmt::Display for PngConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (w, h, folder) = (self.width_px, self.height_px, self.folder.display());
        write!(f, "PNG files of {w}x{h} in {folder}")
    }
}

/// Marks our files, in a PNG text chunk.
const SOFTWARE: &str = "Eyelet";

/// The most files that are kept.
const KEEP_MAX: u32 = 9999;

/// The next number in each folder that this run writes to.
static RINGS: Mutex<BTreeMap<PathBuf, u32>> = Mutex::new(BTreeMap::new());

fn rings() -> MutexGuard<'static, BTreeMap<PathBuf, u32>> {
    // No holder of the lock can panic halfway, so a poisoned map is still consistent.
    RINGS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// See the module's documentation.
#[derive(Debug)]
pub struct PngDisplay {
    painter: Painter,
    folder: PathBuf,
    keep: u32,
    /// Number of the next file, 1..=keep.
    next: u32,
    shown: Option<Content>,
    last_file: Option<PathBuf>,
}

/// A new file is written when this changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Unknown,
    Class(usize),
    Lost(Fault),
    Test,
    /// For each region the class, if one is decided; `None` is one without a live verdict.
    Regions([Option<Option<usize>>; REGIONS]),
}

impl Content {
    /// Nothing is written while the board is starting: the empty folder says as much.
    fn of(scene: &Scene<'_>) -> Option<Self> {
        match scene.state {
            State::Starting | State::Failed(_) => None,
            State::CameraLost { .. } => Some(Self::Lost(Fault::Camera)),
            State::NetworkFails { .. } => Some(Self::Lost(Fault::Network)),
            State::Test(_) => Some(Self::Test),
            State::Live if !scene.regions.is_empty() => {
                let seen = |verdict: &Verdict| verdict.decided.map(|best| best.class);
                let region = |i: usize| scene.regions.get(i).and_then(|region| region.verdict);
                let regions = std::array::from_fn(|i| region(i).map(seen));
                Some(Self::Regions(regions))
            }
            State::Live => {
                let decided = scene.verdict.and_then(|verdict| verdict.decided);
                Some(decided.map_or(Self::Unknown, |best| Self::Class(best.class)))
            }
        }
    }
}

impl PngDisplay {
    /// Creates the folder if missing, and removes the ring's own files from it.
    ///
    /// `own` holds the letters of the board's own font file.
    pub fn open(config: &PngConfig, own: Option<&'static Letters>) -> Result<Self, DisplayError> {
        let painter = Painter::of(config, own)?;
        let folder = config.folder.clone();
        let keep = config.keep.clamp(1, KEEP_MAX);
        fs::create_dir_all(&folder).map_err(|error| {
            DisplayError::Unusable(format!(
                "cannot make the folder {} for the PNG display: {error}; set display.png.folder",
                folder.display()
            ))
        })?;
        let begun = rings().get(&folder).copied();
        let display = Self {
            painter,
            folder,
            keep,
            next: begun.unwrap_or(1).min(keep),
            shown: None,
            last_file: None,
        };
        if begun.is_none() {
            for number in 1..=keep {
                let path = display.file(number);
                for path in [part_of(&path), path] {
                    clear(&path).map_err(DisplayError::Unusable)?;
                }
            }
            rings().insert(display.folder.clone(), 1);
        }
        Ok(display)
    }

    fn file(&self, number: u32) -> PathBuf {
        self.folder.join(format!("{number:03}.png"))
    }

    fn write(&self, path: &Path) -> Result<(), DisplayError> {
        let beside = part_of(path);
        let failed = |why: &dyn fmt::Display| {
            DisplayError::Failed(format!("cannot write {}: {why}", path.display()))
        };
        let remedied =
            |error: io::Error| failed(&format!("{error}; check free space and permissions there"));
        // Files of others may have appeared since the start.
        clear(&beside).map_err(|why| failed(&why))?;
        if !may_be_replaced(path).map_err(remedied)? {
            return Err(failed(&strangers(path)));
        }
        // Never through a link.
        let file = File::create_new(&beside).map_err(remedied)?;
        let written = write_png(self.painter.canvas(), file);
        written
            .and_then(|()| fs::rename(&beside, path))
            .map_err(|error| {
                // Remove the half-written file; if even that fails, the first error is the one to report.
                let _ = fs::remove_file(&beside);
                remedied(error)
            })
    }
}

impl Display for PngDisplay {
    fn describe(&self) -> String {
        let canvas = self.painter.canvas();
        format!(
            "PNG files in {}, {} x {} pixels, {}",
            self.folder.display(),
            canvas.width_px(),
            canvas.height_px(),
            canvas.depth().word()
        )
    }

    fn divide(&mut self, regions: usize) -> Result<(), DisplayError> {
        self.painter.divide(regions)
    }

    fn show(&mut self, scene: &Scene<'_>) -> Result<(), DisplayError> {
        let content = Content::of(scene);
        if content.is_none() || content == self.shown {
            return Ok(());
        }
        self.painter.draw(scene);
        let path = self.file(self.next);
        self.write(&path)?;
        self.next = self.next % self.keep + 1;
        if let Some(next) = rings().get_mut(&self.folder) {
            *next = self.next;
        }
        self.shown = content;
        self.last_file = Some(path);
        Ok(())
    }

    fn last_file(&self) -> Option<&Path> {
        self.last_file.as_deref()
    }
}

/// Where `path` is written until it is complete.
fn part_of(path: &Path) -> PathBuf {
    path.with_extension("png.part")
}

/// Removes a file of an earlier run; fails if a file with that name was not written by Eyelet.
fn clear(path: &Path) -> Result<(), String> {
    let is_there = fs::symlink_metadata(path).is_ok();
    match may_be_replaced(path) {
        Ok(true) if is_there => fs::remove_file(path)
            .map_err(|error| format!("cannot replace {}: {error}", path.display())),
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(strangers(path)),
    }
}

fn strangers(path: &Path) -> String {
    format!(
        "{} was not written by Eyelet and will not be overwritten: set display.png.folder to a folder of its own",
        path.display()
    )
}

/// Whether there is nothing at `path`, an empty file, or a file that Eyelet wrote.
fn may_be_replaced(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_file() => {}
        Ok(_) => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    }
    let mut beginning = [0; 128];
    let mut file = named::open_file(path, u64::MAX)?;
    let mut read = 0;
    while read < beginning.len() {
        match file.read(&mut beginning[read..])? {
            0 => break,
            more => read += more,
        }
    }
    let mark = format!("tEXtSoftware\0{SOFTWARE}");
    Ok(read == 0
        || beginning[..read]
            .windows(mark.len())
            .any(|bytes| bytes == mark.as_bytes()))
}

/// Writes the picture as a display of its depth shows it: 1-bit grey for black and white, otherwise 8-bit RGB.
pub fn write_png(canvas: &Canvas, to: impl Write) -> io::Result<()> {
    let mono = canvas.depth() == Depth::Mono;
    let mut encoder = png::Encoder::new(to, canvas.width_px(), canvas.height_px());
    // A frame waits for this: the default compression takes five times as long for files that are hardly smaller.
    encoder.set_compression(png::Compression::Fast);
    if mono {
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::One);
    } else {
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
    }
    let text = encoder.add_text_chunk("Software".to_string(), SOFTWARE.to_string());
    text.map_err(io_error)?;
    let mut writer = encoder.write_header().map_err(io_error)?;
    let mut stream = writer.stream_writer().map_err(io_error)?;
    let width_px = canvas.width_px() as usize;
    let mut row = vec![
        0;
        if mono {
            width_px.div_ceil(8)
        } else {
            width_px * 3
        }
    ];
    for y in 0..canvas.height_px() {
        let rgb = canvas.row(y);
        if mono {
            row.fill(0);
            for (x, pixel) in rgb.chunks_exact(3).enumerate() {
                if pixel[0] >= 128 {
                    row[x / 8] |= 0x80 >> (x % 8);
                }
            }
        } else {
            for (to, from) in row.chunks_exact_mut(3).zip(rgb.chunks_exact(3)) {
                to.copy_from_slice(&imitated([from[0], from[1], from[2]], canvas.depth()));
            }
        }
        stream.write_all(&row)?;
    }
    stream.finish().map_err(io_error)?;
    writer.finish().map_err(io_error)
}

/// The underlying system error, if there is one.
fn io_error(error: png::EncodingError) -> io::Error {
    match error {
        png::EncodingError::IoError(error) => error,
        error => io::Error::other(error),
    }
}

/// The colour that a display of this depth makes of a colour.
pub(super) fn imitated([r, g, b]: Rgb, depth: Depth) -> Rgb {
    match depth {
        Depth::Rgb565 => [r & 0xf8 | r >> 5, g & 0xfc | g >> 6, b & 0xf8 | b >> 5],
        Depth::Mono | Depth::Rgb888 => [r, g, b],
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::basics::{names_in, say_skipped};
    use crate::decide::{Candidate, TOP, Verdict};
    use std::time::Duration;

    fn config(folder: &Path, keep: u32) -> PngConfig {
        PngConfig {
            folder: folder.to_path_buf(),
            keep,
            width_px: 160,
            height_px: 128,
            depth: Depth::Rgb565,
            shape: Shape::Rectangle,
            refresh: Refresh::Live,
        }
    }

    fn verdict(class: Option<usize>, probability: f32) -> Verdict {
        Verdict {
            decided: class.map(|class| Candidate { class, probability }),
            top: [0, 1, 2, 3, 4].map(|class| Candidate {
                class,
                probability: 0.1,
            }),
            enter: Some(0.5),
            changed: false,
        }
    }

    fn scene(state: State, verdict: Option<&Verdict>) -> Scene<'_> {
        const { assert!(TOP == 5) };
        Scene {
            state,
            verdict,
            labels: &[],
            unknown_label: "unknown",
            rate_fps: 10.0,
            picture: None,
            regions: &[],
            notice: None,
        }
    }

    #[test]
    fn one_file_per_change_in_a_ring() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("made/for it");
        let mut display = PngDisplay::open(&config(&folder, 3), None).unwrap();
        display.show(&scene(State::Starting, None)).unwrap();
        assert!(names_in(&folder).is_empty() && display.last_file().is_none());
        for (class, files) in [(Some(1), 1), (Some(1), 1), (None, 2), (Some(2), 3)] {
            for probability in [0.5, 0.9] {
                let verdict = verdict(class, probability);
                display.show(&scene(State::Live, Some(&verdict))).unwrap();
                assert_eq!(names_in(&folder).len(), files);
            }
        }
        assert_eq!(names_in(&folder), ["001.png", "002.png", "003.png"]);
        for seconds in [1, 2] {
            let since = Duration::from_secs(seconds);
            display
                .show(&scene(State::CameraLost { since }, None))
                .unwrap();
            assert_eq!(display.last_file(), Some(folder.join("001.png").as_path()));
        }
        let fails = State::NetworkFails {
            since: Duration::ZERO,
        };
        display.show(&scene(fails, None)).unwrap();
        assert_eq!(display.last_file(), Some(folder.join("002.png").as_path()));
        let file = File::open(folder.join("001.png")).unwrap();
        let decoder = png::Decoder::new(io::BufReader::new(file));
        let reader = decoder.read_info().unwrap();
        assert_eq!((reader.info().width, reader.info().height), (160, 128));
    }

    #[test]
    fn a_display_opened_again_goes_on_in_its_ring() {
        let folder = tempfile::tempdir().unwrap();
        let verdict = verdict(Some(1), 0.5);
        for files in 1..=3 {
            let mut display = PngDisplay::open(&config(folder.path(), 5), None).unwrap();
            display.show(&scene(State::Live, Some(&verdict))).unwrap();
            assert_eq!(names_in(folder.path()).len(), files);
        }
    }

    #[test]
    fn an_earlier_run_is_cleared_away_and_a_strangers_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let verdict = verdict(Some(1), 0.5);
        for _ in 0..2 {
            rings().remove(folder.path());
            let mut display = PngDisplay::open(&config(folder.path(), 2), None).unwrap();
            assert!(names_in(folder.path()).is_empty());
            display.show(&scene(State::Live, Some(&verdict))).unwrap();
            display.show(&scene(State::Live, None)).unwrap();
            assert_eq!(names_in(folder.path()).len(), 2);
        }
        rings().remove(folder.path());
        let photo = folder.path().join("002.png");
        fs::write(&photo, b"a photo").unwrap();
        let refused = PngDisplay::open(&config(folder.path(), 2), None).unwrap_err();
        assert!(
            refused.to_string().contains("display.png.folder"),
            "{refused}"
        );
        assert_eq!(fs::read(&photo).unwrap(), b"a photo");
    }

    /// Puts something of another's at `path`: a file, a link to one, or a pipe that nobody writes to.
    fn put_strangers(kind: &str, path: &Path, valuable: &Path) {
        match kind {
            "file" => fs::write(path, b"valuable").unwrap(),
            "link" => std::os::unix::fs::symlink(valuable, path).unwrap(),
            _ => {
                let status = std::process::Command::new("mkfifo").arg(path).status();
                assert!(status.unwrap().success());
            }
        }
    }

    #[test]
    fn what_is_not_ours_is_neither_written_nor_replaced_nor_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let valuable = folder.path().join("valuable");
        fs::write(&valuable, b"valuable").unwrap();
        for (number, kind) in ["file", "link", "pipe"].into_iter().enumerate() {
            for name in ["002.png", "002.png.part"] {
                let folder = folder.path().join(format!("{number}{name}"));
                let mut display = PngDisplay::open(&config(&folder, 2), None).unwrap();
                let verdict = verdict(Some(1), 0.5);
                display.show(&scene(State::Live, Some(&verdict))).unwrap();
                // It appears after the start,
                let path = folder.join(name);
                put_strangers(kind, &path, &valuable);
                let before = fs::symlink_metadata(&path).unwrap();
                let failed = display.show(&scene(State::Live, None)).unwrap_err();
                assert!(matches!(failed, DisplayError::Failed(_)));
                // or before it.
                rings().remove(&folder);
                let refused = PngDisplay::open(&config(&folder, 2), None).unwrap_err();
                for error in [failed, refused] {
                    let error = error.to_string();
                    assert!(error.contains("not written by Eyelet"), "{kind}: {error}");
                }
                let after = fs::symlink_metadata(&path).unwrap();
                assert_eq!(before.file_type(), after.file_type());
                assert_eq!(before.modified().unwrap(), after.modified().unwrap());
                assert_eq!(fs::read(&valuable).unwrap(), b"valuable");
            }
        }
    }

    #[test]
    fn what_power_lost_while_it_was_written_leaves_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let mut display = PngDisplay::open(&config(folder.path(), 1), None).unwrap();
        display.show(&scene(State::Live, None)).unwrap();
        let whole = fs::read(folder.path().join("001.png")).unwrap();
        let part = folder.path().join("001.png.part");
        for length in [0, whole.len() / 2] {
            fs::write(folder.path().join("001.png"), b"").unwrap();
            fs::write(&part, &whole[..length]).unwrap();
            rings().remove(folder.path());
            let mut display = PngDisplay::open(&config(folder.path(), 1), None).unwrap();
            assert!(names_in(folder.path()).is_empty());
            fs::write(&part, &whole[..length]).unwrap();
            display.show(&scene(State::Live, None)).unwrap();
            assert_eq!(names_in(folder.path()), ["001.png"]);
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        let refused = PngDisplay::open(&config(&file.join("below"), 1), None).unwrap_err();
        assert!(matches!(refused, DisplayError::Unusable(_)));
    }

    #[test]
    fn a_failed_write_is_one_line_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut display = PngDisplay::open(&config(folder.path(), 1), None).unwrap();
        // A folder occupies the name: the rename fails as it would on a read-only disk.
        fs::create_dir(folder.path().join("001.png")).unwrap();
        let failed = display.show(&scene(State::Live, None)).unwrap_err();
        assert!(matches!(failed, DisplayError::Failed(_)));
        assert!(!failed.to_string().contains('\n'));
        assert_eq!(names_in(folder.path()), ["001.png"]);
    }

    #[test]
    fn a_full_disk_is_an_error_of_the_writer() {
        let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else {
            say_skipped("there is no /dev/full");
            return;
        };
        let canvas = Canvas::new(640, 480, Depth::Rgb888);
        let error = write_png(&canvas, full).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
