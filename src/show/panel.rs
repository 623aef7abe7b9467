//! Board-file settings of panels that are wired to a board's pins: which bus, and which lines.

use crate::limits;
use crate::toml_file::{Auto, Table};
use std::path::{Path, PathBuf};

/// The bus that a panel is wired to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus<'a> {
    /// SPI, by its device node.
    Spi(&'a Path),
    /// I2C, by its device node and the panel's address.
    I2c(&'a Path, u16),
}

impl<'a> Bus<'a> {
    /// The device node.
    pub fn node(self) -> &'a Path {
        match self {
            Self::Spi(node) | Self::I2c(node, _) => node,
        }
    }
}

/// Labels of the GPIO chips for the Raspberry Pi's 40-pin header: 5, 4, and earlier models. Chip numbers change between kernels.
pub const HEADER_CHIPS: [&str; 3] = ["pinctrl-rp1", "pinctrl-bcm2711", "pinctrl-bcm2835"];

/// The GPIO lines that a panel uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines<'a> {
    /// Their chip: a path or a label; `None` is the one for the board's header.
    pub chip: Option<&'a str>,
    /// Each with its key in the panel's table.
    pub lines: Vec<(&'static str, u32)>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(chip: Option<&'a String>, lines: &[(&'static str, Option<u32>)]) -> Self {
        let lines = lines
            .iter()
            .filter_map(|(key, line)| Some((*key, (*line)?)));
        Self {
            chip: chip.map(String::as_str),
            lines: lines.collect(),
        }
    }
}

/// SPI with a line that distinguishes commands from data.
#[derive(Debug, Clone, PartialEq)]
pub struct SpiLink {
    /// `/dev/spidevB.C`: bus B, chip select C.
    pub device: PathBuf,
    /// Clock frequency.
    pub speed_hz: u32,
    /// 0 or 3.
    pub spi_mode: u8,
    /// The most bytes per transfer; `None` is spidev's limit.
    pub transfer_bytes: Option<u32>,
    /// The line of the data/command pin.
    pub dc_gpio: u32,
}

/// The end of a panel (size plus offset) must be within its controller's memory. `offsets` are the keys of its first column and
/// row; where there is no such key, the fault is reported at the key of the size.
pub(super) fn must_lie_within(
    table: &Table<'_, '_>,
    controller: &str,
    memory_px: (u32, u32),
    end_px: (u32, u32),
    offsets: [&str; 2],
) {
    let sides = [
        ("width_px", offsets[0], end_px.0, memory_px.0, "columns"),
        ("height_px", offsets[1], end_px.1, memory_px.1, "rows"),
    ];
    for (size, offset, end_px, most_px, what) in sides {
        if end_px <= most_px {
            continue;
        }
        let key = if table.has(size) { size } else { offset };
        let sum = if size == offset {
            format!("is {end_px}")
        } else {
            format!("{size} and {offset} make {end_px}")
        };
        table.fault(
            key,
            format_args!(
                "{sum}, and {controller} has {most_px} {what}: give the size of the panel as its controller has it, and turn the drawing by rotate_deg"
            ),
        );
    }
}

/// The keys of a panel on SPI.
pub(super) fn spi_link(table: &mut Table<'_, '_>, speed_hz: u32) -> Option<SpiLink> {
    table.must_have(&["dc_gpio"]);
    let device = node(table, "/dev/spidev0.0");
    let stated_hz = table.integer_u32("speed_hz", limits::SPI_SPEED_HZ);
    let spi_mode = table.one_of("spi_mode", [0, 3]);
    let transfer_bytes = table.integer_u32("transfer_bytes", limits::SPI_TRANSFER_BYTES);
    Some(SpiLink {
        dc_gpio: gpio(table, "dc_gpio")?,
        device,
        speed_hz: stated_hz.unwrap_or(speed_hz),
        spi_mode: spi_mode.unwrap_or(0),
        transfer_bytes,
    })
}

/// A line of the GPIO chip.
pub(super) fn gpio(table: &mut Table<'_, '_>, key: &str) -> Option<u32> {
    table.integer_u32(key, limits::GPIO_LINE)
}

/// `device`: the node of the bus.
pub(super) fn node(table: &mut Table<'_, '_>, usual: &str) -> PathBuf {
    let device = table.whole_path("device", Auto::Refused, &format!("{usual:?}"));
    device.unwrap_or_else(|| usual.into())
}
