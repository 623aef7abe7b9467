//! The first program's loop: starts the classifier, listens to it, and carries out what [`super::supervisor`] decides.

use super::bring_up::{BringUp, LastReboot, Machine, News, PROGRAM};
use super::child;
use super::command_line::CommandLine;
use super::errands::{Departure, Errands};
use super::journal::Journal;
use super::keeper::Keeper;
use super::shell::Shell;
use super::slots::Slots;
use super::supervisor::{Order, Supervisor};
use super::trial::{Change, Trial};
use super::watchdog::Watchdog;
use super::{BOOT_FILE, End, Settings};
use crate::board::policy::Policy;
use crate::update::System;
use crate::{care, clock, poll};
use libc::{SIGINT, SIGPWR, SIGTERM, SIGUSR1, SIGUSR2};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// The socket on which the classifier reports.
const NOTIFY: &str = "/run/eyelet/notify";
/// The loop runs at least this often.
const TICK: Duration = Duration::from_millis(100);
/// At most this many reads of output, and this many datagrams, per turn of the loop.
const PIECES: usize = 32;
/// A module that takes longer is logged.
const SLOW_MODULE: Duration = Duration::from_secs(3);
/// How long a program that was told to exit may take: it blanks electronic paper to white, which takes two refreshes.
const END_PATIENCE: Duration = Duration::from_secs(12);

/// The first program's state.
pub struct First {
    journal: Journal,
    supervisor: Supervisor,
    policy: Policy,
    line: CommandLine,
    news: Receiver<News>,
    /// For card operations that run beside the loop.
    sender: Sender<News>,
    notify: UnixDatagram,
    program: Option<Program>,
    watchdog: Option<Watchdog>,
    are_modules_loaded: bool,
    /// The module being loaded, and since when; `None` once it was logged.
    loading: Option<(PathBuf, Duration)>,
    /// Writes to the data partition, once that was found.
    errands: Option<Errands>,
    slots: Option<Slots>,
    /// The running system's id, if it identifies itself.
    running_id: Option<String>,
    shell: Option<Shell>,
    /// The search for the card is over, whether or not it was found.
    is_card_search_over: bool,
    trial: Trial,
    /// The shutdown that is due.
    departure: Option<Departure>,
    /// The running system is not on trial.
    is_settled: Arc<AtomicBool>,
    reboot: Arc<AtomicBool>,
    power_off: Arc<AtomicBool>,
}

/// The running classifier.
struct Program {
    child: Child,
    /// Both of its output streams, non-blocking.
    output: File,
    /// The last line that began with `eyelet: `: its last words when it ends.
    last_words: String,
    /// The start of an incomplete line.
    partial: Vec<u8>,
}

impl First {
    /// Prepares everything and starts loading the modules.
    ///
    /// # Errors
    /// The system's, when the socket cannot be created.
    pub fn begin(
        mut journal: Journal,
        settings: Settings,
        line: CommandLine,
        trial: Trial,
        system: Option<System>,
    ) -> io::Result<Self> {
        let init_at = clock::now();
        let running_id = system.as_ref().map(|system| system.id.clone());
        std::fs::create_dir_all("/run/eyelet")?;
        let notify = UnixDatagram::bind(NOTIFY)?;
        notify.set_nonblocking(true)?;
        let (sender, news) = channel();
        let is_settled = Arc::new(AtomicBool::new(!trial.is_certain()));
        let bring_up = BringUp {
            machine: Machine::this(),
            init_at,
            line: line.clone(),
            system,
            takes_sticks: settings.takes_sticks,
            is_settled: Arc::clone(&is_settled),
            news: sender.clone(),
        };
        std::thread::Builder::new()
            .name("modules".into())
            .spawn(move || bring_up.run())?;
        let (reboot, power_off) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        for (signal, flag) in [
            (SIGINT, &reboot),
            (SIGTERM, &reboot),
            (SIGUSR1, &power_off),
            (SIGUSR2, &power_off),
            (SIGPWR, &power_off),
        ] {
            if let Err(error) = signal_hook::flag::register(signal, Arc::clone(flag)) {
                journal.log(&format!("cannot handle signal {signal}: {error}"));
            }
        }
        let mut supervisor = Supervisor::new(settings.policy);
        if trial.is_certain() {
            supervisor.begin_trial();
        }
        Ok(Self {
            journal,
            policy: supervisor.policy().clone(),
            supervisor,
            line,
            news,
            sender,
            notify,
            program: None,
            watchdog: None,
            are_modules_loaded: false,
            loading: None,
            errands: None,
            slots: None,
            running_id,
            shell: settings.has_shell.then(Shell::of_this_board),
            is_card_search_over: false,
            trial,
            departure: None,
            is_settled,
            reboot,
            power_off,
        })
    }

    /// Runs until the board shuts down.
    pub fn run(&mut self) -> End {
        loop {
            if self.reboot.load(Ordering::Relaxed) {
                return self.leave("asked to reboot", End::Reboot);
            }
            if self.power_off.load(Ordering::Relaxed) {
                return self.leave("asked to power off", End::PowerOff);
            }
            self.read_news();
            if let Some(end) = self.depart() {
                return end;
            }
            let now = clock::now();
            if self.trial.wants_confirmation(self.is_card_search_over, now) {
                self.confirm();
            }
            let change = self.trial.tick(now);
            self.supervise(change);
            self.log_slow_module();
            self.open_watchdog();
            if let Some(line) = self.shell.as_mut().and_then(Shell::keep_running) {
                self.journal.log(&line);
            }
            self.read_output();
            let mut orders = VecDeque::from(self.receive());
            orders.extend(self.reap());
            self.reap_orphans();
            if self.departure.is_none() {
                orders.extend(self.supervisor.tick(clock::now()));
            }
            while let Some(order) = orders.pop_front() {
                if order == Order::Start {
                    orders.extend(self.start());
                } else {
                    self.execute(order);
                }
            }
            self.journal.show();
            self.wait();
        }
    }

    fn execute(&mut self, order: Order) {
        match order {
            Order::Feed => self.feed(),
            Order::Start => {}
            Order::Log(line) => self.journal.log(&line),
            // The reason of the shutdown that is due must stay.
            Order::Keep(_) | Order::Forget if self.departure.is_some() => {}
            Order::Keep(reason) if self.watchdog.is_none() => {
                self.journal.log(&format!(
                    "{reason}; no hardware watchdog: rebooting by software"
                ));
                self.departure = Some(Departure::new(reason, End::Reboot, clock::now()));
            }
            Order::Keep(reason) => {
                self.journal
                    .log(&format!("{reason}; the watchdog will reset the board"));
                match &self.errands {
                    Some(errands) => drop(errands.keep(&reason, self.journal.to_bytes())),
                    None => self.journal.log("no data partition to save the reason on"),
                }
            }
            Order::Forget => self.forget(),
            Order::Confirm => self.trial.passed(clock::now()),
            Order::Reboot(reason) => {
                let departure = || Departure::new(reason, End::Reboot, clock::now());
                self.departure.get_or_insert_with(departure);
            }
        }
    }

    /// Supervises as in a trial, or no longer.
    fn supervise(&mut self, change: Option<Change>) {
        match change {
            Some(Change::Begin(line)) => {
                self.supervisor.begin_trial();
                self.journal.log(&line);
            }
            Some(Change::End) => self.supervisor.end_trial(),
            None => {}
        }
    }

    /// The slot on trial has proved itself. A slow card may take half a minute to confirm it, and the watchdog must be fed meanwhile,
    /// so a thread does that and sends [`News::Confirmed`] to the loop.
    fn confirm(&self) {
        let (slots, sender) = (self.slots.clone(), self.sender.clone());
        let confirm = move || {
            let confirmed = match &slots {
                Some(slots) => slots.confirm(),
                None => Err("its card was not found".to_owned()),
            };
            // If the receiver is gone, the loop has ended and the board shuts down.
            let _ = sender.send(News::Confirmed(confirmed));
        };
        let thread = std::thread::Builder::new().name("confirm".into());
        if let Err(error) = thread.spawn(confirm) {
            let _ = self.sender.send(News::Confirmed(Err(error.to_string())));
        }
    }

    /// The slot on trial is the default from now on.
    fn settle(&mut self) {
        let seconds = self.policy.trial.as_secs();
        self.journal.log(&format!(
            "trial passed: frames were finished for {seconds} s; this slot boots by default from now on"
        ));
        self.trial.settle();
        self.supervisor.end_trial();
        // Once it has been replaced, a stick that is plugged in may bring it back.
        if let (Some(errands), Some(id)) = (&self.errands, &self.running_id) {
            errands.note_passed(id);
        }
        self.is_settled.store(true, Ordering::Relaxed);
    }

    /// The slot on trial did not become the default.
    fn is_not_confirmed(&mut self, why: &str) {
        let line = format!("cannot confirm the slot on trial: {why}");
        if self.trial.cannot_be_confirmed() {
            let departure = Departure::new(line, End::Reboot, clock::now());
            self.departure = Some(departure);
            return;
        }
        self.journal.log(&format!(
            "{line}; frames are finished, so the board stays up, but if this is a trial the next start is the old system"
        ));
        self.supervisor.end_trial();
    }

    /// Carries out the shutdown that is due, once its reason is saved or cannot be.
    fn depart(&mut self) -> Option<End> {
        let mut departure = self.departure.take()?;
        // Nothing else feeds the watchdog meanwhile, and all of it has a time limit.
        self.feed();
        let now = clock::now();
        let log = || self.journal.to_bytes();
        let is_saved =
            departure.is_saved(self.errands.as_ref(), self.is_card_search_over, now, log);
        let Some(is_saved) = is_saved else {
            self.departure = Some(departure);
            return None;
        };
        // If it was not saved, a message says why.
        self.read_news();
        let reason = departure.reason;
        if !is_saved && self.errands.is_none() {
            self.journal.log("no data partition to save the reason on");
        }
        if !is_saved && self.supervisor.stays_up(&reason, now) {
            self.journal.log(&format!(
                "{reason}; not rebooting: the reason could not be saved, so the next start might reboot again for ever; \
                 restarting the program instead"
            ));
            self.forget();
            return None;
        }
        Some(self.leave(&reason, departure.end))
    }

    /// Deletes the reason for a reboot that will not happen.
    fn forget(&self) {
        if let Some(errands) = &self.errands {
            errands.forget();
        }
    }

    /// The data partition was found.
    fn use_data(&mut self, keeper: Keeper) {
        let sender = self.sender.clone();
        let log = move |line: &str| {
            // If the receiver is gone, the loop has ended and the board shuts down.
            let _ = sender.send(News::Line(line.to_owned()));
        };
        match Errands::begin(keeper, log) {
            Ok(errands) => self.errands = Some(errands),
            Err(error) => {
                self.is_card_search_over = true;
                self.journal.log(&format!(
                    "the data partition cannot be used: cannot start a thread: {error}"
                ));
            }
        }
    }

    fn feed(&mut self) {
        if let Some(watchdog) = &mut self.watchdog
            && let Err(error) = watchdog.feed()
        {
            self.journal
                .log(&format!("cannot feed the watchdog: {error}"));
        }
    }

    /// Ends the classifier and logs why the board shuts down.
    fn leave(&mut self, why: &str, end: End) -> End {
        let word = match end {
            End::Reboot | End::RebootWith(_) => "rebooting",
            End::PowerOff => "powering off",
        };
        self.journal.log(&format!("{word}: {why}"));
        if let Some(mut program) = self.program.take() {
            // SAFETY: the child has not been waited for, so its process id is still valid.
            unsafe { libc::kill(program.child.id() as libc::pid_t, libc::SIGTERM) };
            let until = clock::now() + END_PATIENCE;
            while clock::now() < until && matches!(program.child.try_wait(), Ok(None)) {
                self.read_lines(&mut program);
                self.feed();
                std::thread::sleep(Duration::from_millis(20));
            }
            // A program that hangs in a driver cannot be killed; we do not wait for it.
            let _ = program.child.kill();
            self.read_lines(&mut program);
        }
        self.journal.show();
        if let (End::PowerOff, Some(watchdog)) = (end, self.watchdog.take()) {
            watchdog.disarm();
        }
        end
    }

    /// Handles messages from the other threads.
    fn read_news(&mut self) {
        while let Ok(news) = self.news.try_recv() {
            match news {
                News::Line(line) => self.journal.log(&line),
                News::Loading(module) => self.loading = Some((module, clock::now())),
                News::Loaded(count, took) => {
                    self.are_modules_loaded = true;
                    self.loading = None;
                    let seconds = took.as_secs_f64();
                    self.journal
                        .log(&format!("{count} modules loaded in {seconds:.2} s"));
                }
                News::Data(found) => {
                    self.open_watchdog();
                    match found {
                        Some((keeper, last)) => {
                            self.use_data(keeper);
                            self.log_last_reboot(last);
                        }
                        None => {
                            self.is_card_search_over = true;
                            self.journal
                                .log("no data partition: the reason for a reboot cannot be saved");
                            self.log_last_reboot(LastReboot::Unrecorded);
                        }
                    }
                }
                News::Slots(slots) => {
                    self.slots = Some(slots);
                    self.is_card_search_over = true;
                }
                News::Trial(card) => {
                    let change = self.trial.learn(card);
                    self.supervise(change);
                }
                News::Confirmed(Ok(())) => self.settle(),
                News::Confirmed(Err(why)) => self.is_not_confirmed(&why),
                News::Leave(why, end) => {
                    self.departure = Some(Departure::new(why, end, clock::now()));
                }
            }
        }
    }

    /// A driver that finds its hardware stuck may hold up all modules after it; the log must show that.
    fn log_slow_module(&mut self) {
        if let Some((module, since)) = &self.loading
            && clock::now().saturating_sub(*since) >= SLOW_MODULE
        {
            let line = format!("module {} is still being loaded", module.display());
            self.loading = None;
            self.journal.log(&line);
        }
    }

    fn log_last_reboot(&mut self, last: LastReboot) {
        let by_watchdog = self
            .watchdog
            .as_ref()
            .is_some_and(Watchdog::has_reset_the_board);
        let why = match last {
            LastReboot::Because(reason) => {
                self.supervisor.was_rebooted_for(&reason);
                reason
            }
            LastReboot::Unknown => {
                self.supervisor.was_rebooted_for_an_unknown_reason();
                "unknown, its record could not be read".to_owned()
            }
            LastReboot::Unrecorded if by_watchdog => {
                "watchdog, without a record: the kernel or the first program hung, or frames had come late before"
                    .to_owned()
            }
            LastReboot::Unrecorded => "power, or an external reset".to_owned(),
        };
        self.journal.log(&format!("last reboot: {why}"));
    }

    /// The watchdog's module is one of many; before it is loaded there is no device.
    fn open_watchdog(&mut self) {
        if self.watchdog.is_some() || self.policy.watchdog.is_zero() {
            return;
        }
        match Watchdog::open(Path::new("/dev/watchdog"), self.policy.watchdog) {
            Ok(watchdog) => {
                self.journal
                    .log(&armed(watchdog.timeout, self.policy.watchdog));
                self.supervisor.hardware_allows(watchdog.timeout);
                self.watchdog = Some(watchdog);
            }
            Err(error) if error.kind() == ErrorKind::NotFound && !self.are_modules_loaded => {}
            Err(error) => {
                self.journal.log(&format!(
                    "no hardware watchdog: {error}; a hung board is rebooted by software"
                ));
                // Not tried again until the next start.
                self.policy.watchdog = Duration::ZERO;
            }
        }
    }

    /// Starts the classifier; returns what follows if that fails.
    fn start(&mut self) -> Vec<Order> {
        let now = clock::now();
        self.supervisor.started(now);
        match self.spawn() {
            Ok(program) => {
                self.program = Some(program);
                Vec::new()
            }
            Err(error) => {
                let how = format!("cannot start: {error}");
                self.supervisor.ended(&how, None, now)
            }
        }
    }

    fn spawn(&self) -> io::Result<Program> {
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new(PROGRAM);
        command
            .arg("run")
            .env_clear()
            .env("EYELET_HOME", "/")
            .env("NOTIFY_SOCKET", NOTIFY)
            .env(care::boot::VARIABLE, BOOT_FILE)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        if let Some(level) = &self.line.log {
            command.env("RUST_LOG", format!("off,eyelet={level}"));
        }
        if let Some(frames) = self.line.test_hang_after {
            command.env("EYELET_TEST_HANG_AFTER", frames.to_string());
        }
        let child = command.spawn()?;
        let output = OwnedFd::from(reader);
        // SAFETY: the descriptor is open, and setting its flags has no other effect.
        if unsafe { libc::fcntl(output.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Program {
            child,
            output: File::from(output),
            last_words: String::new(),
            partial: Vec::new(),
        })
    }

    fn receive(&mut self) -> Vec<Order> {
        let mut orders = Vec::new();
        let mut words = [0; 512];
        for _ in 0..PIECES {
            let Ok(length) = self.notify.recv(&mut words) else {
                break;
            };
            let text = String::from_utf8_lossy(&words[..length]);
            orders.extend(self.supervisor.received(&text, clock::now()));
        }
        orders
    }

    fn reap(&mut self) -> Vec<Order> {
        let Some(program) = &mut self.program else {
            return Vec::new();
        };
        let Ok(Some(status)) = program.child.try_wait() else {
            return Vec::new();
        };
        self.read_output();
        let Some(program) = self.program.take() else {
            return Vec::new();
        };
        let how = how_ended(status, &program.last_words);
        self.supervisor.ended(&how, status.code(), clock::now())
    }

    /// A shell's background programs, say, once the shell has ended.
    fn reap_orphans(&self) {
        let program = self.program.as_ref().map(|program| program.child.id());
        let shell = self.shell.as_ref().and_then(Shell::id);
        let own: Vec<u32> = program.into_iter().chain(shell).collect();
        child::reap_orphans(&own);
    }

    fn read_output(&mut self) {
        if let Some(mut program) = self.program.take() {
            self.read_lines(&mut program);
            self.program = Some(program);
        }
    }

    fn read_lines(&mut self, program: &mut Program) {
        let mut text = [0; 4096];
        // A program that writes without end must not starve the loop.
        for _ in 0..PIECES {
            let Ok(length @ 1..) = program.output.read(&mut text) else {
                return;
            };
            self.journal.write(&text[..length]);
            program.note_last_words(&text[..length]);
        }
    }

    /// Sleeps until the classifier sends or writes something, at most for a tick.
    fn wait(&self) {
        let output = self.program.as_ref().map(|program| program.output.as_fd());
        let ended = poll::any_readable([Some(self.notify.as_fd()), output], TICK);
        // A pipe without a writer is always ready; we notice the child's end a moment later.
        if matches!(ended, Ok([_, true])) {
            std::thread::sleep(TICK / 10);
        }
    }
}

impl Program {
    fn note_last_words(&mut self, text: &[u8]) {
        const LONGEST: usize = 1000;
        for &byte in text {
            if byte == b'\n' {
                let line = String::from_utf8_lossy(&self.partial);
                if let Some(words) = line.strip_prefix("eyelet: ") {
                    self.last_words = words.to_owned();
                }
                self.partial.clear();
            } else if self.partial.len() < LONGEST {
                self.partial.push(byte);
            }
        }
    }
}

/// What to log of a watchdog that resets the board after `timeout`, where the policy wants `wanted`.
fn armed(timeout: Duration, wanted: Duration) -> String {
    let seconds = timeout.as_secs();
    let armed = format!("watchdog armed: {seconds} s without a finished frame resets the board");
    match () {
        () if timeout.is_zero() => {
            let seconds = wanted.as_secs();
            format!(
                "watchdog armed: it does not say after how long without a finished frame it resets the board; taken for {seconds} s"
            )
        }
        () if timeout < wanted => {
            format!(
                "{armed} (the hardware allows no more; this replaces policy.watchdog_s in the board file)"
            )
        }
        () => armed,
    }
}

fn how_ended(status: ExitStatus, last_words: &str) -> String {
    if !last_words.is_empty() {
        return last_words.to_owned();
    }
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown reason".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_watchdog_allows_is_logged() {
        let said =
            |timeout, wanted| armed(Duration::from_secs(timeout), Duration::from_secs(wanted));
        let plain = "watchdog armed: 15 s without a finished frame resets the board";
        assert_eq!(said(15, 15), plain);
        assert!(said(15, 60).contains("this replaces policy.watchdog_s"));
        assert!(said(0, 60).ends_with("taken for 60 s"), "{}", said(0, 60));
    }
}
