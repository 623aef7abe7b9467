//! Eyelet's part of the kernel's command line: words that begin with `eyelet.`; all others belong to the kernel.

use super::card::Kind;
use crate::slot::Slot;
use crate::update::Chooser;

/// The words of `/proc/cmdline`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// `eyelet.slot=a`: the slot that was booted.
    pub slot: Option<Slot>,
    /// `eyelet.trial=1`: it was booted on trial.
    pub is_trial: bool,
    /// `eyelet.loader=pi` or `u-boot`: what read the slot.
    pub loader: Option<Chooser>,
    /// `eyelet.disk=mmc`: the kind of disk that U-Boot read, in its words.
    pub disk: Option<Kind>,
    /// `eyelet.log=debug`: the log level, like `RUST_LOG` for Eyelet alone.
    pub log: Option<String>,
    /// `eyelet.test_hang=after:50`, for tests: hang after this many frames.
    pub test_hang_after: Option<u64>,
    /// Words that begin with `eyelet.` and that we do not know.
    pub unknown: Vec<String>,
}

impl CommandLine {
    /// Parses the words.
    pub fn of_text(text: &str) -> Self {
        let mut line = Self::default();
        for word in text.split_whitespace() {
            let Some(ours) = word.strip_prefix("eyelet.") else {
                continue;
            };
            let (key, value) = ours.split_once('=').unwrap_or((ours, ""));
            match (key, value) {
                ("slot", "a" | "b") => line.slot = Slot::of_letter(value),
                ("loader", name) if name.parse::<Chooser>().is_ok() => {
                    line.loader = name.parse().ok();
                }
                ("disk", name) if !name.is_empty() => line.disk = Some(Kind::of_u_boot(name)),
                ("trial", "0" | "1") => line.is_trial = value == "1",
                ("log", "error" | "warn" | "info" | "debug" | "trace") => {
                    line.log = Some(value.to_owned());
                }
                ("test_hang", after) if frames(after).is_some() => {
                    line.test_hang_after = frames(after);
                }
                _ => line.unknown.push(word.to_owned()),
            }
        }
        line
    }
}

fn frames(after: &str) -> Option<u64> {
    after.strip_prefix("after:")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_words_are_parsed_and_wrong_ones_are_kept_for_the_log() {
        let text = "console=ttyAMA0 eyelet.slot=b root=/dev/ram eyelet.test_hang=after:50 eyelet.log=debug \
                    eyelet.slot=c eyelet.test_hang=soon eyelet.trial eyelet.trial=1 eyelet.shell=1 \
                    eyelet.loader=u-boot eyelet.loader=grub eyelet.disk=mmc\n";
        let unknown = [
            "eyelet.slot=c",
            "eyelet.test_hang=soon",
            "eyelet.trial",
            "eyelet.shell=1",
            "eyelet.loader=grub",
        ];
        assert_eq!(
            CommandLine::of_text(text),
            CommandLine {
                slot: Some(Slot::B),
                is_trial: true,
                loader: Some(Chooser::UBoot),
                disk: Some(Kind::Mmc),
                log: Some("debug".into()),
                test_hang_after: Some(50),
                unknown: unknown.map(String::from).to_vec(),
            }
        );
    }
}
