//! The program's version, readable from its file without running it: images are made on machines that cannot run it.

use std::hint::black_box;

/// How the words begin; the version and a line end follow.
const BEGIN: &str = "eyelet is the program, its version is ";
/// The words.
pub const WORDS: &str = concat!(
    "eyelet is the program, its version is ",
    env!("CARGO_PKG_VERSION"),
    "\n"
);
/// No version is longer.
const LONGEST_BYTES: usize = 40;

/// This program's version, read from the words so that no linker removes them.
pub fn version() -> &'static str {
    black_box(WORDS)
        .strip_prefix(BEGIN)
        .unwrap_or_default()
        .trim_end()
}

/// The version in a program's file; `None` if it is not an eyelet, or one too old to contain it.
pub fn version_in(program: &[u8]) -> Option<String> {
    // The beginning alone appears there too.
    let places = program
        .windows(BEGIN.len())
        .enumerate()
        .filter(|(_, window)| *window == BEGIN.as_bytes());
    places.into_iter().find_map(|(at, _)| {
        let rest = &program[at + BEGIN.len()..];
        let end = rest.iter().take(LONGEST_BYTES).position(|&b| b == b'\n')?;
        let version = std::str::from_utf8(&rest[..end]).ok()?;
        numbers(version).map(|_| version.to_owned())
    })
}

/// Major, minor and patch number of a version, for comparison.
pub fn numbers(version: &str) -> Option<[u64; 3]> {
    let mut numbers = version
        .split(['-', '+'])
        .next()?
        .split('.')
        .map(|number| number.parse().ok());
    let all = [numbers.next()??, numbers.next()??, numbers.next()??];
    numbers.next().is_none().then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_found_in_a_program() {
        assert_eq!(version(), env!("CARGO_PKG_VERSION"));
        let program =
            |words: &str| [b"\x7fELF", BEGIN.as_bytes(), &[0; 9], words.as_bytes()].concat();
        assert_eq!(
            version_in(&program(WORDS)).as_deref(),
            Some(env!("CARGO_PKG_VERSION"))
        );
        let other = format!("{BEGIN}12.0.3-rc1\n...");
        assert_eq!(version_in(&program(&other)).as_deref(), Some("12.0.3-rc1"));
        for none in [
            "",
            BEGIN,
            &format!("{BEGIN}soon\n"),
            &format!("{BEGIN}1.2\n"),
        ] {
            assert_eq!(version_in(&program(none)), None, "{none}");
        }
        assert!(numbers("0.10.0") > numbers("0.9.9"));
    }
}
