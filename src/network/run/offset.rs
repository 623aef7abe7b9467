//! Offsets into the arena, and the only code that turns them into pointers.

use super::Scratch;
use super::threads::share;
use std::ops::{Add, Range};

/// A place in the arena, in bytes from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset(usize);

impl Offset {
    /// `byte` bytes from the start of the arena.
    pub const fn at_byte(byte: usize) -> Self {
        Self(byte)
    }

    /// Bytes from the start.
    pub fn byte(self) -> usize {
        self.0
    }

    /// The same, mutable.
    pub fn byte_mut(&mut self) -> &mut usize {
        &mut self.0
    }

    /// This many bytes further; saturates.
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

/// One thread of the team that runs a step, and the memory it works in.
#[derive(Debug, Clone, Copy)]
pub struct Worker {
    arena: *mut u8,
    /// This thread's scratch memory, part of the arena.
    scratch: *mut u8,
    /// Its number, from 0.
    pub(super) id: usize,
    /// Number of threads.
    pub(super) team: usize,
}

impl Worker {
    /// Worker `id` of `team` in an arena.
    pub(super) fn new(arena: *mut u8, scratch: Scratch, id: usize, team: usize) -> Self {
        Self {
            arena,
            scratch: arena.wrapping_add(scratch.at.0 + id * scratch.bytes_per_thread),
            id,
            team,
        }
    }

    /// Its share of `0..count`, in multiples of `unit`.
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
    /// `at` is inside the arena, or at its end.
    pub(super) unsafe fn pointer(&self, at: Offset) -> *mut u8 {
        // SAFETY: inside the arena.
        unsafe { self.arena.add(at.0) }
    }

    /// # Safety
    /// The `len` bytes from `at` are inside the arena, and nothing writes them while the result lives.
    pub(super) unsafe fn bytes<'a>(&self, at: Offset, len: usize) -> &'a [u8] {
        // SAFETY: inside the arena, all of whose bytes are initialised, and not written during the borrow.
        unsafe { std::slice::from_raw_parts(self.pointer(at), len) }
    }

    /// # Safety
    /// The `len` bytes from `at` are inside the arena, and nothing else uses them while the result lives.
    pub(super) unsafe fn bytes_mut<'a>(&self, at: Offset, len: usize) -> &'a mut [u8] {
        // SAFETY: inside the arena, all of whose bytes are initialised, and used by nothing else during the borrow.
        unsafe { std::slice::from_raw_parts_mut(self.pointer(at), len) }
    }

    /// # Safety
    /// As for [`Worker::bytes`], for `len` floats; `at` is a multiple of 4.
    pub(super) unsafe fn floats<'a>(&self, at: Offset, len: usize) -> &'a [f32] {
        // SAFETY: as in `bytes`; aligned, because the arena begins at a multiple of 64; every bit pattern is a float.
        unsafe { std::slice::from_raw_parts(self.pointer(at).cast(), len) }
    }

    /// # Safety
    /// As for [`Worker::bytes_mut`], for `len` floats; `at` is a multiple of 4.
    pub(super) unsafe fn floats_mut<'a>(&self, at: Offset, len: usize) -> &'a mut [f32] {
        // SAFETY: as in `bytes_mut`; aligned, because the arena begins at a multiple of 64; every bit pattern is a float.
        unsafe { std::slice::from_raw_parts_mut(self.pointer(at).cast(), len) }
    }

    /// # Safety
    /// As for [`Worker::bytes`], for `len` values of half precision; `at` is a multiple of 2.
    pub(super) unsafe fn halves<'a>(&self, at: Offset, len: usize) -> &'a [u16] {
        // SAFETY: as in `bytes`; aligned, because the arena begins at a multiple of 64.
        unsafe { std::slice::from_raw_parts(self.pointer(at).cast(), len) }
    }

    /// # Safety
    /// As for [`Worker::bytes_mut`], for `len` values of half precision; `at` is a multiple of 2.
    pub(super) unsafe fn halves_mut<'a>(&self, at: Offset, len: usize) -> &'a mut [u16] {
        // SAFETY: as in `bytes_mut`; aligned, because the arena begins at a multiple of 64.
        unsafe { std::slice::from_raw_parts_mut(self.pointer(at).cast(), len) }
    }

    /// This worker's pixels of a layer from `x` to `y`, with `c` floats per pixel in both.
    ///
    /// # Safety
    /// As for [`Worker::floats`] and [`Worker::floats_mut`] for all `pixels`, except that other workers use their own.
    pub(super) unsafe fn pixels<'a>(
        &self,
        x: Offset,
        y: Offset,
        pixels: usize,
        c: usize,
    ) -> (&'a [f32], &'a mut [f32]) {
        let part = self.share(pixels, 1);
        let (at, len) = (part.start * c * 4, part.len() * c);
        // SAFETY: its own part of what the caller guarantees.
        unsafe { (self.floats(x + at, len), self.floats_mut(y + at, len)) }
    }
}
