//! The controller on a simulated sensor: delays, stepped codes, noise, black level, clipping, and a scene whose light changes.

use super::controller::Controller;
use super::gain::Law;
use super::meter::{self, Reading};
use super::setting::{Limits, Setting};
use crate::basics::cases;
use std::collections::VecDeque;

const WIDTH_PX: u32 = 128;
const HEIGHT_PX: u32 = 96;

/// A picture counts as settled within this many stops of its final brightness.
const SETTLED_STOPS: f32 = 0.25;

/// What the camera sees, as light that reaches the sensor: 1 fills a pixel in one line of exposure at gain 1.
type Scene = fn(u32, u32) -> f32;

/// A grey wall.
fn wall(_: u32, _: u32) -> f32 {
    1.0
}

/// A room: five stops from dark to bright.
fn room(x: u32, y: u32) -> f32 {
    let spot = (x * 7 + y * 13) % 50;
    (spot as f32 / 10.0 - 3.0).exp2()
}

/// A room with a window that is 30 times as bright and covers a tenth of the picture.
fn window(x: u32, y: u32) -> f32 {
    let is_window = x > 96 && y < 39;
    if is_window { 30.0 } else { room(x, y) }
}

/// A wall with a bright area and one of the same size that is the next brightest, at about 1.
#[derive(Debug, Clone, Copy)]
struct Patch {
    side_px: u32,
    /// How bright it is, and by how much of that its parts differ.
    bright: f32,
    spread: f32,
    wall: f32,
}

impl Patch {
    fn light(self, x: u32, y: u32) -> f32 {
        let spot = (x / 4 * 7919 + y / 4 * 104_729) % 1000;
        let spot = spot as f32 / 1000.0;
        let is_in = |left: u32, top: u32| {
            (left..left + self.side_px).contains(&x) && (top..top + self.side_px).contains(&y)
        };
        if is_in(80, 8) {
            self.bright * (1.0 + self.spread * (2.0 * spot - 1.0))
        } else if is_in(12, 60) {
            0.9 + 0.1 * spot
        } else {
            self.wall * (0.5 + spot)
        }
    }

    /// 2 to 5 % of the picture, 1.5 to 5 times as bright as the next brightest; a few under an emulator.
    fn all() -> impl Iterator<Item = Self> {
        let count = Self::each().count();
        Self::each().step_by(count / cases(count))
    }

    fn each() -> impl Iterator<Item = Self> {
        let walls = [0.2, 0.3, 0.35, 0.45];
        let kinds = [0.0, 0.1, 0.2, 0.4]
            .into_iter()
            .flat_map(move |spread| walls.map(|wall| (spread, wall)));
        let brights = [16, 20, 25]
            .into_iter()
            .flat_map(|side_px| [1.5, 2.0, 3.0, 5.0].map(|bright| (side_px, bright)));
        brights.flat_map(move |(side_px, bright)| {
            kinds.clone().map(move |(spread, wall)| Self {
                side_px,
                bright,
                spread,
                wall,
            })
        })
    }
}

/// The light of each pixel.
fn lit(scene: impl Fn(u32, u32) -> f32) -> Vec<f32> {
    let all = 0..WIDTH_PX * HEIGHT_PX;
    all.map(|at| scene(at % WIDTH_PX, at / WIDTH_PX)).collect()
}

struct Sensor {
    limits: Limits,
    /// The light of each pixel.
    scene: Vec<f32>,
    /// Nearly Gaussian, with a variance of one third.
    noise: Vec<f32>,
    light: f32,
    bits: u32,
    black: u32,
    /// A setting made after frame n takes effect from frame n + this.
    delay: u64,
    frame: u64,
    now: Setting,
    coming: VecDeque<(u64, Setting)>,
    random: fastrand::Rng,
}

impl Sensor {
    fn picture(&mut self) -> Reading {
        while self
            .coming
            .front()
            .is_some_and(|(from, _)| *from <= self.frame)
        {
            self.now = self.coming.pop_front().unwrap_or((0, self.now)).1;
        }
        let factor = self
            .limits
            .gain
            .and_then(|(_, _, law)| law.factor(self.now.code));
        let exposure = self.now.lines as f32 * factor.unwrap_or(1.0) as f32 * self.light;
        let full = ((1u32 << self.bits) - 1) as f32;
        let black = self.black as f32;
        let start = self.random.usize(..self.noise.len());
        meter::read(WIDTH_PX, HEIGHT_PX, |x, y| {
            let at = (y * WIDTH_PX + x) as usize;
            let light = exposure * self.scene[at];
            let noise = self.noise[(start + at) % self.noise.len()];
            // Read noise, plus some that grows with the light.
            let number = black + (full - black) * (light + noise * (0.004 + 0.02 * light.sqrt()));
            let number = number.round().clamp(0.0, full);
            (number - black) / (full - black)
        })
    }
}

/// A sensor with its controller.
struct Rig {
    sensor: Sensor,
    controller: Controller,
    changes: Vec<(u64, Setting)>,
}

const IMX219: Law = Law::Reciprocal { full: 256 };

fn limits(law: Law, codes: (i64, i64)) -> Limits {
    Limits {
        lines: (4, 1759),
        gain: Some((codes.0, codes.1, law)),
        flicker_lines: None,
    }
}

impl Rig {
    fn new(
        limits: Limits,
        scene: impl Fn(u32, u32) -> f32,
        bits: u32,
        delay: u64,
        seed: u64,
    ) -> Self {
        let start = Setting {
            lines: 800,
            code: limits.gain.map_or(0, |(least, _, _)| least),
        };
        let mut random = fastrand::Rng::with_seed(seed);
        let noise = (0..4099)
            .map(|_| (0..4).map(|_| random.f32() - 0.5).sum())
            .collect();
        let sensor = Sensor {
            limits: limits.clone(),
            scene: lit(scene),
            noise,
            light: 2e-4,
            bits,
            black: (1 << bits) / 16,
            delay,
            frame: 0,
            now: start,
            coming: VecDeque::new(),
            random,
        };
        Self {
            sensor,
            controller: Controller::new(limits, start, 2, 2),
            changes: Vec::new(),
        }
    }

    /// One frame, from sensor to controller.
    fn step(&mut self) -> Reading {
        let reading = self.sensor.picture();
        let frame = self.sensor.frame;
        if let Some(setting) = self.controller.next(frame, frame + 1, &reading) {
            self.sensor
                .coming
                .push_back((frame + self.sensor.delay, setting));
            self.changes.push((frame, setting));
        }
        self.sensor.frame += 1;
        reading
    }

    fn run(&mut self, frames: usize) -> Vec<Reading> {
        (0..frames).map(|_| self.step()).collect()
    }
}

/// How many frames have the wrong brightness before all others are right.
fn settles_after(readings: &[Reading]) -> usize {
    let last = readings[readings.len() - 1].mean;
    let is_right = |reading: &Reading| (reading.mean.max(1e-6) / last).log2().abs() < SETTLED_STOPS;
    let wrong = readings.iter().rposition(|reading| !is_right(reading));
    wrong.map_or(0, |at| at + 1)
}

/// Light that changes by eight stops and back, on each kind of sensor: settled within ten frames, with no changes after that.
#[test]
fn eight_stops_are_settled_within_ten_frames() {
    let mut slowest = 0;
    for scene in [wall as Scene, room, window] {
        for bits in [8, 10, 12] {
            for delay in 1..=4 {
                let kinds = [
                    limits(IMX219, (0, 232)),
                    limits(Law::Reciprocal { full: 1024 }, (0, 978)),
                    limits(Law::Linear { one: 16 }, (16, 1023)),
                ];
                for (kind, limits) in kinds.into_iter().enumerate() {
                    let what =
                        format!("scene {scene:?}, {bits} bits, delay {delay}, sensor {kind}");
                    let mut rig = Rig::new(limits, scene, bits, delay, kind as u64);
                    let start = rig.run(30);
                    let frames = settles_after(&start);
                    // The delay has to be learnt, and a window takes more than one step.
                    assert!(frames <= 14, "{what}: {frames} frames at the start");
                    for light in [2e-2, 2e-2 / 256.0, 2e-2, 2e-4, 2e-2 / 256.0] {
                        rig.sensor.light = light;
                        let readings = rig.run(40);
                        let frames = settles_after(&readings);
                        slowest = slowest.max(frames);
                        let means: Vec<_> =
                            readings.iter().map(|r| (r.mean * 1e3) as i32).collect();
                        assert!(
                            frames <= 10,
                            "{what}: {frames} frames to light {light}: {means:?}"
                        );
                        let last = readings[39];
                        assert!(
                            (0.08..0.21).contains(&last.mean),
                            "{what}, light {light}: {last:?}"
                        );
                        let late = rig
                            .changes
                            .iter()
                            .filter(|(at, _)| at + 25 >= rig.sensor.frame);
                        assert_eq!(late.count(), 0, "{what}, light {light}: {:?}", rig.changes);
                    }
                }
            }
        }
    }
    assert!(
        slowest >= 6,
        "the slowest took {slowest} frames: does this measure anything?"
    );
}

/// Once something can be measured, one step is enough: the brightness does not overshoot.
#[test]
fn a_step_does_not_overshoot() {
    for delay in 1..=4 {
        for stops in -8..=8 {
            let mut rig = Rig::new(limits(IMX219, (0, 232)), room, 10, delay, 7);
            rig.sensor.light = 2e-3;
            rig.run(40);
            rig.sensor.light = 2e-3 * (stops as f32 / 2.0).exp2();
            let before = rig.changes.len();
            let readings = rig.run(40);
            let last = readings[39].mean;
            for reading in &readings {
                let stops_off = (reading.mean / last).log2();
                if stops > 0 {
                    assert!(
                        stops_off > -0.5,
                        "delay {delay}, {stops} half stops: {reading:?}"
                    );
                } else {
                    assert!(
                        stops_off < 0.5,
                        "delay {delay}, {stops} half stops: {reading:?}"
                    );
                }
            }
            let changes = rig.changes.len() - before;
            assert!(
                changes <= 3,
                "delay {delay}, {stops} half stops: {changes} changes"
            );
        }
    }
}

/// Light that rises or falls by eight stops within seconds is followed, at most one stop off.
#[test]
fn a_ramp_is_followed() {
    for delay in 1..=4 {
        for direction in [1.0, -1.0] {
            let mut rig = Rig::new(limits(IMX219, (0, 232)), room, 10, delay, 3);
            let start: f32 = if direction > 0.0 { 1e-4 } else { 2.56e-2 };
            rig.sensor.light = start;
            rig.run(40);
            for frame in 0..160 {
                rig.sensor.light = start * (direction * frame as f32 / 20.0).exp2();
                let reading = rig.step();
                assert!(
                    (0.07..0.4).contains(&reading.mean),
                    "delay {delay}, frame {frame}: {reading:?}"
                );
            }
            let changes = rig.changes.len();
            let readings = rig.run(30);
            assert!(rig.changes.len() <= changes + 2);
            assert!(
                (0.15..0.21).contains(&readings[29].mean),
                "{:?}",
                readings[29]
            );
        }
    }
}

/// Noise and small changes in a scene trigger no changes, over minutes.
#[test]
fn a_steady_scene_keeps_its_setting() {
    for scene in [wall as Scene, room, window] {
        for bits in [8, 10] {
            let mut rig = Rig::new(limits(IMX219, (0, 232)), scene, bits, 2, 11);
            rig.run(40);
            let changes = rig.changes.len();
            for frame in 0..3000 {
                rig.sensor.light = 2e-4 * (1.0 + 0.05 * (frame as f32 * 0.7).sin());
                rig.step();
            }
            assert_eq!(rig.changes.len(), changes, "{bits} bits: {:?}", rig.changes);
        }
    }
}

/// Under lamps on 50 Hz mains every exposure is a whole number of flashes, unless it is shorter than one, whatever the light
/// does.
#[test]
fn under_lamps_only_whole_flashes_are_exposed() {
    let flicker_lines = 1e4 / 18.9;
    let mut rig = Rig::new(
        Limits {
            flicker_lines: Some(flicker_lines),
            ..limits(IMX219, (0, 232))
        },
        room,
        10,
        3,
        5,
    );
    for frame in 0..2000 {
        rig.sensor.light = 3e-4 * (3.0 * (frame as f32 / 60.0).sin()).exp2();
        rig.step();
    }
    let mut flashes = [0; 4];
    for (_, setting) in &rig.changes {
        let count = setting.lines as f64 / flicker_lines;
        // Up to one line less still counts as a whole flash.
        if setting.lines as f64 + 1.0 >= flicker_lines {
            assert!(
                (count - count.round()).abs() < 1.0 / flicker_lines * 2.0,
                "{setting:?}"
            );
            flashes[count.round() as usize] += 1;
        }
    }
    assert!(
        flashes[1] > 5 && flashes[2] > 5 && flashes[3] > 5,
        "{flashes:?}"
    );
}

/// A sensor slower than assumed causes no oscillation: its delay is learnt.
#[test]
fn a_sensor_that_is_late_is_waited_for() {
    for delay in 3..=7 {
        let mut rig = Rig::new(limits(IMX219, (0, 232)), room, 10, delay, 1);
        rig.sensor.light = 1e-3;
        rig.run(60);
        for light in [3e-4, 2e-3, 5e-4] {
            rig.sensor.light = light;
            let before = rig.changes.len();
            let readings = rig.run(60);
            let changes = rig.changes.len() - before;
            assert!(
                changes <= 3,
                "delay {delay}, light {light}: {:?}",
                &rig.changes[before..]
            );
            assert!(
                (0.15..0.21).contains(&readings[59].mean),
                "{:?}",
                readings[59]
            );
        }
    }
}

/// A small bright area looks darker than it is once it clips. The setting comes to rest all the same, and not where the area
/// clips, unless the picture is as dark for it as it may be.
#[test]
fn a_small_bright_area_does_not_make_the_exposure_swing() {
    let mut count = 0;
    for patch in Patch::all() {
        count += 1;
        let mut rig = Rig::new(
            limits(IMX219, (0, 232)),
            |x, y| patch.light(x, y),
            10,
            2,
            count,
        );
        rig.sensor.light = 8e-4;
        let readings = rig.run(90);
        let late = rig.changes.iter().filter(|(at, _)| *at >= 60);
        assert_eq!(late.count(), 0, "{patch:?}: {:?}", rig.changes);
        let last = readings[89];
        let is_guarded = last.mean < 0.09 * 1.1;
        // Of an even area all clips or nothing; of an uneven one its brightest parts may.
        let most = if patch.spread == 0.0 { 0.05 } else { 0.5 };
        assert!(is_guarded || last.blown() < most, "{patch:?}: {last:?}");
        assert!((0.08..0.21).contains(&last.mean), "{patch:?}: {last:?}");
    }
    assert!(count >= 5, "{count}");
}

/// What clipped in one scene holds nothing back in the next.
#[test]
fn without_the_bright_area_the_picture_is_as_bright_as_ever() {
    for patch in Patch::all() {
        let mut rig = Rig::new(limits(IMX219, (0, 232)), |x, y| patch.light(x, y), 10, 2, 9);
        rig.sensor.light = 8e-4;
        rig.run(90);
        let dim = Patch {
            bright: patch.wall,
            ..patch
        };
        let mut fresh = Rig::new(limits(IMX219, (0, 232)), |x, y| dim.light(x, y), 10, 2, 9);
        fresh.sensor.light = 8e-4;
        let expected = fresh.run(90)[89].mean;
        rig.sensor.scene = lit(|x, y| dim.light(x, y));
        let found = rig.run(30)[29].mean;
        assert!(
            (found / expected).log2().abs() < SETTLED_STOPS,
            "{patch:?}: {found}, not {expected}"
        );
        // Nor when the light goes.
        rig.sensor.scene = lit(|x, y| patch.light(x, y));
        rig.run(90);
        rig.sensor.light /= 4.0;
        let dark = rig.run(60)[59];
        assert!((0.08..0.21).contains(&dark.mean), "{patch:?}: {dark:?}");
    }
}
