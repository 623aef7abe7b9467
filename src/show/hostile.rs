//! Whatever a board file, a network or a bus contains, a display returns an error or draws a picture. On a board where `eyelet`
//! is init, a panic on a display's thread would end everything, so there must be none.

use super::bus::{Input, Output, Wire, Wiring};
use super::canvas::{Orientation, Rotation};
use super::draw::Painter;
use super::pixel::Packing;
use super::played::NoDelay;
use super::shadow::{Grid, Shadow};
use super::{Display, DisplayConfig, DisplayError, REGIONS, Region, Scene, State, TestPicture};
use super::{epaper, oled, spi};
use crate::data_roots::Base;
use crate::decide::{Candidate, TOP, Verdict};
use crate::failure::Cause;
use crate::preprocess::Crop;
use crate::toml_file;
use fastrand::Rng;
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::time::Duration;

/// A bus and pins with random answers: after a number of calls, each call is an error.
struct RandomBus {
    left: u32,
    is_high: bool,
}

impl RandomBus {
    fn boxed(random: &mut Rng) -> Box<Self> {
        let left = if random.bool() {
            u32::MAX
        } else {
            random.u32(0..400)
        };
        Box::new(Self {
            left,
            is_high: false,
        })
    }

    fn answer(&mut self) -> io::Result<()> {
        self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| io::Error::other("pulled out"))?;
        Ok(())
    }
}

impl Wire for RandomBus {
    fn command(&mut self, _: &[u8]) -> io::Result<()> {
        self.answer()
    }

    fn data(&mut self, _: &[u8]) -> io::Result<()> {
        self.answer()
    }
}

impl Output for RandomBus {
    fn set(&mut self, _: bool) -> io::Result<()> {
        self.answer()
    }
}

impl Input for RandomBus {
    fn is_high(&mut self) -> io::Result<bool> {
        self.is_high = !self.is_high;
        self.answer().map(|()| self.is_high)
    }
}

/// Drawn into memory and packed, as framebuffers and DRM do it.
struct Packed {
    painter: Painter,
    shadow: Shadow,
}

impl Display for Packed {
    fn describe(&self) -> String {
        String::new()
    }

    fn show(&mut self, scene: &Scene<'_>) -> Result<(), DisplayError> {
        let canvas = self.painter.draw(scene);
        let Ok(()) = self
            .shadow
            .push(canvas, false, |patch| -> Result<(), Infallible> {
                assert!(patch.rows().count() == patch.height_px);
                Ok(())
            });
        Ok(())
    }

    fn divide(&mut self, regions: usize) -> Result<(), DisplayError> {
        self.painter.divide(regions)
    }
}

/// A side length as people and mistakes produce it: small, usual, at the limits, beyond them.
fn side(random: &mut Rng) -> u32 {
    let usual = [
        0, 1, 8, 31, 32, 33, 48, 64, 72, 80, 96, 122, 128, 132, 135, 160, 240, 250, 296, 320,
    ];
    match random.u32(0..12) {
        0..6 => usual[random.usize(0..usual.len())],
        6..11 => random.u32(0..340),
        _ => [480, 4096, 8192, 8193][random.usize(0..4)],
    }
}

/// A table of `[display]` with random keys.
fn table(random: &mut Rng) -> String {
    let kind = random
        .choice(["framebuffer", "drm", "spi", "oled", "epaper", "png"])
        .unwrap();
    let mut text = format!("[display.{kind}]\n");
    let mut add = |key: &str, value: String| text += &format!("{key} = {value}\n");
    let (width_px, height_px) = (side(random), side(random));
    let is_square = random.u32(0..4) == 0;
    if kind == "png" || random.bool() && kind != "epaper" {
        // Two such sides together would need hundreds of megabytes.
        let height_px = if is_square { width_px } else { height_px };
        let height_px = if width_px > 480 {
            height_px.min(64)
        } else {
            height_px
        };
        add("width_px", width_px.to_string());
        add("height_px", height_px.to_string());
    }
    if kind != "png" {
        add(
            "rotate_deg",
            [0, 90, 180, 270][random.usize(0..4)].to_string(),
        );
        add("mirror", random.bool().to_string());
    }
    match kind {
        "spi" => {
            let controllers = ["'st7789'", "'st7735'", "'ili9341'", "'ili9488'", "'gc9a01'"];
            add("controller", random.choice(controllers).unwrap().to_owned());
            add("dc_gpio", "25".to_owned());
            if random.bool() {
                add("left_px", random.u32(0..90).to_string());
                add("top_px", random.u32(0..90).to_string());
            }
            if random.bool() {
                add("round", random.bool().to_string());
            }
        }
        "oled" => {
            add(
                "controller",
                random.choice(["'ssd1306'", "'sh1106'"]).unwrap().to_owned(),
            );
            if random.bool() {
                add("left_px", random.u32(0..140).to_string());
            }
            add("invert", random.bool().to_string());
        }
        "epaper" => {
            let panels = [
                "'waveshare-2in13-v3'",
                "'waveshare-2in13-v4'",
                "'waveshare-2in9-v2'",
            ];
            add("panel", random.choice(panels).unwrap().to_owned());
            for (key, line) in [("dc_gpio", 25), ("reset_gpio", 17), ("busy_gpio", 24)] {
                add(key, line.to_string());
            }
            add("full_every", random.u32(1..4).to_string());
        }
        "png" => {
            add("folder", "'f'".to_owned());
            add("round", random.bool().to_string());
            add("paper", random.bool().to_string());
        }
        _ => {}
    }
    text
}

/// The display of an accepted table, on a fake bus.
fn opened(config: &DisplayConfig, random: &mut Rng) -> Result<Box<dyn Display>, DisplayError> {
    let wiring = Wiring {
        wire: RandomBus::boxed(random),
        reset: Some(RandomBus::boxed(random)),
        backlight: Some(RandomBus::boxed(random)),
        delay: Box::new(NoDelay),
    };
    Ok(match config {
        DisplayConfig::Spi(c) => Box::new(spi::SpiDisplay::wired(c, wiring, None)?),
        DisplayConfig::Oled(c) => Box::new(oled::OledDisplay::wired(c, wiring, None)?),
        DisplayConfig::Epaper(c) => {
            let (busy, power) = (RandomBus::boxed(random), RandomBus::boxed(random));
            Box::new(epaper::EpaperDisplay::wired(
                c,
                wiring,
                busy,
                Some(power),
                None,
            )?)
        }
        other => {
            let orientation = other.settings().orientation().unwrap_or_default();
            let Some(surface) = other.settings().surface() else {
                return Err(DisplayError::Absent("its size is the driver's".into()));
            };
            let size_px = orientation
                .rotation
                .turn((surface.width_px, surface.height_px));
            let packings = [
                Packing::Grey,
                Packing::Mono {
                    left_is_high: true,
                    set_is_white: false,
                },
            ];
            let packing = *random.choice(&packings).unwrap();
            Box::new(Packed {
                painter: Painter::on(surface, None)?,
                shadow: Shadow::new(size_px, packing, orientation, Grid { x_px: 8, y_px: 1 }),
            })
        }
    })
}

const WORDS: [&str; 9] = [
    "",
    " ",
    "cat",
    "猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫",
    "a\u{301}\u{301}\u{301}\u{301}\u{301}",
    "\u{202e}\u{feff}\u{200b}",
    "\0\n\t\u{7f}",
    "Staffordshire bullterrier, Staffordshire bull terrier",
    "𝕨𝕚𝕕𝕖 letters, ﷽ and one word without end: Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz",
];

fn word(random: &mut Rng) -> &'static str {
    random.choice(WORDS).unwrap()
}

fn number(random: &mut Rng) -> f32 {
    let strange = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        7e9,
        f32::MIN_POSITIVE,
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
    ];
    if random.bool() {
        random.f32()
    } else {
        random.choice(strange).unwrap()
    }
}

fn verdict(random: &mut Rng) -> Verdict {
    let mut candidate = || Candidate {
        class: if random.u32(0..8) == 0 {
            usize::MAX
        } else {
            random.usize(0..WORDS.len())
        },
        probability: number(random),
    };
    let top: [Candidate; TOP] = std::array::from_fn(|_| candidate());
    Verdict {
        decided: random.bool().then_some(top[0]),
        top,
        enter: random.bool().then(|| number(random)),
        changed: random.bool(),
    }
}

fn state(random: &mut Rng) -> State {
    match random.u32(0..10) {
        0 => State::Starting,
        1 => State::CameraLost {
            since: Duration::from_secs(random.u64(..)),
        },
        2 => State::Failed(
            random
                .choice([Cause::Board, Cause::Camera, Cause::Memory])
                .unwrap(),
        ),
        3 => State::NetworkFails {
            since: Duration::from_secs(random.u64(..)),
        },
        4 => State::Test(TestPicture {
            kind: "oled",
            orientation: Some(Orientation {
                rotation: Rotation::from_degrees(random.u16(0..4) * 90).unwrap(),
                mirror: random.bool(),
            }),
        }),
        _ => State::Live,
    }
}

#[test]
fn no_table_scene_or_bus_makes_a_display_panic() {
    let mut random = Rng::with_seed(11);
    let labels = WORDS.map(str::to_owned);
    let (mut refused, mut failed, mut shown) = (0, 0, 0);
    for _ in 0..500 {
        let text = table(&mut random);
        let read = toml_file::read("t", &text, |top| {
            let (mut displays, _) = DisplayConfig::read_all(top, Base::Folder(Path::new("/b")));
            displays.pop()
        });
        let Ok(config) = read else {
            refused += 1;
            continue;
        };
        let count = random.usize(0..=REGIONS);
        let Ok(mut display) = opened(&config, &mut random) else {
            failed += 1;
            continue;
        };
        let is_divided = count > 1 && display.divide(count).is_ok();
        for _ in 0..4 {
            let (width_px, height_px) = (random.u32(0..90), random.u32(0..90));
            let rgb = vec![random.u8(..); (width_px * height_px * 3) as usize];
            let picture = random.bool().then_some(Crop {
                width_px,
                height_px,
                rgb: &rgb,
            });
            let verdicts: Vec<_> = (0..count).map(|_| verdict(&mut random)).collect();
            let mut regions: Vec<_> = verdicts
                .iter()
                .map(|verdict| Region {
                    name: word(&mut random),
                    verdict: random.bool().then_some(verdict),
                    picture,
                })
                .collect();
            // Also a different number of regions than the display was divided among.
            if !is_divided || random.u32(0..4) == 0 {
                regions.truncate(random.usize(0..=count));
            }
            let whole = verdict(&mut random);
            let scene = Scene {
                state: state(&mut random),
                verdict: random.bool().then_some(&whole),
                labels: &labels[..random.usize(0..=labels.len())],
                unknown_label: word(&mut random),
                rate_fps: number(&mut random),
                picture,
                regions: &regions,
                notice: random.bool().then(|| word(&mut random)),
            };
            shown += usize::from(display.show(&scene).is_ok());
        }
    }
    println!("{refused} tables refused, {failed} displays not opened, {shown} scenes shown");
    // The tables are neither all wrong nor all right.
    assert!(
        refused > 30 && failed > 15 && shown > 300,
        "{refused} {failed} {shown}"
    );
}
