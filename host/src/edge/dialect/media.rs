//! Media in callers' requests: what comes as base64 is decoded into a blob that stays in the host, what comes as a URL is passed on.

use crate::contract::{Media, MediaSource};
use crate::domain::Blobs;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, Engine as _};
use bytes::Bytes;

/// With or without the padding; some libraries leave it out.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
/// What Google's libraries make.
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Media from a source, of which nothing else is known.
pub fn media(source: MediaSource, media_type: Option<String>) -> Media {
    Media { source, media_type, name: None, detail: None, transcript: None }
}

/// Media by an http, https or data URL.
///
/// # Errors
/// What is wrong with the URL, to stand after the field's name.
pub fn by_url(url: String, blobs: &mut Blobs) -> Result<Media, String> {
    if url.starts_with("data:") {
        return by_data_url(&url, blobs);
    }
    if url.starts_with("https://") || url.starts_with("http://") {
        return Ok(media(MediaSource::Url(url), None));
    }
    Err("must be an http, https or data URL".to_owned())
}

/// Media by a data URL alone: `data:image/png;base64,AAAA`.
///
/// # Errors
/// As above.
pub fn by_data_url(url: &str, blobs: &mut Blobs) -> Result<Media, String> {
    let told = || {
        let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
        let media_type = head.strip_suffix(";base64")?;
        let media_type = media_type.split(';').next().filter(|kind| !kind.is_empty())?;
        Some((media_type.to_owned(), data))
    };
    let (media_type, data) = told().ok_or("is not a base64 data URL (data:image/png;base64,…)")?;
    Ok(media(by_base64(data, blobs)?, Some(media_type)))
}

/// Bytes as base64.
///
/// # Errors
/// As above.
pub fn by_base64(data: &str, blobs: &mut Blobs) -> Result<MediaSource, String> {
    let data = data.trim();
    let bytes = STANDARD.decode(data).or_else(|_| URL_SAFE.decode(data)).map_err(|_| "is not valid base64")?;
    Ok(MediaSource::Blob(blobs.add(Bytes::from(bytes)).map_err(|error| error.to_string())?))
}
