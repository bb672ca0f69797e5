//! Reads what the operator set for a provider instance.

use crate::types::Setting;

/// The value of a setting, if it was set.
pub fn get<'a>(settings: &'a [Setting], name: &str) -> Option<&'a str> {
    settings.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}
