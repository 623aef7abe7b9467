//! Runs on the emulated board: shows a raw picture to the kernel's virtual video driver (vivid), so that its capture
//! node delivers that picture in that pixel format, through the whole of V4L2.
//!
//! `vivid_feed FOURCC WIDTH HEIGHT FILE` sets capture (`/dev/video0`, HDMI input) and output (`/dev/video1`) to the same
//! timings and format, joins them ("Loop Video"), and puts out the picture for ever. Structures are those of the 64-bit
//! kernel's `linux/videodev2.h`. (A plain write() to the output node is refused by vivid.)
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

const BUFFER_VIDEO_CAPTURE: u32 = 1;
const BUFFER_VIDEO_OUTPUT: u32 = 2;
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
struct Format {
    buffer_type: u32,
    _padding: u32,
    width_px: u32,
    height_px: u32,
    fourcc: [u8; 4],
    field: u32,
    stride_bytes: u32,
    size_bytes: u32,
    rest: [u32; 44],
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
    offset: u64,
    length_bytes: u32,
    rest: [u32; 3],
}

impl Buffer {
    fn numbered(index: u32) -> Self {
        Self {
            index,
            buffer_type: BUFFER_VIDEO_OUTPUT,
            used_bytes: 0,
            flags: 0,
            field: FIELD_NONE,
            _padding: 0,
            timestamp: [0; 2],
            timecode: [0; 4],
            sequence: 0,
            memory: MEMORY_MMAP,
            offset: 0,
            length_bytes: 0,
            rest: [0; 3],
        }
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
    for (node, buffer_type) in [
        (&capture, BUFFER_VIDEO_CAPTURE),
        (&output, BUFFER_VIDEO_OUTPUT),
    ] {
        let mut timings = find_timings(node, width_px, height_px)?;
        request("VIDIOC_S_DV_TIMINGS", node, 87, &mut timings)?;
        let size_bytes = set_format(node, buffer_type, fourcc, width_px, height_px)?;
        if size_bytes as usize != picture.len() {
            return Err(io::Error::other(format!(
                "{file} has {} bytes, the driver's picture has {size_bytes}",
                picture.len()
            )));
        }
    }
    set_control(&capture, "OSD Text Mode", 2)?; // none
    set_control(&capture, "Loop Video", 1)?;
    put_out(&output, &picture)?;
    println!("vivid_feed: showing {file}");
    loop {
        let mut buffer = Buffer::numbered(0);
        request("VIDIOC_DQBUF", &output, 17, &mut buffer)?;
        queue(&output, buffer.index, picture.len())?;
    }
}

/// Writes the picture into each of the driver's buffers and starts the stream.
fn put_out(output: &File, picture: &[u8]) -> io::Result<()> {
    let mut wish = RequestedBuffers {
        count: 3,
        buffer_type: BUFFER_VIDEO_OUTPUT,
        memory: MEMORY_MMAP,
        rest: [0; 2],
    };
    request("VIDIOC_REQBUFS", output, 8, &mut wish)?;
    for index in 0..wish.count {
        let mut buffer = Buffer::numbered(index);
        request("VIDIOC_QUERYBUF", output, 9, &mut buffer)?;
        // SAFETY: a new shared mapping of the driver's buffer, of the length that the driver states; nothing else uses it.
        let memory = unsafe {
            mmap(
                std::ptr::null_mut(),
                buffer.length_bytes as usize,
                READ_AND_WRITE_PAGES,
                SHARED,
                output.as_raw_fd(),
                buffer.offset as c_long,
            )
        };
        if memory.addr() == usize::MAX || (buffer.length_bytes as usize) < picture.len() {
            return Err(io::Error::other("cannot map the driver's buffers"));
        }
        // SAFETY: the mapping is at least as long as the picture, and lives until the process ends.
        unsafe {
            std::ptr::copy_nonoverlapping(picture.as_ptr(), memory.cast::<u8>(), picture.len())
        };
        queue(output, index, picture.len())?;
    }
    const WRITE_ONLY: u32 = 1 << 30;
    ioctl("VIDIOC_STREAMON", output, WRITE_ONLY, 18, &mut {
        BUFFER_VIDEO_OUTPUT
    })
}

fn queue(output: &File, index: u32, size_bytes: usize) -> io::Result<()> {
    let mut buffer = Buffer::numbered(index);
    buffer.used_bytes = size_bytes as u32;
    request("VIDIOC_QBUF", output, 15, &mut buffer)
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
) -> io::Result<u32> {
    let mut format = Format {
        buffer_type,
        _padding: 0,
        width_px,
        height_px,
        fourcc,
        field: FIELD_NONE,
        stride_bytes: 0,
        size_bytes: 0,
        rest: [0; 44],
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
    Ok(format.size_bytes)
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
