//! The structure of a JPEG, without decoding it: where it ends, its size, and its scans. Used to frame a stream of JPEGs and to
//! check a picture before decoding.
//!
//! It goes from marker to marker and skips segments by their length, so that a thumbnail inside an APPn segment, which has its
//! own markers, does not end the picture. [`decode()`] decodes a picture whose outline is known.

mod decode;

pub use decode::{Fault, decode};

/// Start and end of a picture, and the other markers that matter (ITU-T T.81, table B.1).
const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const DHT: u8 = 0xc4;

/// No picture in use has more (CMYK).
const MAX_COMPONENTS: usize = 4;

/// The structure of a JPEG, as far as known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outline {
    /// Width and height from the frame header (SOF), if one was seen.
    pub size_px: Option<(u16, u16)>,
    /// Scans so far; a progressive picture, or one with one scan per component, has several.
    pub scans: usize,
    /// Whether the frame header is that of a baseline or extended sequential picture (SOF0, SOF1).
    pub is_sequential: bool,
    /// Whether the scans so far contain every coefficient of every component down to its last bit. The last scan may still be
    /// truncated.
    pub has_every_scan: bool,
    /// Where the data of the last scan ends, once known: without the end marker and fill bytes before it.
    pub data_end: usize,
}

/// The result of [`Walker::advance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The picture continues beyond the data so far.
    More,
    /// The picture is complete and this many bytes long.
    Complete(usize),
    /// Not a JPEG from the start, or damaged at this byte.
    Damaged(usize),
}

/// Walks through one JPEG whose bytes may still be arriving; reads each byte once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Walker {
    outline: Outline,
    /// Where to continue.
    at: usize,
    /// Whether `at` is inside entropy-coded data.
    in_scan: bool,
    /// Component identifiers, and which coefficients of each are complete to their last bit.
    components: [(u8, u64); MAX_COMPONENTS],
    component_count: usize,
}

impl Walker {
    /// The structure seen so far.
    pub fn outline(&self) -> &Outline {
        &self.outline
    }

    /// Reads the data that has arrived; `data` begins with the picture and only grows from call to call.
    pub fn advance(&mut self, data: &[u8]) -> Progress {
        loop {
            if self.in_scan {
                let found = find_marker(data, self.at);
                let (Ok(at) | Err(at)) = found;
                self.at = at;
                // Data never ends with FF: those are fill bytes, or the first half of a marker.
                let data = data.get(..at).unwrap_or(data);
                let fill = data.iter().rev().take_while(|&&byte| byte == 0xff).count();
                self.outline.data_end = data.len() - fill;
                if found.is_err() {
                    return Progress::More;
                }
                self.in_scan = false;
            }
            let Some(rest) = data.get(self.at..) else {
                return Progress::More; // the segment continues beyond the data
            };
            let (marker, start) = match rest {
                [] | [0xff] => return Progress::More,
                [0xff, 0xff, ..] if self.at > 0 => {
                    self.at += 1; // a fill byte
                    continue;
                }
                [0xff, marker, after @ ..] => (*marker, after),
                _ => return Progress::Damaged(self.at),
            };
            if (self.at == 0) != (marker == SOI) {
                return Progress::Damaged(self.at);
            }
            match marker {
                EOI => return Progress::Complete(self.at + 2),
                SOI | 0x01 | 0xd0..=0xd7 => self.at += 2,
                0x00 => return Progress::Damaged(self.at),
                _ => {
                    let [high, low, ..] = *start else {
                        return Progress::More;
                    };
                    let length = usize::from(u16::from_be_bytes([high, low]));
                    if length < 2 {
                        return Progress::Damaged(self.at);
                    }
                    match marker {
                        // SOF0..=SOF15 without DHT, JPG and DAC: length, precision, height, width.
                        0xc0..=0xcf if !matches!(marker, DHT | 0xc8 | 0xcc) => {
                            let &[_, _, _, h1, h0, w1, w0, ref rest @ ..] = start else {
                                return Progress::More;
                            };
                            let Some(components) = rest.get(..length.saturating_sub(7)) else {
                                return Progress::More;
                            };
                            let size = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
                            self.outline.size_px = Some(size);
                            self.outline.is_sequential = matches!(marker, 0xc0 | 0xc1);
                            self.note_components(components);
                        }
                        SOS => {
                            let Some(scan) = start.get(2..length) else {
                                return Progress::More;
                            };
                            self.note_scan(scan);
                            self.outline.scans += 1;
                            self.in_scan = true;
                        }
                        _ => {}
                    }
                    self.at += 2 + length;
                }
            }
        }
    }
}

impl Walker {
    /// Parses a frame header: the number of components, then an identifier and two other bytes for each.
    fn note_components(&mut self, header: &[u8]) {
        let ids = header.iter().skip(1).step_by(3);
        self.component_count = 0;
        for (component, &id) in self.components.iter_mut().zip(ids) {
            *component = (id, 0);
            self.component_count += 1;
        }
    }

    /// Parses a scan header: the number of components, then an identifier and tables for each, then which coefficients (first,
    /// last), and which bits (from, to).
    fn note_scan(&mut self, header: &[u8]) {
        let &[count, ref rest @ ..] = header else {
            return;
        };
        let Some((ids, parameters)) = rest.split_at_checked(2 * usize::from(count)) else {
            return;
        };
        let coefficients = match *parameters {
            // Ignored in a sequential picture, so some encoders write anything here.
            _ if self.outline.is_sequential => u64::MAX,
            [first @ 0..64, last @ 0..64, bits, ..] if first <= last && bits & 0x0f == 0 => {
                (u64::MAX >> (63 - last)) & (u64::MAX << first)
            }
            _ => 0,
        };
        let known = &mut self.components[..self.component_count];
        for &id in ids.iter().step_by(2) {
            if let Some(component) = known.iter_mut().find(|component| component.0 == id) {
                component.1 |= coefficients;
            }
        }
        self.outline.has_every_scan = !known.is_empty() && known.iter().all(|c| c.1 == u64::MAX);
    }
}

/// The next marker in entropy-coded data after `from`, or where to look when more data arrives. Stuffed bytes (FF 00) and restart
/// markers belong to the scan.
fn find_marker(data: &[u8], from: usize) -> Result<usize, usize> {
    let mut at = from;
    while let Some(offset) = data
        .get(at..)
        .and_then(|rest| rest.iter().position(|&b| b == 0xff))
    {
        at += offset;
        match data.get(at + 1) {
            None => return Err(at),
            Some(0x00 | 0xd0..=0xd7) => at += 2,
            Some(0xff) => at += 1,
            Some(_) => return Ok(at),
        }
    }
    Err(data.len().max(from))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture with a thumbnail in APP1, stuffing, a restart marker, two scans.
    fn picture() -> Vec<u8> {
        let mut data = vec![0xff, 0xd8];
        data.extend([0xff, 0xe1, 0, 10, 0xff, 0xd8, 1, 2, 3, 4, 0xff, 0xd9]);
        data.extend([
            0xff, 0xff, 0xff, 0xc0, 0, 11, 8, 0, 48, 0, 64, 1, 1, 0x11, 0,
        ]);
        data.extend([0xff, 0xda, 0, 3, 9, 1, 2, 0xff, 0, 3, 0xff, 0xd0, 4]);
        data.extend([0xff, 0xc4, 0, 3, 7]);
        data.extend([0xff, 0xda, 0, 2, 5, 6, 0xff, 0xd9]);
        data
    }

    #[test]
    fn a_thumbnail_does_not_end_the_picture() {
        let mut data = picture();
        let length = data.len();
        data.extend([0xff, 0xd8, 1, 2]);
        let mut walker = Walker::default();
        assert_eq!(walker.advance(&data), Progress::Complete(length));
        let outline = walker.outline();
        assert_eq!(outline.size_px, Some((64, 48)));
        assert_eq!((outline.scans, outline.is_sequential), (2, true));
    }

    #[test]
    fn bytes_may_arrive_one_at_a_time() {
        let data = picture();
        let mut walker = Walker::default();
        for end in 0..data.len() {
            assert_eq!(walker.advance(&data[..end]), Progress::More, "at {end}");
        }
        assert_eq!(walker.advance(&data), Progress::Complete(data.len()));
        assert_eq!(walker.outline().size_px, Some((64, 48)));
    }

    #[test]
    fn other_data_is_damaged() {
        let advance = |data: &[u8]| Walker::default().advance(data);
        assert_eq!(advance(b"YUV4MPEG2"), Progress::Damaged(0));
        assert_eq!(advance(&[0xff, 0xff, 0xd8]), Progress::Damaged(0));
        assert_eq!(advance(&[0xff, 0xd8, 0xff, 0xd8]), Progress::Damaged(2));
        assert_eq!(
            advance(&[0xff, 0xd8, 0xff, 0xe0, 0, 1]),
            Progress::Damaged(2)
        );
        assert_eq!(advance(&[0xff, 0xd8, 0x12]), Progress::Damaged(2));
    }

    #[test]
    fn random_bytes_end_without_panic() {
        let mut random = fastrand::Rng::with_seed(9);
        for _ in 0..2000 {
            let mut data = picture();
            for _ in 0..random.usize(1..6) {
                let at = random.usize(..data.len());
                data[at] = [0, 0xff, 0xd8, 0xd9, 0xda, random.u8(..)][random.usize(..6)];
            }
            if let Progress::Complete(end) = Walker::default().advance(&data) {
                assert!(end <= data.len());
            }
        }
    }
}
