//! The small text files that boot loaders read: `config.txt` and `cmdline.txt` for the Raspberry Pi's firmware, and `boot.scr`
//! and `extlinux.conf` for U-Boot, which replaces that firmware in emulation. The files that choose the slot come from
//! [`crate::update::chooser`].
//!
//! Both have the same two slots and the same kind of trial: the other slot boots once, and unless it is confirmed the next boot
//! is the old slot again.

use super::Slot;
use crate::update::chooser::{Chooser, U_BOOT_STATE};
use std::fmt::Write;

/// The kernel's file name in a slot.
pub const KERNEL: &str = "vmlinuz";
/// The initramfs's file name in a slot.
pub const INITRAMFS: &str = "initrd.gz";
/// The kernel's command line.
#[derive(Debug, Clone, Copy)]
pub struct CommandLine<'a> {
    /// `console=` for the serial line.
    pub console: &'a str,
    /// More words, from the board file.
    pub more: Option<&'a str>,
}

impl CommandLine<'_> {
    /// The command line for `slot`, without a newline.
    pub fn text(&self, slot: Slot) -> String {
        // Hide the text cursor, which would blink over the corner of the picture. Reboot ten seconds after a panic.
        let mut text = format!(
            "console={} loglevel=4 vt.global_cursor_default=0 panic=10 eyelet.slot={}",
            self.console,
            slot.letter()
        );
        if let Some(more) = self.more {
            // Writing to a String cannot fail.
            let _ = write!(text, " {more}");
        }
        text
    }
}

/// `config.txt` of a slot; `more` are lines from the board file. `of_pi_os`: the kernel is Raspberry Pi OS's, so the device trees
/// have its names.
pub fn config_txt(more: &[String], of_pi_os: bool) -> String {
    let mut text = format!(
        "# Written by `eyelet image`. Add your own lines with config_txt under [firmware] in the board file.\n\
         arm_64bit=1\n\
         kernel={KERNEL}\n\
         initramfs {INITRAMFS} followkernel\n\
         enable_uart=1\n\
         disable_splash=1\n\
         boot_delay=0\n\
         disable_overscan=1\n\
         hdmi_force_hotplug=1\n\
         max_framebuffers=1\n"
    );
    text += if of_pi_os {
        "dtparam=watchdog=on\n"
    } else {
        "upstream_kernel=1\n"
    };
    for line in more {
        text += line;
        text.push('\n');
    }
    text
}

/// The contents of `cmdline.txt`: the command line, marked as read by the Raspberry Pi's firmware.
pub fn of_pi_firmware(command_line: &str) -> String {
    format!(
        "{command_line} eyelet.loader={}",
        Chooser::PiFirmware.name()
    )
}

/// `extlinux.conf` of a slot: its command line is marked as read by U-Boot, with the kind of disk. [`u_boot_script`] sets the
/// variables: `sysboot` sees only those in the environment, and `devtype` is a shell variable.
pub fn extlinux_conf(command_line: &str, device_tree: Option<&str>) -> String {
    let device_tree = device_tree.map_or_else(String::new, |name| format!("    fdt /{name}\n"));
    format!(
        "default eyelet\n\
         label eyelet\n    \
             linux /{KERNEL}\n    \
             initrd /{INITRAMFS}\n\
         {device_tree}    \
             append {command_line} eyelet.loader={} eyelet.disk=${{eyelet_disk}} ${{eyelet_trial}}\n",
        Chooser::UBoot.name()
    )
}

/// `boot.scr`: chooses the slot, ends a trial before it begins (so that a hang in it leads back), and boots. If the chosen slot
/// has no kernel that can be loaded, it tries the other one.
pub fn u_boot_script() -> Vec<u8> {
    let text = format!(
        r#"setenv slot a
setenv eyelet_disk ${{devtype}}
setenv trial
setenv eyelet_trial
if load ${{devtype}} ${{devnum}}:1 ${{kernel_addr_r}} {U_BOOT_STATE}; then env import -t ${{kernel_addr_r}} ${{filesize}} slot trial; fi
if test "${{slot}}" != b; then setenv slot a; fi
setenv chosen ${{slot}}
if test "${{trial}}" = a || test "${{trial}}" = b; then
setenv chosen ${{trial}}
setenv eyelet_trial eyelet.trial=1
setenv trial
env export -t ${{ramdisk_addr_r}} slot
fatwrite ${{devtype}} ${{devnum}}:1 ${{ramdisk_addr_r}} {U_BOOT_STATE} ${{filesize}}
fi
echo "eyelet: slot ${{chosen}} ${{eyelet_trial}}"
if test ${{chosen}} = b; then setenv first 3; setenv second 2; else setenv first 2; setenv second 3; fi
sysboot ${{devtype}} ${{devnum}}:${{first}} fat ${{pxefile_addr_r}} /extlinux.conf
echo "eyelet: that slot does not boot, trying the other one"
setenv eyelet_trial
sysboot ${{devtype}} ${{devnum}}:${{second}} fat ${{pxefile_addr_r}} /extlinux.conf
"#
    );
    legacy_script(text.as_bytes())
}

/// A script as a U-Boot legacy image: a 64-byte header, the script's length, a zero, the script.
/// Format: u-boot/include/image.h, `struct legacy_img_hdr`.
fn legacy_script(script: &[u8]) -> Vec<u8> {
    const MAGIC: u32 = 0x2705_1956;
    const LINUX: u8 = 5;
    const ARM64: u8 = 22;
    const SCRIPT: u8 = 6;
    const NOT_COMPRESSED: u8 = 0;
    let length = u32::try_from(script.len()).expect("a script of a few lines");
    let mut data = length.to_be_bytes().to_vec();
    data.extend([0; 4]);
    data.extend(script);
    let mut header = Vec::with_capacity(64);
    let data_length = length + 8;
    // Magic, the header's own checksum, time, length, load address, entry, the data's checksum.
    for field in [MAGIC, 0, 0, data_length, 0, 0, crc32(&data)] {
        header.extend(field.to_be_bytes());
    }
    header.extend([LINUX, ARM64, SCRIPT, NOT_COMPRESSED]);
    header.extend(b"eyelet: chooses the slot");
    header.resize(64, 0);
    let checksum = crc32(&header);
    header[4..8].copy_from_slice(&checksum.to_be_bytes());
    header.extend(data);
    header
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_names_its_slot() {
        let line = CommandLine {
            console: "ttyS1,115200",
            more: Some("video=x"),
        };
        let text = line.text(Slot::B);
        assert!(text.starts_with("console=ttyS1,115200 "), "{text}");
        assert!(text.ends_with(" eyelet.slot=b video=x"), "{text}");
        let conf = extlinux_conf(&text, Some("pi.dtb"));
        assert_eq!(conf.lines().nth(4), Some("    fdt /pi.dtb"), "{conf}");
        assert!(
            conf.ends_with(
                " video=x eyelet.loader=u-boot eyelet.disk=${eyelet_disk} ${eyelet_trial}\n"
            ),
            "{conf}"
        );
        assert!(!extlinux_conf(&text, None).contains("fdt"));
    }

    #[test]
    fn the_script_has_the_header_that_u_boot_checks() {
        let script = u_boot_script();
        assert_eq!(script[..4], [0x27, 0x05, 0x19, 0x56]);
        assert_eq!(script[24..28], crc32(&script[64..]).to_be_bytes());
        let mut header = script[..64].to_vec();
        header[4..8].fill(0);
        assert_eq!(script[4..8], crc32(&header).to_be_bytes());
    }
}
