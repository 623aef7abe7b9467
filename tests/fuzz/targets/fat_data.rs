//! The data partition: a reason is read, kept and forgotten, and the volume formatted again. The input is the volume.

use super::file_of;
use eyelet::firmware::data::Data;

/// Zeros are put behind the input up to here.
const VOLUME_BYTES: u64 = 96 << 10;

pub fn run(data: &[u8]) {
    let file = file_of(data, ".data", VOLUME_BYTES);
    let volume = Data::open(file.path()).unwrap();
    if let Ok(Some(reason)) = volume.reason() {
        assert_eq!(reason.lines().count().max(1), 1);
    }
    let _ = volume.tried();
    let before = std::fs::read(file.path()).unwrap();
    assert!(before.starts_with(data), "reading wrote");
    if volume.keep("watchdog", &[b'l'; 3000]).is_ok() {
        assert_eq!(volume.reason().unwrap().as_deref(), Some("watchdog"));
    }
    let id = "ab".repeat(32);
    if volume.note_tried(&id).is_ok() {
        assert_eq!(volume.tried().unwrap().last(), Some(&id));
    }
    if volume.forget().is_ok() {
        assert_eq!(volume.reason().unwrap(), None);
    }
    let bytes = file.as_file().metadata().unwrap().len();
    assert_eq!(bytes, VOLUME_BYTES.max(data.len() as u64));
    // Whatever was there before.
    volume.format().unwrap();
    volume.keep("power", b"log\n").unwrap();
    assert_eq!(volume.reason().unwrap().as_deref(), Some("power"));
}
