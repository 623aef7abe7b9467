//! The checked-in V4L2 bindings against the kernel's interface: structure sizes, the offsets that we rely on, ioctl numbers.
//!
//! The numbers are literals from the kernel's `videodev2.h` as a C compiler sees it, once for 64-bit targets and once for 32-bit
//! ARM. Each is also computed from its parts by the `_IOC` rule of `asm-generic/ioctl.h`: direction in bits 30..32, size of the
//! argument in 16..30, the letter 'V' in 8..16, the command in 0..8.

use std::mem::{offset_of, size_of};
use v4l::v4l_sys::*;
use v4l::v4l2::vidioc;

/// Picks the number for this target's width.
const fn by_width(on_64: u64, on_32: u64) -> u64 {
    if cfg!(target_pointer_width = "64") {
        on_64
    } else {
        on_32
    }
}

const WRITE: u64 = 1;
const READ: u64 = 2;

fn ioc(direction: u64, command: u64, size: u64) -> u64 {
    direction << 30 | size << 16 | u64::from(b'V') << 8 | command
}

#[test]
fn structures_are_as_long_as_the_kernels() {
    let sizes = [
        ("v4l2_capability", size_of::<v4l2_capability>(), 104, 104),
        ("v4l2_fmtdesc", size_of::<v4l2_fmtdesc>(), 64, 64),
        ("v4l2_frmsizeenum", size_of::<v4l2_frmsizeenum>(), 44, 44),
        ("v4l2_frmivalenum", size_of::<v4l2_frmivalenum>(), 52, 52),
        ("v4l2_pix_format", size_of::<v4l2_pix_format>(), 48, 48),
        ("v4l2_format", size_of::<v4l2_format>(), 208, 204),
        ("v4l2_captureparm", size_of::<v4l2_captureparm>(), 40, 40),
        ("v4l2_streamparm", size_of::<v4l2_streamparm>(), 204, 204),
        (
            "v4l2_requestbuffers",
            size_of::<v4l2_requestbuffers>(),
            20,
            20,
        ),
        ("v4l2_timecode", size_of::<v4l2_timecode>(), 16, 16),
        ("timeval", size_of::<timeval>(), 16, 8),
        ("v4l2_buffer", size_of::<v4l2_buffer>(), 88, 68),
        ("v4l2_plane", size_of::<v4l2_plane>(), 64, 60),
        (
            "v4l2_pix_format_mplane",
            size_of::<v4l2_pix_format_mplane>(),
            192,
            192,
        ),
        ("v4l2_exportbuffer", size_of::<v4l2_exportbuffer>(), 64, 64),
        ("v4l2_input", size_of::<v4l2_input>(), 80, 80),
        ("v4l2_queryctrl", size_of::<v4l2_queryctrl>(), 68, 68),
        (
            "v4l2_query_ext_ctrl",
            size_of::<v4l2_query_ext_ctrl>(),
            232,
            232,
        ),
        ("v4l2_ext_control", size_of::<v4l2_ext_control>(), 20, 20),
    ];
    for (name, ours, on_64, on_32) in sizes {
        assert_eq!(ours as u64, by_width(on_64, on_32), "size of {name}");
    }
}

#[test]
fn fields_are_where_the_kernel_puts_them() {
    let offsets = [
        ("capability.card", offset_of!(v4l2_capability, card), 16, 16),
        (
            "capability.bus_info",
            offset_of!(v4l2_capability, bus_info),
            48,
            48,
        ),
        (
            "capability.device_caps",
            offset_of!(v4l2_capability, device_caps),
            88,
            88,
        ),
        (
            "fmtdesc.pixelformat",
            offset_of!(v4l2_fmtdesc, pixelformat),
            44,
            44,
        ),
        (
            "fmtdesc.mbus_code",
            offset_of!(v4l2_fmtdesc, mbus_code),
            48,
            48,
        ),
        ("format.fmt", offset_of!(v4l2_format, fmt), 8, 4),
        (
            "pix.bytesperline",
            offset_of!(v4l2_pix_format, bytesperline),
            16,
            16,
        ),
        (
            "pix.sizeimage",
            offset_of!(v4l2_pix_format, sizeimage),
            20,
            20,
        ),
        ("streamparm.parm", offset_of!(v4l2_streamparm, parm), 4, 4),
        (
            "captureparm.timeperframe",
            offset_of!(v4l2_captureparm, timeperframe),
            8,
            8,
        ),
        ("buffer.bytesused", offset_of!(v4l2_buffer, bytesused), 8, 8),
        ("buffer.flags", offset_of!(v4l2_buffer, flags), 12, 12),
        (
            "buffer.timestamp",
            offset_of!(v4l2_buffer, timestamp),
            24,
            20,
        ),
        ("buffer.sequence", offset_of!(v4l2_buffer, sequence), 56, 44),
        ("buffer.memory", offset_of!(v4l2_buffer, memory), 60, 48),
        ("buffer.m", offset_of!(v4l2_buffer, m), 64, 52),
        ("buffer.length", offset_of!(v4l2_buffer, length), 72, 56),
    ];
    for (name, ours, on_64, on_32) in offsets {
        assert_eq!(ours as u64, by_width(on_64, on_32), "offset of {name}");
    }
}

#[test]
fn ioctl_numbers_are_the_kernels() {
    // name, v4l's number, direction, command, size and literal on 64 bit, size and literal on 32 bit
    #[rustfmt::skip]
    let numbers = [
        ("QUERYCAP", vidioc::VIDIOC_QUERYCAP, READ, 0, (104, 0x8068_5600), (104, 0x8068_5600)),
        ("ENUM_FMT", vidioc::VIDIOC_ENUM_FMT, READ | WRITE, 2, (64, 0xc040_5602), (64, 0xc040_5602)),
        ("G_FMT", vidioc::VIDIOC_G_FMT, READ | WRITE, 4, (208, 0xc0d0_5604), (204, 0xc0cc_5604)),
        ("S_FMT", vidioc::VIDIOC_S_FMT, READ | WRITE, 5, (208, 0xc0d0_5605), (204, 0xc0cc_5605)),
        ("REQBUFS", vidioc::VIDIOC_REQBUFS, READ | WRITE, 8, (20, 0xc014_5608), (20, 0xc014_5608)),
        ("QUERYBUF", vidioc::VIDIOC_QUERYBUF, READ | WRITE, 9, (88, 0xc058_5609), (68, 0xc044_5609)),
        ("QBUF", vidioc::VIDIOC_QBUF, READ | WRITE, 15, (88, 0xc058_560f), (68, 0xc044_560f)),
        ("DQBUF", vidioc::VIDIOC_DQBUF, READ | WRITE, 17, (88, 0xc058_5611), (68, 0xc044_5611)),
        ("STREAMON", vidioc::VIDIOC_STREAMON, WRITE, 18, (4, 0x4004_5612), (4, 0x4004_5612)),
        ("STREAMOFF", vidioc::VIDIOC_STREAMOFF, WRITE, 19, (4, 0x4004_5613), (4, 0x4004_5613)),
        ("G_PARM", vidioc::VIDIOC_G_PARM, READ | WRITE, 21, (204, 0xc0cc_5615), (204, 0xc0cc_5615)),
        ("S_PARM", vidioc::VIDIOC_S_PARM, READ | WRITE, 22, (204, 0xc0cc_5616), (204, 0xc0cc_5616)),
        ("S_INPUT", vidioc::VIDIOC_S_INPUT, READ | WRITE, 39, (4, 0xc004_5627), (4, 0xc004_5627)),
        ("TRY_FMT", vidioc::VIDIOC_TRY_FMT, READ | WRITE, 64, (208, 0xc0d0_5640), (204, 0xc0cc_5640)),
        ("G_CTRL", vidioc::VIDIOC_G_CTRL, READ | WRITE, 27, (8, 0xc008_561b), (8, 0xc008_561b)),
        ("S_CTRL", vidioc::VIDIOC_S_CTRL, READ | WRITE, 28, (8, 0xc008_561c), (8, 0xc008_561c)),
        ("QUERYMENU", vidioc::VIDIOC_QUERYMENU, READ | WRITE, 37, (44, 0xc02c_5625), (44, 0xc02c_5625)),
        ("S_EXT_CTRLS", vidioc::VIDIOC_S_EXT_CTRLS, READ | WRITE, 72, (32, 0xc020_5648), (24, 0xc018_5648)),
        ("ENUM_FRAMESIZES", vidioc::VIDIOC_ENUM_FRAMESIZES, READ | WRITE, 74, (44, 0xc02c_564a), (44, 0xc02c_564a)),
        ("ENUM_FRAMEINTERVALS", vidioc::VIDIOC_ENUM_FRAMEINTERVALS, READ | WRITE, 75, (52, 0xc034_564b), (52, 0xc034_564b)),
        ("QUERY_EXT_CTRL", vidioc::VIDIOC_QUERY_EXT_CTRL, READ | WRITE, 103, (232, 0xc0e8_5667), (232, 0xc0e8_5667)),
    ];
    for (name, ours, direction, command, on_64, on_32) in numbers {
        // The sign bit is lost in musl's c_int: compare the 32 bits that the kernel reads.
        let ours = u64::from(ours as u32);
        let (size, literal) = (by_width(on_64.0, on_32.0), by_width(on_64.1, on_32.1));
        assert_eq!(
            ioc(direction, command, size),
            literal,
            "the rule for {name}"
        );
        assert_eq!(
            ours, literal,
            "VIDIOC_{name} is {ours:#x}, the kernel's is {literal:#x}"
        );
    }
}

#[test]
fn constants_are_the_kernels() {
    assert_eq!(V4L2_CAP_VIDEO_CAPTURE, 0x0000_0001);
    assert_eq!(V4L2_CAP_VIDEO_CAPTURE_MPLANE, 0x0000_1000);
    assert_eq!(V4L2_CAP_VIDEO_M2M, 0x0000_8000);
    assert_eq!(V4L2_CAP_IO_MC, 0x2000_0000);
    assert_eq!(V4L2_CAP_STREAMING, 0x0400_0000);
    assert_eq!(V4L2_CAP_DEVICE_CAPS, 0x8000_0000);
    assert_eq!(V4L2_BUF_FLAG_ERROR, 0x0040);
    assert_eq!(V4L2_BUF_FLAG_TIMESTAMP_MASK, 0xe000);
    assert_eq!(V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC, 0x2000);
    assert_eq!(v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE, 1);
    assert_eq!(v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE, 1);
    assert_eq!(v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE, 1);
}
