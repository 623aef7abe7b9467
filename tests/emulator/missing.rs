//! Why a test cannot run on this machine, and what follows.

#[path = "../common/basics.rs"]
pub mod basics;

use std::fmt;

/// What is missing, and how to get it.
#[derive(Debug)]
pub struct Missing(pub String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `None` after "skipped: why" when something is missing.
///
/// # Panics
/// When the test must not be skipped: `CI` or `EYELET_REQUIRE_BOARD` is set.
pub fn or_skip<T>(result: Result<T, Missing>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(missing) => {
            let required = ["CI", "EYELET_REQUIRE_BOARD"]
                .iter()
                .any(|name| std::env::var_os(name).is_some());
            assert!(!required, "{missing}");
            basics::say_skipped(missing);
            None
        }
    }
}
