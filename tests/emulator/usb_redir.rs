//! The usbredir protocol, the part that a device with one control and one bulk endpoint needs: we are the `usb-host`
//! side, QEMU's `usb-redir` device is the `usb-guest` side. Numbers are those of usbredir-protocol.txt, version 0.7.
//! A packet is a header (type, length, id) and `length` bytes; everything is little-endian.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

/// Bits of the capability word in the hello packet.
mod capability {
    pub const CONNECT_DEVICE_VERSION: u32 = 1 << 1;
    pub const EP_INFO_MAX_PACKET_SIZE: u32 = 1 << 4;
    pub const IDS_64_BIT: u32 = 1 << 5;
    pub const BULK_LENGTH_32_BIT: u32 = 1 << 6;
}

/// What both sides must be able to do, so that every packet has one form only.
const CAPABILITIES: u32 = capability::CONNECT_DEVICE_VERSION
    | capability::EP_INFO_MAX_PACKET_SIZE
    | capability::IDS_64_BIT
    | capability::BULK_LENGTH_32_BIT;

/// Packet types.
pub mod kind {
    pub const HELLO: u32 = 0;
    pub const DEVICE_CONNECT: u32 = 1;
    pub const INTERFACE_INFO: u32 = 4;
    pub const EP_INFO: u32 = 5;
    pub const SET_CONFIGURATION: u32 = 6;
    pub const GET_CONFIGURATION: u32 = 7;
    pub const CONFIGURATION_STATUS: u32 = 8;
    pub const SET_ALT_SETTING: u32 = 9;
    pub const GET_ALT_SETTING: u32 = 10;
    pub const ALT_SETTING_STATUS: u32 = 11;
    pub const CANCEL_DATA_PACKET: u32 = 21;
    pub const CONTROL: u32 = 100;
    pub const BULK: u32 = 101;
}

/// The status byte of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    Success = 0,
    Cancelled = 1,
    Stall = 4,
}

/// The device's speed in the connect packet.
pub const SPEED_HIGH: u8 = 2;

/// Endpoint types in the endpoint table.
pub const ENDPOINT_CONTROL: u8 = 0;
pub const ENDPOINT_BULK: u8 = 2;
const ENDPOINT_NONE: u8 = 255;

/// One packet.
#[derive(Debug)]
pub struct Packet {
    pub kind: u32,
    pub id: u64,
    pub body: Vec<u8>,
}

/// A setup packet (USB 2.0, table 9-2) with the data that came along.
#[derive(Debug, Clone)]
pub struct Setup {
    pub endpoint: u8,
    pub request: u8,
    pub request_type: u8,
    pub value: u16,
    pub index: u16,
    pub length: u16,
    pub data: Vec<u8>,
}

/// A request for bulk data: at most `length` bytes, to be answered under `id`.
#[derive(Debug, Clone, Copy)]
pub struct BulkRequest {
    pub id: u64,
    pub endpoint: u8,
    pub stream: u32,
    pub length: usize,
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("usbredir: {what}"))
}

/// Exchanges hellos; after this both directions use 64-bit ids.
pub fn handshake(socket: &mut UnixStream) -> io::Result<()> {
    let mut version = [0_u8; 64];
    version[..6].copy_from_slice(b"eyelet");
    let mut hello = Vec::new();
    for word in [kind::HELLO, 68, 0] {
        hello.extend(word.to_le_bytes());
    }
    hello.extend(version);
    hello.extend(CAPABILITIES.to_le_bytes());
    socket.write_all(&hello)?;

    let mut header = [0; 12];
    socket.read_exact(&mut header)?;
    if u32_at(&header, 0) != kind::HELLO {
        return Err(malformed("the peer did not begin with a hello"));
    }
    let mut body = vec![0; u32_at(&header, 4) as usize];
    socket.read_exact(&mut body)?;
    if body.len() < 68 || u32_at(&body, 64) & CAPABILITIES != CAPABILITIES {
        return Err(malformed("the peer lacks 64-bit ids or 32-bit lengths"));
    }
    Ok(())
}

/// Reads the next packet; an end of file is an error of kind `UnexpectedEof`.
pub fn read(socket: &mut UnixStream) -> io::Result<Packet> {
    let mut header = [0; 16];
    socket.read_exact(&mut header)?;
    let mut body = vec![0; u32_at(&header, 4) as usize];
    socket.read_exact(&mut body)?;
    let id = u64::from(u32_at(&header, 8)) | u64::from(u32_at(&header, 12)) << 32;
    Ok(Packet {
        kind: u32_at(&header, 0),
        id,
        body,
    })
}

/// Writes one packet in one piece.
pub fn write(socket: &mut UnixStream, kind: u32, id: u64, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len()).map_err(|_| malformed("a packet of 4 GiB"))?;
    let mut whole = Vec::with_capacity(16 + body.len());
    whole.extend(kind.to_le_bytes());
    whole.extend(length.to_le_bytes());
    whole.extend(id.to_le_bytes());
    whole.extend(body);
    socket.write_all(&whole)
}

impl Setup {
    /// Parses a control packet's body.
    pub fn parse(body: &[u8]) -> io::Result<Self> {
        if body.len() < 10 {
            return Err(malformed("a control packet of less than 10 bytes"));
        }
        Ok(Self {
            endpoint: body[0],
            request: body[1],
            request_type: body[2],
            value: u16_at(body, 4),
            index: u16_at(body, 6),
            length: u16_at(body, 8),
            data: body[10..].to_vec(),
        })
    }

    /// The body of the answer: `length` is what was moved, `data` what goes to the guest.
    pub fn answer(&self, status: Status, length: u16, data: &[u8]) -> Vec<u8> {
        let mut body = vec![self.endpoint, self.request, self.request_type, status as u8];
        for word in [self.value, self.index, length] {
            body.extend(word.to_le_bytes());
        }
        body.extend(data);
        body
    }
}

impl BulkRequest {
    /// Parses a bulk packet.
    pub fn parse(packet: &Packet) -> io::Result<Self> {
        let body = &packet.body;
        if body.len() < 10 {
            return Err(malformed("a bulk packet of less than 10 bytes"));
        }
        Ok(Self {
            id: packet.id,
            endpoint: body[0],
            stream: u32_at(body, 4),
            length: usize::from(u16_at(body, 2)) | usize::from(u16_at(body, 8)) << 16,
        })
    }

    /// The body of the answer with `data`.
    pub fn answer(&self, status: Status, data: &[u8]) -> Vec<u8> {
        let [low0, low1, high0, high1] = (data.len() as u32).to_le_bytes();
        let mut body = vec![self.endpoint, status as u8, low0, low1];
        body.extend(self.stream.to_le_bytes());
        body.extend([high0, high1]);
        body.extend(data);
        body
    }
}

/// The body of an interface table: class, subclass and protocol of each interface, by number.
pub fn interface_info(interfaces: &[[u8; 3]]) -> Vec<u8> {
    let mut body = (interfaces.len() as u32).to_le_bytes().to_vec();
    let mut columns = [[0_u8; 32]; 4];
    for (number, [class, subclass, protocol]) in interfaces.iter().copied().enumerate() {
        columns[0][number] = number as u8;
        columns[1][number] = class;
        columns[2][number] = subclass;
        columns[3][number] = protocol;
    }
    body.extend(columns.concat());
    body
}

/// One endpoint for [`ep_info`].
pub struct Endpoint {
    /// `bEndpointAddress`.
    pub address: u8,
    pub kind: u8,
    pub interface: u8,
    pub packet_bytes: u16,
}

/// The body of the endpoint table: 16 OUT endpoints, then 16 IN endpoints.
pub fn ep_info(endpoints: &[Endpoint]) -> Vec<u8> {
    let mut kinds = [ENDPOINT_NONE; 32];
    let intervals = [0_u8; 32];
    let mut interfaces = [0_u8; 32];
    let mut packet_bytes = [0_u16; 32];
    for endpoint in endpoints {
        let slot = usize::from(endpoint.address & 0x0f) + usize::from(endpoint.address >> 7) * 16;
        kinds[slot] = endpoint.kind;
        interfaces[slot] = endpoint.interface;
        packet_bytes[slot] = endpoint.packet_bytes;
    }
    let mut body = [kinds, intervals, interfaces].concat();
    body.extend(packet_bytes.iter().flat_map(|size| size.to_le_bytes()));
    body
}
