//! Pictures on standard input: MJPEG or Y4M, told apart by the first bytes. This is how CSI cameras reach us:
//! `rpicam-vid -t 0 --codec mjpeg -o - | eyelet run ...`.
//!
//! Two buffers are allocated when the kind of the stream is known, one that fills and one that holds the newest picture; a
//! picture moves from one to the other by a swap. A pipe is read as far as it has bytes, and all complete pictures but the
//! newest are dropped and counted. A file (`eyelet run < film.mjpeg`) waits for us, so none of its pictures is dropped.
//!
//! Standard input is one stream for the life of the process: what was read from it and not used is kept when the camera is
//! closed, so that opening it again goes on where it stopped.

use super::framing::{Detected, Framer, Step, detect};
use super::{Camera, CameraError, Counts, Next};
use crate::board::PipeConfig;
use crate::clock;
use crate::frame::{Frame, Geometry};
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Mutex;
use std::time::Duration;

/// Bytes that are read at once: what a Linux pipe holds.
const READ_BYTES: usize = 64 * 1024;

/// The stream on standard input while no camera has it.
static STANDARD_INPUT: Mutex<Option<Stream>> = Mutex::new(None);

/// Takes pictures from standard input.
#[derive(Debug)]
pub struct PipeCamera {
    /// Gone only while it is being dropped.
    stream: Option<Stream>,
    timeout: Duration,
    /// Whether the stream goes back to [`STANDARD_INPUT`].
    keep: bool,
}

#[derive(Debug)]
struct Stream {
    input: File,
    /// A regular file: it is read picture by picture.
    waits_for_us: bool,
    config: PipeConfig,
    framer: Framer,
    /// Bytes that are not used yet: `incoming[..filled]`.
    incoming: Vec<u8>,
    filled: usize,
    /// The newest picture: `newest[picture]`.
    newest: Vec<u8>,
    picture: Range<usize>,
    ended: bool,
    /// Pictures that were found.
    pictures: u64,
    counts: Counts,
}

impl PipeCamera {
    /// Opens standard input; waits for its first bytes, at most the camera's timeout.
    pub fn open(config: &PipeConfig) -> Result<Self, CameraError> {
        let kept = STANDARD_INPUT.lock().map_or(None, |mut kept| kept.take());
        if let Some(stream) = kept
            && stream.config == *config
        {
            return Ok(Self {
                timeout: config.timeout,
                stream: Some(stream),
                keep: true,
            });
        }
        let input = std::io::stdin();
        if input.is_terminal() {
            return Err(CameraError::Unusable(
                "standard input is a terminal: pipe MJPEG or Y4M into it, as in rpicam-vid -t 0 --codec mjpeg -o - | eyelet run".into(),
            ));
        }
        let input = input.as_fd().try_clone_to_owned().map_err(|error| {
            CameraError::Unusable(format!("cannot use standard input: {error}"))
        })?;
        Self::of(input, config, true)
    }

    /// Takes pictures from `input`, a pipe or a file; waits for its first bytes, at most the camera's timeout. `keep` has what
    /// was read and not used go on when the camera is opened again, as is right for standard input alone.
    pub fn of(input: OwnedFd, config: &PipeConfig, keep: bool) -> Result<Self, CameraError> {
        let stream = Stream::start(File::from(input), config)?;
        Ok(Self {
            timeout: config.timeout,
            stream: Some(stream),
            keep,
        })
    }
}

impl Drop for PipeCamera {
    fn drop(&mut self) {
        if self.keep
            && let Ok(mut kept) = STANDARD_INPUT.lock()
        {
            *kept = self.stream.take();
        }
    }
}

impl Camera for PipeCamera {
    fn describe(&self) -> String {
        self.stream.as_ref().map_or_else(String::new, |stream| {
            let Geometry {
                width_px,
                height_px,
                ..
            } = stream.framer.geometry();
            format!("pipe: {} {width_px}x{height_px}", stream.framer.name())
        })
    }

    fn geometry(&self) -> Geometry {
        // The stream is there until the camera is dropped; a picture of nothing stands for the case that cannot be.
        self.stream.as_ref().map_or(
            Geometry::packed(crate::frame::PixelFormat::Mjpeg, 0, 0),
            |stream| stream.framer.geometry(),
        )
    }

    fn next(&mut self) -> Result<Next<'_>, CameraError> {
        match &mut self.stream {
            Some(stream) => stream.next(self.timeout),
            None => Ok(Next::End),
        }
    }

    fn counts(&self) -> Counts {
        self.stream
            .as_ref()
            .map_or(Counts::default(), |stream| stream.counts)
    }
}

impl Stream {
    /// Reads until the kind of the stream is known, then makes the buffers.
    fn start(mut input: File, config: &PipeConfig) -> Result<Self, CameraError> {
        let deadline = clock::now() + config.timeout;
        let mut begin = Vec::new();
        let (framer, used) = loop {
            match detect(&begin, config) {
                Detected::Stream(framer, used) => break (framer, used),
                Detected::Unknown(reason) => return Err(CameraError::Unusable(reason)),
                Detected::More => {}
            }
            if !readable(&input, deadline)? {
                return Err(timeout(config.timeout));
            }
            let mut bytes = [0; 256];
            match read(&mut input, &mut bytes)? {
                0 => return Err(ended_without_picture(None)),
                count => begin.extend_from_slice(&bytes[..count]),
            }
        };
        let rest = &begin[used..];
        let bytes = framer
            .buffer_bytes()
            .map(|bytes| bytes.max(rest.len()))
            .ok_or_else(|| {
                CameraError::Unusable(
                    "[camera.pipe] max_width_px and max_height_px are too large".into(),
                )
            })?;
        let mut incoming = vec![0; bytes];
        incoming[..rest.len()].copy_from_slice(rest);
        Ok(Self {
            waits_for_us: input.metadata().is_ok_and(|about| about.is_file()),
            input,
            config: config.clone(),
            framer,
            incoming,
            filled: rest.len(),
            newest: vec![0; bytes],
            picture: 0..0,
            ended: false,
            pictures: 0,
            counts: Counts::default(),
        })
    }

    fn next(&mut self, patience: Duration) -> Result<Next<'_>, CameraError> {
        let deadline = clock::now() + patience;
        // A sender that is faster than us must not keep us reading for ever.
        let mut budget = 2 * self.incoming.len();
        let mut found = None;
        loop {
            self.take_pictures(&mut found);
            let enough = found.is_some() && (self.waits_for_us || budget == 0);
            if enough || self.ended {
                break;
            }
            let until = if found.is_some() {
                Duration::ZERO
            } else {
                deadline
            };
            if !readable(&self.input, until)? {
                if found.is_some() {
                    break;
                }
                return Err(match self.framer.refusal() {
                    Some(refusal) => CameraError::Unusable(refusal),
                    None => timeout(patience),
                });
            }
            let room = &mut self.incoming[self.filled..];
            let most = room.len().min(READ_BYTES);
            let count = read(&mut self.input, &mut room[..most])?;
            self.filled += count;
            budget = budget.saturating_sub(count);
            if count == 0 {
                self.ended = true;
                if self.filled > 0 {
                    self.counts.damaged += 1;
                    self.filled = 0;
                }
            }
        }
        let Some((geometry, captured_at)) = found else {
            if self.pictures == 0 {
                return Err(ended_without_picture(self.framer.refusal()));
            }
            return Ok(Next::End);
        };
        let data = &self.newest[self.picture.clone()];
        Frame::new(geometry, data, captured_at, self.pictures - 1)
            .map(Next::Frame)
            .map_err(|error| CameraError::Unusable(error.to_string()))
    }

    /// Takes the complete pictures off the front of `incoming`: the newest one, or the first one of a file.
    fn take_pictures(&mut self, found: &mut Option<(Geometry, Duration)>) {
        while self.filled > 0 && !(self.waits_for_us && found.is_some()) {
            let full = self.filled == self.incoming.len();
            match self.framer.advance(&self.incoming[..self.filled], full) {
                Step::More => return,
                Step::Skip { bytes, new_fault } => {
                    self.counts.damaged += u64::from(new_fault);
                    let bytes = bytes.min(self.filled);
                    self.incoming.copy_within(bytes..self.filled, 0);
                    self.filled -= bytes;
                }
                Step::Picture(range, geometry) => {
                    self.keep(range, geometry);
                    self.pictures += 1;
                    if found.replace((geometry, clock::now())).is_some() {
                        self.counts.stale += 1;
                    }
                }
            }
        }
    }

    /// Moves a picture from `incoming` to `newest`, and what follows it to the front.
    fn keep(&mut self, range: Range<usize>, geometry: Geometry) {
        let end = range.end;
        match &self.framer {
            Framer::Y4m { header, .. } if !header.as_is() => {
                // The buffers were made for this size, and it was checked then.
                let bytes = geometry.picture_bytes().unwrap_or(0);
                header.unpack(&self.incoming[range], &mut self.newest[..bytes]);
                self.picture = 0..bytes;
                self.incoming.copy_within(end..self.filled, 0);
            }
            _ => {
                std::mem::swap(&mut self.incoming, &mut self.newest);
                self.picture = range;
                let rest = &self.newest[end..self.filled];
                self.incoming[..rest.len()].copy_from_slice(rest);
            }
        }
        self.filled -= end;
    }
}

/// Waits until `input` has bytes or has ended, or until `deadline`; `false` is the deadline.
fn readable(input: &File, deadline: Duration) -> Result<bool, CameraError> {
    loop {
        let wait = deadline.saturating_sub(clock::now());
        // Rounded up, so that the last part of a millisecond is slept and not spun.
        let wait_ms = i32::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        let mut poll = libc::pollfd {
            fd: input.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: `poll` is one valid pollfd, and the call is told that it is one; the descriptor is open while `input` is.
        match unsafe { libc::poll(&mut poll, 1, wait_ms) } {
            0 => return Ok(false),
            n if n > 0 => return Ok(true),
            _ => {
                let error = std::io::Error::last_os_error();
                if error.kind() != std::io::ErrorKind::Interrupted {
                    return Err(lost(&error));
                }
            }
        }
    }
}

/// Reads what is there; 0 is the end.
fn read(input: &mut File, bytes: &mut [u8]) -> Result<usize, CameraError> {
    loop {
        match input.read(bytes) {
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(lost(&error)),
        }
    }
}

fn lost(error: &std::io::Error) -> CameraError {
    CameraError::Lost {
        camera: "the pipe on standard input".into(),
        reason: error.to_string(),
    }
}

fn timeout(waited: Duration) -> CameraError {
    CameraError::Timeout {
        camera: "the pipe on standard input".into(),
        waited,
    }
}

fn ended_without_picture(refusal: Option<String>) -> CameraError {
    CameraError::Unusable(refusal.unwrap_or_else(|| {
        "standard input ended before a whole picture came: pipe MJPEG or Y4M into it, as in rpicam-vid -t 0 --codec mjpeg -o - | eyelet run".into()
    }))
}

#[cfg(test)]
#[path = "pipe_tests.rs"]
mod tests;
