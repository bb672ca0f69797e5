//! Which of OpenAI's two chat endpoints a request goes to, and how the decoder learns of it.
//!
//! Wire reference 1.3: from gpt-5.2 on, function tools with reasoning are refused on `/chat/completions`. Beyond that rule, a request goes
//! where nothing of it is lost; when neither endpoint loses anything, to `/chat/completions`, which every compatible server has.

use crate::extras;
use crate::families::{Endpoints, Model};
use crate::media;
use crate::replay;
use crate::settings::{EndpointSetting, Settings};
use llm_gateway_adapter::types::{ChatRequest, Effort, Media, MediaSource, Part, PartBody, Tool, ToolResult, ToolResultPart};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    Chat,
    Responses,
}

impl Endpoint {
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/chat/completions",
            Self::Responses => "/responses",
        }
    }

    /// The dialect that its natives are tagged with.
    pub fn dialect(self) -> &'static str {
        match self {
            Self::Chat => "openai-chat",
            Self::Responses => "openai-responses",
        }
    }

    pub fn choose(request: &ChatRequest, model: Model, settings: &Settings) -> Self {
        match (settings.endpoint, model.endpoints) {
            (EndpointSetting::Chat, _) | (EndpointSetting::Auto, Endpoints::ChatOnly) => Self::Chat,
            (EndpointSetting::Responses, _) | (EndpointSetting::Auto, Endpoints::ResponsesOnly) => Self::Responses,
            (EndpointSetting::Auto, Endpoints::Both) => by_content(request, model),
        }
    }
}

/// First what one endpoint would refuse, then what it would only lose.
fn by_content(request: &ChatRequest, model: Model) -> Endpoint {
    if !request.tools.is_empty() && !model.family.tools_on_chat {
        Endpoint::Responses
    } else if wants_sound(request) {
        Endpoint::Chat
    } else if needs_responses(request, model) {
        Endpoint::Responses
    } else if request.choices.is_some_and(|choices| choices > 1) {
        Endpoint::Chat
    } else if is_better_on_responses(request, model) {
        Endpoint::Responses
    } else {
        Endpoint::Chat
    }
}

fn parts(request: &ChatRequest) -> impl Iterator<Item = &Part> {
    request.messages.iter().flat_map(|message| &message.parts)
}

fn wants_sound(request: &ChatRequest) -> bool {
    extras::names(request, Endpoint::Chat, "\"audio\"") || parts(request).any(|part| matches!(part.body, PartBody::Audio(_)))
}

fn needs_responses(request: &ChatRequest, model: Model) -> bool {
    let own_tool = |tool: &Tool| matches!(tool, Tool::Other(native) if native.dialect == Endpoint::Responses.dialect());
    request.tools.iter().any(own_tool) || parts(request).any(|part| part_needs_responses(part, model))
}

fn part_needs_responses(part: &Part, model: Model) -> bool {
    match &part.body {
        PartBody::Thinking(_) => {
            replay::reasoning(part.replay.as_ref()).is_some() || model.is_known_to_reason() && replay::told_reasoning(part).is_some()
        }
        PartBody::Other(native) => native.dialect == Endpoint::Responses.dialect(),
        PartBody::Image(image) => matches!(image.source, MediaSource::File(_)),
        PartBody::Document(document) => matches!(document.source, MediaSource::Url(_)) || model.is_known() && !is_on_chat(document),
        PartBody::ToolResult(result) => model.is_known() && has_media(result),
        _ => false,
    }
}

/// `/chat/completions` takes PDF files, and text as text.
fn is_on_chat(document: &Media) -> bool {
    let kind = media::kind(document);
    matches!(document.source, MediaSource::File(_)) || kind.is_none_or(|kind| kind == "application/pdf" || media::is_text(kind))
}

fn has_media(result: &ToolResult) -> bool {
    result.content.iter().any(|part| !matches!(part, ToolResultPart::Text(_)))
}

fn is_better_on_responses(request: &ChatRequest, model: Model) -> bool {
    let asked = |test: fn(&llm_gateway_adapter::types::Reasoning) -> bool| request.reasoning.as_ref().is_some_and(test);
    let shows_reasoning = asked(|reasoning| reasoning.visible == Some(true) || reasoning.effort == Some(Effort::Maximum));
    model.is_known_to_reason() && shows_reasoning || model.is_known() && extras::has_fields_of_responses(request)
}

/// What the decoder needs to know of the request.
#[derive(Debug, PartialEq, Eq)]
pub enum Context {
    Chat {
        /// Media type of the sound that was asked for: the answer does not say.
        audio_type: Option<String>,
    },
    Responses,
}

impl Context {
    pub fn parse(text: &str) -> Self {
        match text {
            "responses" => Self::Responses,
            "" => Self::Chat { audio_type: None },
            audio_type => Self::Chat { audio_type: Some(audio_type.to_owned()) },
        }
    }

    pub fn into_text(self) -> String {
        match self {
            Self::Chat { audio_type } => audio_type.unwrap_or_default(),
            Self::Responses => "responses".to_owned(),
        }
    }
}
