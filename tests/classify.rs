//! `eyelet classify`: what may be named, in which order results come, and what they look like.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;

use common::{Run, eyelet, fixture, run_eyelet_with_input, send_signal};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const COMMAND_LINE: i32 = 2;
const PICTURE: i32 = 8;
const OUTPUT: i32 = 11;

fn save(path: &Path, side_px: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::RgbImage::from_fn(side_px, side_px, |x, y| image::Rgb([x as u8, y as u8, 90]))
        .save(path)
        .unwrap();
}

fn classify(folder: &Path, words: &[&str], input: Option<&Path>) -> Run {
    let model = fixture("opset13.onnx").display().to_string();
    let words = [&["classify", "--model", &model], words].concat();
    let input = input.map(|path| File::open(path).unwrap());
    run_eyelet_with_input(folder, &words, input)
}

#[test]
fn folders_patterns_lists_and_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in [
        "in/b.png",
        "in/a.jpg",
        "in/deep/c.png",
        "in/.hidden.png",
        "x 1.png",
    ] {
        save(&at(name), 40);
    }
    std::fs::create_dir(at("empty")).unwrap();
    std::fs::write(at("names"), "in/b.png\nin/deep\n").unwrap();
    let png = &at("in/b.png");
    let all = ["in/a.jpg", "in/b.png", "in/deep/c.png"];
    for (words, input, code, images, says) in [
        (&["in"][..], None, 0, &all[..], ""),
        (
            &["in/*.png", "x 1.png"],
            None,
            0,
            &["in/b.png", "x 1.png"],
            "",
        ),
        (
            &["in/**/*.png"],
            None,
            0,
            &["in/b.png", "in/deep/c.png"],
            "",
        ),
        (
            &["--files-from", "names"],
            None,
            0,
            &["in/b.png", "in/deep/c.png"],
            "",
        ),
        (
            &["--files-from", "-", "x 1.png"],
            Some(at("names")),
            0,
            &["x 1.png", "in/b.png", "in/deep/c.png"],
            "",
        ),
        (&["-"], Some(png.clone()), 0, &["-"], ""),
        (
            &["x 1.png", "-"],
            Some(png.clone()),
            0,
            &["x 1.png", "-"],
            "",
        ),
        (
            &["-"],
            None,
            PICTURE,
            &["-"],
            "on standard input: it is empty",
        ),
        (&["-"], Some(at("names")), PICTURE, &["-"], "not a BMP"),
        (
            &["-", "-"],
            Some(png.clone()),
            PICTURE,
            &["-", "-"],
            "read once",
        ),
        (
            &["empty"],
            None,
            PICTURE,
            &["empty"],
            "the folder empty has no pictures",
        ),
        (
            &["empty", "in"],
            None,
            PICTURE,
            &["empty", "in/a.jpg", "in/b.png", "in/deep/c.png"],
            "no pictures",
        ),
        (
            &["*.tif", "x 1.png"],
            None,
            PICTURE,
            &["*.tif", "x 1.png"],
            "none matches it",
        ),
        (&["gone.png"], None, PICTURE, &["gone.png"], "No such file"),
    ] {
        let run = classify(
            folder.path(),
            &[&["--json"], words].concat(),
            input.as_deref(),
        );
        assert_eq!(run.code, code, "{words:?}: {}", run.stderr);
        let lines = run.json_lines();
        let found: Vec<&str> = lines
            .iter()
            .map(|line| line["image"].as_str().unwrap())
            .collect();
        assert_eq!(found, images, "{words:?}");
        assert!(run.stdout.contains(says), "{words:?}: {}", run.stdout);
        let unread = lines
            .iter()
            .filter(|line| line.get("error").is_some())
            .count();
        assert_eq!(unread > 0, code == PICTURE, "{words:?}");
        let summary = format!(
            "eyelet: {unread} of {} pictures could not be read",
            images.len()
        );
        assert_eq!(
            run.stderr.contains(&summary),
            code == PICTURE,
            "{}",
            run.stderr
        );
    }
    for (words, code, says) in [
        (
            &["--files-from", "gone"][..],
            PICTURE,
            "cannot read the list of pictures gone",
        ),
        (
            &["--files-from", "empty"],
            PICTURE,
            "not a file but a folder",
        ),
        (&["--files-from", "-"], PICTURE, "names no picture"),
        (
            &["--json", "--csv", "in"],
            COMMAND_LINE,
            "cannot be used with",
        ),
    ] {
        let run = classify(folder.path(), words, None);
        assert_eq!(run.code, code, "{words:?}: {}", run.stderr);
        assert!(run.stderr.contains(says), "{words:?}: {}", run.stderr);
    }
}

#[test]
fn a_broken_picture_in_the_middle_is_reported_in_order_and_all_others_are_classified() {
    let folder = tempfile::tempdir().unwrap();
    let name = |n: usize| format!("{n:02}.png");
    for n in 0..40 {
        // Large ones first, so that later ones are decoded before them.
        save(
            &folder.path().join(name(n)),
            40 + 10 * ((40 - n as u32) % 17),
        );
    }
    let broken = [0, 13, 14, 39];
    for n in broken {
        let path = folder.path().join(name(n));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    }
    let alone = classify(folder.path(), &["--json", &name(7)], None).json_lines();
    for threads in ["1", "2"] {
        let run = classify(folder.path(), &["--json", "--threads", threads, "."], None);
        assert_eq!(run.code, PICTURE, "{}", run.stderr);
        assert!(run.stderr.contains("4 of 40 pictures"), "{}", run.stderr);
        let lines = run.json_lines();
        assert_eq!(lines.len(), 40);
        for (n, line) in lines.iter().enumerate() {
            assert_eq!(line["image"], format!("./{}", name(n)));
            assert_eq!(line.get("error").is_some(), broken.contains(&n), "{line}");
        }
        assert_eq!(lines[7]["top"], alone[0]["top"]);
    }
    let run = classify(folder.path(), &["--top", "1", "."], None);
    let named = run
        .stdout
        .lines()
        .filter(|line| line.contains(".png"))
        .count();
    assert_eq!(
        (named, run.stdout.lines().count()),
        (36, 72),
        "{}",
        run.stdout
    );
    let lines = run
        .stderr
        .lines()
        .filter(|line| line.contains("cannot read the picture"));
    assert_eq!(lines.count(), 4, "{}", run.stderr);
}

#[test]
fn what_a_folder_has_besides_pictures_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join("in").join(name);
    save(&at("a.jpg"), 40);
    std::fs::copy(at("a.jpg"), at("b.jfif")).unwrap();
    std::fs::write(at("c.HEIC"), b"\0\0\0\x24ftypheic\0\0\0\0").unwrap();
    std::fs::write(at("notes.txt"), "").unwrap();
    // Links to pictures are read, and a folder may be named by a link.
    std::fs::create_dir(folder.path().join("elsewhere")).unwrap();
    symlink("../elsewhere", at("more")).unwrap();
    symlink("nowhere.jpg", at("d.jpg")).unwrap();
    let links = "in: 2 links to folders, or to nothing, were skipped; name the folders themselves";
    let run = classify(folder.path(), &["--json", "in"], None);
    assert!(run.stderr.contains(links), "{}", run.stderr);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let lines = run.json_lines();
    let images: Vec<_> = lines
        .iter()
        .map(|line| line["image"].as_str().unwrap())
        .collect();
    assert_eq!(images, ["in/a.jpg", "in/b.jfif"]);
    let says =
        "in: 2 other files are left out (heic, txt); convert the pictures among them to JPEG";
    assert!(run.stderr.contains(says), "{}", run.stderr);
    // One that is named is refused with what to do.
    let run = classify(folder.path(), &["in/c.HEIC"], None);
    assert_eq!(run.code, PICTURE);
    let says = "it is a HEIC picture, which is not supported: convert it to JPEG";
    assert!(run.stderr.contains(says), "{}", run.stderr);
}

#[test]
fn a_table_has_one_line_per_picture_and_quotes_where_necessary() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let names = [
        "a, b.png",
        "say \"cheese\".png",
        "line\nend.png",
        "plain.png",
    ];
    for name in names {
        save(&at(name), 40);
    }
    std::fs::write(at("broken, too.png"), "no picture").unwrap();
    let labels: String = (0..10).map(|n| format!("number {n}, \"{n}\"\n")).collect();
    std::fs::write(at("labels"), labels).unwrap();
    let options = ["--csv", "--top", "2", "--labels", "labels"];
    let words = [&options[..], &names, &["broken, too.png"]].concat();
    let run = classify(folder.path(), &words, None);
    assert_eq!(run.code, PICTURE, "{}", run.stderr);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 6, "{}", run.stdout);
    assert_eq!(
        lines[0],
        "image,label_1,probability_1,class_1,label_2,probability_2,class_2,error"
    );
    let starts = [
        "\"a, b.png\",",
        "\"say \"\"cheese\"\".png\",",
        "\"line\\nend.png\",",
        "plain.png,",
    ];
    for (line, start) in lines[1..].iter().zip(starts) {
        let rest = line.strip_prefix(start).unwrap_or_else(|| panic!("{line}"));
        let digits = rest.strip_prefix("\"number ").unwrap().split(',').next();
        let class: usize = digits.unwrap().parse().unwrap();
        let label = format!("\"number {class}, \"\"{class}\"\"\",0.");
        assert!(rest.starts_with(&label), "{rest}");
        assert!(rest.contains(&format!(",{class},\"number ")), "{rest}");
        assert!(rest.ends_with(','), "{rest}");
    }
    assert!(
        lines[5].starts_with("\"broken, too.png\",,,,,,,\"cannot read the picture"),
        "{}",
        lines[5]
    );
    // More classes than there are.
    let run = classify(folder.path(), &["--csv", "--top", "50", "plain.png"], None);
    let columns: Vec<usize> = run
        .stdout
        .lines()
        .map(|line| line.split(',').count())
        .collect();
    assert_eq!(
        (run.code, &columns[..]),
        (0, &[32, 32][..]),
        "{}",
        run.stdout
    );
}

fn start(folder: &Path, words: &[&str]) -> Child {
    eyelet(folder)
        .args(["classify", "--json", "--model"])
        .arg(fixture("opset13.onnx"))
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_reader_that_goes_away_and_a_signal_end_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("a.png");
    save(&picture, 40);
    // The second picture does not come: somebody holds standard input open.
    for is_signal in [false, true] {
        let mut child = start(folder.path(), &["a.png", "-"]);
        let input = child.stdin.take();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.contains("a.png"), "{line}");
        let asked = Instant::now();
        if is_signal {
            // Not SIGINT, which a shell's background jobs ignore.
            send_signal(&child, libc::SIGTERM);
        }
        // One of the two alone: with both, the program may see either first.
        let reader = is_signal.then_some(reader);
        let output = child.wait_with_output().unwrap();
        drop((input, reader));
        let stderr = String::from_utf8(output.stderr).unwrap();
        if is_signal {
            assert_eq!(output.status.signal(), Some(libc::SIGTERM), "{stderr}");
        } else {
            assert_eq!(output.status.code(), Some(OUTPUT), "{stderr}");
            assert!(stderr.contains("its reader is gone"), "{stderr}");
        }
        assert!(asked.elapsed() < Duration::from_secs(5));
    }
    // While results flow.
    let many = vec!["a.png"; 5000];
    let mut child = start(folder.path(), &many);
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    reader.read_line(&mut String::new()).unwrap();
    drop(reader);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(OUTPUT));
}

#[test]
fn one_picture_on_standard_input_comes_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("a.png");
    save(&picture, 200);
    let bytes = std::fs::read(&picture).unwrap();
    let mut child = start(folder.path(), &["-"]);
    let mut input = child.stdin.take().unwrap();
    for piece in bytes.chunks(bytes.len() / 3) {
        input.write_all(piece).unwrap();
        input.flush().unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let streamed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let named = classify(folder.path(), &["--json", "a.png"], None).json_lines();
    assert_eq!(streamed["top"], named[0]["top"]);
}
