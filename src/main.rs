//! The `eyelet` command.

fn main() {}
