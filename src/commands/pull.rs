//! `eyelet model pull`: downloads a model's file, with a progress bar.

use super::print_line;
use crate::Failure;
use crate::built_in;
use crate::data_roots::DataRoots;
use crate::escaped::Escaped;
use crate::model::Named;
use crate::model::pull::{Limits, Progress, Pulled, pull};
use crate::output;
use indicatif::{ProgressBar, ProgressStyle};

/// Arguments of `eyelet model pull`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A model (`eyelet list models`), or NAME@VARIANT
    name: String,
    /// Fetch it from this folder, file or folder URL instead (also in EYELET_MIRROR)
    #[arg(long, value_name = "FOLDER|URL")]
    from: Option<String>,
}

/// Fetches the model's file.
pub fn run(args: &Args) -> Result<(), Failure> {
    let roots = DataRoots::of_this_machine();
    let named = Named::find(&args.name, &roots)?;
    let mirror = args.from.clone().or_else(|| {
        std::env::var("EYELET_MIRROR")
            .ok()
            .filter(|mirror| !mirror.is_empty())
    });
    let mut bar = Bar::new(named.full_name());
    let pulled = pull(
        &named,
        &roots,
        mirror.as_deref(),
        Limits::default(),
        &mut bar,
    );
    bar.bar.finish_and_clear();
    let (how, path) = match pulled? {
        Pulled::Already(path) => ("was already there", path),
        Pulled::Fetched(path) => ("fetched", path),
    };
    print_line(format_args!(
        "{}: {how}, sha256 checked: {}",
        named.full_name(),
        built_in::shown(&path)
    ))
}

/// A progress bar on a terminal; otherwise one line when a download starts.
struct Bar {
    name: String,
    bar: ProgressBar,
}

impl Bar {
    fn new(name: String) -> Self {
        let bar = ProgressBar::no_length();
        let style = ProgressStyle::with_template(
            "{msg} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        );
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(name.clone());
        Self { name, bar }
    }
}

impl Progress for Bar {
    fn begin(&mut self, source: &str, have: u64, size: u64) {
        if self.bar.is_hidden() {
            let name = &self.name;
            output::eprint_line(format_args!(
                "{name}: {have} of {size} bytes are here, the rest comes from {source}"
            ));
        } else {
            self.bar.println(Escaped(source).to_string());
            self.bar.set_length(size);
            self.bar.set_position(have);
            self.bar.reset_eta();
        }
    }

    fn reached(&mut self, have: u64) {
        self.bar.set_position(have);
    }
}
