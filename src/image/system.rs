//! Collects the contents of an image: the initramfs, and the files of each partition.

use super::board_text::{ETC, with_text};
use super::boot_files::{self, CommandLine};
use super::deb::names;
use super::initramfs::Initramfs;
use super::machine::{Needs, needs};
use super::manifest::{File, Manifest, Package};
use super::model_files::ModelFiles;
use super::{Deb, Files, Kernel, Partitions, Recipe, Slot, package_failure};
use super::{config, drivers, panel, pi_firmware, pictures, program};
use crate::board::firmware::Machine;
use crate::data_roots::DataRoots;
use crate::failure::{Cause, Failure};
use crate::firmware::shell;
use crate::named;
use crate::toml_file::Word;
use crate::update::chooser::{self, Chooser};
use crate::update::{install, label};
use std::path::Path;

/// Folders that `/init` mounts something on.
const FOLDERS: [&str; 6] = ["dev", "proc", "sys", "run", "tmp", "data"];

/// The contents of an image, and what is known about it.
pub struct System {
    /// The same in both slots.
    slot: Files,
    boot: Files,
    initramfs: Vec<u8>,
    command_lines: [String; 2],
    needs: &'static Needs,
    manifest: Manifest,
    /// Notes for the user, one line each.
    pub notes: Vec<String>,
}

/// Collects the contents for `recipe`.
pub fn gather(recipe: &Recipe<'_>) -> Result<System, Failure> {
    let machine = machine_of(recipe)?;
    let needs = needs(machine);
    if recipe.public_key.is_some() {
        check_version(recipe.version)?;
    }
    // Report quick faults first: unpacking a kernel takes seconds.
    drivers::check_left_out(recipe.board)?;
    let (program, note) = program::read(recipe.program)?;
    let mut notes = Vec::from_iter(note);
    let model = ModelFiles::gather(recipe.model, &DataRoots::of_this_machine())?;
    let kernel = Kernel::of(recipe.kernel)?;
    let of_pi_os = kernel
        .device_trees
        .keys()
        .any(|name| name.starts_with("bcm2710-"));
    let mut sensor = pi_firmware::sensor_parts(recipe, machine)?;
    panel::add(&mut sensor, recipe.board, needs);
    let mut packages: Vec<Package> = recipe.kernel.iter().map(Package::from).collect();
    let mut slot = device_trees(&kernel, needs, machine, recipe.kernel)?;
    let connectors = drivers::of_connectors(recipe.board, needs);
    let mut config_lines = sensor.config.clone();
    config_lines.extend(more_config(recipe, needs, of_pi_os, !connectors.is_empty()));
    if needs.start_files.is_some() {
        packages.extend(recipe.firmware.iter().map(Package::from));
    }
    let boot = boot_partition(recipe, machine, &config_lines, of_pi_os, &mut slot)?;
    notes.extend(pi_firmware::trial_boots(recipe, &boot)?);
    notes.extend(cautions(recipe, machine, of_pi_os)?);
    let mut initramfs = initramfs_files(recipe, &model)?;
    let own = [needs.drivers, connectors, &sensor.drivers].concat();
    notes.extend(drivers::add(
        recipe,
        machine,
        &own,
        &kernel,
        &mut initramfs,
    )?);
    if recipe.board.firmware.shell {
        packages.push(add_shell(recipe, &mut initramfs, &mut slot)?);
        notes.push("a shell runs on the serial line: anyone with access to it is root".to_owned());
    }
    let mut manifest = Manifest {
        v: 1,
        id: String::new(),
        version: recipe.version.to_owned(),
        made_by: format!("eyelet {}", env!("CARGO_PKG_VERSION")),
        board: recipe.board.name.clone(),
        machine: machine.word().to_owned(),
        model: model.name_or_path,
        kernel: kernel.release.clone(),
        public_key: recipe.public_key.cloned(),
        packages,
        files: listed("initramfs", &initramfs).collect(),
    };
    manifest
        .files
        .push(File::new("initramfs", "init", &program));
    manifest.files.sort();

    slot.insert(boot_files::KERNEL.into(), kernel.image);
    let command_lines = command_lines(recipe, needs, of_pi_os);
    let mut known = manifest.files.clone();
    known.extend(listed("slot", &slot));
    manifest.set_id(&known, &command_lines[0]);
    initramfs.insert(format!("{ETC}/manifest.json"), manifest.json().into());
    Ok(System {
        slot,
        boot,
        initramfs: archive(&program, &initramfs),
        command_lines,
        needs,
        manifest,
        notes,
    })
}

/// What the boot loaders read on the boot partition: the Raspberry Pi's firmware, and U-Boot. What they read in a slot is added to it.
fn boot_partition(
    recipe: &Recipe<'_>,
    machine: Machine,
    config_lines: &[String],
    of_pi_os: bool,
    slot: &mut Files,
) -> Result<Files, Failure> {
    let mut boot = Files::new();
    if let Some(start_files) = needs(machine).start_files {
        let wanted = config::start_files(start_files, config_lines);
        pi_firmware::add(recipe, machine, &wanted, &mut boot, slot)?;
    }
    if machine.is_raspberry_pi() {
        pi_firmware::add_overlays(recipe, config_lines, slot)?;
        boot.insert(
            chooser::AUTOBOOT.into(),
            Chooser::PiFirmware.text(Slot::A).into(),
        );
        let config = boot_files::config_txt(config_lines, of_pi_os);
        slot.insert("config.txt".into(), config.into());
    }
    boot.insert("boot.scr".into(), boot_files::u_boot_script());
    boot.insert(
        chooser::U_BOOT_STATE.into(),
        Chooser::UBoot.text(Slot::A).into(),
    );
    Ok(boot)
}

/// What a person should know of a system for this machine and kernel, one line each; an error if the board cannot do its job with it.
fn cautions(recipe: &Recipe<'_>, machine: Machine, of_pi_os: bool) -> Result<Vec<String>, Failure> {
    let needs = needs(machine);
    let mut notes = Vec::new();
    if needs.usb_host_overlay.is_some() && !of_pi_os && drivers::wants_usb(recipe.board) {
        notes.push(format!(
            "the USB port of a {} takes a camera only through an OTG adapter (one that puts the port into host mode)",
            machine.word()
        ));
    }
    for display in &recipe.board.displays {
        let lines = &recipe.board.firmware.config_txt;
        match panel::lack(display, needs, of_pi_os, lines) {
            Some(lack) if display.settings().is_required() => return Err(package_failure(lack)),
            lack => notes.extend(lack),
        }
    }
    if recipe.board.firmware.update_from_sticks && recipe.public_key.is_none() {
        notes.push(
            "the board accepts updates from USB sticks, and the image has no --public-key: anyone with access to the USB port can replace the system"
                .to_owned(),
        );
    }
    Ok(notes)
}

/// The kernel's command line of each slot.
fn command_lines(recipe: &Recipe<'_>, needs: &Needs, of_pi_os: bool) -> [String; 2] {
    let console = if of_pi_os {
        "serial0,115200"
    } else {
        needs.console
    };
    let line = CommandLine {
        console,
        more: recipe.board.firmware.kernel_arguments.as_deref(),
    };
    [Slot::A, Slot::B].map(|slot| line.text(slot))
}

/// Lines of `config.txt` beyond the camera's: the USB port, the display connectors, the board file's own.
fn more_config(
    recipe: &Recipe<'_>,
    needs: &Needs,
    of_pi_os: bool,
    uses_connectors: bool,
) -> Vec<String> {
    let mut overlays = Vec::new();
    overlays.extend(needs.usb_host_overlay);
    let own = &recipe.board.firmware.config_txt;
    let names_one = || config::overlays(own).any(|own| own.starts_with("vc4-kms-v3d"));
    if uses_connectors && !names_one() {
        overlays.extend(needs.drm_overlay);
    }
    // Mainline's device trees need none of these.
    let overlays = overlays.into_iter().filter(|_| of_pi_os);
    let lines = overlays.map(|overlay| format!("dtoverlay={overlay}"));
    lines.chain(own.iter().cloned()).collect()
}

impl System {
    /// The files of each partition, and the bill of materials for everything.
    pub fn partitions(&self) -> Partitions {
        let mut common = self.slot.clone();
        common.insert(boot_files::INITRAMFS.into(), self.initramfs.clone());
        let mut manifest = self.manifest.clone();
        manifest.files.extend(listed("boot", &self.boot));
        manifest.files.extend(listed("slot", &common));
        manifest.files.sort();
        common.insert("manifest.json".into(), manifest.json().into());
        let [slot_a, slot_b] = [0, 1].map(|index| {
            let line = &self.command_lines[index];
            let tree = self.needs.emulated_device_tree;
            let mut files = common.clone();
            let pi = boot_files::of_pi_firmware(line);
            files.insert("cmdline.txt".into(), format!("{pi}\n").into());
            files.insert(
                "extlinux.conf".into(),
                boot_files::extlinux_conf(line, tree).into(),
            );
            files
        });
        Partitions {
            boot: self.boot.clone(),
            slot_a,
            slot_b,
            manifest,
        }
    }
}

fn machine_of(recipe: &Recipe<'_>) -> Result<Machine, Failure> {
    recipe.board.firmware.machine.ok_or_else(|| {
        let names: Vec<_> = Machine::WORDS.iter().map(|(name, _)| *name).collect();
        Failure::new(
            Cause::Board,
            format!(
                "no image can be made for board `{}`: it names no `machine` under [firmware] ({})",
                recipe.board.name,
                names.join(", ")
            ),
        )
    })
}

/// A system with a key refuses older versions, so its version must be comparable.
fn check_version(version: &str) -> Result<(), Failure> {
    match install::version(version) {
        Some(_) if version.len() <= label::VERSION_CHARACTERS => Ok(()),
        _ => Err(package_failure(format!(
            "version {version:?} cannot be compared with others, and a system with a public key refuses older ones: pass --version with three numbers, such as 1.4.0 (semver.org)"
        ))),
    }
}

fn listed<'a>(place: &'static str, files: &'a Files) -> impl Iterator<Item = File> + 'a {
    files
        .iter()
        .map(move |(path, contents)| File::new(place, path, contents))
}

fn device_trees(
    kernel: &Kernel,
    needs: &Needs,
    machine: Machine,
    packages: &[Deb],
) -> Result<Files, Failure> {
    let mut files: Files = kernel
        .device_trees
        .iter()
        .filter(|(name, _)| needs.has_tree(name))
        .map(|(name, contents)| (name.clone(), contents.clone()))
        .collect();
    if files.is_empty() && !needs.device_trees.is_empty() {
        return Err(package_failure(format!(
            "{} has no device tree for {} ({}*.dtb): pass --kernel with a newer one, or with Raspberry Pi OS's (for a kernel in several packages, linux-base-* has them)",
            names(packages),
            machine.word(),
            needs.device_trees[0]
        )));
    }
    if !files.is_empty() {
        for (name, contents) in &kernel.overlays {
            files.insert(format!("overlays/{name}"), contents.clone());
        }
    }
    Ok(files)
}

/// Copies the shell and its licence from its package. Returns the package.
fn add_shell(
    recipe: &Recipe<'_>,
    initramfs: &mut Files,
    slot: &mut Files,
) -> Result<Package, Failure> {
    let package = recipe.busybox.ok_or_else(|| {
        package_failure(format!(
            "board `{}` asks for a shell: pass --busybox FILE.deb (package busybox-static for arm64)",
            recipe.board.name
        ))
    })?;
    let wrong = |reason: &str| {
        let (name, version) = (&package.name, &package.version);
        let file = package.path.display();
        package_failure(format!(
            "{name} {version} ({file}) {reason}: pass the package busybox-static for arm64 with --busybox"
        ))
    };
    package.each_file(&mut |path, file| {
        let (files, place) = match path {
            // Debian 13 has it below /usr.
            "bin/busybox" | "usr/bin/busybox" => (&mut *initramfs, shell::PROGRAM),
            _ if path == format!("usr/share/doc/{}/copyright", package.name) => {
                (&mut *slot, "LICENCE.busybox")
            }
            _ => return Ok(()),
        };
        let mut contents = Vec::new();
        file.read_to_end(&mut contents)?;
        files.insert(place.trim_start_matches('/').to_owned(), contents);
        Ok(())
    })?;
    let program = initramfs.get(shell::PROGRAM.trim_start_matches('/'));
    let program = program.ok_or_else(|| wrong("has no busybox"))?;
    program::check_elf(program).map_err(|reason| wrong(&format!("cannot be used: {reason}")))?;
    Ok(package.into())
}

/// The board file, the pictures and the font that it names, and the model.
fn initramfs_files(recipe: &Recipe<'_>, model: &ModelFiles) -> Result<Files, Failure> {
    let mut files = model.files.clone();
    let mut text = with_text(recipe.board_text, &["model"], &*model.name_or_path);
    text = pictures::add(recipe, &text, &mut files)?;
    if let Some(font) = &recipe.board.font {
        let name = font.file_name().unwrap_or_default().to_string_lossy();
        let place = format!("{ETC}/font/{name}");
        text = with_text(&text, &["display", "font"], format!("/{place}"));
        let contents = named::read_file(font, crate::limits::FONT_FILE_BYTES).map_err(|error| {
            let font = font.display();
            Failure::new(
                Cause::Board,
                format!("display.font: cannot read {font}: {error}"),
            )
        })?;
        files.insert(place, contents);
    }
    files.insert(format!("{ETC}/board.toml"), text.into());
    Ok(files)
}

fn archive(program: &[u8], files: &Files) -> Vec<u8> {
    let mut archive = Initramfs::default();
    for folder in FOLDERS {
        archive.folder(folder);
    }
    archive.device("dev/console", 5, 1);
    archive.device("dev/null", 1, 3);
    archive.program("init", program);
    for (path, contents) in files {
        if Path::new("/").join(path) == Path::new(shell::PROGRAM) {
            archive.program(path, contents);
        } else {
            archive.file(path, contents);
        }
    }
    archive.finish_compressed()
}
