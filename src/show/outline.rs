//! Rasterises outlines (glyphs, polygons) to coverage: how much of each pixel is inside, without hinting, with non-zero winding
//! for shapes whose parts do not overlap.
//!
//! Every edge is split at the pixel grid. A piece of edge that falls by `h` within one pixel, at a mean distance `m` from the
//! pixel's left side, adds `h * (1 - m)` to that pixel and `h` to all pixels right of it; so the coverage is the running sum of
//! these increments along a row. All arithmetic is plain `f32`, so pictures are the same on every machine.

/// A point in pixels, y down.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spot {
    x: f32,
    y: f32,
}

/// A box of pixels in which one shape is accumulated. Its buffer is reused for each shape.
#[derive(Debug, Clone)]
pub struct Raster {
    sums: Vec<f32>,
    width_px: usize,
    height_px: usize,
    start: Spot,
    at: Spot,
}

impl Raster {
    /// A raster whose buffer holds shapes of up to this size without growing.
    pub fn new(width_px: u32, height_px: u32) -> Self {
        // One column more than pixels: the right neighbour of the last one.
        let cells = (width_px as usize + 1) * height_px as usize;
        let nowhere = Spot { x: 0.0, y: 0.0 };
        Self {
            sums: Vec::with_capacity(cells),
            width_px: 0,
            height_px: 0,
            start: nowhere,
            at: nowhere,
        }
    }

    /// Begins a shape in an empty box. Anything drawn outside the box is clamped to its edge.
    pub fn begin(&mut self, width_px: u32, height_px: u32) {
        self.width_px = width_px as usize;
        self.height_px = height_px as usize;
        self.sums.clear();
        self.sums.resize((self.width_px + 1) * self.height_px, 0.0);
    }

    /// Begins a closed contour.
    pub fn move_to(&mut self, x: f32, y: f32) {
        self.start = self.inside(x, y);
        self.at = self.start;
    }

    /// A straight edge.
    pub fn line_to(&mut self, x: f32, y: f32) {
        let to = self.inside(x, y);
        self.edge(self.at, to);
        self.at = to;
    }

    /// A quadratic Bézier curve, as straight pieces of about two pixels.
    pub fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let from = self.at;
        let length = (x1 - from.x).abs() + (y1 - from.y).abs() + (x - x1).abs() + (y - y1).abs();
        let pieces = (length / 2.0).clamp(2.0, 32.0) as u32;
        for i in 1..=pieces {
            let t = i as f32 / pieces as f32;
            let (a, b, c) = ((1.0 - t) * (1.0 - t), 2.0 * t * (1.0 - t), t * t);
            self.line_to(a * from.x + b * x1 + c * x, a * from.y + b * y1 + c * y);
        }
    }

    /// A cubic Bézier curve, from the current point over its two control points to its end, as straight pieces of about two
    /// pixels.
    pub fn curve_to(&mut self, points: [(f32, f32); 3]) {
        let from = self.at;
        let [(x1, y1), (x2, y2), (x, y)] = points;
        let length = (x1 - from.x).abs()
            + (y1 - from.y).abs()
            + (x2 - x1).abs()
            + (y2 - y1).abs()
            + (x - x2).abs()
            + (y - y2).abs();
        let pieces = (length / 2.0).clamp(2.0, 32.0) as u32;
        for i in 1..=pieces {
            let t = i as f32 / pieces as f32;
            let s = 1.0 - t;
            let (a, b, c, d) = (s * s * s, 3.0 * s * s * t, 3.0 * s * t * t, t * t * t);
            self.line_to(
                a * from.x + b * x1 + c * x2 + d * x,
                a * from.y + b * y1 + c * y2 + d * y,
            );
        }
    }

    /// Closes the contour.
    pub fn close(&mut self) {
        self.line_to(self.start.x, self.start.y);
    }

    /// Calls back for every pixel that is covered at all: x, y in the box, coverage 1..=255.
    pub fn finish(&self, mut pixel: impl FnMut(u32, u32, u8)) {
        for (y, row) in self.sums.chunks_exact(self.width_px + 1).enumerate() {
            let mut sum = 0.0;
            for (x, change) in row[..self.width_px].iter().enumerate() {
                sum += change;
                let coverage = (sum.abs().min(1.0) * 255.0 + 0.5) as u8;
                if coverage > 0 {
                    pixel(x as u32, y as u32, coverage);
                }
            }
        }
    }

    fn inside(&self, x: f32, y: f32) -> Spot {
        Spot {
            x: x.clamp(0.0, self.width_px as f32),
            y: y.clamp(0.0, self.height_px as f32),
        }
    }

    fn edge(&mut self, from: Spot, to: Spot) {
        let (sign, top, bottom) = if from.y < to.y {
            (1.0, from, to)
        } else {
            (-1.0, to, from)
        };
        let fall = bottom.y - top.y;
        if fall <= 0.0 {
            return;
        }
        let slope = (bottom.x - top.x) / fall;
        let mut piece_top = top;
        for row in top.y as usize..self.height_px {
            let end_y = bottom.y.min((row + 1) as f32);
            let end_x = if end_y < bottom.y {
                top.x + slope * (end_y - top.y)
            } else {
                bottom.x
            };
            self.piece(row, piece_top, Spot { x: end_x, y: end_y }, sign);
            piece_top = Spot { x: end_x, y: end_y };
            if end_y >= bottom.y {
                break;
            }
        }
    }

    /// A piece of edge within one row, split at the columns.
    fn piece(&mut self, row: usize, top: Spot, bottom: Spot, sign: f32) {
        let fall = bottom.y - top.y;
        let (left, right) = (top.x.min(bottom.x), top.x.max(bottom.x));
        let cells = &mut self.sums[row * (self.width_px + 1)..][..=self.width_px];
        let width = right - left;
        let mut x = left;
        loop {
            let column = (x as usize).min(self.width_px - 1);
            let end = right.min((column + 1) as f32);
            let share = if width > 0.0 { (end - x) / width } else { 1.0 };
            let middle = (x + end) / 2.0 - column as f32;
            let height = sign * fall * share;
            cells[column] += height * (1.0 - middle);
            cells[column + 1] += height * middle;
            if end >= right {
                return;
            }
            x = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(raster: &Raster, width: usize) -> Vec<Vec<u8>> {
        let mut rows = vec![vec![0; width]; raster.height_px];
        raster.finish(|x, y, coverage| rows[y as usize][x as usize] = coverage);
        rows
    }

    #[test]
    fn a_rectangle_off_the_grid_covers_its_area() {
        let mut raster = Raster::new(4, 4);
        raster.begin(4, 3);
        raster.move_to(0.5, 1.0);
        raster.line_to(3.0, 1.0);
        raster.line_to(3.0, 2.5);
        raster.line_to(0.5, 2.5);
        raster.close();
        assert_eq!(
            drawn(&raster, 4),
            [[0, 0, 0, 0], [128, 255, 255, 0], [64, 128, 128, 0]]
        );
    }

    #[test]
    fn a_triangle_covers_half_of_its_box_and_a_hole_is_a_hole() {
        let mut raster = Raster::new(20, 20);
        raster.begin(20, 20);
        raster.move_to(0.0, 0.0);
        raster.line_to(20.0, 20.0);
        raster.line_to(0.0, 20.0);
        raster.close();
        let sum = |r: &Raster| {
            drawn(r, 20)
                .iter()
                .flatten()
                .map(|v| u32::from(*v))
                .sum::<u32>()
        };
        assert!(sum(&raster).abs_diff(200 * 255) < 100);
        // The opposite direction: subtracted.
        raster.move_to(2.0, 10.0);
        raster.line_to(2.0, 18.0);
        raster.line_to(8.0, 18.0);
        raster.line_to(8.0, 10.0);
        raster.close();
        let _ = drawn(&raster, 20);
        assert!(sum(&raster).abs_diff((200 - 48) * 255) < 100);
    }

    #[test]
    fn points_outside_the_box_do_no_harm() {
        let mut raster = Raster::new(5, 5);
        raster.begin(5, 5);
        raster.move_to(-9.0, -9.0);
        raster.quad_to(50.0, -20.0, 50.0, 50.0);
        raster.line_to(-7.0, 3.0);
        raster.close();
        assert_eq!(drawn(&raster, 5).len(), 5);
    }
}
