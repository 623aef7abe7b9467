//! What a card needs for the Raspberry Pi's own firmware: start files, overlays, trial boots, and its camera settings.

use super::config;
use super::deb::names;
use super::machine::needs;
use super::sensor;
use super::{Files, Recipe, package_failure};
use crate::board::firmware::Machine;
use crate::camera::CameraConfig;
use crate::failure::{Cause, Failure};
use crate::toml_file::Word;
use std::collections::BTreeSet;

/// What the board's ribbon-cable camera needs, if it has one.
pub fn sensor_parts(recipe: &Recipe<'_>, machine: Machine) -> Result<sensor::Parts, Failure> {
    let named = match &recipe.board.camera {
        CameraConfig::V4l2(camera) => camera.sensor,
        _ => None,
    };
    let Some(named) = named else {
        return Ok(sensor::Parts::default());
    };
    sensor::parts(named, machine).map_err(|why| {
        let what = format!("camera.v4l2.sensor = {:?}: {why}", named.word());
        Failure::new(Cause::Board, what)
    })
}

/// Copies the Pi firmware's files and its licence from the packages, wherever they are in them.
pub fn add(
    recipe: &Recipe<'_>,
    machine: Machine,
    start_files: &[String],
    boot: &mut Files,
    slot: &mut Files,
) -> Result<(), Failure> {
    let needs = needs(machine);
    for package in recipe.firmware {
        package.each_file(&mut |path, file| {
            let name = path.rsplit('/').next().unwrap_or_default();
            let (files, name) = if needs.boot_files.contains(&name) {
                (&mut *boot, name)
            } else if start_files.iter().any(|wanted| wanted == name) {
                (&mut *slot, name)
            } else if path == format!("usr/share/doc/{}/copyright", package.name) {
                (&mut *slot, "LICENCE.firmware")
            } else {
                return Ok(());
            };
            let mut contents = Vec::new();
            file.read_to_end(&mut contents)?;
            files.insert(name.to_owned(), contents);
            Ok(())
        })?;
    }
    let missing = (needs.boot_files.iter().copied())
        .filter(|name| !boot.contains_key(*name))
        .chain((start_files.iter().map(String::as_str)).filter(|name| !slot.contains_key(*name)));
    let missing: Vec<_> = missing.collect();
    if missing.is_empty() {
        return Ok(());
    }
    let given = match recipe.firmware {
        [] => "no package of the Raspberry Pi's firmware was given, which".to_owned(),
        packages => format!("{} has no {}, which", names(packages), missing.join(", ")),
    };
    Err(package_failure(format!(
        "{given} an image for {} needs with these lines of config_txt: pass the package raspi-firmware with --firmware",
        machine.word(),
    )))
}

/// Whether the boot ROM's next stage supports trial boots: `autoboot.txt` with `tryboot_a_b`, which `bootcode.bin` learnt between
/// the Debian packages 1.20220830 and 1.20240424. Boards without that file have it in their EEPROM.
pub fn trial_boots(recipe: &Recipe<'_>, boot: &Files) -> Result<Option<String>, Failure> {
    const WORD: &[u8] = b"tryboot_a_b";
    let Some(code) = boot.get("bootcode.bin") else {
        return Ok(None);
    };
    if code.windows(WORD.len()).any(|part| part == WORD) {
        return Ok(None);
    }
    let why = format!(
        "bootcode.bin of {} does not support trial boots, so no update would ever be accepted: pass --firmware with raspi-firmware 1.20240424 or newer (Debian 13's)",
        names(recipe.firmware)
    );
    if recipe.board.firmware.update_from_sticks {
        return Err(package_failure(format!(
            "the board accepts updates from USB sticks, but {why}"
        )));
    }
    Ok(Some(why))
}

/// Copies the overlays in `config.txt` from the firmware's packages, unless the kernel's packages had them.
pub fn add_overlays(
    recipe: &Recipe<'_>,
    config_lines: &[String],
    slot: &mut Files,
) -> Result<(), Failure> {
    let wanted: Vec<String> = config::overlays(config_lines)
        .map(|name| format!("overlays/{name}.dtbo"))
        .filter(|path| !slot.contains_key(path))
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    // All of them, so that a misspelt name gets a suggestion.
    let mut there: BTreeSet<String> = slot
        .keys()
        .filter(|path| path.starts_with("overlays/"))
        .cloned()
        .collect();
    for package in recipe.firmware {
        package.each_file(&mut |path, file| {
            let Some((_, name)) = path.split_once("/overlays/") else {
                return Ok(());
            };
            let place = format!("overlays/{name}");
            if wanted.contains(&place) {
                let mut contents = Vec::new();
                file.read_to_end(&mut contents)?;
                slot.insert(place.clone(), contents);
            }
            there.insert(place);
            Ok(())
        })?;
    }
    let given = [names(recipe.kernel), names(recipe.firmware)];
    let given: Vec<_> = given.into_iter().filter(|text| !text.is_empty()).collect();
    config::check_overlays(config_lines, &there, &given.join(", "))
        .map_err(|why| Failure::new(Cause::Package, why))
}
