//! A user's own ONNX file: each form in `tests/fixtures` gives ONNX Runtime's scores, or is refused with a reason.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;

use common::{argmax, fixture, read_f32};
use eyelet::model::Model;
use eyelet::network::Network;
use eyelet::spec::{Input, Layout, OutputKind};
use serde_json::Value;

fn described() -> Value {
    let text = std::fs::read_to_string(fixture("fixtures.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn load(file: &str, threads: usize) -> Result<(Model, Network), String> {
    let path = fixture(file).display().to_string();
    let model = Model::find(&path, None).map_err(|e| e.to_string())?;
    let network = Network::load(&model, threads).map_err(|e| e.to_string())?;
    Ok((model, network))
}

/// Runs every picture of a fixture: the scores of all. The error tells what differs from ONNX Runtime's.
fn check(entry: &Value, threads: usize, runs: usize, pictures: &[u8]) -> Result<Vec<f32>, String> {
    let (model, mut network) = load(entry["file"].as_str().unwrap(), threads)?;
    if let Err(why) = network.fused()
        && why.to_string().contains("panicked")
    {
        return Err(format!("{why}; tract runs it"));
    }
    let (input, output) = (&entry["input"], &entry["output"]);
    let layout = if input["layout"] == "NCHW" {
        Layout::Nchw
    } else {
        Layout::Nhwc
    };
    let kind = if output["kind"] == "logits" {
        OutputKind::Logits
    } else {
        OutputKind::Probabilities
    };
    if (model.input.layout, model.output.kind) != (layout, kind) {
        return Err(format!(
            "seen as {:?} {:?}",
            model.input.layout, model.output.kind
        ));
    }
    let expected = read_f32(&fixture(output["file"].as_str().unwrap()));
    let count = output["count"].as_u64().unwrap() as usize;
    let tolerance = output["tolerance"].as_f64().unwrap() as f32;
    let mut all = Vec::new();
    for run in 0..runs {
        let picture = &pictures[run * pictures.len() / runs..][..pictures.len() / runs];
        let encoder = network.encoder().clone();
        encoder
            .encode(picture, network.input())
            .map_err(|e| e.to_string())?;
        let scores = network.run().map_err(|e| e.to_string())?;
        let expected = &expected[run * count + model.output.label_offset..(run + 1) * count];
        let difference = scores
            .iter()
            .zip(expected)
            .map(|(a, b)| (a - b).abs())
            .max_by(f32::total_cmp)
            .unwrap_or(0.0);
        if scores.len() != expected.len()
            || argmax(scores) != argmax(expected)
            || difference > tolerance
        {
            return Err(format!(
                "picture {run}: differs by {difference}, allowed {tolerance}"
            ));
        }
        all.extend_from_slice(scores);
    }
    Ok(all)
}

#[test]
fn each_network_of_the_folder_is_described() {
    let described = described();
    let entries = described["fixtures"].as_array().unwrap();
    let named: Vec<&str> = entries.iter().filter_map(|e| e["file"].as_str()).collect();
    let files = std::fs::read_dir(fixture("")).unwrap();
    let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    for file in files.filter(|name| name.ends_with(".onnx")) {
        assert!(named.contains(&&file[..]), "{file} is not in fixtures.json");
    }
}

#[test]
fn each_form_gives_the_scores_of_onnx_runtime_and_the_same_bits_on_1_to_3_threads() {
    let described = described();
    let pictures = std::fs::read(fixture(described["pictures"].as_str().unwrap())).unwrap();
    let runs = described["runs"].as_u64().unwrap() as usize;
    let (mut compared, mut faults) = (0, Vec::new());
    for entry in described["fixtures"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|e| e["refused"].is_null())
    {
        let mut with_one = None;
        for threads in 1..=3 {
            let checked = check(entry, threads, runs, &pictures).and_then(|scores| {
                let first = with_one.get_or_insert_with(|| scores.clone());
                match *first == scores {
                    true => Ok(()),
                    false => Err("not the bits that one thread gives".to_owned()),
                }
            });
            compared += 1;
            if let Err(fault) = checked {
                let (name, about) = (&entry["name"], &entry["about"]);
                faults.push(format!("{name} ({about}) on {threads} threads: {fault}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(runs > 0 && compared > 3 * 20, "{compared} comparisons");
}

#[test]
fn other_networks_than_classifiers_are_refused_in_one_line() {
    for entry in described()["fixtures"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|e| !e["refused"].is_null())
    {
        let file = entry["file"].as_str().unwrap();
        let run = |mut network: Network| {
            if let Input::F32(values) = network.input() {
                values.fill(0.5);
            }
            network.run().map(|_| ()).map_err(|e| e.to_string())
        };
        let loaded = load(file, 1).map(|(_, network)| network);
        assert_eq!(loaded.is_err(), entry["refused"] == "load", "{file}");
        let message = loaded.and_then(run).expect_err(file);
        println!("{file}: {message}");
        assert_eq!(message.lines().count(), 1, "{file}: {message}");
    }
}

#[test]
fn a_refusal_names_the_thing_and_says_what_to_do() {
    for (file, says) in [
        (
            "bad-loop.onnx",
            "unknown operator Loop (node \"node_loop_48\"): export it with its turns written out",
        ),
        (
            "bad-unknown-operator.onnx",
            "unknown operator Bar of foo (node \"node_bar_12\"): export it with that part in",
        ),
        ("bad-upsample.onnx", "export with opset 11 or later"),
        ("bad-fused.onnx", "take the file from before that"),
        ("bad-sixteen-bits.onnx", "'zero' is of type Uint16"),
        (
            "bad-one-score.onnx",
            "bad-one-score.toml beside it ([output] kind = \"logits\"",
        ),
        (
            "bad-missing-side-file.onnx",
            "keeps its weights in 'weights.bin', which is not beside it: copy that file along",
        ),
        ("bad-side-file-outside.onnx", "not below its own folder"),
        ("bad-side-file-short.onnx", "that file has 6144 bytes"),
        ("bad-side-file-words.onnx", "their offset is 'first'"),
    ] {
        let message = load(file, 1).map(|_| ()).expect_err(file);
        assert!(message.contains(says), "{file}: {message}");
    }
}

/// A copy of a fixture with a description beside it.
fn described_as(
    file: &str,
    kind: &str,
    class_count: usize,
    input: &str,
) -> Result<Network, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(file);
    std::fs::copy(fixture(file), &path).unwrap();
    let toml = format!(
        "description = \"mine\"\nfile = \"{file}\"\n[input]\nwidth_px = 32\nheight_px = 32\n{input}\n\
         [output]\nkind = \"{kind}\"\nclass_count = {class_count}\n"
    );
    std::fs::write(path.with_extension("toml"), toml).unwrap();
    let model = Model::find(&path.display().to_string(), None).map_err(|e| e.to_string())?;
    Network::load(&model, 1).map_err(|e| e.to_string())
}

#[test]
fn one_logit_is_two_classes_where_the_description_says_so() {
    let mut network = described_as("bad-one-score.onnx", "logits", 2, "").unwrap();
    if let Input::F32(values) = network.input() {
        values.fill(0.5);
    }
    let scores = network.run().unwrap();
    // The softmax of 0 and x is the sigmoid of x.
    assert!(scores.len() == 2 && scores[0] == 0.0 && scores[1] != 0.0);
    let three = described_as("bad-one-score.onnx", "logits", 3, "").map(|_| ());
    assert!(three.unwrap_err().contains("gives 1 scores where 3 are"));
}

#[test]
fn a_grey_network_wants_one_mean() {
    let apart = "mean = [0.485, 0.456, 0.406]";
    let why = described_as("grey.onnx", "logits", 10, apart).map(|_| ());
    assert!(why.unwrap_err().contains("three equal numbers"));
    described_as("grey.onnx", "logits", 10, "").unwrap();
    let same = "mean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]";
    described_as("grey.onnx", "logits", 10, same).unwrap();
}
