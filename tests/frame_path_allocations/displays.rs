//! Drawing, and what brings a drawing to a display: copies for threads, buses, double buffers.

use crate::{allocations, verdict_for};
use eyelet::board::Board;
use eyelet::data_roots::Base;
use eyelet::decide::{Candidate, Verdict};
use eyelet::preprocess::Crop;
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
use eyelet::show::{Depth, Display, DisplayConfig, Refresh, Region, Scene, Shape, State};
use std::path::Path;
use std::time::Duration;

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
            let verdict = verdict_for(class);
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
