//! `eyelet display-test`: a test picture on each display of a board, and what to look for in it. For setting up a panel.

use super::{BoardChoice, print_line, stop_signal};
use crate::board::DisplayConfig;
use crate::show::{self, Display, DisplayError, Scene, State, TestPicture};
use crate::{Cause, Failure, limits};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Whatever else draws on a display (a console) is drawn over this often.
const PERIOD: Duration = Duration::from_secs(1);
/// How often it is looked whether somebody wants it to end.
const LOOK_PERIOD: Duration = Duration::from_millis(50);

/// Arguments of `eyelet display-test`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    board: BoardChoice,
    /// End after so many seconds (without it, at a signal such as Ctrl-C)
    #[arg(long, value_name = "N", value_parser = limits::flag::<u64>(limits::DISPLAY_TEST_S))]
    seconds: Option<u64>,
}

/// A display that the picture is on.
struct Shown<'a> {
    config: &'a DisplayConfig,
    name: &'a str,
    display: Box<dyn Display>,
}

/// Shows the test picture. One display that fails does not keep the others from it, and ends the program with an error all the same.
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
                "board {} has no display to test: it says [display.none]; put a table [display.KIND] into its file, or take another \
                 board (--board, --board-file)",
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
        let opened = show::open(config, None).and_then(|mut display| {
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
        tell(one)?;
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
        std::thread::sleep(LOOK_PERIOD);
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
        kind: config.kind(),
        turned: config.turned(),
    }))
}

/// What a picture that is right looks like, and the keys that mend it where it does not.
const SIGNS: [(&str, &[&str]); 7] = [
    (
        "the numbers 1 2 3 4 and the words are no mirror writing",
        &["mirror"],
    ),
    (
        "the arrow points up, and 1 2 3 4 go clockwise from the upper left",
        &["rotate_deg"],
    ),
    (
        "a white line one pixel wide goes round all four sides, with nothing cut off and no stripe of noise beside it",
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
        "W is white and K is black (on a panel without colours: the first field is white, the second black)",
        &["invert"],
    ),
    (
        "the greys go from black to white in even steps (on a panel without colours: stripes and checks are clear)",
        &["contrast", "depth"],
    ),
    (
        "nothing flickers, and no pixel stands in the wrong place",
        &["speed_hz", "rate_hz"],
    ),
];

fn tell(one: &Shown<'_>) -> Result<(), Failure> {
    let (kind, keys) = (one.config.kind(), one.config.setup_keys());
    print_line(format_args!(
        "{}: is it like this? What mends it stands in [display.{kind}] of the board file:",
        one.name
    ))?;
    for (sign, menders) in SIGNS {
        let menders = menders.iter().copied().filter(|key| keys.contains(key));
        let menders: Vec<&str> = menders.collect();
        let else_what = match (&menders[..], one.config.turned()) {
            ([], _) => String::new(),
            (["rotate_deg"], Some((rotate_deg, mirror))) => {
                let way = if mirror { "anticlockwise" } else { "clockwise" };
                format!(
                    "; else rotate_deg, now {rotate_deg}: add the degrees that the arrow must turn {way}, less 360 from 360 on"
                )
            }
            (["mirror"], Some((_, mirror))) => {
                format!("; else mirror, now {mirror}: set it to {}", !mirror)
            }
            (menders, _) => format!("; else {}", menders.join(", ")),
        };
        print_line(format_args!("  - {sign}{else_what}"))?;
    }
    Ok(())
}
