//! The tables `[display.KIND]` of a board file, and `font` of `[display]`. A kind is one function here.

use super::file::Base;
use super::{Depth, DisplayConfig, DrmConfig, FramebufferConfig, PngConfig, WindowConfig, panel};
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

/// The tables of `[display]`, and its `font`. `[display.none]` stands alone and is no display.
pub(super) fn displays(
    top: &mut Table<'_, '_>,
    base: Base<'_>,
) -> (Vec<DisplayConfig>, Option<PathBuf>) {
    let mut font = None;
    let kinds = [
        "framebuffer",
        "drm",
        "spi",
        "oled",
        "epaper",
        "png",
        "window",
        "none",
    ];
    let chosen = top.choices("display", &kinds, |outer| {
        font = outer.text("font").map(|path| base.input(&path));
        if outer.has("window") && !WindowConfig::IS_BUILT_IN {
            outer.fault("window", WindowConfig::NOT_BUILT_IN);
        }
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
        "drm" => Some(DisplayConfig::Drm(drm(&mut table))),
        "window" => window(&mut table).map(DisplayConfig::Window),
        "png" => png(&mut table, base).map(DisplayConfig::Png),
        _ => None,
    }
}

/// Why two displays cannot both be shown: they are the same one.
fn clash(one: &DisplayConfig, other: &DisplayConfig) -> Option<String> {
    match (one, other) {
        (DisplayConfig::Framebuffer(one), DisplayConfig::Framebuffer(other)) => {
            may_be_same(one.driver.as_deref(), other.driver.as_deref()).then(|| {
                "has two framebuffers that may be the same one: each needs a `driver` of its own".to_owned()
            })
        }
        // The kernel lets one program at a time set the modes of a card, and each of these would be one.
        (DisplayConfig::Drm(one), DisplayConfig::Drm(other)) => {
            may_be_same(one.driver.as_deref(), other.driver.as_deref()).then(|| {
                "has two [display.drm] that may be of one card, which only one can use: each needs a `driver` of its own".to_owned()
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
        (one, other) => match (one.bus_node(), other.bus_node()) {
            (Some(node), Some(same)) if node == same => Some(format!(
                "has two panels on {}: each needs a `device` of its own, or on I2C an `address`",
                node.0.display()
            )),
            _ => None,
        },
    }
}

/// Whether two beginnings of drivers' names can mean one driver.
fn may_be_same(one: Option<&str>, other: Option<&str>) -> bool {
    let [one, other] = [one, other].map(Option::unwrap_or_default);
    one.starts_with(other) || other.starts_with(one)
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
    let depth = depth(table).unwrap_or(Depth::Rgb888);
    Some(WindowConfig {
        width_px: width_px?,
        height_px: height_px?,
        scale,
        depth,
    })
}

/// The colour depth of a display that is imitated.
fn depth(table: &mut Table<'_, '_>) -> Option<Depth> {
    let depths = [
        ("mono", Depth::Mono),
        ("rgb565", Depth::Rgb565),
        ("rgb888", Depth::Rgb888),
    ];
    table.word("depth", &depths)
}

/// `round`, which only a square display can be; `usual` where the file does not say.
pub(super) fn shape(table: &mut Table<'_, '_>, is_square: bool, usual: bool) -> Shape {
    let is_round = table.flag("round").unwrap_or(usual);
    if is_round && !is_square {
        table.fault("round", "is true, needs width_px and height_px to be equal");
    }
    if is_round {
        Shape::Round
    } else {
        Shape::Rectangle
    }
}

fn png(table: &mut Table<'_, '_>, base: Base<'_>) -> Option<PngConfig> {
    table.must_have(&["folder", "width_px", "height_px"]);
    let folder = table.text("folder");
    let width_px = table.integer_u32("width_px", limits::SIDE_PX);
    let height_px = table.integer_u32("height_px", limits::SIDE_PX);
    let keep = table.integer_u32("keep", limits::PNG_KEEP).unwrap_or(20);
    let depth = depth(table);
    let is_square = width_px.is_none() || width_px == height_px;
    let shape = shape(table, is_square, false);
    let is_paper = table.flag("paper").unwrap_or(false);
    if is_paper && depth.is_some_and(|depth| depth != Depth::Mono) {
        table.fault(
            "paper",
            "is true, needs `depth` to be \"mono\", or left out",
        );
    }
    let (refresh, default) = if is_paper {
        (Refresh::Standing, Depth::Mono)
    } else {
        (Refresh::Live, Depth::Rgb888)
    };
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
