//! Loads the kernel's modules in the order of `/etc/eyelet/modules`: one per line, `PATH [OPTIONS]`, `#` begins a comment.
//!
//! A module that cannot be loaded is logged and skipped: another kernel may have it built in, another board may lack its
//! hardware. If it was needed, opening the camera or display will report that.

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

/// Loads the modules of the list at `list`; `load` loads one, and `log` is called for each that does not load. Returns how many
/// were loaded.
pub fn load_all(
    list: &Path,
    mut load: impl FnMut(&Path, &str) -> io::Result<()>,
    mut log: impl FnMut(&str),
) -> usize {
    let text = match std::fs::read_to_string(list) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return 0,
        Err(error) => {
            log(&format!(
                "cannot read {}: {error}; no modules are loaded",
                list.display()
            ));
            return 0;
        }
    };
    let mut loaded = 0;
    for Line { path, options } in lines(&text) {
        match load(Path::new(path), options) {
            Ok(()) => loaded += 1,
            // Built in, or listed twice.
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
            Err(error) => log(&format!("module {path} not loaded: {error}")),
        }
    }
    loaded
}

/// Passes one module file (`.ko`, not compressed) to the kernel, which returns when the module has initialised itself.
///
/// # Errors
/// The system's error; `ENODEV` means that the driver found no hardware.
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
        let (mut seen, mut logged) = (Vec::new(), Vec::new());
        let load = |path: &Path, options: &str| {
            seen.push(format!("{}|{options}", path.display()));
            match path.to_str().unwrap() {
                "/m/bad.ko" => Err(io::Error::from_raw_os_error(libc::ENODEV)),
                "/m/known.ko" => Err(io::Error::from_raw_os_error(libc::EEXIST)),
                _ => Ok(()),
            }
        };
        assert_eq!(
            load_all(&list, load, |line| logged.push(line.to_owned())),
            3
        );
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
        assert_eq!(logged.len(), 1);
        assert!(
            logged[0].starts_with("module /m/bad.ko not loaded: "),
            "{logged:?}"
        );
    }

    #[test]
    fn a_board_may_need_no_modules() {
        let never = |_: &Path, _: &str| unreachable!();
        assert_eq!(
            load_all(Path::new("/none/such"), never, |_| unreachable!()),
            0
        );
        let mut logged = 0;
        assert_eq!(load_all(Path::new("/"), never, |_| logged += 1), 0);
        assert_eq!(logged, 1);
    }
}
