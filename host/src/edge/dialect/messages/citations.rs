//! Citations, both ways.
//!
//! Anthropic's own are shown, and taken back, as they came. Others' are shown as web search results if they have a URL, and not at all if they have
//! none: every other kind of location points into a document of the request. Shown so, they have an empty `encrypted_index`, by which they are
//! known again on return and left out, for no provider would take them.

use super::{DIALECT, own};
use crate::contract::Citation;
use serde_json::{Value, json};

/// A citation as the caller sees it.
pub fn shown(citation: &Citation) -> Option<Value> {
    if citation.native.dialect == DIALECT {
        return serde_json::from_str(&citation.native.value).ok();
    }
    Some(json!({
        "type": "web_search_result_location",
        "url": citation.url.as_deref()?,
        "title": citation.title,
        "cited_text": citation.quote.as_deref().unwrap_or_default(),
        "encrypted_index": "",
    }))
}

/// A citation of an earlier answer.
pub fn parsed(citation: &Value) -> Option<Citation> {
    if citation["encrypted_index"] == "" {
        return None;
    }
    let text = |names: [&str; 2]| names.iter().find_map(|name| citation[name].as_str()).map(str::to_owned);
    Some(Citation {
        url: text(["url", "source"]),
        title: text(["title", "document_title"]),
        quote: text(["cited_text", "cited_text"]),
        span: None,
        native: own(citation),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::contract::Native;

    fn foreign(url: Option<&str>) -> Citation {
        let native = Native { dialect: "gemini".into(), value: "{}".into() };
        Citation { url: url.map(str::to_owned), title: Some("T".into()), quote: Some("rain".into()), span: Some((0, 4)), native }
    }

    #[test]
    fn the_dialects_own_citation_comes_back_as_it_was() {
        let page =
            json!({"type": "page_location", "cited_text": "rain", "document_index": 1, "document_title": "D", "start_page_number": 1});
        let read = parsed(&page).unwrap();
        assert_eq!((read.title.as_deref(), read.quote.as_deref()), (Some("D"), Some("rain")));
        assert_eq!(shown(&read), Some(page));
    }

    #[test]
    fn anothers_is_shown_by_its_url_and_not_taken_back() {
        let web = shown(&foreign(Some("https://x.test"))).unwrap();
        assert_eq!(
            web,
            json!({"type": "web_search_result_location", "url": "https://x.test", "title": "T", "cited_text": "rain", "encrypted_index": ""})
        );
        assert_eq!(parsed(&web), None);
        assert_eq!(shown(&foreign(None)), None);
    }
}
