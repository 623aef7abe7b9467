//! Guesses what bytes on standard input are when they are not a picture stream.

/// This many bytes from the beginning are enough.
pub(super) const HEAD_BYTES: usize = 512;

/// How other formats begin: at this offset, with these bytes. No JPEG data begins so by chance.
const BEGINNINGS: [(usize, &[u8], &str); 17] = [
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"II\x2a\0", "a TIFF picture"),
    (0, b"MM\0\x2a", "a TIFF picture"),
    (8, b"WEBP", "a WebP picture"),
    (0, b"RIFF", "an AVI film or a WAV sound"),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM film"),
    (4, b"ftyp", "an MP4 or MOV film, or a HEIC picture"),
    (0, b"OggS", "an Ogg film or sound"),
    (0, b"FLV\x01", "an FLV film"),
    (0, b"\0\0\0\x01", "H.264 or H.265"),
    (0, b"\0\0\x01", "H.264, H.265 or MPEG"),
    (0, b"\x1f\x8b\x08", "gzip data"),
    (0, b"\xfd7zXZ", "xz data"),
    (0, b"\x28\xb5\x2f\xfd", "zstd data"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x7fELF", "a program"),
];

/// What `head` certainly is, if it is a known format other than ours.
pub(super) fn foreign(head: &[u8]) -> Option<&'static str> {
    let begins = |&(at, with, _): &(usize, &[u8], _)| {
        head.get(at..).is_some_and(|rest| rest.starts_with(with))
    };
    BEGINNINGS.iter().find(|b| begins(b)).map(|b| b.2)
}

/// What `head` looks like, after no picture was found.
pub(super) fn guess(head: &[u8]) -> &'static str {
    if let Some(name) = foreign(head) {
        return name;
    }
    // The last character may be cut off.
    let is_text = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    let is_control = |b: &u8| b.is_ascii_control() && !b.is_ascii_whitespace();
    match () {
        () if head.iter().all(|&byte| byte == 0) => "nothing but zeros",
        () if is_text && !head.iter().any(is_control) => "text",
        () if head.starts_with(&[0xff, 0xd8]) => "damaged or incomplete JPEGs",
        () if head.first() == Some(&0x47) && head.get(188) == Some(&0x47) => {
            "an MPEG transport stream"
        }
        () => "raw video, noise or another codec",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_kinds_of_data_are_named() {
        for (head, name) in [
            (b"\x89PNG\r\n\x1a\n".as_slice(), "a PNG picture"),
            (b"RIFF\x10\0\0\0WEBPVP8 ", "a WebP picture"),
            (b"RIFF\x10\0\0\0AVI ", "an AVI film or a WAV sound"),
            (
                b"\0\0\0\x18ftypmp42",
                "an MP4 or MOV film, or a HEIC picture",
            ),
            (b"\0\0\0\x01\x67", "H.264 or H.265"),
            (b"\0\0\x01\xba", "H.264, H.265 or MPEG"),
        ] {
            assert_eq!(foreign(head), Some(name));
            assert_eq!(guess(head), name);
        }
        let mut transport = [7; 400];
        (transport[0], transport[188]) = (0x47, 0x47);
        for (head, name) in [
            ([0; 40].as_slice(), "nothing but zeros"),
            (b"hello\n", "text"),
            ("k\u{e4}se".as_bytes().split_at(2).0, "text"),
            (&transport, "an MPEG transport stream"),
            (&[0xff, 0xd8, 0xff, 0xe0], "damaged or incomplete JPEGs"),
            (&[0x80, 0x10, 3, 4], "raw video, noise or another codec"),
        ] {
            assert_eq!(foreign(head), None);
            assert_eq!(guess(head), name);
        }
    }
}
