//! Reads a request's JSON body within its limit.

use super::BadRequest;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};

/// # Errors
/// 415 for another content type, 413 for a body over the limit, 400 for one that broke off.
pub async fn read_json(request: Request<Body>, max_bytes: usize) -> Result<Bytes, BadRequest> {
    check_content_type(request.headers())?;
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > max_bytes as u64) {
        return Err(too_large(max_bytes));
    }
    match Limited::new(request.into_body(), max_bytes).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large(max_bytes)),
        Err(_) => Err(BadRequest {
            status: StatusCode::BAD_REQUEST,
            code: "invalid_request",
            param: None,
            message: "the body broke off before it was complete".to_owned(),
        }),
    }
}

/// A missing type is taken for JSON, as bare clients send it.
fn check_content_type(headers: &HeaderMap) -> Result<(), BadRequest> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    Err(BadRequest {
        status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
        code: "unsupported_media_type",
        param: Some("content-type".to_owned()),
        message: "the header `content-type` must be `application/json`".to_owned(),
    })
}

fn too_large(max_bytes: usize) -> BadRequest {
    BadRequest {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        code: "body_too_large",
        param: None,
        message: format!("the body has more than {max_bytes} bytes: send less, or raise MAX_BODY_BYTES"),
    }
}
