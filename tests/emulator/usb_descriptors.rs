//! What the emulated webcam says of itself: USB 2.0 and USB Video Class 1.0 descriptors, byte by byte in their order.
//! Field names and values are those of the two specifications (UVC 1.0, sections 3 and 4; payload format tables for
//! uncompressed and motion JPEG video). Sizes are in bytes, frame intervals in units of 100 ns.

use super::StreamFormat;

/// Bytes a payload transfer carries at most, its header included (`dwMaxPayloadTransferSize`).
pub const MAX_PAYLOAD_BYTES: usize = 16 * 1024;
/// The bulk endpoint that carries pictures to the host.
pub const STREAM_ENDPOINT: u8 = 0x81;
/// `wMaxPacketSize` of that endpoint: all that high-speed bulk allows.
pub const STREAM_PACKET_BYTES: u16 = 512;
/// `wMaxPacketSize` of the control endpoint.
pub const CONTROL_PACKET_BYTES: u8 = 64;
/// `bInterfaceNumber` of the video control interface.
pub const CONTROL_INTERFACE: u8 = 0;
/// `bInterfaceNumber` of the video streaming interface.
pub const STREAM_INTERFACE: u8 = 1;

/// `idVendor`, `idProduct`, `bcdDevice`: the Linux Foundation's numbers for its own webcam gadget.
pub const VENDOR: u16 = 0x1d6b;
pub const PRODUCT: u16 = 0x0102;
pub const DEVICE_VERSION_BCD: u16 = 0x0100;

/// `bDeviceClass` and friends of a device with interface associations.
pub const DEVICE_CLASS: [u8; 3] = [0xef, 2, 1];
/// `bInterfaceClass` for video.
pub const CLASS_VIDEO: u8 = 0x0e;
/// `bInterfaceSubClass` of the two interfaces.
pub const SUBCLASS_CONTROL: u8 = 1;
pub const SUBCLASS_STREAMING: u8 = 2;

const DEVICE: u8 = 0x01;
const CONFIGURATION: u8 = 0x02;
const STRING: u8 = 0x03;
const INTERFACE: u8 = 0x04;
const ENDPOINT: u8 = 0x05;
const INTERFACE_ASSOCIATION: u8 = 0x0b;
const CS_INTERFACE: u8 = 0x24;

const MANUFACTURER_STRING: u8 = 1;
const PRODUCT_STRING: u8 = 2;
const ENGLISH_US: u16 = 0x0409;

const CAMERA_TERMINAL: u8 = 1;
const PROCESSING_UNIT: u8 = 2;
const OUTPUT_TERMINAL: u8 = 3;

/// The one picture size and rate that the camera offers, in both formats.
#[derive(Debug, Clone, Copy)]
pub struct Mode {
    pub width_px: u16,
    pub height_px: u16,
    pub rate_fps: u32,
}

impl Mode {
    /// `dwFrameInterval`.
    pub fn interval_100ns(self) -> u32 {
        10_000_000 / self.rate_fps
    }

    /// `dwMaxVideoFrameSize`: a YUYV picture's size, which no JPEG of ours comes near.
    pub fn frame_bytes(self) -> u32 {
        u32::from(self.width_px) * u32::from(self.height_px) * 2
    }
}

/// Fields in their order on the wire, little-endian.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// Closes a descriptor: `bLength` (counted) and `bDescriptorType` go in front.
    fn descriptor(self, kind: u8) -> Vec<u8> {
        let length =
            u8::try_from(self.0.len() + 2).expect("a descriptor is shorter than 256 bytes");
        let mut whole = vec![length, kind];
        whole.extend(self.0);
        whole
    }

    /// Closes a class-specific interface descriptor of `subtype`.
    fn class_specific(self, subtype: u8) -> Vec<u8> {
        Self::default()
            .u8(subtype)
            .raw(&self.0)
            .descriptor(CS_INTERFACE)
    }
}

fn total(parts: &[Vec<u8>], own_bytes: usize) -> u16 {
    let sum = own_bytes + parts.iter().map(Vec::len).sum::<usize>();
    u16::try_from(sum).expect("the configuration is far below 64 KiB")
}

/// The device descriptor.
pub fn device() -> Vec<u8> {
    Bytes::default()
        .u16(0x0200) // bcdUSB
        .raw(&DEVICE_CLASS)
        .u8(CONTROL_PACKET_BYTES)
        .u16(VENDOR)
        .u16(PRODUCT)
        .u16(DEVICE_VERSION_BCD)
        .u8(MANUFACTURER_STRING)
        .u8(PRODUCT_STRING)
        .u8(0) // iSerialNumber
        .u8(1) // bNumConfigurations
        .descriptor(DEVICE)
}

/// String descriptor `index`; 0 lists the languages.
pub fn string(index: u8) -> Option<Vec<u8>> {
    let text = match index {
        0 => return Some(Bytes::default().u16(ENGLISH_US).descriptor(STRING)),
        MANUFACTURER_STRING => "Eyelet tests",
        PRODUCT_STRING => "Emulated webcam",
        _ => return None,
    };
    let utf16 = text.encode_utf16().fold(Bytes::default(), Bytes::u16);
    Some(utf16.descriptor(STRING))
}

/// The configuration descriptor with all that belongs to it.
pub fn configuration(mode: Mode) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(
        Bytes::default()
            .u8(CONTROL_INTERFACE) // bFirstInterface
            .u8(2) // bInterfaceCount
            .raw(&[CLASS_VIDEO, 3, 0]) // a video interface collection
            .u8(PRODUCT_STRING)
            .descriptor(INTERFACE_ASSOCIATION),
    );
    body.extend(interface(CONTROL_INTERFACE, 0, SUBCLASS_CONTROL));
    body.extend(video_control());
    body.extend(interface(STREAM_INTERFACE, 1, SUBCLASS_STREAMING));
    body.extend(video_streaming(mode));
    body.extend(
        Bytes::default()
            .u8(STREAM_ENDPOINT)
            .u8(2) // bmAttributes: bulk
            .u16(STREAM_PACKET_BYTES)
            .u8(0) // bInterval
            .descriptor(ENDPOINT),
    );
    let mut whole = Bytes::default()
        .u16(total(std::slice::from_ref(&body), 9)) // wTotalLength
        .u8(2) // bNumInterfaces
        .u8(1) // bConfigurationValue
        .u8(0) // iConfiguration
        .u8(0x80) // bmAttributes: powered by the bus
        .u8(250) // bMaxPower: 500 mA
        .descriptor(CONFIGURATION);
    whole.extend(body);
    whole
}

fn interface(number: u8, endpoints: u8, subclass: u8) -> Vec<u8> {
    Bytes::default()
        .u8(number)
        .u8(0) // bAlternateSetting
        .u8(endpoints)
        .raw(&[CLASS_VIDEO, subclass, 0])
        .u8(0) // iInterface
        .descriptor(INTERFACE)
}

/// Camera -> processing unit -> USB, none of them with a control.
fn video_control() -> Vec<u8> {
    let camera = Bytes::default()
        .u8(CAMERA_TERMINAL)
        .u16(0x0201) // ITT_CAMERA
        .u8(0) // bAssocTerminal
        .u8(0) // iTerminal
        .raw(&[0; 6]) // focal lengths: no zoom
        .u8(3) // bControlSize
        .raw(&[0; 3]) // bmControls
        .class_specific(0x02);
    let processing = Bytes::default()
        .u8(PROCESSING_UNIT)
        .u8(CAMERA_TERMINAL) // bSourceID
        .u16(0) // wMaxMultiplier
        .u8(2) // bControlSize
        .u16(0) // bmControls
        .u8(0) // iProcessing
        .class_specific(0x05);
    let output = Bytes::default()
        .u8(OUTPUT_TERMINAL)
        .u16(0x0101) // TT_STREAMING
        .u8(0) // bAssocTerminal
        .u8(PROCESSING_UNIT) // bSourceID
        .u8(0) // iTerminal
        .class_specific(0x03);
    let parts = [camera, processing, output];
    let mut whole = Bytes::default()
        .u16(0x0100) // bcdUVC
        .u16(total(&parts, 13)) // wTotalLength
        .u32(48_000_000) // dwClockFrequency
        .u8(1) // bInCollection
        .u8(STREAM_INTERFACE) // baInterfaceNr
        .class_specific(0x01);
    whole.extend(parts.concat());
    whole
}

/// The two formats, one frame size each.
fn video_streaming(mode: Mode) -> Vec<u8> {
    const VS_FORMAT_UNCOMPRESSED: u8 = 0x04;
    const VS_FRAME_UNCOMPRESSED: u8 = 0x05;
    const VS_FORMAT_MJPEG: u8 = 0x06;
    const VS_FRAME_MJPEG: u8 = 0x07;
    /// "YUY2" as a GUID.
    const GUID_YUY2: [u8; 16] = *b"YUY2\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71";

    let yuyv = Bytes::default()
        .u8(StreamFormat::Yuyv.index())
        .u8(1) // bNumFrameDescriptors
        .raw(&GUID_YUY2)
        .u8(16) // bBitsPerPixel
        .u8(1) // bDefaultFrameIndex
        .raw(&[0, 0, 0, 0]) // aspect ratio, interlace flags, copy protection
        .class_specific(VS_FORMAT_UNCOMPRESSED);
    let mjpeg = Bytes::default()
        .u8(StreamFormat::Mjpeg.index())
        .u8(1) // bNumFrameDescriptors
        .u8(0) // bmFlags: pictures differ in size
        .u8(1) // bDefaultFrameIndex
        .raw(&[0, 0, 0, 0]) // aspect ratio, interlace flags, copy protection
        .class_specific(VS_FORMAT_MJPEG);
    let parts = [
        yuyv,
        frame(VS_FRAME_UNCOMPRESSED, mode),
        colour_matching(),
        mjpeg,
        frame(VS_FRAME_MJPEG, mode),
        colour_matching(),
    ];
    let mut whole = Bytes::default()
        .u8(2) // bNumFormats
        .u16(total(&parts, 15)) // wTotalLength
        .u8(STREAM_ENDPOINT)
        .u8(0) // bmInfo
        .u8(OUTPUT_TERMINAL) // bTerminalLink
        .raw(&[0, 0, 0]) // no still capture, no hardware trigger
        .u8(1) // bControlSize
        .raw(&[0, 0]) // bmaControls of both formats
        .class_specific(0x01);
    whole.extend(parts.concat());
    whole
}

fn frame(subtype: u8, mode: Mode) -> Vec<u8> {
    let bits_per_second = mode.frame_bytes() * 8 * mode.rate_fps;
    Bytes::default()
        .u8(1) // bFrameIndex
        .u8(0) // bmCapabilities
        .u16(mode.width_px)
        .u16(mode.height_px)
        .u32(bits_per_second) // dwMinBitRate
        .u32(bits_per_second) // dwMaxBitRate
        .u32(mode.frame_bytes()) // dwMaxVideoFrameBufferSize
        .u32(mode.interval_100ns()) // dwDefaultFrameInterval
        .u8(1) // bFrameIntervalType: one discrete interval
        .u32(mode.interval_100ns())
        .class_specific(subtype)
}

fn colour_matching() -> Vec<u8> {
    // BT.709 primaries and transfer, SMPTE 170M (BT.601) matrix.
    Bytes::default().raw(&[1, 1, 4]).class_specific(0x0d)
}

/// The probe and commit control's value (UVC 1.0, table 4-47).
pub fn probe(mode: Mode, format: StreamFormat) -> Vec<u8> {
    Bytes::default()
        .u16(1) // bmHint: the interval is kept
        .u8(format.index())
        .u8(1) // bFrameIndex
        .u32(mode.interval_100ns())
        .raw(&[0; 10]) // key frame rate, P frame rate, quality, window, delay
        .u32(mode.frame_bytes())
        .u32(MAX_PAYLOAD_BYTES as u32)
        .0
}
