//! Mounts the kernel's virtual file systems and redirects the standard streams to the console.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// File system, place, flags, options.
const MOUNTS: [(&str, &str, libc::c_ulong, &str); 5] = [
    (
        "proc",
        "/proc",
        libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC,
        "",
    ),
    (
        "sysfs",
        "/sys",
        libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC,
        "",
    ),
    ("devtmpfs", "/dev", libc::MS_NOSUID, "mode=0755"),
    (
        "tmpfs",
        "/run",
        libc::MS_NOSUID | libc::MS_NODEV,
        "mode=0755,size=4m",
    ),
    (
        "tmpfs",
        "/tmp",
        libc::MS_NOSUID | libc::MS_NODEV,
        "mode=1777,size=4m",
    ),
];

/// Mounts them all; returns a line for each that failed.
pub fn mount_all() -> Vec<String> {
    let mut failed = Vec::new();
    for (kind, place, flags, options) in MOUNTS {
        let result =
            std::fs::create_dir_all(place).and_then(|()| mount(kind, place, flags, options));
        match result {
            Ok(()) => {}
            // The kernel has mounted it already.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(error) => failed.push(format!("{kind} not mounted at {place}: {error}")),
        }
    }
    failed
}

fn mount(kind: &str, place: &str, flags: libc::c_ulong, options: &str) -> io::Result<()> {
    let (kind, place, options) = (
        CString::new(kind)?,
        CString::new(place)?,
        CString::new(options)?,
    );
    // SAFETY: all strings end in a NUL and live until the call returns; the kernel copies them.
    let result = unsafe {
        libc::mount(
            kind.as_ptr(),
            place.as_ptr(),
            kind.as_ptr(),
            flags,
            options.as_ptr().cast(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Makes `/dev/null` the input and `/dev/console` the outputs of this process, so that a panic message is visible.
pub fn take_console() -> io::Result<()> {
    let null = File::open("/dev/null")?;
    let console = File::options().write(true).open("/dev/console")?;
    for (from, to) in [(&null, 0), (&console, 1), (&console, 2)] {
        // SAFETY: both numbers are descriptors of this process, in which nothing else owns 0, 1 and 2.
        if unsafe { libc::dup2(from.as_raw_fd(), to) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
