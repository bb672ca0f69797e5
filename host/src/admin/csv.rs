//! CSV (RFC 4180) for spreadsheets.
//!
//! A text that a spreadsheet would take for a formula, because it begins with `=`, `+`, `-`, `@`, a tab or a line's end, gets a `'` in front; so does one that begins with `'`. Without one
//! leading `'` each text is what it was.

use serde_json::{Map, Value};

pub(super) const CONTENT_TYPE: &str = "text/csv; charset=utf-8; header=present";
const MARKED: [char; 7] = ['=', '+', '-', '@', '\t', '\r', '\''];

/// The line of names.
pub(super) fn header(names: &[&str]) -> String {
    line(names.iter().map(|name| (*name).to_owned()))
}

/// One record, in the order of its fields. What is null is empty.
pub(super) fn record(fields: &Map<String, Value>) -> String {
    line(fields.values().map(cell))
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let mut line = cells.collect::<Vec<_>>().join(",");
    line.push_str("\r\n");
    line
}

fn cell(value: &Value) -> String {
    let Value::String(text) = value else {
        return if value.is_null() { String::new() } else { value.to_string() };
    };
    let mark = if text.starts_with(MARKED) { "'" } else { "" };
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{mark}{}\"", text.replace('"', "\"\"")) } else { format!("{mark}{text}") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// What RFC 4180 says a file means.
    fn read(text: &str) -> Vec<Vec<String>> {
        let (mut records, mut record, mut cell) = (Vec::new(), Vec::new(), String::new());
        let (mut quoted, mut chars) = (false, text.chars().peekable());
        while let Some(c) = chars.next() {
            match c {
                '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
                '"' => quoted = !quoted,
                ',' if !quoted => record.push(std::mem::take(&mut cell)),
                '\r' if !quoted && chars.peek() == Some(&'\n') => {
                    chars.next();
                    record.push(std::mem::take(&mut cell));
                    records.push(std::mem::take(&mut record));
                }
                c => cell.push(c),
            }
        }
        assert!(cell.is_empty() && record.is_empty() && !quoted, "the last line is not ended");
        records
    }

    fn fields(values: &[Value]) -> Map<String, Value> {
        values.iter().enumerate().map(|(i, value)| (i.to_string(), value.clone())).collect()
    }

    #[test]
    fn a_formula_is_text() {
        let line =
            record(&fields(&[json!("=1+1"), json!("@x"), json!("-1"), json!("a=b"), json!(-1.5), json!(null), json!(true), json!("'q'")]));
        assert_eq!(line, "'=1+1,'@x,'-1,a=b,-1.5,,true,''q'\r\n");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(texts in proptest::collection::vec(proptest::collection::vec("[=+@a\"',\r\n\t-]{0,6}", 3), 0..5)) {
            let text: String = texts.iter().map(|texts| record(&fields(&texts.iter().map(|text| json!(text)).collect::<Vec<_>>()))).collect();
            let read: Vec<Vec<String>> =
                read(&text).into_iter().map(|cells| cells.into_iter().map(|cell| cell.strip_prefix('\'').unwrap_or(&cell).to_owned()).collect()).collect();
            prop_assert_eq!(read, texts);
        }
    }
}
