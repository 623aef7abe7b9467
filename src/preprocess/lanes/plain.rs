//! The loops in plain Rust: the reference for the others, and the code for other CPUs.

#![cfg_attr(any(target_arch = "aarch64", target_arch = "x86_64"), allow(dead_code))]

use super::bt601::{BLACK, GREY, LUMA, SHIFT, U_BLUE, U_GREEN, V_GREEN, V_RED};
use super::{
    Column, FRACTION_BITS, HORIZONTAL_SHIFT, ROWS, Row, TILE, VERTICAL_SHIFT, Vectors, full_range,
};

/// No vector instructions: for every CPU.
#[derive(Debug, Clone, Copy)]
pub struct Plain;

impl Vectors for Plain {
    type Values = Column;

    #[inline(always)]
    fn vertical_tile(
        self,
        rows: &[Row<'_>; ROWS],
        at: usize,
        stride: usize,
        columns: &mut [Column; TILE],
    ) {
        for (lane, (data, weights)) in rows.iter().enumerate() {
            let mut sums = [1i32 << (VERTICAL_SHIFT - 1); TILE];
            for (row, &weight) in data[at..].chunks(stride).zip(*weights) {
                for (sum, &byte) in sums.iter_mut().zip(&row[..TILE]) {
                    *sum += i32::from(byte) * i32::from(weight);
                }
            }
            for (column, sum) in columns.iter_mut().zip(sums) {
                column[lane] = (sum >> VERTICAL_SHIFT) as i16;
            }
        }
    }

    #[inline(always)]
    fn horizontal<const STEP: usize>(self, columns: &[Column], weights: &[i16]) -> Column {
        let mut sums = [1i32 << (HORIZONTAL_SHIFT - 1); ROWS];
        for (column, &weight) in columns.chunks(STEP).zip(weights) {
            for (sum, &value) in sums.iter_mut().zip(&column[0]) {
                *sum += i32::from(value) * i32::from(weight);
            }
        }
        sums.map(|sum| (sum >> HORIZONTAL_SHIFT) as i16)
    }

    #[inline(always)]
    fn bytes_of(self, values: Column) -> [u8; ROWS] {
        values.map(|value| {
            ((value + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS).clamp(0, 255) as u8
        })
    }

    #[inline(always)]
    fn rgb_of_yuv(self, y: Column, u: Column, v: Column) -> [[u8; ROWS]; 3] {
        let mut rgb = [[0; ROWS]; 3];
        let wide = i32::from;
        for lane in 0..ROWS {
            let y = wide(y[lane] - BLACK) * wide(LUMA) + (1 << (SHIFT - 1));
            let (u, v) = (wide(u[lane] - GREY), wide(v[lane] - GREY));
            let byte = |value: i32| (value >> SHIFT).clamp(0, 255) as u8;
            rgb[0][lane] = byte(y + v * wide(V_RED));
            rgb[1][lane] = byte(y - u * wide(U_GREEN) - v * wide(V_GREEN));
            rgb[2][lane] = byte(y + u * wide(U_BLUE));
        }
        rgb
    }

    #[inline(always)]
    fn rgb_of_full_yuv(self, y: Column, u: Column, v: Column) -> [[u8; ROWS]; 3] {
        let each = |a: Column, b: Column, of: fn(i16, i16) -> i16| {
            std::array::from_fn(|lane| of(a[lane], b[lane]))
        };
        let rgb = full_range(
            [y, u, v],
            [GREY; ROWS],
            |a, b| each(a, b, i16::saturating_add),
            |a, b| each(a, b, i16::saturating_sub),
            |values, part| {
                values.map(|value| ((i32::from(value) * i32::from(part) + (1 << 14)) >> 15) as i16)
            },
        );
        rgb.map(|colour| self.bytes_of(colour))
    }
}

/// [`Vectors::vertical_tile`] for a single byte: for planes that are narrower than a tile.
pub fn vertical_byte(rows: &[Row<'_>; ROWS], at: usize, stride: usize) -> Column {
    rows.map(|(data, weights)| {
        let taps = data[at..].chunks(stride).zip(weights);
        let sum: i32 = taps
            .map(|(row, &weight)| i32::from(row[0]) * i32::from(weight))
            .sum();
        ((sum + (1 << (VERTICAL_SHIFT - 1))) >> VERTICAL_SHIFT) as i16
    })
}
