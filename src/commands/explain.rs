//! `eyelet explain`: the plan of a model, layer by layer.

use super::classify::at_least_one;
use super::{find_model, print_line};
use crate::Failure;
use crate::network::Network;
use std::path::PathBuf;

/// Arguments of `eyelet explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A model by name (`eyelet list models`) or an ONNX file
    #[arg(value_name = "NAME|FILE.onnx", default_value = super::classify::DEFAULT_MODEL)]
    model: String,
    /// The labels of a model of your own, one a line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Threads that would run the network
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    threads: usize,
}

/// Prints the plan, or why there is no fast one.
pub fn run(args: &Args) -> Result<(), Failure> {
    let model = find_model(&args.model, args.labels.as_deref())?;
    let network = Network::load(&model, args.threads)?;
    print_line(format_args!("{}: {}", model.name, network.describe()))?;
    let fused = match network.fused() {
        Ok(fused) => fused,
        Err(why) => {
            return print_line(format_args!(
                "the whole network runs in tract's plan: {why}"
            ));
        }
    };
    print_line(format_args!(
        "{:<22} {:<16} {:<12} {:>12} {:>9} {:>9}  node",
        "layer", "rows x cols x ch", "kernel", "mult-adds", "offset", "bytes"
    ))?;
    let mut multiply_adds = 0;
    for row in fused.explain() {
        multiply_adds += row.multiply_adds;
        let shape = format!("{}x{}x{}", row.shape.h, row.shape.w, row.shape.c);
        let offset = row
            .arena_offset
            .map_or("by bands".to_owned(), |at| at.to_string());
        print_line(format_args!(
            "{:<22} {shape:<16} {:<12} {:>12} {offset:>9} {:>9}  {}",
            row.op, row.kernel, row.multiply_adds, row.bytes, row.name
        ))?;
    }
    print_line(format_args!(
        "{:.1} million multiply-adds, an arena of {} KiB, nothing left to tract",
        multiply_adds as f64 / 1e6,
        fused.arena_bytes().div_ceil(1024)
    ))
}
