//! Every model of the tree is sound; a `model.toml` that is not says where; names, paths, labels and checksums.
#![allow(clippy::unwrap_used)]

#[path = "common/basics.rs"]
mod basics;

use basics::names_in;
use eyelet::data_roots::DataRoots;
use eyelet::model::{Definition, Model, ModelError, Named, shipped};
use eyelet::network::onnx::inspect::Inspected;
use eyelet::spec::{ChannelOrder, Dtype, Layout, OutputKind, Resize};
use std::fs;
use std::path::{Path, PathBuf};

const TREE: &str = env!("CARGO_MANIFEST_DIR");

/// The whole of a sound file. Line 5 is `[input]`, line 9 `[output]`.
const SMALL: &str = r#"description = "test"
file = "net.onnx"
labels = "l.txt"

[input]
width_px = 32
height_px = 48

[output]
kind = "logits"
class_count = 2
"#;

fn parse(text: &str) -> Result<Definition, Vec<String>> {
    Definition::parse("m.toml", text).map_err(|faults| faults.lines)
}

/// A data root with one model, `tiny`, of [`SMALL`] and three bytes.
fn root(toml: &str) -> (tempfile::TempDir, DataRoots) {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("models/tiny");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("model.toml"), toml).unwrap();
    fs::write(folder.join("l.txt"), "cat\ndog\n").unwrap();
    fs::write(folder.join("net.onnx"), "abc").unwrap();
    let roots = DataRoots::new(vec![root.path().into()], None, None);
    (root, roots)
}

fn no_look(path: &Path) -> Result<Inspected, String> {
    panic!("{} has a model.toml, nobody has to look", path.display())
}

fn find(roots: &DataRoots, name: &str) -> Result<Model, ModelError> {
    Model::find_in(roots, name, None, no_look)
}

fn inspected(score_count: Option<usize>) -> impl FnOnce(&Path) -> Result<Inspected, String> {
    move |_| {
        Ok(Inspected {
            input_name: "x".into(),
            layout: Layout::Nhwc,
            layout_place: "its input's shape and type",
            dtype: Dtype::F32,
            width_px: Some(64),
            height_px: None,
            scaling: None,
            unclear: None,
            channels: None,
            reverses: None,
            choice: None,
            output_kind: OutputKind::Probabilities,
            last_operator: Some("Softmax".into()),
            adds_up: false,
            grey: false,
            score_count,
            metadata: Vec::new(),
        })
    }
}

/// A program without the tools of a developer's machine says where a model is fetched.
const ELSEWHERE: &str = match cfg!(feature = "tools") {
    true => "",
    false => "on a developer's machine ",
};

#[test]
fn every_model_in_the_folder_is_compiled_in_and_sound() {
    let models = Path::new(TREE).join("models");
    let mut in_folder = names_in(&models);
    in_folder.retain(|name| models.join(name).join("model.toml").is_file());
    let mut compiled_in: Vec<String> = shipped::names().map(str::to_owned).collect();
    compiled_in.sort();
    assert_eq!(in_folder, compiled_in);
    for shipped in shipped::MODELS {
        let definition = Definition::parse(shipped.path, shipped.text).unwrap();
        let labels = definition.labels.expect("shipped models have labels");
        let folder = models.join(shipped.path).parent().unwrap().to_owned();
        let class_count = definition.output.class_count;
        let path = folder.join(&labels);
        let labels = eyelet::model::labels::load(&path, class_count).unwrap();
        assert_eq!(labels.len(), class_count);
    }
}

#[test]
fn mobilenet_is_the_model_cards() {
    let roots = DataRoots::new(vec![], None, None);
    let named = Named::find("mobilenet-v2", &roots).unwrap();
    let file = named.network_file();
    assert_eq!(file.file, "mobilenetv2-7.onnx");
    assert_eq!(file.size_bytes, Some(14_246_826));
    assert_eq!(file.input_name.as_deref(), Some("data"));
    let int8 = Named::find("mobilenet-v2@12-int8", &roots).unwrap();
    assert_eq!(int8.full_name(), "mobilenet-v2@12-int8");
    assert_eq!(int8.network_file().file, "mobilenetv2-12-int8.onnx");
    assert_eq!(int8.network_file().input_name, None);
    let message = find(&roots, "mobilenet-v2@12-int8")
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        format!(
            "model `mobilenet-v2@12-int8` is not on this machine: no models/mobilenet-v2/mobilenetv2-12-int8.onnx \
             ({ELSEWHERE}`eyelet model pull mobilenet-v2@12-int8` fetches it)"
        )
    );
}

#[test]
fn an_unknown_model_name_gets_a_suggestion() {
    let roots = DataRoots::new(vec![], None, None);
    for (name, message) in [
        (
            "mobilnet-v2",
            "there is no model `mobilnet-v2`, did you mean `mobilenet-v2`? (`eyelet list models` names them; a path ends in .onnx)",
        ),
        (
            "..",
            "there is no model `..` (`eyelet list models` names them; a path ends in .onnx)",
        ),
        (
            "mobilenet-v2@12-in8",
            "model `mobilenet-v2` has no variant `12-in8`, did you mean `12-int8`? (it has: 10, 12, 12-int8, 12-qdq)",
        ),
    ] {
        assert_eq!(find(&roots, name).unwrap_err().to_string(), message);
    }
}

#[test]
fn omitted_keys_have_their_default() {
    let definition = parse(SMALL).unwrap();
    let input = definition.input;
    assert_eq!(
        (input.layout, input.dtype, input.channels),
        (Layout::Nchw, Dtype::F32, ChannelOrder::Rgb)
    );
    assert_eq!(input.scale, 1.0 / 255.0);
    assert_eq!(input.mean, [0.485, 0.456, 0.406]);
    // 48 * 8 / 7, rounded up.
    assert_eq!((input.resize, input.resize_shorter_px), (Resize::Crop, 55));
    let fitted = SMALL.replace("[input]", "[input]\nresize = \"fit\"\nfill = [1, 2, 255]");
    let fitted = parse(&fitted).unwrap().input;
    assert_eq!((fitted.resize, fitted.fill), (Resize::Fit, [1, 2, 255]));
    assert_eq!(definition.output.label_offset, 0);
    let bytes = parse(&SMALL.replace("[input]", "[input]\ndtype = \"u8\"")).unwrap();
    assert_eq!(
        (bytes.input.scale, bytes.input.mean, bytes.input.std),
        (1.0, [0.0; 3], [1.0; 3])
    );
}

/// What is changed in [`SMALL`], into what, and the one fault that this is.
const FAULTS: &[(&str, &str, &str)] = &[
    (
        "file = ",
        "fiel = 1\nfile = ",
        "m.toml:2:1: fiel: unknown key, did you mean `file`? (allowed: description, file, sha256, size_bytes, urls, variants, precision, labels, input, output)",
    ),
    ("file = \"net.onnx\"\n", "", "m.toml:1:1: file: is missing"),
    (
        "\"net.onnx\"",
        "\"../net.onnx\"",
        "m.toml:2:1: file: is \"../net.onnx\", needs the bare name of an .onnx file beside this one",
    ),
    (
        "\"net.onnx\"",
        "\"net.onnx\"\nsha256 = \"12AB\"",
        "m.toml:3:1: sha256: needs 64 hexadecimal digits, a to f in small letters",
    ),
    (
        "\"net.onnx\"",
        "\"net.onnx\"\nsize_bytes = 3\nurls = [\"https://a/net.onnx\"]",
        "m.toml:1:1: sha256: is missing",
    ),
    (
        "\"net.onnx\"",
        "\"net.onnx\"\nsize_bytes = 3\nsha256 = \"0000000000000000000000000000000000000000000000000000000000000000\"\nurls = [\"ftp://a\"]",
        "m.toml:5:1: urls: has \"ftp://a\", needs addresses that begin with https:// or http://",
    ),
    (
        "\"l.txt\"",
        "\"/l.txt\"",
        "m.toml:3:1: labels: needs a path relative to this file",
    ),
    (
        "width_px = 32",
        "width_px = 32\nmeen = 1",
        "m.toml:7:1: input.meen: unknown key, did you mean `mean`? (allowed: name, layout, dtype, width_px, height_px, channels, scale, mean, std, resize, resize_shorter_px, fill)",
    ),
    (
        "width_px = 32",
        "width_px = 32\nlayout = \"NCWH\"",
        "m.toml:7:1: input.layout: \"NCWH\" is not allowed, did you mean `NCHW`? (allowed: NCHW, NHWC)",
    ),
    (
        "width_px = 32",
        "width_px = 32\nstd = [0.2, 0.2, 0]",
        "m.toml:7:18: input.std: has 0, needs a list of numbers from 0.000001 to 1000000",
    ),
    (
        "width_px = 32",
        "width_px = 32\nresize_shorter_px = 40",
        "m.toml:7:1: input.resize_shorter_px: is 40, needs at least 48: the crop of 32x48 is cut out of the resized picture",
    ),
    (
        "width_px = 32",
        "width_px = 32\nresize = \"stretched\"",
        "m.toml:7:1: input.resize: \"stretched\" is not allowed, did you mean `stretch`? (allowed: crop, fit, stretch)",
    ),
    (
        "width_px = 32",
        "width_px = 32\nresize = \"fit\"\nresize_shorter_px = 64",
        "m.toml:8:1: input.resize_shorter_px: is for resize = \"crop\" alone, and resize is \"fit\", which shows the network the whole picture: take one of the two out",
    ),
    (
        "width_px = 32",
        "width_px = 32\nfill = [0, 0, 0]",
        "m.toml:7:1: input.fill: is for resize = \"fit\" alone, and resize is \"crop\", which leaves nothing free: take one of the two out",
    ),
    (
        "width_px = 32",
        "width_px = 32\nresize = \"fit\"\nfill = [0.5, 1, 1]",
        "m.toml:8:1: input.fill: needs whole numbers from 0 to 255",
    ),
    (
        "width_px = 32",
        "width_px = 32\ndtype = \"u8\"\nscale = 0.5",
        "m.toml:8:1: input.scale: is for dtype \"f32\"; bytes go in as they are",
    ),
    (
        "\"logits\"",
        "\"logit\"",
        "m.toml:10:1: output.kind: \"logit\" is not allowed, did you mean `logits`? (allowed: logits, probabilities)",
    ),
    (
        "class_count = 2",
        "class_count = 1",
        "m.toml:11:1: output.class_count: is 1, needs a whole number from 2 to 100000",
    ),
    (
        "class_count = 2",
        "class_count = 2\nlabels_offset = 1",
        "m.toml:12:1: output.labels_offset: unknown key, did you mean `label_offset`? (allowed: name, kind, class_count, label_offset)",
    ),
    (
        "class_count = 2",
        "class_count = 2\n[variants.b]\nfile = \"b.onnx\"\nurl = 1",
        "m.toml:14:1: variants.b.url: unknown key, did you mean `urls`? (allowed: description, input, file, sha256, size_bytes, urls)",
    ),
    (
        "class_count = 2",
        "class_count = 2\n[variants]\nb = \"b.onnx\"",
        "m.toml:13:1: variants.b: is \"b.onnx\", needs a table, `[b]`",
    ),
];

#[test]
fn each_fault_has_its_place_and_says_what_is_allowed() {
    for (from, into, message) in FAULTS {
        assert_eq!(SMALL.matches(from).count(), 1, "{from}");
        let text = SMALL.replace(from, into);
        assert_eq!(parse(&text).unwrap_err().join("\n"), *message, "{text}");
    }
}

#[test]
fn a_named_model_is_found_with_its_labels() {
    let (root, roots) = root(SMALL);
    let model = find(&roots, "tiny").unwrap();
    assert_eq!(model.name, "tiny");
    assert_eq!(model.file, root.path().join("models/tiny/net.onnx"));
    assert_eq!(model.labels, ["cat", "dog"]);
    // By its path it is the same model, with the model.toml beside it.
    let by_path = find(&roots, model.file.to_str().unwrap()).unwrap();
    assert_eq!(by_path, model);
}

#[test]
fn an_onnx_file_in_a_later_data_root_is_found() {
    let (root, mut roots) = root(SMALL);
    let other = tempfile::tempdir().unwrap();
    let folder = other.path().join("models/tiny");
    fs::create_dir_all(&folder).unwrap();
    fs::rename(
        root.path().join("models/tiny/net.onnx"),
        folder.join("net.onnx"),
    )
    .unwrap();
    roots.folders.push(other.path().into());
    assert_eq!(find(&roots, "tiny").unwrap().file, folder.join("net.onnx"));
}

#[test]
fn a_file_of_another_length_or_with_other_bytes_is_refused() {
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let toml = SMALL.replace(
        "labels",
        &format!("size_bytes = 3\nsha256 = \"{sha256}\"\nurls = [\"https://a/net.onnx\"]\nlabels"),
    );
    let (root, roots) = root(&toml);
    find(&roots, "tiny").unwrap();
    let file = root.path().join("models/tiny/net.onnx");
    fs::write(&file, "abcd").unwrap();
    let message = find(&roots, "tiny").unwrap_err().to_string();
    assert!(
        message.ends_with(&format!(
            "net.onnx has 4 bytes, its model.toml says 3: it is damaged or another file; {ELSEWHERE}`eyelet model pull tiny` \
             fetches it again"
        )),
        "{message}"
    );
    fs::write(&file, "abd").unwrap();
    let message = find(&roots, "tiny").unwrap_err().to_string();
    assert!(
        message.contains("net.onnx has sha256 a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9, its model.toml says ba78"),
        "{message}"
    );
}

#[test]
fn the_wrong_number_of_labels_is_refused() {
    let (root, roots) = root(SMALL);
    let labels = root.path().join("three.txt");
    fs::write(&labels, "a\nb\nc\n").unwrap();
    let error = Model::find_in(&roots, "tiny", Some(&labels), no_look).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("three.txt: there are 3 labels for 2 classes; one label per line, in the order of the classes"),
        "{error}"
    );
    fs::write(&labels, "a\nb\n").unwrap();
    let model = Model::find_in(&roots, "tiny", Some(&labels), no_look).unwrap();
    assert_eq!(model.labels, ["a", "b"]);
}

#[test]
fn a_bare_file_is_a_model_by_what_it_says_of_itself() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.onnx");
    fs::write(&file, "x").unwrap();
    let path = file.to_str().unwrap();
    let tree = DataRoots::new(vec![TREE.into()], None, None);

    let five = Model::find_in(&tree, path, None, inspected(Some(5))).unwrap();
    assert_eq!((five.name.as_str(), &five.file), ("mine", &file));
    assert_eq!((five.input.width_px, five.input.height_px), (64, 224));
    assert_eq!(five.input.layout, Layout::Nhwc);
    assert_eq!(five.output.kind, OutputKind::Probabilities);
    assert_eq!(
        five.labels,
        ["class 0", "class 1", "class 2", "class 3", "class 4"]
    );

    let labels = folder.path().join("l.txt");
    fs::write(&labels, "a\nb\nc\nd\n").unwrap();
    let wrong = Model::find_in(&tree, path, Some(&labels), inspected(Some(5))).unwrap_err();
    assert!(
        wrong.to_string().contains("4 labels for 5 classes"),
        "{wrong}"
    );
    // The labels tell how many classes there are where the file does not.
    let open = Model::find_in(&tree, path, Some(&labels), inspected(None)).unwrap();
    assert_eq!(open.output.class_count, 4);
    let pair = Model::find_in(&tree, path, None, inspected(Some(1))).unwrap();
    assert_eq!(pair.labels, ["class 0", "class 1"]);

    for (scores, offset) in [(1000, 0), (1001, 1)] {
        let imagenet = Model::find_in(&tree, path, None, inspected(Some(scores))).unwrap();
        assert_eq!(imagenet.output.class_count, 1000);
        assert_eq!(imagenet.output.label_offset, offset);
        assert!(imagenet.labels[285].contains("Egyptian cat"));
    }
    // 1001 scores and 1001 labels: the first score has a label of its own.
    let all: String = (0..1001).map(|n| format!("l{n}\n")).collect();
    fs::write(&labels, &all).unwrap();
    let own = Model::find_in(&tree, path, Some(&labels), inspected(Some(1001))).unwrap();
    assert_eq!((own.output.class_count, own.output.label_offset), (1001, 0));

    let failed = Model::find_in(&tree, path, None, |_: &Path| Err("m.onnx holds no graph"));
    assert_eq!(failed.unwrap_err().to_string(), "m.onnx holds no graph");
}

#[test]
fn a_toml_beside_a_file_has_to_mean_that_file() {
    let (root, roots) = root(SMALL);
    let folder: PathBuf = root.path().join("models/tiny");
    fs::write(folder.join("other.onnx"), "x").unwrap();
    let other = folder.join("other.onnx");
    let other = other.to_str().unwrap();
    // model.toml is of another file: the file itself is asked.
    let model = Model::find_in(&roots, other, None, inspected(Some(7))).unwrap();
    assert_eq!(model.output.class_count, 7);
    // other.toml has to be of other.onnx.
    fs::write(folder.join("other.toml"), SMALL).unwrap();
    let error = find(&roots, other).unwrap_err().to_string();
    assert!(
        error.contains("other.toml beside it describes the file \"net.onnx\""),
        "{error}"
    );
    fs::write(
        folder.join("other.toml"),
        SMALL.replace("net.onnx", "other.onnx"),
    )
    .unwrap();
    assert_eq!(find(&roots, other).unwrap().name, "other");
    let longer = SMALL.replace("labels", "size_bytes = 3\nlabels");
    let longer = longer.replace("net.onnx", "other.onnx");
    fs::write(folder.join("other.toml"), longer).unwrap();
    let error = find(&roots, other).unwrap_err().to_string();
    assert!(
        error.contains("other.onnx has 1 bytes, its other.toml says 3"),
        "{error}"
    );
}

#[test]
fn a_path_to_nothing_or_a_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let roots = DataRoots::new(vec![], None, None);
    for (path, reason) in [
        (folder.path().join("no.onnx"), "No such file"),
        (folder.path().to_owned(), "it is not a file"),
    ] {
        let message = find(&roots, path.to_str().unwrap())
            .unwrap_err()
            .to_string();
        assert!(message.contains(reason), "{message}");
    }
}
