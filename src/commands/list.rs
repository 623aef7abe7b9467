//! `eyelet list boards|models|cameras|displays`: lists what is available.

use super::print_line;
use crate::Failure;
use crate::board::choose::SHIPPED;
use crate::board::{Board, Tier};
use crate::built_in;
use crate::camera::v4l2::{self, Kind, Sizes};
use crate::data_roots::DataRoots;
use crate::model::{ModelError, Named, find};
use crate::output::print_json;
use crate::show::{self, drm, framebuffer};
use crate::toml_file::Word;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Arguments of `eyelet list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to list
    #[arg(value_enum)]
    what: What,
    /// Print one JSON object per item and line
    #[arg(long)]
    json: bool,
    /// With cameras: print each control with its range, default and value (JSON always includes them)
    #[arg(long)]
    controls: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum What {
    /// The built-in boards
    Boards,
    /// The known models, and whether their files are on this machine
    Models,
    /// The video devices of this machine
    Cameras,
    /// The framebuffers and display connectors of this machine
    Displays,
}

/// One item, as text and as JSON.
struct Entry {
    /// One line; a camera has more.
    text: String,
    json: Value,
}

/// Prints one line per item.
pub fn run(args: &Args) -> Result<(), Failure> {
    let roots = DataRoots::of_this_machine();
    let (entries, hint) = match args.what {
        What::Boards => (boards(&roots)?, ""),
        What::Models => (models(&roots), ""),
        What::Cameras => (
            v4l2::list()
                .iter()
                .map(|found| camera(found, args.controls))
                .collect(),
            "no video device: plug in a camera, or load its driver; a CSI camera comes through `--camera -`",
        ),
        What::Displays => (
            show::list().iter().map(display).collect(),
            "no framebuffer and no display connector: connect a display, or load its driver; [display.png] needs none",
        ),
    };
    match (args.json, entries.is_empty()) {
        (false, false) => {
            let lines = entries.iter().flat_map(|entry| entry.text.lines());
            { lines }.try_for_each(print_line)
        }
        (false, true) => print_line(hint),
        (true, false) => entries
            .into_iter()
            .try_for_each(|entry| print_json(entry.json)),
        (true, true) => {
            log::info!("{hint}");
            Ok(())
        }
    }
}

fn boards(roots: &DataRoots) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::with_capacity(SHIPPED.len());
    let width = SHIPPED.iter().map(|shipped| shipped.name.len()).max();
    let width = width.unwrap_or(0);
    for shipped in SHIPPED {
        let board = Board::named(shipped.name, roots)?;
        let tested = match board.tier {
            Tier::Hardware => "tested on hardware",
            Tier::Emulation => "tested in emulation",
            Tier::Untested => "not tested",
        };
        let tier = board.tier.word();
        let (name, description) = (board.name, board.description);
        entries.push(Entry {
            text: format!("{name:<width$} {tested:<20} {description}"),
            json: json!({"board": name, "tier": tier, "description": description}),
        });
    }
    Ok(entries)
}

/// Built-in models and those of the data roots, each with its variants.
fn models(roots: &DataRoots) -> Vec<Entry> {
    let mut entries = Vec::new();
    for name in Named::names(roots) {
        match Named::find(&name, roots) {
            Err(ModelError::UnknownName { .. }) => {}
            Err(fault) => {
                let fault = fault.to_string();
                let first = fault.lines().next().unwrap_or_default();
                entries.push(Entry {
                    text: format!("{name:<22} faulty: {first}"),
                    json: json!({"model": name, "description": null, "file": null, "fault": first}),
                });
            }
            Ok(named) => {
                let variants = named.definition.variants.keys().cloned().map(Some);
                let variants: Vec<_> = std::iter::once(None).chain(variants).collect();
                for variant in variants {
                    entries.push(model(
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
    entries
}

fn model(named: &Named, roots: &DataRoots) -> Entry {
    let name = named.full_name();
    let (file, fault) = match named.path(roots) {
        Ok(path) => {
            let length = find::length_of(&path).unwrap_or(0);
            let stated = named.network_file().size_bytes;
            let fits = stated.is_none_or(|size| size == length);
            let fault = (!fits).then(|| "its length differs from the stated one".to_owned());
            let file = match built_in::read(&path) {
                Some(_) => "in the program itself".to_owned(),
                None => path.display().to_string(),
            };
            (Some(file), fault)
        }
        Err(ModelError::Missing { remedy, .. }) => (None, Some(format!("not here ({remedy})"))),
        Err(error) => (None, Some(error.to_string())),
    };
    let state = match (&file, &fault) {
        (Some(file), Some(fault)) => format!("{file} ({fault})"),
        (Some(state), None) | (None, Some(state)) => state.clone(),
        (None, None) => String::new(),
    };
    let own = named.network_file().description.as_ref();
    let description = own.unwrap_or(&named.definition.description);
    Entry {
        text: match (&named.variant, own) {
            (Some(_), None) => format!("{name:<22} {state}"),
            _ => format!("{name:<22} {description} - {state}"),
        },
        json: json!({"model": name, "description": description, "file": file, "fault": fault}),
    }
}

fn camera(found: &v4l2::Found, with_controls: bool) -> Entry {
    let formats = found.formats.iter().map(|entry| {
        let (sizes, least, most) = match &entry.sizes {
            Sizes::Discrete(sizes) => (json!(sizes), json!(null), json!(null)),
            Sizes::Range { least, most } => (json!(null), json!(least), json!(most)),
        };
        json!({
            "fourcc": entry.code.to_string(), "format": entry.format.map(|format| format.to_string()),
            "sizes_px": sizes, "least_px": least, "most_px": most,
        })
    });
    let links = found.links.iter().map(|link| link.to_string_lossy());
    let mut text = found.to_string();
    for control in found.controls.iter().filter(|_| with_controls) {
        // Writing to a String does not fail.
        let _ = write!(text, "\n  control {control}");
    }
    let controls = found.controls.iter().map(control);
    Entry {
        text,
        json: json!({
            "camera": found.path.to_string_lossy(), "card": found.card, "driver": found.driver, "bus": found.bus,
            "links": links.collect::<Vec<_>>(), "pipeline": found.pipeline, "formats": formats.collect::<Vec<_>>(),
            "controls": controls.collect::<Vec<_>>(), "fault": found.unusable,
        }),
    }
}

fn control(control: &v4l2::Control) -> Value {
    let kind = match control.kind {
        Kind::Whole => "whole",
        Kind::Flag => "flag",
        Kind::Menu => "menu",
        Kind::Bits => "bits",
        Kind::Other => "other",
    };
    let entries = control.entries.iter();
    json!({
        "name": control.name, "kind": kind, "least": control.least, "most": control.most, "step": control.step,
        "default": control.default, "value": control.value, "read_only": control.is_read_only, "inactive": control.is_inactive,
        "entries": entries.map(|(value, name)| json!({"value": value, "name": name})).collect::<Vec<_>>(),
    })
}

fn display(found: &show::Found) -> Entry {
    Entry {
        text: found.to_string(),
        json: match found {
            show::Found::Framebuffer(found) => of_framebuffer(found),
            show::Found::Drm(found) => of_connector(found),
        },
    }
}

fn of_framebuffer(found: &framebuffer::Found) -> Value {
    let screen = found.screen.as_ref().ok();
    json!({
        "display": found.path.to_string_lossy(), "driver": found.driver, "connector": null, "state": null,
        "width_px": screen.map(|s| s.width_px), "height_px": screen.map(|s| s.height_px), "rate_hz": null,
        "bits": screen.map(|s| s.bits), "fault": found.screen.as_ref().err(),
    })
}

fn of_connector(found: &drm::Found) -> Value {
    let connector = found.connector.as_ref().ok();
    let mode = connector.and_then(|c| c.mode);
    json!({
        "display": found.path.to_string_lossy(), "driver": found.driver,
        "connector": connector.map(|c| &c.name), "state": connector.map(|c| drm::word(c.state)),
        "width_px": mode.map(|m| m.width_px), "height_px": mode.map(|m| m.height_px), "rate_hz": mode.map(|m| m.rate_hz),
        "bits": null, "fault": found.connector.as_ref().err(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::camera::v4l2::{FoundFormat, FourCc};
    use crate::frame::PixelFormat;
    use show::framebuffer::FoundScreen;
    use std::fs;

    #[test]
    fn every_board_is_listed() {
        let entries = boards(&DataRoots::new(vec![], None, None)).unwrap();
        assert_eq!(entries.len(), SHIPPED.len());
        let virt = entries.iter().find(|entry| entry.json["board"] == "virt");
        let virt = virt.unwrap();
        assert!(virt.text.starts_with("virt ") && virt.text.contains("tested in emulation"));
        assert_eq!(virt.json["tier"], "emulation");
    }

    #[test]
    fn models_show_whether_they_are_on_this_machine() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("models");
        fs::create_dir_all(folder.join("mobilenet-v2")).unwrap();
        fs::write(folder.join("mobilenet-v2/mobilenetv2-12.onnx"), "short").unwrap();
        fs::create_dir_all(folder.join("mine")).unwrap();
        fs::write(folder.join("mine/model.toml"), "file = 1").unwrap();
        let roots = DataRoots::new(vec![root.path().into()], None, None);
        let entries = models(&roots);
        let entry = |name: &str| {
            let found = entries.iter().find(|entry| entry.json["model"] == name);
            found.unwrap_or_else(|| panic!("{name} is not listed"))
        };
        for (name, is_here, words) in [
            ("mobilenet-v2", false, "`eyelet model pull mobilenet-v2`"),
            ("mobilenet-v2@12", true, "its length differs"),
            ("mobilenet-v2@12-qdq", false, "not here"),
            (
                "efficientnet-lite0",
                false,
                "not here (it comes with the source tree",
            ),
        ] {
            let Entry { text, json } = entry(name);
            assert!(text.starts_with(&format!("{name} ")), "{text}");
            assert!(text.contains(words), "{text}");
            assert!(json["fault"].as_str().unwrap().contains(words), "{json}");
            assert_eq!(json["file"].is_string(), is_here, "{json}");
        }
        assert!(entry("mine").text.contains("faulty: "));
        let described = |name: &str| entry(name).json["description"].as_str().unwrap();
        assert!(described("mobilenet-v2").contains("float32"));
        assert!(described("mobilenet-v2@12-int8").contains("int8"));
        assert!(!described("mobilenet-v2@12-int8").contains("float32"));
    }

    #[test]
    fn cameras_and_displays_print_the_same_as_text_and_json() {
        let format = |code: &[u8; 4], format, sizes| FoundFormat {
            code: FourCc(*code),
            format,
            sizes,
        };
        let found = v4l2::Found {
            path: "/dev/video0".into(),
            links: vec!["/dev/v4l/by-id/a".into()],
            driver: "uvcvideo".into(),
            card: "Webcam".into(),
            bus: "usb-1".into(),
            pipeline: Some("sensor:0 -> node:0".into()),
            formats: vec![
                format(
                    b"YUYV",
                    Some(PixelFormat::Yuyv),
                    Sizes::Discrete(vec![(640, 480)]),
                ),
                format(
                    b"H264",
                    None,
                    Sizes::Range {
                        least: (16, 16),
                        most: (1920, 1080),
                    },
                ),
            ],
            controls: vec![v4l2::Control {
                id: 1,
                name: "gain".into(),
                kind: Kind::Menu,
                least: 0,
                most: 1,
                step: 1,
                default: 0,
                value: Some(1),
                entries: vec![(0, "low".into()), (1, "high".into())],
                is_read_only: false,
                is_inactive: true,
            }],
            unusable: None,
        };
        assert!(!camera(&found, false).text.contains("gain"));
        let Entry { text, json } = camera(&found, true);
        assert!(text.ends_with(
            "\n  control gain: one of \"low\" (0), \"high\" (1), default \"low\", now \"high\", held by another control"
        ));
        let control = &json["controls"][0];
        assert_eq!(control["kind"], "menu");
        assert_eq!(control["entries"][1], json!({"value": 1, "name": "high"}));
        assert_eq!(json["camera"], "/dev/video0");
        assert_eq!(json["pipeline"], "sensor:0 -> node:0");
        assert_eq!(json["formats"][0]["sizes_px"], json!([[640, 480]]));
        assert_eq!(json["formats"][1]["format"], json!(null));
        assert_eq!(json["formats"][1]["most_px"], json!([1920, 1080]));
        let mut screen = framebuffer::Found {
            path: "/dev/fb0".into(),
            driver: "simple".into(),
            screen: Ok(FoundScreen {
                width_px: 480,
                height_px: 320,
                bits: 16,
            }),
        };
        let Entry { text, json } = display(&show::Found::Framebuffer(screen.clone()));
        assert_eq!(text, "/dev/fb0 simple: 480 x 320 pixels, 16 bits");
        assert_eq!(
            (&json["width_px"], &json["fault"]),
            (&json!(480), &json!(null))
        );
        screen.screen = Err("Permission denied".into());
        let Entry { text, json } = display(&show::Found::Framebuffer(screen));
        assert_eq!(text, "/dev/fb0 simple: Permission denied");
        assert_eq!(json["fault"], "Permission denied");
    }

    #[test]
    fn a_connector_prints_the_same_as_text_and_json() {
        let holds = |json: &Value, keys: &[(&str, Value)]| {
            for (key, value) in keys {
                assert_eq!(&json[key], value, "{key}");
            }
        };
        let mut found = drm::Found {
            path: "/dev/dri/card0".into(),
            driver: "vc4".into(),
            connector: Ok(drm::FoundConnector {
                name: "HDMI-A-1".into(),
                state: drm::State::Connected,
                mode: Some(drm::Timing {
                    width_px: 1024,
                    height_px: 600,
                    rate_hz: 60,
                    is_preferred: true,
                    is_interlaced: false,
                }),
            }),
        };
        let Entry { text, json } = display(&show::Found::Drm(found.clone()));
        assert_eq!(
            text,
            "/dev/dri/card0 vc4: HDMI-A-1 connected, 1024 x 600 pixels at 60 Hz"
        );
        holds(
            &json,
            &[
                ("display", json!("/dev/dri/card0")),
                ("connector", json!("HDMI-A-1")),
                ("state", json!("connected")),
                ("width_px", json!(1024)),
                ("height_px", json!(600)),
                ("rate_hz", json!(60)),
                ("fault", json!(null)),
            ],
        );
        found.connector = Err("Permission denied".into());
        let Entry { json, .. } = display(&show::Found::Drm(found));
        holds(
            &json,
            &[
                ("connector", json!(null)),
                ("state", json!(null)),
                ("rate_hz", json!(null)),
                ("fault", json!("Permission denied")),
            ],
        );
    }
}
