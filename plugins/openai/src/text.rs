//! JSON strings and values of an answer, borrowed from its bytes where they can be.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::ops::Deref;

/// A JSON string; borrowed unless it has escapes. (`Option<Cow<str>>` itself never borrows under serde.)
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Text<'_> {
    pub fn into_owned(self) -> String {
        self.0.into_owned()
    }
}

/// The text, unless it is absent or empty: some servers write `""` where they mean nothing.
pub fn said(text: Option<Text<'_>>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(Text::into_owned)
}

/// The value as text, if it is a string. For fields that are something else on some servers.
pub fn string_in(value: Option<&RawValue>) -> Option<Text<'_>> {
    serde_json::from_str(value?.get()).ok()
}

/// A JSON array's text, unless it has no elements.
pub fn elements(array: Option<&RawValue>) -> Option<&str> {
    let inside = array?.get().strip_prefix('[')?.strip_suffix(']')?.trim();
    (!inside.is_empty()).then_some(inside)
}

/// JSON without the white space that OpenAI's whole answers are laid out with, so that a value is the same whether it was streamed or not.
pub fn compact(value: &RawValue) -> String {
    serde_json::from_str::<serde_json::Value>(value.get()).map_or_else(|_| value.get().to_owned(), |value| value.to_string())
}
