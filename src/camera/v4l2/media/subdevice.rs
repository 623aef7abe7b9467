//! The kernel's interface to one part of a pipeline (`linux/v4l2-subdev.h`): the structures, the requests, and wrappers around
//! them. No decisions are made here.
//!
//! Every field is naturally aligned, so the same definitions serve 64-bit and 32-bit targets. Numbers and layouts are the
//! kernel's; the tests compare them with those of its header as a C compiler sees it.

use super::super::node::{Node, Plain};
use std::io;
use v4l::v4l2::vidioc;

const VIDIOC_SUBDEV_ENUM_MBUS_CODE: vidioc::_IOC_TYPE = 0xc030_5602_u32 as _;
const VIDIOC_SUBDEV_G_FMT: vidioc::_IOC_TYPE = 0xc058_5604_u32 as _;
const VIDIOC_SUBDEV_S_FMT: vidioc::_IOC_TYPE = 0xc058_5605_u32 as _;
const VIDIOC_SUBDEV_S_FRAME_INTERVAL: vidioc::_IOC_TYPE = 0xc030_5616_u32 as _;
const VIDIOC_SUBDEV_ENUM_FRAME_SIZE: vidioc::_IOC_TYPE = 0xc040_564a_u32 as _;

/// `V4L2_SUBDEV_FORMAT_ACTIVE`: the format that the hardware uses.
const ACTIVE: u32 = 1;

/// `struct v4l2_mbus_framefmt`: the format on one pad.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PadFormat {
    /// Pixels per row.
    pub width_px: u32,
    /// Rows.
    pub height_px: u32,
    /// `MEDIA_BUS_FMT_*`.
    pub code: u32,
    /// `V4L2_FIELD_*`.
    pub field: u32,
    /// `V4L2_COLORSPACE_*`.
    pub colorspace: u32,
    /// Encoding, quantisation, transfer function, flags.
    pub colours: [u16; 4],
    /// Reserved, zero.
    pub reserved: [u16; 10],
}

/// `struct v4l2_subdev_format`
#[repr(C)]
#[derive(Default)]
struct SubdeviceFormat {
    which: u32,
    pad: u32,
    format: PadFormat,
    reserved: [u32; 8],
}

/// `struct v4l2_subdev_mbus_code_enum`
#[repr(C)]
#[derive(Default)]
struct CodeEntry {
    pad: u32,
    index: u32,
    code: u32,
    which: u32,
    flags: u32,
    reserved: [u32; 7],
}

/// `struct v4l2_subdev_frame_size_enum`
#[repr(C)]
#[derive(Default)]
struct SizeEntry {
    index: u32,
    pad: u32,
    code: u32,
    min_width: u32,
    max_width: u32,
    min_height: u32,
    max_height: u32,
    which: u32,
    reserved: [u32; 8],
}

/// `struct v4l2_subdev_frame_interval`
#[repr(C)]
#[derive(Default)]
struct Interval {
    pad: u32,
    numerator: u32,
    denominator: u32,
    reserved: [u32; 9],
}

// C structures of integers and integer arrays.
// SAFETY: see above; zero is valid.
unsafe impl Plain for SubdeviceFormat {}
// SAFETY: see above; zero is valid.
unsafe impl Plain for CodeEntry {}
// SAFETY: see above; zero is valid.
unsafe impl Plain for SizeEntry {}
// SAFETY: see above; zero is valid.
unsafe impl Plain for Interval {}

/// The `index`th code that a pad accepts.
pub fn bus_code(subdevice: &Node, pad: u32, index: u32) -> io::Result<u32> {
    let mut entry = CodeEntry {
        pad,
        index,
        which: ACTIVE,
        ..CodeEntry::default()
    };
    subdevice.ioctl(VIDIOC_SUBDEV_ENUM_MBUS_CODE, &mut entry)?;
    Ok(entry.code)
}

/// The `index`th range of sizes of a pad and code: least width and height, largest width and height, in pixels.
pub fn frame_size(
    subdevice: &Node,
    pad: u32,
    code: u32,
    index: u32,
) -> io::Result<[(u32, u32); 2]> {
    let mut entry = SizeEntry {
        pad,
        code,
        index,
        which: ACTIVE,
        ..SizeEntry::default()
    };
    subdevice.ioctl(VIDIOC_SUBDEV_ENUM_FRAME_SIZE, &mut entry)?;
    Ok([
        (entry.min_width, entry.min_height),
        (entry.max_width, entry.max_height),
    ])
}

/// A pad's current format.
pub fn format(subdevice: &Node, pad: u32) -> io::Result<PadFormat> {
    let mut argument = SubdeviceFormat {
        which: ACTIVE,
        pad,
        ..SubdeviceFormat::default()
    };
    subdevice.ioctl(VIDIOC_SUBDEV_G_FMT, &mut argument)?;
    Ok(argument.format)
}

/// Requests a format of a pad; returns the one the driver chose.
pub fn set_format(subdevice: &Node, pad: u32, format: PadFormat) -> io::Result<PadFormat> {
    let mut argument = SubdeviceFormat {
        which: ACTIVE,
        pad,
        format,
        ..SubdeviceFormat::default()
    };
    subdevice.ioctl(VIDIOC_SUBDEV_S_FMT, &mut argument)?;
    Ok(argument.format)
}

/// Requests a frame rate of a pad; returns the frame interval that the driver chose, as a fraction of seconds.
pub fn set_frame_rate(subdevice: &Node, pad: u32, rate_fps: u32) -> io::Result<(u32, u32)> {
    let mut argument = Interval {
        pad,
        numerator: 1,
        denominator: rate_fps,
        ..Interval::default()
    };
    subdevice.ioctl(VIDIOC_SUBDEV_S_FRAME_INTERVAL, &mut argument)?;
    Ok((argument.numerator, argument.denominator))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::{offset_of, size_of};
    use std::path::Path;

    /// The sizes are literals that a C compiler computed from the kernel's header, the same on 64-bit and 32-bit ARM; each number
    /// is also computed by the `_IOWR` rule of `asm-generic/ioctl.h`.
    #[test]
    fn structures_and_numbers_are_the_kernels() {
        for (number, command, ours, kernels) in [
            (VIDIOC_SUBDEV_ENUM_MBUS_CODE, 2, size_of::<CodeEntry>(), 48),
            (VIDIOC_SUBDEV_S_FMT, 5, size_of::<SubdeviceFormat>(), 88),
            (VIDIOC_SUBDEV_G_FMT, 4, size_of::<SubdeviceFormat>(), 88),
            (
                VIDIOC_SUBDEV_S_FRAME_INTERVAL,
                22,
                size_of::<Interval>(),
                48,
            ),
            (
                VIDIOC_SUBDEV_ENUM_FRAME_SIZE,
                74,
                size_of::<SizeEntry>(),
                64,
            ),
        ] {
            assert_eq!(ours, kernels, "{number:#x}");
            let rule = 3 << 30 | (kernels as u32) << 16 | u32::from(b'V') << 8 | command;
            assert_eq!(number as u32, rule, "{number:#x}");
        }
        assert_eq!(size_of::<PadFormat>(), 48);
        assert_eq!(offset_of!(PadFormat, colours), 20);
        assert_eq!(offset_of!(SubdeviceFormat, format), 8);
    }

    #[test]
    fn a_file_that_is_no_subdevice_is_an_error() {
        let file = Node::open(Path::new("/dev/null")).expect("there is /dev/null");
        assert!(bus_code(&file, 0, 0).is_err());
        assert!(frame_size(&file, 0, 1, 0).is_err());
        assert!(format(&file, 0).is_err());
        assert!(set_format(&file, 0, PadFormat::default()).is_err());
        assert!(set_frame_rate(&file, 0, 30).is_err());
    }
}
