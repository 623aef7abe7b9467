//! Size limits of an image's inputs: packages and files come from elsewhere, and a few bytes of them can unpack to more than the
//! memory holds.
//!
//! | input | at most | for comparison |
//! |---|---|---|
//! | a package | [`PACKAGE_BYTES`] | Debian's kernels for 64-bit ARM, 6.1 and 6.12: 57 and 88 MiB |
//! | its unpacked contents | [`unpacked_bytes`] | the same: 342 and 175 MiB |
//! | memory of the xz decoder | [`XZ_MEMORY_KIB`] | `xz -9`: 65 MiB |
//! | unpacked modules, all together | [`MODULES_BYTES`] | 5 to 30 MiB |
//! | modules in a chain of dependencies | [`MODULE_CHAIN`] | 6 |
//! | the program | [`PROGRAM_BYTES`] | 16 MB |
//! | a file of a model | [`MODEL_FILE_BYTES`] | 4 to 100 MiB |
//! | a picture | [`PICTURE_BYTES`] | 1 to 10 MiB |
//! | all files that the board file puts into an initramfs | [`INITRAMFS_BYTES`] | |

use std::io::{self, Read};

const MIB: u64 = 1 << 20;

/// A package's file.
pub const PACKAGE_BYTES: u64 = 512 * MIB;
/// A board's program.
pub const PROGRAM_BYTES: u64 = 256 * MIB;
/// A network, its weights, its labels.
pub const MODEL_FILE_BYTES: u64 = 2048 * MIB;
/// A picture that a board file names.
pub const PICTURE_BYTES: u64 = 512 * MIB;
/// The files in the initramfs.
pub const INITRAMFS_BYTES: u64 = 2048 * MIB;
/// The modules of an image, unpacked.
pub const MODULES_BYTES: u64 = 256 * MIB;
/// The longest chain of modules that depend on each other.
pub const MODULE_CHAIN: usize = 100;
/// The xz decoder's limit for its dictionary.
pub const XZ_MEMORY_KIB: u32 = 128 << 10;
/// The description of a package.
pub const DESCRIPTION_BYTES: u64 = MIB;

/// The limit for unpacking `packed_bytes`: real packages grow by a factor of two to six.
pub fn unpacked_bytes(packed_bytes: u64) -> u64 {
    (64 * MIB + 32 * packed_bytes).min(1024 * MIB)
}

/// A reader that fails if there are more than `bytes` to read.
pub struct AtMost<R> {
    reader: R,
    bytes: u64,
    left: u64,
}

impl<R: Read> AtMost<R> {
    /// Limits `reader` to `bytes`.
    pub fn new(reader: R, bytes: u64) -> Self {
        Self {
            reader,
            bytes,
            left: bytes,
        }
    }
}

impl<R: Read> Read for AtMost<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Ask for one byte more than allowed, to distinguish the end from too much.
        let most = usize::try_from(self.left + 1).unwrap_or(usize::MAX);
        let length = buffer.len().min(most);
        let count = self.reader.read(&mut buffer[..length])?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            let mib = self.bytes / MIB;
            io::Error::other(format!("it unpacks to more than {mib} MiB"))
        })?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn more_than_the_limit_fails_and_exactly_the_limit_does_not() {
        for (bytes, most, is_read) in [(3, 3, true), (4, 3, false), (0, 0, true), (9000, 3, false)]
        {
            let contents = vec![7; bytes];
            let mut read = Vec::new();
            let result = AtMost::new(&contents[..], most).read_to_end(&mut read);
            assert_eq!(result.is_ok(), is_read, "{bytes} of {most}");
            assert!(read.len() as u64 <= most + 1);
        }
    }
}
