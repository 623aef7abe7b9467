//! A QEMU process: the emulated board with its serial line and its control socket (QMP).

use super::patience::Patience;
use super::usb_camera::{Mode, Seen, UsbCamera};
use super::{pictures, screen};
use image::RgbImage;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// The emulator's program name.
pub const PROGRAM: &str = "qemu-system-aarch64";

/// The size of the display of [`virt`].
pub const DISPLAY_PX: (u32, u32) = (480, 320);

/// QEMU's `virt` machine with two cores, 1 GiB, a virtio display, a USB port and its serial line on standard output.
pub fn virt() -> Vec<OsString> {
    virt_with_display(DISPLAY_PX)
}

/// The same with a display whose best mode has this size.
pub fn virt_with_display((width, height): (u32, u32)) -> Vec<OsString> {
    let display = format!("virtio-gpu-pci,xres={width},yres={height},edid=on");
    [
        "-M",
        "virt",
        "-cpu",
        "cortex-a72",
        "-smp",
        "2",
        "-m",
        "1024",
        "-serial",
        "stdio",
        "-device",
        &display,
        "-device",
        "qemu-xhci",
    ]
    .map(OsString::from)
    .into()
}

/// Two sockets for displays, the first one with a display in it: [`Board::unplug_display`] and [`Board::plug_display`]. A
/// virtio display cannot be pulled out; this one can.
pub const DISPLAY_SOCKETS: [&str; 6] = [
    "-device",
    "pcie-root-port,id=socket1,chassis=1,slot=1",
    "-device",
    "pcie-root-port,id=socket2,chassis=2,slot=2",
    "-device",
    "bochs-display,id=display1,bus=socket1,romfile=,edid=on,xres=480,yres=320",
];

/// The running board. Dropping it ends QEMU.
pub struct Board {
    process: Child,
    lines: Receiver<String>,
    control: BufReader<UnixStream>,
    folder: PathBuf,
    cameras_plugged: u32,
    /// The display that is looked at, where there are several.
    pub display: Option<&'static str>,
    /// Everything that came over the serial line so far.
    pub log: Vec<String>,
}

impl Board {
    /// Starts QEMU with `arguments` and connects to its control socket. Sockets and pictures lie in `folder`, whose path must
    /// be short (a socket's path has 108 bytes).
    pub fn start(folder: &Path, arguments: &[OsString]) -> io::Result<Self> {
        let control_path = folder.join("qmp");
        let mut process = Command::new(PROGRAM)
            .args(["-display", "none", "-nodefaults", "-qmp"])
            .arg(format!(
                "unix:{},server=on,wait=off",
                control_path.display()
            ))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let serial = process.stdout.take().expect("the output is piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let mut serial = BufReader::new(serial);
            let mut line = Vec::new();
            // Bytes, not text: a boot message may be anything.
            while serial
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                let text = String::from_utf8_lossy(&line).trim_end().to_string();
                if sender.send(text).is_err() {
                    break;
                }
                line.clear();
            }
        });
        let control = match connect(&control_path, &mut process) {
            Ok(control) => control,
            Err(error) => {
                let _ = process.kill();
                let _ = process.wait();
                return Err(error);
            }
        };
        let mut board = Self {
            process,
            lines,
            control,
            folder: folder.to_path_buf(),
            cameras_plugged: 0,
            display: None,
            log: Vec::new(),
        };
        board.read_reply()?; // the greeting
        board.command("qmp_capabilities", json!({}))?;
        Ok(board)
    }

    /// Begins a wait for what the board does.
    pub fn patience(&self, allowed: Duration) -> Patience {
        Patience::begin(self.process.id(), allowed)
    }

    /// The next line of the serial log; `None` when QEMU has ended.
    ///
    /// # Panics
    /// When the patience ends before; the message shows the end of the log.
    pub fn line(&mut self, patience: &Patience, waiting_for: &str) -> Option<&str> {
        loop {
            let is_over = patience.is_over();
            let wait = if is_over {
                Duration::ZERO
            } else {
                Duration::from_secs(1)
            };
            match self.lines.recv_timeout(wait) {
                Ok(line) => {
                    println!("  {line}");
                    self.log.push(line);
                    return self.log.last().map(String::as_str);
                }
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    assert!(!is_over, "no {waiting_for} in time; {}", self.last_lines());
                }
            }
        }
    }

    /// Types a line on the serial line.
    pub fn type_line(&mut self, text: &str) {
        let keyboard = self.process.stdin.as_mut().expect("the input is piped");
        writeln!(keyboard, "{text}").unwrap();
        keyboard.flush().unwrap();
    }

    /// The end of the serial log, for messages.
    pub fn last_lines(&self) -> String {
        let from = self.log.len().saturating_sub(30);
        format!("the serial log ends:\n{}", self.log[from..].join("\n"))
    }

    /// One QMP command; its answer.
    pub fn command(&mut self, name: &str, arguments: Value) -> io::Result<Value> {
        let mut text = json!({"execute": name, "arguments": arguments}).to_string();
        text.push('\n');
        self.control.get_mut().write_all(text.as_bytes())?;
        loop {
            let reply = self.read_reply()?;
            if let Some(answer) = reply.get("return") {
                return Ok(answer.clone());
            }
            if let Some(error) = reply.get("error") {
                return Err(io::Error::other(format!("QEMU refused {name}: {error}")));
            }
            // An event; none of them matters here.
        }
    }

    /// What the display shows now, as a PPM file.
    pub fn screendump(&mut self) -> io::Result<Vec<u8>> {
        let file = self.folder.join("screen.ppm");
        let arguments = match self.display {
            Some(display) => json!({"filename": file, "device": display}),
            None => json!({"filename": file}),
        };
        self.command("screendump", arguments)?;
        std::fs::read(file)
    }

    /// Plugs in a new USB camera that sees `seen`.
    pub fn plug_camera(&mut self, seen: Seen) -> UsbCamera {
        self.cameras_plugged += 1;
        let number = self.cameras_plugged;
        let (chardev, device) = (format!("cable{number}"), format!("camera{number}"));
        let socket = self.folder.join(&chardev);
        let mode = Mode {
            width_px: pictures::WIDTH_PX as u16,
            height_px: pictures::HEIGHT_PX as u16,
            rate_fps: 30,
        };
        let camera = UsbCamera::listen(&socket, mode, seen).unwrap();
        let address = json!({"type": "unix", "data": {"path": socket}});
        let backend = json!({"type": "socket", "data": {"addr": address, "server": false}});
        self.command("chardev-add", json!({"id": chardev, "backend": backend}))
            .unwrap();
        self.command(
            "device_add",
            json!({"driver": "usb-redir", "id": device, "chardev": chardev}),
        )
        .unwrap();
        camera
    }

    /// Pulls the cable of the camera that was plugged in last.
    pub fn unplug_camera(&mut self, camera: UsbCamera) {
        camera.unplug();
        let device = format!("camera{}", self.cameras_plugged);
        self.command("device_del", json!({"id": device})).unwrap();
    }

    /// Plugs in a USB stick, a file as long as it is there. Each has a name of its own.
    pub fn plug_stick(&mut self, name: &str, file: &Path) {
        let file = json!({"driver": "file", "filename": file, "locking": "off"});
        let volume = json!({"driver": "raw", "node-name": name, "read-only": false, "file": file});
        self.command("blockdev-add", volume).unwrap();
        let device = json!({"driver": "usb-storage", "id": format!("{name}-plug"), "drive": name});
        self.command("device_add", device).unwrap();
    }

    /// Pulls it out.
    pub fn unplug_stick(&mut self, name: &str) {
        let plug = json!({"id": format!("{name}-plug")});
        self.command("device_del", plug).unwrap();
    }

    /// Pulls the display out of the first of [`DISPLAY_SOCKETS`].
    pub fn unplug_display(&mut self) {
        self.command("device_del", json!({"id": "display1"}))
            .unwrap();
    }

    /// Puts another display into the second of [`DISPLAY_SOCKETS`]: QEMU does not let a socket be used twice.
    pub fn plug_display(&mut self) {
        self.plug_display_of(DISPLAY_PX);
    }

    /// The same with a display whose best mode has this size.
    pub fn plug_display_of(&mut self, (xres, yres): (u32, u32)) {
        self.command(
            "device_add",
            json!({
                "driver": "bochs-display", "id": "display2", "bus": "socket2",
                "romfile": "", "edid": true, "xres": xres, "yres": yres,
            }),
        )
        .unwrap();
        self.display = Some("display2");
    }

    /// What the display shows, once `shows` says true of it.
    ///
    /// # Panics
    /// When it does not in time: with `shows`'s last complaint, and the picture kept in a file.
    pub fn screen(&mut self, shows: impl Fn(&RgbImage) -> Result<(), String>) -> RgbImage {
        let patience = self.patience(Duration::from_secs(60));
        loop {
            let screen = screen::parse_ppm(&self.screendump().unwrap()).expect("QEMU writes PPM");
            match shows(&screen) {
                Ok(()) => return screen,
                Err(complaint) if patience.is_over() => {
                    let file = super::target_folder().join("board/failed-screen.png");
                    screen.save(&file).unwrap();
                    panic!("{complaint}: see {}", file.display());
                }
                Err(_) => thread::sleep(Duration::from_millis(300)),
            }
        }
    }

    /// Waits until the guest has powered off.
    ///
    /// # Panics
    /// When the patience ends before.
    pub fn wait_for_power_off(&mut self, patience: &Patience) {
        while self.line(patience, "power off").is_some() {}
    }

    fn read_reply(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        if self.control.read_line(&mut line)? == 0 {
            return Err(io::Error::other(format!(
                "QEMU has ended; {}",
                self.last_lines()
            )));
        }
        serde_json::from_str(&line).map_err(io::Error::other)
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // Fails only when it has ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn connect(path: &Path, process: &mut Child) -> io::Result<BufReader<UnixStream>> {
    const PATIENCE: Duration = Duration::from_secs(20);
    let start = Instant::now();
    loop {
        match UnixStream::connect(path) {
            Ok(socket) => {
                socket.set_read_timeout(Some(Duration::from_secs(60)))?;
                return Ok(BufReader::new(socket));
            }
            Err(error) => {
                if let Some(status) = process.try_wait()? {
                    return Err(io::Error::other(format!(
                        "{PROGRAM} ended at once: {status}"
                    )));
                }
                if start.elapsed() > PATIENCE {
                    return Err(error);
                }
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
}
