//! What an operator can set for an instance of this provider.

use crate::report::Report;
use llm_gateway_adapter::settings;
use llm_gateway_adapter::types::{Failure, Setting, SettingInfo};

const SCHEMA: &str = "schema";

/// Which of Mistral's request schemas the instance speaks. An older one refuses the fields of the newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    V2025,
    V2026,
}

impl Schema {
    pub fn of(settings: &[Setting]) -> Result<Self, Failure> {
        match settings::get(settings, SCHEMA) {
            None | Some("2026") => Ok(Self::V2026),
            Some("2025") => Ok(Self::V2025),
            Some(other) => Err(Failure::invalid(Some("settings.schema"), format!("`{other}` is not a schema; there are 2025 and 2026"))),
        }
    }

    /// The value of a field that only the schema of 2026 has.
    pub fn extension<T>(self, value: Option<T>, path: &str, report: &mut Report) -> Option<T> {
        match (self, value) {
            (Self::V2026, value) => value,
            (Self::V2025, Some(_)) => {
                report.add(path, "the schema of 2025 has no such field");
                None
            }
            (Self::V2025, None) => None,
        }
    }
}

pub fn described() -> Vec<SettingInfo> {
    vec![SettingInfo {
        name: SCHEMA.to_owned(),
        description:
            "Request schema of the server: `2026` (default) or `2025`, which has no `top_k` and no `logprobs`. For self-hosted servers."
                .to_owned(),
    }]
}
