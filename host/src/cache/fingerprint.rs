//! Which requests are the same.
//!
//! Owns: what of a request and of its plan an answer depends on, read into a SHA-256. Not here: whether a request may be answered from the cache at all (`policy`). Pure.
//!
//! Two requests that differ in anything that a provider could see differ here, the order of an object's fields in a tool's schema included: models read it. What costs a wrong answer
//! is never left out to gain a hit. Only whether a stream is asked for does not count.

use crate::config::{CacheScope, UnsupportedParams};
use crate::contract::embeddings::EmbeddingRequest;
use crate::contract::{ChatRequest, MediaSource, Message, PartBody, ToolResultPart};
use crate::domain::Blobs;
use crate::plan::{Candidate, Plan};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt;
use std::io;

/// What is read, in this form: another one is another number.
const FORM: u32 = 1;

/// Stands for a request: all that its answer depends on, and whose it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a chat as it was parsed, before it is addressed to a candidate.
    pub fn of_chat(scope: CacheScope, tenant: &str, plan: &Plan, request: &ChatRequest, blobs: &Blobs) -> Self {
        // By name, so that a new field of the contract is not forgotten. Model and settings are those of the candidates.
        let ChatRequest {
            model: _,
            messages,
            tools,
            tool_choice,
            parallel_tool_calls,
            response_format,
            sampling,
            max_output,
            stop,
            choices,
            logprobs,
            reasoning,
            user,
            metadata,
            stream: _,
            settings: _,
            extras,
        } = request;
        let mut read = Read::begun("chat", owner(scope, tenant), &Addressees::of(plan));
        read.value(&(tools, tool_choice, parallel_tool_calls, response_format, sampling, max_output, stop, choices, logprobs, reasoning));
        read.value(&(user, metadata, extras));
        read.value(&by_content(messages, blobs));
        read.finished()
    }

    /// Of embeddings as they were parsed, before they are addressed to a candidate.
    pub fn of_embeddings(scope: CacheScope, tenant: &str, plan: &Plan, request: &EmbeddingRequest) -> Self {
        let EmbeddingRequest { model: _, inputs, dimensions, user, settings: _, extras } = request;
        let mut read = Read::begun("embeddings", owner(scope, tenant), &Addressees::of(plan));
        read.value(&(inputs, dimensions, user, extras));
        read.finished()
    }

    /// In a place that several gateways share.
    pub(super) fn key(&self) -> String {
        format!("gw:cache:{self}")
    }

    #[cfg(test)]
    pub(super) fn of_test(name: &str) -> Self {
        Self(Sha256::digest(name).into())
    }
}

/// In hex.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// Among whose requests equal ones are the same. Absent: everybody's.
fn owner(scope: CacheScope, tenant: &str) -> Option<&str> {
    match scope {
        CacheScope::Tenant => Some(tenant),
        CacheScope::Global => None,
    }
}

/// Who may answer, and how they are asked.
#[derive(Serialize)]
struct Addressees<'a> {
    /// What the caller named, where that is several models.
    route: Option<&'a str>,
    /// Sorted: in which order they are asked changes from request to request.
    candidates: Vec<Addressee<'a>>,
    /// Whether what they can't take is left out.
    unsupported_params: UnsupportedParams,
}

#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Addressee<'a> {
    provider: &'a str,
    model: &'a str,
    /// Of the plugin's code.
    sha256: Option<&'a str>,
    settings: &'a [(String, String)],
    /// Absent: the simulator, whose place changes from start to start.
    base_url: Option<&'a str>,
    /// Sorted.
    headers: Vec<(&'a str, &'a [u8])>,
}

impl<'a> Addressees<'a> {
    fn of(plan: &'a Plan) -> Self {
        let mut candidates: Vec<_> = plan.candidates().map(Addressee::of).collect();
        candidates.sort_unstable();
        Self { route: plan.route.as_deref(), candidates, unsupported_params: plan.rules.unsupported_params }
    }
}

impl<'a> Addressee<'a> {
    fn of(candidate: &'a Candidate) -> Self {
        let ready = candidate.provider.ready();
        let mut headers: Vec<_> = ready.map(|ready| ready.fixed_headers.iter()).into_iter().flatten().map(header).collect();
        headers.sort_unstable();
        Self {
            provider: &candidate.provider.id,
            model: &candidate.model,
            sha256: ready.map(|ready| ready.version.sha256.as_str()),
            settings: ready.map(|ready| ready.settings.as_slice()).unwrap_or_default(),
            base_url: ready.filter(|ready| !ready.simulated).map(|ready| ready.base_url.as_str()),
            headers,
        }
    }
}

fn header<'a>((name, value): (&'a reqwest::header::HeaderName, &'a reqwest::header::HeaderValue)) -> (&'a str, &'a [u8]) {
    (name.as_str(), value.as_bytes())
}

/// Messages in which media is named by what it is, not by its number in this request.
fn by_content<'a>(messages: &'a [Message], blobs: &Blobs) -> Cow<'a, [Message]> {
    if blobs.get(0).is_none() {
        return Cow::Borrowed(messages);
    }
    let mut messages = messages.to_vec();
    for part in messages.iter_mut().flat_map(|message| &mut message.parts) {
        match &mut part.body {
            PartBody::Image(media) | PartBody::Audio(media) | PartBody::Video(media) | PartBody::Document(media) => {
                name_by_content(&mut media.source, blobs);
            }
            PartBody::ToolResult(result) => {
                for part in &mut result.content {
                    match part {
                        ToolResultPart::Image(media)
                        | ToolResultPart::Audio(media)
                        | ToolResultPart::Video(media)
                        | ToolResultPart::Document(media) => name_by_content(&mut media.source, blobs),
                        ToolResultPart::Text(_) | ToolResultPart::Other(_) => {}
                    }
                }
            }
            PartBody::Text(_) | PartBody::Refusal(_) | PartBody::Thinking(_) | PartBody::ToolCall(_) | PartBody::Other(_) => {}
        }
    }
    Cow::Owned(messages)
}

/// As a base64 that none is, so that no caller can write it.
fn name_by_content(source: &mut MediaSource, blobs: &Blobs) {
    let MediaSource::Blob(blob) = source else { return };
    let digest = blobs.get(blob.id).map(|bytes| Fingerprint(Sha256::digest(bytes).into()));
    *source = MediaSource::Base64(digest.map_or_else(|| format!("missing:{}", blob.id), |digest| format!("sha256:{digest}")));
}

/// Reads values, each of which says where it ends.
struct Read(Sha256);

impl Read {
    fn begun(kind: &str, owner: Option<&str>, addressees: &Addressees<'_>) -> Self {
        let mut read = Self(Sha256::new());
        read.value(&(FORM, kind, owner, addressees));
        read
    }

    fn value(&mut self, value: &impl Serialize) {
        // Nothing in a request can fail to be written, and what was read until then counts in any case.
        let _ = serde_json::to_writer(&mut *self, value);
    }

    fn finished(self) -> Fingerprint {
        Fingerprint(self.0.finalize().into())
    }
}

impl io::Write for Read {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::{Rules, Timeouts};
    use crate::contract::embeddings::EmbeddingInput;
    use crate::contract::{Effort, Media, Native, Reasoning, ResponseFormat, Role, Tool, ToolChoice, ToolMode, ToolResult};
    use crate::domain::{chat_request, part};
    use crate::health::Kind;
    use crate::provider::{Provider, State};
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::sync::Arc;
    use std::time::Duration;

    fn candidate(provider: &str, model: &str) -> Candidate {
        let provider = Provider { id: provider.into(), state: State::Unavailable { reason: String::new(), version: None } };
        Candidate { provider: Arc::new(provider), model: model.into(), timeouts: Timeouts::default(), kind: Kind::Whole }
    }

    fn plan(models: &[&str]) -> Plan {
        let mut candidates = models.iter().map(|model| candidate("acme", model));
        Plan {
            first: candidates.next().unwrap(),
            rest: candidates.collect(),
            preferred: None,
            rules: Arc::new(Rules::default()),
            route: None,
            max_retries: None,
            hedge_after: None,
            request_timeout: Duration::from_secs(1),
        }
    }

    fn of(request: &ChatRequest) -> Fingerprint {
        Fingerprint::of_chat(CacheScope::Tenant, "t", &plan(&["m"]), request, &Blobs::default())
    }

    fn said(text: &str) -> Message {
        Message { role: Role::User, name: None, parts: vec![part(PartBody::Text(text.into()))], extras: Vec::new() }
    }

    fn request(text: &str) -> ChatRequest {
        chat_request(String::new(), vec![said(text)])
    }

    /// Changes of each field of a request, by number.
    fn changes() -> Vec<fn(&mut ChatRequest)> {
        vec![
            |it| it.messages.push(said("more")),
            |it| it.messages[0].role = Role::Developer,
            |it| it.messages[0].name = Some("ann".into()),
            |it| it.messages[0].parts.push(part(PartBody::Text(String::new()))),
            |it| it.messages[0].parts[0].body = PartBody::Thinking("hm".into()),
            |it| it.messages[0].parts[0].extras.push(Native { dialect: "d".into(), value: "{}".into() }),
            |it| it.messages[0].extras.push(Native { dialect: "d".into(), value: "{}".into() }),
            |it| it.tools.push(Tool::Other(Native { dialect: "d".into(), value: "{}".into() })),
            |it| it.tool_choice = Some(ToolChoice { mode: ToolMode::None, only: Vec::new() }),
            |it| it.tool_choice = Some(ToolChoice { mode: ToolMode::Auto, only: vec!["f".into()] }),
            |it| it.parallel_tool_calls = Some(false),
            |it| it.response_format = Some(ResponseFormat::JsonObject),
            |it| it.sampling.temperature = Some(0.0),
            |it| it.sampling.temperature = Some(f64::MIN_POSITIVE),
            |it| it.sampling.top_p = Some(0.0),
            |it| it.sampling.top_k = Some(0),
            |it| it.sampling.presence_penalty = Some(0.0),
            |it| it.sampling.frequency_penalty = Some(0.0),
            |it| it.sampling.seed = Some(0),
            |it| it.sampling.logit_bias.push((0, 0.0)),
            |it| it.max_output = Some(0),
            |it| it.stop.push(String::new()),
            |it| it.choices = Some(1),
            |it| it.logprobs = Some(1),
            |it| it.reasoning = Some(Reasoning { enabled: None, effort: Some(Effort::Low), budget: None, visible: None }),
            |it| it.reasoning = Some(Reasoning { enabled: Some(true), effort: None, budget: None, visible: None }),
            |it| it.user = Some(String::new()),
            |it| it.metadata.push((String::new(), String::new())),
            |it| it.extras.push(Native { dialect: "d".into(), value: "{}".into() }),
            |it| it.extras.push(Native { dialect: "e".into(), value: "{}".into() }),
        ]
    }

    #[test]
    fn whether_a_stream_is_asked_for_and_what_is_set_later_do_not_count() {
        let mut other = request("hi");
        other.stream = true;
        other.model = "m".into();
        other.settings.push(("a".into(), "b".into()));
        assert_eq!(of(&request("hi")), of(&other));
    }

    #[test]
    fn who_asks_and_who_is_asked_count() {
        let whose = |scope, tenant: &str, plan: &Plan| Fingerprint::of_chat(scope, tenant, plan, &request("hi"), &Blobs::default());
        let of = |plan: &Plan| whose(CacheScope::Tenant, "t", plan);
        let mut route = plan(&["m", "n"]);
        let several = of(&route);
        assert_eq!(several, of(&plan(&["n", "m"])));
        route.route = Some("fast".into());
        let mut rejecting = plan(&["m"]);
        rejecting.rules = Arc::new(Rules { unsupported_params: UnsupportedParams::Reject, ..Rules::default() });
        let mut other = plan(&["m"]);
        other.first = candidate("beta", "m");
        let all = [
            of(&plan(&["m"])),
            whose(CacheScope::Tenant, "u", &plan(&["m"])),
            whose(CacheScope::Global, "t", &plan(&["m"])),
            of(&plan(&["n"])),
            several,
            of(&route),
            of(&rejecting),
            of(&other),
        ];
        assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), all.len());
        assert_eq!(whose(CacheScope::Global, "t", &plan(&["m"])), whose(CacheScope::Global, "u", &plan(&["m"])));
    }

    #[test]
    fn how_a_provider_is_asked_counts() {
        let settings = [("organization".to_owned(), "a".to_owned())];
        let addressee = || Addressee {
            provider: "acme",
            model: "m",
            sha256: Some("aa"),
            settings: &settings,
            base_url: Some("https://a/"),
            headers: vec![("a", b"b")],
        };
        let of = |candidate| {
            let addressees = Addressees { route: None, candidates: vec![candidate], unsupported_params: UnsupportedParams::Drop };
            Read::begun("chat", None, &addressees).finished()
        };
        let same = of(addressee());
        assert_eq!(same, of(addressee()));
        for changed in [
            Addressee { sha256: Some("ab"), ..addressee() },
            Addressee { sha256: None, ..addressee() },
            Addressee { settings: &[], ..addressee() },
            Addressee { base_url: Some("https://b/"), ..addressee() },
            Addressee { base_url: None, ..addressee() },
            Addressee { headers: vec![("a", b"c")], ..addressee() },
        ] {
            assert_ne!(same, of(changed));
        }
    }

    #[test]
    fn media_counts_by_its_bytes_wherever_it_stands() {
        let media = |source| Media { source, media_type: None, name: None, detail: None, transcript: None };
        let asked = |order: [&'static [u8]; 2], first: usize| {
            let mut blobs = Blobs::default();
            let sources = order.map(|bytes| MediaSource::Blob(blobs.add(Bytes::from_static(bytes)).unwrap()));
            let result = ToolResult {
                call_id: "c".into(),
                name: "f".into(),
                content: vec![ToolResultPart::Image(media(sources[1 - first].clone()))],
                is_error: false,
            };
            let mut request = request("hi");
            request.messages[0].parts.push(part(PartBody::Image(media(sources[first].clone()))));
            request.messages[0].parts.push(part(PartBody::ToolResult(result)));
            Fingerprint::of_chat(CacheScope::Global, "t", &plan(&["m"]), &request, &blobs)
        };
        assert_eq!(asked([b"one", b"two"], 0), asked([b"two", b"one"], 1));
        assert_ne!(asked([b"one", b"two"], 0), asked([b"one", b"two"], 1));
        assert_ne!(asked([b"one", b"two"], 0), asked([b"one", b"too"], 0));
    }

    #[test]
    fn embeddings_are_the_same_where_all_of_them_is() {
        let request = || EmbeddingRequest {
            model: String::new(),
            inputs: vec![EmbeddingInput::Text("a".into()), EmbeddingInput::Text("b".into())],
            dimensions: None,
            user: None,
            settings: Vec::new(),
            extras: Vec::new(),
        };
        let of = |request: &EmbeddingRequest| Fingerprint::of_embeddings(CacheScope::Global, "t", &plan(&["m"]), request);
        assert_eq!(of(&request()), of(&request()));
        for changed in [
            EmbeddingRequest { inputs: vec![EmbeddingInput::Text("ab".into())], ..request() },
            EmbeddingRequest { inputs: vec![EmbeddingInput::Tokens(vec![1, 2])], ..request() },
            EmbeddingRequest { dimensions: Some(3), ..request() },
            EmbeddingRequest { user: Some("ann".into()), ..request() },
            EmbeddingRequest { extras: vec![Native { dialect: "d".into(), value: "{}".into() }], ..request() },
        ] {
            assert_ne!(of(&request()), of(&changed));
        }
    }

    proptest! {
        #[test]
        fn a_change_of_any_field_is_another_request(text in ".{0,40}", first in 0..30_usize, second in 0..30_usize) {
            let changes = changes();
            let changed = |number: usize| {
                let mut it = request(&text);
                changes[number](&mut it);
                it
            };
            prop_assert_eq!(changes.len(), 30);
            prop_assert_ne!(of(&request(&text)), of(&changed(first)));
            prop_assert_eq!(of(&changed(first)) == of(&changed(second)), first == second);
        }

        #[test]
        fn other_words_are_another_request(one in ".{0,40}", other in ".{0,40}", end in ".{0,8}") {
            prop_assert_eq!(of(&request(&one)) == of(&request(&other)), one == other);
            let apart = chat_request(String::new(), vec![said(&one), said(&end)]);
            prop_assert_ne!(of(&apart), of(&request(&format!("{one}{end}"))));
        }
    }
}
