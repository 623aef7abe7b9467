//! A stream on standard input, MJPEG or Y4M: as a file, which is read picture by picture, and as a pipe, of which the newest
//! picture is taken.

use super::{assert_said, file_of, mjpeg};
use eyelet::camera::PipeConfig;
use eyelet::camera::{Camera, CameraError, Counts, Next, PipeCamera};
use eyelet::frame::{Frame, PixelFormat};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// The largest picture that is taken, each way.
const MAX_PX: u32 = 64;
/// What a Linux pipe holds.
const PIPE_BYTES: usize = 64 << 10;

pub fn run(data: &[u8]) {
    let file = file_of(data, ".stream", 0);
    let file = File::open(file.path()).unwrap();
    let (of_file, counts) = all_of(file.into(), data.len(), use_frame);
    assert_eq!(counts.stale, 0, "a file waits for us");
    if data.len() >= PIPE_BYTES {
        return;
    }
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(data).unwrap();
    drop(writer);
    let (of_pipe, counts) = all_of(reader.into(), data.len(), |_| ());
    assert_eq!(
        of_pipe + counts.stale,
        of_file,
        "both have the same pictures"
    );
}

/// Takes pictures until there are no more: how many, and what the camera counted.
fn all_of(input: OwnedFd, bytes: usize, mut take: impl FnMut(&Frame<'_>)) -> (u64, Counts) {
    let config = PipeConfig {
        max_width_px: MAX_PX,
        max_height_px: MAX_PX,
        timeout: Duration::from_secs(1),
    };
    let mut camera = match PipeCamera::of(input, &config, false) {
        Ok(camera) => camera,
        Err(error) => {
            assert_ended(&error);
            return (0, Counts::default());
        }
    };
    let mut pictures = 0;
    loop {
        match camera.next() {
            Ok(Next::Frame(frame)) => {
                assert!(frame.geometry.width_px <= MAX_PX);
                assert!(frame.geometry.height_px <= MAX_PX);
                take(&frame);
            }
            Ok(Next::NotYet) => continue,
            Ok(Next::End) => break,
            Err(error) => {
                assert_ended(&error);
                break;
            }
        }
        pictures += 1;
        assert!(pictures <= bytes as u64, "more pictures than bytes");
    }
    let counts = camera.counts();
    assert!(counts.damaged <= bytes as u64);
    (pictures, counts)
}

/// All bytes are there, and no more will come: that is not a timeout, and nothing that opening it again could help.
fn assert_ended(error: &CameraError) {
    assert!(matches!(error, CameraError::Spent(_)), "{error:?}");
    assert_said(&error.to_string());
}

fn use_frame(frame: &Frame<'_>) {
    let is_jpeg = frame.geometry.format == PixelFormat::Mjpeg;
    assert!(mjpeg::prepare(frame).is_ok() || is_jpeg);
}
