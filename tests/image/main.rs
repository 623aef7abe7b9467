//! `eyelet image` from the outside, with made-up packages, so that nothing is downloaded: what is on the disk, that the same
//! inputs give the same bytes, and what is said when something is missing. A developer's machine makes images: under emulation
//! the tests would take minutes and tell nothing more.

#![allow(clippy::unwrap_used)]

mod cards;
#[path = "../common/mod.rs"]
mod common;
mod kernels;
mod named;
mod packages;
mod pictures;
mod pins;
mod signed;
mod update;
mod volumes;

use eyelet::image::fat::{self, Files};
use eyelet::image::mbr;
use flate2::read::GzDecoder;
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;
/// The shipped model, which needs no download.
const MODEL: &str = "efficientnet-lite0";

/// A folder with the made-up packages and a program that looks like a board's.
struct Workshop {
    folder: TempDir,
}

impl Workshop {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, bytes: Vec<u8>| fs::write(folder.path().join(name), bytes).unwrap();
        write("kernel.deb", packages::kernel());
        write("firmware.deb", packages::firmware());
        write("program", packages::program());
        write("busybox.deb", packages::busybox());
        Self { folder }
    }

    /// A kernel in parts, as arguments.
    fn kernel_in_parts(&self) -> [&'static str; 6] {
        let names = ["binary.deb", "modules.deb", "base.deb"];
        for (name, part) in names.into_iter().zip(packages::kernel_in_parts()) {
            fs::write(self.path(name), part).unwrap();
        }
        let [binary, modules, base] = names;
        ["--kernel", binary, "--kernel", modules, "--kernel", base]
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `eyelet image` with the made-up inputs, which `more` may replace.
    fn image(&self, more: &[&str]) -> Output {
        let mut arguments = vec!["image".to_owned()];
        for (name, file) in [
            ("--kernel", "kernel.deb"),
            ("--firmware", "firmware.deb"),
            ("--program", "program"),
            ("--model", MODEL),
        ] {
            if !more.contains(&name) {
                let value = match name {
                    "--model" => file.to_owned(),
                    _ => self.path(file).display().to_string(),
                };
                arguments.extend([name.to_owned(), value]);
            }
        }
        arguments.extend(more.iter().map(|&word| word.to_owned()));
        common::eyelet(self.folder.path())
            .args(&arguments)
            .output()
            .unwrap()
    }

    /// Runs it, and gives the disk that it made.
    fn disk(&self, more: &[&str]) -> Disk {
        let output = self.image(&[more, &["--output", "sd.img"]].concat());
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Disk::read(&self.path("sd.img"))
    }

    /// Runs it, and gives the exit code and the one line that says why it failed.
    fn complaint(&self, more: &[&str]) -> (i32, String) {
        let output = self.image(&[more, &["--output", "none.img"]].concat());
        assert!(!self.path("none.img").exists(), "{more:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        (output.status.code().unwrap(), text)
    }
}

/// A disk, taken apart.
struct Disk {
    bytes: Vec<u8>,
    /// Label and files of each partition.
    partitions: Vec<(String, Files)>,
}

impl Disk {
    fn read(path: &Path) -> Self {
        let mut bytes = fs::read(path).unwrap();
        let table = mbr::partitions(&bytes).unwrap();
        let partitions = table
            .iter()
            .map(|partition| {
                let range = partition.bytes.start as usize..partition.bytes.end as usize;
                fat::read(&mut bytes[range]).unwrap()
            })
            .collect();
        Self { bytes, partitions }
    }

    fn file(&self, partition: usize, path: &str) -> &[u8] {
        let files = &self.partitions[partition - 1].1;
        files.get(path).unwrap_or_else(|| {
            panic!("no {path} on {partition}: {:?}", files.keys());
        })
    }

    fn text(&self, partition: usize, path: &str) -> &str {
        std::str::from_utf8(self.file(partition, path)).unwrap()
    }

    fn names(&self, partition: usize) -> Vec<&str> {
        let files = &self.partitions[partition - 1].1;
        files.keys().map(String::as_str).collect()
    }

    /// The initramfs of slot A: paths, contents and modes, in order.
    fn initramfs(&self) -> Vec<(String, Vec<u8>, usize)> {
        let mut bytes = Vec::new();
        GzDecoder::new(self.file(2, "initrd.gz"))
            .read_to_end(&mut bytes)
            .unwrap();
        let mut entries = Vec::new();
        let mut rest = &bytes[..];
        loop {
            assert_eq!(rest[..6], *b"070701");
            let field = |index: usize| {
                let digits = std::str::from_utf8(&rest[6 + 8 * index..14 + 8 * index]).unwrap();
                usize::from_str_radix(digits, 16).unwrap()
            };
            let (mode, size, name_size) = (field(1), field(6), field(11));
            let name = std::str::from_utf8(&rest[110..109 + name_size]).unwrap();
            if name == "TRAILER!!!" {
                return entries;
            }
            let start = (110 + name_size).next_multiple_of(4);
            entries.push((name.to_owned(), rest[start..start + size].to_vec(), mode));
            rest = &rest[(start + size).next_multiple_of(4)..];
        }
    }

    fn in_initramfs(&self, path: &str) -> Vec<u8> {
        let found = self.initramfs().into_iter().find(|(name, ..)| name == path);
        found
            .unwrap_or_else(|| panic!("no {path} in the initramfs"))
            .1
    }
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    let board = ["--board", "raspberry-pi-3"];
    let first = workshop.disk(&board);
    // Another day, another folder, packages under other names.
    let other = Workshop::new();
    for name in ["kernel", "firmware"] {
        let from = other.path(&format!("{name}.deb"));
        fs::rename(from, other.path(&format!("another-{name}.deb"))).unwrap();
    }
    let second = other.disk(
        &[
            &board[..],
            &[
                "--kernel",
                "another-kernel.deb",
                "--firmware",
                "another-firmware.deb",
            ],
        ]
        .concat(),
    );
    assert!(first.bytes == second.bytes);
    let third = workshop.disk(&[&board[..], &["--version", "2"]].concat());
    assert!(first.bytes != third.bytes);
}

#[test]
fn a_pi_has_two_slots_with_everything_that_its_firmware_asks_for() {
    if common::emulated() {
        return;
    }
    let disk = Workshop::new().disk(&["--board", "raspberry-pi-3", "--version", "7.1"]);
    assert_eq!(disk.bytes.len() as u64, 512 * MIB);
    let labels: Vec<_> = disk.partitions.iter().map(|part| part.0.as_str()).collect();
    assert_eq!(
        labels,
        ["EYELET-BOOT", "EYELET-A", "EYELET-B", "EYELET-DATA"]
    );
    assert_eq!(
        disk.names(1),
        ["autoboot.txt", "boot.scr", "bootcode.bin", "eyelet.env"]
    );
    let slot = [
        "LICENCE.firmware",
        "bcm2837-rpi-3-b.dtb",
        "cmdline.txt",
        "config.txt",
        "extlinux.conf",
        "fixup.dat",
        "initrd.gz",
        "manifest.json",
        "start.elf",
        "vmlinuz",
    ];
    assert_eq!(disk.names(2), slot);
    assert_eq!(disk.names(3), slot);
    assert!(disk.names(4).is_empty());
    for (partition, letter) in [(2, 'a'), (3, 'b')] {
        let line = disk.text(partition, "cmdline.txt");
        assert!(line.contains(&format!(" eyelet.slot={letter}")), "{line}");
        assert_eq!(line.lines().count(), 1);
        let line = line.strip_suffix(" eyelet.loader=pi\n").unwrap();
        let conf = disk.text(partition, "extlinux.conf");
        assert!(
            conf.contains(&format!("{line} eyelet.loader=u-boot ")),
            "{conf}"
        );
    }
    let config = disk.text(2, "config.txt");
    for line in [
        "arm_64bit=1",
        "kernel=vmlinuz",
        "initramfs initrd.gz followkernel",
    ] {
        assert!(config.lines().any(|there| there == line), "{config}");
    }

    // The bill of materials: every file of the slot but itself and those that name the slot, with its digest.
    let manifest: Value = serde_json::from_str(disk.text(2, "manifest.json")).unwrap();
    assert_eq!(manifest["version"], "7.1");
    assert_eq!(manifest["packages"][0]["version"], "6.1.9-1");
    assert_eq!(manifest["packages"][1]["name"], "raspi-firmware");
    let listed: Vec<_> = manifest["files"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|file| file["place"] == "slot")
        .map(|file| {
            let contents = disk.file(2, file["path"].as_str().unwrap());
            assert_eq!(file["bytes"], contents.len(), "{file}");
            assert_eq!(file["sha256"], packages::sha256(contents), "{file}");
            file["path"].as_str().unwrap()
        })
        .collect();
    let named_elsewhere = ["cmdline.txt", "extlinux.conf", "manifest.json"];
    let expected: Vec<_> = slot
        .into_iter()
        .filter(|n| !named_elsewhere.contains(n))
        .collect();
    assert_eq!(listed, expected);
}

#[test]
fn the_initramfs_has_the_program_the_board_the_model_and_modules_in_load_order() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    let board = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/boards/virt.toml"))
        .unwrap()
        .replace(
            "machine = \"virt\"",
            "machine = \"virt\"\nmodules = [\"vivid n_devs=1\"]\nwithout_modules = [\"virtio-blk\"]\nkernel_arguments = \"quiet\"",
        );
    fs::write(workshop.path("mine.toml"), board).unwrap();
    let disk = workshop.disk(&["--board-file", "mine.toml"]);
    let line = disk.text(2, "cmdline.txt");
    assert!(line.ends_with(" quiet eyelet.loader=pi\n"), "{line}");
    assert_eq!(disk.in_initramfs("init"), packages::program());
    let board = String::from_utf8(disk.in_initramfs("etc/eyelet/board.toml")).unwrap();
    assert!(
        board.contains("\nmodel = \"efficientnet-lite0\"\n"),
        "{board}"
    );
    assert!(
        board.contains("vivid n_devs=1"),
        "the rest is as it was: {board}"
    );
    let model = disk.in_initramfs("models/efficientnet-lite0/efficientnet-lite0-int8.onnx");
    assert!(model.len() > 1 << 20);

    let list = String::from_utf8(disk.in_initramfs("etc/eyelet/modules")).unwrap();
    let lines: Vec<_> = list.lines().filter(|line| !line.starts_with('#')).collect();
    // What uvcvideo needs comes before it, what is built in or not there is left out, options stand behind the path.
    let expected = ["virtio_pci", "videodev", "uvcvideo", "vivid"].map(|name| {
        let options = if name == "vivid" { " n_devs=1" } else { "" };
        format!("/lib/modules/6.1.9-arm64/{name}.ko{options}")
    });
    assert_eq!(lines, expected);
    for line in lines {
        let path = line.split(' ').next().unwrap().trim_start_matches('/');
        assert!(disk.in_initramfs(path).starts_with(b"\x7fELF"), "{path}");
    }
}

#[test]
fn a_font_of_the_board_file_comes_along_and_is_named_where_it_is() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    let font = fs::read(common::fixture("fonts/chinese.ttf")).unwrap();
    fs::create_dir(workshop.path("fonts")).unwrap();
    fs::write(workshop.path("fonts/a b.ttf"), &font).unwrap();
    let virt = include_str!("../../boards/virt.toml");
    // Relative to the board file, and whole.
    let whole = workshop.path("fonts/a b.ttf").display().to_string();
    for path in ["./fonts/a b.ttf", &whole] {
        let board = format!("{virt}\n[display]\nfont = \"{path}\" # mine\n");
        fs::write(workshop.path("mine.toml"), board).unwrap();
        let disk = workshop.disk(&["--board-file", "mine.toml"]);
        assert!(disk.in_initramfs("etc/eyelet/font/a b.ttf") == font);
        let board = String::from_utf8(disk.in_initramfs("etc/eyelet/board.toml")).unwrap();
        assert!(
            board.ends_with("\n[display]\nfont = \"/etc/eyelet/font/a b.ttf\" # mine\n"),
            "{board}"
        );
    }
    let board = format!("{virt}\n[display]\nfont = \"mine.toml\"\n");
    fs::write(workshop.path("mine.toml"), board).unwrap();
    let refused = workshop.image(&["--board-file", "mine.toml", "--output", "no.img"]);
    let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{stderr}");
    assert!(
        stderr.contains("mine.toml is not a TrueType or OpenType font"),
        "{stderr}"
    );
}

#[test]
fn a_shell_is_there_where_the_board_file_asks_for_one_and_else_no_byte_of_it() {
    if common::emulated() {
        return;
    }
    const PACKAGE: i32 = 12;
    let workshop = Workshop::new();
    let board = ["--board", "raspberry-pi-3"];
    let plain = workshop.disk(&board);
    let busybox = ["--busybox", "busybox.deb"];
    let unasked = workshop.disk(&[&board[..], &busybox].concat());
    assert!(plain.bytes == unasked.bytes);
    let text = include_str!("../../boards/raspberry-pi-3.toml").replace(
        "machine = \"raspberry-pi-3\"",
        "machine = \"raspberry-pi-3\"\nshell = true",
    );
    fs::write(workshop.path("mine.toml"), text).unwrap();
    let mine = ["--board-file", "mine.toml"];
    let disk = workshop.disk(&[&mine[..], &busybox].concat());

    let added = |names: &[String], before: &[String]| -> Vec<String> {
        let new = names.iter().filter(|name| !before.contains(name));
        new.cloned().collect()
    };
    let paths = |disk: &Disk| -> Vec<String> {
        disk.initramfs()
            .into_iter()
            .map(|(name, ..)| name)
            .collect()
    };
    assert_eq!(added(&paths(&disk), &paths(&plain)), ["bin", "bin/busybox"]);
    let names = |disk: &Disk| -> Vec<String> {
        disk.names(2)
            .iter()
            .map(|name| (*name).to_owned())
            .collect()
    };
    assert_eq!(added(&names(&disk), &names(&plain)), ["LICENCE.busybox"]);
    let mut entries = disk.initramfs().into_iter();
    let (_, shell, mode) = entries.find(|(name, ..)| name == "bin/busybox").unwrap();
    assert_eq!(mode, 0o100_755);
    let manifest: Value = serde_json::from_str(disk.text(2, "manifest.json")).unwrap();
    let package = &manifest["packages"][2];
    assert_eq!(package["name"], "busybox-static");
    assert_eq!(package["version"], "1:1.35");
    let deb = fs::read(workshop.path("busybox.deb")).unwrap();
    assert_eq!(package["sha256"], packages::sha256(&deb));
    let files = manifest["files"].as_array().unwrap();
    let listed = files.iter().find(|file| file["path"] == "bin/busybox");
    assert_eq!(listed.unwrap()["sha256"], packages::sha256(&shell));

    fs::write(workshop.path("amd64.deb"), packages::busybox_for_amd64()).unwrap();
    for (file, why) in [
        (
            "firmware.deb",
            "has no busybox: pass the package busybox-static",
        ),
        (
            "amd64.deb",
            "it is not a 64-bit ARM program: pass the package",
        ),
    ] {
        let (code, text) = workshop.complaint(&[&mine[..], &["--busybox", file]].concat());
        assert_eq!(code, PACKAGE, "{text}");
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn the_program_must_be_an_eyelet_that_is_not_older_than_the_tool() {
    if common::emulated() {
        return;
    }
    const PACKAGE: i32 = 12;
    let workshop = Workshop::new();
    let write = |version| {
        let program = packages::program_of_version(version);
        fs::write(workshop.path("other"), program).unwrap();
    };
    let other = ["--board", "raspberry-pi-3", "--program", "other"];
    write("0.0.9");
    let (code, text) = workshop.complaint(&other);
    assert_eq!(code, PACKAGE, "{text}");
    let why = "other cannot be an image's program: it is eyelet 0.0.9, older than this tool";
    assert!(text.contains(why), "{text}");
    write("none");
    let (_, text) = workshop.complaint(&other);
    assert!(
        text.contains("does not identify itself as an eyelet"),
        "{text}"
    );
    write("999.0.0");
    let output = workshop.image(&[&other[..], &["--output", "sd.img"]].concat());
    assert!(output.status.success());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("eyelet 999.0.0, newer than this tool"),
        "{stderr}"
    );
}

#[test]
fn every_board_with_a_machine_gets_an_image_that_fsck_finds_sound() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    let parts = workshop.kernel_in_parts();
    for (board, more) in [
        ("raspberry-pi-zero-2-w", &[][..]),
        ("raspberry-pi-4", &[]),
        ("raspberry-pi-5", &parts),
        ("virt", &[]),
    ] {
        let disk = workshop.disk(&[&["--board", board], more].concat());
        let dtbs = disk
            .names(2)
            .iter()
            .filter(|name| name.ends_with(".dtb"))
            .count();
        assert_eq!(dtbs, usize::from(board != "virt"), "{board}");
        for (number, partition) in mbr::partitions(&disk.bytes).unwrap().iter().enumerate() {
            let part = workshop.path("part.img");
            let range = partition.bytes.start as usize..partition.bytes.end as usize;
            fs::write(&part, &disk.bytes[range]).unwrap();
            let Some(output) = fsck(&part) else {
                common::say_skipped("there is no fsck.fat (package dosfstools)");
                continue;
            };
            assert!(
                output.status.success(),
                "{board}, partition {}: {}",
                number + 1,
                String::from_utf8_lossy(&output.stdout)
            );
        }
    }
}

/// `fsck.fat` without mending; `None` when it is not on this machine.
fn fsck(part: &Path) -> Option<Output> {
    ["fsck.fat", "/usr/sbin/fsck.fat"]
        .into_iter()
        .find_map(|program| Command::new(program).arg("-n").arg(part).output().ok())
}

#[test]
fn the_bill_of_materials_is_json_on_standard_output() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    let arguments = ["--board", "virt", "--output", "sd.img", "--manifest"];
    let output = workshop.image(&arguments);
    let manifest: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(manifest["machine"], "virt");
    assert_eq!(manifest["kernel"], "6.1.9-arm64");
    let disk = Disk::read(&workshop.path("sd.img"));
    let inside: Value = serde_json::from_str(disk.text(3, "manifest.json")).unwrap();
    assert_eq!(manifest, inside);
}

#[test]
fn missing_inputs_are_reported_in_one_line_with_advice() {
    if common::emulated() {
        return;
    }
    const PACKAGE: i32 = 12;
    let workshop = Workshop::new();
    fs::write(workshop.path("text"), "no package").unwrap();
    fs::write(
        workshop.path("old.deb"),
        packages::kernel_without_device_trees(),
    )
    .unwrap();
    fs::write(workshop.path("zst.deb"), packages::packed_as_zst()).unwrap();
    let pi = ["--board", "raspberry-pi-3"];
    let cases: [(&[&str], i32, &str); 10] = [
        (
            &["--kernel", "text"],
            PACKAGE,
            "text cannot be used: it is not a Debian package",
        ),
        (
            &["--kernel", "gone.deb"],
            PACKAGE,
            "gone.deb cannot be used: No such file",
        ),
        (&["--kernel", "zst.deb"], PACKAGE, "repack it as .xz"),
        (
            &["--kernel", "firmware.deb"],
            PACKAGE,
            "it has no boot/vmlinuz-*",
        ),
        (
            &["--kernel", "old.deb"],
            PACKAGE,
            "has no device tree for raspberry-pi-3",
        ),
        (
            &["--firmware", "kernel.deb"],
            PACKAGE,
            "has no bootcode.bin, start.elf, fixup.dat, which an image for raspberry-pi-3 needs with",
        ),
        (
            &["--program", "/bin/sh"],
            PACKAGE,
            "not a 64-bit ARM program (`cargo static-aarch64` in this tool",
        ),
        (
            &["--model", "mobilenet-v3"],
            4,
            "did you mean `mobilenet-v2`?",
        ),
        (&["--output", "/none/sd.img"], 11, "/none/sd.img"),
        (
            &["--board", "host"],
            3,
            "names no `machine` under [firmware]",
        ),
    ];
    for (more, code, message) in cases {
        let board: &[&str] = if more[0] == "--board" { &[] } else { &pi };
        let output = workshop.image(
            &[
                board,
                more,
                if more[0] == "--output" {
                    &[]
                } else {
                    &["--output", "none.img"]
                },
            ]
            .concat(),
        );
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(message), "{more:?}: {text}");
        assert_eq!(output.status.code(), Some(code), "{more:?}: {text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!workshop.path("none.img").exists(), "{more:?}");
    }
    // A misspelt module of a board file.
    let board = include_str!("../../boards/virt.toml").replace(
        "machine = \"virt\"",
        "machine = \"virt\"\nmodules = [\"vivvid\"]",
    );
    fs::write(workshop.path("mine.toml"), board).unwrap();
    let (code, text) = workshop.complaint(&["--board-file", "mine.toml"]);
    assert_eq!(code, PACKAGE);
    assert!(
        text.contains("no module `vivvid`, did you mean `vivid`?"),
        "{text}"
    );
    let mut left = common::names_in(workshop.folder.path());
    left.retain(|name| name.starts_with(".eyelet"));
    assert!(left.is_empty(), "{left:?}");
}
