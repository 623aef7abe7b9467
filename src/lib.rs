//! Eyelet turns an ARM board with a camera into a live image classifier.
//!
//! The modules, in the order in which a frame travels:
//!
//! ```text
//! board      camera, model, display and limits of a board (boards/*.toml)
//! model      a network file and the meaning of its input and output (models/*/model.toml)
//! camera     newest picture, borrowed            -> frame::Frame
//! preprocess colour, crop, resize, normalise     -> spec::Input
//! network    the ONNX file as a runnable plan    -> scores
//! decide     softmax, top-k, smoothing           -> decide::Verdict
//! show       the display and the serial log
//! device     the loop over all of these
//! care       policy, health, and the watchdog over the loop
//! firmware   the first program of a board that has no other system: modules, watchdog, reboot
//! spec       what goes into a network and what comes out: model, network and preprocess share it
//! memory     the fixed pool that all of these allocate from
//! escaped    text from elsewhere, made safe for a terminal
//! image      a whole system for a board in one file (feature `tools`)
//! update     writing the other slot of a card, trying it, confirming it
//! flash      writing that file to a card (feature `tools`)
//! built_in   the shipped network and photos in the program itself (feature `built-in`)
//! named      opening files that a user names: of the right kind, not too long, without blocking
//! fat_volume a FAT volume, checked before it is used
//! guard      what holds a parser or planner that is not ours to a time
//! ```
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
pub mod frame;
pub mod guard;
#[cfg(feature = "tools")]
pub mod image;
mod jpeg;
pub mod limits;
pub mod mbr;
pub mod memory;
pub mod model;
mod named;
pub mod network;
pub mod output;
pub mod panics;
mod poll;
pub mod preprocess;
pub mod show;
pub mod slot;
pub mod spec;
pub mod stats;
pub mod toml_file;
pub mod update;

pub use failure::{Cause, Failure};
