//! Picks the newest good frame of a driver's queue and returns the others. Pure over [`Queue`].
//!
//! Drivers hand out the oldest frame first. So everything that is ready is dequeued at once, the newest good frame is kept and
//! the rest is requeued. If (nearly) all buffers were full, the driver has had none to write to for a while, and even the newest
//! may be stale by as long as the caller spent on its last frame. A stale frame is requeued too, and the next one is waited for.

use crate::camera::Counts;
use crate::frame::PixelFormat;
use std::io;
use std::time::Duration;

/// One filled buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Filled {
    /// The buffer's index.
    pub index: usize,
    /// The part of each piece of memory that holds the picture; empty for unused pieces.
    pub parts: [Part; 3],
    /// Whether the driver itself flags the content as damaged.
    pub error_flag: bool,
    /// Capture time on `CLOCK_MONOTONIC`; `None` if the driver uses another clock.
    pub captured_at: Option<Duration>,
    /// The driver's frame count.
    pub sequence: u32,
}

/// A part of a piece of memory, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub first: usize,
    /// One past the last byte; it may be before the first, or past the end of the piece.
    pub end: usize,
}

/// A driver's queue of buffers.
pub(super) trait Queue {
    /// Dequeues the oldest filled buffer; waits at most this long for one.
    fn take(&mut self, wait: Duration) -> io::Result<Option<Filled>>;
    /// Returns a buffer to the driver to be filled again.
    fn give_back(&mut self, index: usize) -> io::Result<()>;
    /// The content of a dequeued buffer, per piece of memory.
    fn pieces(&self, filled: &Filled) -> [&[u8]; 3];
    /// The number of buffers in all.
    fn buffers(&self) -> usize;
    /// The current time on `CLOCK_MONOTONIC`.
    fn now(&self) -> Duration;
}

/// What makes a buffer a usable picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub format: PixelFormat,
    /// The minimum number of bytes of a picture in each piece of memory; 0 for unused pieces.
    pub piece_bytes: [usize; 3],
    /// Frame interval, as negotiated or assumed.
    pub interval: Duration,
}

impl Expected {
    /// Whether a buffer holds a picture that is as long as it must be.
    fn met_by(&self, filled: &Filled, pieces: [&[u8]; 3]) -> bool {
        let mut pairs = pieces.iter().zip(self.piece_bytes);
        !filled.error_flag
            && pairs.all(|(piece, needed)| piece.len() >= needed)
            && (self.format != PixelFormat::Mjpeg || is_jpeg(pieces[0]))
    }
}

/// Whether data begins with SOI and a marker (ITU-T T.81, B.1.1.3). Whether the picture is whole only the decoder can tell: some
/// cameras omit the end marker, and some drivers leave bytes of an older picture behind it.
fn is_jpeg(data: &[u8]) -> bool {
    data.starts_with(&[0xff, 0xd8, 0xff])
}

/// A JPEG without the zeros that fill up its buffer: the decoder would take them for data where the end marker is missing. Data
/// itself may end with a few.
pub(super) fn without_padding(jpeg: &[u8]) -> &[u8] {
    const OF_DATA: usize = 2;
    let last = jpeg.iter().rposition(|&byte| byte != 0).unwrap_or(0);
    &jpeg[..jpeg.len().min(last + 1 + OF_DATA)]
}

/// If the driver ran out of buffers, a frame older than this many intervals is not used.
const OLDEST_INTERVALS: u32 = 2;

/// Takes the newest good picture; `None` if none came within `wait`. The caller owns that buffer and returns it before the next
/// call; all others have been requeued.
pub(super) fn newest(
    queue: &mut impl Queue,
    expected: &Expected,
    wait: Duration,
    counts: &mut Counts,
) -> io::Result<Option<Filled>> {
    let deadline = queue.now() + wait;
    let waiting = drain(queue, expected, counts)?;
    if let Some(best) = waiting.best {
        // One buffer was the caller's until just now and is still empty.
        let starved = waiting.taken + 1 >= queue.buffers();
        let oldest = expected.interval * OLDEST_INTERVALS;
        let is_old = |at: Duration| queue.now().saturating_sub(at) > oldest;
        if !(starved && best.captured_at.is_none_or(is_old)) {
            return Ok(Some(best));
        }
        counts.stale += 1;
        queue.give_back(best.index)?;
    }
    loop {
        let left = deadline.saturating_sub(queue.now());
        let Some(first) = queue.take(left)? else {
            return Ok(None);
        };
        if expected.met_by(&first, queue.pieces(&first)) {
            return Ok(Some(first));
        }
        counts.damaged += 1;
        queue.give_back(first.index)?;
        if left.is_zero() {
            return Ok(None);
        }
    }
}

/// The frames that were ready.
struct Drained {
    /// The newest good one.
    best: Option<Filled>,
    /// How many there were, good or bad.
    taken: usize,
}

/// Takes what is ready now, without waiting, and requeues all but the newest good one. At most as many as there are buffers, so
/// that a camera faster than this loop cannot keep it busy.
fn drain(queue: &mut impl Queue, expected: &Expected, counts: &mut Counts) -> io::Result<Drained> {
    let mut drained = Drained {
        best: None,
        taken: 0,
    };
    while drained.taken < queue.buffers() {
        let Some(filled) = queue.take(Duration::ZERO)? else {
            break;
        };
        drained.taken += 1;
        if !expected.met_by(&filled, queue.pieces(&filled)) {
            counts.damaged += 1;
            queue.give_back(filled.index)?;
        } else if let Some(older) = drained.best.replace(filled) {
            counts.stale += 1;
            queue.give_back(older.index)?;
        }
    }
    Ok(drained)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::VecDeque;

    const INTERVAL: Duration = Duration::from_millis(33);
    const WAIT: Duration = Duration::from_secs(2);

    /// A camera whose frames arrive at fixed times (milliseconds), with simulated time only.
    struct Fake {
        now: Duration,
        buffers: usize,
        /// Arrival time, and what arrives.
        script: VecDeque<(u64, Filled)>,
        contents: Vec<Vec<u8>>,
        given_back: Vec<usize>,
        fails: bool,
    }

    impl Fake {
        fn new(now_ms: u64, arrivals_ms: &[u64]) -> Self {
            let script = arrivals_ms
                .iter()
                .enumerate()
                .map(|(index, &at)| {
                    let filled = Filled {
                        index,
                        parts: [Part { first: 0, end: 4 }, Part::default(), Part::default()],
                        error_flag: false,
                        captured_at: Some(Duration::from_millis(at)),
                        sequence: index as u32,
                    };
                    (at, filled)
                })
                .collect();
            Self {
                now: Duration::from_millis(now_ms),
                buffers: 4,
                script,
                contents: vec![vec![1, 2, 3, 4]; arrivals_ms.len()],
                given_back: vec![],
                fails: false,
            }
        }
    }

    impl Queue for Fake {
        fn take(&mut self, wait: Duration) -> io::Result<Option<Filled>> {
            if self.fails {
                return Err(io::Error::from_raw_os_error(libc::ENODEV));
            }
            match self.script.front() {
                Some(&(at, filled)) if Duration::from_millis(at) <= self.now + wait => {
                    self.now = self.now.max(Duration::from_millis(at));
                    self.script.pop_front();
                    Ok(Some(filled))
                }
                _ => {
                    self.now += wait;
                    Ok(None)
                }
            }
        }

        fn give_back(&mut self, index: usize) -> io::Result<()> {
            self.given_back.push(index);
            Ok(())
        }

        fn pieces(&self, filled: &Filled) -> [&[u8]; 3] {
            let contents = &self.contents[filled.index];
            filled.parts.map(|part| &contents[part.first..part.end])
        }

        fn buffers(&self) -> usize {
            self.buffers
        }

        fn now(&self) -> Duration {
            self.now
        }
    }

    fn raw() -> Expected {
        Expected {
            format: PixelFormat::Grey,
            piece_bytes: [4, 0, 0],
            interval: INTERVAL,
        }
    }

    fn run(queue: &mut Fake, expected: &Expected) -> (Option<usize>, Counts) {
        let mut counts = Counts::default();
        let filled = newest(queue, expected, WAIT, &mut counts).unwrap();
        (filled.map(|f| f.index), counts)
    }

    fn counts(stale: u64, damaged: u64) -> Counts {
        Counts { stale, damaged }
    }

    #[test]
    fn waits_for_a_frame_when_none_is_ready() {
        let mut queue = Fake::new(1000, &[1020]);
        assert_eq!(run(&mut queue, &raw()), (Some(0), counts(0, 0)));
        assert_eq!(queue.now, Duration::from_millis(1020));
        assert!(queue.given_back.is_empty());
    }

    #[test]
    fn keeps_the_newest_of_those_that_are_ready() {
        let mut queue = Fake::new(1000, &[950, 983, 1016]);
        assert_eq!(run(&mut queue, &raw()), (Some(1), counts(1, 0)));
        assert_eq!(queue.given_back, [0]);
        assert_eq!(queue.now, Duration::from_millis(1000), "no waiting");
    }

    #[test]
    fn an_old_frame_of_a_driver_without_buffers_is_not_shown() {
        // The last frame took half a second; the three free buffers were full after a tenth of that time.
        let mut queue = Fake::new(1500, &[1033, 1066, 1100, 1516]);
        assert_eq!(run(&mut queue, &raw()), (Some(3), counts(3, 0)));
        assert_eq!(queue.given_back, [0, 1, 2]);
        // Just as full, but fresh enough.
        let mut queue = Fake::new(1120, &[1033, 1066, 1100]);
        assert_eq!(run(&mut queue, &raw()), (Some(2), counts(2, 0)));
    }

    #[test]
    fn an_old_frame_of_a_slow_camera_is_its_newest() {
        let mut queue = Fake::new(1500, &[1000]);
        assert_eq!(run(&mut queue, &raw()), (Some(0), counts(0, 0)));
    }

    #[test]
    fn a_frame_of_unknown_age_is_not_trusted_when_buffers_ran_out() {
        let mut queue = Fake::new(1100, &[1033, 1066, 1099, 1132]);
        for (_, filled) in &mut queue.script {
            filled.captured_at = None;
        }
        assert_eq!(run(&mut queue, &raw()), (Some(3), counts(3, 0)));
    }

    #[test]
    fn damaged_frames_are_skipped_and_counted() {
        let mut queue = Fake::new(1000, &[950, 983, 990]);
        queue.buffers = 5;
        queue.script[1].1.error_flag = true;
        queue.script[2].1.parts[0].end = 3;
        assert_eq!(run(&mut queue, &raw()), (Some(0), counts(0, 2)));
        assert_eq!(queue.given_back, [1, 2]);
        // None is good: it waits for the next good one.
        let mut queue = Fake::new(1000, &[990, 1020, 1053]);
        queue.script[0].1.error_flag = true;
        queue.script[1].1.error_flag = true;
        assert_eq!(run(&mut queue, &raw()), (Some(2), counts(0, 2)));
    }

    #[test]
    fn a_picture_is_whole_when_each_of_its_pieces_is() {
        let planes = Expected {
            piece_bytes: [3, 1, 0],
            ..raw()
        };
        let mut queue = Fake::new(1000, &[950, 983]);
        let apart = [Part { first: 1, end: 4 }, Part { first: 3, end: 4 }];
        queue.script[0].1.parts[..2].copy_from_slice(&apart);
        // The second has no chroma.
        assert_eq!(run(&mut queue, &planes), (Some(0), counts(0, 1)));
    }

    #[test]
    fn a_silent_stream_is_waited_for_and_so_is_a_damaged_one() {
        let mut queue = Fake::new(1000, &[]);
        assert_eq!(run(&mut queue, &raw()), (None, counts(0, 0)));
        assert_eq!(queue.now, Duration::from_millis(3000));

        let arrivals: Vec<u64> = (1000..9000).step_by(33).collect();
        let mut queue = Fake::new(1000, &arrivals);
        for (_, filled) in &mut queue.script {
            filled.error_flag = true;
        }
        let (frame, counts) = run(&mut queue, &raw());
        assert_eq!(frame, None);
        assert!(queue.now <= Duration::from_millis(3040), "{:?}", queue.now);
        assert_eq!(counts.damaged, 61);
    }

    #[test]
    fn a_camera_that_never_pauses_cannot_hold_the_loop() {
        let mut queue = Fake::new(1000, &[990; 1000]);
        assert_eq!(run(&mut queue, &raw()), (Some(3), counts(3, 0)));
    }

    #[test]
    fn an_error_of_the_device_is_passed_on() {
        let mut queue = Fake::new(1000, &[990]);
        queue.fails = true;
        let error = newest(&mut queue, &raw(), WAIT, &mut Counts::default()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }

    #[test]
    fn what_begins_as_a_jpeg_is_left_to_the_decoder() {
        let mjpeg = Expected {
            format: PixelFormat::Mjpeg,
            ..raw()
        };
        let whole = [0xff, 0xd8, 0xff, 0xda, 7, 0xff, 0xd9];
        // Whole; without its end marker; with bytes of an older picture behind it.
        for jpeg in [
            &whole[..],
            &whole[..5],
            &[&whole[..], &[1, 2, 3]].concat(),
            &[&whole[..], &[0; 500]].concat(),
        ] {
            let mut queue = Fake::new(1000, &[950]);
            queue.script[0].1.parts[0].end = jpeg.len();
            queue.contents = vec![jpeg.to_vec()];
            assert_eq!(run(&mut queue, &mjpeg), (Some(0), counts(0, 0)), "{jpeg:?}");
        }
        let mut queue = Fake::new(1000, &[950, 983]);
        queue.contents = vec![vec![0xff, 0xd8, 0xff, 0xd9], vec![0xff, 0xd9, 0xff, 0xd8]];
        assert_eq!(run(&mut queue, &mjpeg), (Some(0), counts(0, 1)), "no start");
    }

    #[test]
    fn padding_is_no_data() {
        assert!(without_padding(&[]).is_empty());
        assert_eq!(without_padding(&[0; 9]), [0; 3]);
        for zeros in 0..9 {
            let padded = [&[0xff, 0xd8, 0, 7][..], &vec![0; zeros]].concat();
            assert_eq!(without_padding(&padded), &padded[..4 + zeros.min(2)]);
        }
    }
}
