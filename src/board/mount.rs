//! `[mount]`: how the camera is mounted, and which parts of its picture are classified.

use crate::limits;
use crate::preprocess::{Area, Mount};
use crate::spec::RESIZES;
use crate::toml_file::Table;
use std::fmt;

/// A part of the upright picture that is classified on its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// Its name in `[mount.regions]`; `None` for the one given by `region`.
    pub name: Option<String>,
    /// Its position and size.
    pub area: Area,
}

impl fmt::Display for Region {
    /// In the notation of the board file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name} = ")?;
        }
        let Area {
            left,
            top,
            width,
            height,
        } = self.area;
        write!(f, "[{left}, {top}, {width}, {height}]")
    }
}

/// Rounding tolerance for fractions written with few digits, such as 0.333 three times.
const ROUNDING: f32 = 1e-4;

/// Reads the table, which is optional.
pub(super) fn mount(top: &mut Table<'_, '_>) -> (Mount, Vec<Region>) {
    let Some(mut table) = top.table("mount") else {
        return (Mount::default(), Vec::new());
    };
    let mount = Mount {
        rotate_deg: table.quarter_turns("rotate_deg").unwrap_or(0),
        mirror: table.flag("mirror").unwrap_or(false),
        resize: table.word("resize", &RESIZES),
    };
    let mut regions = Vec::new();
    let one = area(&mut table, "region");
    regions.extend(one.map(|area| Region { name: None, area }));
    let Some(mut named) = table.table("regions") else {
        return (mount, regions);
    };
    if table.has("region") {
        table.fault(
            "region",
            "cannot be used together with `regions`: give it a name and move it there",
        );
    }
    let names = named.names_in_order();
    let most = limits::REGIONS.most;
    if limits::REGIONS.check(names.len() as u64).is_none() {
        let message = format!("has {} entries, needs 1 to {most}", names.len());
        table.fault("regions", message);
    }
    for name in names {
        check_name(&named, &name);
        if let Some(area) = area(&mut named, &name) {
            let name = Some(name);
            regions.push(Region { name, area });
        }
    }
    (mount, regions)
}

fn check_name(table: &Table<'_, '_>, name: &str) {
    let most = limits::REGION_NAME_CHARS;
    let is_printable = !name.trim().is_empty() && !name.contains(char::is_control);
    if !is_printable || name.chars().count() > most {
        let message = format!("needs a name of 1 to {most} letters on one line");
        table.fault(name, message);
    }
}

/// `[left, top, width, height]`, entirely inside the picture.
fn area(table: &mut Table<'_, '_>, key: &str) -> Option<Area> {
    let [left, top, width, height] = table.numbers_of(
        key,
        limits::REGION_PART,
        "left, top, width and height, as fractions of the upright picture",
    )?;
    for (what, start, length) in [("width", left, width), ("height", top, height)] {
        if length <= 0.0 {
            table.fault(key, format!("has a {what} of 0, needs more than 0"));
            return None;
        }
        if start + length > 1.0 + ROUNDING {
            let end = start + length;
            let message =
                format!("ends at {end} of the picture's {what}, needs to end at 1 or less");
            table.fault(key, message);
            return None;
        }
    }
    Some(Area {
        left,
        top,
        width,
        height,
    })
}
