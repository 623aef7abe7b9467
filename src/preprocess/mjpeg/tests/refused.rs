//! Pictures that are damaged, cut short, or no video.

use super::*;

const SIZE_PX: (usize, usize) = (70, 50);

fn picture() -> Vec<u8> {
    encoded(&recipe(SIZE_PX, &[(2, 1), (1, 1), (1, 1)]), 5).jpeg
}

fn marker_at(jpeg: &[u8], marker: u8) -> usize {
    jpeg.windows(2).position(|w| w == [0xff, marker]).unwrap()
}

#[test]
fn cut_pictures_are_refused_wherever_the_cut_is() {
    for restart_interval in [0, 4] {
        let recipe = Recipe {
            restart_interval,
            ..recipe(SIZE_PX, &[(2, 1), (1, 1), (1, 1)])
        };
        let jpeg = encoded(&recipe, 5).jpeg;
        let whole = decode(&jpeg, SIZE_PX).unwrap();
        let data_end = jpeg.len() - 2;
        let scan_at = marker_at(&jpeg, 0xda) + 14;
        for end in 4..jpeg.len() {
            // As from a webcam that omits the end marker; with an end marker after the cut; with a marker of the next picture.
            for behind in [&[][..], &[0xff, 0xd9], &[0xff]] {
                let cut = [&jpeg[..end], behind].concat();
                match decode(&cut, SIZE_PX) {
                    Ok(planes) => {
                        assert!(end >= data_end, "{end} of {data_end}");
                        assert_eq!(planes, whole, "{end}");
                    }
                    Err(MjpegError::Truncated(length)) => {
                        assert!(end < data_end);
                        assert_eq!(length, cut.len());
                    }
                    // In the headers the cut may leave an invalid marker.
                    Err(error) => assert!(end < scan_at, "{end}: {error}"),
                }
            }
        }
    }
}

#[test]
fn flat_pictures_of_few_bits_are_whole() {
    // Two bits per block: the decoder has read to the end before it reaches the last rows.
    for size_px in [(16, 16), (16, 400), (64, 64), (1, 1), (8, 2000)] {
        let recipe = Recipe {
            quantiser: 200,
            ..recipe(size_px, &[(1, 1)])
        };
        let jpeg = recipe.encode(|_, _, _| 128.0).jpeg;
        for end in [jpeg.len(), jpeg.len() - 2] {
            assert!(decode(&jpeg[..end], size_px).is_ok(), "{size_px:?}");
        }
    }
}

#[test]
fn other_kinds_are_refused() {
    let jpeg = picture();
    let frame_at = marker_at(&jpeg, 0xc0);
    let scan_at = marker_at(&jpeg, 0xda);
    let with = |changes: &[(usize, u8)]| {
        let mut jpeg = jpeg.clone();
        changes.iter().for_each(|&(at, value)| jpeg[at] = value);
        decode(&jpeg, SIZE_PX).unwrap_err()
    };
    assert_eq!(with(&[(frame_at + 1, 0xc2)]), MjpegError::Scans);
    assert_eq!(with(&[(scan_at + 4, 1)]), MjpegError::Scans);
    assert!(matches!(with(&[(frame_at + 4, 12)]), MjpegError::Kind(_)));
    assert!(matches!(with(&[(frame_at + 9, 4)]), MjpegError::Damaged(_)));
    // Chroma finer than luma, or at two thirds.
    assert!(matches!(
        with(&[(frame_at + 14, 0x41)]),
        MjpegError::Kind(_)
    ));
    assert!(matches!(
        with(&[(frame_at + 11, 0x31)]),
        MjpegError::Kind(_)
    ));
    assert!(matches!(
        with(&[(frame_at + 14, 0x21)]),
        MjpegError::Kind(_)
    ));
    // A quantiser and Huffman tables that are nowhere.
    assert!(matches!(
        with(&[(frame_at + 12, 3)]),
        MjpegError::Damaged(_)
    ));
    assert!(matches!(
        with(&[(scan_at + 6, 0x20)]),
        MjpegError::Damaged(_)
    ));
    let adobe = [
        &jpeg[..2],
        b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0",
        &jpeg[2..],
    ]
    .concat();
    assert!(matches!(decode(&adobe, SIZE_PX), Err(MjpegError::Kind(_))));
    assert_eq!(
        decode(b"\xff\xd8\xff\xd9", SIZE_PX),
        Err(MjpegError::Damaged("it has no picture"))
    );
    assert_eq!(decode(b"YUV4MPEG2", SIZE_PX), Err(MjpegError::NoMarker(0)));
}

#[test]
fn another_size_is_refused_before_decoding() {
    let mut jpeg = picture();
    let frame_at = marker_at(&jpeg, 0xc0);
    jpeg[frame_at + 5..frame_at + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    let error = decode(&jpeg, SIZE_PX).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the JPEG is 65535x65535 pixels, the camera promised 70x50"
    );
}

#[test]
fn restarts_must_be_in_order() {
    let recipe = Recipe {
        restart_interval: 2,
        ..recipe(SIZE_PX, &[(1, 1), (1, 1), (1, 1)])
    };
    let jpeg = encoded(&recipe, 6).jpeg;
    let second = marker_at(&jpeg, 0xd1);
    let with = |at: usize, bytes: &[u8], skipped: usize| {
        let jpeg = [&jpeg[..at], bytes, &jpeg[at + skipped..]].concat();
        decode(&jpeg, SIZE_PX)
    };
    let whole = decode(&jpeg, SIZE_PX).unwrap();
    assert_eq!(with(second, &[0xff, 0xff], 0).unwrap(), whole, "fill bytes");
    assert!(matches!(
        with(second + 1, &[0xd2], 1),
        Err(MjpegError::Damaged(_))
    ));
    assert!(matches!(with(second, &[], 2), Err(MjpegError::Damaged(_))));
    let third = marker_at(&jpeg, 0xd2);
    assert!(matches!(
        with(second, &[], third - second),
        Err(MjpegError::Damaged(_))
    ));
}

#[test]
fn damaged_pictures_never_panic() {
    let mut random = Rng::with_seed(4);
    let (window, mut decoder) = whole(SIZE_PX);
    let size_px = (SIZE_PX.0 as u32, SIZE_PX.1 as u32);
    for turn in 0..50u16 {
        let recipe = Recipe {
            restart_interval: turn % 3,
            has_own_codes: turn % 2 == 0,
            quantiser: [2, 300][usize::from(turn % 5 == 0)],
            ..recipe(SIZE_PX, SAMPLINGS[usize::from(turn) % SAMPLINGS.len()])
        };
        let jpeg = encoded(&recipe, 7).jpeg;
        for _ in 0..60 {
            let mut damaged = jpeg.clone();
            let headers = marker_at(&jpeg, 0xda) + 14;
            for _ in 0..random.usize(1..8) {
                let end = if random.bool() {
                    headers
                } else {
                    damaged.len()
                };
                let at = random.usize(..end);
                damaged[at] = [0, 0xff, 0xd8, 0xd9, 0xda, random.u8(..)][random.usize(..6)];
            }
            if let Err(error) = decoder.decode(&window, size_px, &damaged) {
                assert!(!error.to_string().contains('\n'));
            }
        }
        if turn == 0 {
            assert!(decoder.decode(&window, size_px, &jpeg).is_ok());
        }
    }
}
