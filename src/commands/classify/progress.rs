//! A progress bar on standard error, if that is a terminal and there are several pictures.

#[cfg(feature = "tools")]
use indicatif::{ProgressBar, ProgressStyle};

/// The bar, if there is one. Dropping it removes it.
pub struct Progress {
    #[cfg(feature = "tools")]
    bar: Option<ProgressBar>,
}

#[cfg(feature = "tools")]
impl Progress {
    /// For this many pictures.
    pub fn of(pictures: usize) -> Self {
        if pictures < 2 {
            return Self { bar: None };
        }
        let bar = ProgressBar::new(pictures as u64);
        let style = ProgressStyle::with_template(
            "[{bar:30}] {pos} of {len} pictures, {per_sec}, {eta} left",
        );
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        // The bar is hidden if there is no terminal.
        let bar = (!bar.is_hidden()).then_some(bar);
        Self { bar }
    }

    /// Prints with the bar out of the way: standard output may be the same terminal.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// One more picture is done.
    pub fn advance(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// All are done: later output on standard error gets its own line.
    pub fn finish(self) {}
}

#[cfg(feature = "tools")]
impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A board's own program has no bar.
#[cfg(not(feature = "tools"))]
impl Progress {
    pub fn of(_pictures: usize) -> Self {
        Self {}
    }

    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        print()
    }

    pub fn advance(&self) {}

    pub fn finish(self) {}
}
