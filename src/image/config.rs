//! Checks what a card must contain for its `config.txt`: the Raspberry Pi's firmware does not report a missing file, it just does
//! not start, or ignores the overlay.

use crate::board::config_txt::{self, text};
use crate::toml_file::did_you_mean;
use std::collections::BTreeSet;

/// Which start files a machine's firmware uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartFiles {
    /// `start.elf` and its variants: Zero 2 W, 3.
    Pi3,
    /// `start4.elf` and its variants.
    Pi4,
}

/// The start file and its fixup file for a `config.txt` with these lines.
pub fn start_files(of: StartFiles, lines: &[String]) -> [String; 2] {
    let is_set = |key: &str| number(lines, key).is_some_and(|value| value != 0);
    let (number, kind) = match of {
        StartFiles::Pi3 => ("", ["_x", "_db", "_cd"]),
        StartFiles::Pi4 => ("4", ["x", "db", "cd"]),
    };
    let kind = if is_set("start_x") {
        kind[0]
    } else if is_set("start_debug") {
        kind[1]
    } else if self::number(lines, "gpu_mem") == Some(16) {
        // This little memory selects the cut-down firmware.
        kind[2]
    } else {
        ""
    };
    let named = |key: &str, usual: String| text(lines, key).map_or(usual, str::to_owned);
    [
        named("start_file", format!("start{number}{kind}.elf")),
        named("fixup_file", format!("fixup{number}{kind}.dat")),
    ]
}

/// The overlays in these lines, in order.
pub fn overlays(lines: &[String]) -> impl Iterator<Item = &str> {
    config_txt::overlays(lines).map(|(name, _)| name)
}

/// Checks the overlays in `lines` against `there`, the paths of those in the packages; `Err` is a message for the user.
pub fn check_overlays(
    lines: &[String],
    there: &BTreeSet<String>,
    packages: &str,
) -> Result<(), String> {
    let known = || {
        let paths = there.iter();
        paths.filter_map(|path| path.strip_prefix("overlays/")?.strip_suffix(".dtbo"))
    };
    for name in overlays(lines) {
        if known().any(|there| there == name) {
            continue;
        }
        let hint = did_you_mean(name, known());
        let remedy = if hint.is_empty() {
            "; Raspberry Pi OS's kernel has the usual ones: pass it with --kernel"
        } else {
            ""
        };
        return Err(format!(
            "config.txt names the overlay `{name}`, which none of the packages has ({packages}){hint}{remedy}"
        ));
    }
    Ok(())
}

fn number(lines: &[String], key: &str) -> Option<u32> {
    text(lines, key)?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.split(';').map(str::to_owned).collect()
    }

    #[test]
    fn the_files_of_each_kind_of_start() {
        for (of, text, start, fixup) in [
            (StartFiles::Pi3, "", "start.elf", "fixup.dat"),
            (StartFiles::Pi3, "start_x=1", "start_x.elf", "fixup_x.dat"),
            (StartFiles::Pi4, "start_x=1", "start4x.elf", "fixup4x.dat"),
            (
                StartFiles::Pi4,
                "start_x=1;start_x=0",
                "start4.elf",
                "fixup4.dat",
            ),
            (
                StartFiles::Pi4,
                "start_debug=1",
                "start4db.elf",
                "fixup4db.dat",
            ),
            (
                StartFiles::Pi3,
                "gpu_mem=16",
                "start_cd.elf",
                "fixup_cd.dat",
            ),
            (StartFiles::Pi3, "gpu_mem=128", "start.elf", "fixup.dat"),
            (
                StartFiles::Pi3,
                " start_file = my.elf ",
                "my.elf",
                "fixup.dat",
            ),
        ] {
            assert_eq!(start_files(of, &lines(text)), [start, fixup], "{text}");
        }
    }

    #[test]
    fn a_missing_overlay_is_reported() {
        let there = ["overlays/imx219.dtbo", "overlays/README"].map(str::to_owned);
        let there = BTreeSet::from(there);
        let check = |text| check_overlays(&lines(text), &there, "linux-image");
        assert_eq!(check("dtoverlay=imx219,rotation=0"), Ok(()));
        let fault = check("dtoverlay=imx291").unwrap_err();
        assert!(
            fault.contains("`imx291`") && fault.ends_with("did you mean `imx219`?"),
            "{fault}"
        );
        let fault = check("dtoverlay=vc4-kms-dsi-7inch").unwrap_err();
        assert!(fault.contains("Raspberry Pi OS's kernel"), "{fault}");
    }
}
