//! Decides whether the job is being done, and what to do when it is not. Pure decisions: the first program carries them out.
//!
//! The classifier sends `READY=1` at its first finished frame, and `WATCHDOG=1` with the later ones and while it waits as the policy
//! allows. Only that feeds the hardware watchdog while frames should come. Before the first frame, for the policy's start time, while
//! an ended program waits to be restarted, and where the policy wants no watchdog, it is fed all the same. After two thirds of the
//! watchdog's time without a frame we save the reason; then the hardware resets the board, or we reboot if it fails to.
//!
//! A slot on trial gets no second chance: the board leaves it, by a reset, as soon as its program ends once, or when no frame was
//! finished within the start time or the watchdog's time, whatever the program waits for; a frame that no display shows does not
//! count as finished, unless one was shown a moment ago. The trial has passed when frames were finished for the policy's trial time
//! without a wait.
//!
//! All times are since kernel start.

use crate::Cause;
use crate::board::policy::{Action, Policy};
use crate::care::notify::{CLASSIFYING, UNSEEN, WAITING};
use std::collections::VecDeque;
use std::time::Duration;

/// The hardware is fed this often while the program starts or waits to be restarted.
const FEED_PERIOD: Duration = Duration::from_secs(1);
/// First and longest pause before the program is restarted.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// A program that ran this long had a good start; the next pause is the first one again.
const GOOD_RUN: Duration = Duration::from_secs(120);
/// How long a slot on trial may show nothing once it has shown a frame: a display that could not be written to is opened again
/// within 10 s, and one such fault must not fail the update.
const UNSEEN_PATIENCE: Duration = Duration::from_secs(30);
/// If the hardware should have reset the board this long ago and did not, we reboot.
const HARDWARE_GRACE: Duration = Duration::from_secs(3);
/// After a reset that was expected and did not come, no reason is saved for this long: frames that come just in time, again and
/// again, would wear the card out.
const KEEP_PAUSE: Duration = Duration::from_secs(600);

/// What the first program must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Feed the hardware watchdog.
    Feed,
    /// Start the program.
    Start,
    /// Log this line.
    Log(String),
    /// Save this as the reason for a reset that is about to come.
    Keep(String),
    /// The reset does not come after all: delete the reason.
    Forget,
    /// The trial has passed: make this slot the default and call [`Supervisor::end_trial`], or reboot.
    Confirm,
    /// Save this as the reason, and reboot.
    Reboot(String),
}

#[derive(Debug)]
enum Phase {
    /// Not running; starts at this time.
    Ended { start_at: Duration },
    /// No frame was finished yet; the first one is due by this time.
    Starting { deadline: Duration },
    /// Frames are being finished, the last one at this time.
    Running { beat_at: Duration },
}

/// The state of a slot on trial.
#[derive(Debug)]
struct Trial {
    /// The board's policy, for the time after the trial.
    policy: Policy,
    /// Since when frames were finished without a wait.
    good_since: Option<Duration>,
    /// When a frame was last finished and shown.
    shown_at: Option<Duration>,
    is_passed: bool,
}

/// The job is not being done.
#[derive(Debug)]
struct Failing {
    /// When that was noticed.
    since: Duration,
    /// Whether the reason was saved.
    is_kept: bool,
}

/// Decides what to do when frames do not come.
#[derive(Debug)]
pub struct Supervisor {
    policy: Policy,
    /// The longest time that the hardware watchdog allows.
    hardware_limit: Option<Duration>,
    trial: Option<Trial>,
    phase: Phase,
    started_at: Duration,
    fed_at: Option<Duration>,
    pause: Duration,
    /// When the program ended, most recent times.
    ends: VecDeque<Duration>,
    failing: Option<Failing>,
    /// When it was last noticed that a reason had been saved in vain.
    vain_at: Option<Duration>,
    /// The problem that the program reported last.
    status: String,
    /// The last reboot was because a program ended too often, and no frame was finished since.
    reboot_did_not_help: bool,
}

/// How the reason begins when the board reboots because a program ended too often.
const ENDED: &str = "the program ended";

impl Supervisor {
    /// Orders a start at once.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            hardware_limit: None,
            trial: None,
            phase: Phase::Ended {
                start_at: Duration::ZERO,
            },
            started_at: Duration::ZERO,
            fed_at: None,
            pause: PAUSE.0,
            ends: VecDeque::new(),
            failing: None,
            vain_at: None,
            status: String::new(),
            reboot_did_not_help: false,
        }
    }

    /// The current policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The hardware watchdog resets the board after this long, whatever the policy says.
    pub fn hardware_allows(&mut self, timeout: Duration) {
        self.hardware_limit = Some(timeout).filter(|timeout| !timeout.is_zero());
    }

    /// The time without a finished frame after which the board is reset; zero: never.
    fn watchdog(&self) -> Duration {
        let limit = self.hardware_limit.unwrap_or(Duration::MAX);
        self.policy.watchdog.min(limit)
    }

    /// The running slot is on trial.
    pub fn begin_trial(&mut self) {
        if self.trial.is_some() {
            return;
        }
        self.trial = Some(Trial {
            policy: self.policy.clone(),
            good_since: None,
            shown_at: None,
            is_passed: false,
        });
        self.policy.failures.action = Action::Reboot;
        self.policy.failures.count = 1;
        if self.policy.watchdog.is_zero() {
            self.policy.watchdog = Policy::default().watchdog;
        }
    }

    /// The running slot passed its trial and was confirmed.
    pub fn end_trial(&mut self) {
        if let Some(trial) = self.trial.take() {
            self.policy = trial.policy;
        }
    }

    /// The board was rebooted for this reason. A program that ended too often before the reboot and still does is restarted again
    /// and again, but does not cause another reboot: with a damaged model or board file that would never end.
    pub fn was_rebooted_for(&mut self, reason: &str) {
        self.reboot_did_not_help = reason.starts_with(ENDED);
    }

    /// Why the board was rebooted cannot be read. It may have been the program.
    pub fn was_rebooted_for_an_unknown_reason(&mut self) {
        self.reboot_did_not_help = true;
    }

    /// A reboot was ordered and its reason could not be saved. Returns whether the board stays up and the program is restarted
    /// instead: when it ended too often, because the next start would not know that a reboot did not help.
    pub fn stays_up(&mut self, reason: &str, now: Duration) -> bool {
        let stays = reason.starts_with(ENDED);
        if stays {
            self.reboot_did_not_help = true;
            self.failing = None;
            self.phase = Phase::Ended {
                start_at: now + self.pause,
            };
        }
        stays
    }

    /// The program was started.
    pub fn started(&mut self, now: Duration) {
        self.started_at = now;
        self.status.clear();
        self.phase = Phase::Starting {
            deadline: now + self.policy.start,
        };
    }

    /// The program sent `words`, lines of `KEY=VALUE`.
    pub fn received(&mut self, words: &str, now: Duration) -> Vec<Order> {
        let mut orders = Vec::new();
        let says = |what: &str| words.lines().any(|line| line == what);
        let is_good = !says(WAITING) && !says(UNSEEN);
        let mut counts = true;
        if let Some(trial) = &mut self.trial
            && !is_good
        {
            trial.good_since = None;
            let was_shown = |at: Duration| now - at < UNSEEN_PATIENCE;
            counts = says(UNSEEN) && trial.shown_at.is_some_and(was_shown);
        }
        for line in words.lines() {
            match (line.split_once('='), &mut self.phase) {
                (Some(("READY", "1")), Phase::Starting { .. }) => {
                    self.phase = Phase::Running { beat_at: now };
                    self.reboot_did_not_help = false;
                }
                (Some(("WATCHDOG", "1")), Phase::Running { beat_at }) if counts => {
                    *beat_at = now;
                    // First, because what follows may wait for a slow card.
                    self.fed_at = Some(now);
                    orders.push(Order::Feed);
                    if self.failing.take().is_some_and(|failing| failing.is_kept) {
                        self.vain_at = Some(now);
                        orders.push(Order::Log("frames are being finished again".to_owned()));
                        orders.push(Order::Forget);
                    }
                    orders.extend(self.trial.as_mut().filter(|_| is_good).and_then(|trial| {
                        trial.shown_at = Some(now);
                        let since = *trial.good_since.get_or_insert(now);
                        let passes = !trial.is_passed && now - since >= self.policy.trial;
                        trial.is_passed |= passes;
                        passes.then_some(Order::Confirm)
                    }));
                }
                (Some(("EXTEND_TIMEOUT_USEC", micros)), Phase::Starting { deadline })
                    if self.trial.is_none() =>
                {
                    let more = Duration::from_micros(micros.parse().unwrap_or(0));
                    *deadline = (*deadline).max(now + more);
                }
                (Some(("STATUS", status)), _) => status.clone_into(&mut self.status),
                _ => {}
            }
        }
        orders
    }

    /// The program has ended: `how` describes it, `code` is its exit code if it had one.
    pub fn ended(&mut self, how: &str, code: Option<i32>, now: Duration) -> Vec<Order> {
        if code == Some(Cause::Policy as i32) {
            return vec![Order::Reboot(how.to_owned())];
        }
        let limit = self.policy.failures;
        self.ends.push_back(now);
        self.ends.retain(|&end| now - end <= limit.within);
        while self.ends.len() > limit.count as usize {
            self.ends.pop_front();
        }
        let is_too_often = self.ends.len() == limit.count as usize;
        // It always helps to leave a slot on trial.
        let may_help = self.trial.is_some() || !self.reboot_did_not_help;
        if limit.action == Action::Reboot && is_too_often && may_help {
            let within = limit.within.as_secs();
            let times = limit.count;
            if self.trial.is_some() {
                return vec![Order::Reboot(format!("the slot on trial failed: {how}"))];
            }
            return vec![Order::Reboot(format!(
                "{ENDED} {times} times within {within} s, last time: {how}"
            ))];
        }
        if now - self.started_at >= GOOD_RUN {
            self.pause = PAUSE.0;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE.1);
        self.phase = Phase::Ended {
            start_at: now + pause,
        };
        let again = pause.as_secs();
        let mut orders = vec![Order::Log(format!(
            "{ENDED} ({how}); restarting it in {again} s"
        ))];
        if self.failing.take().is_some_and(|failing| failing.is_kept) {
            self.vain_at = Some(now);
            orders.push(Order::Forget);
        }
        orders
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Duration) -> Vec<Order> {
        let watchdog = self.watchdog();
        let reason = match self.phase {
            Phase::Ended { start_at } if now >= start_at => return vec![Order::Start],
            Phase::Ended { .. } => None,
            Phase::Starting { deadline } => (now >= deadline).then(|| {
                let within = self.policy.start.as_secs();
                format!("no frame was finished within {within} s of the program's start")
            }),
            Phase::Running { beat_at } => (now - beat_at >= watchdog * 2 / 3)
                .then(|| format!("no finished frame for {} s", watchdog.as_secs())),
        };
        let Some(reason) = reason.filter(|_| !watchdog.is_zero()) else {
            return self.feed(now);
        };
        let status = match self.status.as_str() {
            "" | CLASSIFYING => String::new(),
            status => format!(", {status}"),
        };
        let reason = format!("watchdog: {reason}{status}");
        match &self.failing {
            None => {
                let is_kept = self.vain_at.is_none_or(|at| now - at >= KEEP_PAUSE);
                self.failing = Some(Failing {
                    since: now,
                    is_kept,
                });
                is_kept.then_some(Order::Keep(reason)).into_iter().collect()
            }
            // In `Running` a third of the time was left, in `Starting` all of it.
            Some(Failing { since, .. }) if now - *since >= watchdog + HARDWARE_GRACE => {
                vec![Order::Reboot(reason)]
            }
            Some(_) => Vec::new(),
        }
    }

    /// Feeds the watchdog while there is no program that could ask for it, and one that is armed although the policy wants none,
    /// such as after a trial: not every driver can disarm it.
    fn feed(&mut self, now: Duration) -> Vec<Order> {
        let is_running = matches!(self.phase, Phase::Running { .. });
        let is_awaited = is_running && !self.watchdog().is_zero();
        let is_due = self.fed_at.is_none_or(|at| now - at >= FEED_PERIOD);
        if is_awaited || !is_due {
            return Vec::new();
        }
        self.fed_at = Some(now);
        vec![Order::Feed]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn running(at: Duration) -> Supervisor {
        let mut supervisor = Supervisor::new(Policy::default());
        assert_eq!(supervisor.tick(s(1)), [Order::Start]);
        supervisor.started(s(1));
        assert_eq!(
            supervisor.received("READY=1\nSTATUS=classifying\nWATCHDOG=1", at),
            [Order::Feed]
        );
        supervisor
    }

    #[test]
    fn after_the_first_frame_only_finished_frames_feed_the_watchdog() {
        let mut supervisor = running(s(5));
        for second in 6..15 {
            assert_eq!(supervisor.tick(s(second)), []);
        }
        assert_eq!(supervisor.received("STATUS=fine", s(14)), []);
        assert_eq!(
            supervisor.received("EXTEND_TIMEOUT_USEC=99000000", s(14)),
            []
        );
        assert_eq!(supervisor.received("WATCHDOG=1", s(14)), [Order::Feed]);
        assert_eq!(supervisor.tick(s(23)), []);
        let reason = "watchdog: no finished frame for 15 s, fine";
        assert_eq!(supervisor.tick(s(24)), [Order::Keep(reason.into())]);
        for second in 25..42 {
            assert_eq!(supervisor.tick(s(second)), [], "the hardware's turn");
        }
        assert_eq!(supervisor.tick(s(42)), [Order::Reboot(reason.into())]);
    }

    #[test]
    fn a_watchdog_that_allows_less_than_the_policy_decides() {
        let policy = Policy {
            watchdog: s(60),
            ..Policy::default()
        };
        let mut supervisor = Supervisor::new(policy.clone());
        supervisor.hardware_allows(s(15));
        supervisor.started(s(1));
        supervisor.received("READY=1\nWATCHDOG=1", s(5));
        assert_eq!(supervisor.tick(s(14)), []);
        let reason = "watchdog: no finished frame for 15 s";
        assert_eq!(supervisor.tick(s(15)), [Order::Keep(reason.into())]);
        // In a trial and after it as well; one that allows more, or does not know, changes nothing.
        for (timeout, expected) in [(15, 15), (90, 60), (0, 60)] {
            let mut supervisor = Supervisor::new(policy.clone());
            supervisor.begin_trial();
            supervisor.hardware_allows(s(timeout));
            assert_eq!(supervisor.watchdog(), s(expected));
            supervisor.end_trial();
            assert_eq!(supervisor.watchdog(), s(expected));
        }
        let mut never = Supervisor::new(Policy {
            watchdog: Duration::ZERO,
            ..policy
        });
        never.hardware_allows(s(15));
        assert_eq!(never.watchdog(), Duration::ZERO);
    }

    #[test]
    fn frames_that_resume_in_time_delete_the_reason() {
        let mut supervisor = running(s(5));
        let kept = supervisor.tick(s(16));
        assert!(matches!(&kept[..], [Order::Keep(_)]), "{kept:?}");
        let orders = supervisor.received("WATCHDOG=1", s(17));
        assert!(
            matches!(&orders[..], [Order::Feed, Order::Log(_), Order::Forget]),
            "{orders:?}"
        );
        assert_eq!(supervisor.tick(s(20)), []);
    }

    #[test]
    fn frames_that_come_just_in_time_write_the_card_once_in_a_while() {
        let mut supervisor = running(s(5));
        let mut kept = Vec::new();
        let mut fed_at = s(5);
        for second in 6..2000 {
            let mut orders = supervisor.tick(s(second));
            if s(second) - fed_at == s(12) {
                fed_at = s(second);
                orders.extend(supervisor.received("WATCHDOG=1", s(second)));
            }
            for order in orders {
                match order {
                    Order::Keep(_) => kept.push(second),
                    Order::Forget | Order::Log(_) => assert_eq!(kept.last(), Some(&(second - 2))),
                    Order::Feed => {}
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(kept, [15, 627, 1239, 1851], "every 10 minutes or so");
        // If the hardware does not reset the board, the reason is saved all the same.
        let last = fed_at + s(10);
        supervisor.tick(last);
        let orders = supervisor.tick(last + s(18));
        assert!(matches!(&orders[..], [Order::Reboot(_)]), "{orders:?}");
    }

    /// The reason was saved for a reset that does not come: the watchdog is fed while the program waits to be started.
    #[test]
    fn a_program_that_ends_before_the_reset_deletes_the_reason() {
        let mut supervisor = running(s(5));
        let kept = supervisor.tick(s(16));
        assert!(matches!(&kept[..], [Order::Keep(_)]), "{kept:?}");
        let orders = supervisor.ended("signal 11", None, s(17));
        assert!(
            matches!(&orders[..], [Order::Log(_), Order::Forget]),
            "{orders:?}"
        );
        supervisor.started(s(18));
        let orders = supervisor.ended("signal 11", None, s(19));
        assert!(matches!(&orders[..], [Order::Log(_)]), "{orders:?}");
    }

    #[test]
    fn the_first_frame_has_a_deadline_that_a_waiting_program_extends() {
        let mut supervisor = Supervisor::new(Policy::default());
        supervisor.started(s(0));
        assert_eq!(supervisor.tick(s(1)), [Order::Feed]);
        assert_eq!(supervisor.tick(s(1)), []);
        assert_eq!(
            supervisor.received("WATCHDOG=1", s(50)),
            [],
            "not ready yet"
        );
        assert_eq!(
            supervisor.received("EXTEND_TIMEOUT_USEC=30000000", s(50)),
            []
        );
        assert_eq!(supervisor.tick(s(79)), [Order::Feed]);
        let reason = "watchdog: no frame was finished within 60 s of the program's start";
        assert_eq!(supervisor.tick(s(80)), [Order::Keep(reason.into())]);
        assert_eq!(supervisor.tick(s(81)), []);
        assert_eq!(supervisor.tick(s(98)), [Order::Reboot(reason.into())]);
    }

    #[test]
    fn a_program_that_ends_is_restarted_until_it_ended_too_often() {
        let mut supervisor = Supervisor::new(Policy::default());
        let (mut now, mut starts) = (s(1), 0);
        loop {
            match &supervisor.tick(now)[..] {
                [Order::Start] => {
                    starts += 1;
                    supervisor.started(now);
                    let orders = supervisor.ended("exit code 5: no camera", Some(5), now + s(2));
                    match &orders[..] {
                        [Order::Log(_)] => {}
                        [Order::Reboot(why)] => {
                            let expected = "the program ended 10 times within 600 s, last time: exit code 5: no camera";
                            assert_eq!(why, expected);
                            break;
                        }
                        _ => panic!("{orders:?}"),
                    }
                }
                [Order::Feed] | [] => {}
                orders => panic!("{orders:?}"),
            }
            now += s(1);
        }
        assert_eq!(starts, 10);
        assert!(now > s(90), "pauses grow: {now:?}");
    }

    #[test]
    fn rare_ends_and_a_retry_policy_never_reboot() {
        let mut supervisor = Supervisor::new(Policy::default());
        for run in 0..100 {
            supervisor.started(s(run * 200));
            let orders = supervisor.ended("signal 11", None, s(run * 200 + 190));
            let line = "the program ended (signal 11); restarting it in 1 s";
            assert_eq!(orders, [Order::Log(line.into())]);
        }
        let mut supervisor = Supervisor::new(Policy::default());
        supervisor.was_rebooted_for("the program ended 10 times within 600 s, last time: x");
        for run in 0..100 {
            supervisor.started(s(run));
            let orders = supervisor.ended("x", Some(4), s(run));
            assert!(
                matches!(&orders[..], [Order::Log(_)]),
                "one reboot in vain is enough"
            );
        }
        supervisor.started(s(100));
        supervisor.received("READY=1", s(100));
        let orders = supervisor.ended("x", Some(4), s(101));
        assert!(
            matches!(&orders[..], [Order::Reboot(_)]),
            "it had worked: {orders:?}"
        );
        // What cannot be read may have been the same.
        supervisor.was_rebooted_for_an_unknown_reason();
        let orders = supervisor.ended("x", Some(4), s(102));
        assert!(matches!(&orders[..], [Order::Log(_)]), "{orders:?}");
        let mut policy = Policy::default();
        policy.failures.action = Action::Retry;
        let mut supervisor = Supervisor::new(policy);
        for run in 0..100 {
            supervisor.started(s(run));
            assert!(matches!(
                &supervisor.ended("x", Some(4), s(run))[..],
                [Order::Log(_)]
            ));
        }
        assert_eq!(supervisor.ends.len(), 10, "bounded");
    }

    /// Without a data partition no start knows why the one before ended.
    #[test]
    fn a_reboot_whose_reason_is_not_saved_is_not_repeated_for_ever() {
        let mut supervisor = Supervisor::new(Policy::default());
        let mut reboots = 0;
        for run in 0..100 {
            supervisor.started(s(run));
            for order in supervisor.ended("x", Some(4), s(run)) {
                if let Order::Reboot(reason) = order {
                    reboots += 1;
                    assert!(supervisor.stays_up(&reason, s(run)));
                    assert_eq!(supervisor.tick(s(run + 31)), [Order::Start]);
                }
            }
        }
        assert_eq!(reboots, 1, "wanted once, and not carried out");
        supervisor.started(s(200));
        supervisor.received("READY=1", s(200));
        let orders = supervisor.ended("x", Some(4), s(200));
        assert!(matches!(&orders[..], [Order::Reboot(_)]), "it had worked");
        for other in [
            "policy: camera lost for 120 s",
            "watchdog: no frame",
            "the slot on trial failed: x",
        ] {
            assert!(!supervisor.stays_up(other, s(201)), "{other}");
        }
    }

    fn on_trial(policy: Policy) -> Supervisor {
        let mut supervisor = Supervisor::new(policy);
        supervisor.begin_trial();
        supervisor
    }

    #[test]
    fn frames_for_the_stated_time_pass_a_trial_and_waiting_does_not() {
        let policy = Policy {
            watchdog: Duration::ZERO,
            trial: s(20),
            ..Policy::default()
        };
        let mut supervisor = on_trial(policy.clone());
        assert_eq!(supervisor.policy().watchdog, Policy::default().watchdog);
        supervisor.started(s(1));
        supervisor.received("READY=1\nWATCHDOG=1", s(5));
        for second in 6..24 {
            assert_eq!(supervisor.received("WATCHDOG=1", s(second)), [Order::Feed]);
        }
        // The camera was away for a moment, so the time starts over.
        assert_eq!(
            supervisor.received("WATCHDOG=1\nX_EYELET=waiting", s(24)),
            []
        );
        for second in 25..45 {
            assert_eq!(supervisor.received("WATCHDOG=1", s(second)), [Order::Feed]);
        }
        let passed = supervisor.received("WATCHDOG=1", s(45));
        assert_eq!(passed, [Order::Feed, Order::Confirm]);
        assert_eq!(
            supervisor.received("WATCHDOG=1", s(46)),
            [Order::Feed],
            "once"
        );
        assert_eq!(supervisor.tick(s(50)), [], "frames alone feed it");
        supervisor.end_trial();
        assert_eq!(*supervisor.policy(), policy);
        // The hardware stays armed, and the policy wants no reset.
        for second in 51..1000 {
            assert_eq!(supervisor.tick(s(second)), [Order::Feed]);
        }
        assert!(matches!(
            &supervisor.ended("x", None, s(1000))[..],
            [Order::Log(_)]
        ));
    }

    #[test]
    fn waiting_for_a_camera_is_no_heartbeat_in_a_trial() {
        let mut supervisor = on_trial(Policy::default());
        supervisor.started(s(1));
        supervisor.received("READY=1\nWATCHDOG=1", s(5));
        for second in 6..15 {
            assert_eq!(
                supervisor.received("WATCHDOG=1\nX_EYELET=waiting", s(second)),
                []
            );
        }
        assert!(matches!(&supervisor.tick(s(15))[..], [Order::Keep(_)]));
    }

    #[test]
    fn frames_that_no_display_shows_are_heartbeats_but_not_in_a_trial() {
        const FIRST: &str = "READY=1\nSTATUS=waiting for the display\nWATCHDOG=1\nX_EYELET=unseen";
        const LATER: &str = "WATCHDOG=1\nX_EYELET=unseen";
        let mut supervisor = Supervisor::new(Policy::default());
        supervisor.started(s(1));
        assert_eq!(supervisor.received(FIRST, s(5)), [Order::Feed]);
        assert_eq!(supervisor.received(LATER, s(6)), [Order::Feed]);

        let mut supervisor = on_trial(Policy::default());
        supervisor.started(s(1));
        assert_eq!(supervisor.received(FIRST, s(5)), []);
        for second in 6..15 {
            assert_eq!(supervisor.received(LATER, s(second)), []);
            assert_eq!(supervisor.tick(s(second)), []);
        }
        let reason = "watchdog: no finished frame for 15 s, waiting for the display";
        assert_eq!(supervisor.tick(s(15)), [Order::Keep(reason.into())]);
        // A display that appears in time does no harm.
        let mut supervisor = on_trial(Policy::default());
        supervisor.started(s(1));
        assert_eq!(supervisor.received(FIRST, s(5)), []);
        let orders = supervisor.received("STATUS=classifying\nWATCHDOG=1", s(10));
        assert_eq!(orders, [Order::Feed]);
    }

    #[test]
    fn a_display_that_fails_once_in_a_trial_costs_the_time_and_not_the_update() {
        const SHOWN: &str = "WATCHDOG=1";
        const UNSEEN: &str = "WATCHDOG=1\nX_EYELET=unseen";
        let policy = Policy {
            trial: s(20),
            ..Policy::default()
        };
        let begin = || {
            let mut supervisor = on_trial(policy.clone());
            supervisor.started(s(1));
            supervisor.received("READY=1\nWATCHDOG=1", s(5));
            assert_eq!(supervisor.received(SHOWN, s(15)), [Order::Feed]);
            supervisor
        };
        // It is closed and opened again up to 10 s later, and electronic paper takes a few more.
        let mut supervisor = begin();
        for second in 16..30 {
            assert_eq!(supervisor.received(UNSEEN, s(second)), [Order::Feed]);
            assert_eq!(supervisor.tick(s(second)), []);
        }
        for second in 30..50 {
            assert_eq!(supervisor.received(SHOWN, s(second)), [Order::Feed]);
        }
        let passed = supervisor.received(SHOWN, s(50));
        assert_eq!(
            passed,
            [Order::Feed, Order::Confirm],
            "the time starts over"
        );
        // One that stays away fails the trial.
        let mut supervisor = begin();
        let mut kept = None;
        for second in 16..60 {
            let fed = supervisor.received(UNSEEN, s(second));
            assert_eq!(fed.is_empty(), second >= 45, "{second}");
            if !supervisor.tick(s(second)).is_empty() {
                kept.get_or_insert(second);
            }
        }
        assert_eq!(kept, Some(54));
    }

    #[test]
    fn a_trial_ends_at_the_first_failure_and_does_not_wait_for_a_camera() {
        let mut supervisor = on_trial(Policy::default());
        supervisor.was_rebooted_for("the program ended 10 times within 600 s, last time: x");
        supervisor.started(s(1));
        let orders = supervisor.ended("no model", Some(4), s(2));
        let why = "the slot on trial failed: no model";
        assert_eq!(orders, [Order::Reboot(why.into())]);

        // That it is a trial may be known after the record of the last reboot.
        let mut supervisor = Supervisor::new(Policy::default());
        supervisor.was_rebooted_for_an_unknown_reason();
        supervisor.begin_trial();
        supervisor.started(s(1));
        let orders = supervisor.ended("no model", Some(4), s(2));
        assert_eq!(orders, [Order::Reboot(why.into())]);
        // It was none: what is known of the last reboot holds again.
        supervisor.end_trial();
        for run in 0..100 {
            let orders = supervisor.ended("no model", Some(4), s(10 + run));
            assert!(matches!(&orders[..], [Order::Log(_)]), "{orders:?}");
        }

        let mut supervisor = on_trial(Policy::default());
        supervisor.started(s(1));
        assert_eq!(
            supervisor.received("EXTEND_TIMEOUT_USEC=30000000", s(50)),
            []
        );
        assert!(matches!(&supervisor.tick(s(61))[..], [Order::Keep(_)]));
    }

    #[test]
    fn the_policy_reboots_at_once_and_without_a_watchdog_silence_does_not_reboot() {
        let mut supervisor = running(s(5));
        let why = "policy: camera lost for 120 s";
        assert_eq!(
            supervisor.ended(why, Some(14), s(9)),
            [Order::Reboot(why.into())]
        );
        let mut supervisor = Supervisor::new(Policy {
            watchdog: Duration::ZERO,
            ..Policy::default()
        });
        supervisor.started(s(1));
        supervisor.received("READY=1\nWATCHDOG=1", s(2));
        for hours in 1..100 {
            assert_eq!(supervisor.tick(s(hours * 3600)), [Order::Feed]);
        }
    }
}
