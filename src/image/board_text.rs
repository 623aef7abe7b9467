//! The board file on a card, whose text stays as its owner wrote it, but for the places of files.

use toml::de::DeTable;

/// Where the board file is, and files that it names by relative path.
pub(super) const ETC: &str = "etc/eyelet";

/// The board file's text with a new value for an existing key; everything else, including comments, stays.
pub(super) fn with_text(board_text: &str, key: &[&str], value: impl Into<toml::Value>) -> String {
    let (root, _) = DeTable::parse_recoverable(board_text);
    let (last, tables) = key.split_last().unwrap_or((&"", &[]));
    let table = tables.iter().try_fold(root.get_ref(), |table, name| {
        table.get(*name)?.get_ref().as_table()
    });
    let span = table
        .and_then(|table| table.get(*last))
        .map(toml::Spanned::span);
    match span {
        Some(span) => format!(
            "{}{}{}",
            &board_text[..span.start],
            value.into(),
            &board_text[span.end..]
        ),
        None => board_text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_value_of_a_board_file_is_replaced() {
        let text = "# a board\nmodel = \"old\" # with a remark\n[decide]\nhold_ms = 1\n";
        assert_eq!(
            with_text(text, &["model"], "/models/my \"net\".onnx"),
            "# a board\nmodel = '/models/my \"net\".onnx' # with a remark\n[decide]\nhold_ms = 1\n"
        );
    }

    #[test]
    fn a_key_of_a_table_is_replaced_where_it_is() {
        let key = ["display", "font"];
        for (text, replaced) in [
            (
                "[display]\nfont = 'a.ttf' # mine\n[display.none]\n",
                "[display]\nfont = \"/f\" # mine\n[display.none]\n",
            ),
            ("display.font = \"a.ttf\"\n", "display.font = \"/f\"\n"),
            (
                "font = 'a'\n[display.none]\n",
                "font = 'a'\n[display.none]\n",
            ),
        ] {
            assert_eq!(with_text(text, &key, "/f"), replaced);
        }
    }
}
