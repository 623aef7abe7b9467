//! What a JPEG says before its picture data (ITU-T T.81, annex B): size, sampling, tables. Nothing is copied.

use super::MjpegError;
use super::standard;

/// Tables of one kind that a picture may define.
pub(super) const SLOTS: usize = 4;
/// Y, Cb, Cr.
pub(super) const MAX_COMPONENTS: usize = 3;

/// One colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Component {
    id: u8,
    /// Blocks across and down in each unit of the scan.
    pub blocks: (usize, usize),
    /// Pixels that one of its samples spans, across and down: 1, 2 or 4.
    pub pitch: (u32, u32),
    /// Which table of each kind it uses.
    quantiser: usize,
    dc: usize,
    ac: usize,
}

/// A quantisation table in the order of the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quantiser<'a> {
    values: &'a [u8],
    is_wide: bool,
}

impl Quantiser<'_> {
    /// The divisor of the coefficient with this number in the file, 0..64.
    pub fn value(&self, at: usize) -> u16 {
        match self.is_wide {
            false => u16::from(self.values[at]),
            true => u16::from_be_bytes([self.values[2 * at], self.values[2 * at + 1]]),
        }
    }
}

/// What a picture says before its data.
#[derive(Debug, Clone)]
pub(super) struct Header<'a> {
    pub size_px: (u32, u32),
    components: [Component; MAX_COMPONENTS],
    component_count: usize,
    /// Units of the scan from one restart marker to the next; 0: there are none.
    pub restart_interval: u32,
    quantisers: [Option<Quantiser<'a>>; SLOTS],
    /// Huffman tables, 16 counts and the values: those for DC, those for AC.
    codes: [[Option<&'a [u8]>; SLOTS]; 2],
    /// The picture data, and whatever follows it.
    pub data: &'a [u8],
}

impl<'a> Header<'a> {
    pub fn parse(jpeg: &'a [u8]) -> Result<Self, MjpegError> {
        let mut header = Self {
            size_px: (0, 0),
            components: [Component::default(); MAX_COMPONENTS],
            component_count: 0,
            restart_interval: 0,
            quantisers: [None; SLOTS],
            codes: [[None; SLOTS]; 2],
            data: &[],
        };
        let mut is_rgb = false;
        let mut at = 2;
        if jpeg.get(..at).is_some_and(|start| start != [0xff, 0xd8]) {
            return Err(MjpegError::NoMarker(0));
        }
        loop {
            let rest = jpeg.get(at..).unwrap_or_default();
            let (marker, length) = match *rest {
                [0xff, 0xff, ..] => {
                    at += 1; // a fill byte
                    continue;
                }
                [0xff, 0x01 | 0xd0..=0xd7, ..] => {
                    at += 2;
                    continue;
                }
                [0xff, 0x00 | 0xd8, ..] => return Err(MjpegError::NoMarker(at)),
                [0xff, 0xd9, ..] => return Err(MjpegError::Damaged("it has no picture")),
                [0xff, marker, high, low, ..] => (marker, u16::from_be_bytes([high, low])),
                [] | [0xff, ..] => return Err(MjpegError::Truncated(jpeg.len())),
                _ => return Err(MjpegError::NoMarker(at)),
            };
            if length < 2 {
                return Err(MjpegError::NoMarker(at));
            }
            let end = 2 + usize::from(length);
            let Some(segment) = rest.get(4..end) else {
                return Err(MjpegError::Truncated(jpeg.len()));
            };
            at += end;
            match marker {
                0xc0 | 0xc1 => header.take_frame(segment)?,
                0xc4 => header.take_codes(segment)?,
                0xc2..=0xcf => return Err(MjpegError::Scans),
                0xda => {
                    header.take_scan(segment)?;
                    if is_rgb && header.component_count > 1 {
                        return Err(MjpegError::Kind("its colours are not Y, Cb, Cr"));
                    }
                    header.data = &jpeg[at..];
                    return Ok(header);
                }
                0xdb => header.take_quantisers(segment)?,
                0xdd => {
                    let &[high, low] = segment else {
                        return Err(MjpegError::Damaged("a restart interval without number"));
                    };
                    header.restart_interval = u16::from_be_bytes([high, low]).into();
                }
                // Adobe's segment says whether the colours are transformed. It may come before the frame header.
                0xee if segment.starts_with(b"Adobe") => is_rgb = segment.get(11) == Some(&0),
                _ => {}
            }
        }
    }

    /// SOF: bits, height, width, components.
    fn take_frame(&mut self, segment: &[u8]) -> Result<(), MjpegError> {
        let &[bits, h1, h0, w1, w0, count, ref components @ ..] = segment else {
            return Err(MjpegError::Damaged("a frame header that is too short"));
        };
        self.size_px = (
            u16::from_be_bytes([w1, w0]).into(),
            u16::from_be_bytes([h1, h0]).into(),
        );
        if bits != 8 {
            return Err(MjpegError::Kind("its samples have not 8 bits"));
        }
        if self.component_count != 0 || components.len() != 3 * usize::from(count) {
            return Err(MjpegError::Damaged("a frame header that cannot be"));
        }
        if count != 1 && count != 3 {
            return Err(MjpegError::Kind("its colours are not Y, Cb, Cr"));
        }
        let (components, _) = components.as_chunks();
        let most = |shift: u32| {
            components
                .iter()
                .map(|c: &[u8; 3]| c[1] >> shift & 15)
                .max()
        };
        let most = (most(4).unwrap_or(0), most(0).unwrap_or(0));
        for (i, &[id, sampling, quantiser]) in components.iter().enumerate() {
            let sampling = (sampling >> 4, sampling & 15);
            if count == 1 {
                // Without others to share a unit with, each block is one.
                self.components[i].blocks = (1, 1);
                self.components[i].pitch = (1, 1);
            } else {
                let pitch = |most: u8, own: u8| match (own, most) {
                    (1..=4, ..=4) if most.is_multiple_of(own) && most != 3 => {
                        Some(u32::from(most / own))
                    }
                    _ => None,
                };
                let pitch = pitch(most.0, sampling.0).zip(pitch(most.1, sampling.1));
                let pitch = pitch.filter(|&pitch| i > 0 || pitch == (1, 1));
                let Some(pitch) = pitch else {
                    return Err(MjpegError::Kind("its chroma is sampled in an unusual way"));
                };
                self.components[i].blocks = (sampling.0.into(), sampling.1.into());
                self.components[i].pitch = pitch;
            }
            self.components[i].id = id;
            self.components[i].quantiser = usize::from(quantiser);
        }
        let [.., u, v] = &self.components;
        if u.pitch != v.pitch {
            return Err(MjpegError::Kind("its chroma is sampled in an unusual way"));
        }
        self.component_count = usize::from(count);
        Ok(())
    }

    /// DQT: for each table its width and number, then 64 values.
    fn take_quantisers(&mut self, mut segment: &'a [u8]) -> Result<(), MjpegError> {
        while let Some((&kind, rest)) = segment.split_first() {
            let is_wide = kind >> 4 == 1;
            let slot = self.quantisers.get_mut(usize::from(kind & 15));
            let values = rest.split_at_checked(64 << usize::from(is_wide));
            let (Some(slot), Some((values, rest)), ..=0x1f) = (slot, values, kind) else {
                return Err(MjpegError::Damaged("a quantisation table that cannot be"));
            };
            *slot = Some(Quantiser { values, is_wide });
            segment = rest;
        }
        Ok(())
    }

    /// DHT: for each table its class and number, then how many codes there are of each length, then their values.
    fn take_codes(&mut self, mut segment: &'a [u8]) -> Result<(), MjpegError> {
        while let Some((&kind, rest)) = segment.split_first() {
            let class = self.codes.get_mut(usize::from(kind >> 4));
            let slot = class.and_then(|class| class.get_mut(usize::from(kind & 15)));
            let counts = rest.iter().take(16);
            let values: usize = counts.map(|&count| usize::from(count)).sum();
            let (Some(slot), Some((codes, rest))) = (slot, rest.split_at_checked(16 + values))
            else {
                return Err(MjpegError::Damaged("a Huffman table that cannot be"));
            };
            *slot = Some(codes);
            segment = rest;
        }
        Ok(())
    }

    /// SOS: the components, and the tables of each.
    fn take_scan(&mut self, segment: &[u8]) -> Result<(), MjpegError> {
        if self.component_count == 0 {
            return Err(MjpegError::Damaged("it has no picture"));
        }
        let Some((&count, rest)) = segment.split_first() else {
            return Err(MjpegError::Damaged("a scan without components"));
        };
        if usize::from(count) != self.component_count {
            return Err(MjpegError::Scans);
        }
        let (pairs, _) = rest.as_chunks();
        let components = &mut self.components[..self.component_count];
        if pairs.len() < components.len() {
            return Err(MjpegError::Damaged("a scan without components"));
        }
        for (component, &[id, tables]) in components.iter_mut().zip(pairs) {
            if id != component.id {
                return Err(MjpegError::Damaged("a scan of other components"));
            }
            (component.dc, component.ac) = (usize::from(tables >> 4), usize::from(tables & 15));
        }
        Ok(())
    }

    pub fn components(&self) -> &[Component] {
        &self.components[..self.component_count]
    }

    pub fn quantiser(&self, component: &Component) -> Result<Quantiser<'a>, MjpegError> {
        let slot = self.quantisers.get(component.quantiser);
        (slot.copied().flatten()).ok_or(MjpegError::Damaged("a quantisation table is missing"))
    }

    /// The Huffman tables of a component, for DC and AC: the number and the codes. A picture without any means the standard's own.
    pub fn codes(&self, component: &Component) -> Result<[(usize, &'a [u8]); 2], MjpegError> {
        let has_none = self.codes.as_flattened().iter().all(Option::is_none);
        let of = |class: usize, slot: usize| {
            let own = self.codes[class].get(slot).copied().flatten();
            let codes = match own {
                None if has_none => standard::CODES[class].get(slot).copied(),
                own => own,
            };
            let codes = codes.ok_or(MjpegError::Damaged("a Huffman table is missing"))?;
            Ok((slot, codes))
        };
        Ok([of(0, component.dc)?, of(1, component.ac)?])
    }
}
