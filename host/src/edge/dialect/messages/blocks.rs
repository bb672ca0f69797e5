//! Content blocks of a request as canonical parts.
//!
//! A block of a kind that has no canonical name (a search result, what a tool of the provider's own gave) is kept as it came.

use super::carriers::{self, Data};
use super::{citations, extras, own, sources};
use crate::contract::{CacheBreakpoint, Part, PartBody, Replay, Role, ToolCall, ToolResult, ToolResultPart};
use crate::domain::{Blobs, part, replay};
use crate::edge::BadRequest;
use crate::edge::dialect::calls::Calls;
use crate::edge::json::Fields;
use serde_json::{Map, Value};

const LIFETIMES: [(&str, u32); 2] = [("5m", 300), ("1h", 3600)];

/// What the blocks of one conversation share.
#[derive(Debug, Default)]
pub struct Shared {
    pub blobs: Blobs,
    pub calls: Calls,
}

/// Reads the blocks of one message.
pub struct BlockReader<'a> {
    role: Role,
    shared: &'a mut Shared,
    parts: Vec<Part>,
}

impl<'a> BlockReader<'a> {
    pub fn new(role: Role, shared: &'a mut Shared) -> Self {
        Self { role, shared, parts: Vec::new() }
    }

    /// Reads the next block, and gives the number of parts so far.
    ///
    /// # Errors
    /// The field at fault.
    pub fn read(&mut self, path: String, block: Value) -> Result<usize, BadRequest> {
        self.read_one(path, block)?;
        Ok(self.parts.len())
    }

    fn read_one(&mut self, path: String, block: Value) -> Result<(), BadRequest> {
        let Some(kind) = block["type"].as_str().map(str::to_owned) else {
            return Err(BadRequest::field(format!("{path}.type"), "is required and must be a string"));
        };
        self.check_place(&path, &kind)?;
        let is_named =
            matches!(kind.as_str(), "text" | "image" | "document" | "thinking" | "redacted_thinking" | "tool_use" | "tool_result");
        if !is_named || sources::is_of_blocks(&block) {
            return self.other(&path, block);
        }
        let mut fields = Fields::of_value(path, block)?;
        fields.value("type");
        let mut further = Map::new();
        let cache = cache_control(&mut fields, &mut further)?;
        if kind == "redacted_thinking" {
            return self.redacted(fields, cache);
        }
        let read = match kind.as_str() {
            "text" => text(&mut fields)?,
            "image" => part(PartBody::Image(sources::image(&mut fields, &mut self.shared.blobs, &mut further)?)),
            "document" => part(PartBody::Document(sources::document(&mut fields, &mut self.shared.blobs, &mut further)?)),
            "thinking" => thinking(&mut fields)?,
            "tool_use" => self.tool_use(&mut fields)?,
            _ => self.tool_result(&mut fields)?,
        };
        further.extend(fields.rest());
        self.parts.push(Part { cache: cache.or(read.cache), extras: [read.extras, extras(further)].concat(), ..read });
        Ok(())
    }

    pub fn parts(self) -> Vec<Part> {
        self.parts
    }

    fn check_place(&self, path: &str, kind: &str) -> Result<(), BadRequest> {
        let only = match (kind, self.role) {
            ("thinking" | "redacted_thinking" | "tool_use", Role::User) => "of the assistant",
            ("tool_result", Role::Assistant) => "of the user",
            ("text", _) | (_, Role::User | Role::Assistant) => return Ok(()),
            _ => return Err(BadRequest::field(format!("{path}.type"), format!("is `{kind}`; a system message holds only text"))),
        };
        Err(BadRequest::field(format!("{path}.type"), format!("is `{kind}`, which only a message {only} can hold")))
    }

    fn other(&mut self, path: &str, mut block: Value) -> Result<(), BadRequest> {
        let mut further = Map::new();
        let cache = match block.as_object_mut().and_then(|fields| fields.shift_remove("cache_control")) {
            Some(told) if !told.is_null() => Some(breakpoint(Fields::of_value(format!("{path}.cache_control"), told)?, &mut further)?),
            _ => None,
        };
        self.parts.push(Part { cache, extras: extras(further), ..part(PartBody::Other(own(&block))) });
        Ok(())
    }

    fn redacted(&mut self, mut fields: Fields, cache: Option<CacheBreakpoint>) -> Result<(), BadRequest> {
        let data = fields.required_string("data")?;
        let (body, replay, extras) = match Data::read(&data) {
            Data::OfPrevious(sealed) => {
                self.give_to_previous(sealed, cache);
                return Ok(());
            }
            Data::OfThinking(sealed) => (PartBody::Thinking(String::new()), carried(sealed), Vec::new()),
            Data::OfEmptyText(sealed) => (PartBody::Text(String::new()), carried(sealed), Vec::new()),
            Data::Foreign => (PartBody::Thinking(String::new()), None, one("data", data)),
        };
        self.parts.push(Part { replay, cache, extras, ..part(body) });
        Ok(())
    }

    /// A replay whose block was taken away is nobody's.
    fn give_to_previous(&mut self, sealed: &str, cache: Option<CacheBreakpoint>) {
        if let Some(last) = self.parts.last_mut()
            && matches!(last.body, PartBody::ToolCall(_) | PartBody::Other(_))
        {
            last.replay = carried(sealed);
            last.cache = cache.or(last.cache);
        }
    }

    fn tool_use(&mut self, fields: &mut Fields) -> Result<Part, BadRequest> {
        let id = fields.required_string("id")?;
        let name = fields.required_string("name")?;
        let arguments = match fields.value("input") {
            None => "{}".to_owned(),
            Some(input @ Value::Object(_)) => input.to_string(),
            Some(_) => return Err(fields.wrong("input", "must be an object")),
        };
        self.shared.calls.add(&id, &name);
        Ok(part(PartBody::ToolCall(ToolCall { id, name, arguments, free_form: false })))
    }

    fn tool_result(&mut self, fields: &mut Fields) -> Result<Part, BadRequest> {
        let call_id = fields.required_string("tool_use_id")?;
        let name = self.shared.calls.name_of(&call_id).unwrap_or_default().to_owned();
        let mut result = ToolResult { call_id, name, content: Vec::new(), is_error: fields.bool("is_error")?.unwrap_or(false) };
        let mut cache = None;
        let mut beside = Vec::new();
        match fields.value("content") {
            None => {}
            Some(Value::String(text)) => result.content.push(ToolResultPart::Text(text)),
            Some(Value::Array(blocks)) => {
                let path = fields.path("content");
                for (at, block) in blocks.into_iter().enumerate() {
                    let mut further = Map::new();
                    let (content, told) = result_block(format!("{path}[{at}]"), block, &mut self.shared.blobs, &mut further)?;
                    result.content.push(content);
                    beside.push(Value::Object(further));
                    cache = told.or(cache);
                }
            }
            Some(_) => return Err(fields.wrong("content", "must be a string or a list of blocks")),
        }
        let says_more = beside.iter().any(|further| further.as_object().is_some_and(|fields| !fields.is_empty()));
        let further = says_more.then(|| ("content".to_owned(), Value::Array(beside)));
        Ok(Part { cache, extras: extras(further.into_iter().collect()), ..part(PartBody::ToolResult(result)) })
    }
}

fn text(fields: &mut Fields) -> Result<Part, BadRequest> {
    let mut read = part(PartBody::Text(fields.required_string("text")?));
    for citation in fields.list("citations")?.unwrap_or_default() {
        match carriers::of_citation(&citation) {
            Some(sealed) => read.replay = carried(sealed),
            None => read.citations.extend(citations::parsed(&citation)),
        }
    }
    Ok(read)
}

/// Without a signature it is the thinking of a provider that wants nothing back.
fn thinking(fields: &mut Fields) -> Result<Part, BadRequest> {
    let read = part(PartBody::Thinking(fields.required_string("thinking")?));
    match fields.string("signature")?.filter(|signature| !signature.is_empty()) {
        None => Ok(read),
        Some(sealed) if replay::is_sealed(&sealed) => Ok(Part { replay: carried(&sealed), ..read }),
        Some(foreign) => Ok(Part { extras: one("signature", foreign), ..read }),
    }
}

/// What a tool result may hold. The canonical one has no breakpoints inside, so one there counts for the whole; and no `further` fields, so they
/// stand in the extras of the whole, in a list of its blocks.
fn result_block(
    path: String,
    block: Value,
    blobs: &mut Blobs,
    further: &mut Map<String, Value>,
) -> Result<(ToolResultPart, Option<CacheBreakpoint>), BadRequest> {
    let Some(kind) = block["type"].as_str().map(str::to_owned) else {
        return Err(BadRequest::field(format!("{path}.type"), "is required and must be a string"));
    };
    let is_medium = matches!(kind.as_str(), "image" | "document") && !sources::is_of_blocks(&block);
    if kind != "text" && !is_medium {
        return Ok((ToolResultPart::Other(own(&block)), None));
    }
    let mut fields = Fields::of_value(path, block)?;
    fields.value("type");
    let cache = cache_control(&mut fields, further)?;
    let read = match kind.as_str() {
        "text" => ToolResultPart::Text(fields.required_string("text")?),
        "image" => ToolResultPart::Image(sources::image(&mut fields, blobs, further)?),
        _ => ToolResultPart::Document(sources::document(&mut fields, blobs, further)?),
    };
    further.extend(fields.rest());
    Ok((read, cache))
}

/// Takes `cache_control` out of a block or a tool. What it says beside its lifetime is one of the `further` fields.
///
/// # Errors
/// The field at fault.
pub fn cache_control(fields: &mut Fields, further: &mut Map<String, Value>) -> Result<Option<CacheBreakpoint>, BadRequest> {
    fields.object("cache_control")?.map(|told| breakpoint(told, further)).transpose()
}

fn breakpoint(mut told: Fields, further: &mut Map<String, Value>) -> Result<CacheBreakpoint, BadRequest> {
    told.word("type", &[("ephemeral", ())])?.ok_or_else(|| told.wrong("type", "is required and must be ephemeral"))?;
    let lifetime = told.word("ttl", &LIFETIMES)?;
    let rest = told.rest();
    if !rest.is_empty() {
        further.insert("cache_control".to_owned(), Value::Object(rest));
    }
    Ok(CacheBreakpoint { lifetime })
}

/// The model is the host's to say.
fn carried(sealed: &str) -> Option<Replay> {
    Some(Replay { data: sealed.to_owned(), model: None })
}

fn one(name: &str, text: String) -> Vec<crate::contract::Native> {
    extras(Map::from_iter([(name.to_owned(), Value::String(text))]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::contract::{Citation, Media, MediaSource, Native};
    use serde_json::json;

    const SEALED: &str = "gw1;claude;x";

    fn read(role: Role, blocks: Value) -> Result<(Vec<Part>, Shared), BadRequest> {
        let mut shared = Shared::default();
        shared.calls.add("toolu_1", "weather");
        let mut reader = BlockReader::new(role, &mut shared);
        for (at, block) in blocks.as_array().unwrap().iter().enumerate() {
            reader.read(format!("messages[0].content[{at}]"), block.clone())?;
        }
        Ok((reader.parts(), shared))
    }

    fn parts(role: Role, blocks: Value) -> Vec<Part> {
        read(role, blocks).unwrap().0
    }

    fn own_extras(value: Value) -> Vec<Native> {
        vec![own(&value)]
    }

    fn with_replay(body: PartBody) -> Part {
        Part { replay: carried(SEALED), ..part(body) }
    }

    fn call(arguments: &str) -> PartBody {
        PartBody::ToolCall(ToolCall { id: "t".into(), name: "f".into(), arguments: arguments.into(), free_form: false })
    }

    fn thought(text: &str) -> PartBody {
        PartBody::Thinking(text.to_owned())
    }

    #[test]
    fn every_block_of_the_assistants_becomes_a_part() {
        let cited = json!({"type": "page_location", "cited_text": "q", "document_title": "D", "document_index": 0});
        let citation = Citation { url: None, title: Some("D".into()), quote: Some("q".into()), span: None, native: own(&cited) };
        let search = json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": null}});
        for (block, expected) in [
            (json!({"type": "text", "text": "hi"}), part(PartBody::Text("hi".into()))),
            (
                json!({"type": "text", "text": "hi", "citations": [cited]}),
                Part { citations: vec![citation], ..part(PartBody::Text("hi".into())) },
            ),
            (json!({"type": "thinking", "thinking": "hm", "signature": SEALED}), with_replay(thought("hm"))),
            (json!({"type": "thinking", "thinking": "hm", "signature": ""}), part(thought("hm"))),
            (
                json!({"type": "thinking", "thinking": "hm", "signature": "EqoB"}),
                Part { extras: own_extras(json!({"signature": "EqoB"})), ..part(thought("hm")) },
            ),
            (json!({"type": "redacted_thinking", "data": SEALED}), with_replay(thought(""))),
            (
                json!({"type": "redacted_thinking", "data": "EqoB"}),
                Part { extras: own_extras(json!({"data": "EqoB"})), ..part(thought("")) },
            ),
            (json!({"type": "redacted_thinking", "data": format!("text:{SEALED}")}), with_replay(PartBody::Text(String::new()))),
            (json!({"type": "tool_use", "id": "t", "name": "f", "input": {"b": null, "a": 1.0}}), part(call("{\"b\":null,\"a\":1.0}"))),
            (
                json!({"type": "tool_use", "id": "t", "name": "f", "input": {}, "caller": {"type": "direct"}}),
                Part { extras: own_extras(json!({"caller": {"type": "direct"}})), ..part(call("{}")) },
            ),
            (search.clone(), part(PartBody::Other(own(&search)))),
        ] {
            assert_eq!(parts(Role::Assistant, json!([block])), [expected], "{block}");
        }
    }

    #[test]
    fn a_texts_replay_is_taken_out_of_its_citations() {
        let block = json!({"type": "text", "text": "hi", "citations": [carriers::citation(SEALED)]});
        assert_eq!(parts(Role::Assistant, json!([block])), [with_replay(PartBody::Text("hi".into()))]);
    }

    #[test]
    fn a_replay_goes_back_to_the_call_before_it() {
        let behind = carriers::behind(SEALED);
        let call_block = json!({"type": "tool_use", "id": "t", "name": "f", "input": {}});
        assert_eq!(parts(Role::Assistant, json!([call_block, behind])), [with_replay(call("{}"))]);
        assert_eq!(
            parts(Role::Assistant, json!([{"type": "text", "text": "hi"}, behind])),
            [part(PartBody::Text("hi".into()))],
            "the block that it belonged to is gone"
        );
        assert_eq!(parts(Role::Assistant, json!([behind])), []);
    }

    #[test]
    fn media_is_read_from_every_kind_of_source() {
        let (read, shared) = read(
            Role::User,
            json!([
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}},
                {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}, "transformations": {"a": 1}},
                {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
                {"type": "document", "title": "T", "context": "C", "citations": {"enabled": true},
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hello"}},
                {"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}},
                {"type": "document", "source": {"type": "file", "file_id": "file_2"}}
            ]),
        )
        .unwrap();
        let told: Vec<(&MediaSource, Option<&str>, Option<&str>)> =
            read.iter()
                .map(|part| match &part.body {
                    PartBody::Image(Media { source, media_type, name, .. })
                    | PartBody::Document(Media { source, media_type, name, .. }) => (source, media_type.as_deref(), name.as_deref()),
                    _ => unreachable!(),
                })
                .collect();
        assert_eq!(
            told[1..3],
            [(&MediaSource::Url("https://x.test/a.png".into()), None, None), (&MediaSource::File(own(&json!("file_1"))), None, None)]
        );
        assert_eq!(
            (told[0].1, told[3].1, told[3].2, told[4].1),
            (Some("image/png"), Some("application/pdf"), Some("T"), Some("text/plain"))
        );
        let blobs: Vec<&[u8]> = (0..3).map(|id| shared.blobs.get(id).unwrap().as_ref()).collect();
        assert_eq!(blobs, [b"\x89PNG".as_slice(), b"%PDF", b"hello"]);
        assert_eq!(read[3].extras, own_extras(json!({"context": "C", "citations": {"enabled": true}})));
        assert_eq!(read[1].extras, own_extras(json!({"transformations": {"a": 1}})));
    }

    #[test]
    fn blocks_without_a_canonical_name_stay_as_they_came() {
        for block in [
            json!({"type": "search_result", "source": "s", "title": null, "content": [{"type": "text", "text": "x"}]}),
            json!({"type": "document", "source": {"type": "content", "content": "abc"}, "title": "T"}),
            json!({"type": "container_upload", "file_id": "f"}),
            json!({"type": "of_next_year"}),
        ] {
            assert_eq!(parts(Role::User, json!([block])), [part(PartBody::Other(own(&block)))]);
        }
    }

    #[test]
    fn a_breakpoint_is_taken_from_any_block() {
        for (block, lifetime) in [
            (json!({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}), None),
            (json!({"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "5m"}}), Some(300)),
            (json!({"type": "search_result", "source": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}), Some(3600)),
            (
                json!({"type": "tool_result", "tool_use_id": "t", "content": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}),
                Some(3600),
            ),
            (
                json!({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]}),
                None,
            ),
        ] {
            assert_eq!(parts(Role::User, json!([block]))[0].cache, Some(CacheBreakpoint { lifetime }), "{block}");
        }
        let kept = parts(Role::User, json!([{"type": "search_result", "source": "s", "cache_control": {"type": "ephemeral"}}]));
        assert_eq!(kept[0].body, PartBody::Other(own(&json!({"type": "search_result", "source": "s"}))));
    }

    #[test]
    fn what_a_breakpoint_or_a_source_says_beside_is_kept() {
        let cache = json!({"type": "ephemeral", "scope": "global"});
        let source = json!({"type": "url", "url": "https://x.test/a.png", "region": "eu"});
        for (block, kept) in [
            (json!({"type": "text", "text": "x", "cache_control": cache}), json!({"cache_control": {"scope": "global"}})),
            (json!({"type": "search_result", "source": "s", "cache_control": cache}), json!({"cache_control": {"scope": "global"}})),
            (json!({"type": "image", "source": source}), json!({"source": {"region": "eu"}})),
        ] {
            assert_eq!(parts(Role::User, json!([block]))[0].extras, own_extras(kept), "{block}");
        }
    }

    #[test]
    fn media_in_a_tool_result_stays_media_whatever_else_is_said_of_it() {
        let source = json!({"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="});
        let cited = json!({"type": "document", "source": source, "title": "T", "context": "C", "citations": {"enabled": true}});
        let read = parts(
            Role::User,
            json!([{"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "x"}, cited]}]),
        );
        let PartBody::ToolResult(result) = &read[0].body else { unreachable!() };
        let ToolResultPart::Document(document) = &result.content[1] else { unreachable!() };
        assert!(matches!(document.source, MediaSource::Blob(_)));
        assert_eq!(document.name.as_deref(), Some("T"));
        assert_eq!(read[0].extras, own_extras(json!({"content": [{}, {"context": "C", "citations": {"enabled": true}}]})));
    }

    #[test]
    fn a_tool_result_has_the_name_of_its_call_and_holds_what_it_may() {
        let found = json!({"type": "search_result", "source": "s"});
        let blocks = json!([{"type": "tool_result", "tool_use_id": "toolu_1", "is_error": true, "content": [
            {"type": "text", "text": "4 C"}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}}, found
        ]}]);
        let read = parts(Role::User, blocks);
        let PartBody::ToolResult(result) = &read[0].body else { unreachable!() };
        assert_eq!((result.call_id.as_str(), result.name.as_str(), result.is_error), ("toolu_1", "weather", true));
        assert_eq!(result.content[0], ToolResultPart::Text("4 C".into()));
        assert!(matches!(&result.content[1], ToolResultPart::Image(Media { source: MediaSource::Blob(_), .. })));
        assert_eq!(result.content[2..], [ToolResultPart::Other(own(&found))]);
        assert_eq!(read[0].extras, []);
        let empty = parts(Role::User, json!([{"type": "tool_result", "tool_use_id": "toolu_1"}]));
        assert!(matches!(&empty[0].body, PartBody::ToolResult(result) if result.content.is_empty() && !result.is_error));
    }

    #[test]
    fn the_field_at_fault_is_named() {
        for (role, block, field) in [
            (Role::User, json!("hi"), "type"),
            (Role::User, json!({"text": "hi"}), "type"),
            (Role::User, json!({"type": "text"}), "text"),
            (Role::User, json!({"type": "thinking", "thinking": "x"}), "type"),
            (Role::User, json!({"type": "tool_use", "id": "t", "name": "f", "input": {}}), "type"),
            (Role::Assistant, json!({"type": "tool_result", "tool_use_id": "t"}), "type"),
            (Role::System, json!({"type": "image", "source": {"type": "url", "url": "https://x.test"}}), "type"),
            (Role::User, json!({"type": "image"}), "source"),
            (Role::User, json!({"type": "image", "source": {"type": "url", "url": "ftp://x.test"}}), "source.url"),
            (Role::User, json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "*"}}), "source.data"),
            (Role::User, json!({"type": "image", "source": {"type": "base64", "data": "AAAA"}}), "source.media_type"),
            (Role::User, json!({"type": "document", "source": {"type": "text"}}), "source.data"),
            (Role::Assistant, json!({"type": "tool_use", "id": "t", "name": "f", "input": "{}"}), "input"),
            (Role::Assistant, json!({"type": "redacted_thinking"}), "data"),
            (Role::User, json!({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text"}]}), "content[0].text"),
            (Role::User, json!({"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "2h"}}), "cache_control.ttl"),
            (Role::User, json!({"type": "text", "text": "x", "cache_control": {}}), "cache_control.type"),
            (Role::User, json!({"type": "search_result", "cache_control": "x"}), "cache_control"),
        ] {
            let bad = read(role, json!([block])).map(|(parts, _)| parts).unwrap_err();
            assert_eq!(bad.param.unwrap(), format!("messages[0].content[0].{field}"), "{block}");
        }
    }
}
