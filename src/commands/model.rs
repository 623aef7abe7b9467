//! `eyelet model pull|import|describe|verify`: fetches a model, describes it, tests it on the stored tensors beside it.

use super::print_line;
use crate::built_in;
use crate::data_roots::DataRoots;
use crate::decide::softmax;
use crate::limits;
use crate::model::{Model, Named, find, verify};
use crate::network::Network;
use crate::network::fused::Fused;
use crate::spec::{OutputKind, Precision};
use crate::{Cause, Failure};
use clap::Subcommand;
use std::path::Path;

/// Arguments of `eyelet model`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fetch a model's file, check it and install it
    #[cfg(feature = "tools")]
    Pull(super::pull::Args),
    /// Install your own network under a name, with its labels and a description
    #[cfg(feature = "tools")]
    Import(super::import::Args),
    /// Print a model.toml to start from, and the network's classes for photos under each rule that it may have been trained with
    #[cfg(feature = "tools")]
    Describe(super::describe::Args),
    /// Check a model's file, and run it on the stored tensors beside it (test_data_set_N)
    Verify(VerifyArgs),
}

#[derive(Debug, clap::Args)]
struct VerifyArgs {
    /// A model (`eyelet list models`) or an ONNX file
    #[arg(value_name = "NAME|FILE.onnx")]
    model: String,
    /// The largest allowed difference of one score (by default 0.001; for 8-bit networks twelve steps of 8 bits; for
    /// half-precision networks a 64th of the range from the smallest to the largest score)
    #[arg(long, value_name = "X", value_parser = limits::real_flag(limits::TOLERANCE))]
    tolerance: Option<f32>,
    /// Threads that run the network
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = limits::flag::<usize>(limits::THREADS))]
    threads: usize,
}

/// Runs the chosen subcommand.
pub fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        #[cfg(feature = "tools")]
        Command::Pull(args) => super::pull::run(args),
        #[cfg(feature = "tools")]
        Command::Import(args) => super::import::run(args),
        #[cfg(feature = "tools")]
        Command::Describe(args) => super::describe::run(args),
        Command::Verify(args) => run_verify(args),
    }
}

fn run_verify(args: &VerifyArgs) -> Result<(), Failure> {
    let model = Model::find(&args.model, None)?;
    let stated = stated(&args.model)?;
    let stated = stated.as_ref().map(|named| named.network_file());
    let name = stated.and_then(|file| file.input_name.as_deref());
    let outputs = verify::stored_outputs(&model, name)?;
    let file = &model.file;
    let checked = match stated.and_then(|file| file.sha256.as_ref()) {
        Some(_) => "sha256 matches",
        None => "no sha256 is stated",
    };
    print_line(format_args!(
        "{}: {}: {checked}",
        model.name,
        built_in::shown(file)
    ))?;
    let sets = verify::data_sets(file);
    if sets.is_empty() {
        return print_line("no test_data_set_N folder beside it, so no scores were compared");
    }
    // Stored scores are of single precision; half precision is compared with it.
    let single = Model {
        precision: Precision::Single,
        ..model.clone()
    };
    let mut network = Network::load(&single, args.threads)?;
    let half = match model.precision {
        Precision::Half => Some(Network::load(&model, args.threads)?),
        Precision::Single => None,
    };
    let mut half = half.filter(|network| network.fused().is_ok_and(Fused::is_half));
    let (mut wrong, mut other_classes) = (0, 0);
    let why = match args.tolerance {
        Some(_) => String::new(),
        None => outputs.precision.to_string(),
    };
    for set in &sets {
        let compared = verify::compare(&mut network, &model, set, &outputs)?;
        let tolerance = args
            .tolerance
            .unwrap_or_else(|| compared.usual_tolerance(outputs.precision));
        print_line(format_args!(
            "{}: largest difference {} ({tolerance} allowed{why}), {}",
            compared.data_set,
            compared.largest_difference,
            top_classes(&compared, &model.labels)
        ))?;
        let same_class = compared.best == compared.stored_best;
        // NaN never passes.
        let within = compared.largest_difference <= tolerance;
        wrong += usize::from(!same_class || !within);
        other_classes += usize::from(!same_class);
        if let Some(half) = &mut half {
            let single = probabilities(&mut network, &model, set)?;
            let half = probabilities(half, &model, set)?;
            wrong += usize::from(!half_is_near(&compared.data_set, &single, &half)?);
        }
    }
    if wrong == 0 {
        return Ok(());
    }
    let what = match other_classes {
        0 => {
            "differ by more than the tolerance, but have the same top class (--tolerance X allows more)"
        }
        _ => {
            "differ by more than the tolerance or in their top class: they may be another model's (--tolerance X allows more)"
        }
    };
    Err(Failure::new(
        Cause::Mismatch,
        format!(
            "{wrong} of {} stored outputs of {} {what}",
            sets.len(),
            built_in::shown(file)
        ),
    ))
}

/// The top class of the stored scores and of ours.
fn top_classes(compared: &verify::Compared, labels: &[String]) -> String {
    let (best, stored) = (compared.best, compared.stored_best);
    if best == stored {
        return format!("top class equal ({})", labels[best]);
    }
    format!(
        "top class {best} ({}), stored {stored} ({})",
        labels[best], labels[stored]
    )
}

/// The probabilities of the classes for the input in the folder `data_set`.
fn probabilities(
    network: &mut Network,
    model: &Model,
    data_set: &Path,
) -> Result<Vec<f32>, Failure> {
    let mut scores = verify::scores(network, model, data_set)?;
    if model.output.kind == OutputKind::Logits {
        softmax(&mut scores);
    }
    Ok(scores)
}

/// Prints how far probabilities in half precision are from those in single precision; whether that is allowed.
fn half_is_near(data_set: &str, single: &[f32], half: &[f32]) -> Result<bool, Failure> {
    let most = verify::HALF_PROBABILITY_TOLERANCE;
    let difference = verify::largest_difference(half, single);
    let same_class = verify::best(half) == verify::best(single);
    let class = if same_class { "equal" } else { "another" };
    print_line(format_args!(
        "{data_set}: in half precision the largest difference of a probability from single is {difference} ({most} allowed), \
         top class {class}"
    ))?;
    // NaN never passes.
    Ok(same_class && difference <= most)
}

/// The model's definition, if it has one.
fn stated(name_or_path: &str) -> Result<Option<Named>, Failure> {
    Ok(if find::is_path(name_or_path) {
        find::beside(Path::new(name_or_path))?
    } else {
        Some(Named::find(name_or_path, &DataRoots::of_this_machine())?)
    })
}
