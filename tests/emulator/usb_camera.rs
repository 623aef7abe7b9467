//! A USB webcam for QEMU: it speaks usbredir on a unix socket and looks to the guest like a UVC 1.0 camera that streams
//! YUYV or motion JPEG of one size over a bulk endpoint. The test decides at any time what it sees ([`UsbCamera::show`])
//! and when its cable is pulled ([`UsbCamera::unplug`]).

#[path = "usb_descriptors.rs"]
mod descriptors;
#[path = "usb_redir.rs"]
mod redir;

pub use descriptors::Mode;
use descriptors::{
    CLASS_VIDEO, CONTROL_PACKET_BYTES, DEVICE_CLASS, DEVICE_VERSION_BCD, MAX_PAYLOAD_BYTES,
    PRODUCT, STREAM_ENDPOINT, STREAM_INTERFACE, STREAM_PACKET_BYTES, SUBCLASS_CONTROL,
    SUBCLASS_STREAMING, VENDOR,
};
use redir::{BulkRequest, Endpoint, Packet, Setup, Status, kind};
use std::collections::VecDeque;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// The formats that the camera offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamFormat {
    Yuyv,
    Mjpeg,
}

impl StreamFormat {
    /// `bFormatIndex`.
    fn index(self) -> u8 {
        match self {
            Self::Yuyv => 1,
            Self::Mjpeg => 2,
        }
    }

    fn from_index(index: u8) -> Option<Self> {
        [Self::Yuyv, Self::Mjpeg]
            .into_iter()
            .find(|format| format.index() == index)
    }
}

/// One picture in each of the camera's formats.
#[derive(Debug, Clone)]
pub struct Seen {
    pub yuyv: Vec<u8>,
    pub mjpeg: Vec<u8>,
}

/// What the camera's threads share.
struct State {
    seen: Arc<Seen>,
    format: StreamFormat,
    /// Bulk requests of the guest that wait for data, oldest first.
    requests: VecDeque<BulkRequest>,
    /// Counts starts of the stream; a picture that was begun under another number is given up.
    stream: u64,
    /// Set when the connection is over.
    over: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    mode: Mode,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The camera, from plugging in to unplugging.
pub struct UsbCamera {
    shared: Arc<Shared>,
    connection: Arc<Mutex<Option<UnixStream>>>,
}

impl UsbCamera {
    /// Listens on `socket`; the guest sees the camera when QEMU's `usb-redir` device connects there.
    pub fn listen(socket: &Path, mode: Mode, seen: Seen) -> io::Result<Self> {
        let listener = UnixListener::bind(socket)?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                seen: Arc::new(seen),
                format: StreamFormat::Yuyv,
                requests: VecDeque::new(),
                stream: 0,
                over: false,
            }),
            changed: Condvar::new(),
            mode,
        });
        let connection = Arc::new(Mutex::new(None));
        thread::spawn({
            let shared = Arc::clone(&shared);
            let connection = Arc::clone(&connection);
            move || {
                if let Err(error) = serve(&listener, &shared, &connection)
                    && error.kind() != io::ErrorKind::UnexpectedEof
                {
                    eprintln!("usb camera: {error}");
                }
                shared.lock().over = true;
                shared.changed.notify_all();
            }
        });
        Ok(Self { shared, connection })
    }

    /// From the next frame on the camera sees `seen`.
    pub fn show(&self, seen: Seen) {
        self.shared.lock().seen = Arc::new(seen);
    }

    /// The format that the guest chose last.
    pub fn format(&self) -> StreamFormat {
        self.shared.lock().format
    }

    /// Pulls the cable.
    pub fn unplug(self) {
        drop(self);
    }
}

impl Drop for UsbCamera {
    fn drop(&mut self) {
        let connection = self
            .connection
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(socket) = connection.as_ref() {
            // Fails only when the other side was quicker; the end is the same.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

fn serve(
    listener: &UnixListener,
    shared: &Arc<Shared>,
    connection: &Mutex<Option<UnixStream>>,
) -> io::Result<()> {
    let (mut socket, _) = listener.accept()?;
    *connection
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(socket.try_clone()?);
    redir::handshake(&mut socket)?;
    let writer = Arc::new(Mutex::new(socket.try_clone()?));
    let send = |kind, id, body: &[u8]| send(&writer, kind, id, body);
    let tables = || -> io::Result<()> {
        send(kind::INTERFACE_INFO, 0, &interfaces())?;
        send(kind::EP_INFO, 0, &endpoints())
    };
    tables()?;
    send(kind::DEVICE_CONNECT, 0, &device_connect())?;
    thread::spawn({
        let (shared, writer) = (Arc::clone(shared), Arc::clone(&writer));
        // An error here is the connection's end, which the reading side reports.
        move || stream_pictures(&shared, &writer)
    });
    loop {
        let Packet { kind, id, ref body } = redir::read(&mut socket)?;
        match kind {
            kind::SET_CONFIGURATION => {
                tables()?;
                send(
                    kind::CONFIGURATION_STATUS,
                    id,
                    &[Status::Success as u8, body[0]],
                )?;
            }
            kind::GET_CONFIGURATION => {
                send(kind::CONFIGURATION_STATUS, id, &[Status::Success as u8, 1])?
            }
            kind::SET_ALT_SETTING => {
                tables()?;
                send(
                    kind::ALT_SETTING_STATUS,
                    id,
                    &[Status::Success as u8, body[0], body[1]],
                )?;
            }
            kind::GET_ALT_SETTING => send(
                kind::ALT_SETTING_STATUS,
                id,
                &[Status::Success as u8, body[0], 0],
            )?,
            kind::CONTROL => {
                let setup = Setup::parse(body)?;
                let answer = match control(shared, &setup) {
                    Some(data) => {
                        let moved = data.len().min(usize::from(setup.length));
                        let length = if data.is_empty() {
                            setup.length
                        } else {
                            moved as u16
                        };
                        setup.answer(Status::Success, length, &data[..moved])
                    }
                    None => setup.answer(Status::Stall, 0, &[]),
                };
                send(kind::CONTROL, id, &answer)?;
            }
            kind::BULK => {
                let request = BulkRequest::parse(&Packet {
                    kind,
                    id,
                    body: body.clone(),
                })?;
                shared.lock().requests.push_back(request);
                shared.changed.notify_all();
            }
            kind::CANCEL_DATA_PACKET => {
                let mut state = shared.lock();
                let place = state.requests.iter().position(|request| request.id == id);
                let cancelled = place.and_then(|place| state.requests.remove(place));
                drop(state);
                if let Some(request) = cancelled {
                    send(kind::BULK, id, &request.answer(Status::Cancelled, &[]))?;
                }
            }
            // Resets, filters and acknowledgements need no answer.
            _ => {}
        }
    }
}

fn send(writer: &Mutex<UnixStream>, kind: u32, id: u64, body: &[u8]) -> io::Result<()> {
    let mut socket = writer
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    redir::write(&mut socket, kind, id, body)
}

fn interfaces() -> Vec<u8> {
    redir::interface_info(&[
        [CLASS_VIDEO, SUBCLASS_CONTROL, 0],
        [CLASS_VIDEO, SUBCLASS_STREAMING, 0],
    ])
}

fn endpoints() -> Vec<u8> {
    let control = |address| Endpoint {
        address,
        kind: redir::ENDPOINT_CONTROL,
        interface: 0,
        packet_bytes: u16::from(CONTROL_PACKET_BYTES),
    };
    redir::ep_info(&[
        control(0x00),
        control(0x80),
        Endpoint {
            address: STREAM_ENDPOINT,
            kind: redir::ENDPOINT_BULK,
            interface: STREAM_INTERFACE,
            packet_bytes: STREAM_PACKET_BYTES,
        },
    ])
}

fn device_connect() -> Vec<u8> {
    let mut body = vec![redir::SPEED_HIGH];
    body.extend(DEVICE_CLASS);
    for word in [VENDOR, PRODUCT, DEVICE_VERSION_BCD] {
        body.extend(word.to_le_bytes());
    }
    body
}

/// Answers a control request: the data (empty for one without), or `None` for a stall.
fn control(shared: &Shared, setup: &Setup) -> Option<Vec<u8>> {
    /// `bmRequestType`: direction, type and recipient.
    mod request_type {
        pub const GET_STANDARD_DEVICE: u8 = 0x80;
        pub const SET_STANDARD_ENDPOINT: u8 = 0x02;
        pub const GET_CLASS_INTERFACE: u8 = 0xa1;
        pub const SET_CLASS_INTERFACE: u8 = 0x21;
    }
    const GET_STATUS: u8 = 0;
    const CLEAR_FEATURE: u8 = 1;
    const GET_DESCRIPTOR: u8 = 6;
    // UVC 1.0, table A-8, and the selectors of table A-14.
    const SET_CUR: u8 = 0x01;
    const GET_CUR: u8 = 0x81;
    const GET_MIN: u8 = 0x82;
    const GET_MAX: u8 = 0x83;
    const GET_LEN: u8 = 0x85;
    const GET_INFO: u8 = 0x86;
    const GET_DEF: u8 = 0x87;
    const VS_PROBE_CONTROL: u8 = 1;
    const VS_COMMIT_CONTROL: u8 = 2;

    let [low, high] = setup.value.to_le_bytes();
    let for_stream = setup.index.to_le_bytes()[0] == STREAM_INTERFACE
        && (high == VS_PROBE_CONTROL || high == VS_COMMIT_CONTROL);
    match (setup.request_type, setup.request) {
        (request_type::GET_STANDARD_DEVICE, GET_DESCRIPTOR) => match high {
            1 => Some(descriptors::device()),
            2 => Some(descriptors::configuration(shared.mode)),
            3 => descriptors::string(low),
            _ => None,
        },
        (request_type::GET_STANDARD_DEVICE, GET_STATUS) => Some(vec![0, 0]),
        (request_type::SET_STANDARD_ENDPOINT, CLEAR_FEATURE) => {
            restart_stream(shared, None);
            Some(Vec::new())
        }
        (request_type::GET_CLASS_INTERFACE, request) if for_stream => {
            let format = shared.lock().format;
            let probe = descriptors::probe(shared.mode, format);
            match request {
                GET_CUR | GET_MIN | GET_MAX | GET_DEF => Some(probe),
                GET_LEN => Some((probe.len() as u16).to_le_bytes().to_vec()),
                GET_INFO => Some(vec![0b11]), // can be read and written
                _ => None,
            }
        }
        (request_type::SET_CLASS_INTERFACE, SET_CUR) if for_stream => {
            let format = StreamFormat::from_index(*setup.data.get(2)?)?;
            restart_stream(shared, Some(format));
            Some(Vec::new())
        }
        _ => None,
    }
}

fn restart_stream(shared: &Shared, format: Option<StreamFormat>) {
    let mut state = shared.lock();
    state.stream += 1;
    if let Some(format) = format {
        state.format = format;
    }
    shared.changed.notify_all();
}

/// Sends picture after picture at the mode's rate, for as long as the guest asks for data.
fn stream_pictures(shared: &Shared, writer: &Mutex<UnixStream>) -> io::Result<()> {
    let interval = Duration::from_secs(1) / shared.mode.rate_fps;
    let mut due = Instant::now();
    let mut frame_id = false;
    loop {
        let (picture, stream) = {
            let mut state = shared.lock();
            while state.requests.is_empty() && !state.over {
                state = wait(shared, state);
            }
            if state.over {
                return Ok(());
            }
            let seen = Arc::clone(&state.seen);
            (
                match state.format {
                    StreamFormat::Yuyv => seen.yuyv.clone(),
                    StreamFormat::Mjpeg => seen.mjpeg.clone(),
                },
                state.stream,
            )
        };
        // A guest that fell behind is not flooded afterwards.
        due = (due + interval).max(Instant::now());
        thread::sleep(due.saturating_duration_since(Instant::now()));
        frame_id = !frame_id;
        send_picture(shared, writer, &picture, stream, frame_id)?;
    }
}

/// Sends one picture as payload transfers, or only its beginning when the guest restarts the stream meanwhile.
fn send_picture(
    shared: &Shared,
    writer: &Mutex<UnixStream>,
    picture: &[u8],
    stream: u64,
    frame_id: bool,
) -> io::Result<()> {
    // UVC 1.0, table 2-5: bHeaderLength and bmHeaderInfo.
    const HEADER_BYTES: usize = 2;
    const FRAME_ID: u8 = 1 << 0;
    const END_OF_FRAME: u8 = 1 << 1;
    const END_OF_HEADER: u8 = 1 << 7;

    let mut pieces = picture.chunks(MAX_PAYLOAD_BYTES - HEADER_BYTES).peekable();
    while let Some(piece) = pieces.next() {
        let end = if pieces.peek().is_none() {
            END_OF_FRAME
        } else {
            0
        };
        let mut payload = vec![
            HEADER_BYTES as u8,
            END_OF_HEADER | end | (u8::from(frame_id) * FRAME_ID),
        ];
        payload.extend(piece);
        // The guest knows a payload's end by its full size or by a transfer that is shorter than asked for.
        let mut ended = false;
        let mut at = 0;
        while !ended {
            let Some(request) = next_request(shared, stream) else {
                return Ok(());
            };
            let part = &payload[at..payload.len().min(at + request.length)];
            at += part.len();
            ended = part.len() < request.length || at == MAX_PAYLOAD_BYTES;
            send(
                writer,
                kind::BULK,
                request.id,
                &request.answer(Status::Success, part),
            )?;
        }
    }
    Ok(())
}

fn next_request(shared: &Shared, stream: u64) -> Option<BulkRequest> {
    let mut state = shared.lock();
    loop {
        if state.over || state.stream != stream {
            return None;
        }
        if let Some(request) = state.requests.pop_front() {
            return Some(request);
        }
        state = wait(shared, state);
    }
}

fn wait<'a>(shared: &Shared, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    shared
        .changed
        .wait(state)
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
