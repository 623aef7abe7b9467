//! One active connector: a CRTC with a mode, two buffers, and the flips between them.

use super::buffer::{Buffer, Feed, Format};
use super::card::Card;
use super::pair::Screen;
use ::drm::Device as _;
use ::drm::control::{self, Device as _, Event, Mode, PageFlipFlags, connector, crtc};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

/// The longest a flip may take: the slowest modes refresh at 24 Hz.
const FLIP_LIMIT: Duration = Duration::from_secs(1);
/// How often to check whether a flip has completed. Usually it has, long before the next picture.
const FLIP_POLL: Duration = Duration::from_millis(1);
/// How often to check the cable.
const CABLE_PERIOD: Duration = Duration::from_secs(1);

/// See the module's documentation. Dropping it restores what was shown before.
pub struct Output {
    card: Card,
    connector: connector::Handle,
    crtc: crtc::Handle,
    mode: Mode,
    /// What the CRTC showed before us.
    former: Option<crtc::Info>,
    /// Both, until they are dropped.
    buffers: Vec<Buffer>,
    feed: Feed,
    flipping_since: Option<Instant>,
    /// The kernel's report on the cable, and when it was last read.
    status: File,
    checked_at: Instant,
}

/// Why a connector shows nothing.
#[derive(Debug)]
pub enum OutputError {
    /// Another program is the card's master.
    Busy(io::Error),
    /// Anything else: what was attempted, and the system's error text.
    Failed(&'static str, io::Error),
}

impl Output {
    /// Becomes the card's master and shows a black picture in the first format that the driver accepts.
    pub fn open(
        card: Card,
        info: &connector::Info,
        mode: Mode,
    ) -> Result<(Self, Format), OutputError> {
        let failed = |what| move |error| OutputError::Failed(what, error);
        card.acquire_master_lock()
            .map_err(|error| match error.raw_os_error() {
                // EACCES: a process that has never been master must be root to become it, even if nobody else is.
                Some(libc::EBUSY | libc::EACCES | libc::EPERM) => OutputError::Busy(error),
                _ => OutputError::Failed("become its master", error),
            })?;
        let crtc = crtc_for(&card, info).map_err(failed("find a free CRTC"))?;
        let status = File::open(card.status_file(&info.to_string()))
            .map_err(failed("look at its cable in /sys/class/drm"))?;
        let mut output = Self {
            former: card.get_crtc(crtc).ok(),
            connector: info.handle(),
            crtc,
            mode,
            buffers: Vec::with_capacity(2),
            feed: Feed::new().map_err(failed("open a pipe"))?,
            flipping_since: None,
            status,
            checked_at: Instant::now(),
            card,
        };
        let mut first = None;
        for format in Format::ALL {
            match output.show_first(format) {
                Ok(()) => return Ok((output, format)),
                Err(error) => {
                    output.destroy_buffers();
                    first.get_or_insert(error);
                }
            }
        }
        let error = first.unwrap_or_else(|| io::ErrorKind::Unsupported.into());
        Err(OutputError::Failed("set its mode", error))
    }

    /// Bytes from one row of a buffer to the next.
    pub fn stride_bytes(&self) -> usize {
        self.buffers.first().map_or(0, |buffer| buffer.stride_bytes)
    }

    /// Whether the display is still plugged in. Checks once a second, using what the kernel knows: no display is probed, nothing
    /// blocks.
    pub fn is_plugged(&mut self, now: Instant) -> io::Result<bool> {
        if now.duration_since(self.checked_at) < CABLE_PERIOD {
            return Ok(true);
        }
        self.checked_at = now;
        let mut word = [0; 32];
        let length = self.status.read_at(&mut word, 0)?;
        // "unknown" means that the driver cannot tell.
        Ok(!word[..length].starts_with(b"disconnected"))
    }

    fn show_first(&mut self, format: Format) -> io::Result<()> {
        let (width_px, height_px) = self.mode.size();
        for _ in 0..2 {
            let buffer = Buffer::new(&self.card, (width_px.into(), height_px.into()), format)?;
            self.buffers.push(buffer);
        }
        if self.buffers[0].stride_bytes != self.buffers[1].stride_bytes {
            return Err(io::Error::other("its buffers differ"));
        }
        self.set_crtc(0)
    }

    fn set_crtc(&self, buffer: usize) -> io::Result<()> {
        let framebuffer = Some(self.buffers[buffer].framebuffer);
        let connectors = [self.connector];
        self.card
            .set_crtc(self.crtc, framebuffer, (0, 0), &connectors, Some(self.mode))
    }

    fn destroy_buffers(&mut self) {
        for buffer in self.buffers.drain(..) {
            buffer.destroy(&self.card);
        }
    }
}

impl Screen for Output {
    fn put(&mut self, buffer: usize, bytes: &[u8], at: usize) -> io::Result<()> {
        let memory = self.buffers[buffer].memory(at)?;
        self.feed.copy(bytes, memory)
    }

    fn wait(&mut self) -> io::Result<()> {
        let Some(since) = self.flipping_since else {
            return Ok(());
        };
        loop {
            match self.card.receive_events() {
                Ok(mut events) => {
                    let is_ours = |event: Event| matches!(event, Event::PageFlip(flip) if flip.crtc == self.crtc);
                    if events.any(is_ours) {
                        self.flipping_since = None;
                        return Ok(());
                    }
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error),
            }
            if since.elapsed() > FLIP_LIMIT {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the picture before was not shown within a second",
                ));
            }
            thread::sleep(FLIP_POLL);
        }
    }

    fn flip(&mut self, buffer: usize) -> io::Result<()> {
        let framebuffer = self.buffers[buffer].framebuffer;
        let flags = PageFlipFlags::EVENT;
        match self.card.page_flip(self.crtc, framebuffer, flags, None) {
            Ok(()) => {
                self.flipping_since = Some(Instant::now());
                Ok(())
            }
            // The driver has no page flips, or somebody has switched the CRTC off: setting the mode does the same, and waits.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP)
                ) =>
            {
                self.set_crtc(buffer)
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Restores the previous picture, usually a console. If that fails, nothing needs doing: closing the card's file turns
        // ours off and gives up mastership.
        if let Some(former) = &self.former
            && former.mode().is_some()
            && former.framebuffer().is_some()
        {
            let (position, mode) = (former.position(), former.mode());
            let connectors = [self.connector];
            let shown = former.framebuffer();
            let _ = self
                .card
                .set_crtc(self.crtc, shown, position, &connectors, mode);
        }
        self.destroy_buffers();
    }
}

/// The CRTC that drives the connector now; otherwise one that could and is idle; otherwise any that could.
fn crtc_for(card: &Card, info: &connector::Info) -> io::Result<crtc::Handle> {
    if let Some(encoder) = info.current_encoder()
        && let Some(crtc) = card.get_encoder(encoder)?.crtc()
    {
        return Ok(crtc);
    }
    let resources: control::ResourceHandles = card.resource_handles()?;
    let mut any = None;
    for encoder in info.encoders() {
        let possible = card.get_encoder(*encoder)?.possible_crtcs();
        for crtc in resources.filter_crtcs(possible) {
            if card.get_crtc(crtc)?.mode().is_none() {
                return Ok(crtc);
            }
            any.get_or_insert(crtc);
        }
    }
    any.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no CRTC can drive it"))
}
