//! A disk that is read in large pieces and never written, for the code that reads FAT volumes. That asks for four bytes at a
//! time, from the table and the file in turn, and follows a file from its beginning at each seek. On a stick each of these would
//! be a system call, a hundred thousand for a 512 MiB image.

use super::window::seek_target;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// Bytes per piece: what a USB stick returns for one command.
const PIECE_BYTES: usize = 1 << 16;
/// Cached pieces. The table for a 512 MiB image in 4 KiB clusters takes two of them.
const PIECES: usize = 8;

/// A disk with a cache of pieces.
pub struct ReadAhead<D> {
    disk: D,
    at: u64,
    /// Most recently used last.
    pieces: Vec<Piece>,
}

struct Piece {
    start: u64,
    /// Shorter than a piece at the end of the disk.
    bytes: Vec<u8>,
}

impl<D: Read + Seek> ReadAhead<D> {
    /// Starts at the beginning of `disk`.
    pub fn new(disk: D) -> Self {
        Self {
            disk,
            at: 0,
            pieces: Vec::with_capacity(PIECES),
        }
    }

    /// The piece that starts at `start`.
    fn piece(&mut self, start: u64) -> io::Result<&Piece> {
        let known = self.pieces.iter().position(|piece| piece.start == start);
        let piece = match known {
            Some(index) => self.pieces.remove(index),
            None => {
                let mut bytes = if self.pieces.len() == PIECES {
                    self.pieces.remove(0).bytes
                } else {
                    Vec::with_capacity(PIECE_BYTES)
                };
                bytes.clear();
                self.disk.seek(SeekFrom::Start(start))?;
                (&mut self.disk)
                    .take(PIECE_BYTES as u64)
                    .read_to_end(&mut bytes)?;
                Piece { start, bytes }
            }
        };
        self.pieces.push(piece);
        Ok(&self.pieces[self.pieces.len() - 1])
    }
}

impl<D: Read + Seek> Read for ReadAhead<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let offset = (self.at % PIECE_BYTES as u64) as usize;
        let piece = self.piece(self.at - offset as u64)?;
        let there = piece.bytes.get(offset..).unwrap_or_default();
        let count = there.len().min(buffer.len());
        buffer[..count].copy_from_slice(&there[..count]);
        self.at += count as u64;
        Ok(count)
    }
}

impl<D: Read + Seek> Seek for ReadAhead<D> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.at = seek_target(position, self.at, || self.disk.seek(SeekFrom::End(0)))?;
        Ok(self.at)
    }
}

/// Whatever holds an update is never written.
impl<D> Write for ReadAhead<D> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Cursor;

    #[test]
    fn it_reads_the_same_bytes_as_the_disk() {
        let mut random = fastrand::Rng::with_seed(7);
        let bytes: Vec<u8> = (0..PIECE_BYTES * (PIECES + 3) + 1000)
            .map(|_| random.u8(..))
            .collect();
        let (mut plain, mut ahead) = (Cursor::new(&bytes), ReadAhead::new(Cursor::new(&bytes)));
        for _ in 0..3000 {
            let jump = match random.u8(..4) {
                0 => SeekFrom::Start(random.u64(..bytes.len() as u64 + 100)),
                1 => SeekFrom::End(-random.i64(..bytes.len() as i64)),
                _ => SeekFrom::Current(random.i64(-300_000..300_000)),
            };
            let went = plain.seek(jump);
            assert_eq!(ahead.seek(jump).ok(), went.ok(), "{jump:?}");
            let count = random.usize(..200_000);
            let (mut want, mut got) = (Vec::new(), Vec::new());
            (&mut plain)
                .take(count as u64)
                .read_to_end(&mut want)
                .unwrap();
            (&mut ahead)
                .take(count as u64)
                .read_to_end(&mut got)
                .unwrap();
            assert!(want == got, "{jump:?}, {count} bytes");
        }
        assert!(ahead.write(&[1]).is_err());
    }

    #[test]
    fn a_piece_that_cannot_be_read_is_an_error_and_is_read_again_later() {
        /// Fails the first time.
        struct FailsOnce(Cursor<Vec<u8>>, bool);
        impl Read for FailsOnce {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.1, false) {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                self.0.read(buffer)
            }
        }
        impl Seek for FailsOnce {
            fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
                self.0.seek(position)
            }
        }
        let mut ahead = ReadAhead::new(FailsOnce(Cursor::new(vec![5; 10]), true));
        let mut buffer = [0; 4];
        assert!(ahead.read(&mut buffer).is_err());
        assert_eq!(ahead.read(&mut buffer).unwrap(), 4);
        assert_eq!(buffer, [5; 4]);
    }
}
