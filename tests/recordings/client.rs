//! What a client of OpenAI's Chat Completions gets, whole or streamed, put together as official clients do.

use crate::support::header;
use reqwest::Response;
use serde_json::Value;

/// One answer, good or bad.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    /// Who failed: `gateway` or `provider`.
    pub origin: Option<String>,
    pub error: Option<Value>,
    pub is_stream: bool,
    /// Whether a stream said that it is complete; a whole answer is.
    pub done: bool,
    pub model: Option<String>,
    pub choices: Vec<Choice>,
    pub usage: Option<Value>,
}

#[derive(Debug, Default)]
pub struct Choice {
    pub role: String,
    pub text: String,
    pub thinking: String,
    pub refusal: String,
    pub calls: Vec<Call>,
    pub finish: Option<String>,
}

#[derive(Debug, Default)]
pub struct Call {
    pub id: String,
    pub name: String,
    /// JSON text, or a custom tool's own.
    pub input: String,
    pub free_form: bool,
}

impl Answer {
    /// # Errors
    /// What no client could read.
    pub async fn read(response: Response) -> Result<Self, String> {
        let is_stream = header(&response, "content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
        let mut answer =
            Self { status: response.status().as_u16(), origin: header(&response, "x-gateway-error-origin"), ..Self::default() };
        let text = response.text().await.map_err(|error| error.to_string())?;
        answer.is_stream = is_stream;
        if !is_stream {
            answer.add(&text, "message")?;
            answer.done = answer.error.is_none();
            return Ok(answer);
        }
        // Lines that begin with a colon are comments.
        for event in text.split("\n\n").filter(|event| !event.is_empty() && !event.starts_with(':')) {
            let data = event.strip_prefix("data: ").ok_or_else(|| format!("no event of this dialect: {event}"))?;
            if answer.done || answer.error.is_some() {
                return Err(format!("after its end the stream goes on with {data}"));
            }
            match data {
                "[DONE]" => answer.done = true,
                chunk => answer.add(chunk, "delta")?,
            }
        }
        Ok(answer)
    }

    /// Takes in a whole answer or a chunk, in whose choices a piece of the answer stands under `place`.
    fn add(&mut self, text: &str, place: &str) -> Result<(), String> {
        let body: Value = serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))?;
        if let Some(error) = body.get("error") {
            self.error = Some(error.clone());
            return Ok(());
        }
        let model = body["model"].as_str().map(str::to_owned);
        if self.model.is_some() && model != self.model {
            return Err(format!("the model changes from {:?} to {model:?}", self.model));
        }
        self.model = model;
        self.usage = body.get("usage").filter(|usage| usage.is_object()).cloned().or(self.usage.take());
        for choice in body["choices"].as_array().ok_or_else(|| format!("no choices in {text}"))? {
            let index = choice["index"].as_u64().and_then(|index| usize::try_from(index).ok()).ok_or("a choice without index")?;
            if index >= self.choices.len() {
                self.choices.resize_with(index + 1, Choice::default);
            }
            self.choices[index].add(&choice[place])?;
            let finish = choice["finish_reason"].as_str().map(str::to_owned);
            self.choices[index].finish = self.choices[index].finish.take().or(finish);
        }
        Ok(())
    }
}

impl Choice {
    /// Every text is appended, as the official clients do: what is said twice stands there twice.
    fn add(&mut self, piece: &Value) -> Result<(), String> {
        let text = |name: &str| piece[name].as_str().unwrap_or_default();
        self.role += text("role");
        self.text += text("content");
        self.refusal += text("refusal");
        self.thinking += text("reasoning_content");
        for (position, piece) in piece["tool_calls"].as_array().into_iter().flatten().enumerate() {
            let index = piece["index"].as_u64().map_or(Ok(position), usize::try_from).map_err(|error| error.to_string())?;
            match index.cmp(&self.calls.len()) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => self.calls.push(Call::default()),
                std::cmp::Ordering::Greater => return Err(format!("call {index} comes before call {}", self.calls.len())),
            }
            self.calls[index].add(piece);
        }
        Ok(())
    }
}

impl Call {
    fn add(&mut self, piece: &Value) {
        self.free_form |= piece.get("custom").is_some();
        let called = if self.free_form { &piece["custom"] } else { &piece["function"] };
        self.id += piece["id"].as_str().unwrap_or_default();
        self.name += called["name"].as_str().unwrap_or_default();
        self.input += called[if self.free_form { "input" } else { "arguments" }].as_str().unwrap_or_default();
    }
}
