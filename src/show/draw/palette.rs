//! The colours of displays.

use crate::show::State;
use crate::show::canvas::Rgb;
use crate::show::layout::Surface;
use crate::show::{Depth, Refresh};

/// The colours for a display of one depth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Palette {
    pub ground: Rgb,
    pub panel: Rgb,
    pub text: Rgb,
    pub quiet: Rgb,
    pub good: Rgb,
    pub warning: Rgb,
    pub alarm: Rgb,
}

const COLOUR: Palette = Palette {
    ground: [10, 14, 20],
    panel: [35, 43, 54],
    text: [245, 248, 250],
    quiet: [148, 163, 178],
    good: [52, 211, 132],
    warning: [245, 184, 61],
    alarm: [255, 92, 84],
};

const MONO: Palette = Palette {
    ground: [0; 3],
    panel: [0; 3],
    text: [255; 3],
    quiet: [255; 3],
    good: [255; 3],
    warning: [255; 3],
    alarm: [255; 3],
};

/// Black on white, like paper.
const PAPER: Palette = Palette {
    ground: [255; 3],
    panel: [255; 3],
    text: [0; 3],
    quiet: [0; 3],
    good: [0; 3],
    warning: [0; 3],
    alarm: [0; 3],
};

impl Palette {
    /// Paper has no colours for alarms: whatever is not a class is white on black there.
    pub fn of(surface: &Surface, state: State) -> Self {
        match (surface.refresh, surface.depth) {
            (Refresh::Standing, _) if matches!(state, State::Live | State::Starting) => PAPER,
            (Refresh::Standing, _) | (_, Depth::Mono) => MONO,
            _ => COLOUR,
        }
    }
}
