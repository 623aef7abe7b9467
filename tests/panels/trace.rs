//! What the kernel's tracing (tracefs, `spi_transfer_start` and `gpio_value`) says of a panel's wires, and the picture that a
//! controller would have of it.

use image::{Rgb, RgbImage};

/// Commands of the controller with what followed them.
pub struct Bus {
    commands: Vec<(u8, Vec<u8>)>,
}

/// How much of a transfer the tracing prints (include/trace/events/spi.h).
pub const TRACED_BYTES: u32 = 64;

/// A panel: its controller is set up for its glass once.
pub struct Panel {
    pub width_px: u32,
    pub height_px: u32,
    /// Order of addresses and subpixels (MADCTL).
    pub orders: u8,
    /// Its glass is an inverting one.
    pub inverts: bool,
}

/// ST7789 data sheet (V1.4), 9, and ILI9341 (V1.11), 8: set columns, set rows, write memory, invert, do not.
const CASET: u8 = 0x2a;
const RASET: u8 = 0x2b;
const RAMWR: u8 = 0x2c;
const INVON: u8 = 0x21;
/// Order of addresses and subpixels; bits a pixel.
const MADCTL: u8 = 0x36;
const COLMOD: u8 = 0x3a;

impl Bus {
    /// Reads the lines of a trace.
    ///
    /// # Panics
    /// When it is not whole, or tells of other lines than those of chip select and data/command.
    pub fn read(lines: &[String]) -> Self {
        let mut commands: Vec<(u8, Vec<u8>)> = Vec::new();
        let pin = data_command_pin(lines);
        let mut is_data = false;
        for line in lines {
            assert!(!line.contains("LOST"), "the trace has gaps: {line}");
            if let Some((_, event)) = line.split_once("gpio_value: ") {
                let (number, level) = set(event);
                if number == pin {
                    is_data = level;
                }
            } else if let Some((_, event)) = line.split_once("spi_transfer_start: ") {
                let bytes = sent(event);
                match commands.last_mut() {
                    Some((_, parameters)) if is_data => parameters.extend(bytes),
                    None if is_data => panic!("data before any command: {line}"),
                    _ => commands.extend(bytes.into_iter().map(|command| (command, Vec::new()))),
                }
            }
        }
        Self { commands }
    }

    /// What a panel shows after each writing to its memory, with which its glass begins.
    ///
    /// # Panics
    /// When it is not set up as such a panel is, or written outside of its glass.
    pub fn pictures(&self, panel: &Panel) -> impl Iterator<Item = RgbImage> {
        let parameter = |wanted: u8| {
            let found = self.commands.iter().find(|(command, _)| *command == wanted);
            found.map(|(_, parameters)| parameters.as_slice())
        };
        assert_eq!(
            parameter(MADCTL),
            Some(&[panel.orders][..]),
            "order of addresses and subpixels"
        );
        assert_eq!(parameter(COLMOD), Some(&[0x55][..]), "16 bits a pixel");
        assert_eq!(parameter(INVON).is_some(), panel.inverts, "inverts");
        let mut picture = RgbImage::new(panel.width_px, panel.height_px);
        let (mut columns, mut rows) = ((0, 0), (0, 0));
        self.commands
            .iter()
            .filter_map(move |(command, parameters)| {
                match *command {
                    CASET => columns = range(parameters),
                    RASET => rows = range(parameters),
                    RAMWR => {
                        let places = (rows.0..=rows.1)
                            .flat_map(|y| (columns.0..=columns.1).map(move |x| (x, y)));
                        let count = parameters.len() / 2;
                        assert_eq!(places.clone().count(), count, "{columns:?} x {rows:?}");
                        for ((x, y), pixel) in places.zip(parameters.chunks_exact(2)) {
                            picture.put_pixel(
                                x,
                                y,
                                colour(u16::from_be_bytes([pixel[0], pixel[1]])),
                            );
                        }
                        return Some(picture.clone());
                    }
                    _ => {}
                }
                None
            })
    }
}

/// Lines of the Raspberry Pi's GPIO: the first chip select of SPI 0, which the kernel drives, and the one of the board file.
const CHIP_SELECT: u32 = 8;
pub const DATA_COMMAND: u32 = 25;

/// The number that the tracing has for it: lines are counted from somewhere.
fn data_command_pin(lines: &[String]) -> u32 {
    let events = lines
        .iter()
        .filter_map(|line| line.split_once("gpio_value: "));
    let mut numbers: Vec<u32> = events.map(|(_, event)| set(event).0).collect();
    numbers.sort_unstable();
    numbers.dedup();
    match numbers[..] {
        [first, second] if second - first == DATA_COMMAND - CHIP_SELECT => second,
        _ => panic!("lines {numbers:?} were driven, not chip select and data/command alone"),
    }
}

/// The line and its level of `483 set 1`.
fn set(event: &str) -> (u32, bool) {
    let mut words = event.split_whitespace();
    let number = words.next().and_then(|number| number.parse().ok());
    match (number, words.next(), words.next()) {
        (Some(number), Some("set"), Some(level)) => (number, level == "1"),
        _ => panic!("no level in {event}"),
    }
}

/// The bytes of `spi0.0 ADDRESS len=3 tx=[2a-00-ef] rx=[]`.
fn sent(event: &str) -> Vec<u8> {
    let between = |from: &str, to: char| {
        let (_, rest) = event.split_once(from)?;
        rest.split(to).next()
    };
    let bytes = between("tx=[", ']').unwrap_or_else(|| panic!("no bytes in {event}"));
    let bytes: Vec<u8> = bytes
        .split('-')
        .map(|byte| u8::from_str_radix(byte, 16).unwrap_or_else(|_| panic!("{byte} in {event}")))
        .collect();
    let length = between("len=", ' ').and_then(|length| length.parse().ok());
    assert_eq!(length, Some(bytes.len()), "cut off: {event}");
    bytes
}

fn range(parameters: &[u8]) -> (u32, u32) {
    let word = |at: usize| u32::from(u16::from_be_bytes([parameters[at], parameters[at + 1]]));
    (word(0), word(2))
}

/// The lower bits zero, as `screen::in_16_bits` has them.
fn colour(pixel: u16) -> Rgb<u8> {
    let bits = |shift: u16, mask: u16| (pixel >> shift << (8 - mask.count_ones()) & 0xff) as u8;
    Rgb([bits(11, 0x1f), bits(5, 0x3f) & 0xfc, bits(0, 0x1f) & 0xf8])
}

#[test]
fn a_trace_is_a_picture() {
    let lines = [
        "# tracer: nop",
        "  eyelet-70  [000] .....  4.9: gpio_value: 520 set 1",
        "  eyelet-70  [000] .....  5.0: gpio_value: 537 set 0",
        "  eyelet-70  [000] .....  5.1: spi_transfer_start: spi0.0 00000000d1 len=1 tx=[36] rx=[]",
        "  eyelet-70  [000] .....  5.2: gpio_value: 537 set 1",
        "  eyelet-70  [000] .....  5.3: spi_transfer_start: spi0.0 00000000d1 len=1 tx=[00] rx=[]",
        "  eyelet-70  [000] .....  5.4: gpio_value: 537 set 0",
        "  eyelet-70  [000] .....  5.5: spi_transfer_start: spi0.0 00000000d1 len=1 tx=[3a] rx=[]",
        "  eyelet-70  [000] .....  5.6: gpio_value: 537 set 1",
        "  eyelet-70  [000] .....  5.7: spi_transfer_start: spi0.0 00000000d1 len=1 tx=[55] rx=[]",
        "  eyelet-70  [000] .....  5.8: gpio_value: 537 set 0",
        "  eyelet-70  [000] .....  5.9: spi_transfer_start: spi0.0 00000000d1 len=2 tx=[21-2a] rx=[]",
        "  eyelet-70  [000] .....  6.0: gpio_value: 537 set 1",
        "  eyelet-70  [000] .....  6.1: spi_transfer_start: spi0.0 00000000d1 len=4 tx=[00-01-00-02] rx=[]",
        "  eyelet-70  [000] .....  6.2: gpio_value: 537 set 0",
        "  eyelet-70  [000] .....  6.3: spi_transfer_start: spi0.0 00000000d1 len=1 tx=[2c] rx=[]",
        "  eyelet-70  [000] .....  6.4: gpio_value: 537 set 1",
        "  eyelet-70  [001] .....  6.5: spi_transfer_start: spi0.0 00000000d1 len=3 tx=[f8-00-07] rx=[]",
        "  eyelet-70  [001] .....  6.6: spi_transfer_start: spi0.0 00000000d1 len=1 tx=[ff] rx=[]",
    ];
    let panel = Panel {
        width_px: 4,
        height_px: 1,
        orders: 0,
        inverts: true,
    };
    let bus = Bus::read(&lines.map(str::to_owned));
    let picture = bus.pictures(&panel).last().unwrap();
    let pixels: Vec<[u8; 3]> = picture.pixels().map(|pixel| pixel.0).collect();
    assert_eq!(pixels, [[0; 3], [0xf8, 0, 0], [0, 0xfc, 0xf8], [0; 3]]);
}
