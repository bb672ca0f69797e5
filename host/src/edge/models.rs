//! The models that can be asked, as OpenAI's and Anthropic's clients list them.
//!
//! One entry for each model of each available provider, by the id that callers write: `provider/model`. Beside the fields of either dialect an entry says what
//! an application chooses by: provider, context window, capabilities, prices. Then one for each route and alias, with what it stands for.

use crate::config::{RouteTarget, Rules};
use crate::contract::{Capabilities, ModelInfo};
use crate::price;
use crate::provider::{Provider, Snapshot};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::time::SystemTime;

/// Whose list it is to look like. Clients of Anthropic's say so by their `anthropic-version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    OpenAi,
    Anthropic,
}

/// The whole list. `made`: no provider says for all of its models when they were made, and the field is required.
pub fn list(snapshot: &Snapshot, shape: Shape, made: Timestamp) -> Value {
    let models = all(snapshot).map(|(provider, model)| entry(&snapshot.rules, provider, model, shape, made));
    let data: Vec<Value> = models.chain(all_names(snapshot).map(|name| name.entry(snapshot, shape, made))).collect();
    match shape {
        Shape::OpenAi => json!({"object": "list", "data": data}),
        Shape::Anthropic => {
            let id = |entry: Option<&Value>| entry.map(|entry| entry["id"].clone());
            json!({"first_id": id(data.first()), "last_id": id(data.last()), "has_more": false, "data": data})
        }
    }
}

/// One route, alias or model, the latter by its id with or without the provider, or by its provider's own alias. Absent: no provider that is available
/// knows it.
pub fn find(snapshot: &Snapshot, name: &str, shape: Shape, made: Timestamp) -> Option<Value> {
    if let Some(known) = all_names(snapshot).find(|known| known.name == name) {
        return Some(known.entry(snapshot, shape, made));
    }
    let called = |model: &ModelInfo, name: &str| model.id == name || model.aliases.iter().any(|alias| alias == name);
    let found = all(snapshot).find(|(provider, model)| match name.split_once('/') {
        Some((id, rest)) if id == provider.id => called(model, rest),
        _ => called(model, name),
    });
    found.map(|(provider, model)| entry(&snapshot.rules, provider, model, shape, made))
}

/// A name that the operator gave to one or several models, of which at least one can be asked.
struct Name<'a> {
    name: &'a str,
    /// `provider/model`, or a provider alone.
    targets: Vec<String>,
}

fn all_names(snapshot: &Snapshot) -> impl Iterator<Item = Name<'_>> {
    let rules = &snapshot.rules;
    let written = |target: &RouteTarget| match &target.model {
        Some(model) => format!("{}/{model}", target.provider),
        None => target.provider.clone(),
    };
    let routes = rules.routes.iter().map(move |(name, route)| Name { name, targets: route.targets.iter().map(written).collect() });
    // A route hides an alias of its name.
    let aliases = rules.aliases.iter().filter(|(alias, _)| !rules.routes.contains_key(*alias));
    let names = routes.chain(aliases.map(|(name, target)| Name { name, targets: vec![target.clone()] }));
    let can_be_asked = |target: &String| snapshot.provider(provider_of(target)).is_some_and(|provider| provider.ready().is_some());
    names.filter(move |name| name.targets.iter().any(can_be_asked))
}

fn provider_of(target: &str) -> &str {
    target.split_once('/').map_or(target, |(provider, _)| provider)
}

impl Name<'_> {
    /// Its capabilities are those that any of its targets is known to have.
    fn entry(&self, snapshot: &Snapshot, shape: Shape, made: Timestamp) -> Value {
        let models = self.targets.iter().filter_map(|target| {
            let provider = snapshot.provider(provider_of(target))?;
            match target.split_once('/') {
                Some((_, model)) => provider.model(model),
                None => provider.models().first(),
            }
        });
        let capabilities = models.filter_map(|model| model.capabilities).reduce(|all, one| all | one);
        let mut entry = head(self.name, "gateway", self.name, shape, made);
        entry["targets"] = json!(self.targets);
        entry["capabilities"] = json!(capabilities.map(capability_words));
        entry
    }
}

fn all(snapshot: &Snapshot) -> impl Iterator<Item = (&Provider, &ModelInfo)> {
    let available = snapshot.providers.iter().filter(|provider| provider.ready().is_some());
    available.flat_map(|provider| provider.models().iter().map(move |model| (&**provider, model)))
}

fn entry(rules: &Rules, provider: &Provider, model: &ModelInfo, shape: Shape, made: Timestamp) -> Value {
    let id = format!("{}/{}", provider.id, model.id);
    let name = model.name.as_deref().unwrap_or(&model.id);
    let mut entry = head(&id, &provider.id, name, shape, made);
    let price = price::of_provider(rules, provider, &model.id, SystemTime::now());
    let price = price.and_then(|price| serde_json::to_value(price.per_token(0)).ok());
    if let Value::Object(fields) = &mut entry {
        fields.extend(described(provider, model, name));
        fields.extend(price.into_iter().flat_map(|price| match price {
            Value::Object(prices) => prices,
            _ => Map::new(),
        }));
    }
    entry
}

/// What the clients of a dialect demand of every entry.
fn head(id: &str, owner: &str, name: &str, shape: Shape, made: Timestamp) -> Value {
    match shape {
        Shape::OpenAi => json!({"id": id, "object": "model", "created": made.as_second(), "owned_by": owner}),
        Shape::Anthropic => json!({"id": id, "type": "model", "display_name": name, "created_at": made.to_string()}),
    }
}

fn described(provider: &Provider, model: &ModelInfo, name: &str) -> Map<String, Value> {
    let capabilities = model.capabilities.map(capability_words);
    let fields = [
        ("provider", json!(provider.id)),
        ("name", json!(name)),
        ("context_window", json!(model.context_window)),
        ("max_output_tokens", json!(model.max_output)),
        ("capabilities", json!(capabilities)),
        ("aliases", json!(model.aliases)),
        ("retires", json!(model.retires)),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What a model can do, in the contract's words.
fn capability_words(capabilities: Capabilities) -> Vec<&'static str> {
    let all = [
        (Capabilities::CHAT, "chat"),
        (Capabilities::STREAMING, "streaming"),
        (Capabilities::TOOLS, "tools"),
        (Capabilities::PARALLEL_TOOLS, "parallel_tools"),
        (Capabilities::CUSTOM_TOOLS, "custom_tools"),
        (Capabilities::JSON_OBJECT, "json_object"),
        (Capabilities::JSON_SCHEMA, "json_schema"),
        (Capabilities::IMAGE_INPUT, "image_input"),
        (Capabilities::AUDIO_INPUT, "audio_input"),
        (Capabilities::VIDEO_INPUT, "video_input"),
        (Capabilities::DOCUMENT_INPUT, "document_input"),
        (Capabilities::IMAGE_OUTPUT, "image_output"),
        (Capabilities::AUDIO_OUTPUT, "audio_output"),
        (Capabilities::MEDIA_BY_URL, "media_by_url"),
        (Capabilities::REASONING, "reasoning"),
        (Capabilities::SAMPLING, "sampling"),
        (Capabilities::STOP_SEQUENCES, "stop_sequences"),
        (Capabilities::LOGPROBS, "logprobs"),
        (Capabilities::SEVERAL_CHOICES, "several_choices"),
        (Capabilities::CACHE_BREAKPOINTS, "cache_breakpoints"),
        (Capabilities::EMBEDDINGS, "embeddings"),
        (Capabilities::PREFILL, "prefill"),
    ];
    all.into_iter().filter(|(flag, _)| capabilities.contains(*flag)).map(|(_, word)| word).collect()
}
