//! Memory aligned for vectors and cache lines.

/// Bytes on a 64-byte boundary, for packed weights and for the arena.
#[derive(Debug, Clone, Default)]
pub struct Aligned {
    lines: Vec<Line>,
}

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

impl Aligned {
    /// At least `len` zero bytes.
    pub fn zeroed(len: usize) -> Self {
        Self {
            lines: vec![Line([0; 64]); len.div_ceil(64)],
        }
    }
    /// The same; `None` if memory is short.
    pub fn try_zeroed(len: usize) -> Option<Self> {
        let mut lines = Vec::new();
        lines.try_reserve_exact(len.div_ceil(64)).ok()?;
        lines.resize(len.div_ceil(64), Line([0; 64]));
        Some(Self { lines })
    }
    /// Length in bytes.
    #[allow(clippy::len_without_is_empty, reason = "no caller needs is_empty")]
    pub fn len(&self) -> usize {
        self.lines.len() * 64
    }
    /// The first byte.
    pub fn as_ptr(&self) -> *const u8 {
        self.lines.as_ptr().cast()
    }
    /// The first byte, mutable.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.lines.as_mut_ptr().cast()
    }
    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: as in `bytes_mut`, and the borrow is shared.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.len()) }
    }
    /// All bytes.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.len();
        // SAFETY: a Line is 64 plain bytes without padding, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), len) }
    }
}
