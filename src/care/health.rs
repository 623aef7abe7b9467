//! The board's own health: supply voltage, throttling, temperature; from files that the kernel has open for all.
//!
//! | file | what it says |
//! |---|---|
//! | `devices/platform/soc/soc:firmware/get_throttled` | the Raspberry Pi's word, in hexadecimal: bit 0 voltage too low now, bits 1 to 3 slowed down now |
//! | `class/hwmon/hwmon*/in0_lcrit_alarm` of `rpi_volt` | 1: voltage too low (kernels that lack the above) |
//! | `class/thermal/thermal_zone*/temp` | thousandths of a degree Celsius; the hottest zone counts |
//!
//! The files are opened once; a look reads each into a fixed buffer and allocates nothing. Files that are not there say
//! nothing, so a machine without them is always well.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Open files of `/sys`.
#[derive(Debug, Default)]
pub struct Health {
    throttled: Option<File>,
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
            alarms: entries(&sys.join("class/hwmon"))
                .filter(|hwmon| volt(hwmon))
                .filter_map(|hwmon| File::open(hwmon.join("in0_lcrit_alarm")).ok())
                .collect(),
            zones: entries(&sys.join("class/thermal"))
                .filter_map(|zone| File::open(zone.join("temp")).ok())
                .collect(),
        }
    }

    /// How the board is now.
    pub fn look(&self) -> Reading {
        let bits = self.throttled.as_ref().and_then(|file| {
            number(file, |text| {
                u32::from_str_radix(text.trim_start_matches("0x"), 16).ok()
            })
        });
        let bits = bits.unwrap_or(0);
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
        let health = Health::open(sys);
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
}
