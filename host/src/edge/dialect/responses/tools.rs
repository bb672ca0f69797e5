//! A request's tools.

use super::DIALECT;
use crate::contract::Tool;
use crate::edge::BadRequest;
use crate::edge::dialect::openai;
use crate::edge::dialect::openai_tools::{custom, function};
use crate::edge::json::Fields;

/// Functions and custom tools; any other is one that the provider runs itself, for adapters of this dialect.
///
/// # Errors
/// The field at fault.
pub fn tools(fields: &mut Fields) -> Result<Vec<Tool>, BadRequest> {
    let values = fields.list("tools")?.unwrap_or_default().into_iter().enumerate();
    values.map(|(at, value)| tool(Fields::of_value(format!("tools[{at}]"), value)?)).collect()
}

fn tool(mut fields: Fields) -> Result<Tool, BadRequest> {
    match fields.required_string("type")?.as_str() {
        "function" => Ok(Tool::Function(function(DIALECT, fields, None)?)),
        "custom" => Ok(Tool::Custom(custom(DIALECT, fields)?)),
        other => Ok(Tool::Other(openai::native(DIALECT, other, fields))),
    }
}
