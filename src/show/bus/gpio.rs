//! Lines of a GPIO chip, through the character device (`/dev/gpiochipN`).

use super::{Input, Output, Remedy, cannot_open, nodes};
use crate::named;
use crate::show::DisplayError;
use crate::show::panel::HEADER_CHIPS;
use linux_embedded_hal::gpio_cdev::{self, LineHandle, LineRequestFlags};
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

const REMEDY: Remedy = Remedy {
    prefix: "gpiochip",
    absent: "the kernel's GPIO driver is not loaded, or gpio_chip names another chip",
    group: "gpio",
};

/// The consumer name that other programs see for a line.
const CONSUMER: &str = "eyelet";

/// An open chip.
pub struct Chip {
    chip: gpio_cdev::Chip,
    /// Path and label.
    name: String,
}

impl Chip {
    /// The chip with this path or label; `None` is the one for the board's header: the one with a known label, or else
    /// `/dev/gpiochip0`.
    ///
    /// # Errors
    /// There is no such chip, or it cannot be opened.
    pub fn open(named: Option<&str>) -> Result<Self, DisplayError> {
        let path = match named {
            Some(path) if path.starts_with('/') => PathBuf::from(path),
            named => chosen(&labelled(), named).map_err(DisplayError::Absent)?,
        };
        let chip = opened(&path)?;
        let name = format!("{} ({})", path.display(), chip.label());
        Ok(Self { chip, name })
    }

    /// The line named by the board file's `key`, driven high or low.
    ///
    /// # Errors
    /// The chip has no such line, or it is already in use.
    pub fn output(&mut self, key: &str, line: u32, high: bool) -> Result<OutputLine, DisplayError> {
        let handle = self.request(key, line, LineRequestFlags::OUTPUT, high)?;
        Ok(OutputLine(handle))
    }

    /// The same for an optional pin, boxed.
    ///
    /// # Errors
    /// As for [`Self::output`].
    pub fn optional_output(
        &mut self,
        key: &str,
        line: Option<u32>,
        high: bool,
    ) -> Result<Option<Box<dyn Output>>, DisplayError> {
        let output = line.map(|line| self.output(key, line, high)).transpose()?;
        Ok(output.map(|line| Box::new(line) as Box<dyn Output>))
    }

    /// The line named by the board file's `key`, as an input.
    ///
    /// # Errors
    /// As for [`Self::output`].
    pub fn input(&mut self, key: &str, line: u32) -> Result<InputLine, DisplayError> {
        let handle = self.request(key, line, LineRequestFlags::INPUT, false)?;
        Ok(InputLine(handle))
    }

    fn request(
        &mut self,
        key: &str,
        offset: u32,
        flags: LineRequestFlags,
        high: bool,
    ) -> Result<LineHandle, DisplayError> {
        let name = &self.name;
        let unusable = |why: String| DisplayError::Unusable(format!("{key} = {offset}: {why}"));
        let count = self.chip.num_lines();
        if offset >= count {
            return Err(unusable(format!(
                "the GPIO chip {name} has lines 0 to {} only; set gpio_chip to the chip that has the pin",
                count.saturating_sub(1)
            )));
        }
        let cannot = |error: gpio_cdev::Error| {
            unusable(format!(
                "cannot take the line of the GPIO chip {name}: {error}"
            ))
        };
        let line = self.chip.get_line(offset).map_err(cannot)?;
        line.request(flags, u8::from(high), CONSUMER)
            .map_err(|error| match line.info() {
                Ok(info) if info.is_used() => unusable(format!(
                    "the line of the GPIO chip {name} is held by {:?}; wire the pin to another line, or end what holds it",
                    info.consumer().unwrap_or("the kernel")
                )),
                _ => cannot(error),
            })
    }
}

/// An output line.
pub struct OutputLine(LineHandle);

impl Output for OutputLine {
    fn set(&mut self, high: bool) -> io::Result<()> {
        self.0.set_value(u8::from(high)).map_err(io::Error::other)
    }
}

/// An input line.
pub struct InputLine(LineHandle);

impl Input for InputLine {
    fn is_high(&mut self) -> io::Result<bool> {
        let value = self.0.get_value().map_err(io::Error::other)?;
        Ok(value != 0)
    }
}

fn opened(path: &Path) -> Result<gpio_cdev::Chip, DisplayError> {
    let no_chip = |error: &dyn Display| {
        let path = path.display();
        DisplayError::Unusable(format!("{path} is not a GPIO chip: {error}; set gpio_chip"))
    };
    // Opened by hand first: a pipe would block the library, and it hides the system's own error.
    named::open_device(path).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => no_chip(&error),
        _ => cannot_open(path, &error, REMEDY),
    })?;
    gpio_cdev::Chip::new(path).map_err(|error| no_chip(&error))
}

/// The chips of this machine; one that cannot be queried has an empty label.
fn labelled() -> Vec<(PathBuf, String)> {
    let paths = nodes(REMEDY.prefix).into_iter().map(PathBuf::from);
    paths
        .map(|path| {
            let chip = gpio_cdev::Chip::new(&path);
            let label = chip.map_or_else(|_| String::new(), |chip| chip.label().to_owned());
            (path, label)
        })
        .collect()
}

fn chosen(chips: &[(PathBuf, String)], label: Option<&str>) -> Result<PathBuf, String> {
    let by_label = |wanted: &str| {
        let found = chips.iter().find(|(_, label)| label == wanted);
        found.map(|(path, _)| path.clone())
    };
    match label {
        Some(label) => by_label(label).ok_or_else(|| {
            let there: Vec<_> = chips
                .iter()
                .map(|(path, label)| format!("{} ({label})", path.display()))
                .collect();
            let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
            format!("no GPIO chip has the label {label:?} (there is {there}); set gpio_chip to one of them")
        }),
        None => Ok(HEADER_CHIPS
            .into_iter()
            .find_map(by_label)
            .unwrap_or_else(|| "/dev/gpiochip0".into())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn chips(labels: &[&str]) -> Vec<(PathBuf, String)> {
        let numbered = labels.iter().zip(0..);
        numbered
            .map(|(label, i)| (format!("/dev/gpiochip{i}").into(), (*label).to_owned()))
            .collect()
    }

    #[test]
    fn the_chip_of_the_header_is_found_by_its_label() {
        let pi5 = chips(&[
            "gpio-brcmstb@107d508500",
            "raspberrypi-exp-gpio",
            "pinctrl-rp1",
        ]);
        let pi4 = chips(&["pinctrl-bcm2711", "raspberrypi-exp-gpio"]);
        let other = chips(&["tegra234-gpio", "tegra234-gpio-aon"]);
        let path = |chips: &[_], label| chosen(chips, label).unwrap();
        assert_eq!(path(&pi5, None), Path::new("/dev/gpiochip2"));
        assert_eq!(path(&pi4, None), Path::new("/dev/gpiochip0"));
        assert_eq!(path(&other, None), Path::new("/dev/gpiochip0"));
        assert_eq!(
            path(&other, Some("tegra234-gpio-aon")),
            Path::new("/dev/gpiochip1")
        );
        let error = chosen(&pi4, Some("pinctrl-rp1")).unwrap_err();
        assert!(
            error.contains("\"pinctrl-rp1\"") && error.contains("/dev/gpiochip0 (pinctrl-bcm2711)"),
            "{error}"
        );
        assert!(
            chosen(&[], Some("x"))
                .unwrap_err()
                .contains("there is none")
        );
    }

    #[test]
    fn a_file_that_is_no_chip_is_refused() {
        let error = |path| Chip::open(Some(path)).err().unwrap();
        assert!(matches!(error("/dev/gpiochip999"), DisplayError::Absent(_)));
        let message = error("/dev/null").to_string();
        assert!(
            message.contains("/dev/null is not a GPIO chip"),
            "{message}"
        );
        // Opening it would wait for a writer.
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let status = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(status.unwrap().success());
        let message = error(pipe.to_str().unwrap()).to_string();
        assert!(message.contains("not a character device but a pipe"));
    }
}
