//! What is drawn on.

use super::MIN_DIAMETER_PX;
use crate::show::Depth;
use crate::toml_file::Table;

/// The smallest side that anything is drawn for.
pub const MIN_SIDE_PX: u32 = 32;

/// The largest one.
const MAX_SIDE_PX: u32 = 8192;

/// What can be seen of a display.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shape {
    /// All of it.
    #[default]
    Rectangle,
    /// The circle that touches all four sides, which are of one length.
    Round,
}

impl Shape {
    /// Reads `round`, which only a square display can be; `usual` where the file does not say.
    pub(in crate::show) fn read(table: &mut Table<'_, '_>, is_square: bool, usual: bool) -> Self {
        let is_round = table.flag("round").unwrap_or(usual);
        if is_round && !is_square {
            table.fault("round", "is true, needs width_px and height_px to be equal");
        }
        if is_round {
            Self::Round
        } else {
            Self::Rectangle
        }
    }
}

/// How often a display may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Refresh {
    /// With every frame.
    #[default]
    Live,
    /// With the class, the state and the notice alone: paper, which takes long to change and flickers when it does. It is drawn black
    /// on white.
    Standing,
}

/// What is drawn on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surface {
    /// Width of the drawing, upright.
    pub width_px: u32,
    /// Height of the drawing, upright.
    pub height_px: u32,
    /// Its colours.
    pub depth: Depth,
    /// What of it can be seen.
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

    /// The same with this shape.
    pub const fn shaped(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }

    /// The same, changed as often as this.
    pub const fn refreshed(self, refresh: Refresh) -> Self {
        Self { refresh, ..self }
    }

    /// Why nothing would be legible on it, in words that follow its size; none when all is well.
    pub fn fault(&self) -> Option<String> {
        let (shorter, longer) = (
            self.width_px.min(self.height_px),
            self.width_px.max(self.height_px),
        );
        match self.shape {
            _ if shorter < MIN_SIDE_PX || longer > MAX_SIDE_PX => {
                Some(format!("each side must be {MIN_SIDE_PX} to {MAX_SIDE_PX}"))
            }
            Shape::Round if shorter != longer => {
                Some("a round one has sides of one length".to_owned())
            }
            Shape::Round if shorter < MIN_DIAMETER_PX => {
                Some(format!("a round one needs {MIN_DIAMETER_PX} or more"))
            }
            _ => None,
        }
    }
}
