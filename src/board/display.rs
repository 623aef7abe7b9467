//! `[display.KIND]` of a board file, and `font` of `[display]`. A kind is one function here.

use super::file::Base;
use super::{Depth, DisplayConfig, DrmConfig, FramebufferConfig, PngConfig, WindowConfig};
use crate::limits;
use crate::toml_file::Table;
use std::path::PathBuf;

/// `[display.KIND]`, and `font` of `[display]`.
pub(super) fn display(
    top: &mut Table<'_, '_>,
    base: Base<'_>,
) -> (Option<DisplayConfig>, Option<PathBuf>) {
    let mut font = None;
    let kinds = ["framebuffer", "drm", "png", "window", "none"];
    let chosen = top.choice_beside("display", &kinds, |outer| {
        font = outer.text("font").map(|path| base.input(&path));
        if outer.has("window") && !WindowConfig::IS_BUILT_IN {
            outer.fault("window", WindowConfig::NOT_BUILT_IN);
        }
    });
    (
        chosen.and_then(|(kind, table)| display_of(kind, table, base)),
        font,
    )
}

fn display_of(kind: &str, mut table: Table<'_, '_>, base: Base<'_>) -> Option<DisplayConfig> {
    match kind {
        "framebuffer" => Some(DisplayConfig::Framebuffer(framebuffer(&mut table))),
        "drm" => Some(DisplayConfig::Drm(drm(&mut table))),
        "window" => window(&mut table).map(DisplayConfig::Window),
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

fn drm(table: &mut Table<'_, '_>) -> DrmConfig {
    DrmConfig {
        connector: table.text("connector"),
        driver: table.text("driver"),
        width_px: table.integer_u32("width_px", limits::SIDE_PX),
        height_px: table.integer_u32("height_px", limits::SIDE_PX),
        rate_hz: table.integer_u32("rate_hz", limits::MODE_RATE_HZ),
        rotate_deg: table.quarter_turns("rotate_deg").unwrap_or(0),
        mirror: table.flag("mirror").unwrap_or(false),
        required: table.flag("required").unwrap_or(false),
    }
}

fn window(table: &mut Table<'_, '_>) -> Option<WindowConfig> {
    table.must_have(&["width_px", "height_px"]);
    let width_px = table.integer_u32("width_px", limits::SIDE_PX);
    let height_px = table.integer_u32("height_px", limits::SIDE_PX);
    let scale = table.one_of("scale", [1, 2, 4, 8]).unwrap_or(1);
    let depth = depth(table);
    Some(WindowConfig {
        width_px: width_px?,
        height_px: height_px?,
        scale,
        depth,
    })
}

/// The colour depth of a display that is imitated.
fn depth(table: &mut Table<'_, '_>) -> Depth {
    let depths = [
        ("mono", Depth::Mono),
        ("rgb565", Depth::Rgb565),
        ("rgb888", Depth::Rgb888),
    ];
    table.word("depth", &depths).unwrap_or(Depth::Rgb888)
}

fn png(table: &mut Table<'_, '_>, base: Base<'_>) -> Option<PngConfig> {
    table.must_have(&["folder", "width_px", "height_px"]);
    let folder = table.text("folder");
    let width_px = table.integer_u32("width_px", limits::SIDE_PX);
    let height_px = table.integer_u32("height_px", limits::SIDE_PX);
    let keep = table.integer_u32("keep", limits::PNG_KEEP).unwrap_or(20);
    let depth = depth(table);
    Some(PngConfig {
        folder: base.output(&folder?),
        keep,
        width_px: width_px?,
        height_px: height_px?,
        depth,
    })
}
