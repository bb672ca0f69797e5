//! What a request demands of the model that answers it, and which demands a model is known not to meet. Pure.
//!
//! Only what would fail or falsify the answer counts. What merely tunes it (sampling, logprobs, reasoning, a prefill) is dropped by adapters and reported, and a
//! stream is made by the host where a provider has none. What is not known of a model is taken to be there.
//!
//! The prompt is looked at only when there is something to choose from.

use crate::config::Sticky;
use crate::contract::embeddings::EmbeddingRequest;
use crate::contract::{
    Capabilities, ChatRequest, Media, MediaSource, Message, ModelInfo, PartBody, ResponseFormat, Role, Task, Tool, ToolResultPart,
};
use crate::domain::estimate::{self, Prompt};
use crate::health::Kind;
use crate::money::Usd;
use crate::price::ModelPrice;
use sha2::{Digest, Sha256};
use std::fmt;

/// What an answer is taken to have, in tokens, where the caller sets no limit: for comparing prices.
const USUAL_OUTPUT: u32 = 1000;
/// Of a conversation's beginning, what it is known again by.
const MAX_BEGINNING_BYTES: usize = 64 << 10;

/// A request, as far as the choice of its model depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Needs<'a> {
    asked: Asked<'a>,
    kind: Kind,
    session: Option<&'a str>,
}

#[derive(Debug, Clone, Copy)]
enum Asked<'a> {
    Chat(&'a ChatRequest),
    Embeddings(&'a EmbeddingRequest),
}

/// What was found by looking at it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demands {
    pub(super) kind: Kind,
    capabilities: Capabilities,
    /// Tokens of the prompt, estimated.
    input: u32,
    /// Tokens that have to fit into the model's window. 0 where no single prompt does.
    window: u64,
    max_output: Option<u32>,
    /// Tokens that are likely to come back.
    output: u32,
}

/// Why a model can't take a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    Lacks(Capabilities),
    TooLong { tokens: u64, window: u32 },
    TooMuchOutput { asked: u32, most: u32 },
}

/// By which requests are known to belong together.
pub(super) type StickyKey = [u8; 32];

impl<'a> Needs<'a> {
    /// `session`: what the caller's requests stay together by, if it says so.
    pub fn of_chat(request: &'a ChatRequest, session: Option<&'a str>) -> Self {
        let kind = if request.stream { Kind::Stream } else { Kind::Whole };
        Self { asked: Asked::Chat(request), kind, session }
    }

    /// Of a chat whose tokens are to be counted.
    pub fn of_count(request: &'a ChatRequest, session: Option<&'a str>) -> Self {
        Self { asked: Asked::Chat(request), kind: Kind::Other, session }
    }

    pub fn of_embeddings(request: &'a EmbeddingRequest, session: Option<&'a str>) -> Self {
        Self { asked: Asked::Embeddings(request), kind: Kind::Other, session }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn demands(&self) -> Demands {
        match self.asked {
            Asked::Chat(request) => {
                let input = Prompt::of(request).tokens();
                Demands {
                    kind: self.kind,
                    capabilities: of_chat(request),
                    input,
                    window: u64::from(input) + u64::from(request.max_output.unwrap_or(0)),
                    max_output: request.max_output,
                    output: request.max_output.unwrap_or(USUAL_OUTPUT),
                }
            }
            Asked::Embeddings(request) => Demands {
                kind: self.kind,
                capabilities: Capabilities::EMBEDDINGS,
                input: estimate::of_inputs(&request.inputs).input.unwrap_or(0),
                // Each input has the window to itself.
                window: 0,
                max_output: None,
                output: 0,
            },
        }
    }

    /// Absent: the caller does not give it.
    pub(super) fn sticky_key(&self, sticky: Sticky) -> Option<StickyKey> {
        let user = match self.asked {
            Asked::Chat(request) => request.user.as_deref(),
            Asked::Embeddings(request) => request.user.as_deref(),
        };
        match sticky {
            Sticky::Session => self.session.map(hash),
            Sticky::User => user.map(hash),
            Sticky::Conversation => match self.asked {
                Asked::Chat(request) => beginning(&request.messages),
                Asked::Embeddings(_) => None,
            },
        }
    }
}

impl Demands {
    /// Media by URL is no demand where the gateway itself may fetch it.
    pub(super) fn with_fetching(self) -> Self {
        Self { capabilities: self.capabilities & !Capabilities::MEDIA_BY_URL, ..self }
    }

    /// Why a model can't take it, if that is known.
    pub(super) fn unfit(&self, model: &ModelInfo) -> Option<Unfit> {
        let lacking = model.capabilities.map_or(Capabilities::empty(), |has| self.capabilities & !has);
        if lacking != Capabilities::empty() {
            return Some(Unfit::Lacks(lacking));
        }
        match (model.context_window, model.max_output, self.max_output) {
            (Some(window), ..) if self.window > u64::from(window) => Some(Unfit::TooLong { tokens: self.window, window }),
            (_, Some(most), Some(asked)) if asked > most => Some(Unfit::TooMuchOutput { asked, most }),
            _ => None,
        }
    }

    /// Of a provider's models the one to ask: suited to the task and able to take it, or at least able to.
    pub(super) fn preferred<'m>(&self, models: &'m [ModelInfo], task: Option<Task>) -> Option<&'m ModelInfo> {
        let suited = || models.iter().filter(|model| task.is_some_and(|task| model.suited_to.contains(&task)));
        suited().chain(models).find(|model| self.unfit(model).is_none()).or_else(|| suited().chain(models).next())
    }

    /// What it is likely to cost.
    pub(super) fn cost(&self, price: &ModelPrice, model: Option<&ModelInfo>) -> Usd {
        let most = model.and_then(|model| model.max_output).unwrap_or(u32::MAX);
        price.cost_of_text(self.input.into(), self.output.min(most).into()).total()
    }
}

fn of_chat(request: &ChatRequest) -> Capabilities {
    let mut all = Capabilities::CHAT;
    for tool in &request.tools {
        match tool {
            Tool::Function(_) => all |= Capabilities::TOOLS,
            Tool::Custom(_) => all |= Capabilities::CUSTOM_TOOLS,
            // What runs a tool of its own is only known to its adapter.
            Tool::Other(_) => {}
        }
    }
    match request.response_format {
        Some(ResponseFormat::JsonObject) => all |= Capabilities::JSON_OBJECT,
        Some(ResponseFormat::JsonSchema(_)) => all |= Capabilities::JSON_SCHEMA,
        Some(ResponseFormat::Text | ResponseFormat::Other(_)) | None => {}
    }
    if request.choices.is_some_and(|choices| choices > 1) {
        all |= Capabilities::SEVERAL_CHOICES;
    }
    // What an assistant said with other means than a model has, its adapter leaves out.
    let asked = request.messages.iter().filter(|message| message.role != Role::Assistant);
    for part in asked.flat_map(|message| &message.parts) {
        all |= match &part.body {
            PartBody::Image(media) => of_media(Capabilities::IMAGE_INPUT, media),
            PartBody::Audio(media) => of_media(Capabilities::AUDIO_INPUT, media),
            PartBody::Video(media) => of_media(Capabilities::VIDEO_INPUT, media),
            PartBody::Document(media) => of_media(Capabilities::DOCUMENT_INPUT, media),
            PartBody::ToolResult(result) => result.content.iter().fold(Capabilities::empty(), |all, part| all | of_result(part)),
            _ => Capabilities::empty(),
        };
    }
    all
}

fn of_result(part: &ToolResultPart) -> Capabilities {
    match part {
        ToolResultPart::Image(media) => of_media(Capabilities::IMAGE_INPUT, media),
        ToolResultPart::Audio(media) => of_media(Capabilities::AUDIO_INPUT, media),
        ToolResultPart::Video(media) => of_media(Capabilities::VIDEO_INPUT, media),
        ToolResultPart::Document(media) => of_media(Capabilities::DOCUMENT_INPUT, media),
        ToolResultPart::Text(_) | ToolResultPart::Other(_) => Capabilities::empty(),
    }
}

fn of_media(kind: Capabilities, media: &Media) -> Capabilities {
    match media.source {
        MediaSource::Url(_) => kind | Capabilities::MEDIA_BY_URL,
        _ => kind,
    }
}

fn hash(text: &str) -> StickyKey {
    Sha256::digest(text).into()
}

/// The system's messages and the user's first, which stay the same while a conversation goes on.
fn beginning(messages: &[Message]) -> Option<StickyKey> {
    let first = messages.iter().position(|message| message.role == Role::User)?;
    let system = messages.iter().take(first).filter(|message| matches!(message.role, Role::System | Role::Developer));
    let texts = system.chain(messages.get(first)).flat_map(|message| &message.parts).filter_map(|part| match &part.body {
        PartBody::Text(text) => Some(text.as_bytes()),
        _ => None,
    });
    let mut hasher = Sha256::new();
    let mut left = MAX_BEGINNING_BYTES;
    for text in texts {
        let (taken, _) = text.split_at(text.len().min(left));
        hasher.update(taken);
        // A border, so that text that moves from one part to the next makes another key.
        hasher.update([0xff]);
        left -= taken.len();
    }
    Some(hasher.finalize().into())
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lacks(capabilities) => write!(f, "can't take {}", words(*capabilities).join(" and ")),
            Self::TooLong { tokens, window } => {
                write!(f, "has a window of {window} tokens, and this takes about {tokens} (prompt and output)")
            }
            Self::TooMuchOutput { asked, most } => write!(f, "writes at most {most} tokens, not {asked}"),
        }
    }
}

/// What they let a caller send.
fn words(capabilities: Capabilities) -> Vec<&'static str> {
    let all = [
        (Capabilities::CHAT, "chats"),
        (Capabilities::EMBEDDINGS, "texts to embed"),
        (Capabilities::TOOLS, "tools"),
        (Capabilities::CUSTOM_TOOLS, "custom tools"),
        (Capabilities::JSON_OBJECT, "a wish for JSON"),
        (Capabilities::JSON_SCHEMA, "a JSON schema"),
        (Capabilities::IMAGE_INPUT, "images"),
        (Capabilities::AUDIO_INPUT, "audio"),
        (Capabilities::VIDEO_INPUT, "video"),
        (Capabilities::DOCUMENT_INPUT, "documents"),
        (Capabilities::MEDIA_BY_URL, "media by URL"),
        (Capabilities::SEVERAL_CHOICES, "a wish for several answers"),
    ];
    all.into_iter().filter(|(flag, _)| capabilities.contains(*flag)).map(|(_, word)| word).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::contract::{CustomTool, FunctionTool, JsonSchema, ToolResult};
    use crate::domain::{chat_request, part};
    use crate::price::{PriceSource, Rates};

    fn model(capabilities: Option<Capabilities>) -> ModelInfo {
        ModelInfo {
            id: "m".to_owned(),
            name: None,
            aliases: Vec::new(),
            context_window: Some(1000),
            max_output: Some(100),
            capabilities,
            price: None,
            suited_to: Vec::new(),
            retires: None,
            extras: Vec::new(),
        }
    }

    fn message(role: Role, body: PartBody) -> Message {
        Message { role, name: None, parts: vec![part(body)], extras: Vec::new() }
    }

    fn text(role: Role, text: &str) -> Message {
        message(role, PartBody::Text(text.to_owned()))
    }

    fn picture(source: MediaSource) -> Media {
        Media { source, media_type: None, name: None, detail: None, transcript: None }
    }

    fn url() -> MediaSource {
        MediaSource::Url("https://example.com/a.png".to_owned())
    }

    fn demands(request: &ChatRequest) -> Demands {
        Needs::of_chat(request, None).demands()
    }

    fn refusal(request: &ChatRequest, capabilities: Capabilities) -> String {
        demands(request).unfit(&model(Some(capabilities))).map(|unfit| unfit.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_a_model_is_known_not_to_take_is_named() {
        let plain = chat_request(String::new(), vec![text(Role::User, "Hello")]);
        let mut tools = plain.clone();
        tools.tools = vec![
            Tool::Function(FunctionTool {
                name: "f".into(),
                description: None,
                parameters: None,
                strict: None,
                cache: None,
                extras: vec![],
            }),
            Tool::Custom(CustomTool { name: "c".into(), description: None, grammar: None, extras: vec![] }),
        ];
        let mut schema = plain.clone();
        let wanted = JsonSchema { name: "s".into(), description: None, schema: "{}".into(), strict: None };
        schema.response_format = Some(ResponseFormat::JsonSchema(wanted));
        let mut several = plain.clone();
        several.choices = Some(2);
        let image = chat_request(String::new(), vec![message(Role::User, PartBody::Image(picture(url())))]);
        let content = vec![ToolResultPart::Document(picture(MediaSource::Base64(String::new())))];
        let result = ToolResult { call_id: "1".into(), name: "f".into(), content, is_error: false };
        let from_a_tool = chat_request(String::new(), vec![message(Role::Tool, PartBody::ToolResult(result))]);
        for (request, expected) in [
            (&plain, ""),
            (&tools, "can't take tools and custom tools"),
            (&schema, "can't take a JSON schema"),
            (&several, "can't take a wish for several answers"),
            (&image, "can't take images and media by URL"),
            (&from_a_tool, "can't take documents"),
        ] {
            assert_eq!(refusal(request, Capabilities::CHAT), expected);
            assert!(demands(request).unfit(&model(None)).is_none(), "what is not known is taken to be there");
            assert!(demands(request).unfit(&model(Some(Capabilities::all()))).is_none());
        }
        assert_eq!(refusal(&plain, Capabilities::EMBEDDINGS), "can't take chats");
    }

    #[test]
    fn what_tunes_an_answer_or_was_said_by_another_model_is_no_demand() {
        let said = message(Role::Assistant, PartBody::Image(picture(url())));
        let mut request = chat_request(String::new(), vec![text(Role::User, "Hello"), said]);
        request.stream = true;
        request.logprobs = Some(5);
        request.sampling.temperature = Some(0.5);
        assert_eq!(refusal(&request, Capabilities::CHAT), "");
    }

    #[test]
    fn media_by_url_is_no_demand_where_the_gateway_fetches_it() {
        let request = chat_request(String::new(), vec![message(Role::User, PartBody::Image(picture(url())))]);
        let seeing = model(Some(Capabilities::CHAT | Capabilities::IMAGE_INPUT));
        assert!(demands(&request).unfit(&seeing).is_some());
        assert!(demands(&request).with_fetching().unfit(&seeing).is_none());
    }

    #[test]
    fn a_prompt_has_to_fit_with_its_output() {
        let mut request = chat_request(String::new(), vec![text(Role::User, &"word ".repeat(950))]);
        assert_eq!(refusal(&request, Capabilities::CHAT), "");
        request.max_output = Some(60);
        assert_eq!(refusal(&request, Capabilities::CHAT), "has a window of 1000 tokens, and this takes about 1014 (prompt and output)");
        let mut request = chat_request(String::new(), vec![text(Role::User, "Hello")]);
        request.max_output = Some(101);
        assert_eq!(refusal(&request, Capabilities::CHAT), "writes at most 100 tokens, not 101");
    }

    #[test]
    fn of_a_provider_the_first_suited_model_that_can_take_it_is_preferred() {
        let named = |id: &str, suited_to: Vec<Task>, capabilities| ModelInfo { id: id.into(), suited_to, ..model(Some(capabilities)) };
        let models = [
            named("flagship", vec![], Capabilities::CHAT),
            named("quick", vec![Task::Summarization], Capabilities::CHAT),
            named("seeing", vec![], Capabilities::CHAT | Capabilities::IMAGE_INPUT),
        ];
        let plain = chat_request(String::new(), vec![text(Role::User, "Hello")]);
        let image = chat_request(String::new(), vec![message(Role::User, PartBody::Image(picture(MediaSource::Base64(String::new()))))]);
        let preferred = |request, task| demands(request).preferred(&models, task).unwrap().id.as_str();
        assert_eq!(preferred(&plain, None), "flagship");
        assert_eq!(preferred(&plain, Some(Task::Summarization)), "quick");
        assert_eq!(preferred(&image, Some(Task::Summarization)), "seeing");
    }

    #[test]
    fn a_cost_is_that_of_the_prompt_and_of_the_output_that_the_model_may_give() {
        let mut request = chat_request(String::new(), vec![text(Role::User, &"word".repeat(96))]);
        let price = ModelPrice::new(PriceSource::Adapter, Rates::of_text(1, 10), Vec::new());
        let cost = |request: &ChatRequest, info: Option<&ModelInfo>| demands(request).cost(&price, info).picos();
        let prompt = i64::from(demands(&request).input);
        assert_eq!(cost(&request, None), prompt + 10_000);
        assert_eq!(cost(&request, Some(&model(None))), prompt + 1000);
        request.max_output = Some(50);
        assert_eq!(cost(&request, Some(&model(None))), prompt + 500);
    }

    #[test]
    fn a_conversation_keeps_its_key_while_it_goes_on() {
        let key =
            |messages: &[Message]| Needs::of_chat(&chat_request(String::new(), messages.to_vec()), None).sticky_key(Sticky::Conversation);
        let begun = [text(Role::System, "Be brief."), text(Role::User, "Hello")];
        let gone_on = [&begun[..], &[text(Role::Assistant, "Hi"), text(Role::User, "And now?")]].concat();
        assert!(key(&begun).is_some());
        assert_eq!(key(&begun), key(&gone_on));
        assert_ne!(key(&begun), key(&[text(Role::System, "Be long."), text(Role::User, "Hello")]));
        assert_ne!(key(&begun), key(&[text(Role::System, "Be brief.H"), text(Role::User, "ello")]));
        assert_eq!(key(&[text(Role::System, "Be brief.")]), None);
        let long = |end: &str| [text(Role::User, &format!("{}{end}", "x".repeat(MAX_BEGINNING_BYTES)))];
        assert_eq!(key(&long("a")), key(&long("b")), "only the beginning is read");
    }

    #[test]
    fn a_session_and_a_user_are_keys_where_they_are_given() {
        let mut request = chat_request(String::new(), Vec::new());
        assert_eq!(Needs::of_chat(&request, None).sticky_key(Sticky::Session), None);
        assert_eq!(Needs::of_chat(&request, None).sticky_key(Sticky::User), None);
        request.user = Some("ann".to_owned());
        let needs = Needs::of_chat(&request, Some("ann"));
        assert_eq!(needs.sticky_key(Sticky::User), needs.sticky_key(Sticky::Session));
    }
}
