//! Looks after a board: its policy, its health, and its watchdog.
//!
//! The loop reports what happens (a frame was finished, no frame comes, the display is gone) and asks now and then how the board
//! is doing. The answer is a text for log and display, a lower frame rate, or a [`Failure`] with cause [`Cause::Policy`]: the
//! board file wants a reboot. The first program or the service manager does the reboot.

pub mod boot;
pub mod health;
mod mailbox_sys;
pub mod notify;
mod trouble;

use crate::board::policy::{Action, Policy, Rule};
use crate::memory::Usage;
use crate::show::serial::Serial;
use crate::show::words::Text;
use crate::{Cause, Failure};
use boot::Boot;
use health::{Health, Reading};
use notify::{HangsAfter, Heartbeat, Notify, Unwatched};
use std::fmt::{Display, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use trouble::Trouble;

/// How often the board's health is read.
const PERIOD: Duration = Duration::from_secs(2);
/// How often to look for a thermometer while there is none, and how many times: by then all drivers are loaded.
const LOOK_PERIOD: Duration = Duration::from_secs(60);
const LOOKS: u32 = 10;
/// "Hot" ends only this far below the limit, or it would flicker on and off.
const COOLER_CELSIUS: f32 = 5.0;

/// A few words for a display.
pub type Notice = Text<40>;

/// Looks after one board.
pub struct Care {
    heartbeat: Box<dyn Heartbeat>,
    is_supervised: bool,
    /// See [`Self::needs_restart_for_frames`].
    needs_restart_for_frames: bool,
    policy: Policy,
    health: Health,
    search: Option<Search>,
    checked_at: Option<Instant>,
    power: Trouble,
    heat: Trouble,
    is_slowed_by_heat: bool,
    memory: Trouble,
    /// One per display reported so far.
    displays: Vec<Trouble>,
    /// The boot, on a board that Eyelet booted itself.
    pub boot: Option<Boot>,
}

/// The search for what reports the board's health: its drivers may be modules that are loaded after the start.
#[derive(Debug)]
struct Search {
    /// `/sys`
    sys: PathBuf,
    /// Modules may bring more, on a board that Eyelet booted itself.
    is_booting: bool,
    looked_at: Instant,
    looks_left: u32,
    /// What is missing was logged.
    is_told: bool,
}

impl Search {
    fn new(sys: &Path, is_booting: bool) -> Self {
        Self {
            sys: sys.to_owned(),
            is_booting,
            looked_at: Instant::now(),
            looks_left: LOOKS,
            is_told: false,
        }
    }
}

impl Care {
    /// Without a watchdog: `eyelet run` at a desk, and tests.
    pub fn unwatched(policy: Policy) -> Self {
        Self {
            heartbeat: Box::new(Unwatched),
            is_supervised: false,
            needs_restart_for_frames: false,
            policy,
            health: Health::default(),
            search: None,
            checked_at: None,
            power: Trouble::default(),
            heat: Trouble::default(),
            is_slowed_by_heat: false,
            memory: Trouble::default(),
            displays: Vec::new(),
            boot: None,
        }
    }

    /// Set up from the environment: `NOTIFY_SOCKET` names the service manager's socket, [`boot::VARIABLE`] the boot's file. (And
    /// `EYELET_TEST_HANG_AFTER`, a number of frames, hangs the loop on purpose.)
    ///
    /// # Errors
    /// [`Cause::Output`] when nobody listens at the socket: the watchdog would reset the board for no fault of its own. Not
    /// [`Cause::Policy`], which asks for a reboot: that would not help, and never end.
    pub fn of_environment(policy: Policy) -> Result<Self, Failure> {
        let mut care = Self::unwatched(policy);
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        care.boot = variable(boot::VARIABLE).map(Boot::new);
        let sys = Path::new("/sys");
        care.health = Health::open(sys).or_mailbox(Path::new(health::MAILBOX));
        care.search = Some(Search::new(sys, care.boot.is_some()));
        if let Some(address) = variable("NOTIFY_SOCKET") {
            let notify = Notify::connect(&address).map_err(|error| {
                Failure::new(
                    Cause::Output,
                    format!(
                        "cannot connect to the service manager's socket {address} (NOTIFY_SOCKET): {error}; start the program through the \
                         service manager, or unset NOTIFY_SOCKET to run without one"
                    ),
                )
            })?;
            care.watch(Box::new(notify));
        }
        if let Some(frames) = variable("EYELET_TEST_HANG_AFTER").and_then(|n| n.parse().ok()) {
            let inner = std::mem::replace(&mut care.heartbeat, Box::new(Unwatched));
            care.heartbeat = Box::new(HangsAfter { frames, inner });
        }
        Ok(care)
    }

    /// Reports to `heartbeat` from now on.
    pub fn watch(&mut self, heartbeat: Box<dyn Heartbeat>) {
        self.heartbeat = heartbeat;
        self.is_supervised = true;
    }

    /// Reads the board's health below a folder other than `/sys`.
    pub fn read_health_at(&mut self, sys: &Path) {
        self.health = Health::open(sys);
        self.search = Some(Search::new(sys, false));
    }

    /// Replaces the policy. An armed watchdog stays as it is.
    pub fn follow(&mut self, policy: Policy) {
        if let Some(search) = &mut self.search {
            search.is_told &= policy == self.policy;
        }
        self.policy = policy;
    }

    /// Whether a service manager watches. A watched board waits, as the policy says, for a camera that is missing; at a desk that
    /// is an error at once.
    pub fn is_supervised(&self) -> bool {
        self.is_supervised
    }

    /// Whether the board was booted from a card on which Eyelet is the only program.
    pub fn is_of_a_card(&self) -> bool {
        self.boot.is_some()
    }

    /// Called when the program that sends frames to our standard input can only be restarted together with us. Waiting for frames
    /// is then not reported, so the watchdog restarts both.
    pub fn needs_restart_for_frames(&mut self) {
        self.needs_restart_for_frames = true;
    }

    /// A frame was classified. `is_seen` is false when a display should show it and does not (yet, or any more).
    pub fn finished(&mut self, is_seen: bool) {
        if is_seen {
            self.heartbeat.finished();
        } else {
            self.heartbeat.unseen();
        }
        if let Some(summary) = self.boot.as_mut().and_then(Boot::first_class) {
            log::info!("{summary}");
        }
    }

    /// No usable frame has come for `since`; the loop may keep waiting unless this fails.
    pub fn waiting(&mut self, since: Duration) -> Result<(), Failure> {
        check(self.policy.camera_lost, "camera lost", Some(since))?;
        if !self.needs_restart_for_frames {
            self.heartbeat.waiting();
        }
        Ok(())
    }

    /// Frames come, but for `since` the network has failed on each. The policy for a lost camera holds, but this is not a wait: it is
    /// not reported, so the watchdog has the program started again.
    pub fn failing(&self, since: Duration) -> Result<(), Failure> {
        check(self.policy.camera_lost, "network failing", Some(since))
    }

    /// Reports a problem to the service manager.
    pub fn says(&mut self, words: &str) {
        self.heartbeat.says(words);
    }

    /// Display `index`, called `name`, cannot be opened or written to. Returns true when that is new. It is logged then, and
    /// again when it has lasted long.
    pub fn display_fails(
        &mut self,
        index: usize,
        name: &str,
        serial: &Serial,
        why: &dyn Display,
    ) -> bool {
        let display = self.display(index);
        let is_news = !display.lasts();
        display.set(true);
        let what = format_args!("failed; the serial log continues: {why}");
        display.log(serial, name, &what);
        is_news
    }

    /// That display has shown a picture. Returns true when it had failed before.
    pub fn display_shows(&mut self, index: usize, name: &str, serial: &Serial) -> bool {
        let display = self.display(index);
        let is_news = display.lasts();
        display.set(false);
        display.log(serial, name, &"");
        is_news
    }

    fn display(&mut self, index: usize) -> &mut Trouble {
        if self.displays.len() <= index {
            self.displays.resize_with(index + 1, Trouble::default);
        }
        &mut self.displays[index]
    }

    /// Whether a configured display is missing.
    pub fn is_display_lost(&self) -> bool {
        self.displays.iter().any(Trouble::lasts)
    }

    /// The shortest time between frames; `None` unless something calls for fewer frames per second.
    pub fn frame_period(&self) -> Option<Duration> {
        let policy = &self.policy;
        let wants =
            |trouble: &Trouble, rule: Rule| trouble.lasts() && rule.action == Action::Degrade;
        (wants(&self.heat, policy.hot.rule) || wants(&self.power, policy.power_low))
            .then(|| Duration::from_secs_f32(1.0 / policy.degraded_rate_fps))
    }

    /// Checks the board when a check is due: logs what has changed, and fails when the policy wants a reboot.
    pub fn check(&mut self, usage: Usage, serial: &Serial) -> Result<(), Failure> {
        if self.checked_at.is_some_and(|at| at.elapsed() < PERIOD) {
            return Ok(());
        }
        self.checked_at = Some(Instant::now());
        self.look_for_health();
        let reading = self.health.read();
        self.note(reading, usage);
        let limit = self.policy.hot.at_celsius;
        let degrades = |rule: Rule| match rule.action {
            Action::Degrade => "; fewer frames per second until it is over",
            Action::Retry | Action::Reboot => "",
        };
        let heat = degrades(self.policy.hot.rule);
        if self.is_slowed_by_heat {
            let what = format_args!("the firmware has slowed the processor down{heat}");
            self.heat.log(serial, "heat", &what);
        } else {
            self.heat
                .log(serial, "heat", &format_args!("{limit} °C or more{heat}"));
        }
        let power = degrades(self.policy.power_low);
        self.power.log(
            serial,
            "power",
            &format_args!(
                "the supply's voltage is too low: use a stronger supply and a short cable{power}"
            ),
        );
        let percent = self.policy.memory_low.at_percent;
        self.memory.log(
            serial,
            "memory",
            &format_args!(
                "{percent}% of the pool or more is in use: raise pool_mib in the board file"
            ),
        );
        let policy = &self.policy;
        check(policy.hot.rule, "too hot", self.heat.lasted())?;
        check(policy.power_low, "power too low", self.power.lasted())?;
        check(
            policy.memory_low.rule,
            "memory pool nearly full",
            self.memory.lasted(),
        )?;
        let lost = self.displays.iter().filter_map(Trouble::lasted).max();
        check(policy.display_lost, "display lost", lost)
    }

    /// Looks again for what reports the board's health: while modules are loaded, and a few times more if there is no thermometer.
    /// Logs once what is missing.
    fn look_for_health(&mut self) {
        let Some(search) = &mut self.search else {
            return;
        };
        // Asked first: the last look comes after the last module.
        let was_booting = search.is_booting;
        search.is_booting = was_booting && self.boot.as_mut().is_some_and(Boot::may_bring_more);
        let is_due = search.looks_left > 0
            && !self.health.reports_heat()
            && search.looked_at.elapsed() >= LOOK_PERIOD;
        if was_booting || is_due {
            search.looks_left -= u32::from(is_due);
            search.looked_at = Instant::now();
            self.health
                .look_again(&search.sys, Path::new(health::MAILBOX));
        }
        if search.is_booting || std::mem::replace(&mut search.is_told, true) {
            return;
        }
        let model = std::fs::read_to_string("/proc/device-tree/model").unwrap_or_default();
        let power = health::power_warning(&model, &self.health);
        let heat = health::heat_warning(&self.policy.hot, &self.health);
        for warning in [power, heat].into_iter().flatten() {
            log::warn!("{warning}");
        }
    }

    fn note(&mut self, reading: Reading, usage: Usage) {
        self.power.set(reading.is_power_low());
        self.is_slowed_by_heat = reading.is_slowed_by_heat();
        let limit = self.policy.hot.at_celsius;
        match reading.celsius {
            _ if self.is_slowed_by_heat => self.heat.set(true),
            Some(celsius) if celsius >= limit => self.heat.set(true),
            Some(celsius) if celsius > limit - COOLER_CELSIUS => {}
            _ => self.heat.set(false),
        }
        let percent = u64::from(self.policy.memory_low.at_percent);
        let (live, pool) = (usage.live_bytes as u64, usage.pool_bytes as u64);
        let is_low = pool > 0 && (usage.overflow_bytes > 0 || live * 100 >= pool * percent);
        self.memory.set(is_low);
    }

    /// The words about the board's health that a display shows beside the class; `None` when it is healthy.
    pub fn notice(&self) -> Option<Notice> {
        let words = match () {
            () if self.power.lasts() => "low power",
            () if self.heat.lasts() => "hot",
            () if self.memory.lasts() => "low memory",
            () => return None,
        };
        let mut notice = Notice::new();
        // What does not fit is cut off; that is not an error.
        let _ = notice.write_str(words);
        Some(notice)
    }
}

/// Fails when `rule` wants a reboot for a problem that has lasted this long.
fn check(rule: Rule, what: &str, lasted: Option<Duration>) -> Result<(), Failure> {
    match lasted {
        Some(lasted) if rule.action == Action::Reboot && lasted >= rule.after => Err(Failure::new(
            Cause::Policy,
            format!("policy: {what} for {} s", lasted.as_secs()),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::board::policy::{Hot, MemoryLow};

    const POOL: Usage = Usage {
        pool_bytes: 100 << 20,
        live_bytes: 50 << 20,
        peak_bytes: 0,
        overflow_bytes: 0,
        overflow_peak_bytes: 0,
    };

    fn words(care: &Care) -> Option<String> {
        care.notice().map(|notice| notice.as_str().to_owned())
    }

    fn hot(celsius: f32) -> Reading {
        Reading {
            celsius: Some(celsius),
            ..Reading::default()
        }
    }

    #[test]
    fn heat_lowers_the_rate_until_it_is_clearly_cooler() {
        let default = Policy::default();
        let mut care = Care::unwatched(Policy {
            degraded_rate_fps: 4.0,
            hot: Hot {
                rule: Rule {
                    action: Action::Degrade,
                    ..default.hot.rule
                },
                at_celsius: 80.0,
            },
            ..default
        });
        for (celsius, is_hot) in [
            (79.0, false),
            (80.0, true),
            (76.0, true),
            (75.0, false),
            (78.0, false),
        ] {
            care.note(hot(celsius), POOL);
            assert_eq!(care.frame_period().is_some(), is_hot, "{celsius}");
            assert_eq!(
                words(&care).as_deref(),
                is_hot.then_some("hot"),
                "{celsius}"
            );
        }
        care.note(hot(90.0), POOL);
        assert_eq!(care.frame_period(), Some(Duration::from_millis(250)));
        care.note(Reading::default(), POOL);
        assert_eq!(care.frame_period(), None);
    }

    /// A thermometer in `sys` that shows this many thousandths of a degree.
    fn put_thermometer(sys: &Path, thousandths: u32) {
        let zone = sys.join("class/thermal/thermal_zone0");
        std::fs::create_dir_all(&zone).unwrap();
        std::fs::write(zone.join("type"), "cpu-thermal\n").unwrap();
        std::fs::write(zone.join("temp"), format!("{thousandths}\n")).unwrap();
    }

    #[test]
    fn a_thermometer_whose_module_is_loaded_after_the_start_is_found() {
        let serial = Serial::new(false, Instant::now(), "unknown");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("boot");
        let mut care = Care::unwatched(Policy::default());
        care.boot = Some(Boot::new(&file));
        care.search = Some(Search::new(folder.path(), true));
        // The first class does not end the search.
        care.finished(true);
        let check = |care: &mut Care| {
            care.checked_at = None;
            care.check(POOL, &serial).unwrap();
            words(care)
        };
        assert_eq!(check(&mut care), None);
        let is_told = |care: &Care| care.search.as_ref().unwrap().is_told;
        assert!(!is_told(&care), "the modules are still being loaded");
        // It is the last module's.
        put_thermometer(folder.path(), 90_000);
        let modules = boot::Modules {
            init_at: Duration::ZERO,
            took: Duration::ZERO,
        };
        std::fs::write(&file, modules.to_text()).unwrap();
        assert_eq!(check(&mut care).as_deref(), Some("hot"));
        assert!(is_told(&care));
    }

    #[test]
    fn without_a_thermometer_it_is_looked_for_now_and_then() {
        let serial = Serial::new(false, Instant::now(), "unknown");
        let folder = tempfile::tempdir().unwrap();
        let mut care = Care::unwatched(Policy::default());
        care.read_health_at(folder.path());
        care.check(POOL, &serial).unwrap();
        assert!(care.search.as_ref().unwrap().is_told);
        put_thermometer(folder.path(), 90_000);
        let mut check = |is_due: bool| {
            let search = care.search.as_mut().unwrap();
            if let (true, Some(before)) = (is_due, search.looked_at.checked_sub(LOOK_PERIOD)) {
                search.looked_at = before;
            }
            care.checked_at = None;
            care.check(POOL, &serial).unwrap();
            care.health.reports_heat()
        };
        assert!(!check(false) && check(true) && check(false));
        // Another policy may depend on what is missing.
        care.follow(Policy::default());
        assert!(care.search.as_ref().unwrap().is_told);
        care.follow(Policy {
            degraded_rate_fps: 1.0,
            ..Policy::default()
        });
        assert!(!care.search.as_ref().unwrap().is_told);
    }

    #[test]
    fn a_thermometer_that_does_not_come_is_not_looked_for_for_ever() {
        let serial = Serial::new(false, Instant::now(), "unknown");
        let folder = tempfile::tempdir().unwrap();
        let mut care = Care::unwatched(Policy::default());
        care.read_health_at(folder.path());
        // Whether it is looked for after another period; `None` on a machine that has just started.
        let mut looks = || {
            let search = care.search.as_mut()?;
            let before = search.looked_at.checked_sub(LOOK_PERIOD)?;
            search.looked_at = before;
            care.checked_at = None;
            care.check(POOL, &serial).unwrap();
            Some(care.search.as_ref()?.looked_at > before)
        };
        for _ in 0..LOOKS {
            let Some(it_looks) = looks() else {
                return;
            };
            assert!(it_looks);
        }
        put_thermometer(folder.path(), 90_000);
        let Some(it_looks) = looks() else {
            return;
        };
        assert!(!it_looks);
        assert!(!care.health.reports_heat());
    }

    #[test]
    fn power_is_reported_first_and_a_full_pool_is_noticed() {
        let mut care = Care::unwatched(Policy::default());
        let mut usage = POOL;
        care.note(Reading::default(), usage);
        assert_eq!(words(&care), None);
        usage.live_bytes = 95 << 20;
        care.note(Reading::default(), usage);
        assert_eq!(words(&care).as_deref(), Some("low memory"));
        let mut slowed = Reading {
            slowed: true,
            ..hot(76.0)
        };
        care.note(slowed, usage);
        assert_eq!(words(&care).as_deref(), Some("hot"), "not the supply");
        slowed.undervoltage = true;
        care.note(slowed, usage);
        assert_eq!(words(&care).as_deref(), Some("low power"));
        assert_eq!(care.frame_period(), None, "the default only reports");
    }

    #[test]
    fn the_policy_decides_how_long_a_problem_may_last() {
        let now = Rule {
            action: Action::Reboot,
            after: Duration::ZERO,
        };
        let mut care = Care::unwatched(Policy {
            camera_lost: Rule {
                after: Duration::from_secs(120),
                ..now
            },
            memory_low: MemoryLow {
                rule: now,
                at_percent: 50,
            },
            ..Policy::default()
        });
        assert_eq!(care.waiting(Duration::from_secs(119)), Ok(()));
        let failure = care.waiting(Duration::from_secs(121)).unwrap_err();
        assert_eq!(failure.cause, Cause::Policy);
        assert_eq!(failure.message, "policy: camera lost for 121 s");
        let serial = Serial::new(false, Instant::now(), "unknown");
        let failure = care.check(POOL, &serial).unwrap_err();
        assert_eq!(failure.message, "policy: memory pool nearly full for 0 s");

        let mut care = Care::unwatched(Policy::default());
        assert_eq!(care.waiting(Duration::from_secs(1_000_000)), Ok(()));
        care.display_fails(0, "display", &serial, &"no cable");
        assert_eq!(care.check(POOL, &serial), Ok(()));
    }

    #[test]
    fn one_lost_display_of_two_counts_as_lost_until_it_is_back() {
        let serial = Serial::new(false, Instant::now(), "unknown");
        let rule = Rule {
            action: Action::Reboot,
            after: Duration::ZERO,
        };
        let mut care = Care::unwatched(Policy {
            display_lost: rule,
            ..Policy::default()
        });
        assert!(care.display_fails(1, "display png", &serial, &"full"));
        assert!(!care.display_shows(0, "display framebuffer", &serial));
        assert!(care.is_display_lost());
        let failure = care.check(POOL, &serial).unwrap_err();
        assert_eq!(failure.message, "policy: display lost for 0 s");
        assert!(care.display_shows(1, "display png", &serial));
        assert!(!care.is_display_lost());
        care.checked_at = None;
        assert_eq!(care.check(POOL, &serial), Ok(()));
    }
}
