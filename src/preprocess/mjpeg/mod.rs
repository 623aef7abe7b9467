//! Decodes MJPEG frames: what the network sees of them, at the size that it needs.
//!
//! ```text
//! bytes --header--> tables, size --scan--> coefficients of a block --lanes/dct--> planes of Y, Cb, Cr --> the resize
//! ```
//!
//! Nothing is converted to RGB here, and no chroma is enlarged: the resize does both, for the pixels of its result alone. The parts
//! of a picture that no region's network sees are read, but not transformed; what the resize would shrink by half or more is shrunk
//! in the transform already (`window`).
//!
//! A picture must have the frame's size, and be sequential with a single scan of eight-bit grey or Y, Cb, Cr, as all cameras send
//! them. It must be complete too (truncated pictures would come out half grey): every block must be there, only the end marker,
//! which some webcams omit, may be missing. All buffers are allocated at start, and a frame allocates nothing.
//!
//! Webcams omit the Huffman tables and imply the standard's own (ITU-T T.81, K.3), which are taken if there are none.

mod bits;
mod header;
mod huffman;
mod scan;
mod standard;
#[cfg(test)]
mod tests;
mod window;

pub(super) use window::{Sampling, Window};

use super::lanes;
use header::{Component, Header, MAX_COMPONENTS, SLOTS};
use huffman::{Class, Codes};
use scan::{Fault, Part, Scan, Weights};

/// The longest side of a JPEG.
pub(super) const MAX_PX: u32 = 65535;

/// Why an MJPEG frame is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MjpegError {
    /// The JPEG's data ends before its picture does.
    #[error("the JPEG is cut short after {0} bytes")]
    Truncated(usize),
    /// Something else is where a marker must be.
    #[error("the JPEG is damaged: no marker at byte {0}")]
    NoMarker(usize),
    /// The JPEG's structure or data is damaged otherwise.
    #[error("the JPEG is damaged: {0}")]
    Damaged(&'static str),
    /// The JPEG is not of a kind used for video.
    #[error("the JPEG is progressive or has several scans; a video frame must have a single scan")]
    Scans,
    /// The JPEG's colours are not of a kind used for video.
    #[error("the JPEG cannot be used as a video frame: {0}")]
    Kind(&'static str),
    /// The JPEG's size differs from the camera's frame size.
    #[error("the JPEG is {}x{} pixels, the camera promised {}x{}", .got.0, .got.1, .promised.0, .promised.1)]
    Size {
        /// Width and height of the JPEG.
        got: (u32, u32),
        /// Width and height of the frame.
        promised: (u32, u32),
    },
}

/// Decodes the parts of frames that windows need, into its own buffer.
#[derive(Debug)]
pub(super) struct Decoder {
    /// The tables of the picture before, for DC and AC.
    codes: Box<[[Codes; SLOTS]; 2]>,
    weights: Box<[Weights; MAX_COMPONENTS]>,
    /// The samples of all components, one behind the other.
    planes: Vec<u8>,
    /// Where those of each end.
    ends: [usize; MAX_COMPONENTS],
}

impl Default for Decoder {
    fn default() -> Self {
        let class = |class| [(); SLOTS].map(|()| Codes::empty(class));
        Self {
            codes: Box::new([class(Class::Dc), class(Class::Ac)]),
            weights: Box::new([(); MAX_COMPONENTS].map(|()| Weights::none())),
            planes: Vec::new(),
            ends: [0; MAX_COMPONENTS],
        }
    }
}

impl Decoder {
    /// For windows that have no more [bytes](Window::bytes) than this.
    pub fn make_room(&mut self, bytes: usize) {
        self.planes.resize(bytes, 0);
    }

    /// Decodes what `window` needs of a picture of `size_px`.
    pub fn decode(
        &mut self,
        window: &Window,
        size_px: (u32, u32),
        jpeg: &[u8],
    ) -> Result<Sampling, MjpegError> {
        let header = Header::parse(jpeg)?;
        if header.size_px != size_px {
            return Err(MjpegError::Size {
                got: header.size_px,
                promised: size_px,
            });
        }
        let components = header.components();
        for (component, weights) in components.iter().zip(self.weights.iter_mut()) {
            let (x, y) = window.sides(component);
            weights.make(&header.quantiser(component)?, (x.count, y.count));
            for (class, (slot, codes)) in self.codes.iter_mut().zip(header.codes(component)?) {
                let table = class[slot].make(codes);
                table.ok_or(MjpegError::Damaged("a Huffman table that cannot be"))?;
            }
        }
        let mut rest = &mut self.planes[..];
        let (mut end, mut i) = (0, 0);
        let mut part = |component: &Component, codes: [(usize, &[u8]); 2]| {
            let (stride, rows) = window.samples(component);
            let (plane, after) = std::mem::take(&mut rest).split_at_mut(stride * rows);
            (rest, end) = (after, end + plane.len());
            self.ends[i] = end;
            let (x, y) = window.sides(component);
            i += 1;
            let [(dc, _), (ac, _)] = codes;
            Part {
                dc: &self.codes[0][dc],
                ac: &self.codes[1][ac],
                weights: &self.weights[i - 1],
                blocks: component.blocks,
                x,
                y,
                plane,
                stride,
                prediction: 0,
                rows: [None; scan::MAX_BLOCKS],
            }
        };
        let read = |parts: &mut [Part<'_>]| {
            let units = |px: u32, blocks: usize| (px as usize).div_ceil(8 * blocks);
            let blocks = components[0].blocks;
            let mut outcome = Ok(());
            lanes::run(Scan {
                data: header.data,
                parts,
                units: (units(size_px.0, blocks.0), units(size_px.1, blocks.1)),
                restart_interval: header.restart_interval,
                outcome: &mut outcome,
            });
            outcome
        };
        let outcome = match components {
            [y, u, v] => {
                let [y_codes, u_codes, v_codes] =
                    [header.codes(y)?, header.codes(u)?, header.codes(v)?];
                read(&mut [part(y, y_codes), part(u, u_codes), part(v, v_codes)])
            }
            components => read(&mut [part(&components[0], header.codes(&components[0])?)]),
        };
        outcome.map_err(|fault| match fault {
            Fault::Cut => MjpegError::Truncated(jpeg.len()),
            Fault::Damaged(what) => MjpegError::Damaged(what),
        })?;
        Ok(window.sampling(components))
    }

    /// The planes of what was decoded last.
    pub fn planes(&self) -> [&[u8]; MAX_COMPONENTS] {
        let [y, u, v] = self.ends;
        [0..y, y..u, u..v].map(|range| self.planes.get(range).unwrap_or_default())
    }
}
