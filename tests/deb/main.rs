//! The Debian package on a real Debian under systemd: installed, held where something is missing, started, watched, restarted
//! after a hang, upgraded, removed without a trace.
//!
//! `cargo test --test deb -- --ignored`
//!
//! Needs root, cargo-deb, mmdebstrap, systemd-container, and Debian's mirror the first time. What is missing makes a test say
//! "skipped", unless `CI` or `EYELET_REQUIRE_BOARD` is set. There is no hardware in a container: a picture stands in for the
//! camera, and the log is the display.

#![allow(clippy::unwrap_used)]

mod contents;
mod first_hour;
mod guest;
#[path = "../emulator/missing.rs"]
mod missing;
#[path = "../emulator/programs.rs"]
#[allow(dead_code, reason = "this test uses a part")]
mod programs;
mod rpicam;

use guest::{Guest, debian, wait};
use missing::{Missing, or_skip};
use programs::tool;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// For a start, on a machine that may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// The shipped network on a picture, over and over.
const BOARD: &str = r#"
description = "a picture for a camera"
tier = "untested"
model = "efficientnet-lite0"
threads = 1
pool_mib = 96
[camera.still]
files = ["cat.jpg"]
repeat = true
rate_fps = 20
[display.none]
"#;

/// What a Debian machine has, and the package.
struct Inputs {
    debian: PathBuf,
    /// With `eyelet.deb` and what a user would bring.
    folder: tempfile::TempDir,
}

/// Made once for all tests.
fn inputs() -> Result<&'static Inputs, Missing> {
    static INPUTS: OnceLock<Inputs> = OnceLock::new();
    if let Some(inputs) = INPUTS.get() {
        return Ok(inputs);
    }
    tool("cargo-deb", "cargo install cargo-deb --locked")?;
    let debian = debian()?;
    let folder = tempfile::tempdir().unwrap();
    make_package(&folder.path().join("eyelet.deb"));
    let labels: String = (0..10).map(|n| format!("Raum, Nr. {n}\n")).collect();
    std::fs::write(folder.path().join("mine.txt"), labels).unwrap();
    std::fs::create_dir(folder.path().join("photos")).unwrap();
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (from, name) in [
        ("boards/photos/cat.jpg", "cat.jpg"),
        ("tests/fixtures/qdq-whole.onnx", "house.onnx"),
        ("tests/fixtures/qdq-whole.onnx", "mine.onnx"),
        ("tests/deb/first-hour.sh", "first-hour.sh"),
        ("tests/deb/rpicam-vid", "rpicam-vid"),
        ("boards/photos/cat.jpg", "photos/cat.jpg"),
        ("boards/photos/espresso.jpg", "photos/espresso.jpg"),
        ("boards/photos/rocket.jpg", "photos/rocket.jpg"),
        ("boards/photos/tripod.jpg", "photos/tripod.jpg"),
    ] {
        std::fs::copy(project.join(from), folder.path().join(name)).unwrap();
    }
    Ok(INPUTS.get_or_init(|| Inputs { debian, folder }))
}

/// The package, with the program that Cargo built for this test where `cargo deb` looks for a released one.
fn make_package(path: &Path) {
    let target = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let released = target.path().join("release");
    std::fs::create_dir(&released).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_eyelet"), released.join("eyelet")).unwrap();
    let output = Command::new("cargo-deb")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CARGO_TARGET_DIR", target.path())
        .args(["deb", "--no-build", "--strip", "--fast", "--output"])
        .arg(path)
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo deb: {message}");
}

/// A guest with nothing of ours. One at a time: two would take the processor from each other.
fn boot() -> Option<(std::sync::MutexGuard<'static, ()>, Guest)> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let alone = ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let inputs = or_skip(inputs())?;
    Some((alone, Guest::boot(&inputs.debian, inputs.folder.path())))
}

/// Puts a board file where the package looks for one, as `boards/README.md` says.
fn configure(guest: &Guest, board: &str) {
    guest.write("/etc/eyelet/board.toml", board);
    guest.run_well("cp /mnt/cat.jpg /etc/eyelet/");
}

/// Installs the package; what a person waits for is measured.
fn install(guest: &Guest) -> Duration {
    let began = Instant::now();
    guest.run_well("timeout 120 dpkg --install /mnt/eyelet.deb");
    began.elapsed()
}

/// The service has given up, was not started again, and the journal has these words.
fn is_held(guest: &Guest, exit_code: &str, words: &[&str]) {
    guest.wait_for_property("ActiveState", "failed", PATIENCE);
    // Longer than RestartSec: it stays so.
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(guest.property("ActiveState"), "failed");
    assert_eq!(guest.property("NRestarts"), "0");
    assert_eq!(guest.property("ExecMainStatus"), exit_code);
    let status = guest.run("systemctl status eyelet --no-pager --full").text;
    for words in words.iter().chain(&["systemctl restart eyelet"]) {
        assert!(status.contains(words), "{words:?} is not said:\n{status}");
    }
}

/// What a person meets, in order: no board file, no model, then a class.
#[test]
#[ignore = "boots a Debian container: `cargo test --test deb -- --ignored`"]
fn the_package_is_installed_waits_for_the_user_and_is_started() {
    let Some((_alone, guest)) = boot() else {
        return;
    };
    install(&guest);
    is_held(
        &guest,
        "3",
        &["/etc/eyelet/board.toml", "/usr/share/doc/eyelet/boards"],
    );
    assert_eq!(
        guest.run_well("systemctl is-enabled eyelet").trim(),
        "enabled"
    );

    // A model that is known and not here.
    let network = std::fs::read(inputs().unwrap().folder.path().join("house.onnx")).unwrap();
    let digest: String = Sha256::digest(&network)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let model = format!(
        "description = \"a model of the house\"\nfile = \"house.onnx\"\nsha256 = \"{digest}\"\nsize_bytes = {}\n\
         urls = [\"https://example.invalid/house.onnx\"]\n[input]\nwidth_px = 32\nheight_px = 32\n[output]\nkind = \"probabilities\"\nclass_count = 10\n",
        network.len()
    );
    guest.write("/var/lib/eyelet/models/house/model.toml", &model);
    configure(&guest, &BOARD.replace("efficientnet-lite0", "house"));
    assert_ne!(guest.run("systemctl restart eyelet").code, Some(0));
    is_held(&guest, "4", &["`house`", "eyelet model pull house"]);
    guest.run_well("eyelet model pull house --from /mnt");
    // Not among the package's own files, and seen by the service.
    guest.run_well("test -f /var/lib/eyelet/models/house/house.onnx");
    guest.run_well("systemctl restart eyelet");
    assert_eq!(guest.property("ActiveState"), "active");
    assert_eq!(guest.property("StatusText"), "classifying");

    configure(&guest, BOARD);
    guest.run_well("systemctl restart eyelet");
    guest.wait_for_words("Egyptian cat", 1, PATIENCE);
    println!("{}", guest.journal());
}

/// Frames feed systemd's watchdog and nothing else does; a loop that hangs is killed, reported, and started again.
#[test]
#[ignore = "boots a Debian container: `cargo test --test deb -- --ignored`"]
fn a_hang_is_ended_by_systemd_and_the_service_starts_again() {
    let Some((_alone, guest)) = boot() else {
        return;
    };
    configure(&guest, BOARD);
    guest.write(
        "/etc/systemd/system/eyelet.service.d/hang.conf",
        "[Service]\nEnvironment=EYELET_TEST_HANG_AFTER=100\nWatchdogSec=5\n",
    );
    install(&guest);
    guest.wait_for_property("ActiveState", "active", PATIENCE);
    let fed_at = || guest.property("WatchdogTimestampMonotonic");
    let (program, before) = (guest.property("MainPID"), fed_at());
    assert!(
        wait(Duration::from_secs(2), || fed_at() != before),
        "fed by frames"
    );

    guest.wait_for_words("hanging on purpose", 1, PATIENCE);
    let last = fed_at();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(fed_at(), last, "fed without a frame");
    for words in [
        "Watchdog timeout (limit 5s)!",
        "Failed with result 'watchdog'",
        "restart counter is at 1",
    ] {
        guest.wait_for_words(words, 1, PATIENCE);
    }
    // The class is seen again, by another process.
    guest.wait_for_words("Egyptian cat", 2, PATIENCE);
    assert_ne!(guest.property("MainPID"), program);
}

/// A camera that is not there is waited for by the service, and not by whoever installs or upgrades the package; the policy's
/// reboot is carried out.
#[test]
#[ignore = "boots a Debian container: `cargo test --test deb -- --ignored`"]
fn a_missing_camera_is_waited_for_and_rebooted_for_as_the_policy_says() {
    let Some((_alone, mut guest)) = boot() else {
        return;
    };
    let still = BOARD.find("[camera.still]").unwrap();
    let display = BOARD.find("[display.none]").unwrap();
    let camera = "[camera.v4l2]\nwidth_px = 640\nheight_px = 480\n";
    let board = [&BOARD[..still], camera, &BOARD[display..]].concat();
    configure(&guest, &board);
    // The second one is an upgrade, which restarts the service.
    for times in [1, 2] {
        let took = install(&guest);
        assert!(took < Duration::from_secs(30), "dpkg waited for {took:?}");
        guest.wait_for_words("no camera yet", times, PATIENCE);
    }
    guest.wait_for_property("ActiveState", "activating", PATIENCE);
    guest.wait_for_property("StatusText", "waiting for the camera", PATIENCE);

    configure(
        &guest,
        &format!("{board}[policy.camera_lost]\ndo = \"reboot\"\nafter_s = 3\n"),
    );
    guest.run_well("systemctl restart --no-block eyelet");
    assert!(guest.reboots(PATIENCE), "no reboot");
}

/// A removal keeps what a person made, a purge keeps nothing but strangers' files.
#[test]
#[ignore = "boots a Debian container: `cargo test --test deb -- --ignored`"]
fn a_purge_leaves_nothing() {
    let Some((_alone, guest)) = boot() else {
        return;
    };
    // dpkg and systemd keep books of their own.
    let files = || {
        let found = guest.run_well(
            "find / -xdev \\( -path /run -o -path /tmp -o -path /proc -o -path /sys -o -path /dev -o -path /var/log \
             -o -path /var/lib/dpkg -o -path /var/cache \\) -prune -o -print | sort; cat /etc/passwd /etc/group",
        );
        found.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let before = files();
    configure(&guest, BOARD);
    install(&guest);
    guest.wait_for_property("ActiveState", "active", PATIENCE);
    guest.run_well(
        "mkdir /var/lib/eyelet/models/house && cp /mnt/house.onnx /var/lib/eyelet/models/house/",
    );

    guest.run_well("dpkg --remove eyelet");
    assert_ne!(guest.run("pidof eyelet").code, Some(0), "it still runs");
    guest.run_well(
        "test ! -e /usr/bin/eyelet && test -f /etc/eyelet/board.toml && test -d /var/lib/eyelet",
    );

    guest.run_well("dpkg --purge eyelet");
    let left: Vec<String> = files()
        .into_iter()
        .filter(|file| !before.contains(file))
        .collect();
    assert_eq!(
        left,
        ["/etc/eyelet", "/etc/eyelet/cat.jpg"],
        "a picture that is not ours"
    );
    let state = guest.run("systemctl status eyelet --no-pager").text;
    assert!(state.contains("could not be found"), "{state}");
}
