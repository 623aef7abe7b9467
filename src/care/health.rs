//! The board's own health: supply voltage, throttling, temperature; from files that the kernel has open for all.
//!
//! | file | what it says |
//! |---|---|
//! | `devices/platform/soc/soc:firmware/get_throttled` | the Raspberry Pi's word, in hexadecimal: bit 0 voltage too low now, bits 1 to 3 slowed down now |
//! | `class/hwmon/hwmon*/in0_lcrit_alarm` of `rpi_volt` | 1: voltage too low (kernels that lack the above) |
//! | `/dev/vcio`, where neither of the above is there | the firmware's word again, by its mailbox |
//! | `class/thermal/thermal_zone*/temp` | thousandths of a degree Celsius; the hottest zone counts |
//!
//! Raspberry Pi OS's kernels have the second and `/dev/vcio`, older ones the first. Debian's have none of the three (6.1's
//! configuration: no `SENSORS_RASPBERRYPI_HWMON`; `BCM_VCIO` is not in the kernel's own sources), so that low voltage is never
//! seen there.
//!
//! The files are opened once; a look reads each into a fixed buffer and allocates nothing. Files that are not there say
//! nothing, so a machine without them is always well.

use super::mailbox_sys::Mailbox;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The device of Raspberry Pi OS's kernels that asks the firmware.
pub const MAILBOX: &str = "/dev/vcio";

/// So many questions in a row that stay without an answer are the last: each may have taken a second.
const MOST_SILENCES: u32 = 3;

/// Open files of `/sys`, and the firmware's mailbox.
#[derive(Debug, Default)]
pub struct Health {
    throttled: Option<File>,
    mailbox: Option<Mailbox>,
    /// Questions in a row that the firmware has not answered.
    silences: u32,
    alarms: Vec<File>,
    zones: Vec<File>,
}

/// What one look found.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reading {
    /// The supply's voltage is too low.
    pub undervoltage: bool,
    /// The board's firmware has slowed the processor down, for heat or for want of power.
    pub throttled: bool,
    /// The hottest thermal zone, degrees Celsius.
    pub celsius: Option<f32>,
}

impl Health {
    /// Opens what there is below `sys` (`/sys` on a board).
    pub fn open(sys: &Path) -> Self {
        let firmware = "devices/platform/soc/soc:firmware/get_throttled";
        let volt = |hwmon: &Path| {
            std::fs::read_to_string(hwmon.join("name")).is_ok_and(|name| name.trim() == "rpi_volt")
        };
        Self {
            throttled: File::open(sys.join(firmware)).ok(),
            mailbox: None,
            silences: 0,
            alarms: entries(&sys.join("class/hwmon"))
                .filter(|hwmon| volt(hwmon))
                .filter_map(|hwmon| File::open(hwmon.join("in0_lcrit_alarm")).ok())
                .collect(),
            zones: entries(&sys.join("class/thermal"))
                .filter_map(|zone| File::open(zone.join("temp")).ok())
                .collect(),
        }
    }

    /// Asks the firmware by the device `mailbox` where no file tells of the supply.
    pub fn or_mailbox(mut self, mailbox: &Path) -> Self {
        if !self.tells_power() {
            self.mailbox = Mailbox::open(mailbox).ok();
        }
        self
    }

    /// Whether there is anything that tells of the supply's voltage.
    pub fn tells_power(&self) -> bool {
        self.throttled.is_some() || self.mailbox.is_some() || !self.alarms.is_empty()
    }

    /// How the board is now.
    pub fn look(&mut self) -> Reading {
        let bits = self.throttled.as_ref().and_then(|file| {
            number(file, |text| {
                u32::from_str_radix(text.trim_start_matches("0x"), 16).ok()
            })
        });
        let bits = bits.or_else(|| self.ask()).unwrap_or(0);
        let alarm = |file: &File| number(file, |text| text.parse().ok()) == Some(1u8);
        let celsius = self
            .zones
            .iter()
            .filter_map(|file| number(file, |text| text.parse::<i32>().ok()))
            .max()
            .map(|thousandths| thousandths as f32 / 1000.0);
        Reading {
            undervoltage: bits & 0b0001 != 0 || self.alarms.iter().any(alarm),
            throttled: bits & 0b1110 != 0,
            celsius,
        }
    }
}

impl Health {
    /// The firmware's word; a firmware that stays silent is left alone.
    fn ask(&mut self) -> Option<u32> {
        let answer = self.mailbox.as_ref()?.throttled();
        match answer {
            Ok(bits) => {
                self.silences = 0;
                Some(bits)
            }
            Err(error) => {
                self.silences += 1;
                if self.silences == MOST_SILENCES {
                    self.mailbox = None;
                    log::warn!(
                        "the firmware did not answer {MOST_SILENCES} times ({error}): low voltage is not seen from now on"
                    );
                }
                None
            }
        }
    }
}

/// What the log is told of a machine with this device-tree model: a Raspberry Pi whose kernel does not tell of low voltage.
pub fn power_warning(model: &str, health: &Health) -> Option<&'static str> {
    let is_blind = model.starts_with("Raspberry Pi") && !health.tells_power();
    is_blind.then_some(
        "this kernel does not tell of low voltage, so that policy.power_low never acts (Raspberry Pi OS's kernel does, Debian's does not)",
    )
}

fn entries(folder: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.flatten().map(|entry| entry.path())
}

/// The first line of a file, by `parse`.
fn number<T>(file: &File, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    let mut buffer = [0; 32];
    let length = file.read_at(&mut buffer, 0).ok()?;
    parse(std::str::from_utf8(&buffer[..length]).ok()?.trim())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_pi_says_what_ails_it_and_a_machine_without_the_files_is_well() {
        let folder = tempfile::tempdir().unwrap();
        let sys = folder.path();
        assert_eq!(Health::open(sys).look(), Reading::default());

        let write = |path: &str, text: &str| {
            let path = sys.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let throttled = "devices/platform/soc/soc:firmware/get_throttled";
        write(throttled, "50005\n");
        write("class/thermal/thermal_zone0/temp", "61322\n");
        write("class/thermal/thermal_zone1/temp", "-273200\n");
        write("class/hwmon/hwmon0/name", "cpu_thermal\n");
        write("class/hwmon/hwmon0/in0_lcrit_alarm", "1\n");
        let mut health = Health::open(sys);
        let reading = health.look();
        assert_eq!((reading.undervoltage, reading.throttled), (true, true));
        assert_eq!(reading.celsius, Some(61.322));
        // Bits 16 and up are what once was.
        write(throttled, "50000\n");
        assert_eq!(
            (health.look().undervoltage, health.look().throttled),
            (false, false)
        );

        write("class/hwmon/hwmon1/name", "rpi_volt\n");
        write("class/hwmon/hwmon1/in0_lcrit_alarm", "1\n");
        assert!(Health::open(sys).look().undervoltage);
        write(throttled, "not a number\n");
        write("class/hwmon/hwmon1/in0_lcrit_alarm", "0\n");
        assert!(!Health::open(sys).look().undervoltage);
    }
    #[test]
    fn the_mailbox_is_asked_where_no_file_tells_and_left_alone_when_it_is_silent() {
        let folder = tempfile::tempdir().unwrap();
        let sys = folder.path();
        let nowhere = Health::open(sys).or_mailbox(&sys.join("vcio"));
        assert!(!nowhere.tells_power());
        // A file in place of the device answers no question.
        std::fs::write(sys.join("vcio"), "").unwrap();
        let mut silent = Health::open(sys).or_mailbox(&sys.join("vcio"));
        assert!(silent.tells_power());
        for _ in 0..MOST_SILENCES {
            assert!(silent.mailbox.is_some());
            assert_eq!(silent.look(), Reading::default());
        }
        assert!(silent.mailbox.is_none());
        assert_eq!(silent.look(), Reading::default());

        let hwmon = sys.join("class/hwmon/hwmon0");
        std::fs::create_dir_all(&hwmon).unwrap();
        std::fs::write(hwmon.join("name"), "rpi_volt\n").unwrap();
        std::fs::write(hwmon.join("in0_lcrit_alarm"), "0\n").unwrap();
        let told = Health::open(sys).or_mailbox(&sys.join("vcio"));
        assert!(told.tells_power() && told.mailbox.is_none());
    }

    #[test]
    fn a_pi_whose_kernel_is_silent_on_power_is_warned_of() {
        let silent = Health::default();
        assert!(power_warning("Raspberry Pi 4 Model B Rev 1.5\0", &silent).is_some());
        assert!(power_warning("linux,dummy-virt\0", &silent).is_none());
        assert!(power_warning("", &silent).is_none());
        let file = tempfile::NamedTempFile::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let told = Health::open(folder.path()).or_mailbox(file.path());
        assert!(power_warning("Raspberry Pi 4 Model B Rev 1.5\0", &told).is_none());
    }
}
