//! How far it is: a bar on standard error, where that is a terminal and there are several pictures.

#[cfg(feature = "tools")]
use indicatif::{ProgressBar, ProgressStyle};

/// The bar, or none. It goes when this is dropped.
pub struct Progress {
    #[cfg(feature = "tools")]
    bar: Option<ProgressBar>,
}

#[cfg(feature = "tools")]
impl Progress {
    /// For so many pictures.
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
        // Hidden is what is no terminal.
        let bar = (!bar.is_hidden()).then_some(bar);
        Self { bar }
    }

    /// Prints something with the bar out of the way: standard output may be the same terminal.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// One picture more is done.
    pub fn advance(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// All are done: what follows on standard error has its line for itself.
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
