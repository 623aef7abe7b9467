//! Runs on the emulated board: shows a raw picture to the kernel's virtual video driver (vivid), so that its capture
//! node delivers that picture in that pixel format, through the whole of V4L2.
//!
//! `vivid_feed FOURCC WIDTH HEIGHT FILE` sets capture (`/dev/video0`, HDMI input) and output (`/dev/video1`) to the same
//! timings and format, joins them ("Loop Video"), and puts out the picture for ever; where the nodes are multi-planar ones, cut
//! into the pieces of memory that the driver wants. Structures are those of the 64-bit kernel's `linux/videodev2.h`. (A plain
//! write() to the output node is refused by vivid.)
//! It uses no crate, so that the test can build it for the board with rustc alone.

use std::ffi::{c_int, c_long, c_ulong, c_void};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::process::ExitCode;

const CAPTURE_NODE: &str = "/dev/video0";
const OUTPUT_NODE: &str = "/dev/video1";
/// The number of the HDMI input when vivid is loaded with `input_types=0x0c` (S-Video, HDMI).
const HDMI_INPUT: i32 = 1;

/// Buffer types of capture and output, by what the nodes are.
const PLAIN: [u32; 2] = [1, 2];
const MULTI_PLANAR: [u32; 2] = [9, 10];
/// `V4L2_CAP_VIDEO_OUTPUT_MPLANE`.
const OUTPUT_IS_MULTI_PLANAR: u32 = 0x2000;
/// What vivid leaves free at most before the picture in a piece of memory.
const MAX_OFFSET_BYTES: usize = 128;
const FIELD_NONE: u32 = 1;
const MEMORY_MMAP: u32 = 1;
const CONTROL_NEXT: u32 = 0x8000_0000;

/// `PROT_READ | PROT_WRITE` and `MAP_SHARED`.
const READ_AND_WRITE_PAGES: c_int = 3;
const SHARED: c_int = 1;

unsafe extern "C" {
    #[link_name = "ioctl"]
    fn call_ioctl(descriptor: c_int, request: c_ulong, ...) -> c_int;
    fn mmap(
        address: *mut c_void,
        length: usize,
        protection: c_int,
        flags: c_int,
        descriptor: c_int,
        offset: c_long,
    ) -> *mut c_void;
}

#[repr(C)]
struct Capability {
    names: [u8; 80],
    version: u32,
    of_device: u32,
    of_node: u32,
    reserved: [u32; 3],
}

#[repr(C)]
struct Format {
    buffer_type: u32,
    _padding: u32,
    width_px: u32,
    height_px: u32,
    fourcc: [u8; 4],
    field: u32,
    /// Plain: stride and size. Multi-planar: colour space, then of each of eight pieces size, stride and twelve bytes more, then
    /// how many there are.
    rest: [u32; 46],
}

impl Format {
    /// Bytes of each piece of memory.
    fn sizes(&self) -> Vec<usize> {
        if PLAIN.contains(&self.buffer_type) {
            return vec![self.rest[1] as usize];
        }
        let pieces = self.rest[41] & 0xff;
        (0..pieces as usize)
            .map(|i| self.rest[1 + 5 * i] as usize)
            .collect()
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Timings {
    kind: u32,
    width_px: u32,
    height_px: u32,
    interlaced: u32,
    rest: [u32; 29],
}

#[repr(C)]
struct EnumeratedTimings {
    index: u32,
    pad: u32,
    reserved: [u32; 2],
    timings: Timings,
}

#[repr(C)]
struct QueriedControl {
    id: u32,
    kind: u32,
    name: [u8; 32],
    limits: [i32; 4],
    flags: u32,
    reserved: [u32; 2],
}

#[repr(C)]
struct Control {
    id: u32,
    value: i32,
}

#[repr(C)]
struct RequestedBuffers {
    count: u32,
    buffer_type: u32,
    memory: u32,
    rest: [u32; 2],
}

#[repr(C)]
struct Buffer {
    index: u32,
    buffer_type: u32,
    used_bytes: u32,
    flags: u32,
    field: u32,
    _padding: u32,
    timestamp: [i64; 2],
    timecode: [u32; 4],
    sequence: u32,
    memory: u32,
    /// Plain: the driver's token for the memory. Multi-planar: the address of the pieces.
    place: u64,
    /// Plain: bytes of the memory. Multi-planar: how many pieces.
    length: u32,
    rest: [u32; 3],
}

/// A piece of a multi-planar buffer.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Piece {
    used_bytes: u32,
    length_bytes: u32,
    /// The driver's token for the memory.
    place: u64,
    data_offset: u32,
    reserved: [u32; 11],
}

impl Buffer {
    fn numbered(index: u32, buffer_type: u32) -> Self {
        Self {
            index,
            buffer_type,
            used_bytes: 0,
            flags: 0,
            field: FIELD_NONE,
            _padding: 0,
            timestamp: [0; 2],
            timecode: [0; 4],
            sequence: 0,
            memory: MEMORY_MMAP,
            place: 0,
            length: 0,
            rest: [0; 3],
        }
    }

    /// A call about this buffer, whose pieces of memory these are.
    fn request(
        &mut self,
        name: &str,
        node: &File,
        number: u8,
        pieces: &mut [Piece],
    ) -> io::Result<()> {
        if PLAIN.contains(&self.buffer_type) {
            self.used_bytes = pieces[0].used_bytes;
            request(name, node, number, self)?;
            (pieces[0].place, pieces[0].length_bytes) = (self.place, self.length);
            return Ok(());
        }
        (self.place, self.length) = (
            pieces.as_mut_ptr().expose_provenance() as u64,
            pieces.len() as u32,
        );
        request(name, node, number, self)
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vivid_feed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [fourcc, width, height, file] = arguments.as_slice() else {
        return Err(io::Error::other(
            "usage: vivid_feed FOURCC WIDTH HEIGHT FILE",
        ));
    };
    let fourcc: [u8; 4] = fourcc.as_bytes().try_into().map_err(io::Error::other)?;
    let width_px = width.parse().map_err(io::Error::other)?;
    let height_px = height.parse().map_err(io::Error::other)?;
    let picture = fs::read(file)?;

    let capture = open(CAPTURE_NODE)?;
    let output = open(OUTPUT_NODE)?;
    request("VIDIOC_S_INPUT", &capture, 39, &mut { HDMI_INPUT })?;
    let buffer_types = buffer_types(&output)?;
    let mut pieces = Vec::new();
    for (node, buffer_type) in [&capture, &output].into_iter().zip(buffer_types) {
        let mut timings = find_timings(node, width_px, height_px)?;
        request("VIDIOC_S_DV_TIMINGS", node, 87, &mut timings)?;
        let sizes = set_format(node, buffer_type, fourcc, width_px, height_px)?;
        pieces = cut(&picture, &sizes).ok_or_else(|| {
            io::Error::other(format!(
                "{file} has {} bytes, the driver's picture has {sizes:?}",
                picture.len()
            ))
        })?;
    }
    set_control(&capture, "OSD Text Mode", 2)?; // none
    set_control(&capture, "Loop Video", 1)?;
    let [_, buffer_type] = buffer_types;
    put_out(&output, buffer_type, &pieces)?;
    println!("vivid_feed: showing {file}");
    loop {
        let mut buffer = Buffer::numbered(0, buffer_type);
        let mut described = vec![Piece::default(); pieces.len()];
        buffer.request("VIDIOC_DQBUF", &output, 17, &mut described)?;
        queue(&output, buffer.index, buffer_type, &pieces)?;
    }
}

fn buffer_types(output: &File) -> io::Result<[u32; 2]> {
    let mut capability = Capability {
        names: [0; 80],
        version: 0,
        of_device: 0,
        of_node: 0,
        reserved: [0; 3],
    };
    const READ_ONLY: u32 = 2 << 30;
    ioctl("VIDIOC_QUERYCAP", output, READ_ONLY, 0, &mut capability)?;
    Ok(match capability.of_node & OUTPUT_IS_MULTI_PLANAR {
        0 => PLAIN,
        _ => MULTI_PLANAR,
    })
}

/// The parts of a picture for pieces of memory of these sizes, of which each may have room before the picture; `None` when it does
/// not fit.
fn cut<'a>(mut picture: &'a [u8], sizes: &[usize]) -> Option<Vec<&'a [u8]>> {
    let mut parts = Vec::new();
    for &size in sizes {
        let (part, rest) = picture.split_at(size.min(picture.len()));
        if part.is_empty() || part.len() + MAX_OFFSET_BYTES < size {
            return None;
        }
        parts.push(part);
        picture = rest;
    }
    picture.is_empty().then_some(parts)
}

/// Writes the picture into each of the driver's buffers and starts the stream.
fn put_out(output: &File, buffer_type: u32, pieces: &[&[u8]]) -> io::Result<()> {
    let mut requested = RequestedBuffers {
        count: 3,
        buffer_type,
        memory: MEMORY_MMAP,
        rest: [0; 2],
    };
    request("VIDIOC_REQBUFS", output, 8, &mut requested)?;
    for index in 0..requested.count {
        let mut buffer = Buffer::numbered(index, buffer_type);
        let mut described = vec![Piece::default(); pieces.len()];
        buffer.request("VIDIOC_QUERYBUF", output, 9, &mut described)?;
        for (piece, bytes) in described.iter().zip(pieces) {
            // SAFETY: a new shared mapping of the driver's memory, of the length that the driver states; nothing else uses it.
            let memory = unsafe {
                mmap(
                    std::ptr::null_mut(),
                    piece.length_bytes as usize,
                    READ_AND_WRITE_PAGES,
                    SHARED,
                    output.as_raw_fd(),
                    piece.place as c_long,
                )
            };
            if memory.addr() == usize::MAX || (piece.length_bytes as usize) < bytes.len() {
                return Err(io::Error::other("cannot map the driver's buffers"));
            }
            // SAFETY: the mapping is at least as long as the bytes, and lives until the process ends.
            unsafe {
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory.cast::<u8>(), bytes.len())
            };
        }
        queue(output, index, buffer_type, pieces)?;
    }
    const WRITE_ONLY: u32 = 1 << 30;
    ioctl("VIDIOC_STREAMON", output, WRITE_ONLY, 18, &mut {
        buffer_type
    })
}

fn queue(output: &File, index: u32, buffer_type: u32, pieces: &[&[u8]]) -> io::Result<()> {
    let mut buffer = Buffer::numbered(index, buffer_type);
    let mut described: Vec<Piece> = pieces
        .iter()
        .map(|bytes| Piece {
            used_bytes: bytes.len() as u32,
            length_bytes: bytes.len() as u32,
            ..Piece::default()
        })
        .collect();
    buffer.request("VIDIOC_QBUF", output, 15, &mut described)
}

fn open(node: &str) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(node)
        .map_err(|error| io::Error::other(format!("cannot open {node}: {error}")))
}

fn find_timings(node: &File, width_px: u32, height_px: u32) -> io::Result<Timings> {
    for index in 0.. {
        let mut entry = EnumeratedTimings {
            index,
            pad: 0,
            reserved: [0; 2],
            timings: Timings {
                kind: 0,
                width_px: 0,
                height_px: 0,
                interlaced: 0,
                rest: [0; 29],
            },
        };
        request("VIDIOC_ENUM_DV_TIMINGS", node, 98, &mut entry)?;
        let timings = entry.timings;
        if (timings.width_px, timings.height_px, timings.interlaced) == (width_px, height_px, 0) {
            return Ok(timings);
        }
    }
    unreachable!("the list of timings ends with an error")
}

fn set_format(
    node: &File,
    buffer_type: u32,
    fourcc: [u8; 4],
    width_px: u32,
    height_px: u32,
) -> io::Result<Vec<usize>> {
    let mut format = Format {
        buffer_type,
        _padding: 0,
        width_px,
        height_px,
        fourcc,
        field: FIELD_NONE,
        rest: [0; 46],
    };
    request("VIDIOC_S_FMT", node, 5, &mut format)?;
    if (format.fourcc, format.width_px, format.height_px) != (fourcc, width_px, height_px) {
        return Err(io::Error::other(format!(
            "the driver chose {} {}x{}",
            String::from_utf8_lossy(&format.fourcc),
            format.width_px,
            format.height_px
        )));
    }
    Ok(format.sizes())
}

fn set_control(node: &File, name: &str, value: i32) -> io::Result<()> {
    let mut id = 0;
    loop {
        let mut control = QueriedControl {
            id: id | CONTROL_NEXT,
            kind: 0,
            name: [0; 32],
            limits: [0; 4],
            flags: 0,
            reserved: [0; 2],
        };
        request(
            &format!("VIDIOC_QUERYCTRL for {name}"),
            node,
            36,
            &mut control,
        )?;
        id = control.id;
        let end = control
            .name
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(control.name.len());
        if &control.name[..end] == name.as_bytes() {
            return request(name, node, 28, &mut Control { id, value });
        }
    }
}

/// An ioctl that reads and writes `value`.
fn request<T>(name: &str, node: &File, number: u8, value: &mut T) -> io::Result<()> {
    const READ_AND_WRITE: u32 = 3 << 30;
    ioctl(name, node, READ_AND_WRITE, number, value)
}

/// An ioctl of the 'V' family, its number put together as in `asm-generic/ioctl.h`.
fn ioctl<T>(name: &str, node: &File, direction: u32, number: u8, value: &mut T) -> io::Result<()> {
    let code = direction | (size_of::<T>() as u32) << 16 | u32::from(b'V') << 8 | u32::from(number);
    // SAFETY: the descriptor is open, and the request number carries the size of `T`, which the kernel does not exceed.
    let result = unsafe {
        call_ioctl(
            node.as_raw_fd(),
            code.into(),
            std::ptr::from_mut(value).cast::<c_void>(),
        )
    };
    if result < 0 {
        return Err(io::Error::other(format!(
            "{name} failed: {}",
            io::Error::last_os_error()
        )));
    }
    Ok(())
}
