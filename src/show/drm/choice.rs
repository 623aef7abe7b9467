//! Chooses the connector and card to draw on, and words the error if there is none.

use ::drm::control::connector::State;
use std::fmt;

/// A connector of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The card's node, `/dev/dri/card0`.
    pub node: String,
    /// The card's driver, `vc4`.
    pub driver: String,
    /// The connector's kernel name, `HDMI-A-1`.
    pub connector: String,
    /// Whether a display is plugged in.
    pub state: State,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            node,
            driver,
            connector,
            state,
        } = self;
        write!(f, "{connector} of {driver} ({node}): {}", word(*state))
    }
}

/// A state in the kernel's spelling.
pub fn word(state: State) -> &'static str {
    match state {
        State::Connected => "connected",
        State::Disconnected => "disconnected",
        State::Unknown => "unknown",
    }
}

/// The first of `ports` with a display, on a driver whose name begins with `driver`, and named `connector`. Some drivers cannot
/// detect a display (a Raspberry Pi's composite output); such a port is chosen if it is named, or if no other port could have a
/// display.
///
/// # Errors
/// What was looked for and what exists.
pub fn chosen(
    ports: &[Port],
    connector: Option<&str>,
    driver: Option<&str>,
) -> Result<usize, String> {
    let fits = |port: &Port| {
        driver.is_none_or(|driver| port.driver.starts_with(driver))
            && connector.is_none_or(|connector| port.connector == connector)
    };
    let first = |state: State| {
        ports
            .iter()
            .position(|port| fits(port) && port.state == state)
    };
    let may_guess = connector.is_some() || first(State::Disconnected).is_none();
    let guessed = || may_guess.then(|| first(State::Unknown)).flatten();
    if let Some(at) = first(State::Connected).or_else(guessed) {
        return Ok(at);
    }
    let all: Vec<String> = ports.iter().map(Port::to_string).collect();
    let all = all.join(", ");
    if ports.is_empty() {
        return Err(
            "no display: no card of /dev/dri has a connector; load the display's driver, or use [display.framebuffer]"
                .to_owned(),
        );
    }
    if let Some(driver) = driver
        && !ports.iter().any(|port| port.driver.starts_with(driver))
    {
        return Err(format!(
            "no display driver's name begins with {driver:?}: there are {all}; set display.drm.driver to one of them"
        ));
    }
    match connector {
        Some(connector) if !ports.iter().any(fits) => Err(format!(
            "no connector is called {connector:?}: there are {all}; set display.drm.connector to one of them"
        )),
        _ => Err(format!(
            "no display is plugged in: {all}; check its cable and power"
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn port(card: u32, driver: &str, connector: &str, state: State) -> Port {
        Port {
            node: format!("/dev/dri/card{card}"),
            driver: driver.to_owned(),
            connector: connector.to_owned(),
            state,
        }
    }

    #[test]
    fn the_first_port_with_a_display_is_taken() {
        let ports = [
            port(0, "virtio_gpu", "Virtual-1", State::Unknown),
            port(1, "vc4", "HDMI-A-1", State::Disconnected),
            port(1, "vc4", "HDMI-A-2", State::Connected),
            port(2, "vc4", "DSI-1", State::Connected),
        ];
        for (connector, driver, at) in [
            (None, None, 2),
            (None, Some("vc"), 2),
            (None, Some("virtio"), 0),
            (Some("DSI-1"), None, 3),
            (Some("Virtual-1"), Some("virtio_gpu"), 0),
        ] {
            let found = chosen(&ports, connector, driver);
            assert_eq!(found, Ok(at), "{connector:?} {driver:?}");
        }
    }

    #[test]
    fn a_missing_display_connector_or_driver_is_refused_with_those_that_exist() {
        let ports = [
            port(0, "vc4", "HDMI-A-1", State::Disconnected),
            port(0, "vc4", "HDMI-A-2", State::Disconnected),
        ];
        let all = "HDMI-A-1 of vc4 (/dev/dri/card0): disconnected, HDMI-A-2 of vc4 (/dev/dri/card0): disconnected";
        for (connector, driver, begins) in [
            (None, None, "no display is plugged in: "),
            (Some("HDMI-A-1"), Some("vc4"), "no display is plugged in: "),
            (
                Some("HDMI-1"),
                None,
                "no connector is called \"HDMI-1\": there are ",
            ),
            (
                None,
                Some("tegra"),
                "no display driver's name begins with \"tegra\": there are ",
            ),
        ] {
            let error = chosen(&ports, connector, driver).unwrap_err();
            assert!(error.starts_with(&format!("{begins}{all};")), "{error}");
        }
        let error = chosen(&[], Some("HDMI-A-1"), None).unwrap_err();
        assert!(error.contains("[display.framebuffer]"), "{error}");
    }
}
