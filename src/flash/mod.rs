//! `eyelet flash`: writes an image to a card and reads it back.
//!
//! Before anything is written, [`device::examine`] looks for objections to the device. During writing the card has no partition
//! table: the first block is cleared first and written last, so a card that was removed halfway boots nothing rather than
//! something broken.

pub mod device;

use crate::failure::{Cause, Failure};
use crate::image::mbr;
use crate::model::find::hex;
use crate::named;
use crate::update::Disk;
use sha2::{Digest, Sha256};
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes per read or write.
const BLOCK_BYTES: usize = 4 << 20;
/// Sync after this many blocks, so that the progress shown is the card's, not the page cache's.
const BLOCKS_A_SYNC: u64 = 4;

/// Why a card was not written.
#[derive(Debug, thiserror::Error)]
pub enum FlashError {
    /// The image cannot be read, or is not an image.
    #[error("image {} cannot be used: {reason}", path.display())]
    Image {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The card accepts no more bytes.
    #[error(
        "writing failed after {written_bytes} bytes: {error}; the card is unusable until it is written again"
    )]
    Write {
        /// How many bytes were written.
        written_bytes: u64,
        /// The system's error.
        error: io::Error,
    },
    /// The card cannot be read back.
    #[error(
        "reading back failed after {read_bytes} bytes: {error}; the card is worn out or was removed"
    )]
    Read {
        /// How many bytes were read.
        read_bytes: u64,
        /// The system's error.
        error: io::Error,
    },
    /// The card returns other bytes than were written.
    #[error(
        "the card does not hold what was written (sha256 {got}, not {want}): it is worn out, or smaller than it claims"
    )]
    Differs {
        /// Digest of the bytes read back.
        got: String,
        /// Digest of the image.
        want: String,
    },
}

impl From<FlashError> for Failure {
    fn from(error: FlashError) -> Self {
        Self::new(Cause::Device, error)
    }
}

/// Receives the progress of writing a card.
pub trait Progress {
    /// `what` begins; it will process `bytes`.
    fn begin(&mut self, what: &'static str, bytes: u64);
    /// The number of bytes done so far.
    fn reached(&mut self, bytes: u64);
}

/// An image that can be written.
#[derive(Debug)]
pub struct Image {
    file: File,
    /// Its path, as the user gave it.
    pub path: PathBuf,
    /// Its length.
    pub size_bytes: u64,
    /// The file's metadata.
    pub metadata: Metadata,
}

impl Image {
    /// Opens the image at `path`.
    ///
    /// # Errors
    /// When it has no partition table, or is shorter than its partitions.
    pub fn open(path: &Path) -> Result<Self, FlashError> {
        let wrong = |reason: String| FlashError::Image {
            path: path.to_owned(),
            reason,
        };
        let mut file =
            named::open_file(path, u64::MAX).map_err(|error| wrong(error.to_string()))?;
        let metadata = file.metadata().map_err(|error| wrong(error.to_string()))?;
        let size_bytes = metadata.len();
        let mut head = Vec::new();
        (&mut file)
            .take(mbr::SECTOR_BYTES)
            .read_to_end(&mut head)
            .map_err(|error| wrong(error.to_string()))?;
        let end = mbr::partitions(&head)
            .and_then(|table| table.iter().map(|partition| partition.bytes.end).max())
            .ok_or_else(|| {
                wrong("it has no partition table (`eyelet image` makes one)".to_owned())
            })?;
        if end > size_bytes {
            return Err(wrong(format!(
                "it has {size_bytes} bytes, and its partitions end at {end}: it was cut off"
            )));
        }
        Ok(Self {
            file,
            path: path.to_owned(),
            size_bytes,
            metadata,
        })
    }

    /// Writes the image to the beginning of `card` and reads it back; returns its sha256.
    pub fn write_to(
        &mut self,
        card: &mut dyn Disk,
        progress: &mut dyn Progress,
    ) -> Result<String, FlashError> {
        let want = self.write(card, progress)?;
        let got = self.read_back(card, progress)?;
        if got == want {
            Ok(want)
        } else {
            Err(FlashError::Differs { got, want })
        }
    }

    fn write(
        &mut self,
        card: &mut dyn Disk,
        progress: &mut dyn Progress,
    ) -> Result<String, FlashError> {
        progress.begin("writing", self.size_bytes);
        let unreadable = |path: &Path, error: io::Error| FlashError::Image {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        self.file
            .seek(SeekFrom::Start(0))
            .map_err(|error| unreadable(&self.path, error))?;
        let mut hasher = Sha256::new();
        let mut first = Vec::new();
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        let mut written_bytes = 0;
        let mut blocks = 0;
        loop {
            block.clear();
            (&mut self.file)
                .take(BLOCK_BYTES as u64)
                .read_to_end(&mut block)
                .map_err(|error| unreadable(&self.path, error))?;
            if block.is_empty() {
                break;
            }
            hasher.update(&block);
            let failed = |error| FlashError::Write {
                written_bytes,
                error,
            };
            if blocks == 0 {
                first = block.clone();
                block.fill(0);
            }
            card.write_all(&block).map_err(failed)?;
            blocks += 1;
            if blocks % BLOCKS_A_SYNC == 0 {
                card.sync().map_err(failed)?;
            }
            written_bytes += block.len() as u64;
            progress.reached(written_bytes);
        }
        if written_bytes != self.size_bytes {
            let reason = io::Error::other("it changed while being read");
            return Err(unreadable(&self.path, reason));
        }
        card.sync()
            .and_then(|()| card.seek(SeekFrom::Start(0)))
            .and_then(|_| card.write_all(&first))
            .and_then(|()| card.sync())
            .map_err(|error| FlashError::Write {
                written_bytes,
                error,
            })?;
        Ok(hex(&hasher.finalize()))
    }

    fn read_back(
        &self,
        card: &mut dyn Disk,
        progress: &mut dyn Progress,
    ) -> Result<String, FlashError> {
        progress.begin("reading back", self.size_bytes);
        card.forget();
        let mut hasher = Sha256::new();
        let mut block = vec![0; BLOCK_BYTES];
        let mut read_bytes = 0;
        let mut failed = card.seek(SeekFrom::Start(0)).map(|_| ());
        while read_bytes < self.size_bytes {
            let left = usize::try_from(self.size_bytes - read_bytes).unwrap_or(usize::MAX);
            let block = &mut block[..left.min(BLOCK_BYTES)];
            failed = failed.and_then(|()| card.read_exact(block));
            if let Err(error) = failed {
                return Err(FlashError::Read { read_bytes, error });
            }
            hasher.update(&*block);
            read_bytes += block.len() as u64;
            progress.reached(read_bytes);
        }
        Ok(hex(&hasher.finalize()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::image::mbr::Partition;
    use std::io::{Cursor, Write};

    struct Silent;

    impl Progress for Silent {
        fn begin(&mut self, _: &'static str, _: u64) {}
        fn reached(&mut self, _: u64) {}
    }

    /// A card in memory that keeps only its first `real_bytes` and wraps around from there, as counterfeit cards do; it can be
    /// removed after a number of written bytes.
    struct Fake {
        memory: Cursor<Vec<u8>>,
        real_bytes: u64,
        pulled_after_bytes: u64,
        written_bytes: u64,
    }

    impl Fake {
        fn new(real_bytes: u64) -> Self {
            Self {
                memory: Cursor::new(vec![0xee; real_bytes as usize]),
                real_bytes,
                pulled_after_bytes: u64::MAX,
                written_bytes: 0,
            }
        }
    }

    impl Read for Fake {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.memory.read(buffer)
        }
    }

    impl Write for Fake {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            if self.written_bytes >= self.pulled_after_bytes {
                return Err(io::Error::other("No such device"));
            }
            if self.memory.position() >= self.real_bytes {
                self.memory.set_position(0);
            }
            let count = buffer
                .len()
                .min((self.real_bytes - self.memory.position()) as usize);
            self.written_bytes += count as u64;
            self.memory.write(&buffer[..count])
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for Fake {
        fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
            self.memory.seek(position)
        }
    }

    impl Disk for Fake {
        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn forget(&mut self) {}
    }

    const SIZE_BYTES: u64 = 9 << 20;

    /// A disk with four partitions and some data in them.
    fn image(folder: &Path) -> PathBuf {
        let quarter = SIZE_BYTES / 4 / 512 * 512;
        let table = [0, 1, 2, 3].map(|number| Partition {
            bytes: (number * quarter).max(512)..(number + 1) * quarter,
            bootable: number == 0,
        });
        let mut bytes: Vec<u8> = (0..SIZE_BYTES).map(|at| (at / 1000) as u8).collect();
        bytes[..512].copy_from_slice(&mbr::sector(1, &table));
        let path = folder.join("sd.img");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn a_card_gets_every_byte_and_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = image(folder.path());
        let mut card = Fake::new(SIZE_BYTES + 4096);
        let sha256 = Image::open(&path)
            .unwrap()
            .write_to(&mut card, &mut Silent)
            .unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let card = card.memory.into_inner();
        assert!(card[..bytes.len()] == bytes);
        assert!(card[bytes.len()..].iter().all(|&byte| byte == 0xee));
        assert_eq!(sha256, hex(&Sha256::digest(&bytes)));
    }

    #[test]
    fn a_card_that_is_smaller_than_it_claims_is_detected() {
        let folder = tempfile::tempdir().unwrap();
        let mut image = Image::open(&image(folder.path())).unwrap();
        let error = image.write_to(&mut Fake::new(5 << 20), &mut Silent);
        // It cannot even return that many bytes; a card that repeats its first bytes gives another digest.
        assert!(matches!(error, Err(FlashError::Read { .. })), "{error:?}");
        struct Flipping(Fake);
        impl Read for Flipping {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let count = self.0.read(buffer)?;
                buffer[count / 2] ^= 1;
                Ok(count)
            }
        }
        impl Write for Flipping {
            fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
                self.0.write(buffer)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        impl Seek for Flipping {
            fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
                self.0.seek(position)
            }
        }
        impl Disk for Flipping {
            fn sync(&mut self) -> io::Result<()> {
                Ok(())
            }
            fn forget(&mut self) {}
        }
        let error = image.write_to(&mut Flipping(Fake::new(SIZE_BYTES)), &mut Silent);
        assert!(
            matches!(error, Err(FlashError::Differs { .. })),
            "{error:?}"
        );
    }

    #[test]
    fn a_card_that_was_removed_halfway_has_no_partition_table() {
        let folder = tempfile::tempdir().unwrap();
        let mut image = Image::open(&image(folder.path())).unwrap();
        let mut card = Fake::new(SIZE_BYTES);
        card.pulled_after_bytes = 6 << 20;
        let error = image.write_to(&mut card, &mut Silent).unwrap_err();
        assert!(matches!(error, FlashError::Write { .. }), "{error}");
        assert_eq!(mbr::partitions(&card.memory.into_inner()), None);
    }

    #[test]
    fn a_file_that_is_no_image_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = image(folder.path());
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(5 << 20).unwrap();
        let error = Image::open(&path).unwrap_err().to_string();
        assert!(error.contains("cut off"), "{error}");
        std::fs::write(&path, "text").unwrap();
        let error = Image::open(&path).unwrap_err().to_string();
        assert!(error.contains("no partition table"), "{error}");
        assert!(Image::open(folder.path()).is_err());
    }
}
