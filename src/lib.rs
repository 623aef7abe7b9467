//! Eyelet turns an ARM board with a camera into a live image classifier.
//!
//! The way of a frame:
//!
//! ```text
//! board      camera, model, display and limits of a board (boards/*.toml)
//! model      a network file and the meaning of its input and output (models/*/model.toml)
//! camera     newest picture, borrowed            -> frame
//! frame      one picture as a camera delivers it: format, geometry, bytes, time
//! preprocess colour, crop, resize, normalise     -> spec::Input
//! network    the ONNX file as a runnable plan    -> scores
//! decide     softmax, top-k, smoothing           -> decide::Verdict
//! show       the display and the serial log
//! device     the loop over all of these
//! care       policy, health, and the watchdog over the loop
//! ```
//!
//! Around it:
//!
//! ```text
//! commands   the command line, a file per command
//! firmware   the first program of a board that has no other system: modules, watchdog, reboot
//! image      a whole system for a board in one file (feature `tools`)
//! flash      writing that file to a card (feature `tools`)
//! update     writing the other slot of a card, trying it, confirming it
//! built_in   the shipped network and photos in the program itself (feature `built-in`)
//! ```
//!
//! What they share:
//!
//! ```text
//! spec       what goes into a network and what comes out: model, network and preprocess share it
//! memory     the fixed pool that all of these allocate from
//! limits     the range of every number that a user can set
//! failure    one line for a person and one exit code for a program
//! output     results, and messages about the program itself
//! escaped    text from elsewhere, made safe for a terminal
//! panics     what happens after a panic
//! guard      what holds a parser or planner that is not ours to a time
//! clock      the clocks that stamp frames and measure work
//! stats      how long each stage of a frame takes
//! poll       asks the kernel whether a stream is ready
//! named      opening files that a user names: of the right kind, not too long, without blocking
//! data_roots the folders that may hold boards/ and models/
//! toml_file  reads a TOML file so that every fault is found and reported with its place
//! jpeg       the structure of a JPEG, without decoding it
//! fat_volume a FAT volume, checked before it is used
//! mbr        a disk's partition table
//! slot       the two systems on a card
//! ```
//! `frame`, `jpeg`, `limits`, `preprocess`, `spec` and the inner half of `network` are a package of their own, `compute.rs`.
//! Which of them may import which is the order in `tests/module_order.rs`, which fails for an import from above.

#[cfg(test)]
#[path = "../tests/common/basics.rs"]
mod basics;
pub mod board;
pub mod built_in;
pub mod camera;
pub mod care;
pub mod clock;
pub mod commands;
pub mod data_roots;
pub mod decide;
pub mod device;
pub mod escaped;
pub mod failure;
mod fat_volume;
pub mod firmware;
#[cfg(feature = "tools")]
pub mod flash;
pub mod guard;
#[cfg(feature = "tools")]
pub mod image;
pub mod mbr;
pub mod memory;
pub mod model;
mod named;
pub mod network;
pub mod output;
pub mod panics;
mod poll;
pub mod show;
pub mod slot;
pub mod stats;
pub mod toml_file;
pub mod update;

use eyelet_compute::jpeg;
pub use eyelet_compute::{frame, limits, preprocess, spec};
pub use failure::{Cause, Failure};
