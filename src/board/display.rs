//! `[display.KIND]` of a board file, and `font` of `[display]`. A kind is one function here.

use super::file::Base;
use super::{Depth, DisplayConfig, FramebufferConfig, PngConfig};
use crate::limits;
use crate::toml_file::Table;
use std::path::PathBuf;

/// What can be seen of a display.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shape {
    /// All of it.
    #[default]
    Rectangle,
    /// The circle that touches all four sides, which are of one length.
    Round,
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

/// `[display.KIND]`, and `font` of `[display]`.
pub(super) fn display(
    top: &mut Table<'_, '_>,
    base: Base<'_>,
) -> (Option<DisplayConfig>, Option<PathBuf>) {
    let mut font = None;
    let kinds = ["framebuffer", "png", "none"];
    let chosen = top.choice_beside("display", &kinds, |outer| {
        font = outer.text("font").map(|path| base.input(&path));
    });
    (
        chosen.and_then(|(kind, table)| display_of(kind, table, base)),
        font,
    )
}

fn display_of(kind: &str, mut table: Table<'_, '_>, base: Base<'_>) -> Option<DisplayConfig> {
    match kind {
        "framebuffer" => Some(DisplayConfig::Framebuffer(framebuffer(&mut table))),
        "png" => png(&mut table, base).map(DisplayConfig::Png),
        _ => Some(DisplayConfig::None),
    }
}

fn framebuffer(table: &mut Table<'_, '_>) -> FramebufferConfig {
    FramebufferConfig {
        driver: table.text("driver"),
        width_px: table.integer_u32("width_px", limits::SIDE_PX),
        height_px: table.integer_u32("height_px", limits::SIDE_PX),
        rotate_deg: table.quarter_turns("rotate_deg").unwrap_or(0),
        mirror: table.flag("mirror").unwrap_or(false),
        required: table.flag("required").unwrap_or(false),
    }
}

fn png(table: &mut Table<'_, '_>, base: Base<'_>) -> Option<PngConfig> {
    table.must_have(&["folder", "width_px", "height_px"]);
    let folder = table.text("folder");
    let width_px = table.integer_u32("width_px", limits::SIDE_PX);
    let height_px = table.integer_u32("height_px", limits::SIDE_PX);
    let keep = table.integer_u32("keep", limits::PNG_KEEP).unwrap_or(20);
    let depths = [
        ("mono", Depth::Mono),
        ("rgb565", Depth::Rgb565),
        ("rgb888", Depth::Rgb888),
    ];
    let depth = table.word("depth", &depths);
    let is_round = table.flag("round").unwrap_or(false);
    if is_round && width_px.is_some() && width_px != height_px {
        table.fault("round", "is true, needs width_px and height_px to be equal");
    }
    let is_paper = table.flag("paper").unwrap_or(false);
    if is_paper && depth.is_some_and(|depth| depth != Depth::Mono) {
        table.fault(
            "paper",
            "is true, needs `depth` to be \"mono\", or left out",
        );
    }
    let (shape, refresh, default) = (
        if is_round {
            Shape::Round
        } else {
            Shape::Rectangle
        },
        if is_paper {
            Refresh::Standing
        } else {
            Refresh::Live
        },
        if is_paper { Depth::Mono } else { Depth::Rgb888 },
    );
    Some(PngConfig {
        folder: base.output(&folder?),
        keep,
        width_px: width_px?,
        height_px: height_px?,
        depth: depth.unwrap_or(default),
        shape,
        refresh,
    })
}
