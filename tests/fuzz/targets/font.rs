//! A font file, as `font` of a board file names it.

use super::{assert_said, file_of};
use eyelet::show::font::Letters;

/// Letters that the program's own font lacks, those of the seeds among them.
const WANTED: &str = "埃及猫、虎斑金毛寻回犬熊 cat";

pub fn run(data: &[u8]) {
    let file = file_of(data, ".ttf", 0);
    match Letters::read(file.path(), WANTED.chars()) {
        Ok(letters) => assert!(letters.count() <= WANTED.chars().count()),
        Err(why) => assert_said(&why),
    }
}
