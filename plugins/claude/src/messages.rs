//! The conversation: canonical messages into `system` and turns of user and assistant.
//!
//! Claude knows two speakers. Leading system messages become `system`, later ones text of the user. Neighbours of one speaker are joined, and
//! tool results come first in the user's turn that follows their calls. Text that is empty or blank is left out: it is a 400.
//! Media are in `media`.

use crate::DIALECT;
use crate::draft::{ApiVersion, Draft};
use crate::families::ThinkingKind;
use crate::media;
use crate::replay::{self, Seal};
use crate::tools;
use crate::wire::{Block, Content, ContentBlock, Fields, MessageParam, Speaker};
use crate::{raw, serde_json};
use llm_gateway_adapter::dropped;
use llm_gateway_adapter::serde_json::value::to_raw_value;
use llm_gateway_adapter::types::{ChatRequest, Failure, Message, Native, Part, PartBody, Role, ToolResult, ToolResultPart};
use std::borrow::Cow;
use std::fmt;

/// Fields of a block that the adapter writes itself.
const TAKEN: [&str; 13] = [
    "type",
    "text",
    "source",
    "id",
    "name",
    "input",
    "tool_use_id",
    "content",
    "is_error",
    "thinking",
    "signature",
    "data",
    "cache_control",
];
const TAKEN_OF_MESSAGE: [&str; 2] = ["role", "content"];

#[derive(Debug, Default)]
pub struct Conversation<'a> {
    pub system: Vec<ContentBlock<'a>>,
    pub messages: Vec<MessageParam<'a>>,
}

/// Where a part stands in the request.
#[derive(Debug, Clone, Copy)]
pub struct At {
    pub message: usize,
    pub part: usize,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "messages[{}].parts[{}]", self.message, self.part)
    }
}

/// # Errors
/// `unsupported` for a part that Claude can't be sent, `invalid-request` for one that makes no sense.
pub fn translate<'a>(request: &'a ChatRequest, draft: &mut Draft) -> Result<Conversation<'a>, Failure> {
    let mut conversation = Conversation::default();
    let lead = request.messages.iter().take_while(|message| is_instruction(message)).count();
    for (index, message) in request.messages.iter().enumerate() {
        if message.name.is_some() {
            draft.drop(format_args!("messages[{index}].name"), "Claude knows no names of participants");
        }
        let blocks = blocks(request, index, message, draft)?;
        let extras = draft.own_fields(&message.extras, &TAKEN_OF_MESSAGE, format_args!("messages[{index}].extras"));
        if index < lead {
            conversation.system.extend(blocks);
            continue;
        }
        if is_instruction(message) {
            draft.drop(format_args!("messages[{index}].role"), "Claude takes system messages at the beginning; it was sent as the user's");
        }
        conversation.say(speaker(message), blocks, extras);
    }
    conversation.put_results_first();
    if conversation.messages.is_empty() {
        return Err(Failure::unsupported("messages", "Claude needs a message of the user or the assistant that is not empty"));
    }
    conversation.begin_the_answer(draft);
    Ok(conversation)
}

fn is_instruction(message: &Message) -> bool {
    matches!(message.role, Role::System | Role::Developer)
}

fn speaker(message: &Message) -> Speaker {
    if message.role == Role::Assistant { Speaker::Assistant } else { Speaker::User }
}

impl<'a> Conversation<'a> {
    /// Adds to the last turn if it is the same speaker's. A turn without content is none.
    fn say(&mut self, role: Speaker, content: Vec<ContentBlock<'a>>, extras: Fields) {
        if content.is_empty() {
            return;
        }
        match self.messages.last_mut().filter(|last| last.role == role) {
            Some(last) => {
                last.content.extend(content);
                last.extras.extend(extras);
            }
            None => self.messages.push(MessageParam { role, content, extras }),
        }
    }

    fn put_results_first(&mut self) {
        for turn in self.messages.iter_mut().filter(|turn| turn.role == Speaker::User) {
            turn.content.sort_by_key(|block| !is_result(block));
        }
    }

    /// A last turn of the assistant is gone on with. Newer models refuse that and are asked to go on; a turn that ends in a block of the
    /// provider's own (`pause_turn`) goes back as it is.
    fn begin_the_answer(&mut self, draft: &mut Draft) {
        let Some(last) = self.messages.last_mut().filter(|last| last.role == Speaker::Assistant) else { return };
        let Some(ContentBlock::Block(Block { content: Content::Text { text, .. }, .. })) = last.content.last_mut() else { return };
        if draft.family.prefill {
            // It is a 400 if it ends in white space.
            *text = match std::mem::take(text) {
                Cow::Borrowed(text) => Cow::Borrowed(text.trim_end()),
                Cow::Owned(text) => Cow::Owned(text.trim_end().to_owned()),
            };
            return;
        }
        draft.drop("messages", "this model does not go on with a last message of the assistant; it was asked to, by a message of the user");
        let go_on = "Go on exactly where your last message breaks off, without repeating any of it.";
        self.say(Speaker::User, vec![ContentBlock::plain(go_on.into())], Fields::new());
    }

    /// Whether the assistant's turn that is to go on, after tool results or as prefill, does not begin with its thinking: a 400 where thinking
    /// has a budget.
    pub fn lacks_thinking(&self) -> bool {
        let goes_on = |turn: &&MessageParam| turn.role == Speaker::Assistant || turn.content.first().is_some_and(is_result);
        let mut turns = self.messages.iter().rev().take_while(goes_on);
        let turn = turns.find(|turn| turn.role == Speaker::Assistant);
        turn.is_some_and(|turn| !turn.content.first().is_some_and(is_thinking))
    }
}

impl<'a> ContentBlock<'a> {
    /// Text with nothing beside it.
    pub fn plain(text: Cow<'a, str>) -> Self {
        Self::Block(Block { content: Content::Text { text, citations: Vec::new() }, cache_control: None, extras: Fields::new() })
    }
}

fn is_thinking(block: &ContentBlock) -> bool {
    matches!(block, ContentBlock::Block(Block { content: Content::Thinking { .. } | Content::RedactedThinking { .. }, .. }))
}

fn is_result(block: &ContentBlock) -> bool {
    matches!(block, ContentBlock::Block(Block { content: Content::ToolResult { .. }, .. }))
}

fn blocks<'a>(request: &'a ChatRequest, index: usize, message: &'a Message, draft: &mut Draft) -> Result<Vec<ContentBlock<'a>>, Failure> {
    let mut blocks = Vec::with_capacity(message.parts.len());
    let late = is_instruction(message) && request.messages[..index].iter().any(|message| !is_instruction(message));
    for (number, part) in message.parts.iter().enumerate() {
        let at = At { message: index, part: number };
        if is_instruction(message) && !matches!(part.body, PartBody::Text(_) | PartBody::Other(_)) {
            return Err(Failure::unsupported(&at.to_string(), "Claude takes only text in system messages"));
        }
        let block = match block(request, message.role, part, at, draft) {
            Ok(block) => block,
            Err(failure) => {
                let reason = dropped::left_out(message.role, part, failure)?;
                draft.drop(at, &reason);
                None
            }
        };
        match block {
            Some(block) if late => blocks.push(as_instruction(block)),
            Some(block) => blocks.push(block),
            None => draft.lose_cache_control(part.cache.as_ref(), at, "the part is not sent"),
        }
    }
    Ok(blocks)
}

/// Nothing for a part that is left out.
fn block<'a>(request: &ChatRequest, role: Role, part: &'a Part, at: At, draft: &mut Draft) -> Result<Option<ContentBlock<'a>>, Failure> {
    if let PartBody::Other(native) = &part.body {
        return native_block(native, part, at, draft).map(Some);
    }
    let content = content(request, role, part, at, draft)?;
    Ok(content.map(|content| ContentBlock::Block(dressed(content, part, at, draft))))
}

/// Tells the words of a late system message from the user's own.
fn as_instruction(mut block: ContentBlock<'_>) -> ContentBlock<'_> {
    if let ContentBlock::Block(Block { content: Content::Text { text, .. }, .. }) = &mut block {
        *text = format!("<system>\n{text}\n</system>").into();
    }
    block
}

/// A block with what stands beside its content.
fn dressed<'a>(mut content: Content<'a>, part: &Part, at: At, draft: &mut Draft) -> Block<'a> {
    if matches!(content, Content::Thinking { .. } | Content::RedactedThinking { .. }) {
        draft.lose_cache_control(part.cache.as_ref(), at, "Claude takes no cache breakpoint on thinking");
        return Block { content, cache_control: None, extras: further_fields(&part.extras) };
    }
    let mut extras = draft.own_fields(&part.extras, &TAKEN, format_args!("{at}.extras"));
    let cache_control = draft.cache_control(part.cache.as_ref(), at);
    match &mut content {
        // The caller's own words for it come first.
        Content::Document { title, .. } if extras.contains_key("title") => *title = None,
        Content::Text { citations, .. } if !citations.is_empty() => {
            extras.shift_remove("citations");
        }
        _ => {}
    }
    Block { content, cache_control, extras }
}

/// What thinking came with beside its own fields: it goes back as it was.
fn further_fields(extras: &[Native]) -> Fields {
    let own = extras.iter().filter(|native| native.dialect == DIALECT);
    let mut fields: Fields = own.filter_map(|native| serde_json::from_str::<Fields>(&native.value).ok()).flatten().collect();
    fields.retain(|name, _| !TAKEN.contains(&name.as_str()));
    fields
}

/// Nothing for a part that is left out.
fn content<'a>(request: &ChatRequest, role: Role, part: &'a Part, at: At, draft: &mut Draft) -> Result<Option<Content<'a>>, Failure> {
    Ok(match &part.body {
        PartBody::Text(text) | PartBody::Refusal(text) if text.trim().is_empty() => None,
        PartBody::Text(text) | PartBody::Refusal(text) => {
            Some(Content::Text { text: Cow::Borrowed(text), citations: citations(role, part, at, draft)? })
        }
        PartBody::Thinking(text) => thinking(&request.model, text, part, at, draft),
        PartBody::Image(_) if role == Role::Assistant => {
            return Err(Failure::unsupported(&at.to_string(), "Claude takes no images of the assistant's"));
        }
        PartBody::Document(_) if role == Role::Assistant && draft.api == ApiVersion::Autumn2026 => {
            return Err(Failure::unsupported(&at.to_string(), "Claude takes no documents of the assistant's"));
        }
        PartBody::Image(image) => Some(media::image(image, at, draft)?),
        PartBody::Document(document) => Some(media::document(document, at, draft)?),
        PartBody::Audio(_) => return Err(media::no_sound(at)),
        PartBody::Video(_) => return Err(media::no_video(at)),
        PartBody::ToolCall(call) => Some(tools::tool_use(call, at, draft)?),
        PartBody::ToolResult(result) => Some(tool_result(result, at, draft)?),
        // A block of its own, not content of one.
        PartBody::Other(_) => None,
    })
}

/// Citations of the provider's own go back with the assistant's text. Others have no place.
fn citations<'a>(role: Role, part: &'a Part, at: At, draft: &mut Draft) -> Result<Vec<&'a serde_json::value::RawValue>, Failure> {
    let mut citations = Vec::with_capacity(part.citations.len());
    for citation in &part.citations {
        if role == Role::Assistant && citation.native.dialect == DIALECT {
            citations.push(raw(&citation.native.value, &format!("{at}.citations"))?);
        }
    }
    if citations.len() < part.citations.len() {
        draft.drop(format_args!("{at}.citations"), "Claude takes its own citations only, in messages of the assistant");
    }
    Ok(citations)
}

/// Nothing for thinking that is another's: it is left out unreported. Claude's own is reported if the model asked can't take it.
fn thinking<'a>(model: &str, text: &'a str, part: &'a Part, at: At, draft: &mut Draft) -> Option<Content<'a>> {
    let seal = match &part.replay {
        Some(replay) => Seal::read(replay),
        None => Some(Seal::told(&part.extras)?),
    };
    if let Some(reason) = replay::unwelcome(part, model) {
        draft.drop(at, reason);
        return None;
    }
    if draft.family.thinking == ThinkingKind::Never {
        draft.drop(at, "this model does not think");
        return None;
    }
    match seal {
        Some(Seal::Signature(signature)) => Some(Content::Thinking { thinking: text, signature }),
        Some(Seal::Redacted(data)) => Some(Content::RedactedThinking { data }),
        None => {
            draft.drop(format_args!("{at}.replay"), "its replay is not of this adapter's making");
            None
        }
    }
}

fn tool_result<'a>(result: &'a ToolResult, at: At, draft: &mut Draft) -> Result<Content<'a>, Failure> {
    let mut content = Vec::with_capacity(result.content.len());
    for part in &result.content {
        content.push(match part {
            ToolResultPart::Text(text) if text.trim().is_empty() => continue,
            ToolResultPart::Text(text) => ContentBlock::plain(Cow::Borrowed(text)),
            ToolResultPart::Image(image) => bare(media::image(image, at, draft)?),
            ToolResultPart::Document(document) => bare(media::document(document, at, draft)?),
            ToolResultPart::Audio(_) => return Err(media::no_sound(at)),
            ToolResultPart::Video(_) => return Err(media::no_video(at)),
            ToolResultPart::Other(native) => ContentBlock::Native(Cow::Borrowed(own(native, at)?)),
        });
    }
    Ok(Content::ToolResult { tool_use_id: tools::tool_use_id(&result.call_id), content, is_error: result.is_error })
}

fn bare(content: Content<'_>) -> ContentBlock<'_> {
    ContentBlock::Block(Block { content, cache_control: None, extras: Fields::new() })
}

/// A block of the provider's own kind, as it came, with the breakpoint and the fields that stand beside it.
fn native_block<'a>(native: &'a Native, part: &Part, at: At, draft: &mut Draft) -> Result<ContentBlock<'a>, Failure> {
    let block = own(native, at)?;
    let cache_control = draft.cache_control(part.cache.as_ref(), at);
    let extras = draft.own_fields(&part.extras, &TAKEN, format_args!("{at}.extras"));
    if cache_control.is_none() && extras.is_empty() {
        return Ok(ContentBlock::Native(Cow::Borrowed(block)));
    }
    let unwritable = |_| Failure::invalid(Some(&at.to_string()), "the block is not a JSON object");
    let mut fields: Fields = serde_json::from_str(block.get()).map_err(unwritable)?;
    fields.extend(extras);
    if let Some(cache_control) = cache_control {
        fields.insert("cache_control".to_owned(), serde_json::to_value(cache_control).map_err(unwritable)?);
    }
    Ok(ContentBlock::Native(Cow::Owned(to_raw_value(&fields).map_err(unwritable)?)))
}

fn own(native: &Native, at: At) -> Result<&serde_json::value::RawValue, Failure> {
    if native.dialect != DIALECT {
        return Err(Failure::unsupported(&at.to_string(), "Claude has no such block"));
    }
    raw(&native.value, &at.to_string())
}
