//! The reference photos through `eyelet classify`, from the PNG file to the class, for each form of MobileNet v2.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;

use common::{PHOTOS, run_eyelet, shared};
use std::ffi::OsString;

/// Our crop differs from the reference's by a grey level here and there.
const PROBABILITY_TOLERANCE: f64 = 0.02;

/// Classifies all photos and compares the best class, and for the float network its probability, with ONNX Runtime's.
fn check(file: &str, kind: &str) {
    let Some(shared) = shared() else { return };
    let expected = std::fs::read_to_string(shared.join("reference/expected.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut arguments: Vec<OsString> = ["classify", "--json", "--model"]
        .map(OsString::from)
        .to_vec();
    arguments.push(shared.join("models").join(file).into());
    arguments.extend(PHOTOS.map(|photo| shared.join(format!("photos/{photo}.png")).into()));
    let run = run_eyelet(folder.path(), &arguments);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let lines = run.json_lines();
    assert_eq!(lines.len(), PHOTOS.len());
    for (photo, line) in PHOTOS.iter().zip(&lines) {
        let (best, wanted) = (&line["top"][0], &expected[photo][kind][0]);
        println!(
            "{photo}: {} {} (reference {})",
            best["label"], best["probability"], wanted["probability"]
        );
        assert_eq!(best["class"], wanted["class"], "{photo}");
        assert_eq!(best["label"], wanted["label"], "{photo}");
        if kind == "f32" {
            let difference =
                best["probability"].as_f64().unwrap() - wanted["probability"].as_f64().unwrap();
            assert!(
                difference.abs() <= PROBABILITY_TOLERANCE,
                "{photo} differs by {difference}"
            );
        }
    }
}

#[test]
fn float_network() {
    check("mobilenetv2-1.0.onnx", "f32");
}

#[test]
fn qdq_network() {
    check("mobilenetv2-1.0-qdq.onnx", "qdq");
}

#[test]
fn qoperator_network() {
    check("mobilenetv2-1.0-int8.onnx", "qop");
}
