//! `eyelet keep`: the data partition, used only by the first program (see `firmware::data`). Not in the list of commands.

use super::print_line;
use crate::firmware::data::{Data, LOG_BYTES};
use crate::{Cause, Failure};
use std::io::{self, Read};
use std::path::PathBuf;

/// Arguments of `eyelet keep`.
#[derive(Debug, clap::Args)]
pub struct Args {
    what: What,
    /// The data partition's block device
    device: PathBuf,
    /// `put`: the reason; `note-tried`, `note-passed`: the id
    #[arg(default_value = "")]
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Print the saved reason
    Tell,
    /// Save REASON, and standard input as the log
    Put,
    /// Delete the reason
    Forget,
    /// Format the volume; the record of tried systems is kept if it can be read
    Format,
    /// Print the record of the systems that were tried
    Tried,
    /// Record that this one was tried
    NoteTried,
    /// Record that this one passed its trial
    NotePassed,
}

/// Performs one operation on the data partition.
pub fn run(args: &Args) -> Result<(), Failure> {
    let because = |cause: Cause, error: io::Error| {
        Failure::new(
            cause,
            format!("data partition {}: {error}", args.device.display()),
        )
    };
    let data = Data::open(&args.device).map_err(|error| because(Cause::Device, error))?;
    let fail = |error: io::Error| match data.is_unusable(&error) {
        true => because(Cause::Volume, error),
        false => because(Cause::Device, error),
    };
    match args.what {
        What::Tell => match data.reason().map_err(fail)? {
            Some(reason) => print_line(reason),
            None => Ok(()),
        },
        What::Put => {
            let mut log = Vec::new();
            let limit = LOG_BYTES as u64 * 2;
            io::stdin()
                .take(limit)
                .read_to_end(&mut log)
                .map_err(fail)?;
            data.keep(&args.reason, &log).map_err(fail)
        }
        What::Forget => data.forget().map_err(fail),
        What::Format => data.format().map_err(fail),
        What::Tried => {
            for id in data.tried().map_err(fail)? {
                print_line(id)?;
            }
            Ok(())
        }
        What::NoteTried => data.note_tried(&args.reason).map_err(fail),
        What::NotePassed => data.note_passed(&args.reason).map_err(fail),
    }
}
