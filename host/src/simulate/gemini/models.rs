//! What Gemini's models are, and what each takes.

use super::invalid;
use crate::simulate::wire::{Answer, Call, Problem};
use serde_json::{Value, json};

const LISTED: [&str; 11] = [
    "gemini-4-argon",
    "gemini-3.8-flash",
    "gemini-3.7-flash",
    "gemini-3.6-flash",
    "gemini-3.5-flash",
    "gemini-3.1-pro-preview",
    "gemini-3.1-flash-lite",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "gemini-flash-latest",
    EMBEDDING,
];
const EMBEDDING: &str = "gemini-embedding-001";
pub(super) const EMBEDDING_DIMENSIONS: usize = 3072;
const DEFAULT_PAGE: usize = 50;
const MAX_PAGE: usize = 1000;

/// Paged: a token is the number of models that were shown.
pub(super) fn list(call: &Call) -> Answer {
    let number = |name: &str| call.query_value(name).and_then(|value| value.parse::<usize>().ok());
    let size = number("pageSize").filter(|size| *size > 0).unwrap_or(DEFAULT_PAGE).min(MAX_PAGE);
    let start = number("pageToken").unwrap_or(0).min(LISTED.len());
    let end = start.saturating_add(size).min(LISTED.len());
    let mut page = json!({"models": LISTED[start..end].iter().map(|name| entry(name)).collect::<Vec<_>>()});
    if end < LISTED.len() {
        page["nextPageToken"] = json!(end.to_string());
    }
    Answer::pretty(&page)
}

pub(super) fn show(name: &str) -> Result<Answer, Problem> {
    match LISTED.iter().find(|listed| **listed == name) {
        Some(name) => Ok(Answer::pretty(&entry(name))),
        None => Err(not_found(name, "getModel")),
    }
}

fn entry(name: &str) -> Value {
    let methods: &[&str] = match name {
        EMBEDDING => &["embedContent", "countTextTokens", "asyncBatchEmbedContent"],
        _ => &["generateContent", "countTokens", "createCachedContent", "batchGenerateContent"],
    };
    let input_limit = if name == EMBEDDING { 2048 } else { 1_048_576 };
    json!({
        "name": format!("models/{name}"),
        "version": "001",
        "displayName": name,
        "description": "A simulated model",
        "inputTokenLimit": input_limit,
        "outputTokenLimit": if name == EMBEDDING { 1 } else { 65_536 },
        "supportedGenerationMethods": methods,
        "temperature": 1,
        "topP": 0.95,
        "topK": 64,
        "maxTemperature": 2,
        "thinking": name != EMBEDDING,
    })
}

pub(super) fn not_found(model: &str, method: &str) -> Problem {
    let message = format!(
        "models/{model} is not found for API version v1beta, or is not supported for {method}. Call ModelService.ListModels to see the list of available models and their supported methods."
    );
    Problem::new(404, "NOT_FOUND", message)
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Model<'a> {
    pub name: &'a str,
    version: (u32, u32),
}

impl<'a> Model<'a> {
    /// # Errors
    /// In Gemini's words, which differ for a name that could not be one.
    pub fn known(name: &'a str, method: &str) -> Result<Self, Problem> {
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
            return Err(invalid("* GenerateContentRequest.model: unexpected model name format\n"));
        }
        let rest = name.strip_prefix("gemini-").ok_or_else(|| not_found(name, method))?;
        let is_embedding = rest.starts_with("embedding");
        if is_embedding != method.ends_with("mbedContent") && is_embedding != method.ends_with("mbedContents") {
            return Err(not_found(name, method));
        }
        let number = rest.split('-').next().unwrap_or_default();
        let mut digits = number.split('.').map(str::parse);
        let newest = (3, 5);
        let version = match (digits.next(), digits.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
            (Some(Ok(major)), _) => (major, 0),
            // `gemini-flash-latest` and the like.
            _ => newest,
        };
        Ok(Self { name, version })
    }

    /// From Gemini 3 on the API signs calls and checks the signatures.
    pub fn signs(&self) -> bool {
        self.version >= (3, 0)
    }

    /// 2.5 knows a budget alone.
    pub fn takes_thinking_level(&self) -> bool {
        self.version >= (3, 0)
    }

    pub fn takes_penalties(&self) -> bool {
        self.version < (2, 5)
    }

    /// Whole answers alone.
    pub fn gives_logprobs(&self) -> bool {
        self.version >= (3, 0) && !self.name.contains("pro")
    }

    pub fn can_stop_thinking(&self) -> bool {
        let never = self.version >= (4, 0) || self.name.contains("pro");
        !never
    }

    /// In a plain answer; a streamed one may be longer.
    pub fn plain_output_limit(&self) -> Option<u64> {
        (self.version >= (4, 0)).then_some(32_768)
    }
}
