//! The kernel's modules, loaded in the order of `/etc/eyelet/modules`: one a line, `PATH [OPTIONS]`, `#` begins a comment.
//!
//! One that cannot be loaded is told and passed over: another kernel may have it built in, another board may lack its
//! hardware. A board that misses what it needs says so itself, at its camera or display.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// One line of the list.
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    path: &'a str,
    options: &'a str,
}

/// Loads the modules of the list at `list`; `load` loads one, and `tell` hears of each that does not load.
/// Returns how many were loaded.
pub fn load_all(
    list: &Path,
    mut load: impl FnMut(&Path, &str) -> io::Result<()>,
    mut tell: impl FnMut(&str),
) -> usize {
    let text = match std::fs::read_to_string(list) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return 0,
        Err(error) => {
            tell(&format!(
                "{} cannot be read: {error}; no module is loaded",
                list.display()
            ));
            return 0;
        }
    };
    let mut loaded = 0;
    for Line { path, options } in lines(&text) {
        match load(Path::new(path), options) {
            Ok(()) => loaded += 1,
            // Built in, or named twice.
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
            Err(error) => tell(&format!("module {path} is not loaded: {error}")),
        }
    }
    loaded
}

/// Gives one module file (`.ko`, not compressed) to the kernel, which returns when the module has initialised itself.
///
/// # Errors
/// The system's; `ENODEV` is a driver that found nothing to drive.
pub fn load(path: &Path, options: &str) -> io::Result<()> {
    let file = File::open(path)?;
    let options = CString::new(options)?;
    // SAFETY: the descriptor is open and the options end in a NUL; the kernel copies both.
    let result = unsafe {
        libc::syscall(
            libc::SYS_finit_module,
            file.as_raw_fd(),
            options.as_ptr(),
            0,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.lines().filter_map(|line| {
        let line = line.split('#').next().unwrap_or_default().trim();
        let (path, options) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        (!path.is_empty()).then(|| Line {
            path,
            options: options.trim(),
        })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn modules_load_in_order_and_a_bad_one_does_not_stop_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("modules");
        std::fs::write(
            &list,
            "# display first\n/m/virtio_gpu.ko\n\n  /m/vivid.ko n_devs=1  node_types=0x101 # camera\n/m/bad.ko\n/m/known.ko\n/m/last.ko",
        )
        .unwrap();
        let (mut seen, mut told) = (Vec::new(), Vec::new());
        let load = |path: &Path, options: &str| {
            seen.push(format!("{}|{options}", path.display()));
            match path.to_str().unwrap() {
                "/m/bad.ko" => Err(io::Error::from_raw_os_error(libc::ENODEV)),
                "/m/known.ko" => Err(io::Error::from_raw_os_error(libc::EEXIST)),
                _ => Ok(()),
            }
        };
        assert_eq!(load_all(&list, load, |line| told.push(line.to_owned())), 3);
        assert_eq!(
            seen,
            [
                "/m/virtio_gpu.ko|",
                "/m/vivid.ko|n_devs=1  node_types=0x101",
                "/m/bad.ko|",
                "/m/known.ko|",
                "/m/last.ko|"
            ]
        );
        assert_eq!(told.len(), 1);
        assert!(
            told[0].starts_with("module /m/bad.ko is not loaded: "),
            "{told:?}"
        );
    }

    #[test]
    fn a_board_may_need_none() {
        let never = |_: &Path, _: &str| unreachable!();
        assert_eq!(
            load_all(Path::new("/none/such"), never, |_| unreachable!()),
            0
        );
        let mut told = 0;
        assert_eq!(load_all(Path::new("/"), never, |_| told += 1), 0);
        assert_eq!(told, 1);
    }
}
