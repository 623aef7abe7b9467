//! The tables `[display.KIND]` of a board file, and `font` of `[display]`. A kind is one function here.

use super::file::Base;
use super::{Depth, DisplayConfig, FramebufferConfig, PngConfig, panel};
use crate::limits;
use crate::toml_file::Table;
use std::path::PathBuf;

/// The tables of `[display]`, and its `font`. `[display.none]` stands alone and is no display.
pub(super) fn displays(
    top: &mut Table<'_, '_>,
    base: Base<'_>,
) -> (Vec<DisplayConfig>, Option<PathBuf>) {
    let mut font = None;
    let kinds = ["framebuffer", "spi", "oled", "epaper", "png", "none"];
    let chosen = top.choices("display", &kinds, |outer| {
        font = outer.text("font").map(|path| base.input(&path));
    });
    let count = chosen.len();
    if count > 1 && chosen.iter().any(|(kind, _)| *kind == "none") {
        top.fault(
            "display",
            "has [display.none] beside another one: [display.none] is for a board without a display, and stands alone",
        );
    }
    let most = limits::DISPLAYS.most;
    if count as u64 > most {
        top.fault(
            "display",
            format_args!("has {count} displays, needs at most {most}"),
        );
    }
    let displays = chosen.into_iter();
    let displays: Vec<_> = displays
        .filter_map(|(kind, table)| display_of(kind, table, base))
        .collect();
    for (i, display) in displays.iter().enumerate() {
        if let Some(why) = displays[..i].iter().find_map(|other| clash(other, display)) {
            top.fault("display", why);
        }
    }
    (displays, font)
}

fn display_of(kind: &str, mut table: Table<'_, '_>, base: Base<'_>) -> Option<DisplayConfig> {
    match kind {
        "framebuffer" => Some(DisplayConfig::Framebuffer(framebuffer(&mut table))),
        "spi" => panel::spi(&mut table).map(DisplayConfig::Spi),
        "oled" => panel::oled::oled(&mut table).map(DisplayConfig::Oled),
        "epaper" => panel::epaper::epaper(&mut table).map(DisplayConfig::Epaper),
        "png" => png(&mut table, base).map(DisplayConfig::Png),
        _ => None,
    }
}

/// Why two displays cannot both be shown: they are the same one.
fn clash(one: &DisplayConfig, other: &DisplayConfig) -> Option<String> {
    match (one, other) {
        (DisplayConfig::Framebuffer(one), DisplayConfig::Framebuffer(other)) => {
            let [one, other] = [one, other].map(|config| config.driver.as_deref().unwrap_or(""));
            let is_same = one.starts_with(other) || other.starts_with(one);
            is_same.then(|| {
                "has two framebuffers that may be the same one: each needs a `driver` of its own".to_owned()
            })
        }
        (DisplayConfig::Png(one), DisplayConfig::Png(other)) => {
            let folder = one.folder.display();
            (one.folder == other.folder).then(|| {
                format!(
                    "has two [display.png] that write to {folder}: each needs a `folder` of its own"
                )
            })
        }
        _ => None,
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
