//! Tests of the pipe camera, over real pipes and files.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::frame::PixelFormat;
use std::io::{PipeWriter, Seek, Write, pipe};

fn config() -> PipeConfig {
    PipeConfig {
        max_width_px: 64,
        max_height_px: 48,
        timeout: Duration::from_secs(20),
    }
}

/// A camera on a pipe that already holds `bytes`.
fn camera(bytes: &[u8]) -> (PipeCamera, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(bytes).unwrap();
    (
        PipeCamera::of(reader.into(), &config(), false).unwrap(),
        writer,
    )
}

/// The camera's error when nothing more comes.
fn timeout_error(camera: &mut PipeCamera) -> CameraError {
    let patience = Patience::new(Duration::from_millis(30));
    let patience = std::mem::replace(&mut camera.patience, patience);
    let error = camera.next().unwrap_err();
    camera.patience = patience;
    error
}

fn refused(bytes: &[u8]) -> String {
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(bytes).unwrap();
    drop(writer);
    match PipeCamera::of(reader.into(), &config(), false) {
        Ok(mut camera) => fails(&mut camera).to_string(),
        Err(error) => error.to_string(),
    }
}

/// The next picture's bytes; `None` at the end.
fn next(camera: &mut PipeCamera) -> Option<Vec<u8>> {
    loop {
        match camera.next().unwrap() {
            Next::Frame(frame) => return Some(frame.data.to_vec()),
            Next::NotYet => {}
            Next::End => return None,
        }
    }
}

/// The error that comes instead of a picture.
fn fails(camera: &mut PipeCamera) -> CameraError {
    loop {
        match camera.next() {
            Ok(Next::NotYet) => {}
            Err(error) => return error,
            Ok(other) => panic!("{other:?}"),
        }
    }
}

fn jpeg(grey: u8, size: u32) -> Vec<u8> {
    let picture = image::GrayImage::from_pixel(size, size, image::Luma([grey]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, image::ImageFormat::Jpeg)
        .unwrap();
    bytes.into_inner()
}

/// The same with a thumbnail inside an APP1 segment.
fn jpeg_with_thumbnail(grey: u8) -> Vec<u8> {
    let (whole, thumbnail) = (jpeg(grey, 32), jpeg(9, 8));
    let length = u16::try_from(thumbnail.len() + 2).unwrap().to_be_bytes();
    [&whole[..2], &[0xff, 0xe1], &length, &thumbnail, &whole[2..]].concat()
}

#[test]
fn the_newest_picture_is_taken_and_older_ones_are_counted() {
    let pictures = [jpeg(1, 16), jpeg_with_thumbnail(2), jpeg(3, 24)];
    let (mut camera, mut writer) = camera(&pictures.concat());
    assert_eq!(
        camera.geometry(),
        Geometry::packed(PixelFormat::Mjpeg, 64, 48)
    );
    assert_eq!(camera.describe(), "pipe: MJPEG up to 64x48");
    let Next::Frame(frame) = camera.next().unwrap() else {
        panic!("a frame")
    };
    assert_eq!(frame.data, pictures[2]);
    assert_eq!((frame.geometry.width_px, frame.sequence), (24, 2));
    assert_eq!(
        camera.counts(),
        Counts {
            stale: 2,
            damaged: 0
        }
    );
    // Half a picture waits for the rest.
    writer.write_all(&pictures[1][..100]).unwrap();
    assert!(matches!(
        timeout_error(&mut camera),
        CameraError::Timeout { .. }
    ));
    writer.write_all(&pictures[1][100..]).unwrap();
    assert_eq!(next(&mut camera).unwrap(), pictures[1]);
    drop(writer);
    assert_eq!(next(&mut camera), None);
    assert_eq!(next(&mut camera), None);
}

#[test]
fn garbage_between_pictures_is_skipped_and_counted_once() {
    let (a, b) = (jpeg(1, 16), jpeg(2, 16));
    let noise = [0x41; 500];
    let (mut camera, mut writer) = camera(&[&noise[..], &a].concat());
    assert_eq!(next(&mut camera).unwrap(), a);
    assert_eq!(camera.counts().damaged, 1);
    let stalled = "no frame from the pipe on standard input for 30ms";
    writer.write_all(&noise).unwrap();
    assert_eq!(timeout_error(&mut camera).to_string(), stalled);
    writer.write_all(&noise).unwrap();
    writer.write_all(&b).unwrap();
    assert_eq!(next(&mut camera).unwrap(), b);
    assert_eq!(camera.counts().damaged, 2);
    // A little text between two pictures is not reported; a lot of it is why no picture comes.
    assert_eq!(camera.damage(), None);
    writer.write_all(&noise.repeat(3)).unwrap();
    let why = "the data could not be used: what follows the last picture is not a JPEG";
    let error = timeout_error(&mut camera).to_string();
    assert_eq!(error, format!("{stalled}: {why}"));
    writer.write_all(&b).unwrap();
    assert_eq!(next(&mut camera).unwrap(), b);
    assert_eq!(camera.counts().damaged, 3);
    // A picture cut short by the next one.
    writer.write_all(&a[..a.len() - 3]).unwrap();
    writer.write_all(&b).unwrap();
    assert_eq!(next(&mut camera).unwrap(), b);
    assert!(matches!(camera.damage(), Some(Damage::Broken(_))));
    assert_eq!(
        camera.counts(),
        Counts {
            stale: 0,
            damaged: 4
        }
    );
    writer.write_all(&a[..40]).unwrap();
    drop(writer);
    assert_eq!(next(&mut camera), None);
    assert_eq!(camera.counts().damaged, 5);
}

#[test]
fn oversized_pictures_are_refused_and_the_next_one_is_found() {
    let (mut camera, mut writer) = camera(&jpeg(1, 16));
    assert!(next(&mut camera).is_some());
    assert_eq!(camera.damage(), None);
    writer.write_all(&jpeg(1, 200)).unwrap();
    let error = timeout_error(&mut camera);
    assert!(matches!(error, CameraError::Timeout { .. }), "{error:?}");
    let why = "for 30ms: the data could not be used: standard input carries 200x200 pictures, but [camera.pipe] takes at most 64x48: raise";
    assert!(error.to_string().contains(why), "{error}");
    assert!(matches!(camera.damage(), Some(Damage::TooLarge { .. })));
    // Reported once; then the sender is silent.
    assert_eq!(camera.damage(), None);
    let error = timeout_error(&mut camera).to_string();
    assert!(error.ends_with("standard input for 30ms"), "{error}");
    // Longer than the buffer, with no end.
    let endless = jpeg(1, 16);
    writer.write_all(&endless[..endless.len() - 2]).unwrap();
    let capacity = camera.stream.as_ref().unwrap().incoming.len();
    let feeder = std::thread::spawn(move || {
        writer.write_all(&vec![0x55; capacity + 10]).unwrap();
        writer.write_all(&jpeg(7, 16)).unwrap();
        writer
    });
    assert_eq!(next(&mut camera).unwrap(), jpeg(7, 16));
    assert_eq!(camera.damage(), Some(Damage::Endless(capacity)));
    drop(feeder.join().unwrap());
    assert_eq!(camera.counts().damaged, 2);
}

#[test]
fn y4m_frames_come_and_the_stream_is_found_again() {
    let frame = |value: u8| [b"FRAME\n".as_slice(), &[value; 6]].concat();
    let start = b"YUV4MPEG2 W2 H2 F25:1 C420jpeg\n";
    let (mut camera, mut writer) = camera(&[start.as_slice(), &frame(1), &frame(2)].concat());
    assert_eq!(camera.geometry(), Geometry::packed(PixelFormat::Yu12, 2, 2));
    assert_eq!(next(&mut camera).unwrap(), [2; 6]);
    assert_eq!(camera.counts().stale, 1);
    writer
        .write_all(&[b"xyFRAMxFRAM".as_slice(), &frame(3)].concat())
        .unwrap();
    assert_eq!(next(&mut camera).unwrap(), [3; 6]);
    assert_eq!(camera.counts().damaged, 1);
    assert_eq!(camera.damage(), Some(Damage::NoFrameLine));
    let (mut camera, _writer) = self::camera(b"YUV4MPEG2 W2 H1 C422\nFRAME\n\x01\x02\x0a\x14");
    assert_eq!(next(&mut camera).unwrap(), [1, 10, 2, 20]);
}

#[test]
fn a_file_gives_all_its_pictures() {
    let pictures: Vec<_> = (1..5).map(|grey| jpeg(grey * 40, 16)).collect();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&pictures.concat()).unwrap();
    file.rewind().unwrap();
    let mut camera = PipeCamera::of(file.into(), &config(), false).unwrap();
    for picture in &pictures {
        assert_eq!(next(&mut camera).as_ref(), Some(picture));
    }
    assert_eq!(next(&mut camera), None);
    assert_eq!(camera.counts(), Counts::default());
}

#[test]
fn other_data_than_a_stream_of_pictures_is_refused_with_advice() {
    assert!(refused(b"").contains("ended before a complete picture"));
    assert!(refused(b"hello, this is text").contains("ended before a complete picture"));
    assert!(refused(b"hello, this is text").contains("to carry text"));
    assert!(refused(&[0, 0, 0, 1, 0x67, 1, 2, 3]).contains("--codec mjpeg"));
    assert!(refused(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").contains("carries a PNG picture"));
    let line = [b"YUV4MPEG2 W2 H2\nFRAME".as_slice(), &[b' '; 2000]].concat();
    assert!(refused(&line).contains("FRAME line of at most 256 bytes"));
    assert!(refused(b"YUV4MPEG2 W640 H480\n").contains("raise max_width_px"));
    assert!(refused(b"YUV4MPEG2 W2 H2 C420p10\nFRAME\n").contains("C420p10"));
    assert!(refused(&[b"YUV4MPEG2 ".as_slice(), &[b'x'; 2000]].concat()).contains("does not end"));
    assert!(refused(&jpeg(1, 200)).contains("200x200"));
    let (reader, _writer) = pipe().unwrap();
    let mut timeout_error = config();
    timeout_error.timeout = Duration::from_millis(30);
    let error = PipeCamera::of(reader.into(), &timeout_error, false).unwrap_err();
    assert!(matches!(error, CameraError::Timeout { .. }));
}

#[test]
fn a_stream_without_a_first_picture_is_given_up() {
    let mut random = fastrand::Rng::with_seed(3);
    let noise: Vec<u8> = (0..30_000).map(|_| random.u8(..)).collect();
    for (bytes, says) in [
        (noise, "noise or another codec"),
        (vec![0; 4096], "nothing but zeros"),
        (b"words ".repeat(700), "text"),
        ([0xff, 0xd8].repeat(2000), "damaged or incomplete JPEGs"),
        (vec![0xff; 4096], "noise or another codec"),
        (jpeg(1, 200)[..600].to_vec(), "200x200 pictures"),
    ] {
        let (reader, mut writer) = pipe().unwrap();
        std::thread::spawn(move || while writer.write_all(&bytes).is_ok() {});
        let mut camera = PipeCamera::of(reader.into(), &config(), false).unwrap();
        let error = fails(&mut camera);
        assert!(matches!(error, CameraError::Spent(_)), "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
    }
    // Too few bytes to be sure: then the timeout decides.
    let whole = jpeg(1, 16);
    let (mut camera, _writer) = camera(&whole[..whole.len() - 40]);
    let error = timeout_error(&mut camera);
    assert!(matches!(error, CameraError::Spent(_)), "{error:?}");
    assert!(
        error.to_string().contains("no complete picture in 30ms"),
        "{error}"
    );
}

#[test]
fn a_sender_that_is_joined_in_the_middle_is_found() {
    let (first, second) = (jpeg_with_thumbnail(1), jpeg(2, 48));
    let (mut camera, _writer) = camera(&[&first[first.len() / 2..], &second].concat());
    assert_eq!(next(&mut camera).unwrap(), second);
}

#[test]
fn an_endless_stream_of_noise_does_not_keep_us_reading() {
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(&jpeg(1, 16)).unwrap();
    std::thread::spawn(move || while writer.write_all(&[0x55; 4096]).is_ok() {});
    let mut camera = PipeCamera::of(reader.into(), &config(), false).unwrap();
    assert!(next(&mut camera).is_some());
    // After a good picture it waits for as long as the sender lives, one timeout after another.
    let error = timeout_error(&mut camera);
    assert!(matches!(error, CameraError::Timeout { .. }), "{error:?}");
}

/// The board file's timeout may be longer than a class counts as live.
#[test]
fn a_sender_that_stalls_is_waited_for_in_slices_up_to_the_timeout() {
    let (mut camera, mut writer) = camera(&jpeg(1, 16));
    let stalls = |camera: &mut PipeCamera| {
        let (begin, mut slices) = (clock::now(), 0);
        loop {
            match camera.next() {
                Ok(Next::NotYet) => slices += 1,
                Err(error) => return (error, slices, clock::now() - begin),
                Ok(other) => panic!("{other:?}"),
            }
        }
    };
    let timeout = Duration::from_millis(550);
    for round in 0..2 {
        assert!(next(&mut camera).is_some());
        camera.patience = Patience::new(timeout);
        // Bytes that become no picture are no reason to wait longer.
        writer.write_all(&jpeg(1, 16)[..100]).unwrap();
        let (error, slices, waited) = stalls(&mut camera);
        assert!(
            matches!(error, CameraError::Timeout { waited, .. } if waited == timeout),
            "{error:?}"
        );
        // On a busy machine a slice may be late.
        assert!((1..=5).contains(&slices), "round {round}: {slices}");
        assert!(waited >= timeout, "{waited:?}");
        camera.patience = Patience::new(config().timeout);
        writer.write_all(&jpeg(1, 16)[100..]).unwrap();
    }
}

#[test]
fn a_fast_sender_does_not_keep_us_reading() {
    let (reader, mut writer) = pipe().unwrap();
    std::thread::spawn(move || {
        let picture = jpeg(5, 48);
        while writer.write_all(&picture).is_ok() {}
    });
    let mut camera = PipeCamera::of(reader.into(), &config(), false).unwrap();
    for _ in 0..3 {
        let begin = clock::now();
        assert!(next(&mut camera).is_some());
        assert!(clock::now() - begin < Duration::from_secs(5));
    }
    // The sender may still be waiting for a CPU; once it has run, more than one picture is in the pipe.
    for _ in 0..1000 {
        if camera.counts().stale > 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
        assert!(next(&mut camera).is_some());
    }
    panic!("no older picture was dropped");
}

#[test]
fn random_bytes_end_without_panic() {
    let mut random = fastrand::Rng::with_seed(8);
    for round in 0..200 {
        let mut bytes = match round % 2 {
            0 => [jpeg(3, 16), jpeg_with_thumbnail(4)].concat(),
            _ => b"YUV4MPEG2 W2 H2 C444\nFRAME\n123456789012FRAME\nabcdefghijkl".to_vec(),
        };
        for _ in 0..random.usize(0..6) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        let (reader, mut writer) = pipe().unwrap();
        writer.write_all(&bytes).unwrap();
        drop(writer);
        let Ok(mut camera) = PipeCamera::of(reader.into(), &config(), false) else {
            continue;
        };
        while let Ok(Next::Frame(_) | Next::NotYet) = camera.next() {}
    }
}
