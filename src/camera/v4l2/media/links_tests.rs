//! Links of made-up receivers.
#![allow(clippy::unwrap_used)]

use super::super::calls::{Pipeline, Request};
use super::super::config::{LinkSetting, PadName};
use super::super::fake::{Fake, Part, rp1_cfe, vimc};
use super::super::setup::set_up;
use super::*;
use crate::frame::PixelFormat;

const SRGGB10: u32 = 0x300f;
const CHANNEL: &str = "rp1-cfe-csi2_ch0";

/// What libcamera leaves enabled on a Raspberry Pi 5, plus a node from an earlier attempt.
const LEFT: [&str; 4] = [
    "csi2:4 -> pisp-fe:0",
    "pisp-fe:2 -> rp1-cfe-fe_image0:0",
    "rp1-cfe-fe_config:0 -> pisp-fe:1",
    "csi2:7 -> rp1-cfe-csi2_ch3:0",
];

fn receiver(left: &[&str]) -> Fake {
    let mut build = rp1_cfe();
    for link in left {
        build.enable(link);
    }
    let mut fake = Fake::new(&build);
    fake.parts
        .insert("imx219 10-0010".into(), Part::of(&[SRGGB10]));
    fake.node_formats = vec![(SRGGB10, *b"GREY")];
    fake
}

fn run(
    fake: &mut Fake,
    node: &str,
    format: PixelFormat,
    by_hand: &MediaConfig,
) -> (Graph, Result<Pipeline, Fault>) {
    let mut graph = fake.graph.clone();
    let node = graph.entities.iter().position(|e| e.name == node).unwrap();
    let request = Request {
        width_px: 640,
        height_px: 480,
        rate_fps: 30,
        formats: &[format],
        sensor: None,
        by_hand,
    };
    let result = set_up(fake, &mut graph, node, &request);
    (graph, result)
}

fn setting(source: (&str, u32), sink: (&str, u32), enabled: bool) -> LinkSetting {
    let pad = |(entity, index): (&str, u32)| PadName {
        entity: entity.to_owned(),
        index,
    };
    LinkSetting {
        source: pad(source),
        sink: pad(sink),
        enabled,
    }
}

#[test]
fn links_that_another_program_left_enabled_do_not_block_the_stream() {
    let nothing = MediaConfig::default();
    for left in [&LEFT[..], &LEFT[..1], &LEFT[1..3], &LEFT[3..], &[]] {
        let mut fake = receiver(left);
        let (_, result) = run(&mut fake, CHANNEL, PixelFormat::Grey, &nothing);
        assert_eq!(result.unwrap().warning, None);
        assert_eq!(fake.held_by(CHANNEL), [""; 0], "{left:?}");
        assert_eq!(fake.links_set.len(), 1 + left.len());
    }
}

/// "auto" tries one node after another; none that failed blocks the next one.
#[test]
fn a_failed_attempt_restores_the_links() {
    let nothing = MediaConfig::default();
    let mut fake = receiver(&LEFT[..3]);
    let before = fake.graph.clone();
    for channel in 0..4 {
        let node = format!("rp1-cfe-csi2_ch{channel}");
        let (graph, result) = run(&mut fake, &node, PixelFormat::Nv12, &nothing);
        assert!(matches!(result, Err(Fault::NoFormat(_))), "{result:?}");
        assert!(!fake.links_set.is_empty());
        assert_eq!((&fake.graph, &graph), (&before, &before));
    }
    // A board file's links are switched back too if what follows them is wrong.
    let by_hand = MediaConfig {
        links: vec![
            setting(("csi2", 4), ("pisp-fe", 0), false),
            setting(("csi2", 6), ("pisp-fe", 0), true),
            setting(("csi2", 9), ("pisp-fe", 0), true),
        ],
        ..MediaConfig::default()
    };
    fake.links_set.clear();
    let (_, result) = run(&mut fake, CHANNEL, PixelFormat::Grey, &by_hand);
    assert!(matches!(result, Err(Fault::Words(_))), "{result:?}");
    assert_eq!(
        fake.links_set,
        [
            "csi2:4 -> pisp-fe:0 off",
            "csi2:6 -> pisp-fe:0",
            "csi2:6 -> pisp-fe:0 off",
            "csi2:4 -> pisp-fe:0"
        ]
    );
    assert_eq!(fake.graph, before);
}

#[test]
fn a_stream_that_does_not_start_restores_the_links() {
    let mut fake = receiver(&LEFT);
    let before = fake.graph.clone();
    let nothing = MediaConfig::default();
    let (graph, result) = run(&mut fake, CHANNEL, PixelFormat::Grey, &nothing);
    let mut undo = Undo {
        calls: fake,
        graph,
        switched: result.unwrap().switched,
    };
    assert_ne!(undo.calls.graph, before);
    // A link that another program uses by now stays, the others are switched back.
    undo.calls.busy = vec!["csi2:7 -> rp1-cfe-csi2_ch3:0".into()];
    undo.undo();
    let mut expected = before;
    let busy = (0..expected.links.len()).find(|&at| expected.link_name(at) == undo.calls.busy[0]);
    expected.links[busy.unwrap()].enabled = false;
    assert_eq!(undo.calls.graph, expected);
    assert_eq!(undo.switched, [0; 0]);
}

#[test]
fn a_branch_that_is_in_use_is_a_warning() {
    let mut fake = receiver(&LEFT);
    fake.busy = vec![LEFT[3].into()];
    let nothing = MediaConfig::default();
    let (_, result) = run(&mut fake, CHANNEL, PixelFormat::Grey, &nothing);
    let warning = result.unwrap().warning.unwrap();
    assert_eq!(
        warning,
        "the link csi2:7 -> rp1-cfe-csi2_ch3:0, a branch, stays enabled: another program streams over it; if no picture comes, \
         end that"
    );
    assert_eq!(fake.held_by(CHANNEL), ["rp1-cfe-csi2_ch3"]);
}

#[test]
fn a_branch_that_the_board_file_names_stays() {
    let mut fake = receiver(&LEFT);
    let by_hand = MediaConfig {
        links: vec![setting(("csi2", 5), ("rp1-cfe-csi2_ch1", 0), true)],
        ..MediaConfig::default()
    };
    let (_, result) = run(&mut fake, CHANNEL, PixelFormat::Grey, &by_hand);
    result.unwrap();
    assert_eq!(fake.held_by(CHANNEL), ["rp1-cfe-csi2_ch1"]);
}

/// Our sensor's debayer could feed the scaler, but another sensor does.
#[test]
fn another_cameras_links_are_left_alone() {
    let mut build = vimc();
    build.enable("RGB/YUV Input:0 -> Scaler:0");
    let mut fake = Fake::new(&build);
    fake.node_formats = vec![(SRGGB10, *b"GREY")];
    let sensor = Part::of(&[SRGGB10]);
    fake.parts.insert("Sensor A".into(), sensor);
    let nothing = MediaConfig::default();
    let (_, result) = run(&mut fake, "Raw Capture 0", PixelFormat::Grey, &nothing);
    result.unwrap();
    assert_eq!(fake.links_set, [""; 0]);
}

#[test]
fn a_link_that_the_board_file_disables_is_not_used() {
    let nothing = MediaConfig::default();
    let (left, formats) = (&["csi2:4 -> rp1-cfe-csi2_ch0:0"], PixelFormat::Grey);
    let channel = setting(("csi2", 4), (CHANNEL, 0), false);
    let off = MediaConfig {
        links: vec![channel.clone()],
        ..MediaConfig::default()
    };
    let mut fake = receiver(left);
    let (_, result) = run(&mut fake, CHANNEL, formats, &off);
    let Err(Fault::NoWay(words)) = result else {
        panic!("{result:?}")
    };
    assert_eq!(
        words,
        "no link leads from a sensor to `rp1-cfe-csi2_ch0` (sensors: imx219 10-0010); \
         the board file disables csi2:4 -> rp1-cfe-csi2_ch0:0"
    );
    // The last entry counts; and with no entries the link is the path.
    let on = MediaConfig {
        links: vec![
            channel.clone(),
            LinkSetting {
                enabled: true,
                ..channel
            },
        ],
        ..MediaConfig::default()
    };
    for by_hand in [&on, &nothing] {
        let (_, result) = run(&mut receiver(left), CHANNEL, formats, by_hand);
        assert!(result.unwrap().line.contains("csi2:4 -> rp1-cfe-csi2_ch0"));
    }
    // A detour is taken if there is one.
    let mut fake = receiver(&[]);
    let detour = MediaConfig {
        links: vec![setting(("csi2", 4), ("pisp-fe", 0), false)],
        ..MediaConfig::default()
    };
    let (_, result) = run(&mut fake, "rp1-cfe-fe_image0", formats, &detour);
    let line = result.unwrap().line;
    assert!(line.contains("csi2:6 -> pisp-fe:0"), "{line}");
}

#[test]
fn a_link_that_can_be_switched_while_pictures_flow_keeps_its_flag() {
    let mut build = rp1_cfe();
    // `MEDIA_LNK_FL_DYNAMIC`
    build.flag("csi2:4 -> rp1-cfe-csi2_ch0:0", 4);
    build.flag("csi2:7 -> rp1-cfe-csi2_ch3:0", 4 | 1);
    let mut fake = receiver(&[]);
    fake.graph = build.graph();
    let nothing = MediaConfig::default();
    let (_, result) = run(&mut fake, CHANNEL, PixelFormat::Grey, &nothing);
    assert_eq!(result.unwrap().warning, None);
    assert_eq!(
        fake.links_set,
        [
            "csi2:4 -> rp1-cfe-csi2_ch0:0",
            "csi2:7 -> rp1-cfe-csi2_ch3:0 off"
        ]
    );
}
