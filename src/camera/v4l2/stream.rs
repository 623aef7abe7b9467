//! A running stream: kernel buffers mapped into our memory, filled by the driver in turn.
//!
//! A buffer is one piece of memory, or several on a multi-planar device. It is either the driver's (queued) or ours (dequeued);
//! only ours are read. When the stream is dropped it is stopped, unmapped and freed in that order, and errors of that are
//! ignored: the device may be gone.

use super::newest::{Filled, Part, Queue};
use super::node::{CAPTURE_PLANES, Node, Pieces, zeroed};
use crate::clock;
use std::io;
use std::ptr::NonNull;
use std::time::Duration;
use v4l::v4l_sys as sys;
use v4l::v4l2::{self, vidioc};

/// Number of buffers requested. One is with the caller, one is being written, two bridge a frame that takes longer than the
/// camera's interval. The driver may grant more or fewer.
const BUFFERS: u32 = 4;

/// `V4L2_MEMORY_MMAP`.
const MEMORY_MMAP: u32 = 1;

/// Pieces of memory per buffer that are used: no supported format has more planes.
const MAX_PIECES: usize = 3;

/// A piece of a kernel buffer in our address space.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    length_bytes: usize,
}

impl Mapping {
    fn new(node: &Node, offset: u32, length_bytes: usize) -> io::Result<Self> {
        // The offset is the driver's token for the buffer. If off_t has 32 bits it may become negative here; the C library passes
        // the same 32 bits on.
        let offset = offset as libc::off_t;
        // SAFETY: a fresh mapping at an address that the kernel chooses; it replaces no other mapping. Read-only is enough: only
        // the driver writes.
        let start = unsafe {
            v4l2::mmap(
                std::ptr::null_mut(),
                length_bytes,
                libc::PROT_READ,
                libc::MAP_SHARED,
                node.fd(),
                offset,
            )
        }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self {
            start,
            length_bytes,
        })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `new` and is unmapped once; no slice of it outlives `self`. An error would leave it
        // mapped, which is harmless.
        let _ = unsafe { v4l2::munmap(self.start.as_ptr().cast(), self.length_bytes) };
    }
}

/// A running stream, with its node.
#[derive(Debug)]
pub(super) struct Stream {
    node: Node,
    /// The kernel's buffer type.
    buffer_type: u32,
    /// The pieces of each buffer.
    buffers: Vec<Vec<Mapping>>,
}

impl Stream {
    /// Maps the buffers, queues them all and starts the stream. An error comes with what was attempted.
    pub fn start(node: Node) -> Result<Self, (&'static str, io::Error)> {
        let mut stream = Self {
            buffer_type: node.buffer_type(),
            node,
            buffers: Vec::new(),
        };
        let count = stream
            .request_buffers(BUFFERS)
            .map_err(|error| ("to reserve buffers", error))?;
        for index in 0..count {
            stream
                .map(index)
                .map_err(|error| ("to map a buffer", error))?;
        }
        for index in 0..stream.buffers.len() {
            stream
                .give_back(index)
                .map_err(|error| ("to queue a buffer", error))?;
        }
        let mut buffer_type = stream.buffer_type as i32;
        stream
            .node
            .ioctl(vidioc::VIDIOC_STREAMON, &mut buffer_type)
            .map_err(|error| ("to start the stream", error))?;
        Ok(stream)
    }

    fn request_buffers(&self, count: u32) -> io::Result<u32> {
        let mut request: sys::v4l2_requestbuffers = zeroed();
        request.count = count;
        request.type_ = self.buffer_type;
        request.memory = MEMORY_MMAP;
        self.node.ioctl(vidioc::VIDIOC_REQBUFS, &mut request)?;
        Ok(request.count)
    }

    fn map(&mut self, index: u32) -> io::Result<()> {
        let mut buffer = empty_buffer(self.buffer_type);
        let mut pieces: Pieces = zeroed();
        buffer.index = index;
        self.node
            .buffer_ioctl(vidioc::VIDIOC_QUERYBUF, &mut buffer, &mut pieces)?;
        let mapped = if self.buffer_type == CAPTURE_PLANES {
            // As many pieces as the driver says the buffer has.
            let pieces = pieces.iter().take(buffer.length as usize);
            let map = |piece: &sys::v4l2_plane| {
                // SAFETY: a piece of a buffer of the mmap kind carries an offset.
                let offset = unsafe { piece.m.mem_offset };
                Mapping::new(&self.node, offset, piece.length as usize)
            };
            pieces.take(MAX_PIECES).map(map).collect()
        } else {
            // SAFETY: a buffer of the mmap kind carries an offset.
            let offset = unsafe { buffer.m.offset };
            Mapping::new(&self.node, offset, buffer.length as usize).map(|whole| vec![whole])
        };
        self.buffers.push(mapped?);
        Ok(())
    }
}

impl Queue for Stream {
    fn take(&mut self, wait: Duration) -> io::Result<Option<Filled>> {
        let mut waited = wait.is_zero();
        loop {
            let mut buffer = empty_buffer(self.buffer_type);
            let mut pieces: Pieces = zeroed();
            let taken = self
                .node
                .buffer_ioctl(vidioc::VIDIOC_DQBUF, &mut buffer, &mut pieces);
            match taken {
                Ok(()) => return filled(&buffer, &pieces, self.buffers.len()).map(Some),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if waited || !self.node.wait(wait)? {
                        return Ok(None);
                    }
                    waited = true;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn give_back(&mut self, index: usize) -> io::Result<()> {
        let mut buffer = empty_buffer(self.buffer_type);
        buffer.index = index as u32;
        self.node
            .buffer_ioctl(vidioc::VIDIOC_QBUF, &mut buffer, &mut zeroed())
    }

    fn pieces(&self, filled: &Filled) -> [&[u8]; 3] {
        let mut pieces = [&[][..]; MAX_PIECES];
        let mappings = self.buffers[filled.index].iter().zip(filled.parts);
        for (piece, (mapping, part)) in pieces.iter_mut().zip(mappings) {
            // SAFETY: the mapping has this length and lives as long as `self`. The driver writes to queued buffers only; this one
            // was dequeued, and requeueing it needs `&mut self`, which the slice's borrow forbids.
            let whole =
                unsafe { std::slice::from_raw_parts(mapping.start.as_ptr(), mapping.length_bytes) };
            *piece = whole
                .get(part.first..part.end.min(whole.len()))
                .unwrap_or_default();
        }
        pieces
    }

    fn buffers(&self) -> usize {
        self.buffers.len()
    }

    fn now(&self) -> Duration {
        clock::now()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut buffer_type = self.buffer_type as i32;
        let _ = self.node.ioctl(vidioc::VIDIOC_STREAMOFF, &mut buffer_type);
        self.buffers.clear();
        let _ = self.request_buffers(0);
    }
}

fn empty_buffer(buffer_type: u32) -> sys::v4l2_buffer {
    let mut buffer: sys::v4l2_buffer = zeroed();
    buffer.type_ = buffer_type;
    buffer.memory = MEMORY_MMAP;
    buffer
}

/// What the driver reports about a buffer that it filled, and about its pieces if it has several; an error if it names a buffer
/// that does not exist.
fn filled(buffer: &sys::v4l2_buffer, pieces: &Pieces, buffers: usize) -> io::Result<Filled> {
    let index = buffer.index as usize;
    if index >= buffers {
        return Err(io::Error::other(format!(
            "the driver filled buffer {index} of {buffers}"
        )));
    }
    let clock = buffer.flags & sys::V4L2_BUF_FLAG_TIMESTAMP_MASK;
    let captured_at = if clock == sys::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC {
        duration(&buffer.timestamp)
    } else {
        None
    };
    let mut parts = [Part::default(); MAX_PIECES];
    if buffer.type_ == CAPTURE_PLANES {
        for (part, piece) in parts.iter_mut().zip(pieces) {
            // Data before the picture counts as used.
            *part = Part {
                first: piece.data_offset as usize,
                end: piece.bytesused as usize,
            };
        }
    } else {
        parts[0].end = buffer.bytesused as usize;
    }
    Ok(Filled {
        index,
        parts,
        error_flag: buffer.flags & sys::V4L2_BUF_FLAG_ERROR != 0,
        captured_at,
        sequence: buffer.sequence,
    })
}

/// A kernel timestamp; `None` for an invalid one (negative, or with a million microseconds or more).
fn duration(time: &sys::timeval) -> Option<Duration> {
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let micros = u32::try_from(time.tv_usec)
        .ok()
        .filter(|&us| us < 1_000_000)?;
    Some(Duration::new(seconds, micros * 1000))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::node::CAPTURE;
    use super::*;

    #[test]
    fn a_buffer_keeps_the_drivers_clock_only_when_it_is_ours() {
        let mut buffer = empty_buffer(CAPTURE);
        buffer.index = 3;
        buffer.bytesused = 77;
        buffer.sequence = 12;
        buffer.timestamp.tv_sec = 5;
        buffer.timestamp.tv_usec = 250_000;
        buffer.flags = sys::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC | sys::V4L2_BUF_FLAG_ERROR;
        let taken = filled(&buffer, &zeroed(), 4).unwrap();
        assert_eq!(taken.captured_at, Some(Duration::from_millis(5250)));
        assert_eq!((taken.index, taken.sequence), (3, 12));
        let whole = Part { first: 0, end: 77 };
        assert_eq!(taken.parts, [whole, Part::default(), Part::default()]);
        assert!(taken.error_flag);

        for other in [
            sys::V4L2_BUF_FLAG_TIMESTAMP_UNKNOWN,
            sys::V4L2_BUF_FLAG_TIMESTAMP_COPY,
        ] {
            buffer.flags = other;
            let taken = filled(&buffer, &zeroed(), 4).unwrap();
            assert_eq!(taken.captured_at, None);
            assert!(!taken.error_flag);
        }
    }

    #[test]
    fn a_buffer_that_does_not_exist_is_an_error() {
        let mut buffer = empty_buffer(CAPTURE);
        buffer.index = 4;
        assert!(filled(&buffer, &zeroed(), 4).is_err());
    }

    /// vivid's YUYV and NV16M pictures start 128 bytes into the piece.
    #[test]
    fn the_pieces_of_a_multi_planar_buffer_have_the_picture() {
        let mut buffer = empty_buffer(CAPTURE_PLANES);
        // The fields of the single-planar API must be ignored.
        buffer.bytesused = 5;
        let mut pieces: Pieces = zeroed();
        (pieces[0].data_offset, pieces[0].bytesused) = (128, 428);
        pieces[1].bytesused = 150;
        let parts = filled(&buffer, &pieces, 1).unwrap().parts;
        let (first, second) = (
            Part {
                first: 128,
                end: 428,
            },
            Part { first: 0, end: 150 },
        );
        assert_eq!(parts, [first, second, Part::default()]);
    }

    #[test]
    fn implausible_times_are_ignored() {
        for (sec, usec) in [(-1, 0), (0, -1), (0, 1_000_000)] {
            let time = sys::timeval {
                tv_sec: sec,
                tv_usec: usec,
            };
            assert_eq!(duration(&time), None);
        }
    }
}
