//! What is decided when the program is built: which board files are compiled in, and how it is linked.
//!
//! Its relocations are packed (RELR) if the system's C library can unpack them. A position-independent program of this size has 1.6 MiB
//! of relocations, all of which the dynamic linker reads at each start; packed they are 16 KiB. With what else comes into memory beside
//! them, the program's peak is 3 MiB lower. A C library older than glibc 2.36 would refuse such a program, so they are packed only if
//! the program is built for this very system and the system has that.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

/// Folders of board files, in the order in which they are listed.
const BOARDS: [&str; 2] = ["boards", "boards/kits"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={}", BOARDS[0]);
    let list = Path::new(&variable("OUT_DIR")).join("boards.rs");
    if let Err(error) = fs::write(&list, boards(Path::new(&variable("CARGO_MANIFEST_DIR")))) {
        panic!("cannot write {}: {error}", list.display());
    }
    if for_this_system() && this_system_unpacks() {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    if is_static() && variable("CARGO_CFG_PANIC") == "abort" {
        // The index of unwind tables: 130 KB that nothing reads, because our code has no such tables.
        println!("cargo:rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    }
}

/// The board files below `tree` as a list in Rust: the value of `board::choose::SHIPPED`.
fn boards(tree: &Path) -> String {
    let mut list = "&[".to_owned();
    for folder in BOARDS {
        let entries = fs::read_dir(tree.join(folder)).into_iter().flatten();
        let paths = entries.flatten().map(|entry| entry.path());
        let is_board = |path: &Path| path.extension().is_some_and(|ending| ending == "toml");
        let mut names: Vec<_> = paths
            .filter(|path| is_board(path))
            .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .collect();
        names.sort();
        for name in names {
            let file = format!("{folder}/{name}.toml");
            let path = tree.join(&file);
            // Writing to a String cannot fail.
            let _ = writeln!(
                list,
                "Shipped {{ name: {name:?}, file: {file:?}, text: include_str!({path:?}) }},"
            );
        }
    }
    list + "]"
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

fn is_static() -> bool {
    let features = variable("CARGO_CFG_TARGET_FEATURE");
    features.split(',').any(|feature| feature == "crt-static")
}

/// Whether it is a dynamic x86-64 program for the system that builds it: linkers of other targets learnt it later.
fn for_this_system() -> bool {
    variable("TARGET") == variable("HOST")
        && variable("CARGO_CFG_TARGET_ARCH") == "x86_64"
        && !is_static()
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn this_system_unpacks() -> bool {
    unsafe extern "C" {
        safe fn gnu_get_libc_version() -> *const std::ffi::c_char;
    }
    // SAFETY: glibc gives a text that ends in a zero and lives as long as the process.
    let version = unsafe { std::ffi::CStr::from_ptr(gnu_get_libc_version()) };
    let mut numbers = version.to_str().unwrap_or_default().split('.');
    let mut next = || numbers.next().and_then(|n| n.parse::<u32>().ok());
    (next(), next()) >= (Some(2), Some(36))
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn this_system_unpacks() -> bool {
    false
}
