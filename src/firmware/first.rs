//! The first program's loop: it starts the program that classifies, hears it, and does what [`super::oversee`] decides.

use super::bring_up::{BringUp, News, PROGRAM};
use super::command_line::CommandLine;
use super::journal::Journal;
use super::keeper::Keeper;
use super::oversee::{Order, Overseer};
use super::shell::Shell;
use super::slots::Slots;
use super::watchdog::Watchdog;
use super::{BOOT_FILE, Wishes};
use crate::board::policy::Policy;
use crate::update::System;
use crate::{care, clock};
use libc::{SIGINT, SIGPWR, SIGTERM, SIGUSR1, SIGUSR2};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Where the program tells how it is.
const NOTIFY: &str = "/run/eyelet/notify";
/// At least this often the loop turns.
const TICK: Duration = Duration::from_millis(100);
/// So many pieces of output, and so many datagrams, are taken in one turn at the most.
const PIECES: usize = 32;
/// A module that takes longer is told.
const SLOW_MODULE: Duration = Duration::from_secs(3);
/// So long a reboot waits for the data partition, to keep its reason there.
const KEEP_PATIENCE: Duration = Duration::from_secs(6);
/// What a program that is told to end may take: paper is made white, which takes two refreshes.
const END_PATIENCE: Duration = Duration::from_secs(12);

/// How the board is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Start again.
    Reboot,
    /// Start again, and tell the boot loader this.
    RebootWith(&'static str),
    /// Switch off.
    PowerOff,
}

/// Everything that the first program holds.
pub struct First {
    journal: Journal,
    overseer: Overseer,
    policy: Policy,
    line: CommandLine,
    news: Receiver<News>,
    /// For what this program asks of the card beside its loop.
    sender: Sender<News>,
    notify: UnixDatagram,
    program: Option<Program>,
    watchdog: Option<Watchdog>,
    are_modules_loaded: bool,
    /// The module that is being loaded, and since when; `None` once that was told.
    loading: Option<(PathBuf, Duration)>,
    keeper: Option<Keeper>,
    slots: Option<Slots>,
    shell: Option<Shell>,
    /// The card was found, or not.
    is_card_sought: bool,
    /// The slot on trial did its job for long enough, and is not confirmed yet.
    is_trial_passed: bool,
    /// Why the board is to reboot, and since when.
    due_reboot: Option<(String, Duration)>,
    /// The running system is not on trial.
    is_settled: Arc<AtomicBool>,
    reboot: Arc<AtomicBool>,
    power_off: Arc<AtomicBool>,
}

/// The running program that classifies.
struct Program {
    child: Child,
    /// Both of its output streams; it does not block.
    output: File,
    /// The last line that began with `eyelet: `, its last words when it ends.
    last_words: String,
    /// The beginning of a line that is not whole yet.
    partial: Vec<u8>,
}

impl First {
    /// Prepares all and begins to load the modules.
    ///
    /// # Errors
    /// The system's, when there is no place for the socket.
    pub fn begin(
        mut journal: Journal,
        wishes: Wishes,
        line: CommandLine,
        system: Option<System>,
    ) -> io::Result<Self> {
        let init_at = clock::now();
        std::fs::create_dir_all("/run/eyelet")?;
        let notify = UnixDatagram::bind(NOTIFY)?;
        notify.set_nonblocking(true)?;
        let (sender, news) = channel();
        let is_settled = Arc::new(AtomicBool::new(!line.is_trial));
        let bring_up = BringUp {
            init_at,
            line: line.clone(),
            system,
            takes_sticks: wishes.takes_sticks,
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
                journal.tell(&format!("signal {signal} cannot be taken: {error}"));
            }
        }
        let mut overseer = Overseer::new(wishes.policy);
        if line.is_trial {
            overseer.begin_trial();
        }
        Ok(Self {
            journal,
            policy: overseer.policy().clone(),
            overseer,
            line,
            news,
            sender,
            notify,
            program: None,
            watchdog: None,
            are_modules_loaded: false,
            loading: None,
            keeper: None,
            slots: None,
            shell: wishes.has_shell.then(Shell::of_this_board),
            is_card_sought: false,
            is_trial_passed: false,
            due_reboot: None,
            is_settled,
            reboot,
            power_off,
        })
    }

    /// Runs until the board is to end.
    pub fn run(&mut self) -> End {
        loop {
            if self.reboot.load(Ordering::Relaxed) {
                return self.leave("asked to reboot", End::Reboot);
            }
            if self.power_off.load(Ordering::Relaxed) {
                return self.leave("asked to power off", End::PowerOff);
            }
            if let Some((why, end)) = self.read_news() {
                self.keep(&why);
                return self.leave(&why, end);
            }
            // Frames may have been finished for long enough before the card was found.
            if self.is_trial_passed && self.is_card_sought {
                self.is_trial_passed = false;
                self.confirm();
            }
            if let Some(reason) = self.take_due_reboot() {
                self.keep(&reason);
                return self.leave(&reason, End::Reboot);
            }
            self.tell_slow_module();
            self.open_watchdog();
            if let Some(line) = self.shell.as_mut().and_then(Shell::tend) {
                self.journal.tell(&line);
            }
            self.read_output();
            let mut orders = VecDeque::from(self.hear());
            orders.extend(self.reap());
            orders.extend(self.overseer.tick(clock::now()));
            while let Some(order) = orders.pop_front() {
                if order == Order::Start {
                    orders.extend(self.start());
                } else if let Some(end) = self.obey(order) {
                    return end;
                }
            }
            self.journal.show();
            self.wait();
        }
    }

    fn obey(&mut self, order: Order) -> Option<End> {
        match order {
            Order::Feed => self.feed(),
            Order::Start => {}
            Order::Tell(line) => self.journal.tell(&line),
            Order::Keep(reason) => {
                self.journal
                    .tell(&format!("{reason}; the watchdog will reset the board"));
                self.keep(&reason);
                if self.watchdog.is_none() {
                    self.journal
                        .tell("there is no hardware watchdog, so it is a reboot");
                    return Some(self.leave(&reason, End::Reboot));
                }
            }
            Order::Forget => {
                if let Some(keeper) = self.keeper.clone() {
                    keeper.forget(|line| self.journal.tell(line));
                }
            }
            Order::Confirm => self.is_trial_passed = true,
            Order::Reboot(reason) => {
                self.feed();
                self.due_reboot.get_or_insert((reason, clock::now()));
            }
        }
        None
    }

    /// The slot on trial has shown that it does the job. A slow card may take seconds for that, in which the watchdog is to be
    /// fed, so it is asked beside the loop, which hears [`News::Confirmed`].
    fn confirm(&self) {
        let (slots, sender) = (self.slots.clone(), self.sender.clone());
        let confirm = move || {
            let confirmed = match &slots {
                Some(slots) => slots.confirm(),
                None => Err("its card was not found".to_owned()),
            };
            // A receiver that has gone has left the loop; the board ends.
            let _ = sender.send(News::Confirmed(confirmed));
        };
        let thread = std::thread::Builder::new().name("confirm".into());
        if let Err(error) = thread.spawn(confirm) {
            let _ = self.sender.send(News::Confirmed(Err(error.to_string())));
        }
    }

    /// The slot on trial is the one that boots from now on.
    fn settle(&mut self) {
        let seconds = self.policy.trial.as_secs();
        self.journal.tell(&format!(
            "trial passed: frames were finished for {seconds} s; this slot is the one that boots from now on"
        ));
        self.overseer.end_trial();
        self.is_settled.store(true, Ordering::Relaxed);
    }

    /// The reason of a reboot that waits for nothing any more. A program may fail before the data partition is found, which is
    /// waited for a little, so that the next start can say why.
    fn take_due_reboot(&mut self) -> Option<String> {
        let can_be_kept = self.keeper.is_some() || self.is_card_sought;
        self.due_reboot
            .take_if(|(_, since)| can_be_kept || clock::now() - *since > KEEP_PATIENCE)
            .map(|(reason, _)| reason)
    }

    fn keep(&mut self, reason: &str) {
        let log = self.journal.to_bytes();
        match self.keeper.clone() {
            Some(keeper) => keeper.keep(reason, &log, |line| self.journal.tell(line)),
            None => self
                .journal
                .tell("there is no data partition to keep the reason on"),
        }
    }

    fn feed(&mut self) {
        if let Some(watchdog) = &mut self.watchdog
            && let Err(error) = watchdog.feed()
        {
            self.journal
                .tell(&format!("the watchdog cannot be fed: {error}"));
        }
    }

    /// Ends the program and says why the board ends.
    fn leave(&mut self, why: &str, end: End) -> End {
        let word = match end {
            End::Reboot | End::RebootWith(_) => "rebooting",
            End::PowerOff => "switching off",
        };
        self.journal.tell(&format!("{word}: {why}"));
        if let Some(mut program) = self.program.take() {
            // SAFETY: the child has not been waited for, so the number is still its own.
            unsafe { libc::kill(program.child.id() as libc::pid_t, libc::SIGTERM) };
            let until = clock::now() + END_PATIENCE;
            while clock::now() < until && matches!(program.child.try_wait(), Ok(None)) {
                self.read_lines(&mut program);
                self.feed();
                std::thread::sleep(Duration::from_millis(20));
            }
            // One that hangs in a driver cannot be ended, and is not waited for.
            let _ = program.child.kill();
            self.read_lines(&mut program);
        }
        self.journal.show();
        if let (End::PowerOff, Some(watchdog)) = (end, self.watchdog.take()) {
            watchdog.disarm();
        }
        end
    }

    /// Takes what the other thread says; why and how the board is to end, if it says so.
    fn read_news(&mut self) -> Option<(String, End)> {
        while let Ok(news) = self.news.try_recv() {
            match news {
                News::Line(line) => self.journal.tell(&line),
                News::Loading(module) => self.loading = Some((module, clock::now())),
                News::Loaded(count, took) => {
                    self.are_modules_loaded = true;
                    self.loading = None;
                    let seconds = took.as_secs_f64();
                    self.journal
                        .tell(&format!("{count} modules loaded in {seconds:.2} s"));
                }
                News::Data(keeper, reason) => {
                    if keeper.is_none() {
                        self.is_card_sought = true;
                        self.journal
                            .tell("no data partition: the reason of a reboot cannot be kept");
                    }
                    self.keeper = keeper;
                    self.open_watchdog();
                    self.tell_last_reboot(reason);
                }
                News::Slots(slots) => {
                    self.slots = Some(slots);
                    self.is_card_sought = true;
                }
                News::Trial => {
                    self.overseer.begin_trial();
                    self.journal
                        .tell("this slot is on trial: it is not yet the one that boots");
                }
                News::Confirmed(Ok(())) => self.settle(),
                News::Confirmed(Err(why)) => {
                    let why = format!("the slot on trial cannot be confirmed: {why}");
                    return Some((why, End::Reboot));
                }
                News::Leave(why, end) => return Some((why, end)),
            }
        }
        None
    }

    /// A driver that finds its hardware stuck may hold up all that come after it; that is to be seen on the log.
    fn tell_slow_module(&mut self) {
        if let Some((module, since)) = &self.loading
            && clock::now().saturating_sub(*since) >= SLOW_MODULE
        {
            let line = format!("module {} is still being loaded", module.display());
            self.loading = None;
            self.journal.tell(&line);
        }
    }

    fn tell_last_reboot(&mut self, reason: Option<String>) {
        let by_watchdog = self
            .watchdog
            .as_ref()
            .is_some_and(Watchdog::has_reset_the_board);
        let why = match reason {
            Some(reason) => {
                self.overseer.was_rebooted_for(&reason);
                reason
            }
            None if by_watchdog => "watchdog: the kernel or the first program hung".to_owned(),
            None => "power, or a reset from outside".to_owned(),
        };
        self.journal.tell(&format!("last reboot: {why}"));
    }

    /// The watchdog's module is one of many; until it is loaded there is no device.
    fn open_watchdog(&mut self) {
        if self.watchdog.is_some() || self.policy.watchdog.is_zero() {
            return;
        }
        match Watchdog::open(Path::new("/dev/watchdog"), self.policy.watchdog) {
            Ok(watchdog) => {
                let seconds = watchdog.timeout.as_secs();
                self.journal.tell(&format!(
                    "watchdog armed: {seconds} s without a finished frame reset the board"
                ));
                if watchdog.timeout < self.policy.watchdog {
                    self.journal.tell(
                        "it knows no longer time; policy.watchdog_s of the board file is longer",
                    );
                }
                self.watchdog = Some(watchdog);
            }
            Err(error) if error.kind() == ErrorKind::NotFound && !self.are_modules_loaded => {}
            Err(error) => {
                self.journal.tell(&format!(
                    "no hardware watchdog: {error}; a board that hangs is rebooted by software"
                ));
                // Asked once more only after the next start.
                self.policy.watchdog = Duration::ZERO;
            }
        }
    }

    /// Starts the program; what follows when it cannot be.
    fn start(&mut self) -> Vec<Order> {
        let now = clock::now();
        self.overseer.started(now);
        match self.spawn() {
            Ok(program) => {
                self.program = Some(program);
                Vec::new()
            }
            Err(error) => {
                let how = format!("it cannot be started: {error}");
                self.overseer.ended(&how, None, now)
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

    fn hear(&mut self) -> Vec<Order> {
        let mut orders = Vec::new();
        let mut words = [0; 512];
        for _ in 0..PIECES {
            let Ok(length) = self.notify.recv(&mut words) else {
                break;
            };
            let text = String::from_utf8_lossy(&words[..length]);
            orders.extend(self.overseer.heard(&text, clock::now()));
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
        self.overseer.ended(&how, status.code(), clock::now())
    }

    fn read_output(&mut self) {
        if let Some(mut program) = self.program.take() {
            self.read_lines(&mut program);
            self.program = Some(program);
        }
    }

    fn read_lines(&mut self, program: &mut Program) {
        let mut text = [0; 4096];
        // A program that writes without end must not keep the loop from turning.
        for _ in 0..PIECES {
            let Ok(length @ 1..) = program.output.read(&mut text) else {
                return;
            };
            self.journal.write(&text[..length]);
            program.note_last_words(&text[..length]);
        }
    }

    /// Sleeps until the program says or writes something, at most for a tick.
    fn wait(&self) {
        let descriptor = |fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        let output = self
            .program
            .as_ref()
            .map_or(-1, |program| program.output.as_raw_fd());
        let mut descriptors = [descriptor(self.notify.as_raw_fd()), descriptor(output)];
        // SAFETY: the array has two entries, of open descriptors or -1, which the kernel passes over.
        let ready =
            unsafe { libc::poll(descriptors.as_mut_ptr(), 2, TICK.as_millis() as libc::c_int) };
        // A pipe whose writer has gone is always ready, and the child's end is seen a moment later.
        if ready > 0 && descriptors[1].revents & libc::POLLHUP != 0 {
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

fn how_ended(status: ExitStatus, last_words: &str) -> String {
    if !last_words.is_empty() {
        return last_words.to_owned();
    }
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no reason known".to_owned(),
    }
}
