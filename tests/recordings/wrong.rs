//! Recordings that are not to be met as they are expected, and why.

use crate::Provider;
use crate::recorded::Recording;
use serde_json::Value;

/// A recording whose expected result is not to be met.
#[derive(Debug, Clone, Copy)]
pub struct Listed {
    /// The provider's folder.
    folder: &'static str,
    name: &'static str,
    /// The fields of the expected result that are not to be met, as JSON pointers. All others are.
    fields: &'static [&'static str],
    reason: &'static str,
}

/// Expected results that are wrong.
pub const WRONG: &[Listed] = &[
    several("openai", "vercel-openai-shell-tool.1-stream"),
    several("openai", "vercel-openai-reasoning-encrypted-content.1-stream"),
    Listed {
        folder: "openai",
        name: "responses-stream-gpt-5.6-sol-genstream-maxtokens",
        fields: &["/thinking"],
        reason: "the provider began its summary anew in mid-stream: the deltas do not add up to the text of the last event, and can't be taken back",
    },
    code_is_status("chat-gemini-2.0-flash-lite-error-bad-apikey-gensync"),
    code_is_status("chat-stream-gemini-2.0-flash-lite-error-bad-apikey-genstream"),
    message_is_a_list("chat-ministral-3b-2512-gensync-tools-websearch"),
    message_is_a_list("chat-stream-mistral-large-2512-genstream-tools-websearch"),
    Listed {
        folder: "anthropic",
        name: "vercel-anthropic-programmatic-tool-calling.1",
        fields: &["/finish_reason"],
        reason: "put together of 15 answers by hand: it has tool calls, but ends in `end_turn`",
    },
    several("anthropic", "vercel-anthropic-programmatic-tool-calling.1-stream"),
    several("anthropic", "vercel-anthropic-tool-search-bm25.1-stream"),
    several("anthropic", "vercel-anthropic-tool-search-deferred-bm25-stream"),
    several("anthropic", "vercel-anthropic-tool-search-deferred-regex-stream"),
    several("anthropic", "vercel-anthropic-tool-search-regex.1-stream"),
];

/// Expected results that are right, and that OpenAI's dialect can't tell a client.
pub const NOT_TOLD: &[Listed] = &[Listed {
    folder: "anthropic",
    name: "vercel-anthropic-fallback-stream",
    fields: &["/model"],
    reason: "another model goes on in mid-stream, and all chunks of a stream name one model: the one that began it",
}];

const fn several(folder: &'static str, name: &'static str) -> Listed {
    Listed {
        folder,
        name,
        fields: &["/text", "/thinking", "/tool_calls", "/finish_reason", "/finish_reason_raw", "/usage"],
        reason: "several streams one after the other, expected as one: a stream ends with its first sign of completion, and the next answers another request",
    }
}

const fn code_is_status(name: &'static str) -> Listed {
    let reason = "the code that is expected repeats the status; the contract wants the narrower `ErrorInfo.reason`";
    Listed { folder: "gemini", name, fields: &["/error/code"], reason }
}

const fn message_is_a_list(name: &'static str) -> Listed {
    let reason = "the message that is expected is a list of validation errors as Python writes JSON; the contract wants one for people, and gets a sentence of each";
    Listed { folder: "mistral", name, fields: &["/error/message"], reason }
}

/// How a recording is listed, if it is.
pub fn listed(lists: &[&[Listed]], provider: Provider, name: &str) -> Option<Listed> {
    lists.concat().into_iter().find(|listed| listed.folder == provider.folder && listed.name == name)
}

impl Listed {
    /// The recording with what is to be met of its expected result.
    pub fn excused(&self, recording: &Recording) -> Recording {
        let mut json = recording.json.clone();
        for field in self.fields {
            if let Some(value) = json["expected"].pointer_mut(field) {
                *value = Value::Null;
            }
        }
        Recording { json, response: recording.response.clone() }
    }

    /// A recording that is met after all is listed for nothing.
    pub fn still_differs(&self, result: Result<(), String>) -> Result<(), String> {
        match result {
            Err(_) => Ok(()),
            Ok(()) => Err(format!("is met, and yet listed as not to be: {}", self.reason)),
        }
    }
}
