//! Every recorded chat, sent through the gateway in OpenAI's form, with the recorded answer behind it.

use crate::client::Answer;
use crate::expected::{compare, compare_cut, same};
use crate::openai_form::chat_request;
use crate::playback::Playback;
use crate::recorded::Recording;
use crate::support::{Gateway, Setup};
use crate::wrong::{self, Listed};
use crate::{PROVIDERS, Provider, chats};
use futures_util::future::join_all;
use llm_gateway::contract::HttpResponse;
use serde_json::{Value, json};
use std::sync::Arc;

/// A gateway whose four providers are recordings. It asks each once.
pub fn start_gateway(playback: &Playback) -> Gateway {
    let mut setup = Setup::bare().env("MAX_RETRIES", "0");
    for provider in PROVIDERS {
        setup.copy_adapter(provider.adapter);
        setup = setup.provider(provider.adapter, &playback.base_url(provider));
    }
    setup.start()
}

/// The gateway with the recordings behind it, and one provider of it. A provider is asked one thing at a time.
struct Line {
    gateway: Arc<Gateway>,
    playback: Arc<Playback>,
    provider: Provider,
}

impl Line {
    async fn ask(&self, request: Value, response: HttpResponse) -> Result<Answer, String> {
        self.playback.put_on(self.provider, response);
        Answer::read(self.gateway.chat(request).await).await
    }

    async fn check(&self, recording: &Recording) -> Result<(), String> {
        let request = chat_request(self.provider, recording);
        let answer = self.ask(request, recording.response.clone()).await?;
        let asked: Vec<String> = self.playback.asked(self.provider).iter().map(|path| without_method(path)).collect();
        same("asked of the provider", &json!(asked), &json!([without_method(path(recording))]))
            .map_err(|wrong| format!("{wrong}; the client got {answer:?}"))?;
        let wants_stream = recording.endpoint().ends_with("-stream");
        same("comes as a stream", &json!(answer.is_stream), &json!(wants_stream && answer.status == 200))?;
        compare(&answer, &recording.json["expected"])
    }

    /// The same with an answer that breaks off in the middle.
    async fn check_cut(&self, recording: &Recording) -> Result<(), String> {
        let body = &recording.response.body;
        let cut = HttpResponse { body: body[..body.len() / 2].to_vec(), ..recording.response.clone() };
        compare_cut(&self.ask(chat_request(self.provider, recording), cut).await?).map_err(|difference| format!("cut: {difference}"))
    }

    async fn check_listed(&self, recording: &Recording, listed: Listed) -> Result<(), String> {
        listed.still_differs(self.check(recording).await)?;
        self.check(&listed.excused(recording)).await
    }

    async fn check_all(self) -> Vec<String> {
        let mut differences = Vec::new();
        for (name, recording) in chats(self.provider).unwrap_or_default() {
            let listed = wrong::listed(&[wrong::WRONG, wrong::NOT_TOLD], self.provider, &name);
            let mut result = match listed {
                Some(listed) => self.check_listed(&recording, listed).await,
                None => self.check(&recording).await,
            };
            // The middle of several streams may be the end of one.
            if result.is_ok() && listed.is_none() && recording.is_stream() && recording.json["expected"]["kind"] == "message" {
                result = self.check_cut(&recording).await;
            }
            differences.extend(result.err().map(|difference| format!("{}/{name}: {difference}", self.provider.folder)));
        }
        differences
    }
}

/// Where the recorded request went, below the base URL.
pub fn path(recording: &Recording) -> &str {
    let path = recording.json["request"]["path"].as_str().unwrap();
    path.strip_prefix("/v1beta").or_else(|| path.strip_prefix("/v1")).unwrap_or(path)
}

/// Gemini's adapter streams and gathers, or asks for the whole, as the model and the request demand.
fn without_method(path: &str) -> String {
    path.replace(":streamGenerateContent?alt=sse", ":generateContent")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_chat_reaches_an_openai_client_as_expected_and_a_cut_one_as_an_error() {
    if crate::RECORDINGS.is_none() {
        return;
    }
    let playback = Arc::new(Playback::start().await);
    let gateway = Arc::new(start_gateway(&playback));
    let lines = PROVIDERS.map(|provider| {
        let line = Line { gateway: Arc::clone(&gateway), playback: Arc::clone(&playback), provider };
        tokio::spawn(line.check_all())
    });
    let all: Vec<String> = join_all(lines).await.into_iter().flat_map(|differences| differences.unwrap()).collect();
    assert!(all.is_empty(), "{} differ:\n{}", all.len(), all.join("\n"));
}
