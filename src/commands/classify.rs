//! `eyelet classify`: picture files in, classes out.

use super::{find_model, print_line};
use crate::board::Mount;
use crate::camera::read_picture;
use crate::clock;
use crate::decide::{Candidate, softmax};
use crate::frame::{Frame, Geometry, PixelFormat};
use crate::limits;
use crate::model::{Model, OutputKind};
use crate::network::Network;
use crate::preprocess::Preprocess;
use crate::stats::{Stage, StageTimes, Stopwatch};
use crate::{Cause, Failure};
use serde_json::json;
use std::path::{Path, PathBuf};

/// The model that needs no network connection: it comes with the program.
pub const DEFAULT_MODEL: &str = "efficientnet-lite0";

/// Arguments of `eyelet classify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Picture files (JPEG, PNG, WebP, BMP, GIF, TIFF)
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// A model by name (`eyelet list models`) or an ONNX file
    #[arg(long, value_name = "NAME|FILE.onnx", default_value = DEFAULT_MODEL)]
    model: String,
    /// The labels of a model of your own, one a line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// How many classes to tell
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = limits::flag::<usize>(limits::TOP_CLASSES))]
    top: usize,
    /// Threads that run the network
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = limits::flag::<usize>(limits::THREADS))]
    threads: usize,
    /// Print one JSON object a picture and line
    #[arg(long)]
    json: bool,
}

/// Classifies each picture; those that cannot be read are told, and the others go on.
pub fn run(args: &Args) -> Result<(), Failure> {
    let model = find_model(&args.model, args.labels.as_deref())?;
    let mut classifier = Classifier::new(&model, args.threads)?;
    let mut unread = 0;
    for image in &args.images {
        match classifier.classify(image, args.top) {
            Ok((top, times)) if args.json => {
                print_line(as_json(image, &top, &model.labels, &times))?
            }
            Ok((top, times)) => print_text(image, &top, &model.labels, &times)?,
            Err(failure) if failure.cause == Cause::Picture => {
                unread += 1;
                if args.json {
                    print_line(
                        json!({"image": image.to_string_lossy(), "error": failure.message}),
                    )?;
                } else {
                    failure.tell();
                }
            }
            Err(failure) => return Err(failure),
        }
    }
    match unread {
        0 => Ok(()),
        n => {
            let all = args.images.len();
            Err(Failure::new(
                Cause::Picture,
                format!("{n} of {all} pictures could not be read"),
            ))
        }
    }
}

struct Classifier {
    network: Network,
    preprocess: Preprocess,
    kind: OutputKind,
    probabilities: Vec<f32>,
}

impl Classifier {
    fn new(model: &Model, threads: usize) -> Result<Self, Failure> {
        let network = Network::load(model, threads)?;
        let preprocess = Preprocess::new(&model.input, Mount::default(), network.encoder().clone());
        Ok(Self {
            network,
            preprocess,
            kind: model.output.kind,
            probabilities: Vec::new(),
        })
    }

    /// The `count` best classes, best first.
    fn classify(
        &mut self,
        image: &Path,
        count: usize,
    ) -> Result<(Vec<Candidate>, StageTimes), Failure> {
        let unread = |e: &dyn std::fmt::Display| Failure::new(Cause::Picture, e);
        let mut watch = Stopwatch::start();
        let picture = read_picture(image).map_err(|e| unread(&e))?;
        watch.lap(Stage::Decode);
        let geometry = Geometry::packed(PixelFormat::Rgb24, picture.width_px, picture.height_px);
        let frame = Frame::new(geometry, &picture.rgb, clock::now(), 0).map_err(|e| unread(&e))?;
        self.preprocess
            .run(&frame, self.network.input())
            .map_err(|e| unread(&e))?;
        watch.lap(Stage::Preprocess);
        let scores = self.network.run()?;
        watch.lap(Stage::Infer);
        self.probabilities.clear();
        self.probabilities.extend_from_slice(scores);
        if self.kind == OutputKind::Logits {
            softmax(&mut self.probabilities);
        }
        let by_class = self.probabilities.iter().enumerate();
        let mut top: Vec<_> = by_class
            .map(|(class, &probability)| Candidate { class, probability })
            .collect();
        top.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        top.truncate(count);
        Ok((top, watch.times))
    }
}

const STAGES: [Stage; 3] = [Stage::Decode, Stage::Preprocess, Stage::Infer];

fn as_json(
    image: &Path,
    top: &[Candidate],
    labels: &[String],
    times: &StageTimes,
) -> serde_json::Value {
    let top = top
        .iter()
        .map(|c| json!({"class": c.class, "label": labels[c.class], "probability": c.probability}));
    let stage_ms = STAGES
        .iter()
        .map(|&stage| (stage.name().to_owned(), json!(times.ms(stage))))
        .collect();
    json!({
        "image": image.to_string_lossy(),
        "top": top.collect::<Vec<_>>(),
        "stage_ms": serde_json::Value::Object(stage_ms),
    })
}

fn print_text(
    image: &Path,
    top: &[Candidate],
    labels: &[String],
    times: &StageTimes,
) -> Result<(), Failure> {
    let [decode, preprocess, infer] = STAGES.map(|stage| times.ms(stage));
    print_line(format_args!(
        "{} (decode {decode:.1}, preprocess {preprocess:.1}, infer {infer:.1} ms)",
        image.display()
    ))?;
    for candidate in top {
        let (percent, label) = (candidate.probability * 100.0, &labels[candidate.class]);
        print_line(format_args!(
            "  {percent:>6.2} %  {label} ({})",
            candidate.class
        ))?;
    }
    Ok(())
}
