//! `eyelet classify`: picture files in, classes out.
//!
//! ```text
//! inputs    files, folders, patterns, a list, standard input -> pictures, in order
//! decoders  pictures -> the network's input, on all cores
//! results   classes -> text, JSON or CSV
//! progress  a bar on a terminal
//! ```

mod decoders;
pub(super) mod inputs;
mod progress;
mod results;

use super::find_model;
use crate::decide::best;
use crate::limits;
use crate::network::Network;
use crate::network::error::NetworkError;
use crate::stats::Stage;
use crate::{Cause, Failure};
use decoders::{Decoders, Values};
use progress::Progress;
use results::{Format, Results};
use std::path::PathBuf;
use std::time::Instant;

/// The built-in model, which needs no download.
pub const DEFAULT_MODEL: &str = "efficientnet-lite0";

/// Arguments of `eyelet classify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Picture files (JPEG, PNG, WebP, BMP, GIF, TIFF), folders (searched with all their subfolders), patterns ("*.jpg"), or -
    /// for one picture on standard input
    #[arg(required_unless_present = "files_from", value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Also read pictures and folders from this list, one per line (- is standard input)
    #[arg(long, value_name = "FILE")]
    files_from: Option<PathBuf>,
    /// A model by name (`eyelet list models`) or an ONNX file
    #[arg(long, value_name = "NAME|FILE.onnx", default_value = DEFAULT_MODEL)]
    model: String,
    /// Your own model's labels, one per line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// How many classes to show
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = limits::flag::<usize>(limits::TOP_CLASSES))]
    top: usize,
    /// Threads that run the network; several pictures are decoded at the same time on all cores
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = limits::flag::<usize>(limits::THREADS))]
    threads: usize,
    /// Print one JSON object per picture and line
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print a table for spreadsheets: one line per picture, with the classes side by side, best first
    #[arg(long)]
    csv: bool,
}

/// Classifies each picture; reports those that cannot be read or classified and continues with the others.
pub fn run(args: &Args) -> Result<(), Failure> {
    let model = find_model(&args.model, args.labels.as_deref())?;
    let pictures = inputs::list(&args.images, args.files_from.as_deref())?;
    let mut network = Network::load(&model, args.threads)?;
    let format = match (args.json, args.csv) {
        (true, _) => Format::Json,
        (_, true) => Format::Csv,
        _ => Format::Text,
    };
    let results = Results::new(format, args.top, &model.labels);
    let all = pictures.len();
    let progress = Progress::of(all);
    let values = Values::like(&network.input());
    let encoder = network.encoder().clone();
    if all > 1 {
        // tract's first run is limited to the memory that a model may take, and concurrent decoders would count towards that. The
        // result for an empty picture is ignored.
        let _ = network.run();
    }
    let mut decoders = Decoders::start(pictures, &model.input, &encoder, &values);
    let mut failed = Failed::default();
    results.begin()?;
    while let Some((name, outcome)) = decoders.next()? {
        match outcome {
            Ok(mut prepared) => {
                let began = Instant::now();
                prepared.values.copy_to(network.input());
                match network.run() {
                    Ok(scores) => {
                        prepared.times.set(Stage::Infer, began.elapsed());
                        let top = best(scores, model.output.kind, args.top);
                        progress.aside(|| results.picture(&name, &top, &prepared.times))?;
                    }
                    Err(why @ NetworkError::Run(_)) => {
                        failed.unclassified += 1;
                        let why = format!("{}: {why}", name.display());
                        progress.aside(|| results.fault(&name, Cause::Model, &why))?;
                    }
                    Err(why) => return Err(why.into()),
                }
                decoders.give_back(prepared.values);
            }
            Err(why) => {
                failed.unread += 1;
                progress.aside(|| results.fault(&name, Cause::Picture, &why))?;
            }
        }
        progress.advance();
    }
    progress.finish();
    failed.of(all)
}

/// Pictures without a result.
#[derive(Default)]
struct Failed {
    /// They could not be read.
    unread: usize,
    /// The network gave no scores for them.
    unclassified: usize,
}

impl Failed {
    /// Reports them, if there are any among `all` pictures.
    fn of(&self, all: usize) -> Result<(), Failure> {
        let Self {
            unread,
            unclassified,
        } = self;
        let unread_are = format!("{unread} of {all} pictures could not be read");
        let others_are =
            format!("{unclassified} of {all} pictures could not be classified by this network");
        match (unread, unclassified) {
            (0, 0) => Ok(()),
            (_, 0) => Err(Failure::new(Cause::Picture, unread_are)),
            (0, _) => Err(Failure::new(Cause::Model, others_are)),
            _ => Err(Failure::new(
                Cause::Picture,
                format!("{unread_are}, {others_are}"),
            )),
        }
    }
}
