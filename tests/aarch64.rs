//! The static ARM program on real photos: the same classes as the references and the same scores on every processor, with and
//! without dot products and matrix products; and that each processor gets its own kernels.
//!
//! Needs the program (`cargo static-aarch64`, its folder in `EYELET_AARCH64`) and QEMU's user mode emulation (package
//! qemu-user); says "skipped: why" without. The shipped network and photos are always there, MobileNet v2 with `../shared`.

#![allow(clippy::unwrap_used)]

mod common;

use common::{argmax, read_f32, tree_file};
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
/// The forms of MobileNet v2, with their names in `expected.json`.
const MOBILENETS: [(&str, &str); 3] = [
    ("mobilenetv2-1.0.onnx", "f32"),
    ("mobilenetv2-1.0-qdq.onnx", "qdq"),
    ("mobilenetv2-1.0-int8.onnx", "qop"),
];

/// A network, and photos with the classes that ONNX Runtime gives them.
struct Job {
    model: PathBuf,
    photos: Vec<(PathBuf, u64)>,
}

impl Job {
    fn shipped() -> Self {
        let folder = tree_file("models/efficientnet-lite0");
        let photo = |name: &str| {
            let scores = read_f32(&folder.join(format!("reference/{name}.logits.f32")));
            let photo = tree_file(&format!("boards/photos/{name}.jpg"));
            (photo, argmax(&scores) as u64)
        };
        Self {
            model: folder.join("efficientnet-lite0-int8.onnx"),
            photos: ["cat", "tripod"].map(photo).to_vec(),
        }
    }

    fn mobilenets(shared: &Path) -> [Self; 3] {
        let expected = std::fs::read(shared.join("reference/expected.json")).unwrap();
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        MOBILENETS.map(|(file, form)| {
            let photo = |name: &str| {
                let photo = shared.join(format!("photos/{name}.png"));
                (photo, expected[name][form][0]["class"].as_u64().unwrap())
            };
            Self {
                model: shared.join("models").join(file),
                photos: ["cat", "hotdog"].map(photo).to_vec(),
            }
        })
    }
}

/// The program, or why there is no test.
fn program() -> Option<PathBuf> {
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
    Some(Path::new(&folder).join("eyelet"))
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
    let Some(program) = program() else {
        return;
    };
    let model = Job::shipped().model;
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
    let Some(program) = program() else {
        return;
    };
    let mut jobs = vec![Job::shipped()];
    if let Some(shared) = common::shared() {
        jobs.extend(Job::mobilenets(&shared));
    }
    for Job { model, photos } in jobs {
        let mut arguments = vec!["classify".into(), "--json".into(), "--model".into()];
        arguments.push(model.clone());
        arguments.extend(photos.iter().map(|(photo, _)| photo.clone()));
        let mut first: Option<Vec<Value>> = None;
        for (processor, _) in PROCESSORS {
            let context = format!("{} on {processor}", model.display());
            let tops: Vec<Value> = output(&program, processor, &arguments)
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap()["top"].take())
                .collect();
            assert_eq!(tops.len(), photos.len(), "{context}");
            for ((photo, class), top) in photos.iter().zip(&tops) {
                assert_eq!(top[0]["class"], *class, "{}, {context}", photo.display());
            }
            // Integers are exact, and floats go the same way on all of these.
            let first = first.get_or_insert_with(|| tops.clone());
            assert_eq!(*first, tops, "{context}, beside {}", PROCESSORS[0].0);
        }
    }
}
