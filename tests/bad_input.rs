//! What a user, a cable or a file can get wrong: one clear line, an exit code of its own, no panic, no hang.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;

use common::{Run, eyelet, fixture, run_eyelet, run_promptly, start_eyelet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

const PATTERN: &str = "[camera.pattern]\nwidth_px = 320\nheight_px = 240\nrate_fps = 0";
const COMMAND_LINE: i32 = 2;
const BOARD: i32 = 3;
const MODEL: i32 = 4;
const CAMERA: i32 = 5;
const DISPLAY: i32 = 6;
const PICTURE: i32 = 8;
const OUTPUT: i32 = 11;

fn assert_refused(run: &Run, code: i32, says: &[&str]) {
    assert_eq!(
        run.code, code,
        "stdout: {}\nstderr: {}",
        run.stdout, run.stderr
    );
    // After the log's lines; several faults of one file have a line each.
    let mut lines = run.stderr.lines().filter(|line| !line.starts_with('['));
    let first = lines.next().unwrap_or_default();
    assert!(first.starts_with("eyelet: "), "{}", run.stderr);
    assert!(!run.stderr.contains("panic"), "{}", run.stderr);
    for word in says {
        assert!(
            run.stderr.contains(word),
            "'{word}' is not in: {}",
            run.stderr
        );
    }
}

fn small_photo(folder: &Path) -> PathBuf {
    let file = folder.join("photo.png");
    image::RgbImage::from_fn(60, 40, |x, y| image::Rgb([x as u8 * 4, y as u8 * 6, 90]))
        .save(&file)
        .unwrap();
    file
}

/// Classifies with a small network; `picture` is the only argument that varies.
fn classify(folder: &Path, picture: &Path) -> Run {
    let model = fixture("opset13.onnx");
    run_eyelet(
        folder,
        &[
            "classify".as_ref(),
            "--model".as_ref(),
            model.as_os_str(),
            picture.as_os_str(),
        ],
    )
}

fn run_board(folder: &Path, board: &str) -> Run {
    let file = folder.join("board.toml");
    std::fs::write(&file, board).unwrap();
    let mut command = eyelet(folder);
    command.args(["run", "--frames", "5", "--board-file"]);
    run_promptly(command.arg(file))
}

/// A board with a small network, a drawn picture and no display; `extra` comes in front of the tables.
fn board(extra: &str, camera: &str, display: &str) -> String {
    format!(
        "model = {:?}\npool_mib = 32\n{extra}\n\
         description = \"test\"\ntier = \"untested\"\n{camera}\n{display}\n",
        fixture("opset13.onnx").display().to_string()
    )
}

#[test]
fn models() {
    let folder = tempfile::tempdir().unwrap();
    let photo = small_photo(folder.path());
    let with = |model: &str| {
        run_eyelet(
            folder.path(),
            &[
                "classify".as_ref(),
                "--model".as_ref(),
                model.as_ref(),
                photo.as_os_str(),
            ],
        )
    };
    let shown = |name: &str| fixture(name).display().to_string();
    assert_refused(&with("./absent.onnx"), MODEL, &["absent.onnx"]);
    assert_refused(
        &with("mobilenet-v3"),
        MODEL,
        &["mobilenet-v3", "mobilenet-v2"],
    );
    assert_refused(&with(&shown("bad-truncated.onnx")), MODEL, &["cut short"]);
    assert_refused(&with(&shown("bad-text.onnx")), MODEL, &["not an ONNX file"]);
    assert_refused(&with(&shown("bad-empty.onnx")), MODEL, &["empty"]);
    assert_refused(&with(&shown("bad-two-inputs.onnx")), MODEL, &["2 inputs"]);
    assert_refused(&with(&shown("bad-four-channels.onnx")), MODEL, &["RGB"]);
    assert_refused(&with(&shown("bad-detector.onnx")), MODEL, &["1xN"]);
    let names_folder = with(folder.path().to_str().unwrap());
    assert_refused(&names_folder, MODEL, &["it is not a file"]);
}

#[test]
fn labels() {
    let folder = tempfile::tempdir().unwrap();
    let photo = small_photo(folder.path());
    let model = fixture("opset13.onnx");
    let with = |labels: &Path| {
        let words = [
            "classify".as_ref(),
            "--model".as_ref(),
            model.as_os_str(),
            "--labels".as_ref(),
            labels.as_os_str(),
        ];
        run_eyelet(folder.path(), &[&words[..], &[photo.as_os_str()]].concat())
    };
    let three = folder.path().join("three.txt");
    std::fs::write(&three, "a\nb\nc\n").unwrap();
    assert_refused(&with(&three), MODEL, &["three.txt", "3", "10"]);
    assert_refused(&with(&folder.path().join("none.txt")), MODEL, &["none.txt"]);
}

#[test]
fn a_model_that_is_not_the_one_of_its_description() {
    let folder = tempfile::tempdir().unwrap();
    let photo = small_photo(folder.path());
    let home = folder.path().join("models/efficientnet-lite0");
    std::fs::create_dir_all(&home).unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    for entry in std::fs::read_dir(shipped.join("efficientnet-lite0")).unwrap() {
        let entry = entry.unwrap();
        if entry.path().extension().is_none_or(|e| e != "py") && entry.path().is_file() {
            std::fs::copy(entry.path(), home.join(entry.file_name())).unwrap();
        }
    }
    let onnx = home.join("efficientnet-lite0-int8.onnx");
    let mut bytes = std::fs::read(&onnx).unwrap();
    let with = || {
        let mut command = eyelet(folder.path());
        command.env("EYELET_HOME", folder.path());
        run_promptly(command.arg("classify").arg(&photo))
    };
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&onnx, &bytes).unwrap();
    assert_refused(&with(), MODEL, &["sha256"]);
    std::fs::write(&onnx, &bytes[..middle]).unwrap();
    assert_refused(&with(), MODEL, &["bytes"]);
}

#[test]
fn board_files() {
    let folder = tempfile::tempdir().unwrap();
    let (camera, display) = (PATTERN, "[display.none]");
    let good = run_board(folder.path(), &board("threads = 1", camera, display));
    assert_eq!(good.code, 0, "{}", good.stderr);
    let with = |extra: &str| run_board(folder.path(), &board(extra, camera, display));
    assert_refused(
        &with("thread = 2"),
        BOARD,
        &["board.toml:3", "thread", "threads"],
    );
    assert_refused(&with("threads = 0"), BOARD, &["threads"]);
    assert_refused(&with("threads = \"two\""), BOARD, &["threads"]);
    for threads in ["65", "1000", "20000", "-1", "99999999999999999999"] {
        let run = with(&format!("threads = {threads}"));
        assert_refused(&run, BOARD, &["a whole number from 1 to 64", threads]);
    }
    let many: String = (0..300_000).map(|n| format!("k{n} = 1\n")).collect();
    assert_refused(&with(&many), BOARD, &["longer than 65536 bytes"]);
    // As many as fit in a file that is read.
    let fewer: String = (0..5000).map(|n| format!("k{n} = 1\n")).collect();
    assert_refused(&with(&fewer), BOARD, &["k0: unknown key", "more faults"]);
    let slow = "[camera.pipe]\ntimeout_ms = 15000";
    let slow = run_board(folder.path(), &board("threads = 1", slow, display));
    let says = ["timeout_ms is 15000, needs less than policy.watchdog_s, which is 15"];
    assert_refused(&slow, BOARD, &says);
    assert_refused(
        &run_board(folder.path(), "model = "),
        BOARD,
        &["board.toml:1"],
    );
    let kind = run_board(
        folder.path(),
        &board("threads = 1", "[camera.patern]", display),
    );
    assert_refused(&kind, BOARD, &["patern", "pattern"]);
    assert_refused(
        &run_eyelet(folder.path(), &["run", "--board", "raspbery-pi-4"]),
        BOARD,
        &["raspberry-pi-4"],
    );
    assert_refused(
        &run_eyelet(folder.path(), &["run", "--board-file", "no.toml"]),
        BOARD,
        &["no.toml"],
    );
    assert_refused(&run_eyelet(folder.path(), &["rum"]), COMMAND_LINE, &["run"]);
}

#[test]
fn cameras() {
    let folder = tempfile::tempdir().unwrap();
    let with = |camera: &str| {
        run_board(
            folder.path(),
            &board("threads = 1", camera, "[display.none]"),
        )
    };
    assert_refused(
        &with("[camera.v4l2]\nwidth_px = 640\nheight_px = 480\ndevice = \"/dev/video99\""),
        CAMERA,
        &["/dev/video99"],
    );
    assert_refused(
        &with("[camera.v4l2]\nwidth_px = 640\nheight_px = 480\ndevice = \"/dev/null\""),
        CAMERA,
        &["/dev/null"],
    );
    assert_refused(
        &with("[camera.still]\nfiles = [\"nowhere\"]"),
        CAMERA,
        &["nowhere"],
    );
    std::fs::create_dir(folder.path().join("none")).unwrap();
    assert_refused(
        &with("[camera.still]\nfiles = [\"none\"]"),
        CAMERA,
        &["none"],
    );
}

#[test]
fn displays() {
    let folder = tempfile::tempdir().unwrap();
    let with = |display: &str| run_board(folder.path(), &board("threads = 1", PATTERN, display));
    // Without the panel the board goes on with the serial log, unless the board file says that it must be there.
    let absent = "[display.framebuffer]\ndriver = \"no such driver\"";
    let run = with(absent);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stdout.contains("failed; the serial log continues"),
        "{}",
        run.stdout
    );
    assert_refused(
        &with(&format!("{absent}\nrequired = true")),
        DISPLAY,
        &["framebuffer"],
    );
}

#[test]
fn a_display_folder_that_cannot_be_made_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "not a folder").unwrap();
    let display = "[display.png]\nfolder = \"file/x\"\nwidth_px = 320\nheight_px = 240";
    let run = run_board(folder.path(), &board("threads = 1", PATTERN, display));
    let made = format!("cannot make the folder {}/file/x", folder.path().display());
    assert_refused(&run, DISPLAY, &[&made, "set display.png.folder"]);
}

/// A limit for the length of files stands in for a full disk: each write fails.
#[test]
fn a_full_disk_does_not_stop_the_board() {
    let folder = tempfile::tempdir().unwrap();
    let shown = folder.path().join("shown");
    let display = "[display.png]\nfolder = \"shown\"\nwidth_px = 320\nheight_px = 240";
    let file = folder.path().join("board.toml");
    std::fs::write(&file, board("threads = 1", PATTERN, display)).unwrap();
    let program = eyelet(folder.path());
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""])
        .arg(program.get_program())
        .args(program.get_args())
        .args(["run", "--frames", "5", "--board-file"])
        .arg(&file)
        .current_dir(folder.path())
        .env("EYELET_HOME", env!("CARGO_MANIFEST_DIR"));
    let run = run_promptly(&limited);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    let says = format!(
        "failed; the serial log continues: cannot write {}/001.png: File too large (os error 27); check free space",
        shown.display()
    );
    assert!(run.stdout.contains(&says), "{}", run.stdout);
    assert!(run.stdout.contains("5 frames"), "{}", run.stdout);
    // Nothing half written stays.
    assert_eq!(std::fs::read_dir(&shown).unwrap().count(), 0);
}

#[test]
fn pictures() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let good = small_photo(folder.path());
    std::fs::write(at("empty.png"), "").unwrap();
    std::fs::write(at("text.jpg"), "not a picture").unwrap();
    let bytes = std::fs::read(&good).unwrap();
    std::fs::write(at("cut.png"), &bytes[..bytes.len() / 2]).unwrap();
    // A header that promises 20,000 x 20,000 pixels: 1.2 GB that must never be asked for.
    let mut huge = bytes.clone();
    huge[16..20].copy_from_slice(&20_000u32.to_be_bytes());
    huge[20..24].copy_from_slice(&20_000u32.to_be_bytes());
    let crc = crc32(&huge[12..29]);
    huge[29..33].copy_from_slice(&crc.to_be_bytes());
    std::fs::write(at("huge.png"), huge).unwrap();
    // JPEGs that are cut, and have an end marker all the same.
    for name in ["progressive.jpg", "halved-chroma.jpg"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        assert_eq!(classify(folder.path(), &fixture(name)).code, 0, "{name}");
        for percent in [30, 60, 90, 99] {
            let cut = [&whole[..whole.len() * percent / 100], &[0xff, 0xd9]].concat();
            std::fs::write(at(name), cut).unwrap();
            assert_refused(
                &classify(folder.path(), &at(name)),
                PICTURE,
                &[name, "jpg data is "],
            );
        }
    }
    for name in ["absent.png", "empty.png", "text.jpg", "cut.png", "huge.png"] {
        assert_refused(&classify(folder.path(), &at(name)), PICTURE, &[name]);
    }
    image::RgbImage::from_pixel(1, 1, image::Rgb([9, 9, 9]))
        .save(at("dot.png"))
        .unwrap();
    image::ImageBuffer::from_pixel(50, 50, image::Luma([40_000u16]))
        .save(at("deep.png"))
        .unwrap();
    for name in ["dot.png", "deep.png"] {
        let run = classify(folder.path(), &at(name));
        assert_eq!(run.code, 0, "{name}: {}", run.stderr);
    }
}

/// The checksum of a PNG chunk (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[test]
fn one_bad_picture_does_not_hide_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let good = small_photo(folder.path());
    let model = fixture("opset13.onnx");
    let run = run_eyelet(
        folder.path(),
        &[
            "classify".as_ref(),
            "--json".as_ref(),
            "--model".as_ref(),
            model.as_os_str(),
            "no.png".as_ref(),
            good.as_os_str(),
        ],
    );
    assert_refused(&run, PICTURE, &["1 of 2"]);
    let lines = run.json_lines();
    assert!(
        lines[0]["error"].as_str().unwrap().contains("no.png"),
        "{}",
        lines[0]
    );
    assert_eq!(lines[0]["image"], "no.png");
    assert_eq!(lines[1]["top"].as_array().unwrap().len(), 5);
    for stage in ["decode", "preprocess", "infer"] {
        assert!(lines[1]["stage_ms"][stage].is_number(), "{stage}");
    }
}

#[test]
fn a_reader_that_goes_away() {
    let folder = tempfile::tempdir().unwrap();
    let photo = small_photo(folder.path());
    let model = fixture("opset13.onnx");
    let mut words = vec!["classify".as_ref(), "--model".as_ref(), model.as_os_str()];
    words.extend([photo.as_os_str(); 2000]);
    let mut child = start_eyelet(folder.path(), &words);
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    reader.read_line(&mut String::new()).unwrap();
    drop(reader);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(OUTPUT), "{stderr}");
}
