//! The surface that is drawn on.

use crate::limits::{self, DISPLAY_SIDE_PX, ROUND_DISPLAY_PX};
use crate::show::Depth;
use crate::show::canvas::Rotation;
use crate::toml_file::Table;

/// The visible part of a display.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shape {
    /// All of it.
    #[default]
    Rectangle,
    /// The circle that touches all four sides, which are equal.
    Round,
}

impl Shape {
    /// Reads `round`, which only a square display can be; `usual` is the default.
    pub(in crate::show) fn read(table: &mut Table<'_, '_>, is_square: bool, usual: bool) -> Self {
        let is_round = table.flag("round").unwrap_or(usual);
        match (is_round, is_square) {
            (true, true) => Self::Round,
            (true, false) => {
                table.fault("round", "is true, needs width_px and height_px to be equal");
                Self::Rectangle
            }
            (false, _) => Self::Rectangle,
        }
    }
}

/// How often a display may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Refresh {
    /// With every frame.
    #[default]
    Live,
    /// Only with the class, the state and the notice: paper, which changes slowly and flickers while doing so. It is drawn black
    /// on white.
    Standing,
}

/// The surface that is drawn on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surface {
    /// Width of the drawing, upright.
    pub width_px: u32,
    /// Height of the drawing, upright.
    pub height_px: u32,
    /// Its colours.
    pub depth: Depth,
    /// Its visible part.
    pub shape: Shape,
    /// How often it may change.
    pub refresh: Refresh,
}

impl Surface {
    /// A rectangular display that may change with every frame.
    pub const fn new(width_px: u32, height_px: u32, depth: Depth) -> Self {
        Self {
            width_px,
            height_px,
            depth,
            shape: Shape::Rectangle,
            refresh: Refresh::Live,
        }
    }

    /// A panel with this size in its controller's orientation, with the drawing rotated by this much.
    pub fn turned(size_px: (u32, u32), rotation: Rotation, depth: Depth) -> Self {
        let (width_px, height_px) = rotation.turn(size_px);
        Self::new(width_px, height_px, depth)
    }

    /// The same with this shape.
    pub const fn shaped(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }

    /// The same with this refresh.
    pub const fn refreshed(self, refresh: Refresh) -> Self {
        Self { refresh, ..self }
    }

    /// Why nothing would be legible on it, worded to follow its size; `None` if all is well.
    pub fn fault(&self) -> Option<String> {
        let (width_px, height_px) = (u64::from(self.width_px), u64::from(self.height_px));
        let mut sides = [width_px, height_px].into_iter();
        match self.shape {
            _ if sides.any(|side| DISPLAY_SIDE_PX.check(side).is_none()) => {
                let limits::Whole { least, most } = DISPLAY_SIDE_PX;
                Some(format!("each side must be {least} to {most}"))
            }
            Shape::Round if width_px != height_px => {
                Some("a round one needs equal sides".to_owned())
            }
            Shape::Round if ROUND_DISPLAY_PX.check(width_px).is_none() => {
                let least = ROUND_DISPLAY_PX.least;
                Some(format!("a round one needs {least} or more"))
            }
            _ => None,
        }
    }
}
