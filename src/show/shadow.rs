//! A panel's current contents, kept in memory in the panel's own orientation and pixel format, so that only what a new drawing
//! changes is pushed. Every display that pushes pixels uses a [`Shadow`]; an unchanged drawing pushes nothing.

use super::canvas::{Canvas, Orientation};
use super::pixel::Packing;
use std::ops::Range;

/// The address granularity of a panel: the edges of a changed rectangle are multiples of these, or are on the panel's own edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Columns. A multiple of 8 if a byte holds eight pixels of a row; the panel's width for whole rows.
    pub x_px: usize,
    /// Rows; 8 for panels whose bytes hold eight pixels of a column.
    pub y_px: usize,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Shadow {
    width_px: usize,
    height_px: usize,
    packing: Packing,
    orientation: Orientation,
    grid: Grid,
    row_bytes: usize,
    /// All rows as last pushed.
    shown: Box<[u8]>,
    /// One row in RGB, and in the panel's pixel format.
    rgb: Box<[u8]>,
    packed: Box<[u8]>,
}

/// A changed rectangle of the panel, with its new pixels.
#[derive(Debug, Clone, Copy)]
pub struct Patch<'a> {
    /// First column.
    pub left_px: usize,
    /// First row.
    pub top_px: usize,
    /// Columns.
    pub width_px: usize,
    /// Rows.
    pub height_px: usize,
    /// Whole rows of the panel, from the patch's first to its last.
    rows: &'a [u8],
    row_bytes: usize,
    part: (usize, usize),
}

impl<'a> Patch<'a> {
    /// The bytes of each row within the rectangle, from the top.
    pub fn rows(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (start, end) = self.part;
        self.rows
            .chunks_exact(self.row_bytes)
            .map(move |row| &row[start..end])
    }

    /// All bytes as one slice, if the rectangle is as wide as the panel.
    pub fn whole_rows(&self) -> Option<&'a [u8]> {
        (self.part == (0, self.row_bytes)).then_some(self.rows)
    }
}

impl Shadow {
    /// For a panel of `width_px` x `height_px` pixels in its memory's orientation (not the drawing's). Its contents are unknown
    /// at first: the first push must be `whole`.
    pub fn new(
        (width_px, height_px): (u32, u32),
        packing: Packing,
        orientation: Orientation,
        grid: Grid,
    ) -> Self {
        let (width_px, height_px) = (width_px as usize, height_px as usize);
        let row_bytes = packing.row_bytes(width_px);
        let zeros = |bytes| vec![0; bytes].into_boxed_slice();
        Self {
            width_px,
            height_px,
            packing,
            orientation,
            grid,
            row_bytes,
            shown: zeros(row_bytes * height_px),
            rgb: zeros(width_px * 3),
            packed: zeros(row_bytes),
        }
    }

    /// The panel's width and height in its memory's orientation.
    pub fn size_px(&self) -> (usize, usize) {
        (self.width_px, self.height_px)
    }

    /// Copies `canvas` and passes what changed (or everything, if `whole`) to `push`, from the top: one patch per run of changed
    /// rows.
    ///
    /// # Errors
    /// The first one from `push`. What the panel shows is then unknown, so the next call must be `whole`.
    pub fn push<E>(
        &mut self,
        canvas: &Canvas,
        whole: bool,
        mut push: impl FnMut(Patch<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut run: Option<Run> = None;
        let mut top = 0;
        while top < self.height_px {
            let bottom = (top + self.grid.y_px).min(self.height_px);
            match self.take_rows(canvas, top..bottom, whole) {
                Some(columns) => {
                    let run = run.get_or_insert(Run {
                        columns: columns.clone(),
                        rows: top..bottom,
                    });
                    run.columns.start = run.columns.start.min(columns.start);
                    run.columns.end = run.columns.end.max(columns.end);
                    run.rows.end = bottom;
                }
                None => {
                    if let Some(run) = run.take() {
                        push(self.patch(&run))?;
                    }
                }
            }
            top = bottom;
        }
        run.map_or(Ok(()), |run| push(self.patch(&run)))
    }

    /// These rows as last pushed, contiguous, [`Packing::row_bytes`] each.
    pub fn rows(&self, rows: Range<usize>) -> &[u8] {
        &self.shown[rows.start * self.row_bytes..rows.end * self.row_bytes]
    }

    /// Copies some rows; returns the changed columns, aligned to the grid.
    fn take_rows(
        &mut self,
        canvas: &Canvas,
        rows: Range<usize>,
        whole: bool,
    ) -> Option<Range<usize>> {
        let mut changed: Option<Range<usize>> = None;
        for y in rows {
            canvas.turned_row(self.orientation, y as u32, &mut self.rgb);
            self.packing.pack(&self.rgb, &mut self.packed);
            let old = &mut self.shown[y * self.row_bytes..][..self.row_bytes];
            let differs = |(old, new): (&u8, &u8)| old != new;
            let first = old.iter().zip(&*self.packed).position(differs);
            let last = old.iter().zip(&*self.packed).rposition(differs);
            let bytes = match (first, last) {
                _ if whole => 0..self.row_bytes,
                (Some(first), Some(last)) => first..last + 1,
                _ => continue,
            };
            old.copy_from_slice(&self.packed);
            let changed = changed.get_or_insert(bytes.clone());
            changed.start = changed.start.min(bytes.start);
            changed.end = changed.end.max(bytes.end);
        }
        let bytes = changed?;
        let columns = self.packing.pixels_of_bytes(bytes);
        let x_px = self.grid.x_px;
        let start = columns.start / x_px * x_px;
        let end = columns.end.div_ceil(x_px) * x_px;
        Some(start..end.min(self.width_px))
    }

    fn patch(&self, run: &Run) -> Patch<'_> {
        let Run { columns, rows } = run;
        Patch {
            left_px: columns.start,
            top_px: rows.start,
            width_px: columns.len(),
            height_px: rows.len(),
            rows: self.rows(rows.clone()),
            row_bytes: self.row_bytes,
            part: (
                self.packing.row_bytes(columns.start),
                self.packing.row_bytes(columns.end),
            ),
        }
    }
}

/// A run of changed rows.
struct Run {
    columns: Range<usize>,
    rows: Range<usize>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::canvas::Rotation;
    use super::super::pixel::Field;
    use super::*;
    use crate::show::Depth;
    use std::convert::Infallible;

    const RGB565: Packing = Packing::Fields {
        bytes: 2,
        red: Field {
            offset: 11,
            length: 5,
        },
        green: Field {
            offset: 5,
            length: 6,
        },
        blue: Field {
            offset: 0,
            length: 5,
        },
        opacity: Field {
            offset: 0,
            length: 0,
        },
    };
    const MONO: Packing = Packing::Mono {
        left_is_high: true,
        set_is_white: true,
    };

    type Places = Vec<(usize, usize, usize, usize)>;

    /// A panel that takes patches in the shadow's own pixel format.
    struct Panel {
        shadow: Shadow,
        bytes: Vec<u8>,
    }

    impl Panel {
        fn new(
            size_px: (u32, u32),
            packing: Packing,
            orientation: Orientation,
            grid: (usize, usize),
        ) -> Self {
            let grid = Grid {
                x_px: grid.0,
                y_px: grid.1,
            };
            let shadow = Shadow::new(size_px, packing, orientation, grid);
            let bytes = vec![0x55; shadow.shown.len()];
            Self { shadow, bytes }
        }

        fn push(&mut self, canvas: &Canvas, whole: bool) -> Places {
            let mut places = Vec::new();
            let (packing, row_bytes) = (self.shadow.packing, self.shadow.row_bytes);
            let pushed = self.shadow.push(canvas, whole, |patch| {
                places.push((patch.left_px, patch.top_px, patch.width_px, patch.height_px));
                assert_eq!(patch.rows().count(), patch.height_px);
                for (row, y) in patch.rows().zip(patch.top_px..) {
                    let at = y * row_bytes + packing.row_bytes(patch.left_px);
                    self.bytes[at..at + row.len()].copy_from_slice(row);
                }
                Ok::<_, Infallible>(())
            });
            pushed.unwrap();
            places
        }
    }

    #[test]
    fn changed_rectangles_lie_on_the_grid_and_an_unchanged_drawing_pushes_nothing() {
        for (packing, grid, first, second) in [
            (RGB565, (1, 1), (9, 3, 4, 1), (30, 38, 1, 2)),
            (RGB565, (60, 1), (0, 3, 60, 1), (0, 38, 60, 2)),
            (MONO, (8, 8), (8, 0, 8, 8), (24, 32, 8, 8)),
        ] {
            let mut panel = Panel::new((60, 40), packing, Orientation::UPRIGHT, grid);
            let mut canvas = Canvas::new(60, 40, Depth::Rgb888);
            assert_eq!(panel.push(&canvas, true), [(0, 0, 60, 40)]);
            assert_eq!(panel.push(&canvas, false), []);
            canvas.set(9, 3, [255; 3]);
            canvas.set(12, 3, [255; 3]);
            canvas.set(30, 38, [255; 3]);
            canvas.set(30, 39, [255; 3]);
            assert_eq!(panel.push(&canvas, false), [first, second]);
            assert_eq!(panel.bytes, &*panel.shadow.shown);
        }
    }

    #[test]
    fn random_drawings_arrive_whole_in_every_orientation() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..300 {
            let size_px = (random.u32(1..70), random.u32(1..70));
            let rotation = Rotation::from_degrees(90 * random.u16(0..4)).unwrap();
            let orientation = Orientation {
                rotation,
                mirror: random.bool(),
            };
            let (packing, x_px) = if random.bool() {
                (RGB565, random.usize(1..9))
            } else {
                (MONO, 8)
            };
            let grid = (x_px, random.usize(1..9));
            let mut panel = Panel::new(size_px, packing, orientation, grid);
            let (width_px, height_px) = rotation.turn(size_px);
            let mut canvas = Canvas::new(width_px, height_px, Depth::Rgb888);
            panel.push(&canvas, true);
            for _ in 0..4 {
                for _ in 0..random.u32(0..4) {
                    let (x, y) = (random.u32(0..width_px), random.u32(0..height_px));
                    canvas.set(x as i32, y as i32, [random.u8(..); 3]);
                }
                panel.push(&canvas, false);
                let mut fresh = Panel::new(size_px, packing, orientation, grid);
                fresh.push(&canvas, true);
                assert_eq!(panel.bytes, fresh.bytes);
            }
        }
    }
}
