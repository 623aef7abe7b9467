//! Every letter at every size stays in its line; no font file causes harm.

use super::*;
use std::time::Duration;

/// Every letter that the shipped font has.
fn shipped() -> impl Iterator<Item = char> {
    ('!'..='\u{2300}').filter(|c| is_shipped(*c) && !c.is_whitespace() && !c.is_control())
}

/// A soft hyphen, and spaces between words of numbers.
fn is_empty(c: char) -> bool {
    c == '\u{ad}'
}

fn faces() -> impl Iterator<Item = Face> {
    [Depth::Mono, Depth::Rgb565]
        .into_iter()
        .flat_map(|depth| (6..=120).map(move |line_px| Face::of_height(line_px, depth)))
}

fn white(clip: Rectangle) -> Ink {
    let colour = [255; 3];
    Ink { colour, clip }
}

#[test]
fn a_face_is_no_higher_than_its_room() {
    for line_px in 6..400 {
        for depth in [Depth::Mono, Depth::Rgb888] {
            let face = Face::of_height(line_px, depth);
            assert!(face.line_px() <= line_px, "{face:?}");
            assert!(face.line_px() * 2 > line_px || line_px > 238);
        }
    }
}

/// Of all sizes every 7th, and of all letters every 5th, starting at a different one each time.
#[test]
fn every_glyph_stays_in_its_line_and_near_its_advance() {
    let mut pen = Pen::new(200, None);
    for (i, face) in faces().step_by(7).enumerate() {
        let line_px = face.line_px() as i32;
        for c in shipped().skip(i % 5).step_by(5) {
            let text = c.encode_utf8(&mut [0; 4]).to_string();
            let width = face.width_px(&text) + 40;
            let mut canvas = Canvas::new(width, line_px as u32 + 40, Depth::Rgb888);
            let all = canvas.bounding_box();
            pen.draw(&mut canvas, face, (20.0, 20), &text, white(all));
            let mut inked = 0;
            for at in all.points() {
                let ink = canvas.pixel(at.x as u32, at.y as u32)[0];
                inked += u32::from(ink > 0);
                // An overhang to the left ('j') or right ('f') of the advance is a fraction of a pixel.
                let overhang = line_px / 8 + 1;
                let inside = (20..20 + line_px).contains(&at.y)
                    && (20 - overhang..=width as i32 - 20 + overhang).contains(&at.x);
                assert!(ink == 0 || inside, "{c:?} of {face:?} at {at}");
            }
            assert!(inked > 0 || is_empty(c), "{c:?} of {face:?} is empty");
        }
    }
}

#[test]
fn nothing_is_drawn_outside_of_the_clip() {
    let mut pen = Pen::new(50, None);
    let clip = Rectangle::new(Point::new(10, 10), Size::new(15, 9));
    for face in faces() {
        let mut canvas = Canvas::new(60, 50, Depth::Rgb888);
        pen.draw(&mut canvas, face, (3.0, 4), "WgÖ@", white(clip));
        for at in canvas.bounding_box().points() {
            let ink = canvas.pixel(at.x as u32, at.y as u32)[0];
            assert!(ink == 0 || clip.contains(at), "{face:?} at {at}");
        }
    }
}

#[test]
fn text_is_truncated_where_it_no_longer_fits() {
    let face = Face::of_height(18, Depth::Mono);
    assert_eq!(face.shortened("tabby", 45), ("tabby", ""));
    assert_eq!(face.shortened("tabby", 44), ("ta", ".."));
    assert_eq!(face.shortened("ta bby", 50), ("ta", ".."));
    assert_eq!(face.shortened("tabby", 0), ("", ".."));
    for face in faces() {
        for width_px in 30..300 {
            let (kept, rest) = face.shortened("Staffordshire bullterrier", width_px);
            assert!(face.width_px(kept) + face.width_px(rest) <= width_px + 1 || kept.is_empty());
        }
    }
}

fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/fonts");
    std::fs::read(format!("{folder}/{name}")).expect("the fixture is there")
}

const CHINESE: &str = "埃及猫虎斑金毛寻回犬螺丝未知、";

fn letters_of(bytes: Vec<u8>) -> Result<&'static Letters, String> {
    // A letter that the file lacks, one of the shipped font's, one that would need joining.
    let wanted = CHINESE.chars().chain(['熊', 'A', 'ش']);
    Letters::of_bytes(bytes, wanted, Duration::from_secs(10))
        .map(|letters| &*Box::leak(Box::new(letters)))
}

/// The ink of a text in a line, from its top down; drawing outside the line fails the test.
fn inked(face: Face, own: &'static Letters, text: &str) -> u64 {
    let line_px = face.line_px();
    let mut pen = Pen::new(200, Some(own));
    let mut canvas = Canvas::new(face.width_px(text) + 40, line_px + 40, Depth::Rgb888);
    let all = canvas.bounding_box();
    pen.draw(&mut canvas, face, (20.0, 20), text, white(all));
    let mut sum = 0;
    for y in 0..line_px + 40 {
        let ink: u64 = canvas.row(y).iter().map(|v| u64::from(*v)).sum();
        assert!(
            ink == 0 || (20..20 + line_px).contains(&y),
            "{face:?} row {y}"
        );
        sum += ink;
    }
    sum
}

#[test]
fn a_font_file_brings_the_letters_that_are_missing_and_no_others() {
    let [ttf, otf, ttc] = ["chinese.ttf", "chinese.otf", "chinese.ttc"]
        .map(|name| letters_of(fixture(name)).expect("it is a valid font"));
    for own in [ttf, otf, ttc] {
        assert_eq!(own.count(), CHINESE.chars().count());
        assert!(CHINESE.chars().all(|c| has(c, Some(own)) && !has(c, None)));
        assert!(!has('熊', Some(own)) && has('A', Some(own)) && !has('ش', Some(own)));
    }
    for (depth, line_px) in [
        (Depth::Rgb888, 60),
        (Depth::Rgb888, 20),
        (Depth::Mono, 20),
        (Depth::Mono, 10),
    ] {
        let face = |own| Face::of_height(line_px, depth).with(Some(own));
        let [a, b, c] = [ttf, otf, ttc].map(|own| inked(face(own), own, CHINESE));
        // Each letter is about a third ink, not a box or a bar.
        assert!(a > 0 && a == c, "{depth:?} {line_px}");
        assert!(
            a.abs_diff(b) * 50 < a,
            "cubic curves: {a} and {b} at {line_px}"
        );
        // A letter that the file lacks becomes a question mark.
        let face = face(ttf);
        assert_eq!(face.width_px("熊"), face.width_px("?"));
        assert_eq!(inked(face, ttf, "熊"), inked(face, ttf, "?"));
        assert!(face.width_px("猫") > face.width_px("?"));
    }
}

#[test]
fn broken_font_files_are_refused_or_drawn_and_do_no_harm() {
    let mut random = fastrand::Rng::with_seed(5);
    let mut refused = 0;
    for round in 0..600 {
        let name = ["chinese.ttf", "chinese.otf", "chinese.ttc"][round % 3];
        let mut bytes = fixture(name);
        match random.u8(0..4) {
            0 => bytes.truncate(random.usize(0..bytes.len())),
            // In the head, where the tables are listed, or anywhere.
            kind => {
                let end = if kind == 1 { 300 } else { bytes.len() };
                for _ in 0..random.usize(1..30) {
                    let at = random.usize(0..end);
                    bytes[at] = *random
                        .choice(&[0, 1, 0x7f, 0x80, 0xff, random.clone().u8(..)])
                        .expect("some");
                }
            }
        }
        match letters_of(bytes) {
            Ok(own) => {
                for (depth, line_px) in [(Depth::Rgb888, 40), (Depth::Mono, 13)] {
                    inked(
                        Face::of_height(line_px, depth).with(Some(own)),
                        own,
                        CHINESE,
                    );
                }
            }
            Err(why) => {
                refused += 1;
                assert!(
                    !why.contains("panicked") && !why.contains("seconds"),
                    "{round}: {why}"
                );
            }
        }
    }
    assert!(
        (50..550).contains(&refused),
        "{refused} of 600 were refused"
    );
}

#[test]
fn other_files_than_fonts_are_refused_by_kind() {
    let mut woff = fixture("chinese.ttf");
    woff[..4].copy_from_slice(b"wOF2");
    let cases = [
        (Vec::new(), "is not a TrueType or OpenType font"),
        (vec![0; 5000], "is not a TrueType or OpenType font"),
        (woff, "is a packed font of the web (WOFF)"),
        (
            fixture("chinese.ttf")[..200].to_vec(),
            "is not a valid font: ",
        ),
    ];
    for (bytes, why) in cases {
        let message = letters_of(bytes).expect_err("no font");
        assert!(message.starts_with(why), "{message}");
    }
    // Letters composed of letters composed of letters.
    let late = Letters::of_bytes(fixture("endless.ttf"), ['猫'], Duration::from_millis(50));
    let why = late.expect_err("it never ends");
    assert!(why.contains("its outlines take more than"), "{why}");
}

/// A letter that is higher than a line is compressed to fit, and the others stay unchanged.
#[test]
fn accents_on_capitals_and_commas_below_are_whole() {
    let own = letters_of(fixture("chinese.ttf")).expect("a valid font");
    for line_px in 14..100 {
        let face = Face::of_height(line_px, Depth::Rgb888);
        for text in ["Ẵ", "Ǻ", "ș", "Ģ"] {
            assert!(inked(face, own, text) > 0);
        }
    }
}
