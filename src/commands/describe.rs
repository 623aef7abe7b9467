//! `eyelet model describe`: writes a `model.toml` to start from, and compares a network's classes for photos under each
//! preprocessing rule that it may have been trained with.

use super::classify::inputs::{self, Picture};
use super::print_line;
use crate::built_in;
use crate::camera::read_picture;
use crate::decide::{Candidate, best};
use crate::model::describe::{self, Head};
use crate::model::facts::{self, Source};
use crate::model::rules::{Rule, plausible};
use crate::model::{Model, find, labels, own_toml_name};
use crate::network::Network;
use crate::network::error::NetworkError;
use crate::preprocess::Mount;
use crate::preprocess::Preprocess;
use crate::spec::{ChannelOrder, Dtype};
use crate::{Cause, Failure, limits, named};
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Arguments of `eyelet model describe`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An ONNX file, or a model by name
    #[arg(value_name = "FILE.onnx|NAME")]
    model: String,
    /// Photos of things that the network knows, or folders of them: its classes are shown under each rule of scale, mean and channels
    #[arg(value_name = "PHOTO")]
    photos: Vec<PathBuf>,
    /// The labels, one per line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Write the description to this file, beside the network (otherwise it is printed, unless there are photos)
    #[arg(long, short, value_name = "FILE.toml")]
    output: Option<PathBuf>,
    /// Overwrite that file
    #[arg(long, requires = "output")]
    force: bool,
    /// Threads that run the network
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = limits::flag::<usize>(limits::THREADS))]
    threads: usize,
}

/// Writes the description, and compares the rules.
pub fn run(args: &Args) -> Result<(), Failure> {
    let model = Model::find(&args.model, args.labels.as_deref())?;
    let toml = description(args, &model)?;
    match &args.output {
        Some(output) => {
            write(output, &toml, args.force)?;
            let guesses = model.facts.iter().filter(|fact| fact.is_assumed()).count();
            log::info!(
                "{} is written: {guesses} of {} values are guesses, to be corrected where they are wrong",
                output.display(),
                model.facts.len()
            );
            beside(output, &model);
        }
        None if args.photos.is_empty() => toml.lines().try_for_each(print_line)?,
        None => {}
    }
    if args.photos.is_empty() {
        return Ok(());
    }
    compare(args, &model)?;
    match &args.output {
        Some(_) => Ok(()),
        None => print_line("to write the description, pass --output FILE.toml"),
    }
}

/// The text of the `model.toml`.
fn description(args: &Args, model: &Model) -> Result<String, Failure> {
    let file = model.file.file_name().unwrap_or_default().to_string_lossy();
    let own = own_toml_name(&model.file);
    // Paths of labels are relative to the file's folder: the output's, or the network's.
    let place = args.output.as_ref().unwrap_or(&model.file);
    let folder = place.parent().unwrap_or(Path::new(""));
    let labels = args.labels.as_deref().map(|asked| {
        describe::relative(folder, asked).ok_or_else(|| {
            let why = format!(
                "{} has no path relative to {}",
                asked.display(),
                folder.display()
            );
            Failure::new(Cause::Model, why)
        })
    });
    let head = Head {
        introduction: vec![
            format!(
                "What Eyelet believes about {file}, and the source of each value. Used if it is beside it as {own} or model.toml."
            ),
            format!(
                "What is \"assumed\" is a guess: {}",
                describe::WHAT_TO_DO[0]
            ),
            describe::WHAT_TO_DO[1].to_owned(),
        ],
        description: describe::description(model, &model.name),
        file: file.into_owned(),
        known_by: None,
        labels: labels.transpose()?,
    };
    Ok(describe::toml(model, &head)?)
}

/// Writes a text file; overwrites an existing one only with `force`.
fn write(output: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let fail = |why: String| {
        let what = format!("cannot write {}: {why}", output.display());
        Failure::new(Cause::Output, what)
    };
    let place = named::output_place(output).map_err(|error| fail(error.to_string()))?;
    if !force && fs::symlink_metadata(&place).is_ok() {
        return Err(fail("it already exists; --force replaces it".to_owned()));
    }
    // Write to a temporary file first, so that a full disk destroys nothing.
    let written = tempfile::Builder::new()
        .prefix(".eyelet-describe-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(named::folder_of(&place))
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            Ok(file.persist(&place)?)
        });
    written.map(|_| ()).map_err(|error| fail(error.to_string()))
}

/// Logs a hint when the description was written where it has no effect.
fn beside(output: &Path, model: &Model) {
    let counts = [
        model.file.with_extension("toml"),
        model.file.with_file_name(find::MODEL_TOML),
    ];
    let real = |path: &PathBuf| path.canonicalize().ok();
    let output_is = real(&output.to_owned());
    if !counts.iter().any(|place| real(place) == output_is) {
        log::warn!(
            "{} has no effect there: put it beside {} as {}",
            output.display(),
            built_in::shown(&model.file),
            counts[0].file_name().unwrap_or_default().to_string_lossy()
        );
    }
}

/// How many classes of each photo are shown.
const TOP: usize = 3;
/// Column widths in characters.
const PHOTO_WIDTH: usize = 16;
const LABEL_WIDTH: usize = 15;

/// A rule, while photos are run under it.
struct Column {
    rule: Rule,
    preprocess: Preprocess,
    /// The sum of the best classes' probabilities.
    sum: f32,
}

/// A rule's classes for a photo, best first; `None` if a score is not a number.
type Cell = Option<Vec<Candidate>>;

/// Shows the network's classes for each photo under each rule.
fn compare(args: &Args, model: &Model) -> Result<(), Failure> {
    let inspected =
        find::inspect_file(&model.file).map_err(|why| Failure::new(Cause::Model, why))?;
    let mut network = Network::load(model, args.threads)?;
    let column = |rule: Rule| Column {
        preprocess: Preprocess::new(
            &rule.input,
            Mount::default(),
            network.encoder_for(&rule.input),
        ),
        rule,
        sum: 0.0,
    };
    let mut columns: Vec<Column> = plausible(&model.input, &inspected)
        .into_iter()
        .map(column)
        .collect();
    let mut rows = Vec::new();
    let mut unread = 0;
    let pictures = inputs::list(&args.photos, None)?;
    for picture in &pictures {
        let cells = match picture {
            Picture::Fault(_, why) => Err(Failure::new(Cause::Picture, why)),
            other => cells(other.name(), model, &mut network, &mut columns),
        };
        match cells {
            Ok(cells) => rows.push((picture.name(), cells)),
            Err(failure) if failure.cause == Cause::Picture => {
                unread += 1;
                failure.report();
            }
            Err(failure) => return Err(failure),
        }
    }
    if !rows.is_empty() {
        let shown = labels::shown(&model.labels);
        table(&columns, &rows, &shown)?;
        verdict(&columns, rows.len())?;
    }
    match unread {
        0 => Ok(()),
        n => {
            let all = pictures.len();
            let what = format!("{n} of {all} pictures could not be read");
            Err(Failure::new(Cause::Picture, what))
        }
    }
}

/// The best classes of one photo, under each rule.
fn cells(
    photo: &Path,
    model: &Model,
    network: &mut Network,
    columns: &mut [Column],
) -> Result<Vec<Cell>, Failure> {
    let unread = |e: &dyn std::fmt::Display| Failure::new(Cause::Picture, e);
    let picture = read_picture(photo).map_err(|e| unread(&e))?;
    let frame = picture.frame().map_err(|e| unread(&e))?;
    let mut cells = Vec::with_capacity(columns.len());
    for column in columns {
        column
            .preprocess
            .run(&frame, network.input())
            .map_err(|e| unread(&e))?;
        let top = match network.run() {
            Ok(scores) => best(scores, model.output.kind, TOP),
            // A rule's numbers may overflow with these pixels.
            Err(NetworkError::Run(_)) => {
                cells.push(None);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        column.sum += top.first().map_or(0.0, |best| best.probability);
        cells.push(Some(top));
    }
    Ok(cells)
}

/// Prints one block per channel order, with a column per rule and a row per photo and rank.
fn table(
    columns: &[Column],
    rows: &[(&Path, Vec<Cell>)],
    labels: &[String],
) -> Result<(), Failure> {
    for order in [ChannelOrder::Rgb, ChannelOrder::Bgr] {
        let of_order = |column: &Column| column.rule.input.channels == order;
        let block: Vec<usize> = (0..columns.len())
            .filter(|&index| of_order(&columns[index]))
            .collect();
        if block.is_empty() {
            continue;
        }
        let head = block.iter().map(|&index| {
            let rule = &columns[index].rule;
            format!("{}{}", rule.name, if rule.is_described { " *" } else { "" })
        });
        line(&format!("channels {}", facts::channels(order)), head)?;
        for (photo, cells) in rows {
            let name = photo.file_name().unwrap_or(photo.as_os_str());
            let ranks = cells.iter().flatten().map(Vec::len).max().unwrap_or(1);
            for rank in 0..ranks {
                let name = match rank {
                    0 => name.to_string_lossy(),
                    _ => "".into(),
                };
                let row = block.iter().map(|&index| match &cells[index] {
                    None => "no number".to_owned(),
                    Some(top) => top
                        .get(rank)
                        .map_or(String::new(), |c| entry(&labels[c.class], c.probability)),
                });
                line(&name, row)?;
            }
        }
        let means = block
            .iter()
            .map(|&index| entry("", columns[index].sum / rows.len() as f32));
        line("mean of the best", means)?;
    }
    Ok(())
}

/// A label and its probability.
fn entry(label: &str, probability: f32) -> String {
    let label = fitted(label, LABEL_WIDTH);
    format!("{label:<LABEL_WIDTH$}{:>5.0} %", probability * 100.0)
}

fn line(first: &str, cells: impl Iterator<Item = String>) -> Result<(), Failure> {
    const CELL_WIDTH: usize = LABEL_WIDTH + 7;
    let mut text = format!("{:<PHOTO_WIDTH$}", fitted(first, PHOTO_WIDTH));
    for cell in cells {
        text.push_str(&format!("  {cell:<CELL_WIDTH$}"));
    }
    print_line(text.trim_end())
}

/// A text of at most `width` characters.
fn fitted(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let begin: String = text.chars().take(width.saturating_sub(2)).collect();
    format!("{begin}..")
}

/// Prints each rule in the terms of `model.toml`, and which of them made the network the surest.
fn verdict(columns: &[Column], photos: usize) -> Result<(), Failure> {
    let mut shown = Vec::new();
    for Column { rule, .. } in columns {
        if shown.contains(&rule.name) || rule.input.dtype == Dtype::U8 {
            continue;
        }
        shown.push(rule.name);
        let facts = facts::of_input(&rule.input, |_| Source::Asked);
        let keys = ["input.scale", "input.mean", "input.std"];
        let stated = facts.iter().filter(|fact| keys.contains(&fact.key));
        let stated: Vec<String> = stated
            .map(|fact| format!("{} = {}", fact.key.trim_start_matches("input."), fact.value))
            .collect();
        print_line(format_args!("{:<10} {}", rule.name, stated.join(", ")))?;
    }
    let described = if columns.iter().any(|column| column.rule.is_described) {
        "* marks the rule in the description. "
    } else {
        ""
    };
    let surest = columns.iter().max_by(|a, b| a.sum.total_cmp(&b.sum));
    let Some(Column { rule, sum, .. }) = surest else {
        return Ok(());
    };
    print_line(format_args!(
        "{described}Surest on average, with {:.0} %: {} with channels = {}. That is a hint, not proof: a wrong rule can be sure \
         of itself. Choose the one whose classes are right",
        sum / photos as f32 * 100.0,
        rule.name,
        facts::channels(rule.input.channels)
    ))
}
