//! Places in the arena, and the only code that makes pointers of them.

use super::threads::share;
use std::ops::{Add, Range};

/// Where something lies in the arena, in bytes from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offset(usize);

impl Offset {
    /// So many bytes after the start.
    pub(crate) const fn at_byte(byte: usize) -> Self {
        Self(byte)
    }

    /// Bytes from the start.
    pub(crate) fn byte(self) -> usize {
        self.0
    }

    /// The same, to change it.
    #[cfg(test)]
    pub(crate) fn byte_mut(&mut self) -> &mut usize {
        &mut self.0
    }

    /// So many bytes further, or as far as can be counted.
    pub(super) fn saturating_add(self, bytes: usize) -> Self {
        Self(self.0.saturating_add(bytes))
    }
}

impl Add<usize> for Offset {
    type Output = Self;
    fn add(self, bytes: usize) -> Self {
        Self(self.0 + bytes)
    }
}

/// A thread of the team that runs a step, and the memory that it works in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Worker {
    arena: *mut u8,
    /// This thread's scratch memory, a part of the arena.
    scratch: *mut u8,
    /// Its number, from 0.
    pub(super) id: usize,
    /// How many threads there are.
    pub(super) team: usize,
}

impl Worker {
    /// Worker `id` of `team` in an arena; the threads' scratch memory begins at `scratch`, so many bytes for each.
    pub(super) fn new(
        arena: *mut u8,
        (scratch, scratch_bytes): (Offset, usize),
        id: usize,
        team: usize,
    ) -> Self {
        Self {
            arena,
            scratch: arena.wrapping_add(scratch.0 + id * scratch_bytes),
            id,
            team,
        }
    }

    /// Its part of `0..count`, a multiple of `unit`.
    pub(super) fn share(&self, count: usize, unit: usize) -> Range<usize> {
        share(count, unit, self.id, self.team)
    }

    /// The first byte of its scratch memory.
    pub(super) fn scratch(&self) -> *mut u8 {
        self.scratch
    }

    /// The byte at `at`.
    ///
    /// # Safety
    /// It is inside the arena, or its end.
    pub(super) unsafe fn pointer(&self, at: Offset) -> *mut u8 {
        // SAFETY: inside the arena.
        unsafe { self.arena.add(at.0) }
    }

    /// # Safety
    /// `len` bytes from `at` on are inside the arena, and nobody writes to them meanwhile.
    pub(super) unsafe fn bytes<'a>(&self, at: Offset, len: usize) -> &'a [u8] {
        // SAFETY: inside the arena, all of whose bytes are initialised, and not written while it is lent.
        unsafe { std::slice::from_raw_parts(self.pointer(at), len) }
    }

    /// # Safety
    /// `len` bytes from `at` on are inside the arena, and nobody else uses them meanwhile.
    pub(super) unsafe fn bytes_mut<'a>(&self, at: Offset, len: usize) -> &'a mut [u8] {
        // SAFETY: inside the arena, all of whose bytes are initialised, and used by nobody else while it is lent.
        unsafe { std::slice::from_raw_parts_mut(self.pointer(at), len) }
    }

    /// # Safety
    /// As for [`Worker::bytes`], for `len` floats; `at` is a multiple of 4.
    pub(super) unsafe fn floats<'a>(&self, at: Offset, len: usize) -> &'a [f32] {
        // SAFETY: as in `bytes`; aligned, for the arena begins on a multiple of 64; every bit pattern is a float.
        unsafe { std::slice::from_raw_parts(self.pointer(at).cast(), len) }
    }

    /// # Safety
    /// As for [`Worker::bytes_mut`], for `len` floats; `at` is a multiple of 4.
    pub(super) unsafe fn floats_mut<'a>(&self, at: Offset, len: usize) -> &'a mut [f32] {
        // SAFETY: as in `bytes_mut`; aligned, for the arena begins on a multiple of 64; every bit pattern is a float.
        unsafe { std::slice::from_raw_parts_mut(self.pointer(at).cast(), len) }
    }

    /// This worker's pixels of a layer from `x` to `y`, `c` floats each in both.
    ///
    /// # Safety
    /// As for [`Worker::floats`] and [`Worker::floats_mut`] for all `pixels`, but that other workers use theirs.
    pub(super) unsafe fn pixels<'a>(
        &self,
        x: Offset,
        y: Offset,
        pixels: usize,
        c: usize,
    ) -> (&'a [f32], &'a mut [f32]) {
        let part = self.share(pixels, 1);
        let (at, len) = (part.start * c * 4, part.len() * c);
        // SAFETY: its own part of what the caller has.
        unsafe { (self.floats(x + at, len), self.floats_mut(y + at, len)) }
    }
}
