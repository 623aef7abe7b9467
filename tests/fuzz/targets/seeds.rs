//! The first inputs of a target: what the repository ships, and small disks and pictures made here.

use super::memory_disk::{MemoryDisk, table, volume};
use eyelet::slot::Slot;
use eyelet::update::{Chooser, Label, System, label::Contents};
use image::{DynamicImage, ImageFormat, RgbImage};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

const KIB: usize = 1 << 10;

/// The seeds of a target.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    let mut seeds = whole(target);
    // The targets put zeros behind their disks.
    if matches!(target, "card" | "fat_data" | "stick" | "update") {
        for seed in &mut seeds {
            let used = seed.iter().rposition(|&byte| byte != 0);
            seed.truncate(used.map_or(0, |at| at + 1));
        }
    }
    seeds
}

fn whole(target: &str) -> Vec<Vec<u8>> {
    match target {
        "command_line" => vec![
            b"console=ttyAMA0 eyelet.slot=b eyelet.test_hang=after:50 eyelet.log=debug eyelet.trial=1".to_vec(),
            b"eyelet.loader=u-boot eyelet.loader=pi eyelet.disk=mmc eyelet.disk=usb eyelet.slot=a eyelet.trial=0\n".to_vec(),
        ],
        "labels" => vec![
            b"cat\ndog\nbird\n".to_vec(),
            b"\xef\xbb\xbfn01440764 tench, Tinca tinca\r\nn01443537 goldfish\nx\n\n".to_vec(),
        ],
        "board_toml" => shipped("boards", "toml"),
        "model_toml" => ["models/efficientnet-lite0", "models/mobilenet-v2"]
            .iter()
            .flat_map(|folder| shipped(folder, "toml"))
            .collect(),
        "beside" => [
            r#"{"do_normalize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "rescale_factor": 0.0039, "size": {"height": 224, "width": 224}}"#,
            r#"{"crop_pct": 0.875, "do_rescale": true, "size": {"shortest_edge": 224}, "id2label": {"1": "b", "0": "a", "2": "c"}}"#,
            r#"{"pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "crop_pct": 0.875, "input_size": [3, 224, 224]}}"#,
            r#"{0: 'cat', 1: "dog's", 2: 'Stra\u00dfe'}"#,
            r#"['a, b', "c", 'd\n']"#,
            "[160, 224]",
            "a\nb\nc\n",
        ]
        .map(|text| text.as_bytes().to_vec())
        .into(),
        // The collection is of TrueType outlines. (`endless.ttf` takes all the time that a font may take.)
        "font" => ["otf", "ttc"]
            .iter()
            .flat_map(|ending| shipped("tests/fixtures/fonts", ending))
            .collect(),
        "manifest" => vec![manifest("virt", '2').into_bytes()],
        "signature" => ["minisig", "pub"]
            .iter()
            .flat_map(|ending| shipped("tests/fixtures/minisign", ending))
            .collect(),
        "update" => ['2', '1']
            .map(|digit| {
                let slot_b = [b'b'; 1024];
                let begin = image(digit, [4, 5, 17, 29, 30], [&[0; 512], &slot_b]);
                [&begin[..], &slot_b].concat()
            })
            .into(),
        "stick" => vec![
            volume(24 * KIB, &[("eyelet-update.img", &whole_image())]),
            volume(16 * KIB, &[("other.img", b"image")]),
            whole_image(),
        ],
        "card" => vec![card()],
        "fat_data" => vec![
            volume(96 * KIB, &[]),
            volume(48 * KIB, &[("reboot.txt", b"power\n"), ("last.log", &[b'l'; 2000])]),
            volume(24 * KIB, &[("tried.txt", "ab".repeat(32).as_bytes())]),
        ],
        "pipe" => streams(),
        "mjpeg" => vec![picture(16, ImageFormat::Jpeg), picture(33, ImageFormat::Jpeg)],
        "still" => [
            ImageFormat::Bmp,
            ImageFormat::Gif,
            ImageFormat::Jpeg,
            ImageFormat::Png,
            ImageFormat::Tiff,
            ImageFormat::WebP,
        ]
        .map(|format| picture(9, format))
        .into(),
        "onnx" => shipped("tests/fixtures", "onnx"),
        _ => Vec::new(),
    }
}

/// Files of the repository.
fn shipped(folder: &str, ending: &str) -> Vec<Vec<u8>> {
    // This file is a part of two crates.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .find(|folder| folder.join("tests/fuzz").is_dir());
    let folder = root.unwrap().join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == ending))
        .collect();
    files.sort();
    files.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn manifest(machine: &str, digit: char) -> String {
    format!(
        r#"{{"id": "{}", "version": "{digit}", "machine": "{machine}", "kernel": "6.12-v8"}}"#,
        digit.to_string().repeat(64)
    )
}

/// What comes before the partitions of an image for the card of the target `update`, with partitions at these KiB, and what is
/// in its slots.
fn image(digit: char, at_kib: [u64; 5], slots: [&[u8]; 2]) -> Vec<u8> {
    let contents = slots.map(|bytes| Contents {
        bytes: bytes.len() as u64,
        sha256: Sha256::digest(bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    });
    let label = Label {
        id: digit.to_string().repeat(64),
        version: "2".to_owned(),
        machine: "virt".to_owned(),
        slots: contents,
        public_key: None,
    };
    let at = |number: usize| at_kib[number] << 10..at_kib[number + 1] << 10;
    let begin = table([at(0), at(1), at(2), at(3)]);
    [&begin[..], &label.sectors()].concat()
}

/// A short image as it is on a stick.
fn whole_image() -> Vec<u8> {
    let (slot_a, slot_b) = ([b'a'; 1024], [b'b'; 1024]);
    let begin = image('2', [4, 5, 6, 7, 8], [&slot_a, &slot_b]);
    [&begin[..], &[0; 1024], &slot_a, &slot_b, &[0; 1024]].concat()
}

/// A card for the target `card`.
fn card() -> Vec<u8> {
    let boot = volume(
        16 * KIB,
        &[
            ("autoboot.txt", Chooser::PiFirmware.text(Slot::A).as_bytes()),
            ("eyelet.env", Chooser::UBoot.text(Slot::B).as_bytes()),
        ],
    );
    let slot = volume(
        16 * KIB,
        &[("manifest.json", manifest("virt", '1').as_bytes())],
    );
    let at = |kib: u64| kib << 10..(kib + 16) << 10;
    let partitions = [at(4), at(20), at(36), at(52)];
    // The label's place is left empty: a card is asked for its slots.
    let card = [&table(partitions)[..], &[0; 3584], &boot, &slot, &slot].concat();
    let mut disk = MemoryDisk::new(&card, card.len());
    System::in_slot(&mut disk, Slot::B).expect("a seed that leads into the slots");
    card
}

fn picture(side_px: u32, format: ImageFormat) -> Vec<u8> {
    let picture = RgbImage::from_fn(side_px, side_px, |x, y| {
        image::Rgb([(x * 9) as u8, (y * 7) as u8, (x * y) as u8])
    });
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(picture)
        .write_to(&mut bytes, format)
        .unwrap();
    bytes.into_inner()
}

fn streams() -> Vec<Vec<u8>> {
    let jpegs = [
        picture(8, ImageFormat::Jpeg),
        picture(16, ImageFormat::Jpeg),
    ];
    let mut all = vec![
        jpegs.concat(),
        [&jpegs[0][..], b"noise", &jpegs[1][..]].concat(),
    ];
    for (colour, bytes) in [("420jpeg", 6), ("422", 8), ("444", 12), ("mono", 4)] {
        for range in ["", " XCOLORRANGE=FULL", " XCOLORRANGE=LIMITED"] {
            let mut stream =
                format!("YUV4MPEG2 W2 H2 F30:1 Ip A1:1 C{colour}{range}\n").into_bytes();
            for frame in 0..2 {
                stream.extend(b"FRAME\n");
                stream.extend((0..bytes).map(|at| at * 20 + frame));
            }
            all.push(stream);
        }
    }
    all
}
