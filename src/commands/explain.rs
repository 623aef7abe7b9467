//! `eyelet explain`: prints the plan of a model, layer by layer.

use super::{find_model, print_facts, print_line};
use crate::network::Network;
use crate::network::run::Row;
use crate::network::tract::islands::{Islands, Outside};
use crate::{Failure, limits};
use std::path::PathBuf;

/// Arguments of `eyelet explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A model by name (`eyelet list models`) or an ONNX file
    #[arg(value_name = "NAME|FILE.onnx", default_value = super::classify::DEFAULT_MODEL)]
    model: String,
    /// Your own model's labels, one per line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Threads that would run the network
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = limits::flag::<usize>(limits::THREADS))]
    threads: usize,
}

/// Prints the plan: which layers run in our own kernels, and why the others are left to tract.
pub fn run(args: &Args) -> Result<(), Failure> {
    let model = find_model(&args.model, args.labels.as_deref())?;
    let network = Network::load(&model, args.threads)?;
    print_line(format_args!("{}: {}", model.name, network.describe()))?;
    print_facts(&model)?;
    match (network.fused(), network.islands()) {
        (Ok(fused), _) => {
            heading()?;
            for row in fused.explain() {
                layer(row)?;
            }
            let all: u64 = fused.explain().iter().map(|r| r.multiply_adds).sum();
            print_line(format_args!(
                "{:.1} million multiply-adds, an arena of {} KiB, nothing left to tract",
                all as f64 / 1e6,
                fused.arena_bytes().div_ceil(1024)
            ))
        }
        (Err(why), Some(islands)) => {
            print_line(format_args!("no single fast plan: {why}"))?;
            parts(islands)
        }
        (Err(why), None) => {
            print_line(format_args!(
                "the whole network runs in tract's plan: {why}"
            ))?;
            network.outside().iter().try_for_each(outside)
        }
    }
}

/// Islands and the nodes between them, in execution order.
fn parts(islands: &Islands) -> Result<(), Failure> {
    heading()?;
    let count = islands.ports.len();
    for island in 0..=count {
        for node in islands.outside.iter().filter(|n| n.after == island) {
            outside(node)?;
        }
        if let Some(ports) = islands.ports.get(island) {
            print_line(format_args!(
                "island {}: {} in, {} out",
                island + 1,
                ports.imports + usize::from(island == 0 && islands.takes_picture),
                ports.exports.len()
            ))?;
        }
        for row in islands.rows.iter().filter(|r| r.segment == island) {
            layer(row)?;
        }
    }
    let (inside, all) = islands.multiply_adds();
    let nodes = islands.outside.len();
    print_line(format_args!(
        "{:.1} of {:.1} million multiply-adds in {count} island{}, an arena of {} KiB, {nodes} node{} left to tract",
        inside as f64 / 1e6,
        all as f64 / 1e6,
        if count == 1 { "" } else { "s" },
        islands.arena_bytes.div_ceil(1024),
        if nodes == 1 { "" } else { "s" },
    ))
}

fn heading() -> Result<(), Failure> {
    print_line(format_args!(
        "{:<22} {:<16} {:<12} {:>12} {:>9} {:>9}  node",
        "layer", "rows x cols x ch", "kernel", "mult-adds", "offset", "bytes"
    ))
}

fn layer(row: &Row) -> Result<(), Failure> {
    let shape = format!("{}x{}x{}", row.shape.h, row.shape.w, row.shape.c);
    let offset = row
        .arena_offset
        .map_or("in bands".to_owned(), |at| at.to_string());
    print_line(format_args!(
        "{:<22} {shape:<16} {:<12} {:>12} {offset:>9} {:>9}  {}",
        row.op, row.kernel, row.multiply_adds, row.bytes, row.name
    ))
}

fn outside(node: &Outside) -> Result<(), Failure> {
    print_line(format_args!(
        "outside: {} {}: {}",
        node.op, node.name, node.why
    ))
}
