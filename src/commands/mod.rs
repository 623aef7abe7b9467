//! The command line: one file per command.

pub mod bench;
pub mod check;
pub mod classify;
#[cfg(feature = "tools")]
pub mod describe;
pub mod display_test;
pub mod explain;
#[cfg(feature = "tools")]
pub mod flash;
#[cfg(feature = "tools")]
pub mod image;
#[cfg(feature = "tools")]
pub mod import;
pub mod keep;
pub mod list;
pub mod model;
#[cfg(feature = "tools")]
pub mod pull;
pub mod run;
pub mod slots;
pub mod update;

use crate::board::Board;
use crate::board::choose::{ChosenBy, Places};
use crate::camera::CameraConfig;
use crate::model::facts::{self, Source};
use crate::model::{Fact, Model, ModelError};
use crate::output;
pub(crate) use crate::output::print_line;
use crate::{Cause, Failure};
use clap::{Parser, Subcommand};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Turns a board with a camera into a live image classifier.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Classify what the board's camera sees, until a signal or the end of its pictures (the default)
    Run(run::Args),
    /// Classify picture files
    Classify(classify::Args),
    /// Measure one model on this machine
    Bench(bench::Args),
    /// Show the plan of a model, layer by layer
    Explain(explain::Args),
    /// Check a board file, its picture files and its model without opening any hardware
    Check(check::Args),
    /// Show a test picture on each display of a board, to set it up
    DisplayTest(display_test::Args),
    /// The data partition, for the first program of a board
    #[command(hide = true)]
    Keep(keep::Args),
    /// List boards, models, cameras or displays
    List(list::Args),
    #[cfg_attr(feature = "tools", doc = "Fetch, import, describe or verify a model")]
    #[cfg_attr(not(feature = "tools"), doc = "Verify a model")]
    Model(model::Args),
    /// Make a whole system for a board as one image, to be written to its card
    #[cfg(feature = "tools")]
    Image(image::Args),
    /// Write an image to a card and read it back
    #[cfg(feature = "tools")]
    Flash(flash::Args),
    /// Write a new system to the idle slot of a card, to be tried at the board's next start
    Update(update::Args),
    /// The slots of a card, for the first program of a board
    #[command(hide = true)]
    Slots(slots::Args),
}

/// The exit code of a wrong command line.
const COMMAND_LINE: u8 = 2;

const EXIT_CODES: &str = "\
Exit codes: 0 done, 2 command line, 3 board file, 4 model, 5 camera, 6 display, 7 memory pool, 8 picture, \
9 download, 10 scores differ, 11 output cannot be written, 12 package or program of an image, 13 card, \
14 the board's policy wants a reboot. RUST_LOG chooses log lines (error, warn, info, debug).";

impl Cli {
    /// Parses the command line. Reports a wrong one in one line; prints help and version. The error is the exit code.
    pub fn of_arguments() -> Result<Self, u8> {
        Self::try_parse().map_err(|error| {
            if error.use_stderr() {
                output::eprint_line(format_args!("eyelet: {}", in_one_line(&error)));
                return COMMAND_LINE;
            }
            let printed = error.print().and_then(|()| io::stdout().flush());
            printed.map_or_else(|error| output::cannot_print(error).report(), |()| 0)
        })
    }

    /// Whether standard output is the serial log; otherwise it carries results, and log lines go to standard error.
    pub fn prints_serial_log(&self) -> bool {
        match &self.command {
            None => true,
            Some(Command::Run(args)) => !args.json,
            Some(_) => false,
        }
    }

    /// Runs the command; `started` is when the process started.
    pub fn run(self, started: Instant) -> Result<(), Failure> {
        match self
            .command
            .unwrap_or_else(|| Command::Run(run::Args::default()))
        {
            Command::Run(args) => run::run(&args, started),
            Command::Classify(args) => classify::run(&args),
            Command::Bench(args) => bench::run(&args, started),
            Command::Explain(args) => explain::run(&args),
            Command::Check(args) => check::run(&args),
            Command::List(args) => list::run(&args),
            Command::DisplayTest(args) => display_test::run(&args),
            Command::Keep(args) => keep::run(&args),
            Command::Model(args) => model::run(&args),
            #[cfg(feature = "tools")]
            Command::Image(args) => image::run(&args),
            #[cfg(feature = "tools")]
            Command::Flash(args) => flash::run(&args),
            Command::Update(args) => update::run(&args),
            Command::Slots(args) => slots::run(&args),
        }
    }
}

/// Joins clap's paragraphs.
fn in_one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.trim().trim_start_matches("error: ");
    let paragraphs = text.split("\n\n");
    let lines: Vec<String> = paragraphs
        .map(|paragraph| {
            paragraph
                .lines()
                .map(str::trim)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .filter(|line| !line.is_empty())
        .collect();
    lines.join("; ")
}

/// The choice of a board.
#[derive(Debug, Default, clap::Args)]
pub struct BoardChoice {
    /// A board by name (`eyelet list boards`)
    #[arg(long, value_name = "NAME", conflicts_with = "board_file")]
    board: Option<String>,
    /// Your own board file
    #[arg(long, value_name = "FILE")]
    board_file: Option<PathBuf>,
}

impl BoardChoice {
    /// The board, and how it was chosen.
    fn choose(&self) -> Result<(Board, ChosenBy), Failure> {
        let places = Places::of_this_machine();
        let (name, file) = (self.board.as_deref(), self.board_file.as_deref());
        Ok(Board::choose(name, file, &places)?)
    }
}

/// The choice of a board, with its camera and model optionally replaced; for `run` and `check`.
#[derive(Debug, Default, clap::Args)]
pub struct BoardArgs {
    #[command(flatten)]
    choice: BoardChoice,
    #[arg(long, value_name = "SOURCE", help = camera_help())]
    camera: Option<String>,
    /// Run this model instead: a name (`eyelet list models`) or an ONNX file
    #[arg(long, value_name = "NAME|FILE.onnx")]
    model: Option<String>,
    /// Your own model's labels, one per line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
}

fn camera_help() -> String {
    format!("Take frames from here instead: {}", CameraConfig::sources())
}

impl BoardArgs {
    /// The board, with the command line's replacements.
    fn board(&self) -> Result<(Board, ChosenBy), Failure> {
        let (mut board, by) = self.choice.choose()?;
        if let Some(source) = &self.camera {
            board.camera = board.camera.replaced_by(source);
        }
        if let Some(model) = &self.model {
            board.model.clone_from(model);
        }
        Ok((board, by))
    }

    /// The board's model.
    fn model(&self, board: &Board, chosen_by: &ChosenBy) -> Result<Model, Failure> {
        let is_named = self.model.is_some() || self.labels.is_some();
        let mut model = match Model::find(&board.model, self.labels.as_deref()) {
            Err(missing) if !is_named => until_fetched(missing, chosen_by)?,
            found => found?,
        };
        if let Some(precision) = board.precision {
            model.precision = precision;
            facts::precision_by_board(&mut model.facts, precision);
        }
        if let Some(resize) = board.mount.resize {
            facts::resize_by_board(&mut model.input, &mut model.facts, resize);
        }
        let stated = model.facts.iter().filter(|f| f.source == Source::Board);
        stated.for_each(|fact| log::info!("{}: {fact}", model.name));
        log_facts(&model);
        Ok(model)
    }
}

/// Becomes true when the program is asked to stop. A second signal ends it at once, in case the first one does not get through.
fn stop_signal() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .map_err(|e| {
                Failure::new(
                    Cause::Board,
                    format!("cannot handle the stop signal {signal}: {e}"),
                )
            })?;
    }
    Ok(stop)
}

/// The shipped network, while the model of a board that its device tree chose is not fetched yet: nobody named that model, and a new board
/// shows classes at once. Any other lack stays one.
fn until_fetched(missing: ModelError, chosen_by: &ChosenBy) -> Result<Model, ModelError> {
    let (ModelError::Missing { .. }, ChosenBy::DeviceTree(_)) = (&missing, chosen_by) else {
        return Err(missing);
    };
    let Ok(shipped) = Model::find(classify::DEFAULT_MODEL, None) else {
        return Err(missing);
    };
    log::warn!(
        "{missing}; until it is here, the shipped network {} runs",
        shipped.name
    );
    Ok(shipped)
}

/// A model by name or path. What is believed about it is logged.
fn find_model(name_or_path: &str, labels: Option<&Path>) -> Result<Model, Failure> {
    let model = Model::find(name_or_path, labels)?;
    log_facts(&model);
    Ok(model)
}

/// Logs what is believed about a model and stands in no `model.toml`: what is assumed, what files
/// beside it say, and of what its own file says that which changes the meaning of its numbers.
fn log_facts(model: &Model) {
    for fact in model.facts.iter().filter(|fact| is_logged(fact)) {
        log::info!("{}: {fact}", model.name);
    }
    if model.facts.iter().any(Fact::is_assumed) {
        let toml = model.file.with_file_name(model.toml_name());
        log::info!(
            "{}: correct wrong assumptions in {}, see models/README.md",
            model.name,
            toml.display()
        );
    }
}

fn is_logged(fact: &Fact) -> bool {
    const MEANING: [&str; 6] = [
        "input.channels",
        "input.scale",
        "input.mean",
        "input.std",
        "output.kind",
        "labels",
    ];
    fact.is_assumed()
        || match fact.source {
            Source::Beside(_) => true,
            Source::Graph(_) => MEANING.contains(&fact.key),
            _ => false,
        }
}

/// Prints what is believed about a model, and the source of each fact.
fn print_facts(model: &Model) -> Result<(), Failure> {
    facts::lines(&model.facts).try_for_each(|line| print_line(format_args!("  {line}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn help_and_readme_state_the_same_exit_codes() {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (codes, _) = EXIT_CODES.split_once(". ").unwrap();
        let readme = words(include_str!("../../README.md"));
        assert!(readme.contains(codes), "{codes}");
        for code in 2..=Cause::Policy as u8 {
            assert!(codes.contains(&format!(" {code} ")), "{code}");
        }
    }

    #[test]
    fn the_shipped_network_runs_until_the_one_that_nobody_named_is_here() {
        let missing = || ModelError::Missing {
            name: "mobilenet-v2@12-int8".into(),
            expected_at: "/nowhere".into(),
            remedy: "`eyelet model pull` fetches it".into(),
        };
        let of_device_tree = ChosenBy::DeviceTree("Raspberry Pi 4".into());
        let model = until_fetched(missing(), &of_device_tree).unwrap();
        assert_eq!(model.name, "efficientnet-lite0");
        // Whoever chose the board, or its file, chose its model.
        for chosen_by in [
            ChosenBy::Flag,
            ChosenBy::SystemFile("/etc/b.toml".into()),
            ChosenBy::Default,
        ] {
            let error = until_fetched(missing(), &chosen_by).unwrap_err();
            assert!(matches!(error, ModelError::Missing { .. }), "{error}");
        }
        let damaged = ModelError::Unreadable {
            path: "net.onnx".into(),
            reason: "it is a folder".into(),
        };
        let error = until_fetched(damaged, &of_device_tree).unwrap_err();
        assert!(matches!(error, ModelError::Unreadable { .. }), "{error}");
    }
}
