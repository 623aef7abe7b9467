//! Streams of pictures: run to their end, also with damaged ones among them, and refused when all are damaged.

use crate::Then::{Ends, Repeats};
use crate::common::fixture;
use crate::{CAMERA, DONE, check, cut, jpeg, row, send, y4m};

/// A JPEG's end.
const END: &[u8] = &[0xff, 0xd9];

#[test]
fn pictures_that_are_all_damaged() {
    let photo = jpeg(640, 480);
    let progressive = std::fs::read(fixture("progressive.jpg")).unwrap();
    for row in [
        row(
            "MJPEG cut to 30 %",
            cut(&photo, 30, END).repeat(50),
            Ends,
            CAMERA,
            "no frame could be used; the last one: the JPEG is cut short",
        ),
        row(
            "MJPEG cut to 99 %",
            cut(&photo, 99, END).repeat(50),
            Ends,
            CAMERA,
            "cut short",
        ),
        row(
            "MJPEG cut to 30 % for ever",
            cut(&photo, 30, END),
            Repeats,
            CAMERA,
            "cut short",
        ),
        row(
            "progressive JPEGs",
            progressive,
            Repeats,
            CAMERA,
            "progressive",
        ),
    ] {
        check(&row, &send(&row));
    }
}

#[test]
fn streams_of_pictures_run_to_their_end() {
    let photo = jpeg(64, 48);
    let part = |jpeg: &[u8]| {
        let head = format!(
            "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
            jpeg.len()
        );
        [head.as_bytes(), jpeg, b"\r\n"].concat()
    };
    let frames = |n: usize| {
        [b"FRAME\n".as_slice(), &[90; 64 * 48 * 3 / 2]]
            .concat()
            .repeat(n)
    };
    for row in [
        row(
            "one picture",
            photo.clone(),
            Ends,
            DONE,
            "\"event\":\"verdict\"",
        ),
        row("pictures", photo.repeat(20), Ends, DONE, "\"damaged\":0"),
        row(
            "joined in the middle",
            [&photo[300..], &photo].concat(),
            Ends,
            DONE,
            "\"damaged\":1",
        ),
        row(
            "the last one is cut",
            [&photo[..], &photo[..500]].concat(),
            Ends,
            DONE,
            "\"damaged\":1",
        ),
        row(
            "zeros behind it",
            [&photo[..], &vec![0; 2 << 20]].concat(),
            Ends,
            DONE,
            "\"damaged\":1",
        ),
        row(
            "parts, as from a web camera",
            part(&photo).repeat(5),
            Ends,
            DONE,
            "\"event\":\"verdict\"",
        ),
        row(
            "one that is too large among them",
            [&photo[..], &jpeg(700, 500), &photo].concat(),
            Ends,
            DONE,
            "\"why\":\"standard input carries 700x500 pictures, but [camera.pipe] takes at most 640x480",
        ),
        row(
            "the largest",
            jpeg(640, 480),
            Ends,
            DONE,
            "\"event\":\"verdict\"",
        ),
        row(
            "Y4M",
            [y4m("W64 H48", b"FRAME\n"), frames(5)].concat(),
            Ends,
            DONE,
            "\"damaged\":0",
        ),
    ] {
        check(&row, &send(&row));
    }
}
