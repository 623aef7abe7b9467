//! A small Debian of this machine's own architecture, with systemd as its first program, in a container.

use super::missing::Missing;
use super::programs::tool;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Debian's release that Raspberry Pi OS is made from too.
const RELEASE: &str = "bookworm";
/// From starting the container to systemd's word that all is up, on a machine that may be busy.
const BOOT_PATIENCE: Duration = Duration::from_secs(120);
/// With this systemd-nspawn ends when the guest wants to be booted again.
const REBOOT: i32 = 133;
const POLL: Duration = Duration::from_millis(200);

/// The folder with the Debian that guests boot: made once, and kept in Cargo's target folder. Guests do not change it.
pub fn debian() -> Result<PathBuf, Missing> {
    // SAFETY: asks for a number and has no other effect.
    if unsafe { libc::geteuid() } != 0 {
        return Err(Missing("only root can boot a container".to_owned()));
    }
    tool("systemd-nspawn", "apt install systemd-container")?;
    tool("setpriv", "apt install util-linux")?;
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("debian-{RELEASE}"));
    if root.is_dir() {
        return Ok(root);
    }
    tool("mmdebstrap", "apt install mmdebstrap")?;
    let part = root.with_extension("part");
    // Of a run that was broken off.
    let _ = fs::remove_dir_all(&part);
    let mut command = Command::new("mmdebstrap");
    command.args(["--quiet", "--variant=minbase"]);
    command.args(["--include=systemd-sysv,dbus", RELEASE]);
    command.arg(&part);
    // The mirror that this machine uses.
    let sources = Path::new("/etc/apt/sources.list.d/debian.sources");
    if sources.is_file() {
        command.arg(sources);
    }
    let output = command.stdin(Stdio::null()).output().unwrap();
    if !output.status.success() {
        return Err(Missing(format!(
            "mmdebstrap cannot make a Debian {RELEASE}, see whether apt-get update works: {}",
            String::from_utf8_lossy(&output.stderr)
        )));
    }
    fs::rename(&part, &root).unwrap();
    Ok(root)
}

/// What a command in the guest left: how it ended, and all that it printed.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub text: String,
}

/// A running guest; it ends with this value.
pub struct Guest {
    container: Child,
    /// The guest's first program, by its number outside.
    init: u32,
}

impl Guest {
    /// Boots a guest that sees `folder` as `/mnt`.
    pub fn boot(debian: &Path, folder: &Path) -> Self {
        let name = format!("eyelet-{}", std::process::id());
        // The container ends with the test, however that ends.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "TERM", "systemd-nspawn", "--quiet"])
            .args(["--boot", "--volatile=overlay", "--console=pipe"])
            // There need not be a systemd outside.
            .args(["--register=no", "--keep-unit", "--private-network"])
            .arg(format!("--machine={name}"))
            .arg(format!("--directory={}", debian.display()))
            .arg(format!("--bind-ro={}:/mnt", folder.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let container = command.spawn().unwrap();
        let mut guest = Self { container, init: 0 };
        guest.wait_for_boot();
        guest
    }

    fn wait_for_boot(&mut self) {
        let began = Instant::now();
        while began.elapsed() < BOOT_PATIENCE {
            if let Some(init) = self.first_program() {
                self.init = init;
                let state = self.run("systemctl is-system-running --wait").text;
                if ["running", "degraded"].contains(&state.trim()) {
                    return;
                }
            }
            let ended = self.container.try_wait().unwrap();
            assert!(ended.is_none(), "the container has ended: {ended:?}");
            sleep(POLL);
        }
        panic!("systemd was not up after {BOOT_PATIENCE:?}");
    }

    /// Whether the guest asks for a reboot in time. It ends with that.
    pub fn reboots(&mut self, patience: Duration) -> bool {
        wait(patience, || {
            let ended = self.container.try_wait().unwrap();
            ended.is_some_and(|status| status.code() == Some(REBOOT))
        })
    }

    /// The container's child that has become systemd.
    fn first_program(&self) -> Option<u32> {
        let id = self.container.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        children.split_whitespace().find_map(|child| {
            let name = fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
            (name.trim() == "systemd").then(|| child.parse().ok())?
        })
    }

    /// Runs a shell command as the guest's root would.
    pub fn run(&self, command: &str) -> Ran {
        let output: Output = Command::new("nsenter")
            .arg(format!("--target={}", self.init))
            .args(["--all", "sh", "-c", &format!("{{ {command}\n}} 2>&1")])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .current_dir("/")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Ran {
            code: output.status.code(),
            text: String::from_utf8_lossy(&output.stdout).into_owned(),
        }
    }

    /// The same for one that must end well; returns what it printed.
    pub fn run_well(&self, command: &str) -> String {
        let ran = self.run(command);
        assert_eq!(ran.code, Some(0), "{command}: {}", ran.text);
        ran.text
    }

    /// Writes a file.
    pub fn write(&self, path: &str, text: &str) {
        let end = "END OF FILE";
        assert!(!text.contains(end));
        let text = text.trim_end();
        self.run_well(&format!(
            "mkdir -p $(dirname {path}) && cat > {path} <<'{end}'\n{text}\n{end}"
        ));
    }

    /// A property of the service, as systemd states it.
    pub fn property(&self, name: &str) -> String {
        let text = self.run_well(&format!("systemctl show eyelet --value --property={name}"));
        text.trim().to_owned()
    }

    /// What the service and systemd said of it since the guest's start.
    pub fn journal(&self) -> String {
        self.run_well("journalctl --unit=eyelet --output=cat --no-pager")
    }

    /// Waits until the journal says `words` that often.
    pub fn wait_for_words(&self, words: &str, times: usize, patience: Duration) {
        let is_logged = || self.journal().matches(words).count() >= times;
        assert!(
            wait(patience, is_logged),
            "{words:?} was not said {times} times within {patience:?}:\n{}",
            self.journal()
        );
    }

    /// Waits until a property has this value.
    pub fn wait_for_property(&self, name: &str, value: &str, patience: Duration) {
        assert!(
            wait(patience, || self.property(name) == value),
            "{name} was {:?}, not {value:?}, after {patience:?}:\n{}",
            self.property(name),
            self.journal()
        );
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let id = self.container.id() as libc::pid_t;
        if !matches!(self.container.try_wait(), Ok(None)) {
            return;
        }
        // The first asks systemd to shut down, the second does not wait for that.
        for _ in 0..2 {
            // SAFETY: the child has not been waited for, so the number is its own.
            unsafe { libc::kill(id, libc::SIGTERM) };
            sleep(POLL);
        }
        let _ = self.container.wait();
    }
}

/// Whether `done` came true in time.
pub fn wait(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    loop {
        if done() {
            return true;
        }
        if began.elapsed() >= patience {
            return false;
        }
        sleep(POLL);
    }
}
