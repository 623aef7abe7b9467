//! A running guest whose first program is `eyelet run --json`: its serial log as events, its camera's cable in our hand.

use super::guest::{Guest, Scenario};
use super::pictures;
use super::qemu::{Board, Machine};
use super::screen;
use super::usb_camera::{Mode, Seen, UsbCamera};
use image::RgbImage;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The size of the display.
pub const DISPLAY_PX: (u32, u32) = (480, 320);
/// How long the serial log may be silent. Emulation is a hundred times slower than the board, and this machine may be busy.
const PATIENCE: Duration = Duration::from_secs(300);

/// A booted guest.
pub struct Session {
    board: Board,
    folder: TempDir,
    plugged: u32,
    /// All `stats` events so far.
    stats: Vec<Value>,
}

impl Session {
    /// Boots `guest` with `scenario`.
    pub fn boot(guest: &Guest, scenario: &Scenario<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let initramfs = folder.path().join("initramfs");
        guest.write_initramfs(scenario, &initramfs);
        let machine = Machine {
            kernel: guest.kernel(),
            initramfs: &initramfs,
            folder: folder.path(),
            devices: vec!["-device".into(), "qemu-xhci".into()],
            display_px: DISPLAY_PX,
            kernel_words: "",
            restarts: false,
        };
        let board = Board::start(&machine).unwrap();
        Self {
            board,
            folder,
            plugged: 0,
            stats: Vec::new(),
        }
    }

    /// Plugs in a new USB camera that sees `seen`.
    pub fn plug_camera(&mut self, seen: Seen) -> UsbCamera {
        self.plugged += 1;
        let (chardev, device) = (
            format!("cable{}", self.plugged),
            format!("camera{}", self.plugged),
        );
        let socket = self.folder.path().join(&chardev);
        let mode = Mode {
            width_px: pictures::WIDTH_PX as u16,
            height_px: pictures::HEIGHT_PX as u16,
            rate_fps: 30,
        };
        let camera = UsbCamera::listen(&socket, mode, seen).unwrap();
        let address = json!({"type": "unix", "data": {"path": socket}});
        let backend = json!({"type": "socket", "data": {"addr": address, "server": false}});
        self.command("chardev-add", json!({"id": chardev, "backend": backend}));
        self.command(
            "device_add",
            json!({"driver": "usb-redir", "id": device, "chardev": chardev}),
        );
        camera
    }

    /// Pulls the cable of the camera that was plugged in last.
    pub fn unplug_camera(&mut self, camera: UsbCamera) {
        camera.unplug();
        self.command(
            "device_del",
            json!({"id": format!("camera{}", self.plugged)}),
        );
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
            let deadline = Instant::now() + PATIENCE;
            let Some(line) = self.board.line(deadline, waiting_for) else {
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
        let told = self.stats.iter().find(|event| event["frame"] == frame);
        let event = match told {
            Some(event) => event.clone(),
            None => self.event(&format!("stats at frame {frame}"), |name, event| {
                name == "stats" && event["frame"] == frame
            }),
        };
        Memory::of(&event)
    }

    /// Waits until the guest has switched itself off.
    pub fn wait_for_power_off(mut self) {
        self.board.wait_for_power_off(Instant::now() + PATIENCE);
    }

    /// What the display shows, once `shows` says true of it.
    ///
    /// # Panics
    /// When it does not in time: with `shows`'s last complaint, and the picture kept in a file.
    pub fn screen(&mut self, shows: impl Fn(&RgbImage) -> Result<(), String>) -> RgbImage {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let screen =
                screen::parse_ppm(&self.board.screendump().unwrap()).expect("QEMU writes PPM");
            assert_eq!(screen.dimensions(), DISPLAY_PX);
            match shows(&screen) {
                Ok(()) => return screen,
                Err(complaint) if Instant::now() > deadline => {
                    let file = super::programs::target_folder().join("board/failed-screen.png");
                    screen.save(&file).unwrap();
                    panic!("{complaint}: see {}", file.display());
                }
                Err(_) => std::thread::sleep(Duration::from_millis(300)),
            }
        }
    }

    fn command(&mut self, name: &str, arguments: Value) {
        self.board.command(name, arguments).unwrap();
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
