//! The kernel's framebuffer interface (`linux/fb.h`): the structures, the requests, and safe wrappers around them.

use super::pixel::{Field, Packing};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

const FBIOGET_VSCREENINFO: u32 = 0x4600;
const FBIOGET_FSCREENINFO: u32 = 0x4602;
const FBIOPUTCMAP: u32 = 0x4605;
const FBIOBLANK: u32 = 0x4611;
const FB_BLANK_UNBLANK: libc::c_ulong = 0;

const FB_TYPE_PACKED_PIXELS: u32 = 0;
const FB_VISUAL_MONO01: u32 = 0;
const FB_VISUAL_TRUECOLOR: u32 = 2;
const FB_VISUAL_PSEUDOCOLOR: u32 = 3;
const FB_VISUAL_STATIC_PSEUDOCOLOR: u32 = 5;

/// `struct fb_bitfield`
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Bitfield {
    /// Position of the lowest bit.
    pub offset: u32,
    /// Number of bits.
    pub length: u32,
    /// Whether the highest bit is on the right.
    pub msb_right: u32,
}

/// `struct fb_var_screeninfo`: the settings that can be changed.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct VarInfo {
    /// Visible width.
    pub xres: u32,
    /// Visible height.
    pub yres: u32,
    /// Width in memory.
    pub xres_virtual: u32,
    /// Height in memory.
    pub yres_virtual: u32,
    /// X offset of the visible part.
    pub xoffset: u32,
    /// Y offset of the visible part.
    pub yoffset: u32,
    /// Bits per pixel.
    pub bits_per_pixel: u32,
    /// 0 for colour, 1 for grey, larger values are a FourCC.
    pub grayscale: u32,
    /// Red.
    pub red: Bitfield,
    /// Green.
    pub green: Bitfield,
    /// Blue.
    pub blue: Bitfield,
    /// Opacity.
    pub transp: Bitfield,
    /// Non-standard pixels (such as planes) if not 0.
    pub nonstd: u32,
    /// activate, height, width, accel_flags, pixclock, six margins and lengths, sync, vmode, rotate, colorspace, reserved.
    pub rest: [u32; 19],
}

/// `struct fb_fix_screeninfo`: properties fixed by the driver.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct FixInfo {
    /// The driver's name.
    pub id: [u8; 16],
    /// Physical address.
    pub smem_start: libc::c_ulong,
    /// Size of the memory in bytes.
    pub smem_len: u32,
    /// Memory type: packed pixels, planes, and so on.
    pub kind: u32,
    /// Details of `kind`.
    pub kind_aux: u32,
    /// Visual: true colour, palette, and so on.
    pub visual: u32,
    /// Panning steps.
    pub steps: [u16; 3],
    /// Bytes from one row to the next.
    pub line_length: u32,
    /// Physical address of registers.
    pub mmio_start: libc::c_ulong,
    /// Bytes of registers.
    pub mmio_len: u32,
    /// Accelerator.
    pub accel: u32,
    /// Capabilities.
    pub capabilities: u16,
    /// Reserved.
    pub reserved: [u16; 2],
}

/// `struct fb_cmap`: a palette.
#[repr(C)]
struct ColourMap {
    start: u32,
    len: u32,
    red: *const u16,
    green: *const u16,
    blue: *const u16,
    transp: *const u16,
}

/// What the driver reports about the screen.
pub fn screen_info(file: &File) -> io::Result<(VarInfo, FixInfo)> {
    let (mut var, mut fix) = (VarInfo::default(), FixInfo::default());
    let fd = file.as_raw_fd();
    // SAFETY: both requests fill one structure of the kernel's layout (sizes are tested below), and both outlive the calls.
    let answers = unsafe {
        [
            libc::ioctl(fd, FBIOGET_VSCREENINFO as _, &raw mut var),
            libc::ioctl(fd, FBIOGET_FSCREENINFO as _, &raw mut fix),
        ]
    };
    if answers.contains(&-1) {
        return Err(io::Error::last_os_error());
    }
    Ok((var, fix))
}

/// Turns the panel on. A driver that does not support this is left alone.
pub fn unblank(file: &File) {
    // SAFETY: the request takes a number and no pointer.
    unsafe { libc::ioctl(file.as_raw_fd(), FBIOBLANK as _, FB_BLANK_UNBLANK) };
}

/// Sets the palette of an 8-bit screen to 3 bits red, 3 green, 2 blue.
pub fn set_palette_332(file: &File) -> io::Result<()> {
    let spread = |value: usize, most: usize| (value * 0xffff / most) as u16;
    let red: [u16; 256] = std::array::from_fn(|i| spread(i >> 5, 7));
    let green: [u16; 256] = std::array::from_fn(|i| spread(i >> 2 & 7, 7));
    let blue: [u16; 256] = std::array::from_fn(|i| spread(i & 3, 3));
    let map = ColourMap {
        start: 0,
        len: 256,
        red: red.as_ptr(),
        green: green.as_ptr(),
        blue: blue.as_ptr(),
        transp: std::ptr::null(),
    };
    // SAFETY: the kernel reads `len` numbers from each of the three arrays, which live until the call returns; a null `transp`
    // is allowed.
    if unsafe { libc::ioctl(file.as_raw_fd(), FBIOPUTCMAP as _, &raw const map) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The screen's properties that we need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    /// Visible width.
    pub width_px: u32,
    /// Visible height.
    pub height_px: u32,
    /// Bits per pixel.
    pub bits_per_pixel: u32,
    /// The pixel format.
    pub packing: Packing,
    /// Whether [`set_palette_332`] must be called first.
    pub palette: bool,
    /// Bytes from one row to the next.
    pub stride_bytes: usize,
    /// Offset of the first visible pixel.
    pub first_byte: usize,
}

impl Mode {
    /// The mode, or in words why it cannot be drawn in.
    pub fn of(var: &VarInfo, fix: &FixInfo) -> Result<Self, String> {
        let bits = var.bits_per_pixel;
        // Linux's drivers of SPI panels (fbtft) set `nonstd` to 1 although their pixels follow the channel offsets.
        let is_standard = match var.nonstd {
            0 => true,
            1 => fix.visual == FB_VISUAL_TRUECOLOR,
            _ => false,
        };
        if fix.kind != FB_TYPE_PACKED_PIXELS || !is_standard || var.grayscale > 1 {
            return Err(format!(
                "its pixels are not packed RGB (type {}, nonstd {}, grayscale {:#x})",
                fix.kind, var.nonstd, var.grayscale
            ));
        }
        let channels = [var.red, var.green, var.blue, var.transp];
        let palette = matches!(
            fix.visual,
            FB_VISUAL_PSEUDOCOLOR | FB_VISUAL_STATIC_PSEUDOCOLOR
        );
        let packing = match bits {
            1 => Packing::Mono {
                // In DRM's emulation the leftmost pixel is the highest bit; in ssd1307fb, the other driver of such panels, the
                // lowest.
                left_is_high: driver_name(fix).ends_with("drmfb"),
                set_is_white: fix.visual != FB_VISUAL_MONO01,
            },
            8 if var.grayscale == 1 => Packing::Grey,
            8 if palette => Packing::Fields {
                bytes: 1,
                red: Field {
                    offset: 5,
                    length: 3,
                },
                green: Field {
                    offset: 2,
                    length: 3,
                },
                blue: Field {
                    offset: 0,
                    length: 2,
                },
                opacity: Field::default(),
            },
            8 | 15 | 16 | 24 | 32 => {
                let last = bits.next_multiple_of(8);
                let broken = |field: &Bitfield| {
                    field.msb_right != 0
                        || field.length > 16
                        || field.offset.saturating_add(field.length) > last
                };
                if channels.iter().any(broken) || channels[..3].iter().any(|f| f.length == 0) {
                    return Err(format!(
                        "its {bits} bits per pixel are laid out as {channels:?}"
                    ));
                }
                let [red, green, blue, opacity] = channels.map(|f| Field {
                    offset: f.offset,
                    length: f.length,
                });
                Packing::Fields {
                    bytes: bits.div_ceil(8) as usize,
                    red,
                    green,
                    blue,
                    opacity,
                }
            }
            _ => return Err(format!("{bits} bits per pixel are not supported")),
        };
        let mode = Self {
            width_px: var.xres,
            height_px: var.yres,
            bits_per_pixel: bits,
            packing,
            palette: bits == 8 && palette && var.grayscale == 0,
            stride_bytes: fix.line_length as usize,
            first_byte: var.yoffset as usize * fix.line_length as usize
                + packing.row_bytes(var.xoffset as usize),
        };
        let row_bytes = packing.row_bytes(var.xoffset as usize + var.xres as usize);
        if var.xres == 0 || var.yres == 0 || mode.stride_bytes < row_bytes {
            return Err(format!(
                "the driver reports {} x {} pixels of {bits} bits in rows of {} bytes",
                var.xres, var.yres, fix.line_length
            ));
        }
        Ok(mode)
    }
}

/// The name in `fix.id`.
pub fn driver_name(fix: &FixInfo) -> &str {
    let end = fix.id.iter().position(|b| *b == 0).unwrap_or(fix.id.len());
    std::str::from_utf8(&fix.id[..end]).unwrap_or("?")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// As in C; `long` is 8 bytes on the 64-bit targets and 4 on armv7.
    #[test]
    fn the_structures_have_the_kernels_size() {
        assert_eq!(size_of::<VarInfo>(), 160);
        let wide = size_of::<libc::c_ulong>() == 8;
        assert_eq!(size_of::<FixInfo>(), if wide { 80 } else { 68 });
        assert_eq!(
            std::mem::offset_of!(FixInfo, line_length),
            if wide { 48 } else { 44 }
        );
    }

    fn bits(offset: u32, length: u32) -> Bitfield {
        Bitfield {
            offset,
            length,
            msb_right: 0,
        }
    }

    fn screen(bits_per_pixel: u32, channels: [(u32, u32); 4], visual: u32) -> (VarInfo, FixInfo) {
        let [red, green, blue, transp] = channels.map(|(offset, length)| bits(offset, length));
        let var = VarInfo {
            xres: 64,
            yres: 48,
            bits_per_pixel,
            red,
            green,
            blue,
            transp,
            ..VarInfo::default()
        };
        let fix = FixInfo {
            visual,
            line_length: 256,
            ..FixInfo::default()
        };
        (var, fix)
    }

    #[test]
    fn modes_that_drivers_report() {
        // virtio-gpu, vc4, simpledrm: XRGB8888.
        let (mut var, fix) = screen(32, [(16, 8), (8, 8), (0, 8), (0, 0)], 2);
        let mode = Mode::of(&var, &fix).unwrap();
        assert_eq!(
            (mode.width_px, mode.height_px, mode.first_byte),
            (64, 48, 0)
        );
        var.yoffset = 48;
        assert_eq!(Mode::of(&var, &fix).unwrap().first_byte, 48 * 256);
        // The Pi's simple framebuffer: RGB565.
        let (mut var, fix) = screen(16, [(11, 5), (5, 6), (0, 5), (0, 0)], 2);
        var.xoffset = 3;
        assert_eq!(Mode::of(&var, &fix).unwrap().first_byte, 6);
        // fbtft: RGB565 that calls itself non-standard.
        let (mut var, mut fix) = screen(16, [(11, 5), (5, 6), (0, 5), (0, 0)], 2);
        let standard = Mode::of(&var, &fix);
        var.nonstd = 1;
        assert_eq!(Mode::of(&var, &fix), standard);
        fix.visual = FB_VISUAL_PSEUDOCOLOR;
        Mode::of(&var, &fix).unwrap_err();
        // ssd1307fb.
        let (var, fix) = screen(1, [(0, 1), (0, 1), (0, 1), (0, 0)], 1);
        let mono = Packing::Mono {
            left_is_high: false,
            set_is_white: true,
        };
        assert_eq!(Mode::of(&var, &fix).unwrap().packing, mono);
        // A palette.
        let (var, fix) = screen(8, [(0, 8), (0, 8), (0, 8), (0, 0)], FB_VISUAL_PSEUDOCOLOR);
        assert!(Mode::of(&var, &fix).unwrap().palette);
    }

    #[test]
    fn implausible_modes_are_refused() {
        let rgb = [(16, 8), (8, 8), (0, 8), (0, 0)];
        let refused = |change: &dyn Fn(&mut VarInfo, &mut FixInfo)| {
            let (mut var, mut fix) = screen(32, rgb, 2);
            change(&mut var, &mut fix);
            Mode::of(&var, &fix).unwrap_err()
        };
        refused(&|var, _| var.bits_per_pixel = 4);
        refused(&|var, _| var.bits_per_pixel = 12);
        refused(&|var, _| var.grayscale = 0x3432_4742);
        refused(&|var, _| var.nonstd = 2);
        refused(&|_, fix| fix.kind = 1);
        refused(&|_, fix| fix.line_length = 255);
        refused(&|var, _| var.xres = 0);
        refused(&|var, _| var.red.offset = u32::MAX);
        refused(&|var, _| var.green.length = 0);
        refused(&|var, _| var.blue.msb_right = 1);
    }
}
