//! The commands `list` and `model` as a user runs them: output, exit code, one line a fault.
#![allow(clippy::unwrap_used)]

mod common;

use common::fixture;
use prost::Message;
use std::fs;
use std::path::Path;
use std::process::Output;
use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::DataType;

/// Runs `eyelet` in `folder`, which is its only writable data root.
fn eyelet(folder: &Path, arguments: &[&str]) -> Output {
    common::eyelet(folder)
        .args(arguments)
        .env("EYELET_HOME", folder)
        .env_remove("EYELET_MIRROR")
        .output()
        .unwrap()
}

fn code_and_texts(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let code = output.status.code().expect("no signal ends it");
    (code, text(&output.stdout), text(&output.stderr))
}

#[test]
#[cfg(feature = "tools")]
fn pull_from_a_folder_reports_what_is_wrong() {
    let (home, mirror) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let from = mirror.path().to_str().unwrap();
    let arguments = ["model", "pull", "mobilenet-v2", "--from", from];
    let (code, out, error) = code_and_texts(&eyelet(home.path(), &arguments));
    assert_eq!((code, out.as_str()), (9, ""));
    assert!(
        error.contains("mobilenetv2-7.onnx: No such file"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");

    fs::write(mirror.path().join("mobilenetv2-7.onnx"), "x").unwrap();
    let (code, _, error) = code_and_texts(&eyelet(home.path(), &arguments));
    assert_eq!(code, 9);
    assert!(
        error.contains("has 1 bytes where the model.toml states 14246826"),
        "{error}"
    );
    let left = fs::read_dir(home.path().join("models/mobilenet-v2")).unwrap();
    assert_eq!(left.count(), 0, "nothing is left behind");

    let (code, _, error) = code_and_texts(&eyelet(home.path(), &["model", "pull", "mobilnet"]));
    assert_eq!(code, 4);
    assert!(error.contains("did you mean `mobilenet-v2`?"), "{error}");
}

#[test]
fn the_shipped_model_is_there_and_right() {
    let folder = tempfile::tempdir().unwrap();
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::os::unix::fs::symlink(tree.join("models"), folder.path().join("models")).unwrap();
    if cfg!(feature = "tools") {
        let pull = ["model", "pull", "efficientnet-lite0"];
        let (code, out, error) = code_and_texts(&eyelet(folder.path(), &pull));
        assert_eq!((code, error.as_str()), (0, ""));
        assert!(out.contains("was already there, sha256 checked"), "{out}");
    }
    let (code, out, error) = code_and_texts(&eyelet(
        folder.path(),
        &["model", "verify", "efficientnet-lite0"],
    ));
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(out.contains("sha256 matches"), "{out}");
    assert!(out.contains("top class equal (Egyptian cat)"), "{out}");
}

#[test]
fn verify_compares_with_the_stored_scores() {
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("test_data_set_0");
    fs::create_dir(&set).unwrap();
    fs::copy(fixture("opset13.onnx"), folder.path().join("net.onnx")).unwrap();
    let output = set.join("output_0.pb");
    for (file, dims, to) in [
        ("nchw.input.f32", vec![1, 3, 32, 32], set.join("input_0.pb")),
        ("opset13.output.f32", vec![1, 10], output.clone()),
    ] {
        // The first of several pictures.
        let count: i64 = dims.iter().product();
        let tensor = TensorProto {
            raw_data: fs::read(fixture(file)).unwrap()[..count as usize * 4].to_vec(),
            data_type: DataType::Float as i32,
            dims,
            ..TensorProto::default()
        };
        fs::write(to, tensor.encode_to_vec()).unwrap();
    }
    let verify = || code_and_texts(&eyelet(folder.path(), &["model", "verify", "net.onnx"]));
    let (code, out, error) = verify();
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    assert!(
        out.contains("test_data_set_0: largest difference 0.000"),
        "{out}"
    );
    assert!(out.contains("top class equal ("), "{out}");

    let (code, out, _) = code_and_texts(&eyelet(
        folder.path(),
        &["model", "verify", "net.onnx", "--tolerance", "0"],
    ));
    assert_eq!(code, 10, "{out}");

    // One stored score is another one.
    let mut tensor = TensorProto::decode(fs::read(&output).unwrap().as_slice()).unwrap();
    let whole = tensor.encode_to_vec();
    let value = f32::from_le_bytes(tensor.raw_data[12..16].try_into().unwrap());
    tensor.raw_data[12..16].copy_from_slice(&(value + 0.5).to_le_bytes());
    fs::write(&output, tensor.encode_to_vec()).unwrap();
    let (code, out, error) = verify();
    assert_eq!(code, 10, "{out}{error}");
    let difference = out.split("largest difference ").nth(1).unwrap();
    let difference: f32 = difference.split(' ').next().unwrap().parse().unwrap();
    assert!((difference - 0.5).abs() < 0.01, "{out}");
    assert!(
        error.contains("1 of 1 stored outputs of net.onnx differ"),
        "{error}"
    );

    for (bytes, message) in [
        (
            &whole[..whole.len() / 2],
            "is no ONNX tensor, or is cut short",
        ),
        (b"", "holds elements of type"),
    ] {
        fs::write(&output, bytes).unwrap();
        let (code, _, error) = verify();
        assert_eq!(code, 4);
        assert!(
            error.contains("output_0.pb") && error.contains(message),
            "{error}"
        );
    }
}

#[test]
fn another_input_name_than_stated_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixture("opset7.onnx"), folder.path().join("net.onnx")).unwrap();
    let toml = "description = \"n\"\nfile = \"net.onnx\"\n[input]\nname = \"picture\"\nwidth_px = 32\nheight_px = 32\n\
                [output]\nkind = \"logits\"\nclass_count = 10\n";
    fs::write(folder.path().join("model.toml"), toml).unwrap();
    let (code, _, error) = code_and_texts(&eyelet(folder.path(), &["model", "verify", "net.onnx"]));
    assert_eq!(code, 4);
    assert!(
        error.contains("is named \"data\", its model.toml says \"picture\""),
        "{error}"
    );
}
