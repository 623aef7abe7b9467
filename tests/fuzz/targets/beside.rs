//! What lies beside a network and in its `metadata_props`: configuration files and lists of labels, as they are looked through when a
//! bare ONNX file is loaded.

use eyelet::limits;
use eyelet::model::hints::Hints;
use std::fs;
use tempfile::tempdir;

/// Numbers of classes that are asked for: those of the seeds, and others.
const COUNTS: [usize; 5] = [1000, 10, 3, 2, 1];

pub fn run(data: &[u8]) {
    let folder = tempdir().unwrap();
    let network = folder.path().join("net.onnx");
    for name in ["preprocessor_config.json", "config.json", "labels.txt"] {
        fs::write(folder.path().join(name), data).unwrap();
    }
    let text = String::from_utf8_lossy(data).into_owned();
    let keys = ["names", "imgsz", "Image.NominalPixelRange"];
    let metadata = keys.map(|key| (key.to_owned(), text.clone()));
    for metadata in [&metadata[..], &[]] {
        let hints = Hints::of(&network, metadata);
        let prepared = hints.preparation();
        if let Some(pixels) = prepared.pixels {
            assert!(limits::FACTOR.check(pixels.value.scale).is_some());
            let [mean, std] = [pixels.value.mean, pixels.value.std];
            assert!(mean.iter().all(|v| limits::MEAN.check(*v).is_some()));
            assert!(std.iter().all(|v| limits::FACTOR.check(*v).is_some()));
        }
        if let Some(size) = prepared.size_px {
            let is_side = |side: &u32| limits::INPUT_SIDE_PX.check((*side).into()).is_some();
            assert!(size.value.iter().all(is_side));
        }
        if let Some(labels) = hints.labels(&COUNTS) {
            let labels = labels.value.labels;
            assert!(COUNTS.contains(&labels.len()));
            let is_one = |label: &String| !label.is_empty() && !label.contains(char::is_control);
            assert!(labels.iter().all(is_one));
        }
    }
}
