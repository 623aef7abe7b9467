//! `[display.KIND]` of a board file, and `font` of `[display]`. A kind is one function here.

use super::file::Base;
use super::{Depth, DisplayConfig, FramebufferConfig, PngConfig, panel};
use crate::limits;
use crate::toml_file::Table;
use std::path::PathBuf;

/// `[display.KIND]`, and `font` of `[display]`.
pub(super) fn display(
    top: &mut Table<'_, '_>,
    base: Base<'_>,
) -> (Option<DisplayConfig>, Option<PathBuf>) {
    let mut font = None;
    let kinds = ["framebuffer", "spi", "oled", "epaper", "png", "none"];
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
        "spi" => panel::spi(&mut table).map(DisplayConfig::Spi),
        "oled" => panel::oled::oled(&mut table).map(DisplayConfig::Oled),
        "epaper" => panel::epaper::epaper(&mut table).map(DisplayConfig::Epaper),
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
    let depth = table.word("depth", &depths).unwrap_or(Depth::Rgb888);
    Some(PngConfig {
        folder: base.output(&folder?),
        keep,
        width_px: width_px?,
        height_px: height_px?,
        depth,
    })
}
