//! A Linux framebuffer, found by its driver's name (the numbers change), with any number of bits per pixel.
//!
//! The picture is sent by `write`, not through a mapping: an unplugged or unbound driver is then an error that can be reported,
//! where a mapping would kill the program; and DRM's emulation flushes once per write instead of once per touched page. Unchanged
//! rows are not written; every two seconds all rows are, to cover what others (the console) may have drawn.

use super::canvas::{Canvas, Orientation};
use super::draw::Painter;
use super::fb_sys::{self, Mode};
use super::font::Letters;
use super::layout::Surface;
use super::shadow::{Grid, Shadow};
use super::{
    Depth, Display, DisplayConfig, DisplayError, DisplayKind, Kind, Scene, State, may_be_same,
};
use crate::data_roots::Base;
use crate::limits;
use crate::toml_file::Table;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often unchanged rows are rewritten.
const WHOLE_EVERY: Duration = Duration::from_secs(2);

/// See the module's documentation.
pub(super) const KIND: Kind = Kind {
    name: "framebuffer",
    read,
};

/// `[display.framebuffer]`
#[derive(Debug, Clone, PartialEq)]
pub struct FramebufferConfig {
    /// Prefix of the driver's name as in `/proc/fb` (`virtio_gpu`, `vc4`, `simple`); `None` is the first one.
    pub driver: Option<String>,
    /// The expected width, checked against the driver's; `None` accepts the driver's.
    pub width_px: Option<u32>,
    /// The expected height, checked against the driver's; `None` accepts the driver's.
    pub height_px: Option<u32>,
    /// How the drawing is turned on the panel.
    pub orientation: Orientation,
    /// Exit with an error if there is no such framebuffer; otherwise continue with only the serial log.
    pub required: bool,
}

fn read(table: &mut Table<'_, '_>, _: Base<'_>) -> Option<DisplayConfig> {
    Some(DisplayConfig::Framebuffer(FramebufferConfig {
        driver: table.text("driver"),
        width_px: table.integer_u32("width_px", limits::DISPLAY_SIDE_PX),
        height_px: table.integer_u32("height_px", limits::DISPLAY_SIDE_PX),
        orientation: Orientation::read(table),
        required: table.flag("required").unwrap_or(false),
    }))
}

impl DisplayKind for FramebufferConfig {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn open(&self, own: Option<&'static Letters>) -> Result<Box<dyn Display>, DisplayError> {
        Ok(Box::new(FramebufferDisplay::open(self, own)?))
    }

    fn is_required(&self) -> bool {
        self.required
    }

    fn keeps_picture(&self) -> bool {
        true
    }

    fn orientation(&self) -> Option<Orientation> {
        Some(self.orientation)
    }

    fn setup_keys(&self) -> &'static [&'static str] {
        &["rotate_deg", "mirror", "width_px", "height_px"]
    }

    fn surface(&self) -> Option<Surface> {
        let size_px = (self.width_px?, self.height_px?);
        Some(Surface::turned(
            size_px,
            self.orientation.rotation,
            Depth::Rgb565,
        ))
    }

    fn clash(&self, other: &DisplayConfig) -> Option<String> {
        let DisplayConfig::Framebuffer(other) = other else {
            return None;
        };
        may_be_same(self.driver.as_deref(), other.driver.as_deref()).then(|| {
            "has two framebuffers that may be the same one: each needs a `driver` of its own"
                .to_owned()
        })
    }
}

impl fmt::Display for FramebufferConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let driver = self.driver.as_deref().unwrap_or("the first driver");
        write!(f, "framebuffer, {driver}")?;
        match (self.width_px, self.height_px) {
            (Some(w), Some(h)) => write!(f, ", {w}x{h}"),
            _ => Ok(()),
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct FramebufferDisplay {
    painter: Painter,
    panel: Panel,
    file: File,
    name: String,
    whole_at: Option<Instant>,
    /// Whether the picture must stay when the program ends: it says why the program could not start.
    stays: bool,
}

impl FramebufferDisplay {
    /// Finds the driver, checks the size, turns the panel on and the console's cursor off.
    /// `own` holds the letters of the board's own font file.
    pub fn open(
        config: &FramebufferConfig,
        own: Option<&'static Letters>,
    ) -> Result<Self, DisplayError> {
        let listed = listed();
        let found = chosen(&listed, config.driver.as_deref()).map_err(DisplayError::Absent)?;
        let node = found.node();
        let file = open_node(&node).map_err(|error| cannot_open(&node, &error))?;
        let (var, fix) = fb_sys::screen_info(&file).map_err(|error| cannot_open(&node, &error))?;
        let name = format!("{} ({})", found.driver, node.display());
        let mode = Mode::of(&var, &fix).map_err(|reason| {
            DisplayError::Unusable(format!("the display {name} cannot be drawn on: {reason}"))
        })?;
        check_size(config, &mode, &name)?;
        let orientation = config.orientation;
        if mode.palette {
            fb_sys::set_palette_332(&file).map_err(|error| cannot_open(&node, &error))?;
        }
        let (width_px, height_px) = orientation.rotation.turn((mode.width_px, mode.height_px));
        let depth = match mode.bits_per_pixel {
            1 => Depth::Mono,
            15 | 16 => Depth::Rgb565,
            _ => Depth::Rgb888,
        };
        let painter = Painter::with_letters(width_px, height_px, depth, own)?;
        fb_sys::unblank(&file);
        // No cursor, no screen saver, screen on. A board without a console on the display has no tty0.
        to_console("\x1b[?25l\x1b[9;0]\x1b[13]");
        Ok(Self {
            painter,
            panel: Panel::new(mode, orientation),
            file,
            name,
            whole_at: None,
            stays: false,
        })
    }
}

impl Display for FramebufferDisplay {
    fn describe(&self) -> String {
        let Mode {
            width_px,
            height_px,
            bits_per_pixel,
            ..
        } = self.panel.mode;
        format!(
            "framebuffer {}, {width_px} x {height_px} pixels, {bits_per_pixel} bits",
            self.name
        )
    }

    fn divide(&mut self, regions: usize) -> Result<(), DisplayError> {
        self.painter.divide(regions)
    }

    fn show(&mut self, scene: &Scene<'_>) -> Result<(), DisplayError> {
        let now = Instant::now();
        let whole = self
            .whole_at
            .is_none_or(|at| now.duration_since(at) >= WHOLE_EVERY);
        self.painter.draw(scene);
        self.stays = matches!(scene.state, State::Failed(_));
        let pushed = self
            .panel
            .push(self.painter.canvas(), whole, &mut self.file);
        pushed.map_err(|error| {
            // How much was written is unknown: the next picture is sent whole.
            self.whole_at = None;
            DisplayError::Failed(format!(
                "cannot write to the display {}: {error}; check its cable and driver",
                self.name
            ))
        })?;
        if whole {
            self.whole_at = Some(now);
        }
        Ok(())
    }
}

impl Drop for FramebufferDisplay {
    /// Leaves nothing that might be taken for live.
    fn drop(&mut self) {
        if !self.stays {
            let canvas = self.painter.canvas();
            let empty = Canvas::new(canvas.width_px(), canvas.height_px(), canvas.depth());
            // Errors of clearing are ignored: the display is gone, or the program is ending.
            let _ = self.panel.push(&empty, true, &mut self.file);
        }
        to_console("\x1b[?25h");
    }
}

/// A framebuffer of this machine, for `eyelet list displays`. Displayed on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// `/dev/fbN`.
    pub path: PathBuf,
    /// The kernel driver's name.
    pub driver: String,
    /// Its screen, or why it cannot be queried.
    pub screen: Result<FoundScreen, String>,
}

/// A framebuffer's screen as its driver reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundScreen {
    /// Width.
    pub width_px: u32,
    /// Height.
    pub height_px: u32,
    /// Bits per pixel.
    pub bits: u32,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.path.display(), self.driver)?;
        match &self.screen {
            Ok(FoundScreen {
                width_px,
                height_px,
                bits,
            }) => write!(f, "{width_px} x {height_px} pixels, {bits} bits"),
            Err(error) => f.write_str(error),
        }
    }
}

/// The displays of this machine.
pub fn list() -> Vec<Found> {
    let found = listed().into_iter().map(|listed| {
        let path = listed.node();
        let info = File::open(&path).and_then(|file| fb_sys::screen_info(&file));
        let screen = info.map(|(var, _)| FoundScreen {
            width_px: var.xres,
            height_px: var.yres,
            bits: var.bits_per_pixel,
        });
        Found {
            path,
            driver: listed.driver,
            screen: screen.map_err(|error| error.to_string()),
        }
    });
    found.collect()
}

/// One line of `/proc/fb`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    number: u32,
    driver: String,
}

impl Listed {
    fn node(&self) -> PathBuf {
        PathBuf::from(format!("/dev/fb{}", self.number))
    }
}

fn listed() -> Vec<Listed> {
    // A kernel without framebuffers has no such file.
    parsed(&fs::read_to_string("/proc/fb").unwrap_or_default())
}

fn parsed(proc_fb: &str) -> Vec<Listed> {
    let lines = proc_fb.lines().filter_map(|line| {
        let (number, driver) = line.trim().split_once(' ')?;
        Some(Listed {
            number: number.parse().ok()?,
            driver: driver.trim().to_string(),
        })
    });
    lines.collect()
}

fn chosen<'a>(listed: &'a [Listed], driver: Option<&str>) -> Result<&'a Listed, String> {
    let wanted = |found: &&Listed| driver.is_none_or(|driver| found.driver.starts_with(driver));
    if let Some(found) = listed.iter().find(wanted) {
        return Ok(found);
    }
    let names: Vec<_> = listed
        .iter()
        .map(|found| format!("{} (fb{})", found.driver, found.number))
        .collect();
    Err(match driver {
        Some(driver) if !names.is_empty() => format!(
            "no framebuffer's driver begins with {driver:?}: /proc/fb lists {}; set display.framebuffer.driver to one of them",
            names.join(", ")
        ),
        _ => {
            "no framebuffer: /proc/fb lists none; check the display's cable, driver and device tree"
                .to_string()
        }
    })
}

fn open_node(node: &PathBuf) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(node)
}

fn cannot_open(node: &Path, error: &io::Error) -> DisplayError {
    let absent = "/proc/fb lists it: check that udev or devtmpfs is running";
    DisplayError::of_opening(node, error, absent)
}

fn check_size(config: &FramebufferConfig, mode: &Mode, name: &str) -> Result<(), DisplayError> {
    let differs = |promised: Option<u32>, real: u32| promised.is_some_and(|px| px != real);
    if !differs(config.width_px, mode.width_px) && !differs(config.height_px, mode.height_px) {
        return Ok(());
    }
    let word = |px: Option<u32>| px.map_or("any".to_string(), |px| px.to_string());
    Err(DisplayError::Unusable(format!(
        "the display {name} has {} x {} pixels, the board file says {} x {}: change width_px and height_px of display.framebuffer, or leave them out",
        mode.width_px,
        mode.height_px,
        word(config.width_px),
        word(config.height_px)
    )))
}

/// Sends control sequences to the display's console. Without permission or a console, only the looks suffer.
fn to_console(sequence: &str) {
    if let Ok(mut tty) = OpenOptions::new().write(true).open("/dev/tty0") {
        let _ = tty.write_all(sequence.as_bytes());
    }
}

/// Where a panel's bytes go.
trait Memory {
    fn put(&mut self, bytes: &[u8], at: usize) -> io::Result<()>;
}

impl Memory for File {
    fn put(&mut self, bytes: &[u8], at: usize) -> io::Result<()> {
        self.write_all_at(bytes, at as u64)
    }
}

/// The screen's memory, and what it shows.
#[derive(Debug)]
struct Panel {
    mode: Mode,
    shadow: Shadow,
}

impl Panel {
    fn new(mode: Mode, orientation: Orientation) -> Self {
        // Whole rows: DRM's emulation flushes once per write, so one write of many rows is cheaper than many of a few pixels.
        let grid = Grid {
            x_px: mode.width_px as usize,
            y_px: 1,
        };
        let size_px = (mode.width_px, mode.height_px);
        Self {
            mode,
            shadow: Shadow::new(size_px, mode.packing, orientation, grid),
        }
    }

    /// Writes the rows that changed (or all), merging neighbours.
    fn push(&mut self, canvas: &Canvas, whole: bool, memory: &mut impl Memory) -> io::Result<()> {
        let stride_bytes = self.mode.stride_bytes;
        let first_byte = self.mode.first_byte;
        let row_bytes = self.mode.packing.row_bytes(self.mode.width_px as usize);
        self.shadow.push(canvas, whole, |patch| {
            let at = first_byte + patch.top_px * stride_bytes;
            match patch.whole_rows() {
                Some(bytes) if stride_bytes == row_bytes => memory.put(bytes, at),
                // The bytes between the rows are not ours.
                _ => (patch.rows().zip(0..))
                    .try_for_each(|(row, y)| memory.put(row, at + y * stride_bytes)),
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::canvas::Rotation;
    use super::super::fb_sys::{Bitfield, FixInfo, VarInfo};
    use super::*;

    const PROC_FB: &str = "0 simple\n1 virtio_gpudrmfb\n2 EFI VGA\n";

    #[test]
    fn the_driver_is_found_by_the_beginning_of_its_name() {
        let listed = parsed(PROC_FB);
        let node = |driver| chosen(&listed, driver).map(Listed::node);
        assert_eq!(node(None), Ok(PathBuf::from("/dev/fb0")));
        assert_eq!(node(Some("virtio_gpu")), Ok(PathBuf::from("/dev/fb1")));
        assert_eq!(node(Some("EFI VGA")), Ok(PathBuf::from("/dev/fb2")));
        let error = node(Some("vc4")).unwrap_err();
        assert!(error.contains("simple (fb0), virtio_gpudrmfb (fb1), EFI VGA (fb2)"));
        let error = chosen(&[], None).unwrap_err();
        assert!(error.contains("/proc/fb lists none"));
        assert_eq!(parsed("\nx y\n7\n"), []);
    }

    #[test]
    fn another_size_than_promised_is_refused_with_both_sizes() {
        let (mode, _) = screen(32, 256, 0);
        let config = |width_px, height_px| FramebufferConfig {
            driver: None,
            width_px,
            height_px,
            orientation: Orientation::UPRIGHT,
            required: false,
        };
        for (width_px, height_px) in [(None, None), (Some(64), None), (Some(64), Some(40))] {
            assert!(check_size(&config(width_px, height_px), &mode, "x").is_ok());
        }
        let error = check_size(&config(Some(480), Some(320)), &mode, "x").unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("64 x 40") && text.contains("480 x 320") && text.contains("width_px")
        );
    }

    /// A 64 x 40 screen's mode, and memory that counts the bytes written.
    fn screen(bits_per_pixel: u32, line_length: u32, yoffset: u32) -> (Mode, Fake) {
        let bits = |offset, length| Bitfield {
            offset,
            length,
            msb_right: 0,
        };
        let (red, green, blue) = match bits_per_pixel {
            16 => (bits(11, 5), bits(5, 6), bits(0, 5)),
            1 => (bits(0, 1), bits(0, 1), bits(0, 1)),
            _ => (bits(16, 8), bits(8, 8), bits(0, 8)),
        };
        let (xres, yres) = (64, 40);
        let var = VarInfo {
            xres,
            yres,
            yoffset,
            bits_per_pixel,
            red,
            green,
            blue,
            ..VarInfo::default()
        };
        let fix = FixInfo {
            line_length,
            visual: 2,
            ..FixInfo::default()
        };
        let bytes = vec![0x55; (line_length * (40 + yoffset)) as usize];
        (
            Mode::of(&var, &fix).unwrap(),
            Fake {
                bytes,
                writes: Vec::new(),
                gone: false,
            },
        )
    }

    struct Fake {
        bytes: Vec<u8>,
        writes: Vec<(usize, usize)>,
        gone: bool,
    }

    impl Memory for Fake {
        fn put(&mut self, bytes: &[u8], at: usize) -> io::Result<()> {
            if self.gone {
                return Err(io::Error::from_raw_os_error(libc::ENODEV));
            }
            self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
            self.writes.push((at, bytes.len()));
            Ok(())
        }
    }

    #[test]
    fn whole_pictures_land_where_the_driver_shows_them() {
        for (bits, bytes, stride, yoffset) in [
            (32, 4, 256, 0),
            (32, 4, 300, 40),
            (24, 3, 192, 0),
            (16, 2, 128, 7),
        ] {
            let (mode, mut memory) = screen(bits, stride, yoffset);
            let mut canvas = Canvas::new(64, 40, Depth::Rgb888);
            canvas.set(3, 2, [255; 3]);
            Panel::new(mode, Orientation::UPRIGHT)
                .push(&canvas, true, &mut memory)
                .unwrap();
            let at = (yoffset + 2) as usize * stride as usize + 3 * bytes;
            let colour = bits.min(24) as usize / 8;
            assert!(
                memory.bytes[at..at + colour].iter().all(|b| *b == 255),
                "{bits}"
            );
            let lit = memory.bytes.iter().filter(|b| **b == 255).count();
            assert_eq!(lit, colour);
            // Padding and invisible memory stay as they were.
            let kept = memory.bytes.iter().filter(|b| **b == 0x55).count();
            let shown = 64 * bytes * 40;
            assert_eq!(kept, memory.bytes.len() - shown);
        }
    }

    #[test]
    fn only_changed_rows_go_out_and_neighbours_together() {
        let (mode, mut memory) = screen(16, 128, 0);
        let mut panel = Panel::new(mode, Orientation::UPRIGHT);
        let mut canvas = Canvas::new(64, 40, Depth::Rgb888);
        panel.push(&canvas, true, &mut memory).unwrap();
        assert_eq!(memory.writes, [(0, 128 * 40)]);
        memory.writes.clear();
        panel.push(&canvas, false, &mut memory).unwrap();
        assert_eq!(memory.writes, []);
        for y in [5, 6, 39] {
            canvas.set(0, y, [255; 3]);
        }
        panel.push(&canvas, false, &mut memory).unwrap();
        assert_eq!(memory.writes, [(5 * 128, 256), (39 * 128, 128)]);
        memory.gone = true;
        canvas.set(0, 0, [255; 3]);
        assert!(panel.push(&canvas, false, &mut memory).is_err());
    }

    #[test]
    fn a_turned_drawing_fills_the_panel() {
        let (mode, mut memory) = screen(32, 256, 0);
        let mut canvas = Canvas::new(40, 64, Depth::Rgb888);
        canvas.set(0, 0, [255; 3]);
        let orientation = Orientation {
            rotation: Rotation::Quarter,
            mirror: false,
        };
        Panel::new(mode, orientation)
            .push(&canvas, true, &mut memory)
            .unwrap();
        assert_eq!(memory.bytes[63 * 4..64 * 4], [255, 255, 255, 0]);
    }
}
