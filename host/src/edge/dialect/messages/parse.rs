//! A Messages request as the canonical one. What has no canonical name goes along as `extras` of this dialect.

use super::blocks::Shared;
use super::{Places, conversation, extras, reasoning, tools};
use crate::contract::ChatRequest;
use crate::domain::{Target, chat_request};
use crate::edge::BadRequest;
use crate::edge::dialect::{Form, Parsed};
use crate::edge::json::Fields;
use serde_json::Value;

/// The header that changes what a request means, under its name among the extras.
const BETA: &str = "anthropic-beta";

/// `POST /v1/messages`. `beta`: the caller's header `anthropic-beta`.
///
/// # Errors
/// The field at fault.
pub fn parse(body: &[u8], beta: Option<&str>) -> Result<Parsed, BadRequest> {
    let mut fields = Fields::of_body(body)?;
    // 0 only warms the cache.
    let Some(max_output) = fields.integer("max_tokens", 0, u32::MAX)? else {
        return Err(fields.wrong("max_tokens", "is required: the most tokens that the answer may have"));
    };
    let mut parsed = of_fields(fields, beta)?;
    parsed.request.max_output = Some(max_output);
    Ok(parsed)
}

/// `POST /v1/messages/count_tokens`: the same but for `max_tokens`, which means nothing there.
///
/// # Errors
/// The field at fault.
pub fn parse_count(body: &[u8], beta: Option<&str>) -> Result<Parsed, BadRequest> {
    let mut fields = Fields::of_body(body)?;
    fields.value("max_tokens");
    of_fields(fields, beta)
}

fn of_fields(mut fields: Fields, beta: Option<&str>) -> Result<Parsed, BadRequest> {
    let target = fields.model("model")?.map_or(Target::Any(None), Target::Name);
    let mut shared = Shared::default();
    let mut places = Places::default();
    let messages = conversation::parse(&mut fields, &mut shared, &mut places)?;
    let mut request = chat_request(String::new(), messages);
    request.stream = fields.bool("stream")?.unwrap_or(false);
    sampling(&mut fields, &mut request)?;
    request.stop = stop_sequences(&mut fields)?;
    let mut further = tools::parse(&mut fields, &mut request)?;
    further.extend(reasoning::parse(&mut fields, &mut request)?);
    if let Some(mut metadata) = fields.object("metadata")? {
        request.user = metadata.string("user_id")?;
        let rest = metadata.rest();
        if !rest.is_empty() {
            further.insert("metadata".to_owned(), Value::Object(rest));
        }
    }
    further.extend(fields.rest());
    if let Some(beta) = beta {
        further.insert(BETA.to_owned(), Value::from(beta));
    }
    request.extras.extend(extras(further));
    Ok(Parsed { target, request, blobs: shared.blobs, form: Form::Messages(places) })
}

fn sampling(fields: &mut Fields, request: &mut ChatRequest) -> Result<(), BadRequest> {
    request.sampling.temperature = fields.number("temperature", 0.0, 1.0)?;
    request.sampling.top_p = fields.number("top_p", 0.0, 1.0)?;
    request.sampling.top_k = fields.integer("top_k", 0, u32::MAX)?;
    Ok(())
}

fn stop_sequences(fields: &mut Fields) -> Result<Vec<String>, BadRequest> {
    let told = fields.list("stop_sequences")?.unwrap_or_default();
    let texts = told.into_iter().map(|stop| if let Value::String(text) = stop { Some(text) } else { None });
    texts.collect::<Option<_>>().ok_or_else(|| fields.wrong("stop_sequences", "must be a list of strings"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::contract::Native;
    use serde_json::json;

    fn body(more: Value) -> Value {
        let mut body = json!({"model": "claude/claude-sonnet-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    }

    fn parsed(more: Value) -> Parsed {
        parse(body(more).to_string().as_bytes(), None).unwrap()
    }

    fn fields_of(extras: &[Native]) -> Value {
        let own = extras.iter().find(|native| native.dialect == super::super::DIALECT).unwrap();
        serde_json::from_str(&own.value).unwrap()
    }

    #[test]
    fn parameters_find_their_canonical_place() {
        let Parsed { target, request, form, .. } = parsed(json!({
            "temperature": 0.5, "top_p": 0.9, "top_k": 3, "stop_sequences": ["END"], "metadata": {"user_id": "u"}, "stream": true
        }));
        assert_eq!((target, form.dialect()), (Target::Name("claude/claude-sonnet-5-5".into()), crate::edge::dialect::Dialect::Messages));
        assert_eq!((request.max_output, request.stream, request.user.as_deref()), (Some(9), true, Some("u")));
        assert_eq!((request.sampling.temperature, request.sampling.top_p, request.sampling.top_k), (Some(0.5), Some(0.9), Some(3)));
        assert_eq!((request.stop, request.extras), (vec!["END".to_owned()], Vec::new()));
    }

    #[test]
    fn what_has_no_canonical_name_goes_along_in_the_dialects_words() {
        let more = json!({
            "service_tier": "auto", "container": "c", "mcp_servers": [{"url": "u"}], "context_management": {"edits": []},
            "cache_control": {"type": "ephemeral"}, "speed": "fast", "inference_geo": null
        });
        let mut expected = more.clone();
        expected.as_object_mut().unwrap().shift_remove("inference_geo");
        assert_eq!(fields_of(&parsed(more).request.extras), expected);
        let tagged = parsed(json!({"metadata": {"user_id": "u", "trace": "t"}}));
        assert_eq!(fields_of(&tagged.request.extras), json!({"metadata": {"trace": "t"}}));
    }

    #[test]
    fn the_beta_header_is_one_of_the_extras() {
        let parsed = parse(body(json!({})).to_string().as_bytes(), Some("a-1,b-2")).unwrap();
        assert_eq!(fields_of(&parsed.request.extras), json!({"anthropic-beta": "a-1,b-2"}));
    }

    #[test]
    fn what_an_adapter_names_is_told_in_the_callers_words() {
        let result = json!({"type": "tool_result", "tool_use_id": "t"});
        let asked = json!({"system": "s", "messages": [{"role": "user", "content": [result, {"type": "text", "text": "hi"}]}]});
        let form = parsed(asked).form;
        assert_eq!(form.parameter("messages[2].parts[0].cache"), "messages[0].content[1].cache_control");
        assert_eq!(form.parameter("sampling.top-p"), "top_p");
    }

    #[test]
    fn only_counting_does_without_max_tokens() {
        let mut body = body(json!({}));
        body.as_object_mut().unwrap().shift_remove("max_tokens");
        let text = body.to_string();
        assert_eq!(parse(text.as_bytes(), None).unwrap_err().param.as_deref(), Some("max_tokens"));
        assert_eq!(parse_count(text.as_bytes(), None).unwrap().request.max_output, None);
        assert_eq!(parsed(json!({"max_tokens": 0})).request.max_output, Some(0));
    }

    #[test]
    fn the_field_at_fault_is_named() {
        for (more, field) in [
            (json!({"max_tokens": -1}), "max_tokens"),
            (json!({"max_tokens": "9"}), "max_tokens"),
            (json!({"temperature": 1.5}), "temperature"),
            (json!({"top_k": 0.5}), "top_k"),
            (json!({"stop_sequences": "END"}), "stop_sequences"),
            (json!({"stop_sequences": [5]}), "stop_sequences"),
            (json!({"metadata": {"user_id": 5}}), "metadata.user_id"),
            (json!({"stream": "yes"}), "stream"),
            (json!({"model": ""}), "model"),
        ] {
            let bad = parse(body(more.clone()).to_string().as_bytes(), None).unwrap_err();
            assert_eq!(bad.param.as_deref(), Some(field), "{more}");
        }
    }
}
