//! What is not a stream of pictures, or one of pictures that are too large: refused with what it seems to be.

use crate::Then::{Ends, Repeats, Waits};
use crate::{CAMERA, check, cut, encoded, jpeg, noise, row, send, y4m};

#[test]
fn other_data_than_streams_of_pictures() {
    let png = encoded(image::ImageFormat::Png, 64, 48);
    let photo = jpeg(64, 48);
    let no_size = {
        let mut photo = photo.clone();
        let at = photo.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
        photo[at + 5..at + 9].fill(0);
        photo
    };
    let rows = [
        row(
            "nothing",
            "",
            Ends,
            CAMERA,
            "ended before a complete picture",
        ),
        row(
            "one byte",
            "x",
            Ends,
            CAMERA,
            "ended before a complete picture",
        ),
        row("a PNG", png.clone(), Ends, CAMERA, "a PNG picture"),
        row(
            "a PNG, sender lives",
            png.clone(),
            Waits,
            CAMERA,
            "a PNG picture",
        ),
        row(
            "PNGs for ever",
            png,
            Repeats,
            CAMERA,
            "rpicam-vid -t 0 --codec mjpeg",
        ),
        row(
            "a GIF",
            encoded(image::ImageFormat::Gif, 20, 20),
            Ends,
            CAMERA,
            "a GIF picture",
        ),
        row(
            "text",
            "hello, this is text\n",
            Ends,
            CAMERA,
            "to carry text",
        ),
        row(
            "text, sender lives",
            "hello, this is text\n",
            Waits,
            CAMERA,
            "to carry text",
        ),
        row(
            "text for ever",
            "yes\n".repeat(1000),
            Repeats,
            CAMERA,
            "to carry text",
        ),
        row("zeros", vec![0; 2 << 20], Ends, CAMERA, "nothing but zeros"),
        row(
            "zeros for ever",
            [0; 4096],
            Repeats,
            CAMERA,
            "nothing but zeros",
        ),
        row("noise", noise(2 << 20), Ends, CAMERA, "noise"),
        row(
            "a little noise, sender lives",
            noise(5000),
            Waits,
            CAMERA,
            "noise",
        ),
        row(
            "raw video",
            vec![0x80; 640 * 480 * 2 * 3],
            Ends,
            CAMERA,
            "raw video",
        ),
        row(
            "raw video, white",
            vec![0xff; 640 * 480 * 2 * 3],
            Ends,
            CAMERA,
            "raw video",
        ),
        row(
            "H.264",
            [0, 0, 0, 1, 0x67, 0x42, 0, 0x1f],
            Repeats,
            CAMERA,
            "H.264",
        ),
        row(
            "an MP4",
            b"\0\0\0\x18ftypmp42\0\0\0\0".as_slice(),
            Ends,
            CAMERA,
            "MP4",
        ),
        row(
            "an AVI",
            b"RIFF\0\0\0\0AVI LIST".as_slice(),
            Ends,
            CAMERA,
            "AVI",
        ),
        row(
            "starts of JPEGs",
            [0xff, 0xd8].repeat(1 << 20),
            Ends,
            CAMERA,
            "damaged or incomplete JPEGs",
        ),
        row(
            "starts of markers",
            [0xff, 0xd8, 0xff].repeat(1 << 20),
            Ends,
            CAMERA,
            "damaged or incomplete JPEGs",
        ),
        row(
            "a JPEG without end",
            [&photo[..photo.len() - 2], &vec![0x11; 2 << 20]].concat(),
            Ends,
            CAMERA,
            "incomplete JPEGs",
        ),
        row(
            "half a JPEG, sender lives",
            cut(&photo, 50, &[]),
            Waits,
            CAMERA,
            "incomplete JPEGs",
        ),
        row(
            "half JPEGs",
            cut(&photo, 50, &[]),
            Repeats,
            CAMERA,
            "incomplete JPEGs",
        ),
        row(
            "MJPEG of no size",
            no_size,
            Repeats,
            CAMERA,
            "incomplete JPEGs",
        ),
        row(
            "MJPEG of 2560x1440",
            jpeg(2560, 1440),
            Ends,
            CAMERA,
            "2560x1440 pictures, but [camera.pipe] takes at most 640x480: raise max_width_px",
        ),
        row(
            "MJPEG that is one too wide",
            jpeg(641, 16),
            Repeats,
            CAMERA,
            "641x16",
        ),
        row(
            "Y4M of 2560x1440",
            y4m("W2560 H1440", b"FRAME\n"),
            Ends,
            CAMERA,
            "raise max_width_px",
        ),
        row(
            "Y4M of 65535x65535",
            y4m("W65535 H65535", b"FRAME\n"),
            Ends,
            CAMERA,
            "raise max_width_px",
        ),
        row(
            "Y4M of 99999999999",
            y4m("W99999999999 H3", b"FRAME\n"),
            Ends,
            CAMERA,
            "1 to 65535",
        ),
        row(
            "Y4M, FRAME line of 1 MB",
            y4m(
                "W64 H48",
                &[b"FRAME".as_slice(), &vec![b' '; 1 << 20]].concat(),
            ),
            Ends,
            CAMERA,
            "FRAME line of at most 256 bytes",
        ),
        row(
            "Y4M, FRAME lines of 1 MB",
            y4m(
                "W64 H48",
                &[b"FRAME".as_slice(), &vec![b'x'; 1 << 20], b"\n"].concat(),
            ),
            Repeats,
            CAMERA,
            "FRAME line of at most 256 bytes",
        ),
        row(
            "Y4M, header of 1 MB",
            y4m(&" ".repeat(1 << 20), b"FRAME\n"),
            Ends,
            CAMERA,
            "does not end",
        ),
        row(
            "Y4M, 10 bits",
            y4m("W64 H48 C420p10", b"FRAME\n"),
            Ends,
            CAMERA,
            "C420p10",
        ),
        row(
            "Y4M, header alone, sender lives",
            "YUV4MPEG2 W64 H48 ",
            Waits,
            CAMERA,
            "no complete picture in 1s",
        ),
        row(
            "Y4M, half a frame",
            &y4m("W64 H48", b"FRAME\n")[..3000],
            Ends,
            CAMERA,
            "ended before a complete picture",
        ),
    ];
    for row in &rows {
        check(row, &send(row));
    }
}
