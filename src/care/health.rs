//! The board's health: supply voltage, throttling, temperature, read from files that any user may open.
//!
//! | file | content |
//! |---|---|
//! | `devices/platform/soc/soc:firmware/get_throttled` | firmware flags in hex: bit 0 undervoltage now, bits 1, 2 slowed by that or heat |
//! | `class/hwmon/hwmon*/in0_lcrit_alarm` of `rpi_volt` | 1: undervoltage (kernels without the file above) |
//! | `/dev/vcio`, where both are missing | the same flags, through the firmware's mailbox |
//! | `class/thermal/thermal_zone*/temp` | thousandths of a degree Celsius; the hottest of the processor's zones counts (`type`) |
//!
//! Raspberry Pi OS's kernels have the second file and `/dev/vcio`, older ones the first file. Debian's kernels have none of the
//! three (6.1's configuration lacks `SENSORS_RASPBERRYPI_HWMON`; `BCM_VCIO` is not in the mainline kernel), so Eyelet never sees
//! undervoltage there.
//!
//! Bit 3 is the Raspberry Pi 3B+'s soft limit, 60 °C by default: it is reached in normal operation and is not a fault.
//!
//! The files stay open; each `read` uses a fixed buffer and allocates nothing. A missing file reports no fault, so a machine
//! without these files always counts as healthy. Drivers may be modules that are loaded after the start, so whoever reads looks
//! again ([`Health::look_again`]).

use super::mailbox_sys::Mailbox;
use crate::board::policy::{Action, Hot};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The device of Raspberry Pi OS's kernels that queries the firmware.
pub const MAILBOX: &str = "/dev/vcio";

/// After this many unanswered questions in a row we stop asking: each may have taken a second.
const MAX_SILENCES: u32 = 3;

/// Open files of `/sys`, and the firmware's mailbox.
#[derive(Debug, Default)]
pub struct Health {
    throttled: Option<File>,
    mailbox: Option<Mailbox>,
    /// Questions in a row that the firmware left unanswered.
    silences: u32,
    alarms: Vec<File>,
    zones: Vec<File>,
}

/// The result of one reading.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reading {
    /// The supply's voltage is too low.
    pub undervoltage: bool,
    /// The board's firmware has slowed the processor down, because of heat or undervoltage.
    pub slowed: bool,
    /// The hottest of the processor's thermal zones, degrees Celsius.
    pub celsius: Option<f32>,
}

/// The firmware slows the processor down from 80 °C on. Below this, with a margin for two thermometers, heat is not why.
const SLOWED_BY_HEAT_CELSIUS: f32 = 75.0;

impl Reading {
    /// The firmware has slowed the processor down because of heat: it does not report undervoltage.
    pub fn is_slowed_by_heat(&self) -> bool {
        let may_be_hot = self.celsius.is_none_or(|it| it >= SLOWED_BY_HEAT_CELSIUS);
        self.slowed && !self.undervoltage && may_be_hot
    }

    /// The supply is too weak, now or a moment ago.
    pub fn is_power_low(&self) -> bool {
        self.undervoltage || (self.slowed && !self.is_slowed_by_heat())
    }
}

impl Health {
    /// Opens the files that exist below `sys` (`/sys` on a board).
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
            zones: zones(&sys.join("class/thermal")),
        }
    }

    /// Queries the firmware through the device `mailbox` if no file reports the supply voltage.
    pub fn or_mailbox(mut self, mailbox: &Path) -> Self {
        if !self.reports_power() {
            self.mailbox = Mailbox::open(mailbox).ok();
        }
        self
    }

    /// Opens what has appeared below `sys` since the last look, and `mailbox` if nothing else reports the supply voltage.
    pub fn look_again(&mut self, sys: &Path, mailbox: &Path) {
        let now = Self::open(sys);
        // The first zones may have been a wireless card's, and the processor's came later.
        self.zones = now.zones;
        if now.throttled.is_some() || !now.alarms.is_empty() {
            (self.throttled, self.alarms, self.mailbox) = (now.throttled, now.alarms, None);
        } else if self.mailbox.is_none() && self.silences < MAX_SILENCES {
            self.mailbox = Mailbox::open(mailbox).ok();
        }
    }

    /// Whether any thermometer reports the processor's temperature.
    pub fn reports_heat(&self) -> bool {
        !self.zones.is_empty()
    }

    /// Whether any source reports the supply voltage.
    pub fn reports_power(&self) -> bool {
        self.throttled.is_some() || self.mailbox.is_some() || !self.alarms.is_empty()
    }

    /// Reads the board's state now.
    pub fn read(&mut self) -> Reading {
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
            slowed: bits & 0b0110 != 0,
            celsius,
        }
    }
}

impl Health {
    /// The firmware's flags; stops asking a firmware that does not answer.
    fn ask(&mut self) -> Option<u32> {
        let answer = self.mailbox.as_ref()?.throttled();
        match answer {
            Ok(bits) => {
                self.silences = 0;
                Some(bits)
            }
            Err(error) => {
                self.silences += 1;
                if self.silences == MAX_SILENCES {
                    self.mailbox = None;
                    log::warn!(
                        "the firmware did not answer {MAX_SILENCES} times ({error}): low voltage is no longer detected"
                    );
                }
                None
            }
        }
    }
}

/// The warning for a machine with this device-tree model: a Raspberry Pi whose kernel does not report low voltage.
pub fn power_warning(model: &str, health: &Health) -> Option<&'static str> {
    let is_blind = model.starts_with("Raspberry Pi") && !health.reports_power();
    is_blind.then_some(
        "this kernel does not report low voltage, so policy.power_low never acts (Raspberry Pi OS's kernel does, Debian's does not)",
    )
}

/// The warning for a machine without a thermometer, if the policy wants more than a report of heat.
pub fn heat_warning(policy: &Hot, health: &Health) -> Option<&'static str> {
    let acts = policy.rule.action != Action::Retry;
    // A Raspberry Pi's firmware tells that it is hot by slowing the processor down.
    let is_told = health.throttled.is_some() || health.mailbox.is_some();
    let is_blind = acts && !is_told && !health.reports_heat();
    is_blind.then_some(
        "no thermometer of the processor in /sys/class/thermal, so policy.hot does not act: load the driver of the board's thermal \
         sensor (on a card: `modules` of [firmware] in the board file)",
    )
}

/// The temperatures of the processor's thermal zones; if none is known to be the processor's, of those that may be.
fn zones(folder: &Path) -> Vec<File> {
    let zones: Vec<(String, File)> = entries(folder)
        .filter_map(|zone| {
            let kind = std::fs::read_to_string(zone.join("type")).unwrap_or_default();
            let temperature = File::open(zone.join("temp")).ok()?;
            Some((kind.trim().to_ascii_lowercase(), temperature))
        })
        .collect();
    let is_processor = |kind: &str| {
        let beginnings = ["cpu", "soc", "tj", "x86_pkg_temp"];
        beginnings.iter().any(|it| kind.starts_with(it))
    };
    // A Jetson Nano's PMIC-Die always says 100 °C, and its fan's estimate is not the processor's; wireless cards have zones of
    // their own.
    let is_other = |kind: &str| {
        let beginnings = ["pmic", "iwlwifi", "ngff"];
        beginnings.iter().any(|it| kind.starts_with(it)) || kind.contains("fan")
    };
    let knows = zones.iter().any(|(kind, _)| is_processor(kind));
    let counts = |kind: &str| match knows {
        true => is_processor(kind),
        false => !is_other(kind),
    };
    let zones = zones.into_iter().filter(|(kind, _)| counts(kind));
    zones.map(|(_, temperature)| temperature).collect()
}

fn entries(folder: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.flatten().map(|entry| entry.path())
}

/// The first line of a file, parsed by `parse`.
fn number<T>(file: &File, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    let mut buffer = [0; 32];
    let length = file.read_at(&mut buffer, 0).ok()?;
    parse(std::str::from_utf8(&buffer[..length]).ok()?.trim())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::board::policy::Policy;

    #[test]
    fn a_pi_reports_its_faults_and_a_machine_without_the_files_is_healthy() {
        let folder = tempfile::tempdir().unwrap();
        let sys = folder.path();
        assert_eq!(Health::open(sys).read(), Reading::default());

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
        let reading = health.read();
        assert_eq!((reading.undervoltage, reading.slowed), (true, true));
        assert_eq!(reading.celsius, Some(61.322));
        assert!(reading.is_power_low() && !reading.is_slowed_by_heat());
        // Bits 16 and up are about the past.
        write(throttled, "50000\n");
        assert_eq!(
            (health.read().undervoltage, health.read().slowed),
            (false, false)
        );
        // A 3B+ at its soft limit works normally.
        write(throttled, "80008\n");
        assert!(!health.read().slowed);

        write("class/hwmon/hwmon1/name", "rpi_volt\n");
        write("class/hwmon/hwmon1/in0_lcrit_alarm", "1\n");
        assert!(Health::open(sys).read().undervoltage);
        write(throttled, "not a number\n");
        write("class/hwmon/hwmon1/in0_lcrit_alarm", "0\n");
        assert!(!Health::open(sys).read().undervoltage);
    }

    #[test]
    fn a_processor_that_is_slowed_down_is_hot_or_badly_supplied() {
        let of = |undervoltage, celsius| Reading {
            undervoltage,
            slowed: true,
            celsius,
        };
        for (reading, is_heat) in [
            (of(false, Some(81.0)), true),
            (of(false, None), true),
            (of(true, Some(81.0)), false),
            // The voltage has just recovered.
            (of(false, Some(50.0)), false),
        ] {
            assert_eq!(reading.is_slowed_by_heat(), is_heat, "{reading:?}");
            assert_eq!(reading.is_power_low(), !is_heat, "{reading:?}");
        }
    }

    #[test]
    fn only_the_processor_has_a_temperature() {
        let hottest = |zones: &[(&str, u32)]| {
            let sys = tempfile::tempdir().unwrap();
            for (at, (kind, temperature)) in zones.iter().enumerate() {
                let zone = sys.path().join(format!("class/thermal/thermal_zone{at}"));
                std::fs::create_dir_all(&zone).unwrap();
                std::fs::write(zone.join("type"), format!("{kind}\n")).unwrap();
                std::fs::write(zone.join("temp"), format!("{temperature}\n")).unwrap();
            }
            Health::open(sys.path()).read().celsius
        };
        // L4T on a Jetson Nano.
        let nano = [
            ("AO-therm", 41_500),
            ("CPU-therm", 34_000),
            ("GPU-therm", 33_000),
            ("PLL-therm", 32_500),
            ("PMIC-Die", 100_000),
            ("thermal-fan-est", 133_500),
        ];
        assert_eq!(hottest(&nano), Some(34.0));
        assert_eq!(hottest(&[nano[0], nano[4], nano[5]]), Some(41.5));
        assert_eq!(hottest(&[("cpu-thermal", 61_000)]), Some(61.0));
        let laptop = [("acpitz", 95_000), ("iwlwifi_1", 99_000)];
        assert_eq!(hottest(&laptop), Some(95.0));
        assert_eq!(hottest(&[laptop[0], ("x86_pkg_temp", 50_000)]), Some(50.0));
        assert_eq!(hottest(&[nano[4]]), None);
    }

    #[test]
    fn the_mailbox_is_queried_only_without_files_and_dropped_when_it_does_not_answer() {
        let folder = tempfile::tempdir().unwrap();
        let sys = folder.path();
        let nowhere = Health::open(sys).or_mailbox(&sys.join("vcio"));
        assert!(!nowhere.reports_power());
        // A plain file in place of the device answers no question.
        std::fs::write(sys.join("vcio"), "").unwrap();
        let mut silent = Health::open(sys).or_mailbox(&sys.join("vcio"));
        assert!(silent.reports_power());
        for _ in 0..MAX_SILENCES {
            assert!(silent.mailbox.is_some());
            assert_eq!(silent.read(), Reading::default());
        }
        assert!(silent.mailbox.is_none());
        assert_eq!(silent.read(), Reading::default());

        let hwmon = sys.join("class/hwmon/hwmon0");
        std::fs::create_dir_all(&hwmon).unwrap();
        std::fs::write(hwmon.join("name"), "rpi_volt\n").unwrap();
        std::fs::write(hwmon.join("in0_lcrit_alarm"), "0\n").unwrap();
        let reporting = Health::open(sys).or_mailbox(&sys.join("vcio"));
        assert!(reporting.reports_power() && reporting.mailbox.is_none());
    }

    #[test]
    fn what_appears_after_the_first_look_is_found_by_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let (sys, vcio) = (folder.path(), folder.path().join("vcio"));
        let write = |path: &str, text: &str| {
            let path = sys.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("class/thermal/thermal_zone0/type", "iwlwifi_1\n");
        write("class/thermal/thermal_zone0/temp", "99000\n");
        let mut health = Health::open(sys).or_mailbox(&vcio);
        assert!(!health.reports_heat() && !health.reports_power());
        write("class/thermal/thermal_zone1/type", "other\n");
        write("class/thermal/thermal_zone1/temp", "40000\n");
        write("vcio", "");
        health.look_again(sys, &vcio);
        assert_eq!(health.read().celsius, Some(40.0));
        assert!(health.mailbox.is_some());
        write("class/thermal/thermal_zone2/type", "cpu-thermal\n");
        write("class/thermal/thermal_zone2/temp", "61000\n");
        write("class/hwmon/hwmon0/name", "rpi_volt\n");
        write("class/hwmon/hwmon0/in0_lcrit_alarm", "1\n");
        health.look_again(sys, &vcio);
        assert_eq!(health.read().celsius, Some(61.0));
        assert!(health.read().undervoltage && health.mailbox.is_none());
    }

    #[test]
    fn a_mailbox_that_did_not_answer_is_not_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let (sys, vcio) = (folder.path(), folder.path().join("vcio"));
        std::fs::write(&vcio, "").unwrap();
        let mut health = Health::open(sys).or_mailbox(&vcio);
        for _ in 0..MAX_SILENCES {
            health.read();
        }
        health.look_again(sys, &vcio);
        assert!(health.mailbox.is_none());
    }

    #[test]
    fn a_policy_that_acts_on_heat_without_a_thermometer_gets_a_warning() {
        let blind = Health::default();
        let mut policy = Policy::default().hot;
        assert_eq!(heat_warning(&policy, &blind), None, "it only reports");
        for action in [Action::Degrade, Action::Reboot] {
            policy.rule.action = action;
            assert!(heat_warning(&policy, &blind).is_some());
        }
        let seeing = Health {
            zones: vec![tempfile::tempfile().unwrap()],
            ..Health::default()
        };
        assert_eq!(heat_warning(&policy, &seeing), None);
        let told = Health {
            throttled: Some(tempfile::tempfile().unwrap()),
            ..Health::default()
        };
        assert_eq!(heat_warning(&policy, &told), None);
    }

    #[test]
    fn a_pi_whose_kernel_does_not_report_power_gets_a_warning() {
        let silent = Health::default();
        assert!(power_warning("Raspberry Pi 4 Model B Rev 1.5\0", &silent).is_some());
        assert!(power_warning("linux,dummy-virt\0", &silent).is_none());
        assert!(power_warning("", &silent).is_none());
        let file = tempfile::NamedTempFile::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let reporting = Health::open(folder.path()).or_mailbox(file.path());
        assert!(power_warning("Raspberry Pi 4 Model B Rev 1.5\0", &reporting).is_none());
    }
}
