//! `eyelet list boards|models|cameras|displays`: what there is to choose from.

use super::print_line;
use crate::Failure;
use crate::board::choose::SHIPPED;
use crate::board::{Board, Tier};
use crate::built_in;
use crate::camera::v4l2;
use crate::data_roots::DataRoots;
use crate::model::{ModelError, Named, find, shipped};
use crate::show;
use std::collections::BTreeSet;
use std::fs;

/// Arguments of `eyelet list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to list
    #[arg(value_enum)]
    what: What,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum What {
    /// The boards that are built in
    Boards,
    /// The models that are known, and whether their files are here
    Models,
    /// The video devices of this machine
    Cameras,
    /// The framebuffers of this machine
    Displays,
}

/// Prints one line a thing.
pub fn run(args: &Args) -> Result<(), Failure> {
    let roots = DataRoots::of_this_machine();
    let lines = match args.what {
        What::Boards => boards(&roots)?,
        What::Models => models(&roots),
        What::Cameras => or_hint(
            v4l2::list().iter().map(ToString::to_string).collect(),
            "no video device: plug a camera in, or load its driver; a CSI camera comes through `--camera -`",
        ),
        What::Displays => or_hint(
            show::list(),
            "no framebuffer: connect a display, or load its driver; [display.png] needs none",
        ),
    };
    lines.iter().try_for_each(print_line)
}

fn boards(roots: &DataRoots) -> Result<Vec<String>, Failure> {
    let mut lines = Vec::with_capacity(SHIPPED.len());
    for shipped in SHIPPED {
        let board = Board::named(shipped.name, roots)?;
        let tier = match board.tier {
            Tier::Hardware => "tested on hardware",
            Tier::Emulation => "tested in emulation",
            Tier::Untested => "not tested",
        };
        let (name, description) = (board.name, board.description);
        lines.push(format!("{name:<22} {tier:<20} {description}"));
    }
    Ok(lines)
}

/// Compiled-in models and those of the data roots, each with its variants.
fn models(roots: &DataRoots) -> Vec<String> {
    let mut names: BTreeSet<String> = shipped::names().map(str::to_owned).collect();
    for root in &roots.folders {
        let entries = fs::read_dir(root.join("models"));
        for entry in entries.into_iter().flatten().flatten() {
            if entry.path().join("model.toml").is_file() {
                names.extend(entry.file_name().into_string());
            }
        }
    }
    let mut lines = Vec::new();
    for name in names {
        match Named::find(&name, roots) {
            Err(ModelError::UnknownName { .. }) => {}
            Err(fault) => {
                let fault = fault.to_string();
                let first = fault.lines().next().unwrap_or_default();
                lines.push(format!("{name:<22} faulty: {first}"));
            }
            Ok(named) => {
                let variants = named.definition.variants.keys().cloned().map(Some);
                let variants: Vec<_> = std::iter::once(None).chain(variants).collect();
                for variant in variants {
                    lines.push(model(
                        &Named {
                            variant,
                            ..named.clone()
                        },
                        roots,
                    ));
                }
            }
        }
    }
    lines
}

fn model(named: &Named, roots: &DataRoots) -> String {
    let name = named.full_name();
    let state = match named.path(roots) {
        Ok(path) => {
            let length = find::length_of(&path).unwrap_or(0);
            let fits = named
                .network_file()
                .size_bytes
                .is_none_or(|size| size == length);
            let doubt = if fits {
                ""
            } else {
                " (of another length than stated)"
            };
            if built_in::read(&path).is_some() {
                "in the program itself".to_owned()
            } else {
                format!("{}{doubt}", path.display())
            }
        }
        Err(ModelError::Missing { remedy, .. }) => format!("not here ({remedy})"),
        Err(error) => error.to_string(),
    };
    match named.variant {
        None => format!("{name:<22} {} - {state}", named.definition.description),
        Some(_) => format!("{name:<22} {state}"),
    }
}

/// What was found, or the one line that says what to do when nothing was.
fn or_hint(lines: Vec<String>, hint: &str) -> Vec<String> {
    if lines.is_empty() {
        vec![hint.to_owned()]
    } else {
        lines
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_board_has_a_line() {
        let lines = boards(&DataRoots::new(vec![], None, None)).unwrap();
        assert_eq!(lines.len(), SHIPPED.len());
        let virt = lines.iter().find(|line| line.starts_with("virt "));
        assert!(virt.unwrap().contains("tested in emulation"));
    }

    #[test]
    fn models_say_whether_they_are_here() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("models");
        fs::create_dir_all(folder.join("mobilenet-v2")).unwrap();
        fs::write(folder.join("mobilenet-v2/mobilenetv2-12.onnx"), "short").unwrap();
        fs::create_dir_all(folder.join("mine")).unwrap();
        fs::write(folder.join("mine/model.toml"), "file = 1").unwrap();
        let roots = DataRoots::new(vec![root.path().into()], None, None);
        let lines = models(&roots);
        let line = |start: &str| {
            let found = lines.iter().find(|line| line.starts_with(start));
            found.unwrap_or_else(|| panic!("{start}: {lines:#?}"))
        };
        assert!(line("mobilenet-v2 ").contains("`eyelet model pull mobilenet-v2`"));
        assert!(line("mobilenet-v2@12 ").contains("of another length"));
        assert!(line("mobilenet-v2@12-qdq ").contains("not here"));
        assert!(line("mine ").contains("faulty: "));
        assert!(line("efficientnet-lite0 ").contains("not here (it comes with the source tree"));
    }
}
