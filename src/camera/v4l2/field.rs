//! How the rows of an interlaced picture lie in memory (`enum v4l2_field`). A camera takes every row at once; an analogue source
//! takes every second row, a field, and those between them a fiftieth or sixtieth of a second later.

use std::fmt;

/// `V4L2_FIELD_*`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field(pub u32);

impl Field {
    /// `V4L2_FIELD_NONE`: not interlaced.
    pub const WHOLE: Self = Self(1);

    /// Whether the rows of a picture lie from top to bottom, with none missing. `V4L2_FIELD_ANY` (0) is no answer: drivers and
    /// parts that leave the field out are not interlaced.
    pub fn is_whole(self) -> bool {
        matches!(self.0, 0 | 1) || self.is_interlaced()
    }

    /// Whether they do, and were taken at two times: what moves has a comb's edge.
    pub fn is_interlaced(self) -> bool {
        matches!(self.0, 4 | 8 | 9)
    }

    /// Whether a sink takes what a source brings, as the kernel's `v4l2_subdev_link_validate_default` sees it: a part that is
    /// not interlaced itself may follow one that is.
    pub fn is_taken_by(self, sink: Self) -> bool {
        self == sink || self.0 == 0 || matches!(sink.0, 0 | 1)
    }
}

impl fmt::Display for Field {
    /// As `media-ctl` and `v4l2-ctl` name them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "any",
            1 => "none",
            2 => "top",
            3 => "bottom",
            4 => "interlaced",
            5 => "seq-tb",
            6 => "seq-bt",
            7 => "alternate",
            8 => "interlaced-tb",
            9 => "interlaced-bt",
            other => return write!(f, "{other}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pictures_with_all_rows_in_order_are_whole() {
        let whole: Vec<u32> = (0..20).filter(|&n| Field(n).is_whole()).collect();
        assert_eq!(whole, [0, 1, 4, 8, 9]);
        let interlaced: Vec<u32> = (0..20).filter(|&n| Field(n).is_interlaced()).collect();
        assert_eq!(interlaced, [4, 8, 9]);
        for (source, sink, taken) in [(1, 1, true), (7, 1, true), (7, 7, true), (1, 7, false)] {
            assert_eq!(Field(source).is_taken_by(Field(sink)), taken);
        }
    }
}
