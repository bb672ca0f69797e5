//! What Gemini answers, as its own types, and what its words mean.
//!
//! Everything may be absent: zero values are left out, and a model whose thinking used up the limit sends no content at all.

use crate::DIALECT;
use crate::usage::UsageMetadata;
use llm_gateway_adapter::serde_json::value::RawValue;
use llm_gateway_adapter::serde_json::{Value, json};
use llm_gateway_adapter::types::{FinishReason, Media, MediaSource, Native, PartKind};
use serde::Deserialize;
use std::borrow::Cow;

/// A whole answer, or one chunk of a stream.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GenerateContentResponse<'a> {
    #[serde(borrow)]
    pub candidates: Option<Vec<Candidate<'a>>>,
    #[serde(borrow)]
    pub prompt_feedback: Option<&'a RawValue>,
    pub usage_metadata: Option<UsageMetadata>,
    /// The model that answered, where the one asked was an alias.
    pub model_version: Option<String>,
    pub response_id: Option<String>,
    /// In the place of all others.
    #[serde(borrow)]
    pub error: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PromptFeedback {
    pub block_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate<'a> {
    #[serde(borrow)]
    pub content: Option<Content<'a>>,
    pub finish_reason: Option<String>,
    pub index: Option<u32>,
    pub logprobs_result: Option<LogprobsResult>,
    #[serde(borrow)]
    pub grounding_metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    pub citation_metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    url_context_metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    safety_ratings: Option<&'a RawValue>,
    #[serde(borrow)]
    finish_message: Option<&'a RawValue>,
    #[serde(borrow)]
    continuation_token: Option<&'a RawValue>,
    #[serde(borrow)]
    avg_logprobs: Option<&'a RawValue>,
}

impl<'a> Candidate<'a> {
    /// What has no canonical name.
    pub fn further_fields(&self) -> impl Iterator<Item = (&'static str, &'a RawValue)> {
        [
            ("groundingMetadata", self.grounding_metadata),
            ("citationMetadata", self.citation_metadata),
            ("urlContextMetadata", self.url_context_metadata),
            ("safetyRatings", self.safety_ratings),
            ("finishMessage", self.finish_message),
            ("continuationToken", self.continuation_token),
            ("avgLogprobs", self.avg_logprobs),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }
}

#[derive(Debug, Deserialize)]
pub struct Content<'a> {
    /// Read one by one: what is of no known kind is kept as it came.
    #[serde(borrow)]
    pub parts: Option<Vec<&'a RawValue>>,
}

/// A part of a kind that has a canonical name; of any other kind, all is absent.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part<'a> {
    pub text: Option<String>,
    pub thought: Option<bool>,
    pub thought_signature: Option<String>,
    #[serde(borrow)]
    pub function_call: Option<FunctionCall<'a>>,
    pub inline_data: Option<Blob>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionCall<'a> {
    pub id: Option<String>,
    pub name: Option<String>,
    #[serde(borrow)]
    pub args: Option<&'a RawValue>,
    /// Arguments in pieces, which only the Enterprise platform sends, and only when asked.
    #[serde(borrow)]
    pub partial_args: Option<&'a RawValue>,
    pub will_continue: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Blob {
    mime_type: Option<String>,
    data: Option<String>,
}

impl Blob {
    /// Absent if it is neither picture, sound nor film.
    pub fn into_kind(self) -> Option<PartKind> {
        let kind = self.mime_type.as_deref()?.split('/').next()?;
        let of = match kind {
            "image" => PartKind::Image,
            "audio" => PartKind::Audio,
            "video" => PartKind::Video,
            _ => return None,
        };
        let source = MediaSource::Base64(self.data?);
        Some(of(Media { source, media_type: self.mime_type, name: None, detail: None, transcript: None }))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogprobsResult {
    /// One for each token.
    chosen_candidates: Option<Vec<LogprobsCandidate>>,
    /// As many, each with its alternatives.
    top_candidates: Option<Vec<TopCandidates>>,
}

#[derive(Debug, Deserialize)]
struct TopCandidates {
    candidates: Option<Vec<LogprobsCandidate>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogprobsCandidate {
    token: Option<String>,
    log_probability: Option<f64>,
}

impl LogprobsResult {
    /// As the contract wants it, which is OpenAI's form.
    pub fn to_json(&self) -> Option<String> {
        let chosen = self.chosen_candidates.as_deref()?;
        let top = self.top_candidates.as_deref().unwrap_or_default();
        let tokens = chosen.iter().enumerate().map(|(at, token)| {
            let alternatives = top.get(at).and_then(|top| top.candidates.as_deref()).unwrap_or_default();
            let mut value = token.to_value();
            value["top_logprobs"] = alternatives.iter().map(LogprobsCandidate::to_value).collect();
            value
        });
        Some(Value::Array(tokens.collect()).to_string())
    }
}

impl LogprobsCandidate {
    fn to_value(&self) -> Value {
        let token = self.token.as_deref().unwrap_or_default();
        // Zero is left out on the wire, and is what a sure token has.
        json!({"token": token, "logprob": self.log_probability.unwrap_or(0.0), "bytes": token.as_bytes()})
    }
}

/// `STOP` also ends an answer with tool calls; the caller of this function knows of them.
pub fn finish_reason(word: &str) -> FinishReason {
    match word {
        "STOP" => FinishReason::Stop,
        // `CONTINUATION`: the limit of one request, not of the model.
        "MAX_TOKENS" | "CONTINUATION" => FinishReason::Length,
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "MODEL_ARMOR"
        | "ESCALATION"
        | "PUP_LIMITED_DISABLED" => FinishReason::ContentFilter,
        "MALFORMED_FUNCTION_CALL" | "UNEXPECTED_TOOL_CALL" | "TOO_MANY_TOOL_CALLS" | "MISSING_THOUGHT_SIGNATURE" | "MALFORMED_RESPONSE" => {
            FinishReason::Error
        }
        _ => FinishReason::Other,
    }
}

pub fn native(value: String) -> Native {
    Native { dialect: DIALECT.to_owned(), value }
}

/// The value without the white space that Gemini's whole answers are printed with.
pub fn compact(value: &RawValue) -> Cow<'_, str> {
    let text = value.get();
    // Within a JSON string a line break is escaped, so only printed JSON has one.
    if !text.contains('\n') {
        return Cow::Borrowed(text);
    }
    let (mut in_string, mut escaped) = (false, false);
    let mut is_kept = |c: char| {
        let kept = in_string || !c.is_ascii_whitespace();
        in_string ^= c == '"' && !escaped;
        escaped = in_string && c == '\\' && !escaped;
        kept
    };
    Cow::Owned(text.chars().filter(|c| is_kept(*c)).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use llm_gateway_adapter::serde_json;

    #[test]
    fn printed_json_is_made_compact_and_strings_are_left_alone() {
        let printed = "{\n  \"a b\": \"c  \\\" d\\\\\",\n  \"e\": [ 1.0, 2 ]\n}";
        let value: &RawValue = serde_json::from_str(printed).unwrap();
        assert_eq!(compact(value), r#"{"a b":"c  \" d\\","e":[1.0,2]}"#);
    }

    #[test]
    fn logprobs_take_the_form_of_the_contract() {
        let result: LogprobsResult = serde_json::from_str(
            r#"{"chosenCandidates":[{"token":"é","tokenId":7,"logProbability":-0.5}],
                "topCandidates":[{"candidates":[{"token":"e","logProbability":-1.5}]}]}"#,
        )
        .unwrap();
        let expected = json!([{"token": "é", "logprob": -0.5, "bytes": [195, 169],
            "top_logprobs": [{"token": "e", "logprob": -1.5, "bytes": [101]}]}]);
        assert_eq!(serde_json::from_str::<Value>(&result.to_json().unwrap()).unwrap(), expected);
    }
}
