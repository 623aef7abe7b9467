//! Every board of the tree is sound, and a board file that is not says where and what would be.
#![allow(clippy::unwrap_used)]

use eyelet::board::choose::SHIPPED;
use eyelet::board::firmware::{Firmware, Machine};
use eyelet::board::{Board, BoardError, Tier};
use eyelet::camera::CameraConfig;
use eyelet::data_roots::{Base, DataRoots};
use eyelet::decide::ClassRule;
use eyelet::frame::PixelFormat;
use eyelet::memory::PoolSize;
use eyelet::model::Definition;
use eyelet::show::canvas::{Orientation, Rotation};
use eyelet::show::{Depth, DisplayConfig, DrmConfig, Refresh, Shape};
use eyelet::spec::Resize;
use eyelet::toml_file::Word;
use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

const TREE: &str = env!("CARGO_MANIFEST_DIR");

fn tree() -> DataRoots {
    DataRoots::new(vec![TREE.into()], None, None)
}

/// A board with every key that has to be there, and nothing else. Line 7 is `[camera.pattern]`, line 11 `[display.none]`.
const SMALL: &str = r#"description = "test"
tier = "untested"
model = "mobilenet-v2"
threads = 1
pool_mib = 64

[camera.pattern]
width_px = 64
height_px = 48

[display.none]
"#;

fn parse(text: &str) -> Result<Board, Vec<String>> {
    Board::parse("t", "t.toml", text, Base::Folder(Path::new("/b"))).map_err(|faults| faults.lines)
}

#[test]
fn every_board_and_kit_in_the_folders_is_compiled_in_and_sound() {
    let in_folder = |folder: &str| {
        let mut files: Vec<String> = std::fs::read_dir(Path::new(TREE).join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".toml"))
            .map(|name| format!("{folder}/{name}"))
            .collect();
        files.sort();
        files
    };
    let in_folders = [in_folder("boards"), in_folder("boards/kits")].concat();
    let files: Vec<_> = SHIPPED.iter().map(|board| board.file).collect();
    assert_eq!(in_folders, files);
    let compiled_in: Vec<_> = SHIPPED.iter().map(|board| board.name.to_owned()).collect();
    let names: HashSet<_> = compiled_in.iter().collect();
    assert_eq!(names.len(), compiled_in.len(), "two files of one name");
    let readme = std::fs::read_to_string(Path::new(TREE).join("boards/README.md")).unwrap();
    let mut beginnings = HashSet::new();
    for name in compiled_in {
        let board = Board::named(&name, &tree()).unwrap();
        assert_eq!(board.name, name);
        // The model is one of the tree's.
        let name_alone = board.model.split('@').next().unwrap();
        let model = Path::new(TREE).join("models").join(name_alone);
        assert!(
            model.join("model.toml").is_file(),
            "{name}: {}",
            board.model
        );
        let is_kit = SHIPPED
            .iter()
            .any(|shipped| shipped.name == name && shipped.file.starts_with("boards/kits/"));
        assert!(
            !is_kit || board.device_tree_models.is_empty(),
            "{name}: nothing but --board chooses a kit"
        );
        for beginning in board.device_tree_models {
            assert!(beginnings.insert(beginning.clone()), "{beginning} twice");
        }
        let tier = match board.tier {
            Tier::Hardware => format!("| **`{name}`** |"),
            Tier::Emulation => format!("| `{name}` |"),
            Tier::Untested => format!("| *`{name}`* |"),
        };
        assert!(readme.contains(&tier), "boards/README.md lacks {tier}");
    }
}

#[test]
fn the_readme_documents_every_key() {
    let readme = std::fs::read_to_string(Path::new(TREE).join("boards/README.md")).unwrap();
    let text = SMALL.replace(
        "[camera.pattern]",
        "[camera.zz]\n[mount]\nzz=0\n[decide]\nzz=0\n[firmware]\nzz=0\n[x]",
    ) + "zz = 0\n[zz]\n";
    let mut lines = parse(&text).unwrap_err();
    for camera in ["v4l2", "still", "pipe", "pattern"] {
        let text = SMALL.replace("camera.pattern", &format!("camera.{camera}")) + "zz = 0\n";
        let text = text.replace("width_px = 64", "zz = 0");
        lines.extend(parse(&text).unwrap_err());
    }
    let text = SMALL.replace("camera.pattern", "camera.v4l2") + "[camera.v4l2.media]\nzz = 0\n";
    lines.extend(parse(&text).unwrap_err());
    for display in [
        "framebuffer",
        "drm",
        "spi",
        "oled",
        "epaper",
        "png",
        "window",
    ] {
        let text = SMALL.replace("display.none", &format!("display.{display}")) + "zz = 0\n";
        lines.extend(parse(&text).unwrap_err());
    }
    for table in ["zz", "program_fails", "camera_lost", "hot", "memory_low"] {
        let text = match table {
            "zz" => format!("{SMALL}[policy]\nzz = 0\n"),
            table => format!("{SMALL}[policy.{table}]\nzz = 0\n"),
        };
        lines.extend(parse(&text).unwrap_err());
    }
    let mut count = 0;
    for line in lines {
        let Some((_, allowed)) = line.split_once("(allowed: ") else {
            continue;
        };
        for key in allowed.trim_end_matches(')').split(", ") {
            assert!(
                readme.contains(&format!("`{key}`")) || readme.contains(&format!(".{key}]`")),
                "boards/README.md lacks {key}"
            );
            count += 1;
        }
    }
    assert!(count > 50, "only {count} keys were looked for");
}

#[test]
fn host_and_virt_say_what_they_are_for() {
    let host = Board::named("host", &tree()).unwrap();
    assert_eq!(host.model, "efficientnet-lite0");
    let CameraConfig::Still(still) = host.camera else {
        panic!("{:?}", host.camera)
    };
    assert_eq!((still.frames_each, still.repeat), (5, false));
    let [DisplayConfig::Png(png)] = &host.displays[..] else {
        panic!("{:?}", host.displays)
    };
    assert_eq!(png.folder, Path::new("eyelet-display"));
    assert_eq!((png.width_px, png.height_px), (480, 320));

    let virt = Board::named("virt", &tree()).unwrap();
    let CameraConfig::V4l2(camera) = virt.camera else {
        panic!("{:?}", virt.camera)
    };
    assert_eq!(camera.device, None);
    assert_eq!(camera.formats[..2], [PixelFormat::Mjpeg, PixelFormat::Yuyv]);
}

#[test]
fn omitted_keys_have_their_default() {
    let board = parse(SMALL).unwrap();
    assert_eq!(board.pool, PoolSize::Bytes(64 << 20));
    assert_eq!(board.displays, []);
    assert_eq!(board.mount, Default::default());
    assert_eq!(board.regions, []);
    assert_eq!(board.decide, Default::default());
    let CameraConfig::Pattern(pattern) = board.camera else {
        panic!("{:?}", board.camera)
    };
    assert_eq!((pattern.format, pattern.rate_fps), (PixelFormat::Yuyv, 0));
}

#[test]
fn a_drm_display_is_chosen_and_set_by_key() {
    let of = |keys: &str| {
        let text = SMALL.replace("[display.none]", &format!("[display.drm]\n{keys}"));
        parse(&text).map(|board| board.displays)
    };
    let plain = DrmConfig::default();
    assert_eq!(of(""), Ok(vec![DisplayConfig::Drm(plain.clone())]));
    assert!(!DisplayConfig::Drm(plain.clone()).settings().is_required());
    let all = of(
        "connector = \"HDMI-A-1\"\ndriver = \"vc4\"\nwidth_px = 1024\nheight_px = 600\nrate_hz = 60\n\
         rotate_deg = 270\nmirror = true\nrequired = true\n",
    );
    let all = all.unwrap().remove(0);
    assert_eq!(
        all,
        DisplayConfig::Drm(DrmConfig {
            connector: Some("HDMI-A-1".into()),
            driver: Some("vc4".into()),
            width_px: Some(1024),
            height_px: Some(600),
            rate_hz: Some(60),
            orientation: Orientation {
                rotation: Rotation::ThreeQuarters,
                mirror: true,
            },
            required: true,
        })
    );
    assert!(all.settings().is_required());
    assert_eq!(all.to_string(), "DRM, HDMI-A-1 of vc4, 1024x600 at 60 Hz");
    assert_eq!(
        of("rate_hz = 0\n").unwrap_err(),
        ["t.toml:12:1: display.drm.rate_hz: is 0, needs a whole number from 1 to 1000"]
    );
}

#[test]
fn a_window_is_for_programs_that_have_windows() {
    let text = SMALL.replace(
        "[display.none]",
        "[display.window]\nwidth_px = 240\nheight_px = 135\nscale = 4\ndepth = \"rgb565\"\n",
    );
    let parsed = parse(&text);
    assert_eq!(parsed.is_ok(), cfg!(feature = "window"));
    match parsed {
        Ok(board) => {
            let [DisplayConfig::Window(window)] = &*board.displays else {
                panic!("{:?}", board.displays)
            };
            assert_eq!((window.width_px, window.height_px), (240, 135));
            assert_eq!((window.scale, window.depth), (4, Depth::Rgb565));
        }
        Err(faults) => {
            let fault = faults.join("\n");
            assert!(
                fault.starts_with("t.toml:11:10: display.window: this program was built without")
                    && fault.contains("--features window"),
                "{fault}"
            );
        }
    }
    let text = text.replace("scale = 4", "scale = 3");
    let faults = parse(&text).unwrap_err().join("\n");
    assert!(
        faults.contains("display.window.scale: is 3, needs 1, 2, 4 or 8"),
        "{faults}"
    );
}

#[test]
fn classes_have_rules_by_name() {
    let text = format!(
        "{SMALL}[decide]\nenter = 0.6\nhold_ms = 100\nignore = [\"Ka\u{308}se\"]\n\
         [decide.class.tabby]\nenter = 0.2\n[decide.class.\"N.A.\"]\nleave = 0.1\nhold_ms = 7\nframes_in_a_row = 9\n\
         [decide.merge]\ncat = [\"tabby\", \"Egyptian cat\"]\n"
    );
    let decide = parse(&text).unwrap().decide;
    let common = decide.rule();
    let low = ClassRule {
        enter: 0.2,
        leave: 0.2,
        ..common
    };
    let slow = ClassRule {
        leave: 0.1,
        hold: Duration::from_millis(7),
        frames_in_a_row: 9,
        ..common
    };
    let classes = decide.classes;
    assert_eq!(
        classes.rules,
        [("N.A.".into(), slow), ("tabby".into(), low)]
    );
    // In composed letters.
    assert_eq!(classes.ignore, ["Käse"]);
    assert_eq!(
        classes.merge,
        [("cat".into(), vec!["tabby".into(), "Egyptian cat".into()])]
    );
}

#[test]
fn paths_are_relative_to_the_board_file() {
    let camera = "[camera.still]\nfiles = [\"p.jpg\", \"/abs/q.jpg\"]\n[decide]\nhold_ms = 1500";
    let text = SMALL
        .replace("[camera.pattern]\nwidth_px = 64\nheight_px = 48", camera)
        .replace("mobilenet-v2", "nets/mine.onnx")
        .replace(
            "[display.none]",
            "[display]\nfont = \"../fonts/a.ttf\"\n[display.png]\nfolder = \"out\"\nwidth_px = 128\nheight_px = 32\ndepth = \"mono\"",
        );
    let board = parse(&text).unwrap();
    assert_eq!(board.model, "/b/nets/mine.onnx");
    assert_eq!(board.font.as_deref(), Some(Path::new("/b/../fonts/a.ttf")));
    assert_eq!(board.decide.hold, Duration::from_millis(1500));
    let CameraConfig::Still(still) = board.camera else {
        panic!("{:?}", board.camera)
    };
    assert_eq!(
        still.files,
        [Path::new("/b/p.jpg"), Path::new("/abs/q.jpg")]
    );
    let [DisplayConfig::Png(png)] = &board.displays[..] else {
        panic!("{:?}", board.displays)
    };
    assert_eq!(png.folder, Path::new("/b/out"));
}

#[test]
fn displays_come_in_the_order_of_the_file() {
    let png = |folder: &str| {
        format!("[[display.png]]\nfolder = \"{folder}\"\nwidth_px = 128\nheight_px = 64\n")
    };
    let text = format!(
        "{}[display.framebuffer]\nmirror = true\nrequired = true\n{}",
        png("z"),
        png("a")
    );
    let displays = parse(&SMALL.replace("[display.none]", &text))
        .unwrap()
        .displays;
    let kinds: Vec<_> = displays
        .iter()
        .map(|display| display.settings().kind())
        .collect();
    assert_eq!(kinds, ["png", "framebuffer", "png"]);
    let names = DisplayConfig::names(&displays);
    assert_eq!(
        names,
        ["display png 1", "display framebuffer", "display png 2"]
    );
    assert_eq!(DisplayConfig::names(&displays[1..2]), ["display"]);
    assert!(displays[1].settings().is_required());
    let DisplayConfig::Png(last) = &displays[2] else {
        panic!("{displays:?}")
    };
    assert_eq!(last.folder, Path::new("/b/a"));
}

#[test]
fn png_files_imitate_round_displays_and_paper() {
    let png = |keys: &str| {
        let table =
            format!("[display.png]\nfolder = \"f\"\nwidth_px = 240\nheight_px = 240\n{keys}");
        let board = parse(&SMALL.replace("[display.none]", &table)).unwrap();
        let [DisplayConfig::Png(png)] = &*board.displays else {
            panic!("{:?}", board.displays)
        };
        (png.shape, png.refresh, png.depth)
    };
    assert_eq!(png(""), (Shape::Rectangle, Refresh::Live, Depth::Rgb888));
    assert_eq!(
        png("round = true\ndepth = \"rgb565\""),
        (Shape::Round, Refresh::Live, Depth::Rgb565)
    );
    assert_eq!(
        png("paper = true"),
        (Shape::Rectangle, Refresh::Standing, Depth::Mono)
    );
}

#[test]
fn a_compiled_in_board_takes_its_files_from_the_first_data_root_that_has_them() {
    let (empty, full) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir_all(full.path().join("boards/photos")).unwrap();
    let roots = DataRoots::new(vec![empty.path().into(), full.path().into()], None, None);
    let CameraConfig::Still(still) = Board::named("host", &roots).unwrap().camera else {
        panic!("host has a still camera")
    };
    assert_eq!(still.files, [full.path().join("boards/photos")]);
}

#[test]
fn firmware_says_the_machine_and_modules_with_their_options() {
    assert_eq!(parse(SMALL).unwrap().firmware, Firmware::default());
    let text = format!(
        "{SMALL}[firmware]\nmachine = \"virt\"\nmodules = [\"i2c-dev\", \"vivid n_devs=1 num_inputs=2\"]\n"
    );
    let firmware = parse(&text).unwrap().firmware;
    assert_eq!(firmware.machine, Some(Machine::Virt));
    let modules: Vec<_> = firmware
        .modules
        .iter()
        .map(|module| (module.name.as_str(), module.options.as_str()))
        .collect();
    assert_eq!(
        modules,
        [("i2c-dev", ""), ("vivid", "n_devs=1 num_inputs=2")]
    );
    // Every board and kit that is a computer of its own says which, by the beginning of its name.
    for shipped in SHIPPED {
        let machine = Board::named(shipped.name, &tree())
            .unwrap()
            .firmware
            .machine;
        let mut known = Machine::WORDS.iter();
        let known = known.find(|(name, _)| {
            let rest = shipped.name.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        });
        assert_eq!(
            machine,
            known.map(|(_, machine)| *machine),
            "{}",
            shipped.name
        );
    }
}

/// What is changed in [`SMALL`], into what, and the one fault that this is.
const FAULTS: &[(&str, &str, &str)] = &[
    (
        "threads = 1",
        "thread = 1\nthreads = 1",
        "t.toml:4:1: thread: unknown key, did you mean `threads`? (allowed: description, tier, device_tree_models, model, precision, threads, pool_mib, camera, mount, decide, display, firmware, policy)",
    ),
    (
        "\"untested\"",
        "\"emulated\"",
        "t.toml:2:1: tier: \"emulated\" is not allowed, did you mean `emulation`? (allowed: hardware, emulation, untested)",
    ),
    ("threads = 1\n", "", "t.toml:1:1: threads: is missing"),
    (
        "threads = 1",
        "threads = \"4\"",
        "t.toml:4:1: threads: is \"4\", needs a whole number from 1 to 64",
    ),
    (
        "pool_mib = 64",
        "pool_mib = 0",
        "t.toml:5:1: pool_mib: is 0, needs a whole number from 1 to 2048",
    ),
    (
        "[camera.pattern]",
        "[camera.patern]",
        "t.toml:7:9: camera.patern: unknown key, did you mean `pattern`? (allowed: v4l2, pipe, pattern, still)",
    ),
    (
        "width_px = 64",
        "width_px = 64\nrate = 5",
        "t.toml:9:1: camera.pattern.rate: unknown key, did you mean `rate_fps`? (allowed: width_px, height_px, format, rate_fps)",
    ),
    (
        "width_px = 64",
        "width_px = 64\nformat = \"mjpeg\"",
        "t.toml:9:1: camera.pattern.format: \"mjpeg\" is not allowed (allowed: yuyv, uyvy, nv12, yu12, rgb24, bgr24, grey)",
    ),
    (
        "[camera.pattern]",
        "[camera.v4l2]\nformats = [\"yuyv\", \"mjpg\"]",
        "t.toml:8:20: camera.v4l2.formats: \"mjpg\" is not allowed, did you mean `mjpeg`? (allowed: yuyv, uyvy, nv12, yu12, rgb24, bgr24, mjpeg, grey, p010, y10, y12, y16, y10p, y12p, srggb8, sgrbg8, sgbrg8, sbggr8, srggb10, sgrbg10, sgbrg10, sbggr10, srggb12, sgrbg12, sgbrg12, sbggr12, srggb10p, sgrbg10p, sgbrg10p, sbggr10p, srggb12p, sgrbg12p, sgbrg12p, sbggr12p)",
    ),
    (
        "[camera.pattern]",
        "[camera.v4l2]\ndevice = \"video0\"",
        "t.toml:8:1: camera.v4l2.device: needs \"auto\" or an absolute path like \"/dev/video0\" or \"/dev/v4l/by-id/...\"",
    ),
    (
        "[camera.pattern]",
        "[camera.v4l2.media]\nlinks = [\"imx219 10-0010 -> csi2:0\"]\n[camera.v4l2]",
        "t.toml:8:1: camera.v4l2.media.links: has \"imx219 10-0010 -> csi2:0\", needs \"ENTITY:PAD -> ENTITY:PAD\", like \"imx219 10-0010:0 -> csi2:0\" ([0] behind it: off)",
    ),
    (
        "[camera.pattern]",
        "[camera.v4l2.media.formats]\n\"imx219 10-0010:0\" = \"SRGGB10/640x480\"\n[camera.v4l2]",
        "t.toml:8:1: camera.v4l2.media.formats.imx219 10-0010:0: is \"SRGGB10/640x480\": \"SRGGB10\" is not a media bus code, did you mean `SRGGB10_1X10`?",
    ),
    (
        "[camera.pattern]",
        "[camera.v4l2.media.formats]\nimx219 = \"SRGGB10_1X10/640x480\"\n[camera.v4l2]",
        "t.toml:8:1: camera.v4l2.media.formats.imx219: needs a pad for its key, \"ENTITY:PAD\", like \"imx219 10-0010:0\"",
    ),
    (
        "[camera.pattern]\nwidth_px = 64\nheight_px = 48",
        "[camera.still]\nfiles = []",
        "t.toml:8:1: camera.still.files: is empty, needs at least one picture file or folder",
    ),
    (
        "[display.none]",
        "[display.framebufer]",
        "t.toml:11:10: display.framebufer: unknown key, did you mean `framebuffer`? (allowed: framebuffer, drm, spi, oled, epaper, png, window, none, font)",
    ),
    (
        "[display.none]",
        "[display.none]\nwidth_px = 3",
        "t.toml:12:1: display.none.width_px: unknown key; this table has no keys",
    ),
    (
        "[display.none]",
        "[display.framebuffer]\nrotate_deg = 45",
        "t.toml:12:1: display.framebuffer.rotate_deg: is 45, needs 0, 90, 180 or 270",
    ),
    (
        "[display.none]",
        "[display.none]\n[mount]\nmirrored = true",
        "t.toml:13:1: mount.mirrored: unknown key, did you mean `mirror`? (allowed: rotate_deg, mirror, resize, region, regions)",
    ),
    (
        "[display.none]",
        "[display.none]\n[mount]\nregion = [0.5, 0, 0.5]",
        "t.toml:13:1: mount.region: has 3 numbers, needs 4: left, top, width and height, as fractions of the upright picture",
    ),
    (
        "[display.none]",
        "[display.none]\n[mount]\nregion = [0, 0, 320, 240]",
        "t.toml:13:17: mount.region: has 320, needs a list of numbers from 0 to 1",
    ),
    (
        "[display.none]",
        "[display.none]\n[mount.regions]\nleft = [0.5, 0, 0.75, 1]",
        "t.toml:13:1: mount.regions.left: ends at 1.25 of the picture's width, needs to end at 1 or less",
    ),
    (
        "[display.none]",
        "[display.none]\n[mount.regions]\nleft = [0.5, 0, 0.5, 0]",
        "t.toml:13:1: mount.regions.left: has a height of 0, needs more than 0",
    ),
    (
        "[display.none]",
        "[display.none]\n[mount]\nregion = [0, 0, 1, 1]\n[mount.regions]\na = [0, 0, 1, 1]",
        "t.toml:13:1: mount.region: cannot be used together with `regions`: give it a name and move it there",
    ),
    (
        "[display.none]",
        "[display.none]\n[mount.regions]",
        "t.toml:12:8: mount.regions: has 0 entries, needs 1 to 8",
    ),
    (
        "[display.none]",
        "[display.none]\n[mount.regions]\n\" \" = [0, 0, 1, 1]",
        "t.toml:13:1: mount.regions. : needs a name of 1 to 24 letters on one line",
    ),
    (
        "[display.none]",
        "[display.none]\n[decide]\nhold = 5",
        "t.toml:13:1: decide.hold: unknown key, did you mean `hold_ms`? (allowed: ema_weight, enter, leave, frames_in_a_row, hold_ms, unknown_label, ignore, class, merge)",
    ),
    (
        "[display.none]",
        "[display.none]\n[decide]\nenter = 0.4\nleave = 0.6",
        "t.toml:14:1: decide.leave: is 0.6, needs a number not above `enter`, which is 0.4",
    ),
    (
        "[display.none]",
        "[display.none]\n[decide]\nema_weight = 0",
        "t.toml:13:1: decide.ema_weight: is 0, needs a number from 0.01 to 1",
    ),
    (
        "[display.none]",
        "[display.none]\n[decide.class.tabby]\nenter = 0.4\nleave = 0.6",
        "t.toml:14:1: decide.class.tabby.leave: is 0.6, needs a number not above `enter`, which is 0.4",
    ),
    (
        "[display.none]",
        "[display.none]\n[decide.class.\"tiger cat\"]\nentre = 0.4",
        "t.toml:13:1: decide.class.tiger cat.entre: unknown key, did you mean `enter`? (allowed: enter, leave, frames_in_a_row, hold_ms)",
    ),
    (
        "[display.none]",
        "[display.none]\n[decide.class]\ntabby = 0.9",
        "t.toml:13:1: decide.class.tabby: is 0.9, needs a table, `[tabby]`",
    ),
    (
        "[display.none]",
        "[display.none]\n[decide.merge]\ncat = []",
        "t.toml:13:1: decide.merge.cat: needs a list of one or more classes, by name",
    ),
    (
        "[display.none]",
        "[display.none]\n[decide.merge]\n\"a\\u001bb\" = [\"tabby\"]",
        "t.toml:13:1: decide.merge.a\u{1b}b: needs the name of a class, on one line",
    ),
    (
        "[display.none]",
        "[display]\nfont = 5\n[display.none]",
        "t.toml:12:1: display.font: is 5, needs text on one line",
    ),
    (
        "[display.none]",
        "[display]\nfont = \"a.ttf\"",
        "t.toml:11:2: display: names no kind, needs one of [display.framebuffer], [display.drm], [display.spi], [display.oled], [display.epaper], [display.png], [display.window], [display.none]",
    ),
    (
        "[display.none]",
        "[display.png]\nfolder = \"f\"\nwidth_px = 99\nheight_px = 99\ndepth = \"rgb656\"",
        "t.toml:15:1: display.png.depth: \"rgb656\" is not allowed, did you mean `rgb565`? (allowed: mono, rgb565, rgb888)",
    ),
    (
        "[display.none]",
        "[display.none]\n[display.framebuffer]",
        "t.toml:11:2: display: has [display.none] beside another one: [display.none] is for a board without a display, and stands alone",
    ),
    (
        "[display.none]",
        "[[display.framebuffer]]\ndriver = \"vc4\"\n[[display.framebuffer]]",
        "t.toml:11:3: display: has two framebuffers that may be the same one: each needs a `driver` of its own",
    ),
    (
        "[display.none]",
        "[[display.png]]\nfolder = \"f\"\nwidth_px = 99\nheight_px = 99\n[[display.png]]\nfolder = \"f\"\nwidth_px = 64\nheight_px = 64",
        "t.toml:11:3: display: has two [display.png] that write to /b/f: each needs a `folder` of its own",
    ),
    (
        "[display.none]",
        "[[display.drm]]\ndriver = \"vc4\"\nconnector = \"HDMI-A-1\"\n[[display.drm]]\ndriver = \"vc4\"\nconnector = \"HDMI-A-2\"",
        "t.toml:11:3: display: has two [display.drm] that may be of one card, which only one can use: each needs a `driver` of its own",
    ),
    (
        "[display.none]",
        "[[display.oled]]\n[[display.oled]]\naddress = 61\n[[display.oled]]",
        "t.toml:11:3: display: has two panels on /dev/i2c-1: each needs a `device` of its own, or on I2C an `address`",
    ),
    (
        "[display.none]",
        "[[display.framebuffer]]\ndriver = \"a\"\n[[display.framebuffer]]\ndriver = \"b\"\n[[display.framebuffer]]\ndriver = \"c\"\n[[display.framebuffer]]\ndriver = \"d\"\n[[display.framebuffer]]\ndriver = \"e\"",
        "t.toml:11:3: display: has 5 displays, needs at most 4",
    ),
    (
        "[display.none]",
        "[display.png]\nfolder = \"f\"\nwidth_px = 240\nheight_px = 200\nround = true",
        "t.toml:15:1: display.png.round: is true, needs width_px and height_px to be equal",
    ),
    (
        "[display.none]",
        "[display.png]\nfolder = \"f\"\nwidth_px = 250\nheight_px = 122\ndepth = \"rgb888\"\npaper = true",
        "t.toml:16:1: display.png.paper: is true, needs `depth` to be \"mono\", or left out",
    ),
    (
        "[display.none]",
        "[display.none]\n[firmware]\nmachine = \"raspberry-pi\"",
        "t.toml:13:1: firmware.machine: \"raspberry-pi\" is not allowed, did you mean `raspberry-pi-5`? (allowed: virt, raspberry-pi-zero-2-w, raspberry-pi-3, raspberry-pi-4, raspberry-pi-5)",
    ),
    (
        "[display.none]",
        "[display.none]\n[firmware]\nmodules = [\"vivid n_devs=1\", \"../x.ko\"]",
        "t.toml:13:1: firmware.modules: has \"../x.ko\", needs the name of a kernel module, optionally followed by its options",
    ),
    (
        "[display.none]",
        "[displays.none]",
        "t.toml:1:1: display: is missing\nt.toml:11:2: displays: unknown key, did you mean `display`? (allowed: description, tier, device_tree_models, model, precision, threads, pool_mib, camera, mount, decide, display, firmware, policy)",
    ),
];

#[test]
fn each_fault_has_its_place_and_says_what_is_allowed() {
    for (from, into, message) in FAULTS {
        assert_eq!(SMALL.matches(from).count(), 1, "{from}");
        let text = SMALL.replace(from, into);
        assert_eq!(parse(&text).unwrap_err().join("\n"), *message, "{text}");
    }
}

#[test]
fn all_faults_come_at_once() {
    let text = SMALL
        .replace("threads = 1", "threads = 0")
        .replace("width_px = 64", "width = 64")
        .replace("none", "nothing");
    let lines = parse(&text).unwrap_err();
    assert_eq!(lines.len(), 4, "{lines:#?}");
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.toml");
    for (path, reason) in [
        (missing.as_path(), "No such file"),
        (folder.path(), "it is not a file"),
        (Path::new("/dev/zero"), "it is not a file"),
    ] {
        let error = Board::load(path).unwrap_err();
        assert!(matches!(error, BoardError::Unreadable { .. }));
        let message = error.to_string();
        assert!(message.contains(reason), "{message}");
        assert!(message.contains(&path.display().to_string()), "{message}");
    }
}

/// The definition is needed before a model's file is there.
#[test]
fn the_models_of_the_boards_are_sound() {
    for shipped in eyelet::model::shipped::MODELS {
        Definition::parse(shipped.path, shipped.text).unwrap();
    }
}

#[test]
fn regions_keep_the_order_of_the_file() {
    let text = format!(
        "{SMALL}[mount]\nresize = \"fit\"\n[mount.regions]\nz = [0, 0, 0.5, 1]\n\"a b\" = [0.5, 0, 0.5, 0.25]\n"
    );
    let board = parse(&text).unwrap();
    assert_eq!(board.mount.resize, Some(Resize::Fit));
    let shown: Vec<_> = board.regions.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["z = [0, 0, 0.5, 1]", "a b = [0.5, 0, 0.5, 0.25]"]);
    let nine: String = (0..9).map(|i| format!("r{i} = [0, 0, 1, 1]\n")).collect();
    let faults = parse(&format!("{SMALL}[mount.regions]\n{nine}")).unwrap_err();
    assert_eq!(
        faults,
        ["t.toml:12:8: mount.regions: has 9 entries, needs 1 to 8"]
    );
    let one = parse(&format!(
        "{SMALL}[mount]\nregion = [0.25, 0.25, 0.5, 0.5]\n"
    ))
    .unwrap();
    assert_eq!(one.regions[0].name, None);
}
