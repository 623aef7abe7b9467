//! Lowering operators, a file per family.
//!
//! ```text
//! conv        convolutions, fully connected layers, BatchNormalization
//! arithmetic  activations, sums, products, softmax, concatenation
//! limits      Min and Max with constants
//! sum         sums of any number of operands
//! pool        average and maximum pooling
//! pictures    LocalResponseNormalization and Resize
//! shape       operators that only move or rename values
//! channels    Split, Slice and Gather along channels, the channel shuffle
//! quantised   QuantizeLinear, DequantizeLinear and the QLinear operators
//! tokens      operators of attention: products of computed matrices, Softmax over the last axis
//! norm        LayerNormalization, as one operator or written out as its parts
//! dynamic     DynamicQuantizeLinear and the integer operators after it
//! patterns    operators on values that only stand for something between the operators of a pattern
//! ```

pub(super) mod arithmetic;
pub(super) mod channels;
pub(super) mod conv;
pub(super) mod dynamic;
pub(super) mod limits;
pub(super) mod norm;
pub(super) mod patterns;
pub(super) mod pictures;
pub(super) mod pool;
pub(super) mod quantised;
pub(super) mod shape;
pub(super) mod sum;
pub(super) mod tokens;
