//! Pictures in place of a camera: wherever they lie on this machine, the card's board file names them where the card has them.

use super::{Workshop, common};
use std::fs;

/// `/init` mounts over these, and what a card has there would be gone when it runs.
const MOUNTED_OVER: [&str; 6] = ["dev", "proc", "sys", "run", "tmp", "data"];

#[test]
fn pictures_from_anywhere_are_found_on_the_card() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    let write = |name: &str, contents: &str| fs::write(workshop.path(name), contents).unwrap();
    for folder in ["board", "board/cats", "elsewhere"] {
        fs::create_dir(workshop.path(folder)).unwrap();
    }
    write("board/cats/1.png", "a cat below");
    write("elsewhere/1.png", "another of the same name");
    write("elsewhere/2.png", "a dog");
    // In this machine's temporary folder.
    let elsewhere = workshop.path("elsewhere");
    let (one, all) = (elsewhere.join("1.png"), elsewhere.as_path());
    let below = workshop.path("board/cats/1.png");
    let virt = include_str!("../../boards/virt.toml");
    let (head, _) = virt.split_once("[camera").unwrap();
    let board = format!(
        "{head}[camera.still]\nfiles = [\"cats\", {below:?}, {one:?}, \"../elsewhere/2.png\", {all:?}] # mine\n\
         [display.none]\n[firmware]\nmachine = \"virt\"\n"
    );
    write("board/mine.toml", &board);
    let mine = workshop.path("board/mine.toml");
    let disk = workshop.disk(&["--board-file", mine.to_str().unwrap()]);

    let text = String::from_utf8(disk.in_initramfs("etc/eyelet/board.toml")).unwrap();
    let places = [
        "/etc/eyelet/cats",
        "/etc/eyelet/cats/1.png",
        "/pictures/2/1.png",
        "/pictures/3/2.png",
        "/pictures/4/elsewhere",
    ];
    let line = format!("files = {places:?} # mine");
    assert!(text.lines().any(|there| there == line), "{text}");
    let pictures: Vec<_> = (disk.initramfs().into_iter())
        .filter(|(path, ..)| path.ends_with(".png"))
        .map(|(path, contents, _)| (path, String::from_utf8(contents).unwrap()))
        .collect();
    let wanted = [
        ("etc/eyelet/cats/1.png", "a cat below"),
        ("pictures/2/1.png", "another of the same name"),
        ("pictures/3/2.png", "a dog"),
        ("pictures/4/elsewhere/1.png", "another of the same name"),
        ("pictures/4/elsewhere/2.png", "a dog"),
    ];
    assert_eq!(
        pictures,
        wanted.map(|(path, text)| (path.to_owned(), text.to_owned()))
    );
    for (path, _) in pictures {
        let top = path.split('/').next().unwrap();
        assert!(!MOUNTED_OVER.contains(&top), "{path}");
    }
}
