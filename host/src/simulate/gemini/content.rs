//! `:generateContent`, `:streamGenerateContent` and `:countTokens`: reads a request into a prompt, and writes a reply.

use super::check::{self, bound};
use super::models::Model;
use super::{array_failure, fields, invalid, sse_failure};
use crate::simulate::frames::Frames;
use crate::simulate::logprob;
use crate::simulate::prompt::{Format, Media, Prompt, Thinking, ToolChoice, list_at, str_at};
use crate::simulate::reply::{Content, Finish, Reply, ToolCall, compose};
use crate::simulate::seal::Bound;
use crate::simulate::text::{pieces, tokens};
use crate::simulate::wire::{Answer, Call, Problem, Streamed};
use serde_json::{Value, json};

/// Gemini's chunks are larger than the others'.
const WORDS_PER_CHUNK: usize = 6;

pub(super) fn answer(call: &Call, model: &str, body: &Value) -> Result<Answer, Problem> {
    let model = Model::known(model, "generateContent")?;
    let mut asked = Asked::checked(model, body)?;
    let limit = asked.prompt.max_output;
    let shorter = model.plain_output_limit().filter(|plain| limit.is_none_or(|limit| limit > *plain));
    asked.prompt.max_output = shorter.or(limit);
    let generation = Generation::of(call, model, &asked);
    let mut response = generation.whole();
    if generation.reply.finish == Finish::Length && shorter.is_some() {
        response["candidates"][0]["finishReason"] = json!("CONTINUATION");
        response["continuationToken"] = json!(call.ids.base62("continuation", 40));
    }
    Ok(Answer::pretty(&response))
}

pub(super) fn stream(call: &Call, model: &str, body: &Value) -> Result<Answer, Problem> {
    let model = Model::known(model, "streamGenerateContent")?;
    let asked = Asked::checked(model, body)?;
    if asked.prompt.logprobs.is_some() {
        return Err(invalid("LogProbs is not supported in streaming mode"));
    }
    let generation = Generation::of(call, model, &asked);
    let (content_type, framing, failure): (_, _, fn(usize) -> _) = match call.query_value("alt") {
        Some("sse") => ("text/event-stream", Framing::Sse, sse_failure),
        _ => ("application/json; charset=UTF-8", Framing::Array, array_failure),
    };
    Ok(Answer::Stream(Streamed { content_type, frames: generation.stream(framing), failure }))
}

pub(super) fn count(model: &str, body: &Value) -> Result<Answer, Problem> {
    let model = Model::known(model, "countTokens")?;
    let request = fields::normalised(body, fields::COUNT)?;
    let prompt = match request.get("generateContentRequest") {
        Some(_) if !list_at(&request, "contents").is_empty() => {
            return Err(invalid("contents and generate_content_request can not both be set."));
        }
        Some(inner) if str_at(inner, "model") != format!("models/{}", model.name) => {
            return Err(invalid("* CountTokensRequest.generate_content_request.model: model must be the model of the request.\n"));
        }
        Some(inner) => {
            check::check(model, inner)?;
            read(model, inner)
        }
        None => {
            check::check(model, &request)?;
            read(model, &request)
        }
    };
    let total = prompt.input_tokens();
    Ok(Answer::pretty(&json!({"totalTokens": total, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": total}]})))
}

struct Asked {
    prompt: Prompt,
    /// Whether the thoughts are to be shown, not only counted.
    shows_thoughts: bool,
}

impl Asked {
    fn checked(model: Model<'_>, body: &Value) -> Result<Self, Problem> {
        let request = fields::normalised(body, fields::GENERATE)?;
        check::check(model, &request)?;
        let shows = request.pointer("/generationConfig/thinkingConfig/includeThoughts");
        Ok(Self { prompt: read(model, &request), shows_thoughts: shows == Some(&Value::Bool(true)) })
    }
}

fn read(model: Model<'_>, request: &Value) -> Prompt {
    let config = request.get("generationConfig").unwrap_or(&Value::Null);
    let mut prompt = Prompt {
        model: model.name.to_owned(),
        max_output: config.get("maxOutputTokens").and_then(Value::as_u64),
        stop: list_at(config, "stopSequences").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        choice: read_choice(request),
        format: read_format(config),
        logprobs: (config.get("responseLogprobs") == Some(&Value::Bool(true)))
            .then(|| config.get("logprobs").and_then(Value::as_u64).unwrap_or(0) as usize),
        thinking: read_thinking(config.get("thinkingConfig")),
        ..Prompt::default()
    };
    let system = request.get("systemInstruction").unwrap_or(&Value::Null);
    list_at(system, "parts").iter().for_each(|part| prompt.context(str_at(part, "text")));
    for function in list_at(request, "tools").iter().flat_map(|tool| list_at(tool, "functionDeclarations")) {
        let schema = function.get("parametersJsonSchema").or_else(|| function.get("parameters"));
        prompt.tool(str_at(function, "name"), str_at(function, "description"), schema);
    }
    list_at(request, "contents").iter().for_each(|content| read_content(&mut prompt, content));
    prompt
}

fn read_content(prompt: &mut Prompt, content: &Value) {
    let parts = list_at(content, "parts");
    if str_at(content, "role") == "model" {
        prompt.begin_other();
        parts.iter().for_each(|part| {
            prompt.context(str_at(part, "text"));
            prompt.context(&part.pointer("/functionCall/args").map(Value::to_string).unwrap_or_default());
        });
        return;
    }
    // What follows tool results in the same turn is a remark on them, not a new question.
    let answers_tools = parts.iter().any(|part| part.get("functionResponse").is_some());
    if answers_tools {
        prompt.messages += 1;
    } else {
        prompt.begin_user();
    }
    parts.iter().for_each(|part| read_user_part(prompt, part));
}

fn read_user_part(prompt: &mut Prompt, part: &Value) {
    if let Some(text) = part.get("text").and_then(Value::as_str) {
        prompt.user_text(text);
    } else if let Some(data) = part.get("inlineData") {
        prompt.media(Media::inline(kind_of(str_at(data, "mimeType")), str_at(data, "data")));
    } else if let Some(file) = part.get("fileData") {
        prompt.media(Media { kind: kind_of(str_at(file, "mimeType")), bytes: None });
    } else if let Some(response) = part.pointer("/functionResponse/response") {
        let only = response.as_object().filter(|members| members.len() == 1).and_then(|members| members.values().next());
        let text = only.and_then(Value::as_str).map_or_else(|| response.to_string(), str::to_owned);
        prompt.tool_result(text);
    }
}

fn kind_of(mime_type: &str) -> &'static str {
    match mime_type.split('/').next().unwrap_or_default() {
        "image" => "an image",
        "audio" => "a sound",
        "video" => "a video",
        _ => "a document",
    }
}

fn read_choice(request: &Value) -> ToolChoice {
    let calling = request.pointer("/toolConfig/functionCallingConfig").unwrap_or(&Value::Null);
    match (str_at(calling, "mode"), list_at(calling, "allowedFunctionNames").first().and_then(Value::as_str)) {
        ("NONE", _) => ToolChoice::Never,
        ("ANY", Some(name)) => ToolChoice::Named(name.to_owned()),
        ("ANY", None) => ToolChoice::Required,
        _ => ToolChoice::Auto,
    }
}

fn read_format(config: &Value) -> Format {
    let schema = config.get("responseJsonSchema").or_else(|| config.get("responseSchema"));
    match (str_at(config, "responseMimeType"), schema) {
        ("application/json", Some(schema)) => Format::Schema(schema.clone()),
        ("application/json", None) => Format::Json,
        _ => Format::Text,
    }
}

fn read_thinking(config: Option<&Value>) -> Thinking {
    let Some(config) = config.and_then(Value::as_object) else { return Thinking::Off };
    let is_off = config.get("thinkingBudget").and_then(Value::as_i64) == Some(0);
    if is_off { Thinking::Off } else { Thinking::On }
}

fn logprobs(text: &str, alternatives: usize) -> Value {
    let form = |token: &logprob::Token| json!({"token": token.text, "logProbability": token.logprob});
    let chosen: Vec<_> = logprob::of(text, alternatives).collect();
    let top = |chosen: &logprob::Chosen| json!({"candidates": chosen.top.iter().map(form).collect::<Vec<_>>()});
    json!({
        "topCandidates": chosen.iter().map(top).collect::<Vec<_>>(),
        "chosenCandidates": chosen.iter().map(|chosen| form(&chosen.token)).collect::<Vec<_>>(),
    })
}

#[derive(Clone, Copy)]
enum Framing {
    Sse,
    Array,
}

struct Generation<'a> {
    call: &'a Call,
    model: Model<'a>,
    prompt: &'a Prompt,
    reply: Reply,
    shows_thoughts: bool,
}

impl<'a> Generation<'a> {
    fn of(call: &'a Call, model: Model<'a>, asked: &'a Asked) -> Self {
        let reply = compose("gemini", &asked.prompt, &call.shaping);
        Self { call, model, prompt: &asked.prompt, reply, shows_thoughts: asked.shows_thoughts }
    }

    fn finish(&self) -> &'static str {
        match self.reply.finish {
            // Calls end like a text.
            Finish::Stop | Finish::StopSequence(_) | Finish::ToolCalls => "STOP",
            Finish::Length => "MAX_TOKENS",
            Finish::Filtered => "SAFETY",
        }
    }

    fn signature(&self, part: &Value) -> String {
        Bound(&bound(self.model.name, part)).seal(self.call.ids.nonce("signature"))
    }

    /// Whether a text answer is signed: calls always are, on models that sign.
    fn signs_text(&self) -> bool {
        self.model.signs() && self.reply.thinking.is_some()
    }

    fn thought_part(&self) -> Option<Value> {
        let thinking = self.reply.thinking.as_deref().filter(|_| self.shows_thoughts)?;
        Some(json!({"text": thinking, "thought": true}))
    }

    fn call_parts(&self, calls: &[ToolCall]) -> Vec<Value> {
        let part = |(index, call): (usize, &ToolCall)| {
            let mut function = json!({"name": call.name, "args": call.arguments});
            if self.model.signs() {
                function["id"] = json!(self.call.ids.base62(&format!("call {index}"), 8).to_lowercase());
            }
            let mut part = json!({"functionCall": function});
            // Of parallel calls the first alone is signed.
            if self.model.signs() && index == 0 {
                part["thoughtSignature"] = json!(self.signature(&part));
            }
            part
        };
        calls.iter().enumerate().map(part).collect()
    }

    fn usage(&self, candidates: u64) -> Value {
        let usage = self.reply.usage;
        let mut counts = json!({"promptTokenCount": usage.input});
        if candidates > 0 {
            counts["candidatesTokenCount"] = json!(candidates);
        }
        counts["totalTokenCount"] = json!(usage.input + usage.thinking + candidates);
        counts["promptTokensDetails"] = json!([{"modality": "TEXT", "tokenCount": usage.input}]);
        if usage.cached > 0 {
            counts["cachedContentTokenCount"] = json!(usage.cached);
        }
        if usage.thinking > 0 {
            counts["thoughtsTokenCount"] = json!(usage.thinking);
        }
        counts
    }

    /// A blocked prompt has no candidates at all.
    fn blocked(&self) -> Value {
        self.with_origin(json!({
            "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
            "usageMetadata": {
                "promptTokenCount": self.reply.usage.input,
                "totalTokenCount": self.reply.usage.input,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": self.reply.usage.input}],
            },
        }))
    }

    /// Adds where the answer is from, and leaves out its tokens where a fault says so.
    fn with_origin(&self, mut response: Value) -> Value {
        if self.call.shaping.no_usage
            && let Some(members) = response.as_object_mut()
        {
            members.shift_remove("usageMetadata");
        }
        response["modelVersion"] = json!(self.prompt.model);
        response["responseId"] = json!(self.response_id());
        response
    }

    fn response_id(&self) -> String {
        self.call.ids.base62("response", 23)
    }

    fn output_without_thoughts(&self) -> u64 {
        self.reply.usage.output - self.reply.usage.thinking
    }

    fn whole(&self) -> Value {
        if self.reply.finish == Finish::Filtered {
            return self.blocked();
        }
        let mut parts: Vec<Value> = self.thought_part().into_iter().collect();
        match &self.reply.content {
            Content::Text(text) if text.is_empty() => {}
            Content::Text(text) => {
                let mut part = json!({"text": text});
                if self.signs_text() {
                    part["thoughtSignature"] = json!(self.signature(&part));
                }
                parts.push(part);
            }
            Content::Calls(calls) => parts.extend(self.call_parts(calls)),
        }
        // Thinking that used up the limit leaves a content without parts.
        let content = if parts.is_empty() { json!({"role": "model"}) } else { json!({"parts": parts, "role": "model"}) };
        let mut candidate = json!({"content": content, "finishReason": self.finish(), "index": 0});
        if let (Content::Text(text), Some(alternatives)) = (&self.reply.content, self.prompt.logprobs) {
            candidate["logprobsResult"] = logprobs(text, alternatives);
        }
        self.with_origin(json!({"candidates": [candidate], "usageMetadata": self.usage(self.output_without_thoughts())}))
    }

    fn stream(&self, framing: Framing) -> Frames {
        let mut chunks = Chunks { frames: Frames::default(), framing };
        if self.reply.finish == Finish::Filtered {
            chunks.value(&self.blocked());
            chunks.end();
            return chunks.frames;
        }
        if let Some(thought) = self.thought_part() {
            chunks.value(&self.chunk(json!([thought]), 0));
        }
        match &self.reply.content {
            Content::Text(text) => self.stream_text(text, &mut chunks),
            Content::Calls(calls) => chunks.value(&self.chunk(json!(self.call_parts(calls)), self.output_without_thoughts())),
        }
        let mut last = json!({"text": ""});
        if self.signs_text() && matches!(self.reply.content, Content::Text(_)) {
            last["thoughtSignature"] = json!(self.signature(&last));
        }
        let mut ending = self.chunk(json!([last]), self.output_without_thoughts());
        ending["candidates"][0] = json!({"content": ending["candidates"][0]["content"], "finishReason": self.finish(), "index": 0});
        chunks.frames.mark_finish();
        chunks.frames.mark_terminal();
        chunks.value(&ending);
        chunks.end();
        chunks.frames
    }

    fn chunk(&self, parts: Value, candidates: u64) -> Value {
        self.with_origin(json!({
            "candidates": [{"content": {"parts": parts, "role": "model"}, "index": 0}],
            "usageMetadata": self.usage(candidates),
        }))
    }

    /// Usage grows with the text, so it is written anew for each chunk.
    fn stream_text(&self, text: &str, chunks: &mut Chunks) {
        let usage = self.reply.usage;
        let count = |name: &str, tokens: u64| if tokens > 0 { format!(",\"{name}\": {tokens}") } else { String::new() };
        let details = count("cachedContentTokenCount", usage.cached) + &count("thoughtsTokenCount", usage.thinking);
        let tail = format!(
            ",\"promptTokensDetails\": [{{\"modality\": \"TEXT\",\"tokenCount\": {}}}]{details}}},\"modelVersion\": {},\"responseId\": \"{}\"}}",
            usage.input,
            json!(self.prompt.model),
            self.response_id(),
        );
        let mut sent = 0;
        for piece in pieces(text, WORDS_PER_CHUNK, self.call.shaping.chunks) {
            sent += piece.len();
            let candidates = tokens(sent);
            if self.call.shaping.no_usage {
                chunks.value(&self.chunk(json!([{"text": piece}]), candidates));
                continue;
            }
            chunks.frame(|writer| {
                writer.raw("{\"candidates\": [{\"content\": {\"parts\": [{\"text\": ");
                writer.string(piece);
                writer.raw("}],\"role\": \"model\"},\"index\": 0}],\"usageMetadata\": {\"promptTokenCount\": ");
                writer.number(usage.input);
                writer.raw(",\"candidatesTokenCount\": ");
                writer.number(candidates);
                writer.raw(",\"totalTokenCount\": ");
                writer.number(usage.input + usage.thinking + candidates);
                writer.raw(&tail);
            });
        }
    }
}

struct Chunks {
    frames: Frames,
    framing: Framing,
}

impl Chunks {
    fn value(&mut self, value: &Value) {
        self.frame(|writer| writer.json(value));
    }

    fn frame(&mut self, write: impl FnOnce(&mut crate::simulate::frames::FrameWriter<'_>)) {
        let (before, after) = match self.framing {
            Framing::Sse => ("data: ", "\r\n\r\n"),
            Framing::Array if self.frames.len() == 0 => ("[", ""),
            Framing::Array => ("\n,\r\n", ""),
        };
        self.frames.push(|writer| {
            writer.raw(before);
            write(writer);
            writer.raw(after);
        });
    }

    fn end(&mut self) {
        if let Framing::Array = self.framing {
            self.frames.text("\n]");
        }
    }
}
