//! TOML with places: whatever is wrong in a file is said with its line.
//!
//! Owns: syntax and shape, and where a value stands. Not here: what the values mean (`file`, `routing`).

use super::ConfigError;
use serde::Deserialize;
use std::fmt::{self, Display};
use std::ops::{Range, RangeInclusive};
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

/// A file's text, with where everything stands.
pub(super) struct Document<'a> {
    file: &'a str,
    text: &'a str,
    root: Spanned<DeTable<'a>>,
}

/// A value's place in a document: `routes.support.targets[1]`. It need not be there.
#[derive(Clone)]
pub(super) struct Place<'a> {
    document: &'a Document<'a>,
    steps: Vec<Step>,
}

#[derive(Clone)]
enum Step {
    Key(String),
    Item(usize),
}

impl<'a> Document<'a> {
    /// # Errors
    /// When the text is not TOML.
    pub(super) fn parse(file: &'a str, text: &'a str) -> Result<Self, ConfigError> {
        let syntax = |error: toml::de::Error| at_line(file, text, error.span(), &error.message().replace('\n', " "));
        Ok(Self { file, text, root: DeTable::parse(text).map_err(syntax)? })
    }

    /// # Errors
    /// When the document has another shape: a key that is not known, a text for a number.
    pub(super) fn read<T: Deserialize<'a>>(&self) -> Result<T, ConfigError> {
        T::deserialize(Deserializer::from(self.root.clone())).map_err(|error| {
            let reason = without_value(error.message());
            // Only the error's text says which table it is in.
            let said = error.to_string();
            let table = said.rsplit_once("\nin `").and_then(|(_, rest)| rest.trim_end().strip_suffix('`'));
            let reason = table.map_or(reason.clone(), |table| format!("{table}: {reason}"));
            at_line(self.file, self.text, error.span(), &reason)
        })
    }

    pub(super) fn place(&'a self, key: &str) -> Place<'a> {
        Place { document: self, steps: vec![Step::Key(key.to_owned())] }
    }
}

impl Place<'_> {
    pub(super) fn key(&self, key: &str) -> Self {
        self.step(Step::Key(key.to_owned()))
    }

    /// Of a list, from 0.
    pub(super) fn item(&self, index: usize) -> Self {
        self.step(Step::Item(index))
    }

    fn step(&self, step: Step) -> Self {
        let mut place = self.clone();
        place.steps.push(step);
        place
    }

    pub(super) fn wrong(&self, reason: impl Display) -> ConfigError {
        at_line(self.document.file, self.document.text, Some(self.span()), &format!("{self}: {reason}"))
    }

    /// # Errors
    /// When the number is not in the range.
    pub(super) fn within(&self, value: i64, range: RangeInclusive<u32>) -> Result<u32, ConfigError> {
        let number = u32::try_from(value).ok().filter(|number| range.contains(number));
        number.ok_or_else(|| self.wrong(format_args!("`{value}`: expected a number from {} to {}", range.start(), range.end())))
    }

    /// Of as much of it as is there.
    fn span(&self) -> Range<usize> {
        let mut span = self.document.root.span();
        let mut value: Option<&DeValue<'_>> = None;
        for step in &self.steps {
            let found = match (step, value) {
                (Step::Key(key), None) => self.document.root.get_ref().get_key_value(key.as_str()).map(|(key, value)| (key.span(), value)),
                (Step::Key(key), Some(DeValue::Table(table))) => table.get_key_value(key.as_str()).map(|(key, value)| (key.span(), value)),
                (Step::Item(index), Some(DeValue::Array(list))) => list.get(*index).map(|value| (value.span(), value)),
                _ => None,
            };
            let Some((at, next)) = found else { break };
            (span, value) = (at, Some(next.get_ref()));
        }
        span
    }
}

impl Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_bare = |key: &str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        for (depth, step) in self.steps.iter().enumerate() {
            let dot = if depth == 0 { "" } else { "." };
            match step {
                Step::Key(key) if is_bare(key) => write!(f, "{dot}{key}")?,
                Step::Key(key) => write!(f, "{dot}{key:?}")?,
                Step::Item(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

fn at_line(file: &str, text: &str, span: Option<Range<usize>>, reason: &str) -> ConfigError {
    let before = span.and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    ConfigError::File { file: file.to_owned(), reason: format!("line {line}: {reason}") }
}

/// A value of a wrong type may be a key that stands where it should not.
fn without_value(message: &str) -> String {
    let expected = message.starts_with("invalid ").then(|| message.rsplit_once(", expected ")).flatten();
    match expected {
        Some((_, "i64")) => "expected a whole number".to_owned(),
        Some((_, "f64")) => "expected a number".to_owned(),
        Some((_, "a boolean")) => "expected true or false".to_owned(),
        Some((_, "a sequence")) => "expected a list".to_owned(),
        Some((_, "a map")) => "expected a table".to_owned(),
        Some((_, other)) => format!("expected {other}"),
        None => message.replace('\n', " "),
    }
}
