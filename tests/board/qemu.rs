//! A QEMU process: the emulated board with its serial line and its control socket (QMP).

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

/// What to boot, and with which devices.
pub struct Machine<'a> {
    pub kernel: &'a Path,
    pub initramfs: &'a Path,
    /// A folder for sockets and pictures; its path must be short (a socket's path has 108 bytes).
    pub folder: &'a Path,
    /// More QEMU arguments.
    pub devices: Vec<OsString>,
    /// The virtio-gpu's size.
    pub display_px: (u32, u32),
    /// More words for the kernel.
    pub kernel_words: &'a str,
    /// Whether the machine starts again when it is reset; otherwise QEMU ends.
    pub restarts: bool,
}

/// The running board. Dropping it ends QEMU.
pub struct Board {
    process: Child,
    lines: Receiver<String>,
    control: BufReader<UnixStream>,
    folder: PathBuf,
    /// Everything that came over the serial line so far.
    pub log: Vec<String>,
}

impl Board {
    /// Starts QEMU and connects to its control socket.
    pub fn start(machine: &Machine<'_>) -> io::Result<Self> {
        let control_path = machine.folder.join("qmp");
        let (width, height) = machine.display_px;
        let mut process = Command::new(PROGRAM)
            .args([
                "-M",
                "virt",
                "-cpu",
                "cortex-a72",
                "-smp",
                "2",
                "-m",
                "1024",
            ])
            .args(["-display", "none", "-nodefaults", "-serial", "stdio"])
            .args((!machine.restarts).then_some("-no-reboot"))
            .arg("-qmp")
            .arg(format!(
                "unix:{},server=on,wait=off",
                control_path.display()
            ))
            .arg("-kernel")
            .arg(machine.kernel)
            .arg("-initrd")
            .arg(machine.initramfs)
            // The text cursor would blink over the corner of the picture.
            .arg("-append")
            .arg(format!(
                "console=ttyAMA0 loglevel=4 vt.global_cursor_default=0 panic=-1 {}",
                machine.kernel_words
            ))
            .arg("-device")
            .arg(format!("virtio-gpu-pci,xres={width},yres={height},edid=on"))
            .args(&machine.devices)
            .stdin(Stdio::null())
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
            folder: machine.folder.to_path_buf(),
            log: Vec::new(),
        };
        board.read_reply()?; // the greeting
        board.command("qmp_capabilities", json!({}))?;
        Ok(board)
    }

    /// The next line of the serial log; `None` when QEMU has ended.
    ///
    /// # Panics
    /// When none comes until `deadline`; the message shows the end of the log.
    pub fn line(&mut self, deadline: Instant, waiting_for: &str) -> Option<&str> {
        let wait = deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(wait) {
            Ok(line) => {
                println!("  {line}");
                self.log.push(line);
                self.log.last().map(String::as_str)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("no {waiting_for} in time; {}", self.last_lines())
            }
        }
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
        self.command("screendump", json!({"filename": file}))?;
        std::fs::read(file)
    }

    /// Waits until the guest has powered off.
    ///
    /// # Panics
    /// When it has not until `deadline`.
    pub fn wait_for_power_off(&mut self, deadline: Instant) {
        while self.line(deadline, "power off").is_some() {}
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
