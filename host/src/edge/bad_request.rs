//! What is wrong with a request, found before anything is done with it.

use axum::http::StatusCode;

/// A request that can't be served as it stands. Nothing was changed and nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRequest {
    /// 400 unless there is a narrower one (413, 415).
    pub status: StatusCode,
    /// For programs: `invalid_request`, `invalid_json`, `body_too_large`.
    pub code: &'static str,
    /// The field at fault, as the caller wrote it: `messages[2].content[0].image_url.url`.
    pub param: Option<String>,
    /// What is wrong and what to do, for people.
    pub message: String,
}

impl BadRequest {
    /// A field that has a wrong or missing value. The message is completed by the field's name in front.
    pub fn field(param: impl Into<String>, wrong: impl AsRef<str>) -> Self {
        let param = param.into();
        let message = format!("`{param}` {}", wrong.as_ref());
        Self { status: StatusCode::BAD_REQUEST, code: "invalid_request", param: Some(param), message }
    }
}
