//! What of a request Mistral can't take: collected while the request is encoded, and told to the caller.
//!
//! Also sorts `extras` by dialect, because what is left of them is most of such a report.

use llm_gateway_adapter::dropped;
use llm_gateway_adapter::types::{Dropped, Failure, Native};
use serde_json::{Map, Value};

/// This provider's own dialect.
pub const DIALECT: &str = "mistral";

/// Fields for later versions of the contract: not ours to report.
const FUTURE_DIALECT: &str = "llm-gateway";

#[derive(Debug, Default)]
pub struct Report(Vec<Dropped>);

impl Report {
    /// `parameter` is a path in `chat-request`.
    pub fn add(&mut self, parameter: impl Into<String>, reason: impl Into<String>) {
        self.0.push(Dropped { parameter: parameter.into(), reason: reason.into() });
    }

    pub fn into_dropped(self) -> Vec<Dropped> {
        dropped::once(self.0)
    }

    /// Fields in Mistral's own words. Those of other dialects are reported under `path`.
    ///
    /// # Errors
    /// `invalid-request` if the value is no JSON object.
    pub fn own_fields(&mut self, extras: &[Native], path: impl Fn() -> String) -> Result<Map<String, Value>, Failure> {
        let mut own = Map::new();
        for native in extras {
            let fields = object(native, &path)?;
            match native.dialect.as_str() {
                DIALECT => own.extend(fields),
                FUTURE_DIALECT => {}
                _ => self.foreign_fields(fields.keys(), &path),
            }
        }
        Ok(own)
    }

    fn foreign_fields<'k>(&mut self, names: impl Iterator<Item = &'k String>, path: impl Fn() -> String) {
        for name in names {
            self.add(format!("{}.{name}", path()), "Mistral has no such field");
        }
    }
}

/// The fields of one `extras` entry.
pub fn object(native: &Native, path: impl Fn() -> String) -> Result<Map<String, Value>, Failure> {
    serde_json::from_str(&native.value)
        .map_err(|error| Failure::invalid(Some(&path()), format!("`{}` fields must be a JSON object: {error}", native.dialect)))
}
