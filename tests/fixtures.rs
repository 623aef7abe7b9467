//! Every form of ONNX file in `tests/fixtures` gives the scores that ONNX Runtime gives, or is refused with one clear line.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first fault")]

mod common;

use common::{argmax, read_f32};
use eyelet::model::{ChannelOrder, Dtype, InputSpec, Layout, Model, OutputKind, OutputSpec};
use eyelet::network::{Network, inspect, onnx};
use serde::Deserialize;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
struct Fixtures {
    runs: usize,
    pictures: String,
    width_px: u32,
    height_px: u32,
    f32_scale: f32,
    f32_mean: [f32; 3],
    f32_std: [f32; 3],
    fixtures: Vec<Fixture>,
}

#[derive(Deserialize)]
struct Fixture {
    name: String,
    file: PathBuf,
    about: String,
    refused: Option<String>,
    input: Option<Input>,
    output: Option<Output>,
}

#[derive(Deserialize)]
struct Input {
    name: String,
    layout: Layout,
    dtype: Dtype,
}

#[derive(Deserialize)]
struct Output {
    kind: OutputKind,
    count: usize,
    file: PathBuf,
    tolerance: f32,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn fixtures() -> Fixtures {
    let text = std::fs::read_to_string(folder().join("fixtures.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

impl Fixtures {
    fn model(&self, file: &Path, input: &Input, output: &Output) -> Model {
        let (scale, mean, std) = match input.dtype {
            Dtype::F32 => (self.f32_scale, self.f32_mean, self.f32_std),
            Dtype::U8 => (1.0, [0.0; 3], [1.0; 3]),
        };
        Model {
            name: "fixture".into(),
            file: file.to_owned(),
            input: InputSpec {
                layout: input.layout,
                dtype: input.dtype,
                width_px: self.width_px,
                height_px: self.height_px,
                channels: ChannelOrder::Rgb,
                scale,
                mean,
                std,
                resize_shorter_px: self.height_px,
            },
            output: OutputSpec {
                kind: output.kind,
                class_count: output.count,
                label_offset: 0,
            },
            labels: (0..output.count).map(|n| format!("class {n}")).collect(),
        }
    }
}

/// What is wrong with a fixture that must run, if anything.
fn fault(all: &Fixtures, pictures: &[u8], fixture: &Fixture) -> Result<(), String> {
    let (input, output) = (
        fixture.input.as_ref().unwrap(),
        fixture.output.as_ref().unwrap(),
    );
    let file = folder().join(&fixture.file);
    let proto = onnx::read(&file).map_err(|e| e.to_string())?;
    let found = inspect::inspect(proto.graph.as_ref().unwrap())?;
    if (&found.input_name, found.layout, found.dtype) != (&input.name, input.layout, input.dtype) {
        return Err(format!("its input is taken for {found:?}"));
    }
    if found.output_kind != output.kind || found.score_count.is_some_and(|n| n != output.count) {
        return Err(format!("its output is taken for {found:?}"));
    }
    let mut network =
        Network::load(&all.model(&file, input, output), 1).map_err(|e| e.to_string())?;
    let expected = read_f32(&folder().join(&output.file));
    let (width, height) = (all.width_px as usize, all.height_px as usize);
    // The first picture once more at the end: no run may leave anything to the next.
    for run in (0..all.runs).chain([0]) {
        let picture = &pictures[run * width * height * 3..][..width * height * 3];
        let expected = &expected[run * output.count..][..output.count];
        let encoder = network.encoder().clone();
        encoder.encode(picture, width, height, network.input());
        let scores = network.run().map_err(|e| e.to_string())?;
        let difference = scores
            .iter()
            .zip(expected)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        println!(
            "{} run {run}: difference {difference:.6} of {}",
            fixture.name, output.tolerance
        );
        if scores.len() != expected.len()
            || argmax(scores) != argmax(expected)
            || difference > output.tolerance
        {
            return Err(format!(
                "run {run}: {} scores, class {} where {} is right, difference {difference} where {} is allowed",
                scores.len(),
                argmax(scores),
                argmax(expected),
                output.tolerance
            ));
        }
    }
    Ok(())
}

#[test]
fn every_form_of_network_gives_the_scores_of_onnx_runtime() {
    let all = fixtures();
    let pictures = std::fs::read(folder().join(&all.pictures)).unwrap();
    let sound: Vec<_> = all
        .fixtures
        .iter()
        .filter(|f| f.refused.is_none())
        .collect();
    assert!(sound.len() > 20);
    let faults: Vec<_> = sound
        .iter()
        .filter_map(|f| Some((f, fault(&all, &pictures, f).err()?)))
        .map(|(f, why)| format!("{} ({}): {why}", f.name, f.about))
        .collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// The one line that refuses a fixture; `Err` when it is let through or refused badly.
fn refusal(
    all: &Fixtures,
    pictures: &[u8],
    fixture: &Fixture,
    when: &str,
) -> Result<String, String> {
    let file = folder().join(&fixture.file);
    let input = Input {
        name: "input".into(),
        layout: Layout::Nchw,
        dtype: Dtype::F32,
    };
    let output = Output {
        kind: OutputKind::Logits,
        count: 10,
        file: PathBuf::new(),
        tolerance: 0.0,
    };
    let message = match Network::load(&all.model(&file, &input, &output), 1) {
        Err(error) if when == "load" => error.to_string(),
        Err(error) => return Err(format!("is refused at load: {error}")),
        Ok(_) if when == "load" => return Err("is let through".into()),
        Ok(mut network) => {
            let (width, height) = (all.width_px as usize, all.height_px as usize);
            let encoder = network.encoder().clone();
            encoder.encode(
                &pictures[..width * height * 3],
                width,
                height,
                network.input(),
            );
            match network.run() {
                Err(error) => error.to_string(),
                Ok(_) => return Err("gives scores".into()),
            }
        }
    };
    if message.contains('\n') || (when == "load" && !message.contains(&fixture.name)) {
        return Err(format!(
            "is refused without its name or over lines: {message}"
        ));
    }
    Ok(message)
}

#[test]
fn every_bad_file_is_refused_with_one_line() {
    let all = fixtures();
    let pictures = std::fs::read(folder().join(&all.pictures)).unwrap();
    let mut faults = Vec::new();
    for fixture in &all.fixtures {
        let Some(when) = &fixture.refused else {
            continue;
        };
        match refusal(&all, &pictures, fixture, when) {
            Ok(message) => println!("{}: {message}", fixture.about),
            Err(why) => faults.push(format!("{} ({}) {why}", fixture.name, fixture.about)),
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
