//! What of a request can cost more than plain text.

use crate::contract::{CacheBreakpoint, ChatRequest, Native, Part, PartBody, Tool, ToolResultPart};

/// Seconds that a provider's cache keeps what is written at the usual rate.
const USUAL_LIFETIME: u32 = 300;

/// What may be in it that has rates of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) media: bool,
    pub(super) cache_for_an_hour: bool,
}

impl Asked {
    pub(super) const EVERYTHING: Self = Self { media: true, cache_for_an_hour: true };

    pub(super) fn of(request: &ChatRequest) -> Self {
        let parts = || request.messages.iter().flat_map(|message| &message.parts);
        let extras = request.messages.iter().map(|message| &message.extras).chain([&request.extras]);
        Self {
            media: parts().any(has_media),
            cache_for_an_hour: parts().any(is_kept_for_an_hour)
                || request.tools.iter().any(is_tool_kept_for_an_hour)
                || extras.into_iter().any(|extras| say_an_hour(extras)),
        }
    }
}

/// What nobody here can read may be one.
fn has_media(part: &Part) -> bool {
    match &part.body {
        PartBody::Image(_) | PartBody::Audio(_) | PartBody::Video(_) | PartBody::Document(_) | PartBody::Other(_) => true,
        PartBody::ToolResult(result) => result.content.iter().any(|part| !matches!(part, ToolResultPart::Text(_))),
        PartBody::Text(_) | PartBody::Refusal(_) | PartBody::Thinking(_) | PartBody::ToolCall(_) => false,
    }
}

fn is_kept_for_an_hour(part: &Part) -> bool {
    is_long(part.cache.as_ref()) || say_an_hour(&part.extras) || matches!(&part.body, PartBody::Other(native) if says_an_hour(native))
}

fn is_tool_kept_for_an_hour(tool: &Tool) -> bool {
    match tool {
        Tool::Function(function) => is_long(function.cache.as_ref()) || say_an_hour(&function.extras),
        Tool::Custom(custom) => say_an_hour(&custom.extras),
        Tool::Other(native) => says_an_hour(native),
    }
}

fn is_long(cache: Option<&CacheBreakpoint>) -> bool {
    cache.and_then(|cache| cache.lifetime).is_some_and(|seconds| seconds > USUAL_LIFETIME)
}

fn say_an_hour(extras: &[Native]) -> bool {
    extras.iter().any(says_an_hour)
}

/// Anthropic's word for it, which goes along as it came.
fn says_an_hour(native: &Native) -> bool {
    native.value.contains("\"1h\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{Message, Role};
    use crate::domain::{chat_request, part};

    fn asked(part: Part) -> (bool, bool) {
        let message = Message { role: Role::User, name: None, parts: vec![part], extras: Vec::new() };
        let asked = Asked::of(&chat_request("m".into(), vec![message]));
        (asked.media, asked.cache_for_an_hour)
    }

    #[test]
    fn text_asks_for_nothing_that_is_dear() {
        let text = || part(PartBody::Text("Hello".into()));
        let cached = |lifetime| Part { cache: Some(CacheBreakpoint { lifetime }), ..text() };
        let native = |value: &str| Native { dialect: "anthropic".into(), value: value.into() };
        assert_eq!(asked(text()), (false, false));
        assert_eq!(asked(cached(None)), (false, false));
        assert_eq!(asked(cached(Some(300))), (false, false));
        assert_eq!(asked(cached(Some(3600))), (false, true));
        assert_eq!(asked(part(PartBody::Other(native(r#"{"type":"video"}"#)))), (true, false));
        let said = Part { extras: vec![native(r#"{"cache_control":{"ttl":"1h"}}"#)], ..text() };
        assert_eq!(asked(said), (false, true));
    }
}
