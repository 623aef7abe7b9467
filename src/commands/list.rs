//! `eyelet list boards|models|cameras|displays`: what there is to choose from.

use super::print_line;
use crate::Failure;
use crate::board::choose::SHIPPED;
use crate::board::{Board, Tier};
use crate::data_roots::DataRoots;
use crate::model::{ModelError, Named, shipped};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

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
        What::Cameras => cameras(Path::new("/")),
        What::Displays => displays(Path::new("/")),
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
            let length = fs::metadata(&path).map_or(0, |metadata| metadata.len());
            let fits = named
                .network_file()
                .size_bytes
                .is_none_or(|size| size == length);
            let doubt = if fits {
                ""
            } else {
                " (of another length than stated)"
            };
            format!("{}{doubt}", path.display())
        }
        Err(ModelError::Missing { remedy, .. }) => format!("not here ({remedy})"),
        Err(error) => error.to_string(),
    };
    match named.variant {
        None => format!("{name:<22} {} - {state}", named.definition.description),
        Some(_) => format!("{name:<22} {state}"),
    }
}

/// One line a node of `/sys/class/video4linux`: the device, the driver's name for it, and its lasting links.
fn cameras(root: &Path) -> Vec<String> {
    let mut nodes: Vec<(u32, String)> = fs::read_dir(root.join("sys/class/video4linux"))
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let node = entry.file_name().into_string().ok()?;
            let number = node.strip_prefix("video")?.parse().ok()?;
            let name = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
            let mut line = format!("/dev/{node:<8} {}", name.trim());
            for kind in ["by-id", "by-path"] {
                for link in links(&root.join("dev/v4l").join(kind), &node) {
                    line.push_str(&format!("  /dev/v4l/{kind}/{link}"));
                }
            }
            Some((number, line))
        })
        .collect();
    nodes.sort();
    if nodes.is_empty() {
        return vec![
            "no video device: plug a camera in, or load its driver; a CSI camera comes through [camera.pipe]"
                .to_owned(),
        ];
    }
    nodes.into_iter().map(|(_, line)| line).collect()
}

/// The links in `folder` that end at a node of this name, in name order.
fn links(folder: &Path, node: &str) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let end = fs::read_link(entry.path()).ok()?;
            let hits = end.file_name().is_some_and(|name| name == node);
            hits.then(|| entry.file_name().into_string().ok())?
        })
        .collect();
    names.sort();
    names
}

/// One line an entry of `/proc/fb`: the device, the driver, and its size and depth.
fn displays(root: &Path) -> Vec<String> {
    let list = fs::read_to_string(root.join("proc/fb")).unwrap_or_default();
    let lines: Vec<String> = list
        .lines()
        .filter_map(|line| {
            let (number, driver) = line.split_once(' ')?;
            let number: u32 = number.parse().ok()?;
            let attribute = |name| {
                let file = root.join(format!("sys/class/graphics/fb{number}/{name}"));
                let text = fs::read_to_string(file).ok()?;
                Some(text.trim().replace(',', "x"))
            };
            let size = attribute("virtual_size").unwrap_or_default();
            let depth = attribute("bits_per_pixel")
                .map_or_else(String::new, |bits| format!(", {bits} bits a pixel"));
            let line = format!("/dev/fb{number:<3} {driver:<20} {size}{depth}");
            Some(line.trim_end().to_owned())
        })
        .collect();
    if lines.is_empty() {
        return vec![
            "no framebuffer: connect a display, or load its driver; [display.png] needs none"
                .to_owned(),
        ];
    }
    lines
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

    #[test]
    fn cameras_are_listed_by_number_with_their_links() {
        let root = tempfile::tempdir().unwrap();
        assert!(cameras(root.path())[0].starts_with("no video device"));
        let class = root.path().join("sys/class/video4linux");
        for (node, name) in [
            ("video10", "vivid\n"),
            ("video2", "USB cam\n"),
            ("v4l-subdev0", "x"),
        ] {
            fs::create_dir_all(class.join(node)).unwrap();
            fs::write(class.join(node).join("name"), name).unwrap();
        }
        let by_id = root.path().join("dev/v4l/by-id");
        fs::create_dir_all(&by_id).unwrap();
        std::os::unix::fs::symlink("../../video2", by_id.join("usb-cam-index0")).unwrap();
        assert_eq!(
            cameras(root.path()),
            [
                "/dev/video2   USB cam  /dev/v4l/by-id/usb-cam-index0",
                "/dev/video10  vivid",
            ]
        );
    }

    #[test]
    fn displays_are_listed_with_driver_and_size() {
        let root = tempfile::tempdir().unwrap();
        assert!(displays(root.path())[0].starts_with("no framebuffer"));
        fs::create_dir_all(root.path().join("proc")).unwrap();
        fs::write(root.path().join("proc/fb"), "0 virtio_gpudrmfb\n1 simple\n").unwrap();
        let fb0 = root.path().join("sys/class/graphics/fb0");
        fs::create_dir_all(&fb0).unwrap();
        fs::write(fb0.join("virtual_size"), "480,320\n").unwrap();
        fs::write(fb0.join("bits_per_pixel"), "32\n").unwrap();
        assert_eq!(
            displays(root.path()),
            [
                "/dev/fb0   virtio_gpudrmfb      480x320, 32 bits a pixel",
                "/dev/fb1   simple",
            ]
        );
    }
}
