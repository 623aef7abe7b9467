//! The free space that an arrangement takes its places from.

use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;

/// A fraction of a length.
#[derive(Debug, Clone, Copy)]
pub struct Part(pub i32, pub i32);

impl Part {
    /// This fraction of `length`, in whole pixels.
    pub const fn of(self, length: i32) -> i32 {
        length * self.0 / self.1
    }
}

/// A rectangle that is consumed from its sides.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    pub left: i32,
    pub top: i32,
    pub right: i32,
    pub bottom: i32,
}

impl Room {
    /// The whole display.
    pub fn of(width_px: u32, height_px: u32) -> Self {
        Self {
            left: 0,
            top: 0,
            right: width_px as i32,
            bottom: height_px as i32,
        }
    }

    pub fn width(&self) -> i32 {
        (self.right - self.left).max(0)
    }

    pub fn height(&self) -> i32 {
        (self.bottom - self.top).max(0)
    }

    pub fn within(mut self, margin: i32) -> Self {
        self.left += margin;
        self.top += margin;
        self.right -= margin;
        self.bottom -= margin;
        self
    }

    /// Takes `height` (at most what is left) from the bottom, and a gap above it.
    pub fn take_bottom(&mut self, height: i32, gap: i32) -> Rectangle {
        let height = height.clamp(0, self.height());
        let taken = Self {
            top: self.bottom - height,
            ..*self
        };
        self.bottom -= height + gap;
        taken.rectangle()
    }

    pub fn take_top(&mut self, height: i32, gap: i32) -> Rectangle {
        let height = height.clamp(0, self.height());
        let taken = Self {
            bottom: self.top + height,
            ..*self
        };
        self.top += height + gap;
        taken.rectangle()
    }

    pub fn take_left(&mut self, width: i32, gap: i32) -> Self {
        let width = width.clamp(0, self.width());
        let taken = Self {
            right: self.left + width,
            ..*self
        };
        self.left += width + gap;
        taken
    }

    pub fn take_right(&mut self, width: i32, gap: i32) -> Self {
        let width = width.clamp(0, self.width());
        let taken = Self {
            left: self.right - width,
            ..*self
        };
        self.right -= width + gap;
        taken
    }

    /// A part of it that is `height` high, vertically centred.
    pub fn middle(mut self, height: i32) -> Rectangle {
        self.take_top((self.height() - height) / 2, 0);
        self.take_top(height, 0)
    }

    pub fn rectangle(&self) -> Rectangle {
        Rectangle::new(
            Point::new(self.left, self.top),
            Size::new(self.width() as u32, self.height() as u32),
        )
    }
}
