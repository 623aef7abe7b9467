//! Pipelines of made-up media devices.
#![allow(clippy::unwrap_used)]

use super::super::config::{FormatSetting, LinkSetting, MediaConfig, PadName};
use super::super::fake::{Build, Fake, Part, rp1_cfe, vimc};
use super::*;
use crate::camera::v4l2::{BusFormat, FourCc};
use crate::frame::PixelFormat;
use std::time::Duration;

const SRGGB8: u32 = 0x3014;
const SBGGR8: u32 = 0x3001;
const RGB888: u32 = 0x100a;
const BGR888: u32 = 0x1013;
const SRGGB10: u32 = 0x300f;

fn pad(name: &str) -> PadName {
    let (entity, index) = name.rsplit_once(':').unwrap();
    PadName {
        entity: entity.to_owned(),
        index: index.parse().unwrap(),
    }
}

fn format(name: &str, code: u32, (width_px, height_px): (u32, u32)) -> FormatSetting {
    FormatSetting {
        pad: pad(name),
        code: BusFormat(code),
        width_px,
        height_px,
    }
}

fn link(source: &str, sink: &str) -> LinkSetting {
    LinkSetting {
        source: pad(source),
        sink: pad(sink),
        enabled: true,
    }
}

/// The kernel's test driver: sensors that make everything, debayers that take only mosaics, a scaler for RGB.
fn vimc_driver() -> Fake {
    let mut fake = Fake::new(&vimc());
    for name in ["Sensor A", "Sensor B", "RGB/YUV Input"] {
        let part = Part::of(&[BGR888, RGB888, SBGGR8, SRGGB8]);
        fake.parts.insert(name.into(), part);
    }
    for name in ["Debayer A", "Debayer B"] {
        let part = Part {
            makes: Some(vec![RGB888, BGR888]),
            ..Part::of(&[SRGGB8, SBGGR8])
        };
        fake.parts.insert(name.into(), part);
    }
    let scaler = Part {
        scales: true,
        ..Part::of(&[RGB888, BGR888])
    };
    fake.parts.insert("Scaler".into(), scaler);
    fake.node_formats = vec![
        (RGB888, *b"RGB3"),
        (BGR888, *b"BGR3"),
        (SRGGB8, *b"RGGB"),
        (SBGGR8, *b"BA81"),
    ];
    fake
}

fn run(
    fake: &mut Fake,
    node: &str,
    formats: &[PixelFormat],
    by_hand: &MediaConfig,
) -> Result<Pipeline, Fault> {
    let mut graph = fake.graph.clone();
    let node = graph.entities.iter().position(|e| e.name == node).unwrap();
    let request = Request {
        width_px: 320,
        height_px: 240,
        rate_fps: 25,
        formats,
        sensor: by_hand.sensor.as_deref(),
        by_hand,
    };
    set_up(fake, &mut graph, node, &request)
}

fn words(result: Result<Pipeline, Fault>) -> String {
    match result.unwrap_err() {
        Fault::NoWay(words) | Fault::Words(words) => words,
        other => panic!("{other:?}"),
    }
}

#[test]
fn formats_are_found_through_a_converter_and_a_scaler() {
    let mut fake = vimc_driver();
    let by_hand = MediaConfig {
        sensor: Some("Sensor A".into()),
        ..MediaConfig::default()
    };
    let pipeline = run(
        &mut fake,
        "RGB/YUV Capture",
        &[PixelFormat::Rgb24],
        &by_hand,
    )
    .unwrap();
    assert_eq!(
        pipeline.line,
        "Sensor A:0 -> Debayer A:0, Debayer A:1 -> Scaler:0, Scaler:1 -> RGB/YUV Capture:0, RGB888_1X24/320x240"
    );
    assert_eq!(pipeline.formats, [PixelFormat::Rgb24]);
    assert_eq!(pipeline.size_px, (320, 240));
    assert_eq!(pipeline.interval, Some(Duration::from_millis(40)));
    assert_eq!(fake.links_set, ["Debayer A:1 -> Scaler:0"]);
    // The raw node, a branch of the sensor, was set to the mosaic too.
    assert_eq!(fake.disagreements(), [""; 0]);
    let raw = fake.nodes_now.values().next().unwrap();
    assert_eq!(*raw, (FourCc(*b"BA81"), 320, 240));
}

#[test]
fn the_boards_order_of_formats_decides() {
    let by_hand = MediaConfig {
        sensor: Some("Sensor A".into()),
        ..MediaConfig::default()
    };
    for (formats, expected) in [
        (
            &[PixelFormat::Bgr24, PixelFormat::Rgb24],
            PixelFormat::Bgr24,
        ),
        (
            &[PixelFormat::Rgb24, PixelFormat::Bgr24],
            PixelFormat::Rgb24,
        ),
    ] {
        let mut fake = vimc_driver();
        let pipeline = run(&mut fake, "RGB/YUV Capture", formats, &by_hand).unwrap();
        assert_eq!(pipeline.formats, [expected]);
        assert_eq!(fake.disagreements(), [""; 0]);
    }
}

#[test]
fn a_format_that_no_code_makes_is_refused_with_those_available() {
    let mut fake = vimc_driver();
    let by_hand = MediaConfig::default();
    let result = run(&mut fake, "RGB/YUV Capture", &[PixelFormat::Nv12], &by_hand);
    let Err(Fault::NoFormat(offered)) = result else {
        panic!("{result:?}")
    };
    assert!(offered.contains(&FourCc(*b"RGB3")), "{offered:?}");
}

#[test]
fn a_rival_link_is_switched_off_first() {
    let mut build = vimc();
    build.enable("Debayer B:1 -> Scaler:0");
    let mut fake = vimc_driver();
    fake.graph = build.graph();
    let by_hand = MediaConfig {
        sensor: Some("Sensor A".into()),
        ..MediaConfig::default()
    };
    run(
        &mut fake,
        "RGB/YUV Capture",
        &[PixelFormat::Rgb24],
        &by_hand,
    )
    .unwrap();
    assert_eq!(
        fake.links_set,
        ["Debayer B:1 -> Scaler:0 off", "Debayer A:1 -> Scaler:0"]
    );
}

/// A link that another program, or an earlier board file, left enabled does not take precedence over the named one.
#[test]
fn a_link_that_is_named_is_the_one_that_is_used() {
    let mut build = vimc();
    build.enable("Debayer A:1 -> Scaler:0");
    let mut fake = vimc_driver();
    fake.graph = build.graph();
    let by_hand = MediaConfig {
        links: vec![link("Debayer B:1", "Scaler:0")],
        ..MediaConfig::default()
    };
    let pipeline = run(
        &mut fake,
        "RGB/YUV Capture",
        &[PixelFormat::Rgb24],
        &by_hand,
    )
    .unwrap();
    assert!(
        pipeline.line.starts_with("Sensor B:0 -> Debayer B:0"),
        "{}",
        pipeline.line
    );
    assert_eq!(
        fake.links_set,
        ["Debayer A:1 -> Scaler:0 off", "Debayer B:1 -> Scaler:0"]
    );
}

#[test]
fn settings_of_the_board_file_are_applied_and_the_rest_is_found() {
    let mut fake = vimc_driver();
    let by_hand = MediaConfig {
        links: vec![link("Debayer A:1", "Scaler:0")],
        formats: vec![
            format("Sensor A:0", SRGGB8, (640, 480)),
            format("Scaler:1", BGR888, (160, 120)),
        ],
        ..MediaConfig::default()
    };
    let formats = [PixelFormat::Rgb24, PixelFormat::Bgr24];
    let pipeline = run(&mut fake, "RGB/YUV Capture", &formats, &by_hand).unwrap();
    assert_eq!(pipeline.formats, [PixelFormat::Bgr24]);
    assert_eq!(pipeline.size_px, (160, 120));
    let sensor = fake.graph.named(&pad("Sensor A:0")).unwrap();
    let set = fake.now[&sensor];
    assert_eq!((set.code, set.width_px, set.height_px), (SRGGB8, 640, 480));
}

#[test]
fn wrong_names_in_the_board_file_are_refused_with_the_right_ones() {
    let wrong = |by_hand: MediaConfig| {
        words(run(
            &mut vimc_driver(),
            "RGB/YUV Capture",
            &[PixelFormat::Rgb24],
            &by_hand,
        ))
    };
    let links = |links| MediaConfig {
        links,
        ..MediaConfig::default()
    };
    let formats = |formats| MediaConfig {
        formats,
        ..MediaConfig::default()
    };
    for (by_hand, expected) in [
        (
            links(vec![link("Debayer:1", "Scaler:0")]),
            "did you mean `Debayer",
        ),
        (
            links(vec![link("Debayer A:7", "Scaler:0")]),
            "its pads are 0 (sink), 1 (source)",
        ),
        (
            links(vec![link("Sensor A:0", "Scaler:0")]),
            "there is no link Sensor A:0 -> Scaler:0",
        ),
        (
            links(vec![LinkSetting {
                enabled: false,
                ..link("Sensor A:0", "Debayer A:0")
            }]),
            "cannot be switched",
        ),
        (
            formats(vec![format("RGB/YUV Capture:0", RGB888, (64, 48))]),
            "is a video node",
        ),
        (
            MediaConfig {
                sensor: Some("Sensor A".into()),
                ..formats(vec![format("Debayer A:0", SRGGB10, (64, 48))])
            },
            "`Debayer A:0` takes SRGGB8_1X8/64x48 instead of SRGGB10_1X10/64x48 (its codes: SRGGB8_1X8, SBGGR8_1X8)",
        ),
    ] {
        let message = wrong(by_hand);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_receiver_gets_the_sensors_nearest_mode() {
    let mut fake = Fake::new(&rp1_cfe());
    let imx219 = Part {
        sizes: vec![(3280, 2464), (1640, 1232), (640, 480)],
        ..Part::of(&[SRGGB10])
    };
    fake.parts.insert("imx219 10-0010".into(), imx219);
    fake.node_formats = vec![(SRGGB10, *b"GREY")];
    let by_hand = MediaConfig::default();
    let pipeline = run(
        &mut fake,
        "rp1-cfe-csi2_ch0",
        &[PixelFormat::Grey],
        &by_hand,
    )
    .unwrap();
    assert_eq!(pipeline.size_px, (640, 480));
    assert_eq!(fake.links_set, ["csi2:4 -> rp1-cfe-csi2_ch0:0"]);
    assert_eq!(
        pipeline.sensor,
        fake.graph
            .entities
            .iter()
            .position(|entity| entity.is_sensor)
    );
}

#[test]
fn a_bridge_without_a_sensor_is_set_by_hand() {
    let mut build = Build::default();
    let bridge = build.entity("tc358743 10-000f", 0x5002);
    let out = build.pad(bridge, 0, true);
    let node = build.entity("unicam-image", 0x10001);
    let into = build.pad(node, 0, false);
    build.link(out, into, 3);
    let mut fake = Fake::new(&build);
    fake.node_formats = vec![(RGB888, *b"RGB3")];
    let nothing = MediaConfig::default();
    let message = words(run(
        &mut fake,
        "unicam-image",
        &[PixelFormat::Rgb24],
        &nothing,
    ));
    assert!(message.contains("no link leads from a sensor"), "{message}");
    let by_hand = MediaConfig {
        formats: vec![format("tc358743 10-000f:0", RGB888, (1280, 720))],
        ..MediaConfig::default()
    };
    let pipeline = run(&mut fake, "unicam-image", &[PixelFormat::Rgb24], &by_hand).unwrap();
    assert_eq!((pipeline.size_px, pipeline.sensor), ((1280, 720), None));
}

/// As an analogue decoder brings them. A part that puts the fields together makes them whole, also where it is set by hand.
#[test]
fn fields_are_refused_unless_a_part_puts_them_together() {
    let by_hand = MediaConfig {
        sensor: Some("RGB/YUV Input".into()),
        ..MediaConfig::default()
    };
    let set = MediaConfig {
        formats: vec![
            format("RGB/YUV Input:0", RGB888, (320, 240)),
            format("Scaler:0", RGB888, (320, 240)),
        ],
        ..by_hand.clone()
    };
    for by_hand in [&by_hand, &set] {
        for (input, scaler, expected) in [
            (
                Some(7),
                None,
                Some("RGB888_1X24/320x240 field:alternate): have its source"),
            ),
            (Some(5), None, Some("field:seq-tb")),
            (Some(7), Some(1), None),
            (Some(4), None, None),
            (None, Some(7), Some("/320x240 field:alternate instead of ")),
        ] {
            let mut fake = vimc_driver();
            fake.parts.get_mut("RGB/YUV Input").unwrap().field = input;
            fake.parts.get_mut("Scaler").unwrap().field = scaler;
            let formats = [PixelFormat::Rgb24];
            let result = run(&mut fake, "RGB/YUV Capture", &formats, by_hand);
            match expected {
                None => assert_eq!(result.unwrap().formats, formats),
                Some(expected) => {
                    let message = words(result);
                    assert!(message.contains(expected), "{message}");
                }
            }
        }
    }
}

/// The sensor can make RGB, which the raw node would take, but the debayer on its other link would not.
#[test]
fn a_branch_that_takes_no_such_format_is_a_warning() {
    let mut fake = vimc_driver();
    let by_hand = MediaConfig::default();
    let pipeline = run(&mut fake, "Raw Capture 0", &[PixelFormat::Rgb24], &by_hand).unwrap();
    let warning = pipeline.warning.unwrap();
    assert!(
        warning.contains("`Debayer A:0` takes SRGGB8_1X8"),
        "{warning}"
    );
    // A mosaic suits both, and is chosen although it is last.
    fake.node_formats.push((SRGGB8, *b"GREY"));
    let formats = [PixelFormat::Rgb24, PixelFormat::Grey];
    let pipeline = run(&mut fake, "Raw Capture 0", &formats, &by_hand).unwrap();
    assert_eq!(
        (pipeline.warning, pipeline.formats),
        (None, vec![PixelFormat::Grey])
    );
    assert_eq!(fake.disagreements(), [""; 0]);
}

#[test]
fn a_branch_whose_driver_refuses_is_a_warning_and_a_device_that_is_gone_the_end() {
    let by_hand = MediaConfig::default();
    for errno in [
        libc::EBUSY,
        libc::ENOTTY,
        libc::EIO,
        libc::EINVAL,
        libc::ENODEV,
    ] {
        let mut fake = vimc_driver();
        fake.refuses.insert("Debayer A".into(), errno);
        match run(&mut fake, "Raw Capture 0", &[PixelFormat::Rgb24], &by_hand) {
            Ok(pipeline) => {
                let warning = pipeline.warning.unwrap();
                let expected = "a driver refused to set `Debayer A:0` to";
                assert!(
                    errno != libc::ENODEV && warning.starts_with(expected),
                    "{warning}"
                );
            }
            Err(Fault::Call(_, error)) => {
                assert_eq!(
                    (error.raw_os_error(), errno),
                    (Some(libc::ENODEV), libc::ENODEV)
                );
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// A device that goes away at any call ends the setup with a system error.
#[test]
fn a_device_that_goes_away_is_an_error_at_every_call() {
    let by_hand = MediaConfig {
        sensor: Some("Sensor A".into()),
        ..MediaConfig::default()
    };
    let mut whole = vimc_driver();
    run(
        &mut whole,
        "RGB/YUV Capture",
        &[PixelFormat::Rgb24],
        &by_hand,
    )
    .unwrap();
    let mut ended = 0;
    for dies_at in 1..=whole.calls {
        let mut fake = vimc_driver();
        fake.dies_at = dies_at;
        match run(
            &mut fake,
            "RGB/YUV Capture",
            &[PixelFormat::Rgb24],
            &by_hand,
        ) {
            Err(Fault::Call(_, error)) => {
                assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
                ended += 1;
            }
            // Failures of the last calls may go unnoticed: a branch, or the rate.
            Ok(_) => {}
            Err(other) => panic!("call {dies_at}: {other:?}"),
        }
    }
    assert!(ended > 10, "{ended} of {}", whole.calls);
}

/// Nonsensical devices and drivers with random answers: the setup ends after a bounded number of calls and does not panic.
#[test]
fn random_devices_end() {
    let mut random = fastrand::Rng::with_seed(31);
    let codes = [SRGGB8, SBGGR8, RGB888, BGR888, SRGGB10];
    let mut set = 0;
    for _ in 0..2000 {
        let build = Build::random(&mut random);
        let mut fake = Fake::new(&build);
        for _ in 0..random.usize(0..3) {
            let part = Part {
                takes: (0..random.usize(0..80))
                    .map(|_| random.u32(0x3000..0x3020))
                    .collect(),
                makes: random
                    .bool()
                    .then(|| vec![*random.choice(codes.iter()).unwrap()]),
                sizes: (0..random.usize(0..3))
                    .map(|_| (random.u32(..), random.u32(..)))
                    .collect(),
                scales: random.bool(),
                field: random.bool().then(|| random.u32(0..11)),
            };
            fake.parts.insert("entity".into(), part);
        }
        fake.node_formats = codes.iter().map(|&code| (code, *b"GREY")).collect();
        let by_hand = MediaConfig {
            formats: (0..random.usize(0..2))
                .map(|_| format("entity:0", *random.choice(codes.iter()).unwrap(), (64, 48)))
                .collect(),
            ..MediaConfig::default()
        };
        for node in 0..fake.graph.entities.len() {
            let mut graph = fake.graph.clone();
            let request = Request {
                width_px: 64,
                height_px: 48,
                rate_fps: 30,
                formats: &[PixelFormat::Grey],
                sensor: None,
                by_hand: &by_hand,
            };
            fake.calls = 0;
            set += usize::from(set_up(&mut fake, &mut graph, node, &request).is_ok());
            assert!(fake.calls < 100_000, "{} calls", fake.calls);
        }
    }
    assert!(set > 100, "only {set} were set up");
}
