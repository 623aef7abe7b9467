//! `eyelet display-test`: shows a test picture on each display of a board, and prints what to look for. For setting up a panel.

use super::{BoardChoice, print_line, stop_signal};
use crate::show::canvas::Orientation;
use crate::show::{Display, DisplayConfig, DisplayError, Scene, State, TestPicture};
use crate::{Cause, Failure, limits};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often to redraw over whatever else draws on the display (a console).
const PERIOD: Duration = Duration::from_secs(1);
/// How often to check for a request to stop.
const CHECK_PERIOD: Duration = Duration::from_millis(50);

/// Arguments of `eyelet display-test`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    board: BoardChoice,
    /// Stop after this many seconds (otherwise at a signal such as Ctrl-C)
    #[arg(long, value_name = "N", value_parser = limits::flag::<u64>(limits::DISPLAY_TEST_S))]
    seconds: Option<u64>,
}

/// A display that shows the picture.
struct Shown<'a> {
    config: &'a DisplayConfig,
    name: &'a str,
    display: Box<dyn Display>,
}

/// Shows the test picture. If one display fails, the others still show it, and the program ends with an error.
pub fn run(args: &Args) -> Result<(), Failure> {
    let (board, chosen_by) = args.board.choose()?;
    let stop = stop_signal()?;
    print_line(format_args!(
        "board {} ({}), {chosen_by}",
        board.name, board.description
    ))?;
    let configs = &board.displays;
    if configs.is_empty() {
        return Err(Failure::new(
            Cause::Display,
            format!(
                "board {} has no display to test: its file has [display.none]; add a table [display.KIND] to the file, or \
                 choose another board (--board, --board-file)",
                board.name
            ),
        ));
    }
    let names = DisplayConfig::names(configs);
    let mut first_failure = None;
    let mut fail = |name: &str, error: DisplayError| {
        let failure = match configs.len() {
            1 => error.into(),
            _ => Failure::new(Cause::Display, format!("{name}: {error}")),
        };
        log::warn!("{failure}");
        first_failure.get_or_insert(failure);
    };
    let mut shown = Vec::new();
    for (config, name) in configs.iter().zip(&names) {
        let opened = config.settings().open(None).and_then(|mut display| {
            display.show(&scene(config))?;
            Ok(display)
        });
        match opened {
            Ok(display) => {
                print_line(format_args!("{name}: {}", display.describe()))?;
                shown.push(Shown {
                    config,
                    name,
                    display,
                });
            }
            Err(error) => fail(name, error),
        }
    }
    for one in &shown {
        print_checks(one)?;
    }
    let until = args.seconds.map(Duration::from_secs);
    keep(&mut shown, until, &stop, &mut fail);
    first_failure.map_or(Ok(()), Err)
}

/// Keeps the picture on the displays until the end.
fn keep(
    shown: &mut Vec<Shown<'_>>,
    until: Option<Duration>,
    stop: &AtomicBool,
    mut fail: impl FnMut(&str, DisplayError),
) {
    let began = Instant::now();
    let mut drawn_at = began;
    let is_over = |began: Instant| until.is_some_and(|until| began.elapsed() >= until);
    while !shown.is_empty() && !stop.load(Ordering::Relaxed) && !is_over(began) {
        std::thread::sleep(CHECK_PERIOD);
        if drawn_at.elapsed() < PERIOD {
            continue;
        }
        drawn_at = Instant::now();
        shown.retain_mut(|one| match one.display.show(&scene(one.config)) {
            Ok(()) => true,
            Err(error) => {
                fail(one.name, error);
                false
            }
        });
    }
}

fn scene(config: &DisplayConfig) -> Scene<'static> {
    Scene::in_state(State::Test(TestPicture {
        kind: config.settings().kind(),
        orientation: config.settings().orientation(),
    }))
}

/// What a correct picture looks like, and the keys that fix it if it does not.
const CHECKS: [(&str, &[&str]); 7] = [
    (
        "the numbers 1 2 3 4 and the words are not mirrored",
        &["mirror"],
    ),
    (
        "the arrow points up, and 1 2 3 4 go clockwise from the upper left",
        &["rotate_deg"],
    ),
    (
        "a white line one pixel wide runs along all four edges, with nothing cut off and no stripe of noise beside it",
        &[
            "width_px",
            "height_px",
            "left_px",
            "top_px",
            "controller",
            "panel",
        ],
    ),
    ("R is red and B is blue (C cyan, Y yellow)", &["bgr"]),
    (
        "W is white and K is black (on a monochrome panel: the first field is white, the second black)",
        &["invert"],
    ),
    (
        "the greys go from black to white in even steps (on a monochrome panel: stripes and checks are clear)",
        &["contrast", "depth"],
    ),
    (
        "nothing flickers, and no pixel is in the wrong place",
        &["speed_hz", "rate_hz"],
    ),
];

fn print_checks(one: &Shown<'_>) -> Result<(), Failure> {
    let settings = one.config.settings();
    let (kind, keys) = (settings.kind(), settings.setup_keys());
    print_line(format_args!(
        "{}: is it like this? If not, these keys of [display.{kind}] in the board file fix it:",
        one.name
    ))?;
    for (check, fixing) in CHECKS {
        let fixing = fixing.iter().copied().filter(|key| keys.contains(key));
        let fixing: Vec<&str> = fixing.collect();
        let fix = match (&fixing[..], settings.orientation()) {
            ([], _) => String::new(),
            (["rotate_deg"], Some(Orientation { rotation, mirror })) => {
                let rotate_deg = rotation.degrees();
                let way = if mirror { "anticlockwise" } else { "clockwise" };
                format!(
                    "; else rotate_deg, now {rotate_deg}: add the degrees that the arrow must turn {way}, modulo 360"
                )
            }
            (["mirror"], Some(Orientation { mirror, .. })) => {
                format!("; else mirror, now {mirror}: set it to {}", !mirror)
            }
            (fixing, _) => format!("; else {}", fixing.join(", ")),
        };
        print_line(format_args!("  - {check}{fix}"))?;
    }
    Ok(())
}
