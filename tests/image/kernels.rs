//! The table of drivers held against real kernels: a machine's kernel has each driver that its job needs, and its device trees
//! have what those drive.
//!
//! `cargo test --test image -- --ignored kernels`; kernels that apt does not know here by their packages in `EYELET_KERNEL_PARTS`
//! (paths with `:` between them).

use eyelet::board::firmware::Machine;
use eyelet::image::apt::Apt;
use eyelet::image::kernel::Kernel;
use eyelet::image::machine::{Job, needs};
use eyelet::toml_file::Word;
use std::path::PathBuf;

/// The first two numbers of a release.
fn release(text: &str) -> (u32, u32) {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    (next(), next())
}

/// What the table says of `machine` and the kernel does not have.
fn lacks(machine: Machine, kernel: &Kernel) -> Vec<String> {
    let needs = needs(machine);
    let trees: Vec<&[u8]> = kernel
        .device_trees
        .iter()
        .filter(|(name, _)| needs.has_tree(name))
        .map(|(_, tree)| &tree[..])
        .collect();
    let mut lacks = Vec::new();
    for driver in needs.drivers.iter().chain(needs.drm) {
        let has = driver.names.iter().any(|name| kernel.modules.has(name));
        if !has && !matches!(driver.job, Job::Care | Job::Display) {
            lacks.push(format!("no module {}", driver.names.join(" or ")));
        }
        let word = driver.compatible.as_bytes();
        let drives = |tree: &&[u8]| tree.windows(word.len()).any(|part| part == word);
        if !word.is_empty() && !trees.iter().any(drives) {
            lacks.push(format!("no {} in its device trees", driver.compatible));
        }
    }
    lacks
}

#[test]
#[ignore = "fetches kernels by apt: `cargo test --test image -- --ignored kernels`"]
fn every_machines_drivers_and_what_they_drive_are_in_its_kernels() {
    let apt = Apt::of_this_user();
    let mut kernels: Vec<Vec<PathBuf>> = Vec::new();
    for at_least in [None, Some("6.12"), Some("7.2")] {
        match apt.kernel(at_least) {
            Ok(files) => kernels.push(files),
            Err(why) => crate::common::say_skipped(why.message),
        }
    }
    if let Some(parts) = std::env::var_os("EYELET_KERNEL_PARTS") {
        kernels.push(std::env::split_paths(&parts).collect());
    }
    assert!(!kernels.is_empty(), "no kernel is to be had");
    let mut faults = Vec::new();
    for files in kernels {
        let kernel = Kernel::open(&files).unwrap();
        for &(name, machine) in Machine::WORDS {
            let least = needs(machine).kernel_at_least.unwrap_or_default();
            if release(&kernel.release) < release(least) {
                println!("{name}: Linux {} is too old", kernel.release);
                continue;
            }
            let lacks = lacks(machine, &kernel);
            println!("{name}: Linux {}: {} lacks", kernel.release, lacks.len());
            faults.extend(
                lacks
                    .iter()
                    .map(|what| format!("{name}, Linux {}: {what}", kernel.release)),
            );
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
