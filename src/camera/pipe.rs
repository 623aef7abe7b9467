//! Pictures on standard input: MJPEG or Y4M, recognised by the first bytes. This is how CSI cameras are read: `rpicam-vid -t 0
//! --codec mjpeg -o - | eyelet run ...`.
//!
//! Two buffers are allocated once the kind of the stream is known: one being filled and one holding the newest picture; a picture
//! moves from one to the other by a swap. A pipe is drained, and all complete pictures but the newest are dropped and counted. A
//! file (`eyelet run < film.mjpeg`) waits for the reader, so none of its pictures is dropped.
//!
//! The end of the pipe is final: after pictures it is [`Next::End`], without any it is an error. A stream that is neither MJPEG
//! nor Y4M is recognised by its start, or by containing no picture in as many bytes as the largest one has, or within the
//! camera's timeout. Later, damage is skipped, counted and reported for as long as the sender lives.
//!
//! Standard input is one stream for the life of the process: bytes that were read but not used are kept when the camera is
//! closed, so that reopening it continues where it stopped.

use super::framing::{ADVICE, Damage, Detected, Framer, Step, detect};
use super::patience::{Patience, SLICE};
use super::sniff::{HEAD_BYTES, guess};
use super::{Camera, CameraConfig, CameraError, CameraKind, Counts, Kind, Next};
use crate::data_roots::Base;
use crate::frame::{Frame, Geometry};
use crate::toml_file::Table;
use crate::{clock, limits, poll};
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Read};
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, Once};
use std::time::Duration;

/// Bytes per read: the capacity of a Linux pipe.
const READ_BYTES: usize = 64 * 1024;

/// More than a sender puts between two pictures, such as the headers of an HTTP part.
const WORDS_BYTES: usize = 1024;

/// A sender that sends nothing for this long is logged, once.
const SILENCE: Duration = Duration::from_secs(1);

/// The stream on standard input while no camera holds it.
static STANDARD_INPUT: Mutex<Kept> = Mutex::new(Kept {
    beginning: None,
    stream: None,
});

/// What is kept of standard input: one of these.
#[derive(Debug, Default)]
struct Kept {
    beginning: Option<Beginning>,
    stream: Option<Stream>,
}

/// See the module's documentation.
pub(super) const KIND: Kind = Kind {
    name: "pipe",
    read,
    sources: "- (MJPEG or Y4M on standard input)",
    of_source,
};

/// `[camera.pipe]`
#[derive(Debug, Clone, PartialEq)]
pub struct PipeConfig {
    /// Largest accepted width, in pixels; buffers are allocated for it at start.
    pub max_width_px: u32,
    /// Largest accepted height; see `max_width_px`.
    pub max_height_px: u32,
    /// How long a frame may take before the stream counts as stalled.
    pub timeout: Duration,
}

impl Default for PipeConfig {
    /// Up to full HD; a stalled sender is noticed after five seconds.
    fn default() -> Self {
        Self {
            max_width_px: 1920,
            max_height_px: 1080,
            timeout: Duration::from_secs(5),
        }
    }
}

fn read(table: &mut Table<'_, '_>, _: Base<'_>) -> Option<CameraConfig> {
    let default = PipeConfig::default();
    let max_width_px = table.integer_u32("max_width_px", limits::SIDE_PX);
    let max_height_px = table.integer_u32("max_height_px", limits::SIDE_PX);
    let timeout = table.millis("timeout_ms", limits::PIPE_TIMEOUT_MS);
    Some(CameraConfig::Pipe(PipeConfig {
        max_width_px: max_width_px.unwrap_or(default.max_width_px),
        max_height_px: max_height_px.unwrap_or(default.max_height_px),
        timeout: timeout.unwrap_or(default.timeout),
    }))
}

/// `-`
fn of_source(source: &str, own: &CameraConfig) -> Option<CameraConfig> {
    (source == "-").then(|| match own {
        CameraConfig::Pipe(_) => own.clone(),
        _ => CameraConfig::Pipe(PipeConfig::default()),
    })
}

impl CameraKind for PipeConfig {
    fn open(&self) -> Result<Box<dyn Camera>, CameraError> {
        Ok(Box::new(PipeCamera::open(self)?))
    }

    fn timeout(&self) -> Option<Duration> {
        Some(self.timeout)
    }

    fn ends_for_good(&self) -> bool {
        true
    }
}

impl fmt::Display for PipeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (width_px, height_px) = (self.max_width_px, self.max_height_px);
        write!(
            f,
            "standard input, MJPEG or Y4M up to {width_px}x{height_px}"
        )
    }
}

/// Reads pictures from standard input.
#[derive(Debug)]
pub struct PipeCamera {
    /// `None` only while it is being dropped.
    stream: Option<Stream>,
    patience: Patience,
    /// Whether the stream returns to [`STANDARD_INPUT`].
    keep: bool,
}

#[derive(Debug)]
struct Stream {
    input: File,
    /// A regular file: it is read picture by picture.
    waits_for_us: bool,
    config: PipeConfig,
    framer: Framer,
    /// The first bytes, for reporting what they seem to be.
    head: Vec<u8>,
    /// Unused bytes: `incoming[used..filled]`.
    incoming: Vec<u8>,
    used: usize,
    filled: usize,
    /// Bytes since the last picture that were not part of one.
    skipped: usize,
    /// The newest picture: `newest[picture]`.
    newest: Vec<u8>,
    picture: Range<usize>,
    ended: bool,
    /// The last damage since the last picture, until a timeout has reported it.
    vain: Option<Damage>,
    /// The last damage, until it has been asked for.
    news: Option<Damage>,
    /// Pictures found.
    pictures: u64,
    counts: Counts,
}

impl PipeCamera {
    /// Opens standard input; waits for its first bytes in slices, each of which ends with [`CameraError::NotYet`], at most the
    /// camera's timeout in all.
    pub fn open(config: &PipeConfig) -> Result<Self, CameraError> {
        let kept = STANDARD_INPUT.lock();
        let kept = kept
            .map(|mut kept| std::mem::take(&mut *kept))
            .unwrap_or_default();
        let stream = match kept.stream.filter(|stream| stream.config == *config) {
            Some(stream) => stream,
            None => {
                let is_same = |beginning: &Beginning| beginning.config == *config;
                let mut beginning = match kept.beginning.filter(is_same) {
                    Some(beginning) => beginning,
                    None => Beginning::new(standard_input()?, config),
                };
                match beginning.wait()? {
                    Some((framer, used)) => beginning.into_stream(framer, used)?,
                    None => {
                        if let Ok(mut kept) = STANDARD_INPUT.lock() {
                            kept.beginning = Some(beginning);
                        }
                        return Err(CameraError::NotYet);
                    }
                }
            }
        };
        Ok(Self {
            patience: Patience::new(config.timeout),
            stream: Some(stream),
            keep: true,
        })
    }

    /// Reads pictures from `input`, a pipe or a file; waits for its first bytes, at most the camera's timeout. With `keep`,
    /// unused bytes survive until the camera is reopened, as is right for standard input only.
    pub fn of(input: OwnedFd, config: &PipeConfig, keep: bool) -> Result<Self, CameraError> {
        let mut beginning = Beginning::new(File::from(input), config);
        let (framer, used) = loop {
            if let Some(found) = beginning.wait()? {
                break found;
            }
        };
        let stream = beginning.into_stream(framer, used)?;
        Ok(Self {
            patience: Patience::new(config.timeout),
            stream: Some(stream),
            keep,
        })
    }
}

impl Drop for PipeCamera {
    fn drop(&mut self) {
        if self.keep
            && let Some(mut stream) = self.stream.take()
            && let Ok(mut kept) = STANDARD_INPUT.lock()
        {
            // Counts start when the camera is opened.
            stream.counts = Counts::default();
            kept.stream = Some(stream);
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
        // The stream is present until the camera is dropped; an empty picture covers the impossible case.
        self.stream.as_ref().map_or(
            Geometry::packed(crate::frame::PixelFormat::Mjpeg, 0, 0),
            |stream| stream.framer.geometry(),
        )
    }

    fn next(&mut self) -> Result<Next<'_>, CameraError> {
        match &mut self.stream {
            Some(stream) => stream.next(&mut self.patience),
            None => Ok(Next::End),
        }
    }

    fn damage(&mut self) -> Option<Damage> {
        self.stream.as_mut()?.news.take()
    }

    fn counts(&self) -> Counts {
        self.stream
            .as_ref()
            .map_or(Counts::default(), |stream| stream.counts)
    }
}

fn standard_input() -> Result<File, CameraError> {
    let input = std::io::stdin();
    if input.is_terminal() {
        let message = format!("standard input is a terminal: {ADVICE}");
        return Err(CameraError::Spent(message));
    }
    let input = input.as_fd().try_clone_to_owned().map_err(lost)?;
    Ok(File::from(input))
}

/// A stream whose kind is not known yet.
#[derive(Debug)]
struct Beginning {
    input: File,
    config: PipeConfig,
    since: Duration,
    bytes: Vec<u8>,
}

impl Beginning {
    fn new(input: File, config: &PipeConfig) -> Self {
        Self {
            input,
            config: config.clone(),
            since: clock::now(),
            bytes: Vec::new(),
        }
    }

    /// Reads until the kind of the stream is known; returns it, and how many bytes say so. `None`: not within a slice.
    fn wait(&mut self) -> Result<Option<(Framer, usize)>, CameraError> {
        static TOLD: Once = Once::new();
        let timeout = self.config.timeout;
        let deadline = self.since.saturating_add(timeout);
        let slice_end = deadline.min(clock::now() + SLICE);
        loop {
            match detect(&self.bytes, &self.config) {
                Detected::Stream(framer, used) => return Ok(Some((framer, used))),
                Detected::Unknown(reason) => return Err(CameraError::Spent(reason)),
                Detected::More => {}
            }
            if !readable(&self.input, slice_end)? {
                let now = clock::now();
                if self.bytes.is_empty() && now - self.since >= SILENCE {
                    TOLD.call_once(|| log::info!("waiting for pictures on standard input"));
                }
                return match self.bytes.as_slice() {
                    _ if now < deadline => Ok(None),
                    // The sender may still be starting.
                    [] => Err(self::timeout(timeout, None)),
                    begin => Err(no_picture(&came_in(timeout), begin)),
                };
            }
            let mut bytes = [0; 256];
            match read_some(&mut self.input, &mut bytes)? {
                Some(0) => return Err(no_picture(ENDED, &self.bytes)),
                count => self.bytes.extend_from_slice(&bytes[..count.unwrap_or(0)]),
            }
        }
    }

    /// Allocates the buffers.
    fn into_stream(self, framer: Framer, used: usize) -> Result<Stream, CameraError> {
        let Self {
            input,
            config,
            bytes: mut begin,
            ..
        } = self;
        let rest = &begin[used..];
        let too_large = || {
            CameraError::Spent(
                "not enough memory for the pictures on standard input: lower max_width_px and max_height_px of [camera.pipe], \
                 or send smaller ones"
                    .into(),
            )
        };
        let bytes = framer
            .buffer_bytes()
            .map(|bytes| bytes.max(rest.len()))
            .ok_or_else(too_large)?;
        let mut incoming = zeroed(bytes).ok_or_else(too_large)?;
        incoming[..rest.len()].copy_from_slice(rest);
        let filled = rest.len();
        begin.truncate(HEAD_BYTES);
        begin.reserve_exact(HEAD_BYTES - begin.len());
        Ok(Stream {
            waits_for_us: input.metadata().is_ok_and(|about| about.is_file()),
            input,
            config,
            framer,
            head: begin,
            incoming,
            used: 0,
            filled,
            skipped: 0,
            newest: zeroed(bytes).ok_or_else(too_large)?,
            picture: 0..0,
            ended: false,
            vain: None,
            news: None,
            pictures: 0,
            counts: Counts::default(),
        })
    }
}

impl Stream {
    fn next(&mut self, patience: &mut Patience) -> Result<Next<'_>, CameraError> {
        let deadline = patience.slice_end(clock::now());
        // A fast sender must not keep this loop reading for ever.
        let mut budget = 2 * self.incoming.len();
        let mut found = None;
        loop {
            self.take_pictures(&mut found);
            if self.pictures == 0 {
                self.check_beginning()?;
            }
            let enough = found.is_some() && (self.waits_for_us || budget == 0);
            if enough || self.ended {
                break;
            }
            let until = if found.is_some() {
                Duration::ZERO
            } else {
                deadline
            };
            let is_late = found.is_none() && clock::now() >= deadline;
            if is_late || !readable(&self.input, until)? {
                if found.is_some() {
                    break;
                }
                if !patience.is_over(clock::now()) {
                    return Ok(Next::NotYet);
                }
                return Err(match self.pictures {
                    0 => no_picture(&came_in(patience.timeout()), &self.head),
                    _ => timeout(patience.timeout(), self.take_vain()),
                });
            }
            budget = budget.saturating_sub(self.fill()?);
        }
        let Some((geometry, captured_at)) = found else {
            if self.pictures == 0 {
                return Err(no_picture(ENDED, &self.head));
            }
            return Ok(Next::End);
        };
        patience.arrived();
        let data = &self.newest[self.picture.clone()];
        Frame::new(geometry, data, captured_at, self.pictures - 1)
            .map(Next::Frame)
            .map_err(|error| CameraError::Spent(error.to_string()))
    }

    /// Reads once; returns how many bytes came. There is room, because the framer consumes whatever fills the buffer.
    fn fill(&mut self) -> Result<usize, CameraError> {
        if self.used > 0 {
            self.incoming.copy_within(self.used..self.filled, 0);
            (self.used, self.filled) = (0, self.filled - self.used);
        }
        let room = &mut self.incoming[self.filled..];
        let most = room.len().min(READ_BYTES);
        let Some(count) = read_some(&mut self.input, &mut room[..most])? else {
            return Ok(0);
        };
        let head = count.min(HEAD_BYTES - self.head.len());
        self.head.extend_from_slice(&room[..head]);
        self.filled += count;
        if count == 0 {
            self.ended = true;
            if self.filled > 0 {
                self.counts.damaged += 1;
                self.filled = 0;
            }
        }
        Ok(count)
    }

    /// Before the first picture: whether there will be one.
    fn check_beginning(&self) -> Result<(), CameraError> {
        if let Some(refusal) = self.framer.refusal() {
            return Err(CameraError::Spent(refusal));
        }
        // A sender that was joined mid-picture starts another one by then.
        if self.skipped > self.incoming.len() {
            let arrived = format!(
                "standard input delivered no picture in {} KiB",
                self.skipped >> 10
            );
            return Err(no_picture(&arrived, &self.head));
        }
        Ok(())
    }

    /// Takes the complete pictures off the front of `incoming`: all but the newest are dropped, or only the first is taken from a
    /// file.
    fn take_pictures(&mut self, found: &mut Option<(Geometry, Duration)>) {
        while self.used < self.filled && !(self.waits_for_us && found.is_some()) {
            let front = &self.incoming[self.used..self.filled];
            let full = front.len() == self.incoming.len();
            match self.framer.advance(front, full) {
                Step::More => return,
                Step::Skip { bytes, damage } => {
                    let bytes = bytes.min(front.len());
                    self.used += bytes;
                    self.skipped = self.skipped.saturating_add(bytes);
                    if let Some(damage) = damage {
                        self.note(damage);
                    }
                }
                Step::Picture(range, geometry) => {
                    self.keep(self.used + range.start..self.used + range.end, geometry);
                    (self.skipped, self.vain) = (0, None);
                    self.pictures += 1;
                    if found.replace((geometry, clock::now())).is_some() {
                        self.counts.stale += 1;
                    }
                }
            }
        }
    }

    /// Counts it, and keeps it for whoever asks.
    fn note(&mut self, damage: Damage) {
        self.counts.damaged += 1;
        // It is normal to join a sender in the middle of a picture, and many put text between their pictures.
        if damage == Damage::NoJpeg {
            self.vain.get_or_insert(damage);
        } else {
            self.vain = Some(damage);
            self.news = self.vain.filter(|_| self.pictures > 0);
        }
    }

    /// What is wrong with the data since the last picture.
    fn take_vain(&mut self) -> Option<Damage> {
        let are_words = self.skipped < WORDS_BYTES;
        let vain = self.vain.take();
        vain.filter(|damage| !(are_words && *damage == Damage::NoJpeg))
    }

    /// Moves a picture from `incoming` to `newest`; the bytes after it stay.
    fn keep(&mut self, range: Range<usize>, geometry: Geometry) {
        let end = range.end;
        match &self.framer {
            Framer::Y4m { header, .. } if !header.as_is() => {
                // The buffers were allocated for this size, which was checked then.
                let bytes = geometry.picture_bytes().unwrap_or(0);
                header.unpack(&self.incoming[range], &mut self.newest[..bytes]);
                self.picture = 0..bytes;
                self.used = end;
            }
            _ => {
                std::mem::swap(&mut self.incoming, &mut self.newest);
                self.picture = range;
                let rest = &self.newest[end..self.filled];
                self.incoming[..rest.len()].copy_from_slice(rest);
                (self.used, self.filled) = (0, rest.len());
            }
        }
    }
}

/// A buffer, if there is memory for it.
fn zeroed(bytes: usize) -> Option<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(bytes).ok()?;
    buffer.resize(bytes, 0);
    Some(buffer)
}

/// Waits until `input` has bytes or has ended, or until `deadline`; `false` means the deadline passed.
fn readable(input: &File, deadline: Duration) -> Result<bool, CameraError> {
    loop {
        match poll::readable(input, deadline.saturating_sub(clock::now())) {
            Ok(readable) => return Ok(readable),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(lost(error)),
        }
    }
}

/// Reads what is there; 0 means the end, `None` that there is nothing after all.
fn read_some(input: &mut File, bytes: &mut [u8]) -> Result<Option<usize>, CameraError> {
    match input.read(bytes) {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
        // Another process made the shared pipe non-blocking and read first.
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(lost(error)),
    }
}

fn lost(error: std::io::Error) -> CameraError {
    CameraError::Spent(format!("standard input cannot be read: {error}"))
}

/// No picture came; says what is wrong with the bytes that did.
fn timeout(waited: Duration, vain: Option<Damage>) -> CameraError {
    let warning = vain.map(|damage| format!("the data could not be used: {damage}"));
    CameraError::Timeout {
        camera: "the pipe on standard input".into(),
        waited,
        warning: warning.unwrap_or_default(),
    }
}

const ENDED: &str = "standard input ended before a complete picture came";

fn came_in(waited: Duration) -> String {
    format!("standard input delivered no complete picture in {waited:?}")
}

/// What the stream seems to be, and what to do.
fn no_picture(arrived: &str, head: &[u8]) -> CameraError {
    let seems = match head {
        [] => String::new(),
        head => format!("; it seems to carry {}", guess(head)),
    };
    CameraError::Spent(format!("{arrived}{seems}: {ADVICE}"))
}

#[cfg(test)]
#[path = "pipe_tests.rs"]
mod tests;
