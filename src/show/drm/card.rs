//! The cards of this machine, `/dev/dri/cardN`, with their drivers and connectors.

use super::choice::Port;
use super::mode::{self, Timing, Wanted};
use ::drm::Device as _;
use ::drm::control::connector::{self, State};
use ::drm::control::{self, Device as _};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where the kernel lists its cards.
const FOLDER: &str = "/dev/dri";

/// An open card.
#[derive(Debug)]
pub struct Card {
    file: File,
    /// `/dev/dri/cardN`.
    pub node: PathBuf,
    /// The driver's name.
    pub driver: String,
}

impl AsFd for Card {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl ::drm::Device for Card {}
impl control::Device for Card {}

impl Card {
    /// Opens a node. Whoever opens a card first is its master, which may set modes, until the file is closed.
    pub fn open(node: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            // Nothing waits for an event without a timeout.
            .custom_flags(libc::O_NONBLOCK)
            .open(node)?;
        let mut card = Self {
            file,
            node: node.to_path_buf(),
            driver: String::new(),
        };
        card.driver = card.get_driver()?.name().to_string_lossy().into_owned();
        Ok(card)
    }

    /// Probes each connector for what is plugged in, which can take a tenth of a second for each display. Empty for a card that
    /// renders pictures but shows none.
    pub fn connectors(&self) -> io::Result<Vec<connector::Info>> {
        let resources = match self.resource_handles() {
            Ok(resources) => resources,
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let connectors = resources.connectors().iter();
        connectors
            .map(|handle| self.get_connector(*handle, true))
            .collect()
    }

    /// The properties used for choosing.
    pub fn port(&self, info: &connector::Info) -> Port {
        Port {
            node: self.node.display().to_string(),
            driver: self.driver.clone(),
            connector: info.to_string(),
            state: info.state(),
        }
    }

    /// The file in which the kernel reports whether a display is plugged into a connector.
    pub fn status_file(&self, connector: &str) -> PathBuf {
        let card = self.node.file_name().unwrap_or_default().to_string_lossy();
        PathBuf::from(format!("/sys/class/drm/{card}-{connector}/status"))
    }
}

/// The nodes of all cards, in numeric order.
pub fn nodes() -> Vec<PathBuf> {
    // A kernel without such drivers has no such folder.
    let entries = fs::read_dir(FOLDER).into_iter().flatten().flatten();
    let mut numbers: Vec<u32> = entries
        .filter_map(|entry| number(entry.file_name().to_str()?))
        .collect();
    numbers.sort_unstable();
    let node = |number| Path::new(FOLDER).join(format!("card{number}"));
    numbers.into_iter().map(node).collect()
}

/// The number of a card's node; `None` for other nodes (`renderD128`, `controlD64`).
fn number(name: &str) -> Option<u32> {
    name.strip_prefix("card")?.parse().ok()
}

/// A connector of this machine, or a card whose connectors cannot be queried; for `eyelet list displays`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// `/dev/dri/cardN`.
    pub path: PathBuf,
    /// The card's driver; empty if it cannot be queried.
    pub driver: String,
    /// The connector, or why the card cannot be queried.
    pub connector: Result<FoundConnector, String>,
}

/// A connector's properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundConnector {
    /// `HDMI-A-1`.
    pub name: String,
    /// Whether a display is plugged in.
    pub state: State,
    /// The mode that is used if the board file names none.
    pub mode: Option<Timing>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.path.display(), self.driver)?;
        match &self.connector {
            Ok(connector) => {
                let state = super::choice::word(connector.state);
                write!(f, "{} {state}", connector.name)?;
                (connector.mode.as_ref()).map_or(Ok(()), |mode| write!(f, ", {mode}"))
            }
            Err(error) => f.write_str(error),
        }
    }
}

/// The connectors of this machine.
pub fn list() -> Vec<Found> {
    let mut found = Vec::new();
    for path in nodes() {
        let (driver, connectors) = match Card::open(&path) {
            Ok(card) => (card.driver.clone(), card.connectors()),
            Err(error) => (String::new(), Err(error)),
        };
        match connectors {
            Ok(connectors) => found.extend(connectors.iter().map(|info| Found {
                path: path.clone(),
                driver: driver.clone(),
                connector: Ok(of_connector(info)),
            })),
            Err(error) => found.push(Found {
                path,
                driver,
                connector: Err(error.to_string()),
            }),
        }
    }
    found
}

fn of_connector(info: &connector::Info) -> FoundConnector {
    let modes: Vec<Timing> = info.modes().iter().map(Timing::from).collect();
    let mode = mode::chosen(&modes, &Wanted::default()).ok();
    FoundConnector {
        name: info.to_string(),
        state: info.state(),
        mode: mode.map(|at| modes[at]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_distinguished_from_other_nodes() {
        for (name, is) in [
            ("card0", Some(0)),
            ("card12", Some(12)),
            ("renderD128", None),
            ("card", None),
            ("card0-HDMI-A-1", None),
            ("by-path", None),
        ] {
            assert_eq!(number(name), is, "{name}");
        }
    }

    #[test]
    fn a_connector_is_one_line() {
        let mut found = Found {
            path: "/dev/dri/card0".into(),
            driver: "vc4".into(),
            connector: Ok(FoundConnector {
                name: "HDMI-A-1".into(),
                state: State::Connected,
                mode: Some(Timing {
                    width_px: 1024,
                    height_px: 600,
                    rate_hz: 60,
                    is_preferred: true,
                    is_interlaced: false,
                }),
            }),
        };
        assert_eq!(
            found.to_string(),
            "/dev/dri/card0 vc4: HDMI-A-1 connected, 1024 x 600 pixels at 60 Hz"
        );
        found.connector = Ok(FoundConnector {
            name: "HDMI-A-2".into(),
            state: State::Disconnected,
            mode: None,
        });
        assert_eq!(
            found.to_string(),
            "/dev/dri/card0 vc4: HDMI-A-2 disconnected"
        );
    }
}
