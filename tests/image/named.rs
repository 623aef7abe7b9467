//! What a user names twice, wrongly or half, and packages that are not what they seem: refused in one line within five
//! seconds, and whatever was named stays what it was, to the byte.

use super::{MODEL as MODEL_NAME, Workshop, common, packages};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const BOARD: i32 = 3;
const MODEL: i32 = 4;
const OUTPUT: i32 = 11;
const PACKAGE: i32 = 12;

impl Workshop {
    /// Runs `eyelet image` for the board `virt`, unless `more` names a board: its exit code and what it said.
    fn refusal(&self, more: &[&str]) -> (i32, String) {
        let mut command = common::eyelet(self.folder.path());
        command.arg("image");
        for (name, value) in [
            ("--kernel", "kernel.deb"),
            ("--program", "program"),
            ("--model", MODEL_NAME),
            ("--output", "none.img"),
        ] {
            if !more.contains(&name) {
                command.args([name, value]);
            }
        }
        if !more.contains(&"--board-file") {
            command.args(["--board", "virt"]);
        }
        command.args(more);
        let run = common::run_promptly(&command);
        assert_eq!(run.stderr.lines().count(), 1, "{more:?}: {}", run.stderr);
        (run.code, run.stderr)
    }

    /// What lies in the folder: the contents of files, the kinds of all else.
    fn inventory(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let describe = |entry: fs::DirEntry| {
            let kind = entry.file_type().unwrap();
            let contents = if kind.is_file() {
                fs::read(entry.path()).unwrap()
            } else {
                format!("{kind:?}").into_bytes()
            };
            (entry.file_name().into_string().unwrap(), contents)
        };
        entries.map(|entry| describe(entry.unwrap())).collect()
    }

    /// A pipe that nobody writes to, a socket, a folder, links to nowhere and to a device without end.
    pub fn add_traps(&self) -> UnixListener {
        let status = Command::new("mkfifo").arg(self.path("pipe")).status();
        assert!(status.unwrap().success());
        fs::create_dir(self.path("folder")).unwrap();
        symlink("gone", self.path("nowhere")).unwrap();
        symlink("/dev/zero", self.path("zero")).unwrap();
        UnixListener::bind(self.path("socket")).unwrap()
    }
}

#[test]
fn an_output_replaces_nothing_but_an_image() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    let _socket = workshop.add_traps();
    let board = include_str!("../../boards/virt.toml");
    fs::write(workshop.path("mine.toml"), board).unwrap();
    fs::write(workshop.path("labels.txt"), "cat\n").unwrap();
    fs::hard_link(workshop.path("kernel.deb"), workshop.path("hard")).unwrap();
    symlink("program", workshop.path("link")).unwrap();
    let before = workshop.inventory();
    let is_kept = "the existing file is not an image";
    let mut cases = vec![
        ("kernel.deb", is_kept),
        ("hard", is_kept),
        ("program", is_kept),
        ("link", is_kept),
        ("folder/../program", is_kept),
        ("mine.toml", is_kept),
        ("labels.txt", is_kept),
        ("pipe", "not a file but a pipe"),
        ("socket", "not a file but a socket"),
        ("folder", "not a file but a folder"),
        ("zero", "not a file but a device"),
        ("/dev/null", "not a file but a device"),
        ("nowhere", "a link that leads nowhere"),
        ("none/sd.img", "cannot write none/sd.img: No such file"),
    ];
    let node = Command::new("mknod")
        .args(["disk", "b", "7", "250"])
        .current_dir(workshop.folder.path())
        .output();
    if node.is_ok_and(|output| output.status.success()) {
        cases.push((
            "disk",
            "it is a block device; write the image to a file first, then run `eyelet flash FILE disk`",
        ));
    } else {
        common::say_skipped("in part: who may make no block device cannot test that it is refused");
    }
    let with_disk = workshop.inventory();
    for (output, words) in cases {
        let (code, message) = workshop.refusal(&["--board-file", "mine.toml", "--output", output]);
        assert_eq!(code, OUTPUT, "{output}: {message}");
        assert!(message.contains(words), "{output}: {message}");
        assert!(workshop.inventory() == with_disk, "{output}");
    }
    assert!(
        before
            .iter()
            .all(|(name, contents)| with_disk[name] == *contents)
    );
    assert!(
        fs::metadata("/dev/null")
            .unwrap()
            .file_type()
            .is_char_device()
    );
}

#[test]
fn an_older_image_and_an_empty_file_are_replaced_also_through_a_link() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    fs::write(workshop.path("sd.img"), "").unwrap();
    symlink("sd.img", workshop.path("link.img")).unwrap();
    for (version, output) in [("1", "sd.img"), ("2", "sd.img"), ("3", "link.img")] {
        let board = ["--board", "virt", "--version", version, "--output", output];
        let output = workshop.image(&board);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(workshop.path("link.img").is_symlink());
        let manifest = super::Disk::read(&workshop.path("sd.img"));
        let manifest = manifest.text(2, "manifest.json");
        assert!(
            manifest.contains(&format!("\"version\": \"{version}\"")),
            "{manifest}"
        );
    }
}

#[test]
fn inputs_that_are_no_files_are_refused_without_waiting() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    let _socket = workshop.add_traps();
    let shell = include_str!("../../boards/virt.toml")
        .replace("machine = \"virt\"", "machine = \"virt\"\nshell = true");
    fs::write(workshop.path("shell.toml"), shell).unwrap();
    let photo = include_str!("../../boards/virt.toml");
    let (head, _) = photo.split_once("[camera").unwrap();
    let picture = format!(
        "{head}[camera.still]\nfiles = [\"pipe\"]\n[display.none]\n[firmware]\nmachine = \"virt\"\n"
    );
    fs::write(workshop.path("picture.toml"), picture).unwrap();
    let traps = [
        ("pipe", "not a file"),
        ("socket", "not a file"),
        ("folder", "not a file"),
        ("zero", "not a file"),
        ("/dev/zero", "not a file"),
        ("nowhere", "No such file"),
    ];
    let before = workshop.inventory();
    let refused = |more: &[&str], code: i32, words: &str| {
        let (got, message) = workshop.refusal(more);
        assert_eq!(got, code, "{more:?}: {message}");
        assert!(message.contains(words), "{more:?}: {message}");
        assert!(workshop.inventory() == before, "{more:?}");
    };
    for (trap, words) in traps {
        refused(&["--kernel", trap], PACKAGE, words);
        refused(&["--firmware", trap], PACKAGE, words);
        let busybox = ["--board-file", "shell.toml", "--busybox", trap];
        refused(&busybox, PACKAGE, words);
        refused(&["--program", trap], PACKAGE, words);
        refused(&["--board-file", trap], BOARD, words);
        let path = Path::new(trap);
        let model = if path.is_absolute() {
            trap.to_owned()
        } else {
            format!("./{trap}")
        };
        refused(&["--model", &model], MODEL, words);
    }
    refused(
        &["--board-file", "picture.toml"],
        8,
        "not a file but a pipe",
    );
}

#[test]
fn packages_that_lie_or_burst_are_refused() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    let mut cases = vec![
        (
            "files of 300 MiB",
            packages::bomb(".gz"),
            "it unpacks to more than",
        ),
        (
            "a description of 300 MiB",
            packages::bomb_of_description(),
            "it unpacks to more than",
        ),
        (
            "a member longer than the package",
            packages::with_length("99999999"),
            "it ends too early",
        ),
        (
            "a member of a negative length",
            packages::with_length("-4"),
            "a length in it is not a number",
        ),
        (
            "a file longer than the archive",
            packages::with_entry(packages::endless_file()),
            "unexpected EOF",
        ),
        (
            "a kernel whose release leads elsewhere",
            packages::with_entry(packages::file_named("boot/vmlinuz-../../../etc/x")),
            "its kernel's release is not a valid name",
        ),
        (
            "a kernel that is a link",
            packages::with_entry(packages::link_named("boot/vmlinuz-6.1")),
            "it has no boot/vmlinuz-*",
        ),
        (
            "a kernel that is a device",
            packages::with_entry(packages::device_named("boot/vmlinuz-6.1")),
            "it has no boot/vmlinuz-*",
        ),
        (
            "a package with no name",
            packages::called("", "1"),
            "its description has no Package",
        ),
        (
            "a version that writes to the terminal",
            packages::called("x", "1\x1b[2J"),
            "its description has no Version",
        ),
        (
            "modules that need each other without end",
            packages::kernel_with_chain(300),
            "a chain of 100 dependencies",
        ),
    ];
    let xz = |head| packages::xz_of_zeros(head, 300 << 20);
    if let (Some(files), Some(zeros)) = (xz(packages::long_file()), xz(Vec::new())) {
        cases.push((
            "xz files of 300 MiB",
            packages::deb_with_data(".xz", &files),
            "it unpacks to more than",
        ));
        cases.push((
            "a module of 300 MiB",
            packages::kernel_with_module(&zeros),
            "`uvcvideo` is damaged: it unpacks to more than 256 MiB",
        ));
        let mut huge = files;
        packages::ask_for_dictionary_of_4_gib(&mut huge);
        cases.push((
            "a dictionary of 4 GiB",
            packages::deb_with_data(".xz", &huge),
            "memory too big",
        ));
    } else {
        common::say_skipped("in part: there is no xz (package xz-utils)");
    }
    for (what, package, words) in cases {
        fs::write(workshop.path("bad.deb"), package).unwrap();
        let (code, message) = workshop.refusal(&["--kernel", "bad.deb"]);
        assert_eq!(code, PACKAGE, "{what}: {message}");
        assert!(message.contains(words), "{what}: {message}");
        assert!(!message.contains('\x1b'), "{message:?}");
        assert!(!workshop.path("none.img").exists());
    }
}

/// Whether there is a file in the folder whose name begins like those of images in the making.
fn is_half_made(folder: &Path) -> bool {
    let names = common::names_in(folder);
    names.iter().any(|name| name.starts_with(".eyelet-image"))
}

#[test]
fn a_signal_while_it_is_written_leaves_the_older_image_and_nothing_half_made() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    let board = ["--board", "virt", "--output", "sd.img"];
    assert!(workshop.image(&board).status.success());
    let before = fs::read(workshop.path("sd.img")).unwrap();
    for (signal, name) in [
        (libc::SIGTERM, "SIGTERM"),
        (libc::SIGINT, "SIGINT"),
        (libc::SIGHUP, "SIGHUP"),
    ] {
        // A program that was faster than the signal is started again.
        let was_caught = (0..10).any(|_| {
            let inputs = ["--kernel", "kernel.deb", "--program", "program"];
            let words = ["image", "--model", MODEL_NAME, "--version", "2"];
            let words = [&words[..], &inputs, &board].concat();
            let mut child = common::start_eyelet(workshop.folder.path(), &words);
            let began = Instant::now();
            while child.try_wait().unwrap().is_none() {
                if is_half_made(workshop.folder.path()) {
                    common::send_signal(&child, signal);
                    break;
                }
                assert!(began.elapsed() < Duration::from_secs(60));
            }
            let output = child.wait_with_output().unwrap();
            assert!(!is_half_made(workshop.folder.path()), "{name}");
            if output.status.success() {
                fs::write(workshop.path("sd.img"), &before).unwrap();
                return false;
            }
            let message = String::from_utf8(output.stderr).unwrap();
            let words = format!("cannot write sd.img: ended by {name}");
            assert!(message.contains(&words), "{message}");
            assert_eq!(output.status.code(), Some(OUTPUT));
            true
        });
        assert!(was_caught, "{name} always came too late");
        assert!(
            fs::read(workshop.path("sd.img")).unwrap() == before,
            "{name}"
        );
    }
}

#[test]
fn without_room_for_it_nothing_half_made_stays() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    let mut command = Command::new("bash");
    // A limit for the length of files, in KiB, stands in for a full disk.
    let program = env!("CARGO_BIN_EXE_eyelet");
    command
        .args([
            "-c",
            "ulimit -f 4000; exec \"$@\"",
            "bash",
            program,
            "image",
            "--board",
            "virt",
        ])
        .args([
            "--kernel",
            "kernel.deb",
            "--program",
            "program",
            "--model",
            MODEL_NAME,
            "--output",
            "sd.img",
        ])
        .env("EYELET_HOME", env!("CARGO_MANIFEST_DIR"))
        .current_dir(workshop.folder.path());
    let run = common::run_promptly(&command);
    assert_eq!(run.code, OUTPUT, "{}", run.stderr);
    assert!(
        run.stderr.contains("cannot write sd.img: "),
        "{}",
        run.stderr
    );
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    assert!(!is_half_made(workshop.folder.path()));
    assert!(!workshop.path("sd.img").exists());
}
