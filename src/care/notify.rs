//! Reports to the service manager that frames are being finished, by the datagrams of `sd_notify(3)`.
//!
//! The same protocol serves a board under systemd and a board whose first program is Eyelet itself (`firmware`): both name a
//! socket in `NOTIFY_SOCKET` and want `READY=1` once, and `WATCHDOG=1` regularly. Nothing here runs on a timer. These messages
//! come only from a frame that was classified, shown or while the policy lets a display be away, and from the loop while the policy
//! lets it wait for a camera.

use crate::show::words::Text;
use std::fmt::Write as _;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// Messages go out at most this often; one per frame would be no better.
const PERIOD: Duration = Duration::from_millis(250);

/// The status while all is well.
pub const CLASSIFYING: &str = "classifying";
/// A line beside a heartbeat: it is for a wait for a frame, or for a frame that no display shows. The policy allows both, but a slot
/// on trial must do better; systemd ignores the line.
pub const WAITING: &str = "X_EYELET=waiting";
/// See [`WAITING`].
pub const UNSEEN: &str = "X_EYELET=unseen";

/// Receives the reports that the loop is doing its job.
pub trait Heartbeat {
    /// A frame was classified and shown.
    fn finished(&mut self);

    /// A frame was classified, but a display that should show it is lost, which the policy allows for now, or has shown nothing
    /// yet.
    fn unseen(&mut self);

    /// There is no frame, and the policy lets the loop wait for one. Called at least every few seconds.
    fn waiting(&mut self);

    /// A problem, in a few words.
    fn says(&mut self, words: &str);
}

/// Discards the reports.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Heartbeat for Unwatched {
    fn finished(&mut self) {}
    fn unseen(&mut self) {}
    fn waiting(&mut self) {}
    fn says(&mut self, _words: &str) {}
}

/// Reports to a service manager's socket.
#[derive(Debug)]
pub struct Notify {
    socket: UnixDatagram,
    is_ready: bool,
    sent_at: Option<Instant>,
}

impl Notify {
    /// The socket at `address`, the value of `NOTIFY_SOCKET`: a path, or `@` and an abstract name.
    ///
    /// # Errors
    /// The system's error when nobody listens there.
    pub fn connect(address: &str) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        match address.strip_prefix('@') {
            Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
            None => socket.connect(address)?,
        }
        // A manager that does not read must not block the loop; the next message repeats what it missed.
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            is_ready: false,
            sent_at: None,
        })
    }

    fn is_due(&mut self) -> bool {
        let due = self.sent_at.is_none_or(|at| at.elapsed() >= PERIOD);
        if due {
            self.sent_at = Some(Instant::now());
        }
        due
    }

    /// A heartbeat, with `mark` if that is not empty; the first one also reports readiness, and `status`.
    fn beat(&mut self, status: &str, mark: &str) {
        let is_first = !self.is_ready;
        if is_first {
            self.sent_at = Some(Instant::now());
        } else if !self.is_due() {
            return;
        }
        let mut words = Text::<120>::new();
        // What does not fit is cut off; that is no error.
        let _ = match is_first {
            true => write!(words, "READY=1\nSTATUS={status}\nWATCHDOG=1"),
            false => write!(words, "WATCHDOG=1"),
        };
        if !mark.is_empty() {
            let _ = write!(words, "\n{mark}");
        }
        let is_sent = self.send(words.as_str());
        self.is_ready |= is_sent;
    }

    /// Whether it was sent. A full or closed socket is the manager's fault, and its watchdog reacts to silence; but readiness is
    /// reported only once, so what reports it is sent again.
    fn send(&self, words: &str) -> bool {
        self.socket.send(words.as_bytes()).is_ok()
    }
}

impl Heartbeat for Notify {
    fn finished(&mut self) {
        self.beat(CLASSIFYING, "");
    }

    fn unseen(&mut self) {
        self.beat("waiting for the display", UNSEEN);
    }

    fn waiting(&mut self) {
        if self.is_ready {
            self.beat("", WAITING);
        } else if self.is_due() {
            // Until it is ready a service has no watchdog, only a time limit: extend it to half a minute from now.
            self.send("EXTEND_TIMEOUT_USEC=30000000");
        }
    }

    fn says(&mut self, words: &str) {
        let line = words.replace('\n', " ");
        self.send(&format!("STATUS={line}"));
    }
}

/// For watchdog tests: passes on this many finished frames, then hangs forever.
pub struct HangsAfter {
    /// Frames left.
    pub frames: u64,
    /// Receives the reports until then.
    pub inner: Box<dyn Heartbeat>,
}

impl Heartbeat for HangsAfter {
    fn finished(&mut self) {
        if self.frames == 0 {
            log::warn!("hanging on purpose, for a test");
            loop {
                std::thread::park();
            }
        }
        self.frames -= 1;
        self.inner.finished();
    }

    fn unseen(&mut self) {
        self.inner.unseen();
    }

    fn waiting(&mut self) {
        self.inner.waiting();
    }

    fn says(&mut self, words: &str) {
        self.inner.says(words);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn words(socket: &UnixDatagram) -> Vec<String> {
        socket.set_nonblocking(true).unwrap();
        let mut all = Vec::new();
        let mut buffer = [0; 256];
        while let Ok(length) = socket.recv(&mut buffer) {
            all.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        all
    }

    #[test]
    fn ready_is_sent_once_and_heartbeats_are_rate_limited() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let mut notify = Notify::connect(path.to_str().unwrap()).unwrap();
        notify.waiting();
        assert_eq!(words(&manager), ["EXTEND_TIMEOUT_USEC=30000000"]);
        for _ in 0..100 {
            notify.finished();
        }
        assert_eq!(words(&manager), ["READY=1\nSTATUS=classifying\nWATCHDOG=1"]);
        std::thread::sleep(PERIOD);
        for _ in 0..100 {
            notify.finished();
            notify.waiting();
        }
        notify.says("camera lost\nfor 3 s");
        assert_eq!(
            words(&manager),
            ["WATCHDOG=1", "STATUS=camera lost for 3 s"]
        );
        std::thread::sleep(PERIOD);
        notify.unseen();
        assert_eq!(words(&manager), ["WATCHDOG=1\nX_EYELET=unseen"]);
        std::thread::sleep(PERIOD);
        notify.waiting();
        assert_eq!(words(&manager), ["WATCHDOG=1\nX_EYELET=waiting"]);
        let mut blind = Notify::connect(path.to_str().unwrap()).unwrap();
        blind.unseen();
        assert_eq!(
            words(&manager),
            ["READY=1\nSTATUS=waiting for the display\nWATCHDOG=1\nX_EYELET=unseen"]
        );
    }

    #[test]
    fn a_manager_that_does_not_read_does_not_block_the_loop() {
        let name = format!("eyelet-notify-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let mut notify = Notify::connect(&format!("@{name}")).unwrap();
        for _ in 0..10_000 {
            notify.says("more than any socket holds");
        }
        // It is ready when the manager has heard so.
        notify.finished();
        let ready = "READY=1\nSTATUS=classifying\nWATCHDOG=1";
        assert!(!words(&manager).contains(&ready.to_owned()));
        notify.finished();
        assert_eq!(words(&manager), [ready]);
        drop(manager);
        notify.finished();
        assert!(Notify::connect(&format!("@{name}")).is_err());
    }
}
