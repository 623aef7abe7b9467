//! Which of the operating system's error numbers mean that a device is gone, or does not answer.

use std::io;

/// Errors after which the device has to be reopened, if it comes back at all.
pub(super) fn means_gone(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ENODEV
                | libc::ENXIO
                | libc::EIO
                | libc::EPROTO
                | libc::ESHUTDOWN
                | libc::ETIMEDOUT
        )
    )
}
