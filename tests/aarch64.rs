//! The static ARM program on real photos: the same classes as the references and the same scores on every processor, with and
//! without dot products and matrix products; and that each processor gets its own kernels.
//!
//! Needs the program (`cargo static-aarch64`, its folder in `EYELET_AARCH64`), QEMU's user mode emulation (package
//! qemu-user) and `../shared`; says "skipped: why" without.

#![allow(clippy::unwrap_used)]

mod common;

use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// QEMU's processors, and the kernels that each must get. `max` has all that QEMU knows, matrix products (`i8mm`) among it.
const PROCESSORS: [(&str, &str); 4] = [
    ("cortex-a53", "neon"),
    ("cortex-a72", "neon"),
    ("cortex-a76", "neon-dotprod"),
    ("max", "neon-i8mm"),
];
/// The models, with their names in `expected.json`.
const MODELS: [(&str, &str); 3] = [
    ("mobilenetv2-1.0.onnx", "f32"),
    ("mobilenetv2-1.0-qdq.onnx", "qdq"),
    ("mobilenetv2-1.0-int8.onnx", "qop"),
];
const PHOTOS: [&str; 2] = ["cat", "hotdog"];

/// The program, and the folder of the developers' files; or why there is no test.
fn program() -> Option<(PathBuf, PathBuf)> {
    let Some(folder) = std::env::var_os("EYELET_AARCH64") else {
        common::say_skipped("EYELET_AARCH64 names no folder with the ARM program");
        return None;
    };
    if Command::new("qemu-aarch64")
        .arg("--version")
        .output()
        .is_err()
    {
        common::say_skipped("there is no qemu-aarch64 (apt install qemu-user)");
        return None;
    }
    Some((Path::new(&folder).join("eyelet"), common::shared()?))
}

/// What `eyelet ARGUMENTS` prints on a processor.
fn output<I: AsRef<OsStr>>(program: &Path, processor: &str, arguments: &[I]) -> String {
    let output = Command::new("qemu-aarch64")
        .args(["-cpu", processor])
        .arg(program)
        .args(arguments)
        .env("EYELET_HOME", env!("CARGO_MANIFEST_DIR"))
        .env("RUST_LOG", "off")
        .env_remove("EYELET_KERNELS")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "on {processor}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn each_processor_gets_its_best_kernels() {
    let Some((program, shared)) = program() else {
        return;
    };
    let model = shared.join("models").join(MODELS[1].0);
    for (processor, kernels) in PROCESSORS {
        let arguments = ["explain".as_ref(), model.as_os_str()];
        let plan = output(&program, processor, &arguments);
        let pointwise = plan.lines().find(|line| line.contains("pointwise"));
        let words = pointwise.unwrap_or_default().split_whitespace();
        assert!(
            words.into_iter().any(|word| word == kernels),
            "{processor}: {plan}"
        );
    }
}

#[test]
fn photos_have_the_same_classes_as_on_the_host() {
    let Some((program, shared)) = program() else {
        return;
    };
    let expected: Value =
        serde_json::from_slice(&std::fs::read(shared.join("reference/expected.json")).unwrap())
            .unwrap();
    for (file, form) in MODELS {
        let mut arguments = vec![
            "classify".into(),
            "--json".into(),
            "--model".into(),
            shared.join("models").join(file),
        ];
        arguments.extend(PHOTOS.map(|photo| shared.join(format!("photos/{photo}.png"))));
        let mut first: Option<Vec<Value>> = None;
        for (processor, _) in PROCESSORS {
            let context = format!("{file} on {processor}");
            let tops: Vec<Value> = output(&program, processor, &arguments)
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap()["top"].take())
                .collect();
            assert_eq!(tops.len(), PHOTOS.len(), "{context}");
            for (photo, top) in PHOTOS.iter().zip(&tops) {
                let (got, want) = (&top[0], &expected[photo][form][0]);
                assert_eq!(got["class"], want["class"], "{photo}, {context}");
                assert_eq!(got["label"], want["label"], "{photo}, {context}");
            }
            // Integers are exact, and floats go the same way on all of these.
            let first = first.get_or_insert_with(|| tops.clone());
            assert_eq!(*first, tops, "{context}, beside {}", PROCESSORS[0].0);
        }
    }
}
