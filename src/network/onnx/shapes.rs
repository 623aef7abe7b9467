//! Shapes as a file states them, with open axes.

/// The number of scores in an output of shape 1xN, 1xNx1x1 or 1x1x1xN; `None` if the file leaves it open, 1 for a network with
/// two classes.
pub fn score_count(dims: &[Option<usize>]) -> Result<Option<usize>, String> {
    let without_batch = dims.get(1..).unwrap_or_default();
    let without_batch = if dims.len() == 1 { dims } else { without_batch };
    let mut wide = without_batch.iter().filter(|d| **d != Some(1));
    match (wide.next(), wide.next()) {
        (None, _) => Ok(Some(1)),
        (Some(n), None) => Ok(*n),
        (Some(_), Some(_)) if dims.contains(&None) => Ok(None),
        _ => Err(format!(
            "gives an output of shape {}; a classifier gives one score per class, 1xN",
            shape_text(dims)
        )),
    }
}

/// A shape in readable form.
pub fn shape_text(dims: &[Option<usize>]) -> String {
    let dims: Vec<_> = dims
        .iter()
        .map(|d| d.map_or("?".to_owned(), |n| n.to_string()))
        .collect();
    dims.join("x")
}
