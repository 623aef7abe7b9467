//! `eyelet model import`: installs your own network under a name.

use super::print_line;
use crate::data_roots::DataRoots;
use crate::model::find::MODEL_TOML;
use crate::model::import::{Imported, import};
use crate::model::is_path;
use crate::{Cause, Failure};
use std::path::{Path, PathBuf};

/// Arguments of `eyelet model import`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An ONNX file; files with its weights, and a FILE.toml or model.toml beside it, are copied too
    #[arg(value_name = "FILE.onnx")]
    file: String,
    /// Its labels, one per line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Its name from now on (by default the file's)
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Replace an existing model of that name
    #[arg(long)]
    force: bool,
}

/// Imports the network.
pub fn run(args: &Args) -> Result<(), Failure> {
    let path = Path::new(&args.file);
    let refused = |why: &str| Failure::new(Cause::Model, format!("{:?} {why}", args.file));
    if path.is_dir() {
        return Err(refused("is a folder: give the ONNX file in it"));
    }
    if !is_path(&args.file) {
        return Err(refused(
            "is not the path of an ONNX file: put its folder before it (./ for this one), or let it end in .onnx",
        ));
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
        let toml = folder.join(MODEL_TOML);
        log::info!(
            "{name}: correct wrong assumptions in {}; `eyelet model describe {name} PHOTO` shows which rule is right",
            toml.display()
        );
    }
    print_line(format_args!(
        "{name}: {} classes, loaded and run once, now in {}: use it with `--model {name}`",
        model.output.class_count,
        folder.display()
    ))
}
