//! One open `/dev/videoN`: the kernel calls as safe functions. No decisions are made here.
//!
//! The numbers, structures and call wrappers are those of the crate `v4l`. Its `Device` and `Stream` are not used: they panic on
//! a card name that is cut inside a UTF-8 character and, when dropped, on every error of STREAMOFF, REQBUFS or munmap except
//! ENODEV; and their `next` gives the kernel a buffer twice after a timeout.

use super::BusFormat;
use super::controls::{self, Control, Kind, Knobs};
use super::field::Field;
use super::negotiate::{Accepted, Driver, FourCc, Sizes};
use crate::poll;
use std::fs::{File, OpenOptions};
use std::io;
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};
use v4l::v4l_sys as sys;
use v4l::v4l2::{self, vidioc};

/// Buffers of most devices: one piece of memory each.
pub(super) const CAPTURE: u32 = sys::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE;

/// Buffers of multi-planar devices: one or several pieces of memory each.
pub(super) const CAPTURE_PLANES: u32 = sys::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;

/// The pieces of one buffer, as the kernel lists them (`VIDEO_MAX_PLANES`).
pub(super) type Pieces = [sys::v4l2_plane; 8];

/// Enumerations normally end; a driver that never ends is cut off here.
const MAX_ENTRIES: u32 = 256;

/// The same for controls, of which a test driver has a few hundred.
const MAX_CONTROLS: u32 = 1024;

/// `V4L2_CTRL_TYPE_CTRL_CLASS`: the heading of a group.
const TYPE_CLASS: u32 = 6;

/// `V4L2_CTRL_TYPE_INTEGER_MENU`: entries are numbers, not names.
const TYPE_NUMBER_MENU: u32 = 9;

/// In ENUM_FMT: any bus format.
const ANY_CODE: BusFormat = BusFormat(0);

/// `V4L2_CAP_TIMEPERFRAME`: the driver can set its frame rate.
const CAP_TIMEPERFRAME: u32 = 0x1000;

/// Structures that consist only of integers, arrays of them and raw pointers.
///
/// # Safety
/// All-zero bytes must be a valid value of the type.
pub(super) unsafe trait Plain {}

// SAFETY: C structures of integers, integer arrays, unions of those and raw pointers; zero is valid for each.
mod plain {
    use super::{Plain, sys};
    // SAFETY: see above.
    unsafe impl Plain for sys::v4l2_capability {}
    // SAFETY: see above.
    unsafe impl Plain for sys::v4l2_fmtdesc {}
    // SAFETY: see above.
    unsafe impl Plain for sys::v4l2_frmsizeenum {}
    // SAFETY: see above.
    unsafe impl Plain for sys::v4l2_format {}
    // SAFETY: see above.
    unsafe impl Plain for sys::v4l2_streamparm {}
    // SAFETY: see above.
    unsafe impl Plain for sys::v4l2_requestbuffers {}
    // SAFETY: see above.
    unsafe impl Plain for sys::v4l2_buffer {}
    // SAFETY: see above.
    unsafe impl Plain for sys::v4l2_plane {}
    // SAFETY: an array of plain elements.
    unsafe impl Plain for super::Pieces {}
    // SAFETY: see above.
    unsafe impl Plain for sys::v4l2_query_ext_ctrl {}
    // SAFETY: see above.
    unsafe impl Plain for sys::v4l2_querymenu {}
    // SAFETY: see above.
    unsafe impl Plain for sys::v4l2_control {}
    // SAFETY: an integer.
    unsafe impl Plain for std::os::raw::c_int {}
}

/// A zeroed structure, as the kernel requires.
pub(super) fn zeroed<T: Plain>() -> T {
    // SAFETY: `Plain` promises that zero is a valid value.
    unsafe { mem::zeroed() }
}

/// What a driver reports about itself and its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub driver: String,
    pub card: String,
    pub bus: String,
    /// `V4L2_CAP_*` of this node (not of the whole device).
    pub caps: u32,
}

impl Identity {
    /// Whether it supports only the multi-planar API.
    pub fn is_multi_planar(&self) -> bool {
        let has = |flag| self.caps & flag != 0;
        has(sys::V4L2_CAP_VIDEO_CAPTURE_MPLANE) && !has(sys::V4L2_CAP_VIDEO_CAPTURE)
    }

    /// Whether it is on USB: by the kernel's documentation its bus then begins with `usb-`. A broken pipe there is a stalled
    /// transfer.
    pub fn is_usb(&self) -> bool {
        self.bus.starts_with("usb-")
    }
}

/// An open node.
#[derive(Debug)]
pub(super) struct Node {
    file: File,
}

impl Node {
    /// Opens without blocking; the descriptor is closed on `exec` and when the node is dropped.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)?;
        Ok(Self { file })
    }

    /// A second handle to the same open node, for setting controls while the first has the stream.
    pub fn again(&self) -> io::Result<Self> {
        let file = self.file.try_clone()?;
        Ok(Self { file })
    }

    pub fn fd(&self) -> i32 {
        self.file.as_raw_fd()
    }

    /// One ioctl on the device; restarted if a signal interrupts it. `request` must be the number for `T`.
    pub fn ioctl<T: Plain>(&self, request: vidioc::_IOC_TYPE, argument: &mut T) -> io::Result<()> {
        // The size is part of the number, so a mismatch cannot reach the kernel.
        let size = (request as u32 >> 16) & 0x3fff;
        assert_eq!(
            size as usize,
            mem::size_of::<T>(),
            "ioctl number and structure belong together"
        );
        loop {
            // SAFETY: the descriptor is open, the argument is as long as the number says (checked above) and lives for the
            // call. No caller but `buffer_ioctl` sets a pointer inside of it: buffers are of the mmap kind, formats and rates
            // hold integers.
            match unsafe { v4l2::ioctl(self.fd(), request, std::ptr::from_mut(argument).cast()) } {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// An ioctl about a buffer; `pieces` are those of a multi-planar one, which reports as many as it has.
    pub fn buffer_ioctl(
        &self,
        request: vidioc::_IOC_TYPE,
        buffer: &mut sys::v4l2_buffer,
        pieces: &mut Pieces,
    ) -> io::Result<()> {
        if buffer.type_ != CAPTURE_PLANES {
            return self.ioctl(request, buffer);
        }
        // The kernel reads and writes as many as `length` says; they outlive the call, after which the pointer is cleared.
        buffer.m.planes = pieces.as_mut_ptr();
        buffer.length = pieces.len() as u32;
        let result = self.ioctl(request, buffer);
        buffer.m.planes = std::ptr::null_mut();
        result
    }

    /// The buffer type that it captures into.
    pub fn buffer_type(&self) -> u32 {
        match self.identity() {
            Ok(identity) if identity.is_multi_planar() => CAPTURE_PLANES,
            _ => CAPTURE,
        }
    }

    /// Waits until a buffer is ready or the device reports an error; `false` on timeout.
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match poll::readable(&self.file, left) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    pub fn identity(&self) -> io::Result<Identity> {
        let mut caps: sys::v4l2_capability = zeroed();
        self.ioctl(vidioc::VIDIOC_QUERYCAP, &mut caps)?;
        let of_node = if caps.capabilities & sys::V4L2_CAP_DEVICE_CAPS != 0 {
            caps.device_caps
        } else {
            caps.capabilities
        };
        Ok(Identity {
            driver: text(&caps.driver),
            card: text(&caps.card),
            bus: text(&caps.bus_info),
            caps: of_node,
        })
    }

    /// Its device number, major and minor, which does not depend on the file's name.
    pub fn device_numbers(&self) -> io::Result<(u32, u32)> {
        let device = self.file.metadata()?.rdev();
        Ok((libc::major(device), libc::minor(device)))
    }

    /// The formats that the driver makes of the bus format `code`: for a node whose pipeline we set up (`V4L2_CAP_IO_MC`). Other
    /// drivers ignore the field and list all their formats.
    pub fn formats_of(&self, code: BusFormat) -> Vec<FourCc> {
        let mut formats = Vec::new();
        let buffer_type = self.buffer_type();
        for index in 0..MAX_ENTRIES {
            let mut entry: sys::v4l2_fmtdesc = zeroed();
            entry.index = index;
            entry.type_ = buffer_type;
            entry.mbus_code = code.0;
            if self.ioctl(vidioc::VIDIOC_ENUM_FMT, &mut entry).is_err() {
                break;
            }
            formats.push(FourCc(entry.pixelformat.to_le_bytes()));
        }
        formats
    }

    /// The sizes that the driver lists for a format.
    pub fn sizes(&self, format: FourCc) -> Sizes {
        let mut discrete = Vec::new();
        for index in 0..MAX_ENTRIES {
            let mut entry: sys::v4l2_frmsizeenum = zeroed();
            entry.index = index;
            entry.pixel_format = u32::from_le_bytes(format.0);
            if self
                .ioctl(vidioc::VIDIOC_ENUM_FRAMESIZES, &mut entry)
                .is_err()
            {
                break;
            }
            if entry.type_ != sys::v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE {
                // SAFETY: the driver says that the stepwise member is the one in use; it holds integers alone.
                let step = unsafe { entry.__bindgen_anon_1.stepwise };
                return Sizes::Range {
                    least: (step.min_width, step.min_height),
                    most: (step.max_width, step.max_height),
                };
            }
            // SAFETY: likewise for the discrete member.
            let size = unsafe { entry.__bindgen_anon_1.discrete };
            discrete.push((size.width, size.height));
        }
        Sizes::Discrete(discrete)
    }
}

impl Node {
    /// The controls that the driver lists, with their current values.
    pub fn controls(&self) -> Vec<Control> {
        let mut controls = Vec::new();
        let mut last = 0;
        for _ in 0..MAX_CONTROLS {
            let mut query: sys::v4l2_query_ext_ctrl = zeroed();
            query.id = last | sys::V4L2_CTRL_FLAG_NEXT_CTRL;
            // A driver whose ids do not increase would loop for ever.
            let asked = self.ioctl(vidioc::VIDIOC_QUERY_EXT_CTRL, &mut query);
            if asked.is_err() || query.id <= last {
                break;
            }
            last = query.id;
            let is_group = query.type_ == TYPE_CLASS;
            if !is_group && query.flags & sys::V4L2_CTRL_FLAG_DISABLED == 0 {
                controls.push(self.described(&query));
            }
        }
        controls
    }

    fn described(&self, query: &sys::v4l2_query_ext_ctrl) -> Control {
        let kind = match query.type_ {
            1 => Kind::Whole,
            2 => Kind::Flag,
            3 | TYPE_NUMBER_MENU => Kind::Menu,
            8 => Kind::Bits,
            _ => Kind::Other,
        };
        let has = |flag| query.flags & flag != 0;
        let value = (kind != Kind::Other && !has(sys::V4L2_CTRL_FLAG_WRITE_ONLY))
            .then(|| self.control(query.id).ok())
            .flatten()
            .map(i64::from);
        Control {
            id: query.id,
            name: controls::name_of(&text(&query.name.map(|c| c.to_ne_bytes()[0]))),
            kind,
            least: query.minimum,
            most: query.maximum,
            step: query.step,
            default: query.default_value,
            value,
            entries: match kind {
                Kind::Menu => self.menu(query),
                _ => Vec::new(),
            },
            is_read_only: has(sys::V4L2_CTRL_FLAG_READ_ONLY),
            is_inactive: has(sys::V4L2_CTRL_FLAG_INACTIVE),
        }
    }

    /// Values and names of a menu, without the entries that the driver skips.
    fn menu(&self, query: &sys::v4l2_query_ext_ctrl) -> Vec<(i64, String)> {
        let first = u32::try_from(query.minimum).unwrap_or(0);
        let last = u32::try_from(query.maximum).unwrap_or(0);
        let mut entries = Vec::new();
        for index in first..=last.min(first.saturating_add(MAX_ENTRIES)) {
            let mut entry: sys::v4l2_querymenu = zeroed();
            entry.id = query.id;
            entry.index = index;
            if self.ioctl(vidioc::VIDIOC_QUERYMENU, &mut entry).is_ok() {
                let named = entry.__bindgen_anon_1;
                let name = match query.type_ {
                    // SAFETY: a menu of numbers has the member `value`; every pattern of bits is a number.
                    TYPE_NUMBER_MENU => unsafe { named.value }.to_string(),
                    // SAFETY: one of names has `name`; every pattern of bits is an array of bytes.
                    _ => text(&unsafe { named.name }),
                };
                entries.push((i64::from(index), name));
            }
        }
        entries
    }

    /// The value of a 32-bit control.
    fn control(&self, id: u32) -> io::Result<i32> {
        let mut control: sys::v4l2_control = zeroed();
        control.id = id;
        self.ioctl(vidioc::VIDIOC_G_CTRL, &mut control)?;
        Ok(control.value)
    }
}

impl Node {
    fn set_format_of_planes(
        &self,
        mut argument: sys::v4l2_format,
        format: FourCc,
        (width_px, height_px): (u32, u32),
    ) -> io::Result<Accepted> {
        // SAFETY: `pix_mp` is the member that a multi-planar type uses; integers alone, and zero so far.
        let pix = unsafe { &mut argument.fmt.pix_mp };
        pix.width = width_px;
        pix.height = height_px;
        pix.pixelformat = u32::from_le_bytes(format.0);
        pix.field = Field::WHOLE.0;
        self.ioctl(vidioc::VIDIOC_S_FMT, &mut argument)?;
        // SAFETY: the driver has filled the same member.
        let pix = unsafe { argument.fmt.pix_mp };
        let planes = pix.plane_fmt;
        Ok(Accepted {
            format: FourCc(pix.pixelformat.to_le_bytes()),
            width_px: pix.width,
            height_px: pix.height,
            strides_bytes: [0, 1, 2].map(|i| planes[i].bytesperline),
            pieces: pix.num_planes.into(),
            field: Field(pix.field),
        })
    }
}

impl Knobs for Node {
    fn set(&self, id: u32, value: i32) -> io::Result<i32> {
        let mut control: sys::v4l2_control = zeroed();
        control.id = id;
        control.value = value;
        self.ioctl(vidioc::VIDIOC_S_CTRL, &mut control)?;
        Ok(control.value)
    }
}

impl Driver for Node {
    fn formats(&mut self) -> Vec<FourCc> {
        self.formats_of(ANY_CODE)
    }

    fn set_format(
        &mut self,
        format: FourCc,
        width_px: u32,
        height_px: u32,
    ) -> io::Result<Accepted> {
        let mut argument: sys::v4l2_format = zeroed();
        argument.type_ = self.buffer_type();
        if argument.type_ == CAPTURE_PLANES {
            return self.set_format_of_planes(argument, format, (width_px, height_px));
        }
        // SAFETY: `pix` is the member that a capture type uses; integers alone, and zero so far.
        let pix = unsafe { &mut argument.fmt.pix };
        pix.width = width_px;
        pix.height = height_px;
        pix.pixelformat = u32::from_le_bytes(format.0);
        pix.field = Field::WHOLE.0;
        self.ioctl(vidioc::VIDIOC_S_FMT, &mut argument)?;
        // SAFETY: the driver has filled the same member.
        let pix = unsafe { argument.fmt.pix };
        Ok(Accepted {
            format: FourCc(pix.pixelformat.to_le_bytes()),
            width_px: pix.width,
            height_px: pix.height,
            strides_bytes: [pix.bytesperline, 0, 0],
            pieces: 1,
            field: Field(pix.field),
        })
    }

    fn set_interval(&mut self, rate_fps: u32) -> io::Result<Option<Duration>> {
        let mut argument: sys::v4l2_streamparm = zeroed();
        argument.type_ = self.buffer_type();
        // SAFETY: `capture` is the member that a capture type uses; integers alone, and zero so far.
        let capture = unsafe { &mut argument.parm.capture };
        capture.timeperframe.numerator = 1;
        capture.timeperframe.denominator = rate_fps;
        self.ioctl(vidioc::VIDIOC_S_PARM, &mut argument)?;
        // SAFETY: the driver has filled the same member.
        let capture = unsafe { argument.parm.capture };
        let sys::v4l2_fract {
            numerator,
            denominator,
        } = capture.timeperframe;
        if capture.capability & CAP_TIMEPERFRAME == 0 || numerator == 0 || denominator == 0 {
            return Ok(None);
        }
        Ok(Some(Duration::from_secs_f64(
            f64::from(numerator) / f64::from(denominator),
        )))
    }
}

/// A name in a fixed-size field: up to the first zero byte; bytes that are not UTF-8 become U+FFFD, control characters become
/// spaces.
pub(super) fn text(field: &[u8]) -> String {
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end])
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_truncated_inside_a_character_does_not_panic() {
        let mut field = [0u8; 8];
        field[..7].copy_from_slice(b"Cam\n\xc3\xa9\xc3");
        assert_eq!(text(&field), "Cam \u{e9}\u{fffd}");
        assert_eq!(text(&[b'x'; 4]), "xxxx");
        assert_eq!(text(&[0; 4]), "");
    }

    #[test]
    fn a_file_that_is_no_video_device_is_an_error() {
        let node = Node::open(Path::new("/dev/null"));
        if let Ok(node) = node {
            let error = node.identity().expect_err("no video device");
            // User-mode emulation does not forward such a call and returns ENOSYS.
            let errno = error.raw_os_error();
            assert!(
                matches!(errno, Some(libc::ENOTTY | libc::ENOSYS)),
                "{error}"
            );
        }
    }
}
