//! The static ARM program on real photos: the same classes as the references, on processors with and without dot products.
//!
//! Needs the program (`cargo static-aarch64`, its folder in `EYELET_AARCH64`), QEMU's user mode emulation (package
//! qemu-user) and `../shared`; says "skipped: why" without.

#![allow(clippy::unwrap_used)]

mod common;

use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Cortex-A53 and -A72 have no dot product instructions, Cortex-A76 has.
const PROCESSORS: [&str; 3] = ["cortex-a53", "cortex-a72", "cortex-a76"];
/// The models, with their names in `expected.json`.
const MODELS: [(&str, &str); 3] = [
    ("mobilenetv2-1.0.onnx", "f32"),
    ("mobilenetv2-1.0-qdq.onnx", "qdq"),
    ("mobilenetv2-1.0-int8.onnx", "qop"),
];
const PHOTOS: [&str; 2] = ["cat", "hotdog"];

#[test]
fn photos_have_the_same_classes_as_on_the_host() {
    let Some(folder) = std::env::var_os("EYELET_AARCH64") else {
        println!("skipped: EYELET_AARCH64 names no folder with the ARM program");
        return;
    };
    let program = Path::new(&folder).join("eyelet");
    if Command::new("qemu-aarch64")
        .arg("--version")
        .output()
        .is_err()
    {
        println!("skipped: there is no qemu-aarch64 (apt install qemu-user)");
        return;
    }
    let Some(shared) = common::shared() else {
        return;
    };
    let expected: Value =
        serde_json::from_slice(&std::fs::read(shared.join("reference/expected.json")).unwrap())
            .unwrap();
    for processor in PROCESSORS {
        for (file, form) in MODELS {
            let output = Command::new("qemu-aarch64")
                .args(["-cpu", processor])
                .arg(&program)
                .args(["classify", "--json", "--model"])
                .arg(shared.join("models").join(file))
                .args(PHOTOS.map(|photo| shared.join(format!("photos/{photo}.png"))))
                .env("EYELET_HOME", env!("CARGO_MANIFEST_DIR"))
                .env("RUST_LOG", "off")
                .output()
                .unwrap();
            let context = format!(
                "{file} on {processor}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(output.status.success(), "{context}");
            let text = String::from_utf8(output.stdout).unwrap();
            let results: Vec<Value> = text
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            assert_eq!(results.len(), PHOTOS.len(), "{context}");
            for (photo, result) in PHOTOS.iter().zip(&results) {
                let (got, want) = (&result["top"][0], &expected[photo][form][0]);
                assert_eq!(got["class"], want["class"], "{photo}, {context}");
                assert_eq!(got["label"], want["label"], "{photo}, {context}");
            }
        }
    }
}
