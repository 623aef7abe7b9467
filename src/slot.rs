//! The two systems on a card: one runs, the other is there for an update or as a fallback.

/// One of the two systems on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The slot that a new image boots.
    A,
    /// The other.
    B,
}

impl Slot {
    /// `a` or `b`.
    pub fn letter(self) -> char {
        match self {
            Self::A => 'a',
            Self::B => 'b',
        }
    }

    /// The slot with that letter.
    pub fn of_letter(letter: &str) -> Option<Self> {
        [Self::A, Self::B]
            .into_iter()
            .find(|slot| letter.chars().eq([slot.letter()]))
    }

    /// Its partition, counted from 1.
    pub fn partition(self) -> usize {
        match self {
            Self::A => 2,
            Self::B => 3,
        }
    }

    /// The other slot.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// On the command line.
impl std::str::FromStr for Slot {
    type Err = &'static str;

    fn from_str(letter: &str) -> Result<Self, Self::Err> {
        Self::of_letter(letter).ok_or("a or b")
    }
}
