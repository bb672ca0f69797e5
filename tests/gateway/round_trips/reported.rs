//! What an adapter reports of a request, taken out of it: the rest must have arrived.

use llm_gateway::contract::{CacheBreakpoint, ChatRequest, Dropped, Message, Native, Part, PartBody, Tool};
use llm_gateway::domain::part;
use serde_json::{Map, Value};

/// The reports of one request.
pub struct Reported<'a>(pub &'a [Dropped]);

impl Reported<'_> {
    /// Whether the field, or one within it, was reported.
    pub fn has(&self, field: &str) -> bool {
        self.0.iter().any(|dropped| within(&dropped.parameter, field).is_some())
    }

    /// Takes out what was reported: of what was said (its places are the request's own), and of the fields of both, for a field may have been sent in
    /// another form.
    pub fn forget(&self, asked: &mut ChatRequest, read: &mut ChatRequest) {
        for Dropped { parameter, .. } in self.0.iter().rev() {
            match parameter.split_at(parameter.find(['.', '[']).unwrap_or(parameter.len())) {
                ("messages", path) => forget_said(path, &mut asked.messages),
                ("tools", path) => forget_of_tool(path, asked, read),
                ("extras", path) => forget_extra(path, &mut asked.extras),
                ("stop", path) if !path.is_empty() => drop(asked.stop.remove(index(path).0)),
                _ => [&mut *asked, read].into_iter().for_each(|request| forget_field(parameter, request)),
            }
        }
    }
}

/// The rest of a path that is the field's or leads into it.
fn within<'p>(path: &'p str, field: &str) -> Option<&'p str> {
    path.strip_prefix(field).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// `[3].rest` is 3, and `rest`.
fn index(path: &str) -> (usize, &str) {
    let (number, rest) = path.strip_prefix('[').and_then(|path| path.split_once(']')).unwrap_or_else(|| panic!("{path} has no number"));
    (number.parse().unwrap(), rest.strip_prefix('.').unwrap_or(rest))
}

fn forget_field(parameter: &str, request: &mut ChatRequest) {
    let sampling = &mut request.sampling;
    match parameter {
        "sampling.temperature" => sampling.temperature = None,
        "sampling.top-p" => sampling.top_p = None,
        "sampling.top-k" => sampling.top_k = None,
        "sampling.presence-penalty" => sampling.presence_penalty = None,
        "sampling.frequency-penalty" => sampling.frequency_penalty = None,
        "sampling.seed" => sampling.seed = None,
        "sampling.logit-bias" => sampling.logit_bias.clear(),
        "stop" => request.stop.clear(),
        "choices" => request.choices = None,
        "logprobs" => request.logprobs = None,
        "max-output" => request.max_output = None,
        "metadata" => request.metadata.clear(),
        "parallel-tool-calls" => request.parallel_tool_calls = None,
        "tool-choice" => request.tool_choice = None,
        format if within(format, "response-format").is_some() => request.response_format = None,
        // It is compared by meaning.
        reasoning if within(reasoning, "reasoning").is_some() => {}
        other => panic!("no request has the field `{other}`"),
    }
}

fn forget_said(path: &str, messages: &mut [Message]) {
    let (message, rest) = index(path);
    let message = &mut messages[message];
    if let Some(path) = within(rest, "extras") {
        return forget_extra(path, &mut message.extras);
    }
    match rest {
        "name" => message.name = None,
        // Its words are told from the user's own.
        "role" => {}
        _ => match rest.strip_prefix("parts").map(index) {
            Some((number, rest)) => forget_of_part(rest, &mut message.parts[number]),
            None => panic!("no message has the field `{rest}`"),
        },
    }
}

fn forget_of_part(field: &str, said: &mut Part) {
    match field {
        // Thinking that has nothing to send back is nothing.
        "" => *said = part(PartBody::Thinking(String::new())),
        "cache" => said.cache = None,
        "cache.lifetime" => said.cache = Some(CacheBreakpoint { lifetime: None }),
        "citations" => said.citations.clear(),
        // Wrapped in an object.
        "arguments" => {}
        "detail" => super::requests::media_in(&mut said.body).into_iter().for_each(|media| media.detail = None),
        other => match within(other, "extras") {
            Some(path) => forget_extra(path, &mut said.extras),
            None => panic!("no part has the field `{other}`"),
        },
    }
}

fn forget_extra(path: &str, extras: &mut Vec<Native>) {
    let name = path.strip_prefix('.').unwrap_or_else(|| panic!("{path} names no field"));
    for native in extras.iter_mut() {
        let mut fields: Map<String, Value> = serde_json::from_str(&native.value).unwrap();
        fields.shift_remove(name);
        native.value = Value::Object(fields).to_string();
    }
    extras.retain(|native| native.value != "{}");
}

fn forget_of_tool(path: &str, asked: &mut ChatRequest, read: &mut ChatRequest) {
    let (number, field) = index(path);
    let tool = &mut asked.tools[number];
    if let Some(path) = within(field, "extras") {
        match tool {
            Tool::Function(tool) => forget_extra(path, &mut tool.extras),
            Tool::Custom(tool) => forget_extra(path, &mut tool.extras),
            Tool::Other(_) => panic!("{path} is none of this tool's"),
        }
        return;
    }
    let Tool::Function(tool) = tool else { panic!("{path} is none of a function's") };
    let read = read.tools.iter_mut().find_map(|read| match read {
        Tool::Function(read) if read.name == tool.name => Some(read),
        _ => None,
    });
    let read = read.unwrap_or_else(|| panic!("{} is not among the tools", tool.name));
    match field {
        "cache" => tool.cache = None,
        "cache.lifetime" => tool.cache = Some(CacheBreakpoint { lifetime: None }),
        "strict" => (tool.strict, read.strict) = (None, None),
        schema if within(schema, "parameters").is_some() => (tool.parameters, read.parameters) = (None, None),
        other => panic!("no tool has the field `{other}`"),
    }
}
