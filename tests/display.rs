//! What displays of all sizes show, against pictures in `tests/golden/` that people have looked at.
//!
//! `EYELET_BLESS=1 cargo test --test display` redraws the golden pictures; files whose pixels did not change are left alone.

#![allow(clippy::unwrap_used)]

use embedded_graphics::prelude::Point;
use eyelet::Cause;
use eyelet::decide::{Candidate, Verdict};
use eyelet::preprocess::Crop;
use eyelet::show::canvas::{Canvas, Orientation, Rotation};
use eyelet::show::draw::Painter;
use eyelet::show::font::Letters;
use eyelet::show::layout::Surface;
use eyelet::show::png::write_png;
use eyelet::show::{Depth, Fault, Refresh, Region, Scene, Shape, State, TestPicture};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const LABELS: [&str; 8] = [
    "tabby",
    "tiger cat",
    "Egyptian cat",
    "lynx",
    "black and gold garden spider",
    "Staffordshire bullterrier",
    "Käsekuchen nach Großmutters Art",
    "猫",
];

/// Two of them begin alike, for longer than a row is wide.
const SCREWS: [&str; 5] = [
    "Schraube, M3",
    "Schraube, M4",
    "Schraubenmutter",
    "Mutter, M3",
    "Unterlegscheibe",
];

/// One label a language; the last one needs `tests/fixtures/fonts/chinese.ttf`.
const LANGUAGES: [(&str, &str); 5] = [
    ("german", "Schraubenschlüssel, groß"),
    ("polish", "Źdźbło i żółta łąka"),
    ("greek", "Αιγυπτιακή γάτα"),
    ("russian", "Щенок сибирской лайки"),
    ("chinese", "埃及猫、虎斑猫"),
];

const SIDE_PX: u32 = 224;

/// A ball on a lawn under a sky of four blues: flat colours, so that the golden files stay small.
fn picture() -> Vec<u8> {
    let mut rgb = Vec::with_capacity((SIDE_PX * SIDE_PX * 3) as usize);
    for y in 0..SIDE_PX as i32 {
        for x in 0..SIDE_PX as i32 {
            let square = |cx: i32, cy: i32| (x - cx).pow(2) + (y - cy).pow(2);
            rgb.extend(match y {
                _ if square(88, 116) < 18 * 18 => [255, 214, 190],
                _ if square(108, 140) < 56 * 56 => [226, 84, 60],
                _ if square(186, 38) < 20 * 20 => [255, 226, 120],
                0..=159 => [70 + 25 * (y / 40) as u8, 150 + 15 * (y / 40) as u8, 230],
                _ if square(116, 196) < 60 * 60 && y > 186 => [48, 104, 58],
                _ => [72, 148, 84],
            });
        }
    }
    rgb
}

fn verdict(decided: Option<usize>) -> Verdict {
    let shares = [0.874, 0.062, 0.031, 0.009, 0.004];
    let first = decided.unwrap_or(0);
    let others = (0..5).filter(|class| *class != first);
    let classes: Vec<_> = std::iter::once(first).chain(others).collect();
    let part = if decided.is_some() { 1.0 } else { 0.35 };
    let top = std::array::from_fn(|i| Candidate {
        class: classes[i],
        probability: shares[i] * part,
    });
    Verdict {
        decided: decided.map(|_| top[0]),
        top,
        enter: Some(0.5),
        changed: true,
    }
}

#[derive(Clone, Copy)]
enum Show {
    Class(usize),
    Unknown,
    /// None is decided: the best one is ignored.
    Ignored,
    Lost,
    Starting,
    Failed,
    /// A class, while the board has too little power.
    LowPower(usize),
}
use Show::{Class, Failed, Ignored, Lost, LowPower, Starting, Unknown};

fn draw(painter: &mut Painter, show: Show, labels: &[String], rgb: &[u8]) {
    let mut verdict = match show {
        Class(class) | LowPower(class) => verdict(Some(class)),
        Unknown | Ignored | Lost | Starting | Failed => verdict(None),
    };
    if matches!(show, Ignored) {
        verdict.enter = None;
    }
    painter.draw(&Scene {
        state: match show {
            Class(_) | LowPower(_) | Unknown | Ignored => State::Live,
            Lost => State::CameraLost {
                since: Duration::from_secs(12),
            },
            Starting => State::Starting,
            Failed => State::Failed(Cause::Model),
        },
        verdict: Some(&verdict),
        labels,
        unknown_label: "unknown",
        rate_fps: 14.23,
        picture: Some(Crop {
            width_px: SIDE_PX,
            height_px: SIDE_PX,
            rgb,
        }),
        regions: &[],
        notice: matches!(show, LowPower(_)).then_some("low power"),
    });
}

fn labels() -> Vec<String> {
    LABELS.map(String::from).to_vec()
}

const fn mono(width_px: u32, height_px: u32) -> Surface {
    Surface::new(width_px, height_px, Depth::Mono)
}

const fn rgb565(width_px: u32, height_px: u32) -> Surface {
    Surface::new(width_px, height_px, Depth::Rgb565)
}

const fn rgb888(width_px: u32, height_px: u32) -> Surface {
    Surface::new(width_px, height_px, Depth::Rgb888)
}

const fn round(diameter_px: u32) -> Surface {
    rgb565(diameter_px, diameter_px).shaped(Shape::Round)
}

const fn paper(width_px: u32, height_px: u32) -> Surface {
    mono(width_px, height_px).refreshed(Refresh::Standing)
}

/// The beginning of a golden picture's name.
fn name_of(surface: &Surface) -> String {
    let depth = match surface.refresh {
        Refresh::Live => format!("{:?}", surface.depth).to_lowercase(),
        Refresh::Standing => "paper".to_owned(),
    };
    let round = if surface.shape == Shape::Round {
        "-round"
    } else {
        ""
    };
    format!("{}x{}-{depth}{round}", surface.width_px, surface.height_px)
}

/// Golden pictures: on what, name, what is shown.
const GOLDEN: &[(Surface, &str, Show)] = &[
    (mono(128, 32), "live", Class(0)),
    (mono(128, 32), "long", Class(4)),
    (mono(128, 32), "unknown", Unknown),
    (mono(128, 32), "lost", Lost),
    (mono(128, 32), "starting", Starting),
    (mono(128, 64), "live", Class(0)),
    (mono(128, 64), "long", Class(4)),
    (mono(128, 64), "unknown", Unknown),
    (mono(128, 64), "lost", Lost),
    (mono(128, 64), "low-power", LowPower(2)),
    (rgb565(160, 80), "live", Class(0)),
    (rgb565(160, 80), "long", Class(5)),
    (rgb565(160, 80), "unknown", Unknown),
    (rgb565(160, 80), "lost", Lost),
    (rgb565(160, 128), "live", Class(0)),
    (rgb565(160, 128), "long", Class(5)),
    (rgb565(160, 128), "unknown", Unknown),
    (rgb565(160, 128), "lost", Lost),
    (rgb565(240, 135), "live", Class(0)),
    (rgb565(240, 135), "long", Class(5)),
    (rgb565(240, 135), "unknown", Unknown),
    (rgb565(240, 135), "starting", Starting),
    (rgb565(240, 240), "live", Class(1)),
    (rgb565(240, 240), "long", Class(4)),
    (rgb565(240, 240), "unknown", Unknown),
    (rgb565(240, 240), "lost", Lost),
    (rgb565(240, 320), "live", Class(6)),
    (rgb565(240, 320), "unknown", Unknown),
    (rgb565(240, 320), "lost", Lost),
    (rgb565(320, 240), "live", Class(2)),
    (rgb565(320, 240), "unknown", Unknown),
    (rgb565(480, 320), "live", Class(0)),
    (rgb565(480, 320), "long", Class(4)),
    (rgb565(480, 320), "unknown", Unknown),
    (rgb565(480, 320), "ignored", Ignored),
    (rgb565(480, 320), "lost", Lost),
    (rgb565(480, 320), "starting", Starting),
    (rgb565(480, 320), "low-power", LowPower(5)),
    (rgb565(135, 240), "live", Class(0)),
    (rgb565(135, 240), "long", Class(5)),
    (rgb565(135, 240), "unknown", Unknown),
    (rgb565(320, 480), "live", Class(4)),
    (rgb565(320, 480), "short", Class(0)),
    (rgb565(320, 480), "unknown", Unknown),
    (rgb565(320, 480), "lost", Lost),
    (mono(400, 300), "live", Class(2)),
    (mono(400, 300), "unknown", Unknown),
    (rgb888(800, 480), "live", Class(0)),
    (rgb888(800, 480), "unknown", Unknown),
    (rgb888(1024, 600), "live", Class(5)),
    (rgb888(1024, 600), "unknown", Unknown),
    (rgb888(1920, 1080), "live", Class(0)),
    (round(240), "live", Class(1)),
    (round(240), "long", Class(4)),
    (round(240), "unknown", Unknown),
    (round(240), "lost", Lost),
    (round(240), "starting", Starting),
    (round(240), "low-power", LowPower(5)),
    (paper(250, 122), "live", Class(0)),
    (paper(250, 122), "long", Class(4)),
    (paper(250, 122), "unknown", Unknown),
    (paper(250, 122), "lost", Lost),
    (paper(250, 122), "starting", Starting),
    (paper(250, 122), "low-power", LowPower(5)),
    (paper(122, 250), "long", Class(5)),
    (paper(296, 128), "live", Class(2)),
    (paper(296, 128), "long", Class(6)),
    (paper(296, 128), "failed", Failed),
];

fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn pixels(png: &[u8]) -> image::RgbImage {
    image::load_from_memory(png).unwrap().to_rgb8()
}

fn chinese() -> &'static Letters {
    let font = "tests/fixtures/fonts/chinese.ttf";
    let font = Path::new(env!("CARGO_MANIFEST_DIR")).join(font);
    let letters = LANGUAGES.iter().flat_map(|(_, label)| label.chars());
    Box::leak(Box::new(Letters::read(&font, letters).unwrap()))
}

/// Every golden picture: its name, the painter that has drawn it.
fn drawn() -> Vec<(String, Painter)> {
    let rgb = picture();
    let mut all = Vec::new();
    for (surface, name, show) in GOLDEN {
        let mut painter = Painter::on(*surface, None).unwrap();
        draw(&mut painter, *show, &labels(), &rgb);
        all.push((format!("{}-{name}.png", name_of(surface)), painter));
    }
    for surface in [rgb565(320, 240), rgb565(480, 320)] {
        let mut painter = Painter::on(surface, None).unwrap();
        draw(&mut painter, Class(0), &SCREWS.map(String::from), &rgb);
        all.push((format!("{}-screws.png", name_of(&surface)), painter));
    }
    let labels = LANGUAGES.map(|(_, label)| label.to_owned());
    let own = chinese();
    for surface in [rgb565(480, 320), rgb565(240, 135), mono(128, 64)] {
        let languages = LANGUAGES.iter().enumerate();
        let with_font = languages.map(|(class, (name, _))| (class, (*name).to_owned(), Some(own)));
        for (class, name, own) in with_font.chain([(4, "chinese-without-font".to_owned(), None)]) {
            let mut painter = Painter::on(surface, own).unwrap();
            draw(&mut painter, Class(class), &labels, &rgb);
            all.push((format!("{}-{name}.png", name_of(&surface)), painter));
        }
    }
    all
}

#[test]
fn displays_look_as_in_the_golden_pictures() {
    let bless = std::env::var_os("EYELET_BLESS").is_some();
    let labels = labels();
    let mut names = BTreeSet::new();
    let mut different = Vec::new();
    let all = drawn().into_iter().chain(golden_regions(&labels));
    for (name, painter) in all.chain(golden_test_pictures()) {
        let mut png = Vec::new();
        write_png(painter.canvas(), &mut png).unwrap();
        let path = golden_folder().join(&name);
        let same = fs::read(&path).is_ok_and(|golden| pixels(&golden) == pixels(&png));
        if !same && bless {
            fs::write(&path, &png).unwrap();
        } else if !same {
            let drawn = std::env::temp_dir().join(&name);
            fs::write(&drawn, &png).unwrap();
            different.push(format!("{name} (drawn: {})", drawn.display()));
        }
        names.insert(name);
    }
    for entry in fs::read_dir(golden_folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if bless && !names.contains(&name) {
            fs::remove_file(golden_folder().join(name)).unwrap();
        } else {
            assert!(
                names.contains(&name),
                "{name} is not a golden picture any more"
            );
        }
    }
    assert!(
        different.is_empty(),
        "not as in tests/golden: {different:?}; look at them, then EYELET_BLESS=1"
    );
}

const fn test(kind: &'static str, rotate_deg: u16, mirror: bool) -> TestPicture {
    let rotation = Rotation::from_degrees(rotate_deg).expect("it is a quarter turn");
    TestPicture {
        kind,
        orientation: Some(Orientation { rotation, mirror }),
    }
}

/// Every golden test picture: size, depth, what it says.
const GOLDEN_TESTS: [(u32, u32, Depth, TestPicture); 9] = [
    (128, 32, Depth::Mono, test("oled", 0, false)),
    (128, 64, Depth::Mono, test("oled", 0, false)),
    (250, 122, Depth::Mono, test("epaper", 90, false)),
    (135, 240, Depth::Rgb565, test("spi", 0, true)),
    (240, 240, Depth::Rgb565, test("spi", 180, false)),
    (160, 80, Depth::Rgb565, test("spi", 270, false)),
    (480, 320, Depth::Rgb565, test("framebuffer", 90, true)),
    (
        480,
        320,
        Depth::Rgb888,
        TestPicture {
            kind: "png",
            orientation: None,
        },
    ),
    (1024, 600, Depth::Rgb888, test("framebuffer", 0, false)),
];

fn test_picture((width_px, height_px): (u32, u32), depth: Depth, test: TestPicture) -> Painter {
    test_picture_on(Surface::new(width_px, height_px, depth), test)
}

fn test_picture_on(surface: Surface, test: TestPicture) -> Painter {
    let mut painter = Painter::on(surface, None).unwrap();
    painter.draw(&Scene::in_state(State::Test(test)));
    painter
}

fn golden_test_pictures() -> impl Iterator<Item = (String, Painter)> {
    GOLDEN_TESTS
        .into_iter()
        .map(|(width_px, height_px, depth, test)| {
            let painter = test_picture((width_px, height_px), depth, test);
            let depth = format!("{depth:?}").to_lowercase();
            (format!("{width_px}x{height_px}-{depth}-test.png"), painter)
        })
        .chain([(
            "240x240-rgb565-round-test.png".to_owned(),
            test_picture_on(
                Surface::new(240, 240, Depth::Rgb565).shaped(Shape::Round),
                test("spi", 0, false),
            ),
        )])
}

/// Whatever the size: a rim of one white pixel that nothing touches, and four corners that differ from each other.
#[test]
fn test_pictures_have_their_rim_and_corners() {
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..200 {
        let (width_px, height_px) = (random.u32(32..700), random.u32(32..500));
        let depth = [Depth::Mono, Depth::Rgb565, Depth::Rgb888][random.usize(0..3)];
        let painter = test_picture((width_px, height_px), depth, test("framebuffer", 0, false));
        let canvas = painter.canvas();
        let context = format!("{width_px} x {height_px} {depth:?}");
        let all = (0..height_px).flat_map(|y| (0..width_px).map(move |x| (x, y)));
        let depth_of = |x: u32, y: u32| x.min(y).min(width_px - 1 - x).min(height_px - 1 - y);
        let ground = canvas.pixel(1, 1);
        for (x, y) in all {
            match depth_of(x, y) {
                0 => assert_eq!(canvas.pixel(x, y), [255; 3], "{x}, {y} of {context}"),
                1 => assert_eq!(canvas.pixel(x, y), ground, "{x}, {y} of {context}"),
                _ => {}
            }
        }
        assert_ne!(ground, [255; 3], "{context}");
        // What lies in each corner.
        let side = (width_px.min(height_px) / 7).clamp(9, 120) + 4;
        let corner = |right: bool, bottom: bool| -> Vec<[u8; 3]> {
            let left = if right { width_px - side } else { 0 };
            let top = if bottom { height_px - side } else { 0 };
            let cells = (0..side).flat_map(|y| (0..side).map(move |x| (x, y)));
            cells
                .map(|(x, y)| canvas.pixel(left + x, top + y))
                .collect()
        };
        let corners = [(false, false), (true, false), (true, true), (false, true)];
        let corners = corners.map(|(right, bottom)| corner(right, bottom));
        for (i, one) in corners.iter().enumerate() {
            assert!(!corners[..i].contains(one), "corner {} of {context}", i + 1);
        }
    }
}

/// Verdicts of several regions: a class, another, none decided, no frame, and long ones.
fn region_verdicts() -> [Option<Verdict>; 8] {
    [
        Some(0),
        Some(4),
        None,
        None,
        Some(1),
        Some(5),
        Some(6),
        Some(2),
    ]
    .map(|class| class.map(|class| verdict(Some(class))))
    .map(|verdict| verdict.map(less_sure))
}

/// The same with another share for each class, so that bars differ.
fn less_sure(mut verdict: Verdict) -> Verdict {
    if let Some(best) = &mut verdict.decided {
        best.probability -= 0.07 * best.class as f32;
    }
    verdict
}

fn draw_regions(painter: &mut Painter, count: usize, notice: Option<&str>, labels: &[String]) {
    const NAMES: [&str; 8] = [
        "left",
        "right",
        "upper row, camera 2",
        "gate",
        "belt 1",
        "belt 2",
        "Tür",
        "sky",
    ];
    let rgb = picture();
    let mut verdicts = region_verdicts();
    verdicts[2] = Some(verdict(None));
    let regions: Vec<Region<'_>> = (0..count)
        .map(|i| Region {
            name: NAMES[i],
            verdict: verdicts[i].as_ref(),
            picture: verdicts[i].as_ref().map(|_| Crop {
                width_px: SIDE_PX,
                height_px: SIDE_PX,
                rgb: &rgb,
            }),
        })
        .collect();
    painter.draw(&Scene {
        state: State::Live,
        verdict: None,
        labels,
        unknown_label: "unknown",
        rate_fps: 14.23,
        picture: None,
        regions: &regions,
        notice,
    });
}

/// Every golden picture of several regions: on what, how many.
const GOLDEN_REGIONS: &[(Surface, usize)] = &[
    (mono(128, 64), 2),
    (mono(128, 64), 4),
    (mono(128, 64), 8),
    (rgb565(160, 80), 2),
    (rgb565(160, 128), 3),
    (rgb565(240, 135), 2),
    (rgb565(240, 240), 2),
    (rgb565(240, 320), 4),
    (rgb565(480, 320), 2),
    (rgb565(480, 320), 3),
    (rgb565(480, 320), 4),
    (rgb565(480, 320), 8),
    (mono(400, 300), 4),
    (rgb888(1024, 600), 6),
    (round(240), 2),
    (round(240), 4),
    (paper(250, 122), 2),
    (paper(296, 128), 4),
];

fn golden_regions(labels: &[String]) -> impl Iterator<Item = (String, Painter)> + '_ {
    GOLDEN_REGIONS.iter().map(move |(surface, count)| {
        let mut painter = Painter::on(*surface, None).unwrap();
        painter.divide(*count).unwrap();
        draw_regions(&mut painter, *count, None, labels);
        (format!("{}-regions-{count}.png", name_of(surface)), painter)
    })
}

/// Whatever the size and the words, each region keeps to its own places, and its label can be seen.
#[test]
fn regions_stay_in_their_places() {
    let mut random = fastrand::Rng::with_seed(12);
    let labels: Vec<String> = labels().iter().map(|label| label.repeat(2)).collect();
    let mut divided = 0;
    for _ in 0..150 {
        let (width_px, height_px) = (random.u32(60..700), random.u32(32..500));
        let depth = [Depth::Mono, Depth::Rgb565][random.usize(0..2)];
        let count = random.usize(2..=8);
        let mut painter = Painter::new(width_px, height_px, depth).unwrap();
        if painter.divide(count).is_err() {
            continue;
        }
        divided += 1;
        let notice = random.bool().then_some("low power");
        draw_regions(&mut painter, count, notice, &labels);
        let context = format!("{count} on {width_px} x {height_px} {depth:?}");
        let places: Vec<_> = painter.cells().unwrap().places().collect();
        let canvas = painter.canvas();
        let all = (0..height_px).flat_map(|y| (0..width_px).map(move |x| (x, y)));
        let home = |x, y| {
            let at = Point::new(x as i32, y as i32);
            places.iter().position(|(_, place)| place.contains(at))
        };
        let (x, y) = all.clone().find(|(x, y)| home(*x, *y).is_none()).unwrap();
        let ground = canvas.pixel(x, y);
        let mut inked = vec![false; places.len()];
        for (x, y) in all.filter(|(x, y)| canvas.pixel(*x, *y) != ground) {
            let place = home(x, y).unwrap_or_else(|| panic!("{x}, {y} is in no place: {context}"));
            inked[place] = true;
        }
        for ((name, place), inked) in places.iter().zip(inked) {
            let is_needed = matches!(*name, "name" | "label" | "bar" | "picture");
            assert!(
                inked || !is_needed,
                "nothing in {name} {place:?}: {context}"
            );
        }
    }
    assert!(divided > 100, "{divided}");
    let error = Painter::new(128, 32, Depth::Mono)
        .unwrap()
        .divide(8)
        .unwrap_err();
    assert!(
        error.to_string().contains("no room for 8 regions"),
        "{error}"
    );
}

/// A notice has the line of the frame rate, or where there is none, the place of the first name.
#[test]
fn a_notice_is_shown_beside_regions() {
    let labels = labels();
    for (width_px, height_px, depth, count, name) in [
        (480, 320, Depth::Rgb565, 4, "status"),
        (128, 64, Depth::Mono, 6, "name"),
    ] {
        let mut well = Painter::new(width_px, height_px, depth).unwrap();
        well.divide(count).unwrap();
        let mut weak = well.clone();
        draw_regions(&mut well, count, None, &labels);
        draw_regions(&mut weak, count, Some("low power"), &labels);
        let mut places = well.cells().unwrap().places();
        let (_, place) = places.find(|place| place.0 == name).unwrap();
        let all = (0..height_px).flat_map(|y| (0..width_px).map(move |x| (x, y)));
        let mut differing =
            all.filter(|&(x, y)| well.canvas().pixel(x, y) != weak.canvas().pixel(x, y));
        assert!(differing.clone().count() > 0);
        assert!(differing.all(|(x, y)| place.contains(Point::new(x as i32, y as i32))));
    }
}

/// Random displays and labels: nothing is drawn outside of its place, and the label can be seen.
#[test]
fn nothing_leaves_its_place_whatever_the_size_and_the_words() {
    let mut random = fastrand::Rng::with_seed(11);
    let (rgb, own) = (picture(), chinese());
    for round in 0..400 {
        let most = if round % 8 == 0 { 1920 } else { 500 };
        let (width_px, height_px) = (random.u32(32..=most), random.u32(32..=most.min(1080)));
        let depth = [Depth::Mono, Depth::Rgb565, Depth::Rgb888][random.usize(0..3)];
        let labels: Vec<String> = (0..5)
            .map(|_| {
                let letters = random.usize(1..60);
                (0..letters)
                    .map(|_| {
                        *random
                            .choice(&[
                                ' ', '-', 'W', 'i', 'j', 'Ä', 'g', '猫', '~', '\'', 'Ẵ', 'ș', 'Щ',
                            ])
                            .unwrap()
                    })
                    .collect()
            })
            .collect();
        let show = [Class(0), Class(1), Unknown, Lost, Starting][random.usize(0..5)];
        let own = random.bool().then_some(own);
        let mut painter = Painter::with_letters(width_px, height_px, depth, own).unwrap();
        draw(&mut painter, show, &labels, &rgb);
        let context = format!("{width_px} x {height_px} {depth:?} {labels:?}");
        let places: Vec<_> = painter.layout().places().map(|(_, place)| place).collect();
        let canvas: &Canvas = painter.canvas();
        let home = |x, y| {
            let at = Point::new(x as i32, y as i32);
            places.iter().position(|place| place.contains(at))
        };
        let all = (0..height_px).flat_map(|y| (0..width_px).map(move |x| (x, y)));
        let outside = all.clone().find(|(x, y)| home(*x, *y).is_none());
        let (x, y) = outside.expect("places do not fill a display");
        let ground = canvas.pixel(x, y);
        let mut inked = false;
        for (x, y) in all {
            let drawn = canvas.pixel(x, y) != ground;
            match home(x, y) {
                None => assert!(!drawn, "{x}, {y} is in no place: {context}"),
                Some(place) => inked |= drawn && place == 0,
            }
        }
        assert!(inked, "no label: {context}");
    }
}

/// What no camera, model or label file should bring, but may.
#[test]
fn odd_scenes_are_drawn_too() {
    let mut painter = Painter::new(320, 240, Depth::Rgb565).unwrap();
    for probability in [f32::NAN, f32::INFINITY, -1.0, 0.0, 2.0] {
        let candidate = Candidate {
            class: usize::MAX,
            probability,
        };
        let verdict = Verdict {
            decided: Some(candidate),
            top: [candidate; 5],
            enter: Some(0.5),
            changed: true,
        };
        for rate_fps in [f32::NAN, f32::INFINITY, 1e30, -5.0] {
            painter.draw(&Scene {
                state: State::Live,
                verdict: Some(&verdict),
                labels: &[],
                unknown_label: "",
                rate_fps,
                picture: Some(Crop {
                    width_px: 10,
                    height_px: 10,
                    rgb: &[0; 7],
                }),
                regions: &[],
                notice: Some("low power"),
            });
        }
    }
    for (width_px, height_px) in [(0, 0), (31, 100), (100, 31), (9000, 100)] {
        assert!(Painter::new(width_px, height_px, Depth::Rgb888).is_err());
    }
}

/// A class is shown in no state but `Live`, and no picture is left standing.
#[test]
fn a_lost_camera_leaves_no_class_behind() {
    let (labels, rgb) = (labels(), picture());
    for (width_px, height_px, depth) in [(128, 64, Depth::Mono), (480, 320, Depth::Rgb565)] {
        for show in [Lost, Starting, Failed] {
            let mut fresh = Painter::new(width_px, height_px, depth).unwrap();
            draw(&mut fresh, show, &labels, &rgb);
            let mut used = Painter::new(width_px, height_px, depth).unwrap();
            draw(&mut used, Class(0), &labels, &rgb);
            draw(&mut used, show, &labels, &rgb);
            assert!((0..height_px).all(|y| used.canvas().row(y) == fresh.canvas().row(y)));
        }
    }
}

/// What is the matter with the board stands in the place of the frame rate, and changes nothing else.
#[test]
fn a_notice_takes_the_place_of_the_frame_rate_alone() {
    let (labels, rgb) = (labels(), picture());
    for (width_px, height_px, depth) in [
        (128, 64, Depth::Mono),
        (160, 128, Depth::Rgb565),
        (240, 320, Depth::Rgb565),
        (480, 320, Depth::Rgb565),
        (1920, 1080, Depth::Rgb888),
    ] {
        let mut well = Painter::new(width_px, height_px, depth).unwrap();
        let mut weak = well.clone();
        draw(&mut well, Class(0), &labels, &rgb);
        draw(&mut weak, LowPower(0), &labels, &rgb);
        let status = well.layout().status.expect("a place for the frame rate");
        let rows = status.rows();
        let differing: Vec<i32> = (0..height_px as i32)
            .filter(|&y| well.canvas().row(y as u32) != weak.canvas().row(y as u32))
            .collect();
        assert!(!differing.is_empty(), "{width_px} x {height_px}");
        assert!(
            differing.iter().all(|y| rows.contains(y)),
            "{width_px} x {height_px}: {differing:?}"
        );
    }
}

/// Nothing on a round display lies outside of its circle, and all of it in a place or on the ring.
#[test]
fn a_round_display_shows_all_in_its_circle() {
    let (labels, rgb) = (labels(), picture());
    let mut random = fastrand::Rng::with_seed(13);
    for _ in 0..60 {
        let diameter_px = random.u32(96..500);
        let depth = [Depth::Mono, Depth::Rgb565][random.usize(0..2)];
        let surface = Surface::new(diameter_px, diameter_px, depth).shaped(Shape::Round);
        let mut painter = Painter::on(surface, None).unwrap();
        let show = [
            Class(0),
            Class(5),
            Unknown,
            Ignored,
            Lost,
            Starting,
            LowPower(4),
        ];
        draw(
            &mut painter,
            show[random.usize(0..show.len())],
            &labels,
            &rgb,
        );
        let (canvas, layout) = (painter.canvas(), painter.layout());
        let ring = layout.ring.as_ref().unwrap();
        let ground = canvas.pixel(0, 0);
        let mut inked = BTreeSet::new();
        for (x, y) in (0..diameter_px).flat_map(|y| (0..diameter_px).map(move |x| (x, y))) {
            if canvas.pixel(x, y) == ground {
                continue;
            }
            let twice = |at: u32| f64::from(2 * at + 1) - f64::from(diameter_px);
            let distance = twice(x).hypot(twice(y)) / 2.0;
            assert!(
                distance <= f64::from(diameter_px) / 2.0,
                "{x}, {y} of {diameter_px}"
            );
            let at = Point::new(x as i32, y as i32);
            let place = layout.places().find(|(_, place)| place.contains(at));
            assert!(
                place.is_some() || ring.touches(x, y),
                "{x}, {y} of {diameter_px} is in no place"
            );
            inked.insert(place.map_or("ring", |(name, _)| name));
        }
        assert!(inked.contains("label"), "{diameter_px}: {inked:?}");
    }
    for surface in [round(95), rgb565(240, 200).shaped(Shape::Round)] {
        assert!(Painter::on(surface, None).is_err());
    }
}

/// On paper nothing moves but with the class, the state and the notice: not with percents, the rate, the picture or the time.
#[test]
fn paper_changes_with_the_class_alone() {
    let (labels, rgb) = (labels(), picture());
    let other_rgb = vec![7; rgb.len()];
    for surface in [
        paper(250, 122),
        paper(400, 300),
        paper(200, 200).shaped(Shape::Round),
    ] {
        let mut painter = Painter::on(surface, None).unwrap();
        let mut pixels = |verdict: &Verdict, state, moves: bool, notice, regions: bool| {
            let crop = |rgb| Crop {
                width_px: SIDE_PX,
                height_px: SIDE_PX,
                rgb,
            };
            let picture = Some(crop(if moves { &other_rgb } else { &rgb }));
            let region = Region {
                name: "left",
                verdict: Some(verdict),
                picture,
            };
            let both = [region, region];
            let canvas = painter.draw(&Scene {
                state,
                verdict: Some(verdict),
                labels: &labels,
                unknown_label: "unknown",
                rate_fps: if moves { 3.0 } else { 14.0 },
                picture,
                regions: if regions { &both } else { &[] },
                notice,
            });
            let rows = 0..canvas.height_px();
            rows.flat_map(|y| canvas.row(y).to_vec())
                .collect::<Vec<_>>()
        };
        for class in [Some(1), None] {
            let sure = verdict(class);
            let mut less = sure;
            less.top[0].probability -= 0.1;
            less.top.swap(1, 2);
            less.decided = class.map(|_| less.top[0]);
            for regions in [false, true] {
                for notice in [None, Some("low power")] {
                    let first = pixels(&sure, State::Live, false, notice, regions);
                    assert!(first == pixels(&less, State::Live, true, notice, regions));
                }
            }
        }
        let [tabby, cat, unknown] = [Some(0), Some(1), None].map(verdict);
        let shown = [
            pixels(&tabby, State::Live, false, None, false),
            pixels(&cat, State::Live, false, None, false),
            pixels(&unknown, State::Live, false, None, false),
            pixels(&tabby, State::Live, false, Some("low power"), false),
            pixels(&tabby, State::Starting, false, None, false),
            pixels(
                &tabby,
                Fault::Camera.state(Duration::ZERO),
                false,
                None,
                false,
            ),
            pixels(
                &tabby,
                Fault::Network.state(Duration::ZERO),
                false,
                None,
                false,
            ),
        ];
        assert_eq!(shown.iter().collect::<BTreeSet<_>>().len(), shown.len());
        let lost = |seconds| State::CameraLost {
            since: Duration::from_secs(seconds),
        };
        let early = pixels(&tabby, lost(1), false, None, false);
        assert!(early == pixels(&tabby, lost(500), true, None, false));
    }
}
