//! Labels that exporters write into one string: a list or a dictionary in Python or JSON (`{0: 'cat', 1: "dog's"}`), or lines.

use crate::limits;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// The labels in `text`, by class; `None` if it is no such string.
pub fn parse(text: &str) -> Option<Vec<String>> {
    let mut reader = Reader(text.trim().chars().peekable());
    let labels = match reader.0.next()? {
        '{' => reader.dictionary()?,
        '[' => reader.list(']')?,
        '(' => reader.list(')')?,
        _ => return lines(text),
    };
    reader.skip_space();
    reader.0.next().is_none().then_some(labels)
}

/// Two lines or more: a single line could be anything.
fn lines(text: &str) -> Option<Vec<String>> {
    let lines = text.trim().lines().map(str::to_owned);
    let lines: Vec<_> = lines.take(limits::CLASS_COUNT.most as usize + 1).collect();
    let count = lines.len() as u64;
    (count > 1 && count <= limits::CLASS_COUNT.most).then_some(lines)
}

struct Reader<'t>(Peekable<Chars<'t>>);

impl Reader<'_> {
    fn skip_space(&mut self) {
        while self.0.next_if(|c| c.is_whitespace()).is_some() {}
    }

    /// Consumes `wanted`, after white space.
    fn takes(&mut self, wanted: char) -> bool {
        self.skip_space();
        self.0.next_if_eq(&wanted).is_some()
    }

    fn list(&mut self, end: char) -> Option<Vec<String>> {
        let mut labels = Vec::new();
        while !self.takes(end) {
            labels.push(self.text()?);
            if labels.len() as u64 > limits::CLASS_COUNT.most {
                return None;
            }
            if !self.takes(',') {
                return self.takes(end).then_some(labels);
            }
        }
        Some(labels)
    }

    /// Classes from 0 on, each once, in any order.
    fn dictionary(&mut self) -> Option<Vec<String>> {
        let mut labels = BTreeMap::new();
        while !self.takes('}') {
            let class = self.class()?;
            if !self.takes(':') || class > limits::CLASS_COUNT.most {
                return None;
            }
            let label = self.text()?;
            if labels.insert(class, label).is_some() {
                return None;
            }
            if !self.takes(',') {
                if !self.takes('}') {
                    return None;
                }
                break;
            }
        }
        let is_whole = labels.keys().zip(0..).all(|(class, place)| *class == place);
        is_whole.then(|| labels.into_values().collect())
    }

    /// A number, with or without quotation marks.
    fn class(&mut self) -> Option<u64> {
        self.skip_space();
        if matches!(self.0.peek(), Some('"' | '\'')) {
            return self.text()?.parse().ok();
        }
        let mut digits = String::new();
        while let Some(digit) = self.0.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        digits.parse().ok()
    }

    /// A string in quotation marks.
    fn text(&mut self) -> Option<String> {
        self.skip_space();
        let mark = self.0.next().filter(|c| matches!(c, '"' | '\''))?;
        let mut text = String::new();
        loop {
            match self.0.next()? {
                c if c == mark => return Some(text),
                '\\' => text.push(self.escaped()?),
                c => text.push(c),
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        let digits = match self.0.next()? {
            c @ ('\\' | '"' | '\'' | '/') => return Some(c),
            'n' => return Some('\n'),
            't' => return Some('\t'),
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => return None,
        };
        let mut unit = || {
            let number: String = self.0.by_ref().take(digits).collect();
            u32::from_str_radix(&number, 16).ok()
        };
        let first = unit()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        // JSON writes characters beyond 16 bits as two escapes.
        if self.0.next()? != '\\' || self.0.next()? != 'u' {
            return None;
        }
        let second: String = self.0.by_ref().take(4).collect();
        let second = u16::from_str_radix(&second, 16).ok()?;
        let units = [u16::try_from(first).ok()?, second];
        char::decode_utf16(units).next()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_python_and_json_are_read() {
        for (text, labels) in [
            ("{0: 'cat', 1: \"dog's\"}", &["cat", "dog's"][..]),
            ("{1: 'dog', 0: 'cat',}", &["cat", "dog"]),
            (r#"{"0": "cat", "1": "Stra\u00dfe"}"#, &["cat", "Straße"]),
            (r#"['a, b', "c", ]"#, &["a, b", "c"]),
            ("('a', 'b')", &["a", "b"]),
            (r#"["\ud83d\ude00", "it\'s"]"#, &["😀", "it's"]),
            ("cat\ndog\r\n", &["cat", "dog"]),
        ] {
            let found = parse(text);
            assert_eq!(
                found.as_deref(),
                Some(labels.map_owned().as_slice()),
                "{text}"
            );
        }
    }

    #[test]
    fn anything_else_is_no_list_of_labels() {
        for text in [
            "",
            "cat",
            "{0: 'cat', 2: 'dog'}",
            "{0: 'cat', 0: 'dog'}",
            "{0: 'cat'",
            "{0: cat}",
            "['a' 'b']",
            "['a', 'b'] + more",
            "['a\\q']",
            "['a\\ud800']",
            "[1, 2]",
            "{99999999999999999999: 'a'}",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        let most = limits::CLASS_COUNT.most as usize;
        assert_eq!(
            parse(&"a\n".repeat(most)).map(|lines| lines.len()),
            Some(most)
        );
        assert_eq!(parse(&"a\n".repeat(most + 1)), None);
    }

    trait MapOwned {
        fn map_owned(&self) -> Vec<String>;
    }

    impl MapOwned for &[&str] {
        fn map_owned(&self) -> Vec<String> {
            self.iter().map(ToString::to_string).collect()
        }
    }
}
