//! How a caller's key stands, in the headers of its dialect.

use super::dialect::Dialect;
use crate::quota::{self, HeaderStyle, Standing};
use jiff::Timestamp;

pub(super) fn headers(standing: &Standing, dialect: Dialect) -> Vec<(&'static str, String)> {
    let style = if dialect == Dialect::Messages { HeaderStyle::Anthropic } else { HeaderStyle::OpenAi };
    quota::headers(standing, style, Timestamp::now())
}
