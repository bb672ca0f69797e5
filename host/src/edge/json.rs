//! Reads a JSON object field by field, for dialects whose unknown fields must be kept.
//!
//! A field is taken out when it is read, so what is left at the end is what nobody knew. `null` is as good as absent. Every error names the field by its
//! whole path.

use super::BadRequest;
use serde_json::{Map, Value};

/// JSON values in one body.
const MAX_VALUES: usize = 2_000_000;
/// What a value takes in memory, about. In a body it takes two.
pub const VALUE_BYTES: usize = 70;
/// Of a model's name, as a caller may write it.
pub const MAX_MODEL_BYTES: usize = 256;

/// How many values are in a JSON text, about: its commas and opening brackets, those in strings left out.
pub fn count_values(text: &[u8]) -> usize {
    let mut values = 0;
    let (mut in_string, mut is_escaped) = (false, false);
    for byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = in_string,
            b'"' => in_string = !in_string,
            b',' | b'[' | b'{' if !in_string => values += 1,
            _ => {}
        }
    }
    values
}

/// An object that is being read.
#[derive(Debug)]
pub struct Fields {
    path: String,
    fields: Map<String, Value>,
}

impl Fields {
    /// The body of a request.
    ///
    /// # Errors
    /// When it is no JSON object.
    pub fn of_body(body: &[u8]) -> Result<Self, BadRequest> {
        if body.len() > MAX_VALUES && count_values(body) > MAX_VALUES {
            return Err(Self::invalid_json(&format!("the body has more than {MAX_VALUES} values: send less")));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self { path: String::new(), fields }),
            Ok(_) => Err(Self::invalid_json("the body must be a JSON object")),
            Err(error) => Err(Self::invalid_json(&format!("the body is not valid JSON: {error}"))),
        }
    }

    fn invalid_json(message: &str) -> BadRequest {
        BadRequest { status: axum::http::StatusCode::BAD_REQUEST, code: "invalid_json", param: None, message: message.to_owned() }
    }

    /// An object somewhere below.
    ///
    /// # Errors
    /// When it is none.
    pub fn of_value(path: String, value: Value) -> Result<Self, BadRequest> {
        match value {
            Value::Object(fields) => Ok(Self { path, fields }),
            _ => Err(BadRequest::field(path, "must be an object")),
        }
    }

    /// A field's whole path: `messages[2].content`.
    pub fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The complaint about a field.
    pub fn wrong(&self, name: &str, wrong: impl AsRef<str>) -> BadRequest {
        BadRequest::field(self.path(name), wrong)
    }

    /// Whether there is such a field, if only as `null`.
    pub fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Of the fields that nobody read.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.fields.keys()
    }

    /// A field that stays where it is.
    pub fn peek(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    pub fn value(&mut self, name: &str) -> Option<Value> {
        // Keeps the order of the others, which stays the order of what is passed on.
        self.fields.shift_remove(name).filter(|value| !value.is_null())
    }

    pub fn string(&mut self, name: &str) -> Result<Option<String>, BadRequest> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "must be a string")),
        }
    }

    pub fn required_string(&mut self, name: &str) -> Result<String, BadRequest> {
        self.string(name)?.ok_or_else(|| self.wrong(name, "is required and must be a string"))
    }

    /// A model's name, as a caller may write it.
    pub fn model(&mut self, name: &str) -> Result<Option<String>, BadRequest> {
        let model = self.string(name)?;
        match &model {
            Some(text) if text.is_empty() || text.len() > MAX_MODEL_BYTES => {
                Err(self.wrong(name, format!("must have 1 to {MAX_MODEL_BYTES} bytes; leave it out to let the gateway choose")))
            }
            _ => Ok(model),
        }
    }

    pub fn bool(&mut self, name: &str) -> Result<Option<bool>, BadRequest> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(_) => Err(self.wrong(name, "must be true or false")),
        }
    }

    /// A number within a range.
    pub fn number(&mut self, name: &str, min: f64, max: f64) -> Result<Option<f64>, BadRequest> {
        let Some(value) = self.value(name) else { return Ok(None) };
        match value.as_f64().filter(|number| (min..=max).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(name, format!("must be a number from {min} to {max}"))),
        }
    }

    /// A whole number within a range.
    pub fn integer(&mut self, name: &str, min: u32, max: u32) -> Result<Option<u32>, BadRequest> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        match number.filter(|number| (min..=max).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(name, format!("must be a whole number from {min} to {max}"))),
        }
    }

    pub fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, BadRequest> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Array(values)) => Ok(Some(values)),
            Some(_) => Err(self.wrong(name, "must be a list")),
        }
    }

    pub fn object(&mut self, name: &str) -> Result<Option<Self>, BadRequest> {
        let path = self.path(name);
        self.value(name).map(|value| Self::of_value(path, value)).transpose()
    }

    /// One of some words.
    pub fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, BadRequest> {
        let Some(text) = self.string(name)? else { return Ok(None) };
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => {
                let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                Err(self.wrong(name, format!("must be one of {}", known.join(", "))))
            }
        }
    }

    /// What nobody read, as it came.
    pub fn unread(self) -> Map<String, Value> {
        self.fields
    }

    /// What nobody read, `null`s left out.
    pub fn rest(self) -> Map<String, Value> {
        self.fields.into_iter().filter(|(_, value)| !value.is_null()).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_not_read_is_left() {
        let mut fields = Fields::of_body(br#"{"a":"x","b":null,"c":{"d":5},"e":[1]}"#).unwrap();
        assert_eq!(fields.string("a").unwrap().as_deref(), Some("x"));
        assert_eq!(fields.object("c").unwrap().unwrap().integer("d", 1, 9).unwrap(), Some(5));
        assert_eq!(serde_json::to_string(&fields.rest()).unwrap(), r#"{"e":[1]}"#);
    }

    #[test]
    fn values_are_counted_and_texts_are_not() {
        for (text, values) in [(r#"{"a":[1,2],"b":{}}"#, 5), (r#"{"a":"[,{\",["}"#, 1), (r#"["\\",1]"#, 2)] {
            assert_eq!(count_values(text.as_bytes()), values, "{text}");
        }
    }

    #[test]
    fn errors_name_the_whole_path() {
        let mut fields = Fields::of_body(br#"{"c":{"d":50}}"#).unwrap();
        let error = fields.object("c").unwrap().unwrap().integer("d", 1, 9).unwrap_err();
        assert_eq!((error.param.as_deref(), error.message.as_str()), (Some("c.d"), "`c.d` must be a whole number from 1 to 9"));
    }

    #[test]
    fn what_is_no_object_or_too_deep_is_refused() {
        for body in ["", "[]", "{\"a\":", "\u{1}", &format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200))] {
            assert_eq!(Fields::of_body(body.as_bytes()).unwrap_err().code, "invalid_json", "{body}");
        }
    }
}
