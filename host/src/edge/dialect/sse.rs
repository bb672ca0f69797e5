//! Events of a stream, as lines.
//!
//! Owns: how a JSON value becomes the data of one event. Not here: which events a dialect has, and when.

use serde::Serialize;

/// Appends a value as JSON that stays on its line.
pub fn append(out: &mut Vec<u8>, data: &impl Serialize) {
    let from = out.len();
    // Strings and numbers in structs: there is nothing in them that JSON can't hold, and writing into memory does not fail.
    let _ = serde_json::to_writer(&mut *out, data);
    // What came as JSON may have lines. In a string they are escaped, so they stand between values, where a space means as much.
    out.iter_mut().skip(from).filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
}

/// Appends an event with a name.
pub fn send(out: &mut Vec<u8>, event: &str, data: &impl Serialize) {
    for piece in ["event: ", event, "\ndata: "] {
        out.extend_from_slice(piece.as_bytes());
    }
    append(out, data);
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::value::RawValue;

    #[test]
    fn json_that_came_on_many_lines_is_sent_on_one() {
        let raw = RawValue::from_string("{\r\n  \"a\": \"x\\ny\"\n}".to_owned()).unwrap();
        let mut out = b"\n".to_vec();
        send(&mut out, "told", &raw);
        assert_eq!(String::from_utf8(out).unwrap(), "\nevent: told\ndata: {    \"a\": \"x\\ny\" }\n\n");
    }
}
