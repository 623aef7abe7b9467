//! Rewrites of ONNX graphs as ONNX graphs.
//!
//! ```text
//! forms       replaces operators that later stages would compute wrong
//! dequantise  a quantised graph as a float graph with the same scores
//! outline     a model without the values of its large weights
//! ```

pub mod dequantise;
pub mod forms;
pub mod outline;

/// The operator that rounds a real number to the values that a quantised one can have; attributes `scale`, `low`, `high`.
pub const STEP: &str = "EyeletQuantisationStep";
/// The operator that stands for a segment of the known layers; attribute `segment`.
pub const ISLAND: &str = "EyeletIsland";
