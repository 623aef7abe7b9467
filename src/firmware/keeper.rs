//! The data partition as the first program uses it: each thing by a process of its own, with a time limit, and the volume
//! made anew when that fails.

use super::data;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A card needs milliseconds for what is asked of it; a damaged volume may need for ever.
const PATIENCE: Duration = Duration::from_secs(4);
/// A card may be found a little after its driver was loaded.
const CARD_PATIENCE: Duration = Duration::from_secs(3);

/// The data partition, and the program that handles it.
#[derive(Debug, Clone)]
pub struct Keeper {
    program: PathBuf,
    device: PathBuf,
}

impl Keeper {
    /// Waits a little for the partition; `None` when the board has none.
    pub fn find(program: &Path, sys: &Path, dev: &Path) -> Option<Self> {
        let began = Instant::now();
        loop {
            if let Some(device) = data::find(sys, dev) {
                return Some(Self::new(program, &device));
            }
            if began.elapsed() > CARD_PATIENCE {
                return None;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// With this program and device.
    pub fn new(program: &Path, device: &Path) -> Self {
        Self {
            program: program.to_owned(),
            device: device.to_owned(),
        }
    }

    /// The reason of the last reboot, which is forgotten by that. A volume that cannot be used is made anew, and `tell`
    /// hears of it. Nothing is written where there is no reason and the volume is sound.
    pub fn take_reason(&self, mut tell: impl FnMut(&str)) -> Option<String> {
        let reason = match self.run("tell", "", &[]) {
            Ok(reason) => reason,
            Err(why) => {
                self.format(&why, &mut tell);
                return None;
            }
        };
        let reason = reason.trim();
        if reason.is_empty() {
            return None;
        }
        if let Err(why) = self.run("forget", "", &[]) {
            self.format(&why, &mut tell);
        }
        Some(reason.to_owned())
    }

    /// Keeps a reason and the log; on a volume that cannot be used, after making it anew.
    pub fn keep(&self, reason: &str, log: &[u8], mut tell: impl FnMut(&str)) {
        if let Err(why) = self.run("put", reason, log) {
            self.format(&why, &mut tell);
            if let Err(why) = self.run("put", reason, log) {
                tell(&format!("the reason is not kept: {why}"));
            }
        }
    }

    /// Forgets a reason that did not come true.
    pub fn forget(&self, mut tell: impl FnMut(&str)) {
        if let Err(why) = self.run("forget", "", &[]) {
            tell(&format!("a reason is kept that was none: {why}"));
        }
    }

    fn format(&self, why: &str, tell: &mut impl FnMut(&str)) {
        tell(&format!("{why}; making the data partition anew, empty"));
        if let Err(why) = self.run("format", "", &[]) {
            tell(&format!("the data partition cannot be made anew: {why}"));
        }
    }

    /// Runs `eyelet keep` to its end or the end of our patience; its output, or its complaint in one line.
    fn run(&self, what: &str, reason: &str, input: &[u8]) -> Result<String, String> {
        let fail =
            |error: std::io::Error| format!("data partition {}: {error}", self.device.display());
        let mut command = Command::new(&self.program);
        command.arg("keep").arg(what).arg(&self.device).arg(reason);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(fail)?;
        // The pipe holds all of it, or the child takes it; one that does neither is ended below, which ends the writing.
        let mut stdin = child.stdin.take();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || {
            if let Some(stdin) = &mut stdin {
                let _ = stdin.write_all(&input);
            }
        });
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().map_err(fail)? {
                break Some(status);
            }
            if began.elapsed() > PATIENCE {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let _ = writer.join();
        let (mut output, mut complaint) = (String::new(), String::new());
        if let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) {
            let _ = stdout.read_to_string(&mut output);
            let _ = stderr.read_to_string(&mut complaint);
        }
        match status {
            Some(status) if status.success() => Ok(output),
            Some(status) => {
                let line = complaint.lines().last().unwrap_or_default();
                let line = line.strip_prefix("eyelet: ").unwrap_or(line);
                Err(if line.is_empty() {
                    format!("data partition {}: {status}", self.device.display())
                } else {
                    line.to_owned()
                })
            }
            None => Err(format!(
                "data partition {}: no answer within {} s",
                self.device.display(),
                PATIENCE.as_secs()
            )),
        }
    }
}
