//! `eyelet model import`: a network of one's own, put where its name finds it.

use super::print_line;
use crate::data_roots::DataRoots;
use crate::model::import::{Imported, import};
use crate::model::is_path;
use crate::{Cause, Failure};
use std::path::{Path, PathBuf};

/// Arguments of `eyelet model import`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An ONNX file; the files with its weights, and a FILE.toml or model.toml beside it, are taken along
    #[arg(value_name = "FILE.onnx")]
    file: String,
    /// Its labels, one a line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// What it is called from then on (otherwise as the file)
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Replace a model of that name
    #[arg(long)]
    force: bool,
}

/// Imports the network.
pub fn run(args: &Args) -> Result<(), Failure> {
    let path = Path::new(&args.file);
    if !is_path(&args.file) {
        let why = format!(
            "{:?} is no path of an ONNX file: one ends in .onnx",
            args.file
        );
        return Err(Failure::new(Cause::Model, why));
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = args.name.as_deref().unwrap_or(&stem);
    let roots = DataRoots::of_this_machine();
    let Imported { folder, model } =
        import(path, args.labels.as_deref(), name, args.force, &roots)?;
    let assumed: Vec<_> = model
        .facts
        .iter()
        .filter(|fact| fact.is_assumed())
        .collect();
    for fact in &assumed {
        log::info!("{name}: {fact}");
    }
    if !assumed.is_empty() {
        let toml = folder.join("model.toml");
        log::info!(
            "{name}: what is assumed and wrong is corrected in {}; `eyelet model describe {name} PHOTO` shows which rule is right",
            toml.display()
        );
    }
    print_line(format_args!(
        "{name}: {} classes, loaded and run once, now in {}: `--model {name}` finds it",
        model.output.class_count,
        folder.display()
    ))
}
