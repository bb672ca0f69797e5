//! What a text rests on: `groundingMetadata` of a search, `citationMetadata` of words that were learnt by heart.
//!
//! Gemini counts in bytes, from the beginning of the answer's text, and says so once, with the end of the answer. The span is given only where
//! the words there are those that Gemini quotes, so a wrong one is never shown.

use crate::answer::{compact, native};
use llm_gateway_adapter::serde_json::{self, value::RawValue};
use llm_gateway_adapter::types::Citation;
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct GroundingMetadata<'a> {
    #[serde(borrow)]
    grounding_chunks: Vec<&'a RawValue>,
    #[serde(borrow)]
    grounding_supports: Vec<GroundingSupport<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct GroundingSupport<'a> {
    #[serde(borrow)]
    segment: Option<&'a RawValue>,
    grounding_chunk_indices: Vec<usize>,
}

/// One of these, by the tool that found it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GroundingChunk {
    web: Option<Source>,
    retrieved_context: Option<Source>,
    maps: Option<Source>,
}

#[derive(Debug, Default, Deserialize)]
struct Source {
    uri: Option<String>,
    title: Option<String>,
    text: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Segment {
    start_index: usize,
    end_index: usize,
    text: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CitationMetadata<'a> {
    #[serde(borrow, alias = "citations")]
    citation_sources: Vec<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CitationSource {
    start_index: usize,
    end_index: usize,
    uri: Option<String>,
    title: Option<String>,
}

/// Of a `groundingMetadata`: one citation for each source of each segment of the text.
pub fn grounding(metadata: &str, text: &str) -> Vec<Citation> {
    let metadata: GroundingMetadata = serde_json::from_str(metadata).unwrap_or_default();
    let mut citations = Vec::new();
    for support in &metadata.grounding_supports {
        let segment = support.segment.map_or("{}".into(), compact);
        let span = serde_json::from_str(&segment).ok().and_then(|segment| quoted_span(&segment, text));
        let chunks = support.grounding_chunk_indices.iter().filter_map(|index| metadata.grounding_chunks.get(*index));
        citations.extend(chunks.map(|chunk| {
            let source = source(chunk);
            Citation {
                url: source.uri,
                title: source.title,
                quote: source.text,
                span,
                native: native(format!(r#"{{"segment":{segment},"groundingChunk":{}}}"#, compact(chunk))),
            }
        }));
    }
    citations
}

fn source(chunk: &RawValue) -> Source {
    let chunk: Option<GroundingChunk> = serde_json::from_str(chunk.get()).ok();
    chunk.and_then(|chunk| chunk.web.or(chunk.retrieved_context).or(chunk.maps)).unwrap_or_default()
}

/// Of a `citationMetadata`: one citation for each source.
pub fn recitation(metadata: &str, text: &str) -> Vec<Citation> {
    let metadata: CitationMetadata = serde_json::from_str(metadata).unwrap_or_default();
    let citations = metadata.citation_sources.into_iter().map(|raw| {
        let source: CitationSource = serde_json::from_str(raw.get()).unwrap_or_default();
        let span = code_points(text, source.start_index, source.end_index);
        Citation { url: source.uri, title: source.title, quote: None, span, native: native(compact(raw).into_owned()) }
    });
    citations.collect()
}

fn quoted_span(segment: &Segment, text: &str) -> Option<(u32, u32)> {
    let words = text.get(segment.start_index..segment.end_index)?;
    let is_quoted = segment.text.as_deref().is_none_or(|quoted| quoted == words);
    is_quoted.then(|| code_points(text, segment.start_index, segment.end_index)).flatten()
}

/// A span of bytes as a span of code points.
fn code_points(text: &str, start: usize, end: usize) -> Option<(u32, u32)> {
    let before = text.get(..start)?.chars().count();
    let within = text.get(start..end)?.chars().count();
    Some((u32::try_from(before).ok()?, u32::try_from(before + within).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_count_code_points_where_gemini_counts_bytes() {
        let metadata = r#"{"groundingChunks":[{"web":{"uri":"https://a","title":"A"}},{"retrievedContext":{"title":"B","text":"words"}}],
            "groundingSupports":[{"segment":{"startIndex":4,"endIndex":7,"text":"cat"},"groundingChunkIndices":[0,1,9]}]}"#;
        let citations = grounding(metadata, "né\u{20}cat");
        assert_eq!(citations.len(), 2);
        assert_eq!((citations[0].url.as_deref(), citations[0].span), (Some("https://a"), Some((3, 6))));
        assert_eq!((citations[1].title.as_deref(), citations[1].quote.as_deref()), (Some("B"), Some("words")));
        assert_eq!(
            citations[0].native.value,
            r#"{"segment":{"startIndex":4,"endIndex":7,"text":"cat"},"groundingChunk":{"web":{"uri":"https://a","title":"A"}}}"#
        );
    }

    #[test]
    fn a_span_that_is_not_the_quoted_text_is_left_out() {
        for segment in [r#"{"endIndex":3,"text":"dog"}"#, r#"{"endIndex":99}"#, r#"{"startIndex":3,"endIndex":1}"#, r#"{"endIndex":2}"#] {
            let metadata =
                format!(r#"{{"groundingChunks":[{{}}],"groundingSupports":[{{"segment":{segment},"groundingChunkIndices":[0]}}]}}"#);
            let citations = grounding(&metadata, "né cat");
            assert_eq!(citations.iter().map(|citation| citation.span).collect::<Vec<_>>(), [None], "{segment}");
        }
    }

    #[test]
    fn recited_words_name_their_source() {
        for name in ["citationSources", "citations"] {
            let metadata = format!(r#"{{"{name}":[{{"endIndex":2,"uri":"https://b","license":"mit"}}]}}"#);
            let citations = recitation(&metadata, "ab");
            assert_eq!(citations.first().map(|citation| (citation.url.as_deref(), citation.span)), Some((Some("https://b"), Some((0, 2)))));
        }
    }
}
