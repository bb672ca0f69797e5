//! Annotations of a text, as the contract's citations, and back.

use crate::endpoint::Endpoint;
use crate::text::{Text, compact, said};
use llm_gateway_adapter::types::{Citation, Native};
use serde::Deserialize;
use serde_json::value::RawValue;

/// `url_citation`, `file_citation`, `container_file_citation` of `/responses`. On `/chat/completions` the fields of the first are one
/// level down.
#[derive(Deserialize)]
struct Annotation<'a> {
    #[serde(borrow)]
    url: Option<Text<'a>>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
    #[serde(borrow)]
    filename: Option<Text<'a>>,
    start_index: Option<u32>,
    end_index: Option<u32>,
    #[serde(borrow)]
    url_citation: Option<Box<Annotation<'a>>>,
}

/// The citation; one that only names its dialect if the annotation is of an unknown kind.
pub fn of_annotation(annotation: &RawValue, endpoint: Endpoint) -> Citation {
    let native = Native { dialect: endpoint.dialect().to_owned(), value: compact(annotation) };
    let Some(known) = serde_json::from_str::<Annotation<'_>>(annotation.get()).ok() else {
        return Citation { url: None, title: None, quote: None, span: None, native };
    };
    let known = known.url_citation.map_or_else(|| Annotation { url_citation: None, ..known }, |inner| *inner);
    Citation {
        url: said(known.url),
        title: said(known.title).or_else(|| said(known.filename)),
        quote: None,
        span: known.start_index.zip(known.end_index),
        native,
    }
}

/// The annotations of this endpoint's own among a part's citations, as they came.
pub fn annotations(citations: &[Citation], endpoint: Endpoint) -> Vec<&RawValue> {
    let own = citations.iter().filter(|citation| citation.native.dialect == endpoint.dialect());
    own.filter_map(|citation| serde_json::from_str(&citation.native.value).ok()).collect()
}
