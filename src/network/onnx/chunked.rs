//! A file as the source of a protobuf message, read in chunks: the message is never in memory twice, and what its reader skips is
//! not read at all.

use prost::bytes::Buf;
use std::fs::File;
use std::io::{Read, Seek};

/// Bytes to read ahead.
pub const CHUNK_BYTES: usize = 64 << 10;

/// A file as [`Buf`]. If the file cannot be read to its full length, the buffer ends early and [`Chunked::error`] says why.
#[derive(Debug)]
pub struct Chunked {
    file: File,
    chunk: Box<[u8]>,
    /// The unread part of `chunk`.
    start: usize,
    end: usize,
    /// Bytes of the file after the chunk.
    left: usize,
    error: Option<std::io::Error>,
}

impl Chunked {
    /// The next `len` bytes of a file, with this many read ahead.
    pub fn new(file: File, len: usize, ahead: usize) -> Self {
        let mut new = Self {
            file,
            chunk: vec![0; ahead.min(len)].into_boxed_slice(),
            start: 0,
            end: 0,
            left: len,
            error: None,
        };
        new.fill();
        new
    }

    /// Why reading ended early.
    pub fn error(self) -> Option<std::io::Error> {
        self.error
    }

    /// Skips bytes beyond the chunk.
    fn skip(&mut self, count: usize) {
        // Files are shorter than 2^63 bytes.
        if count > 0
            && let Err(error) = self.file.seek_relative(count as i64)
        {
            self.error = Some(error);
            self.left = 0;
            return;
        }
        self.left -= count;
    }

    /// Reads the next chunk once the current one is used up.
    fn fill(&mut self) {
        (self.start, self.end) = (0, self.chunk.len().min(self.left));
        if let Err(error) = self.file.read_exact(&mut self.chunk[..self.end]) {
            (self.end, self.left) = (0, 0);
            self.error = Some(error);
        }
        self.left -= self.end;
    }
}

impl Buf for Chunked {
    fn remaining(&self) -> usize {
        self.end - self.start + self.left
    }

    fn chunk(&self) -> &[u8] {
        &self.chunk[self.start..self.end]
    }

    fn advance(&mut self, count: usize) {
        let in_chunk = count.min(self.end - self.start);
        self.start += in_chunk;
        if self.start < self.end || self.end == 0 {
            return;
        }
        self.skip((count - in_chunk).min(self.left));
        self.fill();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Write;

    fn of(content: &[u8], len: usize) -> Chunked {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        Chunked::new(file.reopen().unwrap(), len, CHUNK_BYTES)
    }

    #[test]
    fn all_bytes_come_in_order_across_chunks() {
        let content: Vec<u8> = (0..3 * CHUNK_BYTES + 17).map(|i| (i % 251) as u8).collect();
        let mut chunked = of(&content, content.len());
        let mut got = Vec::new();
        for step in [1, 7, CHUNK_BYTES, CHUNK_BYTES + 3].into_iter().cycle() {
            let step = step.min(chunked.remaining());
            if step == 0 {
                break;
            }
            let part = chunked.copy_to_bytes(step);
            got.extend_from_slice(&part);
        }
        assert!(got == content);
        assert!(chunked.error().is_none());
    }

    #[test]
    fn what_is_skipped_is_as_long_as_what_is_read() {
        let content: Vec<u8> = (0..4 * CHUNK_BYTES).map(|i| (i % 251) as u8).collect();
        let mut chunked = of(&content, content.len());
        let mut at = 0;
        for step in [3, CHUNK_BYTES - 3, CHUNK_BYTES + 5, 1, CHUNK_BYTES] {
            chunked.advance(step);
            at += step;
            assert_eq!(chunked.remaining(), content.len() - at);
            assert_eq!(chunked.chunk()[0], content[at]);
        }
        chunked.advance(content.len() - at);
        assert_eq!((chunked.remaining(), chunked.chunk().len()), (0, 0));
        assert!(chunked.error().is_none());
    }

    #[test]
    fn a_file_that_shrank_ends_early_and_says_so() {
        let mut chunked = of(&[1, 2, 3], 10);
        assert_eq!(chunked.remaining(), 0);
        assert!(chunked.chunk().is_empty());
        chunked.advance(4);
        assert_eq!(
            chunked.error().unwrap().kind(),
            std::io::ErrorKind::UnexpectedEof
        );
    }
}
