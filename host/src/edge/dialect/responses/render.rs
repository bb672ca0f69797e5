//! The answer as a response: what is said of it, and its items.

use super::output::{Items, OutputItem, Stage, first_text, is_shown};
use super::{DIALECT, ResponsesForm};
use crate::contract::{ChatResponse, Choice, Finish, FinishReason, Part, PartBody, Usage};
use crate::edge::dialect::Head;
use crate::edge::dialect::openai::{self, Tokens};
use serde::Serialize;
use serde_json::{Map, Value};
use std::borrow::Cow;

#[derive(Debug, Serialize)]
pub struct Response<'a> {
    id: &'a str,
    object: &'static str,
    created_at: i64,
    pub status: Status,
    error: Option<ErrorBody>,
    incomplete_details: Option<IncompleteDetails>,
    model: &'a str,
    output: Vec<OutputItem<'a>>,
    usage: Option<UsageBody>,
    #[serde(flatten)]
    said: Cow<'a, Map<String, Value>>,
}

/// Fields that extras of the provider's must not say again.
const SET: [&str; 9] = ["id", "object", "created_at", "status", "error", "incomplete_details", "model", "output", "usage"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    InProgress,
    Completed,
    Incomplete,
    Failed,
}

#[derive(Debug, Clone, Serialize)]
pub struct ErrorBody {
    pub code: String,
    pub message: String,
}

#[derive(Debug, Serialize)]
struct IncompleteDetails {
    reason: &'static str,
}

#[derive(Debug, Serialize)]
struct UsageBody {
    input_tokens: u32,
    input_tokens_details: InputDetails,
    output_tokens: u32,
    output_tokens_details: OutputDetails,
    total_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated: Option<bool>,
}

#[derive(Debug, Serialize)]
struct InputDetails {
    cached_tokens: u32,
    cache_write_tokens: u32,
}

#[derive(Debug, Serialize)]
struct OutputDetails {
    reasoning_tokens: u32,
}

fn usage_body(usage: &Usage) -> UsageBody {
    let tokens = Tokens::of(usage);
    UsageBody {
        input_tokens: tokens.input,
        input_tokens_details: InputDetails { cached_tokens: tokens.cached, cache_write_tokens: usage.cache_write.unwrap_or(0) },
        output_tokens: tokens.output,
        output_tokens_details: OutputDetails { reasoning_tokens: tokens.reasoning },
        total_tokens: tokens.total,
        estimated: tokens.estimated,
    }
}

/// The one choice of this dialect.
pub fn choice(answer: &ChatResponse) -> Option<&Choice> {
    answer.choices.iter().find(|choice| choice.index == 0)
}

/// The part that an answer was cut in: its last that is shown. An image is whole or is none.
pub fn cut_part(choice: &Choice) -> Option<usize> {
    let last = choice.parts.iter().rposition(is_shown).filter(|_| outcome(&choice.finish).0 != Status::Completed)?;
    choice.parts.get(last).filter(|part| !matches!(part.body, PartBody::Image(_))).map(|_| last)
}

/// What is the same in every form of one answer.
#[derive(Debug)]
pub struct Envelope {
    head: Head,
    form: ResponsesForm,
    pub items: Items,
}

/// Which parts have an item, by number, and how far it is.
pub type Shown<'s> = &'s dyn Fn(usize, &Part) -> Option<Stage>;

impl Envelope {
    pub fn new(head: Head, form: ResponsesForm) -> Self {
        let items = Items::of(&head.id);
        Self { head, form, items }
    }

    /// An answer of which nothing is known yet.
    pub fn begun(&self) -> Response<'_> {
        Response {
            id: &self.head.id,
            object: "response",
            created_at: self.head.created,
            status: Status::InProgress,
            error: None,
            incomplete_details: None,
            model: &self.head.model,
            output: Vec::new(),
            usage: None,
            said: Cow::Borrowed(&self.form.said),
        }
    }

    /// An answer that is over. `turn` is its last item's.
    pub fn ended<'a>(&'a self, answer: &'a ChatResponse, shown: Shown<'_>, turn: Option<&'a str>) -> Response<'a> {
        let mut response = self.so_far(answer, shown);
        if let Some(choice) = choice(answer) {
            response.output.extend(turn.map(|turn| self.items.turn(choice.parts.len(), turn, Stage::Completed)));
            (response.status, response.incomplete_details, response.error) = outcome(&choice.finish);
        } else {
            response.status = Status::Completed;
        }
        response
    }

    /// An answer that will not be completed.
    pub fn failed<'a>(&'a self, answer: Option<&'a ChatResponse>, shown: Shown<'_>, error: ErrorBody) -> Response<'a> {
        let response = answer.map_or_else(|| self.begun(), |answer| self.so_far(answer, shown));
        Response { status: Status::Failed, error: Some(error), ..response }
    }

    fn so_far<'a>(&'a self, answer: &'a ChatResponse, shown: Shown<'_>) -> Response<'a> {
        let mut said = Cow::Borrowed(&self.form.said);
        let own = openai::answer_fields(DIALECT, &answer.extras, &SET);
        if !own.is_empty() {
            said.to_mut().extend(own);
        }
        let mut output = Vec::new();
        if let Some(choice) = choice(answer) {
            let first_text = first_text(choice);
            output.extend(choice.parts.iter().enumerate().filter_map(|(number, part)| {
                let logprobs = choice.logprobs.as_deref().filter(|_| first_text == Some(number));
                self.items.item(number, part, shown(number, part)?, logprobs)
            }));
        }
        Response { output, usage: answer.usage.as_ref().map(usage_body), said, ..self.begun() }
    }
}

fn outcome(finish: &Finish) -> (Status, Option<IncompleteDetails>, Option<ErrorBody>) {
    match finish.reason {
        FinishReason::Length => (Status::Incomplete, Some(IncompleteDetails { reason: "max_output_tokens" }), None),
        FinishReason::ContentFilter => (Status::Incomplete, Some(IncompleteDetails { reason: "content_filter" }), None),
        FinishReason::Error => {
            let word = finish.raw.as_deref().map(|raw| format!(": {raw}")).unwrap_or_default();
            let message = format!("the provider reported that the answer went wrong{word}");
            (Status::Failed, None, Some(ErrorBody { code: "server_error".to_owned(), message }))
        }
        FinishReason::Stop | FinishReason::ToolCalls | FinishReason::Other => (Status::Completed, None, None),
    }
}
