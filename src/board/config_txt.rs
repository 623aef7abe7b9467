//! Lines of the Raspberry Pi's `config.txt`. Options: "config.txt" in the Raspberry Pi documentation.

/// The values of all lines with `key`, in order.
pub fn values<'a>(lines: &'a [String], key: &str) -> impl DoubleEndedIterator<Item = &'a str> {
    lines.iter().filter_map(move |line| {
        let (name, value) = line.trim().split_once('=')?;
        (name.trim() == key).then(|| value.trim())
    })
}

/// The value of the last line with `key`.
pub fn text<'a>(lines: &'a [String], key: &str) -> Option<&'a str> {
    values(lines, key).next_back()
}

/// The overlays in these lines with their parameters, in order.
pub fn overlays(lines: &[String]) -> impl Iterator<Item = (&str, &str)> {
    let overlays = values(lines, "dtoverlay").map(|value| match value.split_once([',', ':']) {
        Some((name, parameters)) => (name.trim(), parameters),
        None => (value, ""),
    });
    // An empty name ends the parameters of the previous overlay.
    overlays.filter(|(name, _)| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlays_are_named_with_and_without_parameters() {
        let text = "dtoverlay=imx219;dtoverlay=dwc2,dr_mode=host;dtoverlay=;# dtoverlay=x;dtparam=spi=on;dtoverlay=old:a=1";
        let lines: Vec<_> = text.split(';').map(str::to_owned).collect();
        assert_eq!(
            overlays(&lines).collect::<Vec<_>>(),
            [("imx219", ""), ("dwc2", "dr_mode=host"), ("old", "a=1")]
        );
    }
}
