//! Where the values of a resized picture come from, along rows and along columns.

use super::Shape;

/// A value between two of the input's along one axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Between {
    /// The first one's row or column.
    pub first: usize,
    /// The second one's.
    pub second: usize,
    /// Share of the second.
    pub share: f32,
}

/// A resized picture: what each row and column of the result is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Resize {
    /// Copies; any element type.
    Nearest {
        /// The input's row for each of the result.
        rows: Vec<usize>,
        /// The input's column for each of the result.
        columns: Vec<usize>,
    },
    /// Blends of two rows and two columns; float.
    Linear {
        /// For each row of the result.
        rows: Vec<Between>,
        /// For each column of the result.
        columns: Vec<Between>,
    },
}

impl Resize {
    /// Whether it makes a picture of this shape, only from rows and columns that the input has.
    pub fn fits(&self, from: Shape, to: Shape) -> bool {
        let inside = |all: &[usize], size| all.iter().all(|&i| i < size);
        let between = |all: &[Between], size| all.iter().all(|b| b.first.max(b.second) < size);
        let fit = match self {
            Self::Nearest { rows, columns } => {
                inside(rows, from.h)
                    && inside(columns, from.w)
                    && (rows.len(), columns.len()) == (to.h, to.w)
            }
            Self::Linear { rows, columns } => {
                between(rows, from.h)
                    && between(columns, from.w)
                    && (rows.len(), columns.len()) == (to.h, to.w)
            }
        };
        fit && from.c == to.c
    }
}
