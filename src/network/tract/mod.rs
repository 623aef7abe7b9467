//! Runs, with tract, any network that our kernels do not fully support.
//!
//! ```text
//! parse       parses a float model with tract and our own operators
//! plan        tract's plan, and how a frame runs through it
//! islands     the known parts of a network, as our operators in that plan
//! island      such an operator
//! casts       Cast to 64-bit integers
//! checks      refuses sizes and values for which tract computes something else
//! honoured    the attributes that tract honours; others are refused
//! ranks       guards operators of tract that look up axes without a check
//! squares     squares of whole numbers
//! transposed  ConvTranspose whose padding follows from the size of its result
//! ```

mod casts;
mod checks;
mod honoured;
pub(crate) mod island;
pub mod islands;
pub(crate) mod parse;
pub(crate) mod plan;
mod ranks;
mod squares;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod transposed;
