//! A running guest whose first program is `eyelet run --json`: its serial log as events, its camera's cable in our hand.

use super::emulator::guest::{Guest, Scenario};
use super::emulator::qemu::{Board, virt};
use super::emulator::usb_camera::{Seen, UsbCamera};
use image::RgbImage;
use serde_json::Value;
use std::ffi::OsString;
use std::time::Duration;
use tempfile::TempDir;

/// How long the serial log may be silent. Emulation is a hundred times slower than the board.
const PATIENCE: Duration = Duration::from_secs(300);

/// A booted guest.
pub struct Session {
    /// The machine.
    pub board: Board,
    _folder: TempDir,
    /// All `stats` events so far.
    stats: Vec<Value>,
}

impl Session {
    /// Boots `guest` with `scenario` on [`virt`].
    pub fn boot(guest: &Guest, scenario: &Scenario<'_>) -> Self {
        Self::boot_on(virt(), guest, scenario)
    }

    /// The same on a machine of one's own.
    pub fn boot_on(machine: Vec<OsString>, guest: &Guest, scenario: &Scenario<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        let (kernel, initramfs) = (path("kernel"), path("initramfs"));
        guest.write_kernel(&kernel);
        guest.write_initramfs(scenario, &initramfs);
        let mut arguments = machine;
        arguments.extend(["-kernel".into(), kernel.into()]);
        arguments.extend(["-initrd".into(), initramfs.into()]);
        // The text cursor would blink over the corner of the picture.
        let line = "console=ttyAMA0 loglevel=4 vt.global_cursor_default=0 panic=-1";
        arguments.extend(["-no-reboot", "-append", line].map(Into::into));
        let board = Board::start(folder.path(), &arguments).unwrap();
        Self {
            board,
            _folder: folder,
            stats: Vec::new(),
        }
    }

    /// Plugs in a new USB camera that sees `seen`.
    pub fn plug_camera(&mut self, seen: Seen) -> UsbCamera {
        self.board.plug_camera(seen)
    }

    /// Pulls the cable of the camera that was plugged in last.
    pub fn unplug_camera(&mut self, camera: UsbCamera) {
        self.board.unplug_camera(camera);
    }

    /// The next event of the serial log for which `wanted` says true; the others before it are passed over.
    ///
    /// # Panics
    /// When none comes in time, or the guest ends before.
    pub fn event(
        &mut self,
        waiting_for: &str,
        mut wanted: impl FnMut(&str, &Value) -> bool,
    ) -> Value {
        loop {
            let patience = self.board.patience(PATIENCE);
            let Some(line) = self.board.line(&patience, waiting_for) else {
                panic!(
                    "the guest ended before {waiting_for}; {}",
                    self.board.last_lines()
                );
            };
            assert!(
                !line.starts_with("guest: no ")
                    && !line.starts_with("guest: cannot")
                    && !line.starts_with("eyelet: "),
                "{}",
                self.board.last_lines()
            );
            let Ok(event) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            let name = event["event"].as_str().unwrap_or_default();
            if name == "stats" {
                self.stats.push(event.clone());
            }
            if wanted(name, &event) {
                return event;
            }
        }
    }

    /// The next line of the serial log that begins so and has that word.
    ///
    /// # Panics
    /// When none comes in time, or the guest ends before.
    pub fn line(&mut self, begin: &str, word: &str) -> String {
        loop {
            let patience = self.board.patience(PATIENCE);
            match self.board.line(&patience, begin) {
                Some(line) if line.starts_with(begin) && line.contains(word) => {
                    return line.to_owned();
                }
                Some(_) => {}
                None => panic!(
                    "the guest ended before {begin}; {}",
                    self.board.last_lines()
                ),
            }
        }
    }

    /// Waits until `label` is the decided class.
    pub fn label(&mut self, label: &str) -> Value {
        self.event(&format!("verdict {label:?}"), |name, event| {
            name == "verdict" && event["label"] == label
        })
    }

    /// Forgets the `stats` events of a program that has ended.
    pub fn forget_stats(&mut self) {
        self.stats.clear();
    }

    /// The memory's figures at a frame for which a `stats` event is due: an earlier one, or the one to come.
    pub fn memory_at(&mut self, frame: u64) -> Memory {
        let earlier = self.stats.iter().find(|event| event["frame"] == frame);
        let event = match earlier {
            Some(event) => event.clone(),
            None => self.event(&format!("stats at frame {frame}"), |name, event| {
                name == "stats" && event["frame"] == frame
            }),
        };
        Memory::of(&event)
    }

    /// Waits until the guest has switched itself off.
    pub fn wait_for_power_off(mut self) {
        let patience = self.board.patience(PATIENCE);
        self.board.wait_for_power_off(&patience);
    }

    /// What the display shows, once `shows` says true of it.
    ///
    /// # Panics
    /// When it does not in time: with `shows`'s last complaint, and the picture kept in a file.
    pub fn screen(&mut self, shows: impl Fn(&RgbImage) -> Result<(), String>) -> RgbImage {
        self.board.screen(shows)
    }
}

/// The figures of an event's memory that must not grow.
#[derive(Debug, PartialEq, Eq)]
pub struct Memory {
    live_bytes: u64,
    overflow_bytes: u64,
    page_faults: u64,
    peak_rss_kib: u64,
}

impl Memory {
    /// Reads a `stats` or `end` event.
    pub fn of(event: &Value) -> Self {
        let figure = |key: &str| {
            event["memory"][key]
                .as_u64()
                .unwrap_or_else(|| panic!("no {key} in {event}"))
        };
        Self {
            live_bytes: figure("live_bytes"),
            overflow_bytes: figure("overflow_bytes"),
            page_faults: figure("minor_faults") + figure("major_faults"),
            peak_rss_kib: figure("peak_rss_kib"),
        }
    }
}
