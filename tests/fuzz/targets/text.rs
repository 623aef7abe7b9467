//! Text that people write or a boot loader hands over: board files, model files, labels, the kernel's command line, the bill
//! of materials in a slot.

use super::assert_said;
use eyelet::board::Board;
use eyelet::data_roots::Base;
use eyelet::firmware::command_line::CommandLine;
use eyelet::memory::PoolSize;
use eyelet::model::{Definition, labels};
use eyelet::toml_file::Faults;
use eyelet::update::System;
use std::path::Path;

pub fn board_toml(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Board::parse("b", "b.toml", &text, Base::Folder(Path::new("/b"))) {
        Ok(board) => {
            assert!((1..=64).contains(&board.threads));
            assert_ne!(board.pool, PoolSize::Bytes(0));
            assert!(board.regions.len() <= 8);
            for area in board.regions.iter().map(|region| region.area) {
                let ends = [area.left + area.width, area.top + area.height];
                assert!(area.width > 0.0 && area.height > 0.0);
                assert!(ends.iter().all(|end| *end <= 1.001));
            }
        }
        Err(faults) => assert_faults(&faults),
    }
}

pub fn model_toml(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Definition::parse("m.toml", &text) {
        Ok(model) => {
            let sides = [model.input.width_px, model.input.height_px];
            assert!(sides.iter().all(|side| (8..=2048).contains(side)));
            assert!(model.input.resize_shorter_px >= sides[0].max(sides[1]));
            assert!(!model.main.file.contains('/'));
            for name in model.variants.keys() {
                assert!(model.network_file(Some(name)).is_some());
            }
        }
        Err(faults) => assert_faults(&faults),
    }
}

fn assert_faults(faults: &Faults) {
    assert!(!faults.lines.is_empty());
    faults.lines.iter().for_each(|line| assert_said(line));
}

pub fn labels(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match labels::parse("l.txt", &text, 3) {
        Ok(labels) => {
            assert_eq!(labels.len(), 3);
            labels.iter().for_each(|label| assert_said(label));
        }
        Err(error) => assert_said(&error.to_string()),
    }
}

pub fn command_line(data: &[u8]) {
    let line = CommandLine::of_text(&String::from_utf8_lossy(data));
    assert!(line.unknown.iter().all(|word| word.starts_with("eyelet.")));
}

pub fn manifest(data: &[u8]) {
    match System::of_manifest(&String::from_utf8_lossy(data)) {
        Ok(system) => {
            // The first eight characters of it are shown.
            assert_eq!(system.id.len(), 64);
            assert!(system.id.is_ascii());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
