//! Collects the kernel modules of an image: the machine's, its ribbon-cable camera's and the board file's, and writes the list
//! that `/init` follows. Refuses a kernel that cannot do the board's job.

use super::board_text::ETC;
use super::deb::names;
use super::kernel::Kernel;
use super::machine::{self, Driver, Job, Needs, STICK_MODULES};
use super::modules::{Module, Modules, canonical};
use super::{Files, Recipe, package_failure, panel, sensor};
use crate::board::Board;
use crate::board::firmware::Machine;
use crate::camera::CameraConfig;
use crate::camera::v4l2::sensor::Sensor;
use crate::failure::{Cause, Failure};
use crate::show::DisplayConfig;
use crate::toml_file::{Word, did_you_mean};
use std::fmt::Write;

/// Whether the board's job needs something on the USB port.
pub fn wants_usb(board: &Board) -> bool {
    has_usb_camera(board) || board.firmware.update_from_sticks
}

fn has_usb_camera(board: &Board) -> bool {
    matches!(&board.camera, CameraConfig::V4l2(camera) if camera.sensor.is_none())
}

/// The drivers of the machine's display connectors, if the board shows on one of them: `driver` of `[display.drm]` may name a
/// display of another kind, whose module the board file must list.
pub fn of_connectors(board: &Board, needs: &Needs) -> &'static [Driver] {
    let is_ours = |driver: &str| {
        let mut names = needs.drm.iter().flat_map(|known| known.names);
        names.any(|name| name.starts_with(driver))
    };
    let shows_there = board.displays.iter().any(|display| match display {
        DisplayConfig::Drm(display) => display.driver.as_deref().is_none_or(is_ours),
        _ => false,
    });
    if shows_there { needs.drm } else { &[] }
}

/// Checks `without_modules`: a misspelt name would leave out nothing, without a word.
pub fn check_left_out(board: &Board) -> Result<(), Failure> {
    let Some(machine) = board.firmware.machine else {
        return Ok(());
    };
    let known = all_of(machine);
    for name in &board.firmware.without_modules {
        if !known.contains(&canonical(name).as_str()) {
            let what = format!(
                "firmware.without_modules: a {} has no driver `{name}` to leave out{}",
                machine.word(),
                did_you_mean(name, known.iter().copied())
            );
            return Err(Failure::new(Cause::Board, what));
        }
    }
    Ok(())
}

/// The modules of all drivers that a board with this machine may have.
fn all_of(machine: Machine) -> Vec<&'static str> {
    let needs = machine::needs(machine);
    let mut drivers = [needs.drivers, needs.drm].concat();
    drivers.extend(needs.pins.iter().flat_map(|pins| pins.all()));
    let sensors = Sensor::WORDS.iter();
    let parts = sensors.filter_map(|&(_, sensor)| sensor::parts(sensor, machine).ok());
    drivers.extend(parts.flat_map(|parts| parts.drivers));
    let names = drivers.iter().flat_map(|driver| driver.names);
    let nodes = panel::SPI_NODE.iter().chain(panel::I2C_NODE);
    names.chain(nodes).chain(&STICK_MODULES).copied().collect()
}

/// Adds the modules to `files`. Returns what a person should know of those that are left out.
pub fn add(
    recipe: &Recipe<'_>,
    machine: Machine,
    drivers: &[Driver],
    kernel: &Kernel,
    files: &mut Files,
) -> Result<Option<String>, Failure> {
    let firmware = &recipe.board.firmware;
    let mut wanted = Vec::new();
    let mut missing: Vec<&Driver> = Vec::new();
    for driver in drivers {
        if driver.names.iter().any(|name| firmware.leaves_out(name)) {
            continue;
        }
        match available(driver, machine, kernel) {
            Some(name) => wanted.push(name),
            None => missing.push(driver),
        }
    }
    if firmware.update_from_sticks {
        let sticks = STICK_MODULES.iter().copied();
        wanted.extend(sticks.filter(|name| kernel.modules.has(name) && !firmware.leaves_out(name)));
    }
    let (fatal, care): (Vec<&Driver>, Vec<&Driver>) = missing
        .into_iter()
        .partition(|driver| is_needed(driver, recipe.board, &kernel.modules));
    if !fatal.is_empty() {
        return Err(refusal(recipe, machine, kernel, &fatal));
    }
    let left_out = (!care.is_empty()).then(|| {
        let (kernel, modules) = (names(recipe.kernel), modules_of(&care));
        format!("{kernel} has no module {modules}: left out")
    });
    let own = &firmware.modules;
    wanted.extend(own.iter().map(|module| module.name.as_str()));
    let wrong = |error: super::modules::ModuleError| {
        package_failure(format!("{}: {error}", names(recipe.kernel)))
    };
    let mut list = String::from("# Kernel modules in load order: PATH [OPTIONS]\n");
    for Module { name, contents } in kernel.modules.in_load_order(wanted).map_err(wrong)? {
        let path = format!("lib/modules/{}/{name}.ko", kernel.release);
        let options = own
            .iter()
            .find(|module| canonical(&module.name) == name)
            .map_or("", |module| &module.options);
        // Writing to a String cannot fail.
        let _ = writeln!(list, "{}", format!("/{path} {options}").trim_end());
        files.insert(path, contents);
    }
    files.insert(format!("{ETC}/modules"), list.into());
    Ok(left_out)
}

/// The driver's module, built in or loadable. Of several that the kernel has, the first that binds a device of the machine's device
/// trees; if none says so, the first.
fn available(driver: &Driver, machine: Machine, kernel: &Kernel) -> Option<&'static str> {
    let there = || {
        let names = driver.names.iter().copied();
        names.filter(|name| kernel.modules.has(name))
    };
    if there().nth(1).is_none() {
        return there().next();
    }
    let needs = machine::needs(machine);
    let trees = kernel.device_trees.iter();
    let trees: Vec<&[u8]> = trees
        .filter(|(name, _)| needs.has_tree(name))
        .map(|(_, tree)| &tree[..])
        .collect();
    let binds = |name: &&str| {
        let compatibles = kernel.modules.compatibles(name);
        compatibles.iter().any(|compatible| {
            // Texts of a device tree end with NUL.
            let text = format!("{compatible}\0");
            let is_there = |tree: &&[u8]| tree.windows(text.len()).any(|at| at == text.as_bytes());
            trees.iter().any(is_there)
        })
    };
    there().find(binds).or_else(|| there().next())
}

/// Whether the board cannot do its job without this driver.
fn is_needed(driver: &Driver, board: &Board, modules: &Modules) -> bool {
    match driver.job {
        Job::Usb => wants_usb(board),
        // The board file may list another camera's driver.
        Job::UsbCamera => {
            let own = &board.firmware.modules;
            has_usb_camera(board) && !own.iter().any(|own| modules.has(&own.name))
        }
        Job::Display => {
            let mut displays = board.displays.iter();
            displays.any(|display| matches!(display, DisplayConfig::Framebuffer(c) if c.required && c.driver.is_none()))
        }
        Job::Camera | Job::Card | Job::Drm | Job::Panel => true,
        Job::Care => false,
    }
}

fn modules_of(drivers: &[&Driver]) -> String {
    let names: Vec<_> = drivers.iter().map(|driver| driver.names[0]).collect();
    names.join(", ")
}

fn refusal(recipe: &Recipe<'_>, machine: Machine, kernel: &Kernel, missing: &[&Driver]) -> Failure {
    let mut jobs: Vec<&str> = missing.iter().map(|driver| driver.job.name()).collect();
    jobs.sort_unstable();
    jobs.dedup();
    let sensor = match &recipe.board.camera {
        CameraConfig::V4l2(camera) if jobs == ["camera"] => camera.sensor,
        _ => None,
    };
    let remedy = match machine::needs(machine).kernel_at_least {
        _ if sensor == Some(Sensor::Firmware) => {
            "Debian's Linux 6.1 and 6.12 have it, and Raspberry Pi OS's: pass one of them with --kernel".to_owned()
        }
        _ if sensor.is_some() => {
            "Debian's kernels have no drivers for such cameras: pass --kernel with Raspberry Pi OS's".to_owned()
        }
        Some(least) => format!(
            "pass --kernel with Linux {least} or newer (in Debian's backports; repeat --kernel for its parts), or Raspberry Pi OS's"
        ),
        None => "pass --kernel with another kernel, Debian's or Raspberry Pi OS's".to_owned(),
    };
    let is_of_panels = missing.iter().all(|driver| driver.job == Job::Panel);
    let otherwise = if is_of_panels {
        "if the board does its job without the panel, set required = false in its table"
    } else {
        "if the board does its job without them, list them in without_modules under [firmware]"
    };
    package_failure(format!(
        "Linux {} ({}) has no module {}, without which {} has no {}: {remedy}; {otherwise}",
        kernel.release,
        names(recipe.kernel),
        modules_of(missing),
        machine.word(),
        jobs.join(" and no ")
    ))
}
