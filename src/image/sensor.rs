//! What a ribbon-cable camera needs on a card: lines of `config.txt`, drivers, an overlay. The names are those of the Linux
//! drivers and of Raspberry Pi OS's overlays.

use super::machine::{self, Driver, Job};
use crate::board::firmware::Machine;
use crate::camera::v4l2::sensor::Sensor;
use crate::toml_file::Word;

/// One camera's needs on one machine.
#[derive(Debug, Default)]
pub struct Parts {
    /// Lines of `config.txt`, which precede the board file's.
    pub config: Vec<String>,
    /// Drivers, in load order.
    pub drivers: Vec<Driver>,
}

const fn driver(names: &'static [&'static str]) -> Driver {
    machine::driver(Job::Camera, names, "")
}

/// The memory that the firmware needs to process frames, MiB.
const FIRMWARE_MEMORY_MIB: u32 = 128;

/// What `sensor` needs on `machine`; `Err` says why it is not possible there.
pub fn parts(sensor: Sensor, machine: Machine) -> Result<Parts, String> {
    let lacks = || {
        let why = machine.refuses(sensor);
        why.unwrap_or_else(|| format!("a {} has no drivers for it", machine.word()))
    };
    let ribbon = machine::needs(machine).ribbon.ok_or_else(lacks)?;
    let own: &[Driver] = match sensor {
        Sensor::Firmware => {
            let driver = ribbon.firmware.ok_or_else(lacks)?;
            return Ok(Parts {
                config: vec![
                    "start_x=1".to_owned(),
                    format!("gpu_mem={FIRMWARE_MEMORY_MIB}"),
                ],
                drivers: vec![driver],
            });
        }
        Sensor::Imx219 => &[driver(&["imx219"])],
        Sensor::Imx477 => &[driver(&["imx477"])],
        // A separate chip moves its lens.
        Sensor::Imx708 => &[driver(&["imx708"]), driver(&["dw9807_vcm"])],
        Sensor::Ov5647 => &[driver(&["ov5647"])],
    };
    Ok(Parts {
        config: vec![
            "camera_auto_detect=0".to_owned(),
            format!("dtoverlay={}", sensor.word()),
        ],
        drivers: [ribbon.receiver, own].concat(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_the_drivers_of_the_cameras_that_its_board_files_may_name() {
        for &(name, machine) in Machine::WORDS {
            for &(camera, sensor) in Sensor::WORDS {
                let why = parts(sensor, machine).err();
                assert_eq!(why, machine.refuses(sensor), "{name}, {camera}");
            }
        }
    }
}
