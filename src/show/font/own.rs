//! The board's own font file (`font` of `[display]`): the letters that the labels need are extracted at start.
//!
//! Fonts with Chinese letters have tens of megabytes, of which a model's labels need a few kilobytes. So the file is read and
//! parsed once; the outlines of the needed letters are kept, and the file is dropped. Everything drawn later was checked then. A
//! file may contain anything: its length, the processing time, and the outlines are bounded.

use super::{OUTLINE_ABOVE, OUTLINE_BELOW, is_shipped, needs_shaping};
use crate::{guard, limits, named};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use ttf_parser::{FaceParsingError, OutlineBuilder};

/// CPU time for extracting the letters. A thousand letters of a valid font take a tenth of a second; outlines that refer to each
/// other endlessly would take for ever.
const TIME: Duration = Duration::from_secs(20);
/// Segments in one letter's outline: the most intricate Chinese letters have about 400.
const LETTER_PIECES: usize = 4000;
/// Segments of all letters, 14 bytes each.
const ALL_PIECES: usize = 400_000;
/// A letter larger than this, in ems, is rejected.
const LARGEST_EM: f32 = 2.0;

/// A segment of an outline, in font units, y up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Piece {
    Move([i16; 2]),
    Line([i16; 2]),
    Quad([i16; 4]),
    Curve([i16; 6]),
    Close,
}

/// One letter.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    /// Advance to the next letter, in ems.
    pub advance_em: f32,
    /// Its ink, in units: left, bottom, right, top; `None` for a space.
    pub ink: Option<[i16; 4]>,
    pub pieces: Vec<Piece>,
}

/// The letters of a font file that the labels need and the shipped font lacks.
#[derive(Debug)]
pub struct Letters {
    letters: Vec<(char, Letter)>,
    pub(super) units_per_em: f32,
    /// How far the highest letter reaches above the baseline, and the lowest below it, in ems; at least as far as unaccented
    /// letters.
    pub(super) above_em: f32,
    pub(super) below_em: f32,
    /// The widest ink, in ems.
    pub(super) widest_em: f32,
}

impl Letters {
    /// Extracts from the font file at `path` those of the `wanted` letters that the shipped font lacks. Letters that the file
    /// lacks too are omitted.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub fn read(path: &Path, wanted: impl IntoIterator<Item = char>) -> Result<Self, String> {
        let bytes = named::read_file(path, limits::FONT_FILE_BYTES)
            .map_err(|error| format!("cannot be read: {error}"))?;
        Self::of_bytes(bytes, wanted, TIME)
    }

    /// The same from a file's bytes, within this much CPU time.
    pub(super) fn of_bytes(
        bytes: Vec<u8>,
        wanted: impl IntoIterator<Item = char>,
        time: Duration,
    ) -> Result<Self, String> {
        let wanted: BTreeSet<char> = wanted
            .into_iter()
            .filter(|c| !c.is_whitespace() && !is_shipped(*c) && !needs_shaping(*c))
            .collect();
        guard::run(time, move || parsed(&bytes, &wanted)).map_err(|why| match why {
            guard::GivenUp::Late => format!(
                "is not a valid font: its outlines take more than {} seconds of CPU time",
                time.as_secs()
            ),
            guard::GivenUp::Panicked => "is not a valid font: its parser panicked on it".to_owned(),
            guard::GivenUp::NoThread(error) => format!("cannot be read: no thread for it: {error}"),
        })?
    }

    pub(super) fn get(&self, c: char) -> Option<&Letter> {
        let at = self.letters.binary_search_by_key(&c, |(letter, _)| *letter);
        at.ok().map(|at| &self.letters[at].1)
    }

    /// The number of letters extracted.
    pub fn count(&self) -> usize {
        self.letters.len()
    }
}

fn parsed(bytes: &[u8], wanted: &BTreeSet<char>) -> Result<Letters, String> {
    if !is_collection_sound(bytes) {
        return Err(
            "is not a valid font: the collection names more fonts than the file has room for"
                .to_owned(),
        );
    }
    // The first font of a collection (.ttc).
    let face = ttf_parser::Face::parse(bytes, 0).map_err(|error| unusable(bytes, error))?;
    let tables = face.tables();
    let is_outlined = tables.glyf.is_some() || tables.cff.is_some();
    if !is_outlined {
        return Err(
            "has no outlines that can be used (a font of bitmaps, or a variable one in CFF2): take a TrueType font"
                .to_owned(),
        );
    }
    let mut letters = Vec::new();
    let mut all_pieces = 0;
    for &c in wanted {
        let Some(letter) = letter(&face, c) else {
            continue;
        };
        all_pieces += letter.pieces.len();
        if all_pieces > ALL_PIECES {
            return Err(format!(
                "has outlines of more than {ALL_PIECES} pieces for the labels' letters: take a plainer font"
            ));
        }
        letters.push((c, letter));
    }
    let units_per_em = f32::from(face.units_per_em());
    let inks = || letters.iter().filter_map(|(_, letter)| letter.ink);
    let most = |least: f32, units: &dyn Fn([i16; 4]) -> f32| {
        inks()
            .map(|ink| units(ink) / units_per_em)
            .fold(least, f32::max)
    };
    Ok(Letters {
        above_em: most(0.7, &|[_, _, _, top]| f32::from(top)),
        below_em: most(0.1, &|[_, bottom, _, _]| -f32::from(bottom)),
        widest_em: most(0.0, &|[left, _, right, _]| {
            f32::from(right) - f32::from(left)
        }),
        units_per_em,
        letters,
    })
}

/// Whether a collection's list of fonts is inside the file, which the parser takes for granted. True for files that are no
/// collection.
fn is_collection_sound(bytes: &[u8]) -> bool {
    let Some(rest) = bytes.strip_prefix(b"ttcf") else {
        return true;
    };
    // After the tag: version, number of fonts, offset of each.
    let count = rest.get(4..8).and_then(|field| field.try_into().ok());
    count.is_some_and(|field| u64::from(u32::from_be_bytes(field)) * 4 <= rest.len() as u64)
}

fn unusable(bytes: &[u8], error: FaceParsingError) -> String {
    match bytes.get(..4) {
        Some(b"wOFF" | b"wOF2") => {
            "is a packed font of the web (WOFF): unpack it to .ttf or .otf first".to_owned()
        }
        _ if matches!(error, FaceParsingError::UnknownMagic) => {
            "is not a TrueType or OpenType font (.ttf, .otf, .ttc)".to_owned()
        }
        _ => format!("is not a valid font: {error}"),
    }
}

/// The font's letter for `c`; `None` if it has none, or one that cannot be drawn.
fn letter(face: &ttf_parser::Face<'_>, c: char) -> Option<Letter> {
    let id = face.glyph_index(c).filter(|id| id.0 != 0)?;
    let em = f32::from(face.units_per_em());
    let mut outline = Outline::default();
    face.outline_glyph(id, &mut outline);
    let [left, bottom, right, top] = outline.ink?;
    let [width, height] = [right - left, top - bottom].map(|units| units / em);
    let reach = [left, bottom, right, top].map(|units| (units / em).abs());
    let is_sound = !outline.is_broken
        && width <= LARGEST_EM
        && height <= LARGEST_EM
        && reach.iter().all(|far| *far <= LARGEST_EM * 2.0);
    if !is_sound {
        return None;
    }
    let advance = face
        .glyph_hor_advance(id)
        .map_or(width, |units| f32::from(units) / em);
    Some(Letter {
        advance_em: advance.min(LARGEST_EM),
        ink: Some([left, bottom, right, top].map(|units| units as i16)),
        pieces: outline.pieces,
    })
}

/// Collects an outline while it stays valid.
#[derive(Default)]
struct Outline {
    pieces: Vec<Piece>,
    /// Left, bottom, right, top of all points.
    ink: Option<[f32; 4]>,
    is_broken: bool,
}

impl Outline {
    fn push<const N: usize>(&mut self, piece: fn([i16; N]) -> Piece, points: [f32; N]) {
        let reach = f32::from(i16::MAX);
        let is_near = points.iter().all(|v| v.abs() < reach);
        if self.pieces.len() >= LETTER_PIECES || !is_near {
            self.is_broken = true;
        }
        if self.is_broken {
            return;
        }
        for point in points.chunks_exact(2) {
            let (x, y) = (point[0].round(), point[1].round());
            let ink = self.ink.get_or_insert([x, y, x, y]);
            *ink = [ink[0].min(x), ink[1].min(y), ink[2].max(x), ink[3].max(y)];
        }
        self.pieces.push(piece(points.map(|v| v.round() as i16)));
    }
}

impl OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        self.push(Piece::Move, [x, y]);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.push(Piece::Line, [x, y]);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.push(Piece::Quad, [x1, y1, x, y]);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.push(Piece::Curve, [x1, y1, x2, y2, x, y]);
    }

    fn close(&mut self) {
        if !self.is_broken {
            self.pieces.push(Piece::Close);
        }
    }
}

impl Letters {
    /// The em at which the letters fill a line as the shipped font's do, for one of these parts above and below the baseline: as
    /// large as the shipped font's em, `em_px`, unless a letter would leave the line.
    pub(super) fn em_px(&self, em_px: f32, above_px: f32, below_px: f32) -> f32 {
        em_px
            .min(above_px / self.above_em.min(OUTLINE_ABOVE * 1.5))
            .min(below_px / self.below_em.min(OUTLINE_BELOW * 1.5))
    }
}
