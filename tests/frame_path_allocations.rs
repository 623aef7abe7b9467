//! What the frame path allocates for each frame after the first ones: nothing, except for the JPEG decoder's working rows; and
//! what a network that is wholly in the fast plan and the decision allocate: nothing; nor does an island of one that is known in part.

#![allow(clippy::unwrap_used)]

#[path = "common/basics.rs"]
mod basics;

use eyelet::board::Board;
use eyelet::camera::{Camera, CameraKind, Next, PatternConfig, StillConfig};
use eyelet::data_roots::Base;
use eyelet::decide::{Candidate, ClassRules, Classes, DecideConfig, Decider, Verdict};
use eyelet::frame::{BayerFormat, Frame, Geometry, PixelFormat};
use eyelet::model::Model;
use eyelet::network::Network;
use eyelet::preprocess::{Area, Crop, MjpegDecoder, Mount, Preprocess};
use eyelet::show::bus::{self, Output, Wire, Wiring};
use eyelet::show::canvas::{Orientation, Rotation};
use eyelet::show::copy::{Holds, SceneCopy};
use eyelet::show::draw::Painter;
use eyelet::show::drm::XRGB8888;
use eyelet::show::drm::pair::{Pair, Screen};
use eyelet::show::epaper::EpaperDisplay;
use eyelet::show::font::Letters;
use eyelet::show::layout::Surface;
use eyelet::show::oled::OledDisplay;
use eyelet::show::spi::SpiDisplay;
use eyelet::show::{Depth, DisplayConfig, Refresh, Shape};
use eyelet::show::{Display, Region, Scene, State};
use eyelet::spec::{Dtype, Encoder, Input, InputSpec, Layout, Resize};
use std::alloc::{GlobalAlloc, Layout as AllocLayout, System};
use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

/// The system's allocator, with counts for each thread (the test harness has threads of its own).
struct Counting;

#[derive(Clone, Copy)]
struct Counts {
    allocations: usize,
    live: isize,
    peak: isize,
}

thread_local! {
    static COUNTS: Cell<Counts> = const {
        Cell::new(Counts {
            allocations: 0,
            live: 0,
            peak: 0,
        })
    };
}

/// Counts `bytes` more (or fewer) live bytes.
fn count(allocations: usize, bytes: isize) {
    let mut counts = COUNTS.get();
    counts.allocations += allocations;
    counts.live += bytes;
    counts.peak = counts.peak.max(counts.live);
    COUNTS.set(counts);
}

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: AllocLayout) -> *mut u8 {
        count(1, layout.size().cast_signed());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: AllocLayout) {
        count(0, -layout.size().cast_signed());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of `run`, and how far live bytes rose above those before. What it leaves behind must be nothing.
fn allocations(run: impl FnOnce()) -> (usize, usize) {
    let before = COUNTS.get();
    COUNTS.set(Counts {
        peak: before.live,
        ..before
    });
    run();
    let after = COUNTS.get();
    assert_eq!(after.live, before.live, "live bytes grew");
    (
        after.allocations - before.allocations,
        (after.peak - before.live).unsigned_abs(),
    )
}

fn spec() -> InputSpec {
    InputSpec::imagenet(Layout::Nchw, Dtype::F32, 224, 224)
}

fn mjpeg(width_px: u32, height_px: u32) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(width_px, height_px, |x, y| {
        image::Rgb([(x / 3) as u8, (y / 2) as u8, (x + y) as u8])
    });
    let mut jpeg = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut jpeg, image::ImageFormat::Jpeg)
        .unwrap();
    jpeg.into_inner()
}

#[test]
fn frames_allocate_nothing_but_the_jpeg_decoders_rows() {
    let mut preprocess = Preprocess::new(&spec(), Mount::default(), Encoder::of(&spec()));
    let mut tensor = vec![0.0; 224 * 224 * 3];
    let mut cameras: Vec<Box<dyn Camera>> = PixelFormat::ALL
        .into_iter()
        .filter(|format| *format != PixelFormat::Mjpeg && !format.is_deep())
        .map(|format| {
            PatternConfig {
                width_px: 640,
                height_px: 480,
                format,
                rate_fps: 0,
            }
            .open()
            .unwrap()
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.png");
    image::RgbImage::new(300, 200).save(&file).unwrap();
    cameras.push(
        StillConfig {
            files: vec![file],
            frames_each: 1000,
            repeat: false,
            rate_fps: 0,
        }
        .open()
        .unwrap(),
    );
    for camera in &mut cameras {
        preprocess.prepare(camera.geometry()).unwrap();
        let (count, _) = allocations(|| {
            for _ in 0..20 {
                let Next::Frame(frame) = camera.next().unwrap() else {
                    panic!("a frame was expected");
                };
                preprocess.run(&frame, Input::F32(&mut tensor)).unwrap();
            }
        });
        assert_eq!(count, 0, "{}", camera.describe());
    }

    raw_frames_allocate_nothing(&mut preprocess, &mut tensor);
    regions_allocate_nothing(&mut *cameras[0]);

    let decode = |name: &str, jpeg: &[u8], width_px, height_px| {
        let geometry = Geometry::packed(PixelFormat::Mjpeg, width_px, height_px);
        let frame = Frame::new(geometry, jpeg, Duration::ZERO, 0).unwrap();
        let mut decoder = MjpegDecoder::new(geometry);
        let mut decode = || {
            allocations(|| {
                decoder.decode(frame).unwrap();
            })
        };
        let (count, bytes) = decode();
        for _ in 0..5 {
            assert_eq!(decode(), (count, bytes));
        }
        println!(
            "{name} {width_px}x{height_px}: {count} allocations a frame, {bytes} bytes at most at once"
        );
        (count, bytes)
    };
    // Twice the height costs the same: no buffer grows with the picture.
    let low = decode("MJPEG 4:4:4", &mjpeg(640, 480), 640, 480);
    let high = decode("MJPEG 4:4:4", &mjpeg(640, 960), 640, 960);
    assert_eq!(low, high);
    assert!(low.0 <= 40 && low.1 <= 200 * 640, "{low:?}");
    // A photo with halved chroma, as cameras send them.
    let photo = concat!(env!("CARGO_MANIFEST_DIR"), "/boards/photos/cat.jpg");
    let jpeg = std::fs::read(photo).unwrap();
    let (width_px, height_px) = image::image_dimensions(photo).unwrap();
    let (count, bytes) = decode("MJPEG 4:2:0", &jpeg, width_px, height_px);
    assert!(
        count <= 40 && bytes <= 400 * width_px as usize,
        "{count} {bytes}"
    );
}

/// Several regions in turn, and the display that they share.
/// White is measured and followed in each frame.
fn raw_frames_allocate_nothing(preprocess: &mut Preprocess, tensor: &mut [f32]) {
    for format in BayerFormat::ALL {
        for (width_px, height_px) in [(1640, 1232), (640, 480)] {
            let geometry = Geometry::packed(PixelFormat::Bayer(format), width_px, height_px);
            let mut data = vec![0; geometry.picture_bytes().unwrap()];
            preprocess.prepare(geometry).unwrap();
            let (count, _) = allocations(|| {
                for sequence in 0..3 {
                    let bytes = data.iter_mut().enumerate();
                    bytes.for_each(|(i, byte)| *byte = (i * 7 + i / 900 * sequence) as u8);
                    let frame =
                        Frame::new(geometry, &data, Duration::ZERO, sequence as u64).unwrap();
                    preprocess.run(&frame, Input::F32(tensor)).unwrap();
                }
            });
            assert_eq!(count, 0, "{geometry}");
        }
    }
}

fn regions_allocate_nothing(camera: &mut dyn Camera) {
    let areas = [0.0, 0.3, 0.5].map(|left| Area {
        left,
        top: 0.25,
        width: 0.4,
        height: 0.75,
    });
    let mount = Mount {
        resize: Some(Resize::Fit),
        ..Mount::default()
    };
    let mut preprocess = Preprocess::of_areas(&spec(), mount, &areas, Encoder::of(&spec()));
    let mut tensor = vec![0.0; 224 * 224 * 3];
    preprocess.prepare(camera.geometry()).unwrap();
    let mut painter = Painter::new(480, 320, Depth::Rgb565).unwrap();
    painter.divide(areas.len()).unwrap();
    let labels = ["tabby".to_owned()];
    let mut frame = |turn: usize| {
        let Next::Frame(frame) = camera.next().unwrap() else {
            panic!("a frame was expected");
        };
        let input = Input::F32(&mut tensor);
        preprocess.run_area(turn % 3, &frame, input).unwrap();
        let best = Candidate {
            class: 0,
            probability: 0.9,
        };
        let verdict = Verdict {
            decided: Some(best),
            top: [best; 5],
            enter: Some(0.5),
            changed: false,
        };
        let region = |i| Region {
            name: "left",
            verdict: Some(&verdict),
            picture: Some(preprocess.crop_of_area(i)),
        };
        painter.draw(&Scene {
            state: State::Live,
            verdict: None,
            labels: &labels,
            unknown_label: "unknown",
            rate_fps: 9.0,
            picture: None,
            regions: &[region(0), region(1), region(2)],
            notice: None,
        });
    };
    // The pen and the scalers have their buffers after the first drawing.
    frame(0);
    let (count, _) = allocations(|| (1..20).for_each(&mut frame));
    assert_eq!(count, 0);
}

/// What the loop does for a display that has a thread of its own, and the thread with it.
#[test]
fn a_scenes_copy_allocates_nothing() {
    let rgb: Vec<u8> = (0..224 * 224 * 3).map(|i| i as u8).collect();
    let picture = |pixel: usize| Crop {
        width_px: 224,
        height_px: 224,
        rgb: &rgb[pixel * 3..],
    };
    let top = [Candidate {
        class: 3,
        probability: 0.5,
    }; 5];
    let verdict = Verdict {
        decided: Some(top[0]),
        top,
        enter: Some(0.5),
        changed: true,
    };
    let region = |name| Region {
        name,
        verdict: Some(&verdict),
        picture: Some(picture(1)),
    };
    let regions = [
        region("left"),
        Region::default(),
        region("ganz rechts, Tür"),
    ];
    for regions in [&regions[..], &[]] {
        let mut copy = SceneCopy::new(&Holds {
            labels: ["tabby".to_owned()].into(),
            unknown_label: "unknown".into(),
            picture_bytes: rgb.len(),
            regions: regions.len(),
        });
        for state in [State::Live, State::Starting] {
            let is_live = state == State::Live;
            let scene = Scene {
                state,
                verdict: is_live.then_some(&verdict),
                labels: &[],
                unknown_label: "",
                rate_fps: 12.5,
                picture: (is_live && regions.is_empty()).then(|| picture(0)),
                regions: if is_live { regions } else { &[] },
                notice: is_live.then_some("low power"),
            };
            let (count, _) = allocations(|| copy.take(&scene));
            assert_eq!(count, 0);
            copy.with(|copied| {
                assert_eq!((copied.state, copied.rate_fps), (state, 12.5));
                assert_eq!(
                    (copied.verdict, copied.notice),
                    (scene.verdict, scene.notice)
                );
                assert_eq!(
                    (copied.labels[0].as_str(), copied.unknown_label),
                    ("tabby", "unknown")
                );
                let same = |one: Option<Crop<'_>>, other: Option<Crop<'_>>| {
                    assert_eq!(one.map(|crop| crop.rgb), other.map(|crop| crop.rgb));
                };
                same(copied.picture, scene.picture);
                assert_eq!(copied.regions.len(), scene.regions.len());
                for (one, other) in copied.regions.iter().zip(scene.regions) {
                    assert_eq!((one.name, one.verdict), (other.name, other.verdict));
                    same(one.picture, other.picture);
                }
            });
        }
    }
}

#[test]
fn a_fused_network_and_the_decision_allocate_nothing() {
    fused_network_and_decision_allocate_nothing("efficientnet-lite0");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    for name in ["dynamic", "attention", "attention-windows"] {
        fused_network_and_decision_allocate_nothing(&format!("{folder}/{name}.onnx"));
    }
}

fn fused_network_and_decision_allocate_nothing(name: &str) {
    let model = Model::find(name, None).unwrap();
    let mut network = Network::load(&model, 1).unwrap();
    if let Err(why) = network.fused() {
        basics::say_skipped(why);
        return;
    }
    let config = DecideConfig::default();
    let rules = ClassRules {
        rules: vec![("class 3".into(), config.rule())],
        ignore: vec!["class 4".into()],
        merge: vec![(
            "all three".into(),
            ["class 2", "class 0", "class 1"]
                .map(str::to_owned)
                .to_vec(),
        )],
    };
    let classes = Classes::resolve(&rules, &model.labels).unwrap();
    let mut decider = Decider::new(config, classes, model.output);
    let (count, _) = allocations(|| {
        for frame in 0..5 {
            match network.input() {
                Input::F32(values) => values.fill(0.1 * frame as f32),
                Input::U8(values) => values.fill(50 * frame as u8),
            }
            let scores = network.run().unwrap();
            decider.step(scores, Duration::from_millis(33 * frame));
        }
    });
    assert_eq!(count, 0, "{name}");
}

/// Letters of all kinds, those of a font file too.
#[test]
fn drawing_labels_allocates_nothing() {
    let labels = [
        "埃及猫",
        "Źdźbło trawy",
        "Αιγυπτιακή γάτα",
        "Сибирская кошка",
        "熊 ?",
    ]
    .map(str::to_owned);
    let font = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/fonts/chinese.ttf"
    );
    let own = Letters::read(Path::new(font), labels.iter().flat_map(|l| l.chars())).unwrap();
    let own: &Letters = Box::leak(Box::new(own));
    for (width_px, height_px, depth) in [
        (1920, 1080, Depth::Rgb888),
        (128, 64, Depth::Mono),
        (160, 80, Depth::Rgb565),
    ] {
        let mut painter = Painter::with_letters(width_px, height_px, depth, Some(own)).unwrap();
        let (count, _) = allocations(|| {
            for class in 0..labels.len() {
                let top = std::array::from_fn(|i| Candidate {
                    class: (class + i) % labels.len(),
                    probability: 0.5,
                });
                painter.draw(&Scene {
                    state: State::Live,
                    verdict: Some(&Verdict {
                        decided: Some(top[0]),
                        top,
                        enter: Some(0.5),
                        changed: true,
                    }),
                    labels: &labels,
                    unknown_label: "неизвестно",
                    rate_fps: 10.0,
                    picture: None,
                    regions: &[],
                    notice: None,
                });
            }
        });
        assert_eq!(count, 0, "{width_px} x {height_px} {depth:?}");
    }
}

/// A bus that takes everything, and a busy pin that was busy for a moment.
struct Bus(bool);

impl Wire for Bus {
    fn command(&mut self, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }

    fn data(&mut self, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }
}

impl Output for Bus {
    fn set(&mut self, _: bool) -> std::io::Result<()> {
        Ok(())
    }
}

impl bus::Input for Bus {
    fn is_high(&mut self) -> std::io::Result<bool> {
        self.0 = !self.0;
        Ok(self.0)
    }
}

impl embedded_hal::delay::DelayNs for Bus {
    fn delay_ns(&mut self, _: u32) {}
}

/// The display that a board file's table describes, on such a bus.
fn panel(table: &str) -> Box<dyn Display> {
    let board = format!(
        "description = 'test'\ntier = 'untested'\nmodel = 'mobilenet-v2'\nthreads = 1\npool_mib = 64\n\
         [camera.pattern]\nwidth_px = 64\nheight_px = 48\n{table}"
    );
    let mut board = Board::parse("t", "t.toml", &board, Base::Folder(Path::new("/"))).unwrap();
    let wiring = Wiring {
        wire: Box::new(Bus(true)),
        reset: Some(Box::new(Bus(true))),
        backlight: Some(Box::new(Bus(true))),
        delay: Box::new(Bus(true)),
    };
    match board.displays.remove(0) {
        DisplayConfig::Spi(config) => Box::new(SpiDisplay::wired(&config, wiring, None).unwrap()),
        DisplayConfig::Oled(config) => Box::new(OledDisplay::wired(&config, wiring, None).unwrap()),
        DisplayConfig::Epaper(config) => {
            let busy = Box::new(Bus(true));
            Box::new(EpaperDisplay::wired(&config, wiring, busy, None, None).unwrap())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn panels_on_a_bus_allocate_nothing_once_they_are_open() {
    let labels = ["tabby", "espresso", "tripod"].map(str::to_owned);
    let rgb = vec![99; 224 * 224 * 3];
    for table in [
        "[display.spi]\ncontroller = 'st7789'\ndc_gpio = 1\nrotate_deg = 90",
        "[display.spi]\ncontroller = 'ili9488'\ndc_gpio = 1",
        "[display.oled]",
        "[display.epaper]\npanel = 'waveshare-2in13-v3'\ndc_gpio = 1\nreset_gpio = 2\nbusy_gpio = 3\nrotate_deg = 90\nfull_every = 2",
    ] {
        let mut display = panel(table);
        let mut show = |turn: usize| {
            let class = turn % labels.len();
            let best = Candidate {
                class,
                probability: 0.9,
            };
            let verdict = Verdict {
                decided: Some(best),
                top: [best; 5],
                enter: Some(0.5),
                changed: false,
            };
            let shown = display.show(&Scene {
                state: State::Live,
                verdict: Some(&verdict),
                labels: &labels,
                unknown_label: "unknown",
                rate_fps: turn as f32,
                picture: Some(Crop {
                    width_px: 224,
                    height_px: 224,
                    rgb: &rgb,
                }),
                regions: &[],
                notice: (class == 2).then_some("low power"),
            });
            shown.unwrap();
        };
        // The pen and the scaler have their buffers after the first drawing.
        show(0);
        let (count, _) = allocations(|| (1..12).for_each(&mut show));
        assert_eq!(count, 0, "{table}");
    }
}

/// A display with two buffers, but for its driver.
#[test]
fn a_double_buffered_display_allocates_nothing() {
    struct Buffers([Vec<u8>; 2]);
    impl Screen for Buffers {
        fn put(&mut self, buffer: usize, bytes: &[u8], at: usize) -> std::io::Result<()> {
            self.0[buffer][at..at + bytes.len()].copy_from_slice(bytes);
            Ok(())
        }

        fn wait(&mut self) -> std::io::Result<()> {
            Ok(())
        }

        fn flip(&mut self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut painter = Painter::new(320, 240, Depth::Rgb888).unwrap();
    let orientation = Orientation {
        rotation: Rotation::Half,
        mirror: true,
    };
    let mut pair = Pair::new((320, 240), 320 * 4, XRGB8888, orientation);
    let mut buffers = Buffers([0, 1].map(|_| vec![0; 320 * 4 * 240]));
    let (count, _) = allocations(|| {
        for seconds in 0..5 {
            let canvas = painter.draw(&Scene {
                state: State::CameraLost {
                    since: Duration::from_secs(seconds),
                },
                verdict: None,
                labels: &[],
                unknown_label: "unknown",
                rate_fps: 10.0,
                picture: None,
                regions: &[],
                notice: None,
            });
            pair.push(canvas, &mut buffers).unwrap();
        }
    });
    assert_eq!(count, 0);
    assert!(buffers.0.iter().all(|buffer| buffer.iter().any(|b| *b > 0)));
}

/// A display while no class is decided, a round one, and paper, from the second drawing on.
#[test]
fn drawing_on_every_kind_of_surface_allocates_nothing() {
    let labels = ["tabby", "tiger cat", "black and gold garden spider"].map(str::to_owned);
    let rgb = vec![90_u8; 224 * 224 * 3];
    let square = |depth| Surface::new(240, 240, depth);
    for surface in [
        Surface::new(480, 320, Depth::Rgb565),
        square(Depth::Rgb565),
        square(Depth::Rgb565).shaped(Shape::Round),
        Surface::new(250, 122, Depth::Mono).refreshed(Refresh::Standing),
    ] {
        let mut painter = Painter::on(surface, None).unwrap();
        let mut draw = |turn: usize| {
            let top = std::array::from_fn(|i| Candidate {
                class: (turn + i) % labels.len(),
                probability: 0.4,
            });
            painter.draw(&Scene {
                state: State::Live,
                verdict: Some(&Verdict {
                    decided: turn.is_multiple_of(2).then_some(top[0]),
                    top,
                    enter: (!turn.is_multiple_of(3)).then_some(0.5),
                    changed: true,
                }),
                labels: &labels,
                unknown_label: "unknown",
                rate_fps: 10.0,
                picture: Some(Crop {
                    width_px: 224,
                    height_px: 224,
                    rgb: &rgb,
                }),
                regions: &[],
                notice: None,
            });
        };
        draw(0);
        let (count, _) = allocations(|| (1..12).for_each(&mut draw));
        assert_eq!(count, 0, "{surface:?}");
    }
}

/// Each island of a network that is known in part, on one thread.
#[test]
fn an_island_allocates_nothing() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/unknown-mish.onnx"
    );
    let model = Model::find(file, None).unwrap();
    let network = Network::load(&model, 1).unwrap();
    let Some(islands) = network.islands() else {
        basics::say_skipped("this CPU has no instruction set that the fast plan has kernels for");
        return;
    };
    let mut fused = islands.fused.lock().unwrap();
    // Softplus stands between the two: what the first gives is what the second takes.
    let mut border = vec![0.0; islands.ports[0].exports[0].iter().product()];
    let mut scores = vec![0.0; 10];
    let mut run = || {
        fused.run_segment(0, &[], &mut [&mut border]);
        fused.run_segment(1, &[&border], &mut [&mut scores]);
    };
    run();
    assert_eq!(allocations(run), (0, 0));
    assert!(scores.iter().all(|s| s.is_finite()) && scores.iter().any(|s| *s != 0.0));
}
