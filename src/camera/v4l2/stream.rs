//! A running stream: buffers of the kernel mapped into our memory, filled by the driver in turn.
//!
//! A buffer is either the driver's (queued) or ours (taken); only ours are looked at. When the stream is dropped it is stopped,
//! unmapped and freed in that order, and no error of that is of interest: the device may have gone.

use super::newest::{Filled, Queue};
use super::node::{CAPTURE, Node, zeroed};
use crate::clock;
use std::io;
use std::ptr::NonNull;
use std::time::Duration;
use v4l::v4l_sys as sys;
use v4l::v4l2::{self, vidioc};

/// Buffers that are asked for. One is with the caller, one is being written, two bridge a frame that takes longer than the
/// camera's interval. The driver may give more or fewer.
const BUFFERS: u32 = 4;

/// `V4L2_MEMORY_MMAP`.
const MEMORY_MMAP: u32 = 1;

/// A buffer of the kernel in our address space.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    length_bytes: usize,
}

impl Mapping {
    fn new(node: &Node, offset: u32, length_bytes: usize) -> io::Result<Self> {
        // The offset is the driver's token for the buffer. Where off_t has 32 bits it may turn negative here; the C library
        // passes the same 32 bits on.
        let offset = offset as libc::off_t;
        // SAFETY: a fresh mapping at an address that the kernel chooses; it takes nothing from anyone. Reading is enough: the
        // driver alone writes.
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
        // mapped, which harms nobody.
        let _ = unsafe { v4l2::munmap(self.start.as_ptr().cast(), self.length_bytes) };
    }
}

/// A stream that runs, with the node that it runs on.
#[derive(Debug)]
pub(super) struct Stream {
    node: Node,
    mappings: Vec<Mapping>,
}

impl Stream {
    /// Maps the buffers, gives all of them to the driver and starts it. What was tried stands beside an error.
    pub fn start(node: Node) -> Result<Self, (&'static str, io::Error)> {
        let mut stream = Self {
            node,
            mappings: Vec::new(),
        };
        let count = stream
            .request_buffers(BUFFERS)
            .map_err(|error| ("to reserve buffers", error))?;
        for index in 0..count {
            stream
                .map(index)
                .map_err(|error| ("to map a buffer", error))?;
        }
        for index in 0..stream.mappings.len() {
            stream
                .give_back(index)
                .map_err(|error| ("to queue a buffer", error))?;
        }
        let mut kind = CAPTURE as i32;
        stream
            .node
            .ioctl(vidioc::VIDIOC_STREAMON, &mut kind)
            .map_err(|error| ("to start the stream", error))?;
        Ok(stream)
    }

    fn request_buffers(&self, count: u32) -> io::Result<u32> {
        let mut request: sys::v4l2_requestbuffers = zeroed();
        request.count = count;
        request.type_ = CAPTURE;
        request.memory = MEMORY_MMAP;
        self.node.ioctl(vidioc::VIDIOC_REQBUFS, &mut request)?;
        Ok(request.count)
    }

    fn map(&mut self, index: u32) -> io::Result<()> {
        let mut buffer = empty_buffer();
        buffer.index = index;
        self.node.ioctl(vidioc::VIDIOC_QUERYBUF, &mut buffer)?;
        // SAFETY: a buffer of the mmap kind carries an offset.
        let offset = unsafe { buffer.m.offset };
        self.mappings
            .push(Mapping::new(&self.node, offset, buffer.length as usize)?);
        Ok(())
    }
}

impl Queue for Stream {
    fn take(&mut self, wait: Duration) -> io::Result<Option<Filled>> {
        let mut waited = wait.is_zero();
        loop {
            let mut buffer = empty_buffer();
            match self.node.ioctl(vidioc::VIDIOC_DQBUF, &mut buffer) {
                Ok(()) => return filled(&buffer, self.mappings.len()).map(Some),
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
        let mut buffer = empty_buffer();
        buffer.index = index as u32;
        self.node.ioctl(vidioc::VIDIOC_QBUF, &mut buffer)
    }

    fn bytes(&self, filled: &Filled) -> &[u8] {
        let mapping = &self.mappings[filled.index];
        let used_bytes = filled.used_bytes.min(mapping.length_bytes);
        // SAFETY: the mapping is at least `used_bytes` long and lives as long as `self`. The driver writes to queued buffers
        // alone; this one was taken, and queueing it again needs `&mut self`, which the slice forbids.
        unsafe { std::slice::from_raw_parts(mapping.start.as_ptr(), used_bytes) }
    }

    fn buffers(&self) -> usize {
        self.mappings.len()
    }

    fn now(&self) -> Duration {
        clock::now()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut kind = CAPTURE as i32;
        let _ = self.node.ioctl(vidioc::VIDIOC_STREAMOFF, &mut kind);
        self.mappings.clear();
        let _ = self.request_buffers(0);
    }
}

fn empty_buffer() -> sys::v4l2_buffer {
    let mut buffer: sys::v4l2_buffer = zeroed();
    buffer.type_ = CAPTURE;
    buffer.memory = MEMORY_MMAP;
    buffer
}

/// What the driver says of a buffer that it filled; an error when it names one that there is not.
fn filled(buffer: &sys::v4l2_buffer, buffers: usize) -> io::Result<Filled> {
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
    Ok(Filled {
        index,
        used_bytes: buffer.bytesused as usize,
        error_flag: buffer.flags & sys::V4L2_BUF_FLAG_ERROR != 0,
        captured_at,
        sequence: buffer.sequence,
    })
}

/// A time of the kernel; `None` for one that is none (before the start, or with a million microseconds and more).
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
    use super::*;

    #[test]
    fn a_buffer_keeps_the_drivers_clock_only_when_it_is_ours() {
        let mut buffer = empty_buffer();
        buffer.index = 3;
        buffer.bytesused = 77;
        buffer.sequence = 12;
        buffer.timestamp.tv_sec = 5;
        buffer.timestamp.tv_usec = 250_000;
        buffer.flags = sys::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC | sys::V4L2_BUF_FLAG_ERROR;
        let taken = filled(&buffer, 4).unwrap();
        assert_eq!(taken.captured_at, Some(Duration::from_millis(5250)));
        assert_eq!((taken.index, taken.used_bytes, taken.sequence), (3, 77, 12));
        assert!(taken.error_flag);

        for other in [
            sys::V4L2_BUF_FLAG_TIMESTAMP_UNKNOWN,
            sys::V4L2_BUF_FLAG_TIMESTAMP_COPY,
        ] {
            buffer.flags = other;
            let taken = filled(&buffer, 4).unwrap();
            assert_eq!(taken.captured_at, None);
            assert!(!taken.error_flag);
        }
    }

    #[test]
    fn a_buffer_that_there_is_not_is_an_error() {
        let mut buffer = empty_buffer();
        buffer.index = 4;
        assert!(filled(&buffer, 4).is_err());
    }

    #[test]
    fn times_that_are_none_are_not_taken() {
        for (sec, usec) in [(-1, 0), (0, -1), (0, 1_000_000)] {
            let time = sys::timeval {
                tv_sec: sec,
                tv_usec: usec,
            };
            assert_eq!(duration(&time), None);
        }
    }
}
