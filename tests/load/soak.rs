//! All wires, all providers, faults by chance, adapters swapped and the configuration edited, for minutes or hours: nothing panics, every answer is the answer
//! to its own question or a clean error, and memory stays.
//!
//! `SOAK_SECONDS` says how long.

use crate::support::{ADAPTERS, Gateway, PATIENCE, Setup, Simulator, adapter_bytes, place};
use reqwest::Response;
use serde_json::{Value, json as object};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SECONDS: u64 = 120;
const CLIENTS: usize = 32;
const CHANCE_OF_A_FAULT: f64 = 0.25;
/// Often enough that within the first third of the time as many earlier versions are kept as ever are.
const SWAP_EVERY: Duration = Duration::from_millis(1500);
const EDIT_EVERY: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Between the first and the last third of the time after warming up.
const MAX_GROWTH_BYTES: u64 = 16 << 20;
/// At least this share of the requests is answered, or the test shows nothing.
const ANSWERED: f64 = 0.5;

const FAULTS: [&str; 18] = [
    "status=500",
    "status=503",
    "status=529",
    "status=429;retry-after=ms:50",
    "status=429;code=insufficient_quota",
    "html=502",
    "reset",
    "cut-after=2",
    "cut-after=6",
    "truncate",
    "garbage",
    "no-end",
    "error-after=1",
    "error-after=6",
    "stall-after=5;stall-ms=3000",
    "delay-ms=3000",
    "chunk-bytes=7",
    "chunk-bytes=100;drip-ms=2",
];
const WIRES: [Wire; 5] = [Wire::Query, Wire::GatewayQuery, Wire::Chat, Wire::Responses, Wire::Messages];
const MODELS: [&str; 6] =
    ["any", "openai/gpt-5.4", "gemini/gemini-3.8-flash", "mistral/mistral-large-4", "claude/claude-sonnet-5-5", "claude"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Query,
    GatewayQuery,
    Chat,
    Responses,
    Messages,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Answered,
    Refused,
    BrokenOff,
    /// The client left in mid-stream.
    Left,
}

/// One question. No other has its words.
#[derive(Debug)]
struct Question {
    wire: Wire,
    model: &'static str,
    stream: bool,
    leaves: bool,
    text: String,
}

impl Question {
    /// Wires, models and streaming in every combination.
    fn nth(client: usize, number: usize) -> Self {
        let mix = client + number;
        let wire = WIRES[mix % WIRES.len()];
        let stream = !matches!(wire, Wire::Query | Wire::GatewayQuery) && (mix / WIRES.len()).is_multiple_of(2);
        let model = MODELS[number / 10 % MODELS.len()];
        Self { wire, model, stream, leaves: stream && number % 29 == 28, text: format!("Say marker-{client}-{number} again") }
    }

    fn path(&self) -> &'static str {
        match self.wire {
            Wire::Query => "/api/query",
            Wire::GatewayQuery => "/v1/gateway/query",
            Wire::Chat => "/v1/chat/completions",
            Wire::Responses => "/v1/responses",
            Wire::Messages => "/v1/messages",
        }
    }

    fn body(&self) -> Value {
        let (model, text, stream) = (self.model, &self.text, self.stream);
        let messages = object!([{"role": "user", "content": text}]);
        match self.wire {
            Wire::Query | Wire::GatewayQuery => object!({"model": model, "query": text}),
            Wire::Chat => object!({"model": model, "messages": messages, "stream": stream}),
            Wire::Responses => object!({"model": model, "input": text, "stream": stream}),
            Wire::Messages => object!({"model": model, "max_tokens": 5000, "messages": messages, "stream": stream}),
        }
    }

    async fn ask(&self, gateway: &Gateway) -> Outcome {
        let mut response = gateway.post(self.path()).json(&self.body()).send().await.unwrap();
        if self.leaves {
            let _ = response.chunk().await;
            return Outcome::Left;
        }
        self.judge(response).await
    }

    /// # Panics
    /// When the answer is neither this question's nor a clean error.
    async fn judge(&self, response: Response) -> Outcome {
        let status = response.status().as_u16();
        let body = response.text().await.unwrap();
        if status != 200 {
            self.check_error(status, &parsed(&body));
            return Outcome::Refused;
        }
        if !self.stream {
            self.check_text(&self.whole_text(&parsed(&body)));
            return Outcome::Answered;
        }
        let told = Told::read(self.wire, &body);
        match (told.is_complete, told.has_error) {
            (true, false) => {
                self.check_text(&told.text);
                Outcome::Answered
            }
            (false, true) => {
                self.check_beginning(&told.text);
                Outcome::BrokenOff
            }
            _ => panic!("a stream is complete or broken off: {self:?}: {body}"),
        }
    }

    fn check_error(&self, status: u16, body: &Value) {
        let (message, kind) = match self.wire {
            Wire::Query | Wire::GatewayQuery => (&body["error"], &body["code"]),
            Wire::Chat | Wire::Responses | Wire::Messages => (&body["error"]["message"], &body["error"]["type"]),
        };
        let is_clean = [message, kind].iter().all(|text| text.as_str().is_some_and(|text| !text.is_empty()));
        assert!(is_clean && status >= 400, "{self:?}: {status}: {body}");
        // None of these requests is at fault itself.
        assert!(![400, 404, 413, 422].contains(&status), "{self:?}: {status}: {body}");
    }

    /// Its own words come back, nobody else's do, and it goes on to its end.
    fn check_text(&self, text: &str) {
        let is_own = text.contains(&format!("You said: \"{}\".", self.text)) && text.matches("marker-").count() == 1;
        assert!(is_own && text.ends_with('.'), "{self:?}: {text}");
    }

    fn check_beginning(&self, text: &str) {
        if let Some((_, said)) = text.split_once("You said: \"") {
            assert!(said.starts_with(&self.text) || self.text.starts_with(said), "{self:?}: {text}");
        }
    }

    fn whole_text(&self, body: &Value) -> String {
        let texts = |parts: &Value| -> String {
            let parts = parts.as_array().into_iter().flatten();
            parts.filter_map(|part| part["text"].as_str()).collect()
        };
        match self.wire {
            Wire::Query | Wire::GatewayQuery => body["response"].as_str().unwrap_or_default().to_owned(),
            Wire::Chat => body["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned(),
            Wire::Messages => texts(&body["content"]),
            Wire::Responses => {
                let items = body["output"].as_array().into_iter().flatten();
                items.filter(|item| item["type"] == "message").map(|item| texts(&item["content"])).collect()
            }
        }
    }
}

fn parsed(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// A stream, put together.
#[derive(Debug, Default)]
struct Told {
    text: String,
    is_complete: bool,
    has_error: bool,
}

impl Told {
    fn read(wire: Wire, body: &str) -> Self {
        let mut told = Self::default();
        for data in body.lines().filter_map(|line| line.strip_prefix("data: ")) {
            if data == "[DONE]" {
                told.is_complete = true;
                continue;
            }
            let event = parsed(data);
            let kind = event["type"].as_str().unwrap_or_default();
            let text = match wire {
                Wire::Responses if kind == "response.output_text.delta" => &event["delta"],
                Wire::Responses => &Value::Null,
                Wire::Messages => &event["delta"]["text"],
                _ => &event["choices"][0]["delta"]["content"],
            };
            told.text += text.as_str().unwrap_or_default();
            told.is_complete |= ["response.completed", "message_stop"].contains(&kind);
            told.has_error |= kind == "error" || event["error"].is_object();
        }
        told
    }
}

/// The same adapter as another file: with a section of its own that means nothing.
fn rebuilt(bytes: &[u8], build: u8) -> Vec<u8> {
    let section = [0, 7, 5, b'b', b'u', b'i', b'l', b'd', build];
    [bytes, &section].concat()
}

/// What `gateway.toml` says after so many edits. Some are mistakes, after which the last good one counts.
fn edited(edit: usize) -> String {
    if is_mistake(edit) {
        return "[routes.any]\ntargets = []\n".to_owned();
    }
    let targets: Vec<String> = ADAPTERS
        .iter()
        .enumerate()
        .map(|(at, adapter)| format!("{{ target = \"{adapter}\", weight = {} }}", 1 + (at + edit) % 4))
        .collect();
    let strategy = ["ordered", "weighted", "least_latency", "cheapest"][edit % 4];
    format!("[routes.any]\nstrategy = \"{strategy}\"\ntargets = [{}]\n", targets.join(", "))
}

fn is_mistake(edit: usize) -> bool {
    edit % 5 == 4
}

/// Does something at regular times until the end, and counts how often.
async fn every(period: Duration, stop: &AtomicBool, mut act: impl FnMut(usize)) -> usize {
    let mut due = tokio::time::interval(period);
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        due.tick().await;
        act(count);
        count += 1;
    }
    count
}

fn median(samples: &[u64]) -> u64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

async fn clients(gateway: &Arc<Gateway>, end: Instant) -> BTreeMap<Outcome, usize> {
    let asking = (0..CLIENTS).map(|client| {
        let gateway = Arc::clone(gateway);
        tokio::spawn(async move {
            let mut outcomes = BTreeMap::<_, usize>::new();
            for number in 0.. {
                if Instant::now() >= end {
                    break;
                }
                *outcomes.entry(Question::nth(client, number).ask(&gateway).await).or_default() += 1;
            }
            outcomes
        })
    });
    let mut outcomes = BTreeMap::new();
    for client in asking.collect::<Vec<_>>() {
        for (outcome, count) in client.await.expect("no answer was wrong") {
            *outcomes.entry(outcome).or_default() += count;
        }
    }
    outcomes
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_breaks_leaks_or_mixes_while_everything_around_fails_and_changes() {
    let _alone = crate::ALONE.lock().await;
    let seconds = std::env::var("SOAK_SECONDS").map_or(SECONDS, |seconds| seconds.parse().expect("SOAK_SECONDS is a number"));
    let simulator = Simulator::start();
    // The log of hours is more than a test can keep.
    let gateway = Setup::simulated(&simulator)
        .config(&edited(0))
        .env("LOG_LEVEL", "info,llm_gateway::request=off,llm_gateway::attempt=off")
        .env("FIRST_BYTE_TIMEOUT", "2000")
        .env("IDLE_TIMEOUT", "1500")
        .start();
    let mut gateway = Arc::new(gateway);
    for provider in ADAPTERS {
        let script = object!({"provider": provider, "faults": FAULTS, "always": true, "chance": CHANCE_OF_A_FAULT});
        simulator.post_script(script).await;
    }
    let builds = ADAPTERS.map(|adapter| (adapter, adapter_bytes(adapter)));
    let (plugins, folder) = (gateway.plugins(), gateway.plugins().parent().unwrap().to_owned());
    let stop = Arc::new(AtomicBool::new(false));
    let samples = Arc::new(std::sync::Mutex::new(Vec::new()));

    let swapping = {
        let stop = Arc::clone(&stop);
        tokio::spawn(async move {
            let swap = |count: usize| {
                let (adapter, bytes) = &builds[count % builds.len()];
                place(&plugins, &format!("{adapter}.wasm"), &rebuilt(bytes, (count / builds.len() % 2) as u8));
            };
            every(SWAP_EVERY, &stop, swap).await
        })
    };
    let editing = {
        let stop = Arc::clone(&stop);
        tokio::spawn(async move { every(EDIT_EVERY, &stop, |edit| place(&folder, "gateway.toml", edited(edit).as_bytes())).await })
    };
    let looking = {
        let (gateway, samples, stop) = (Arc::clone(&gateway), Arc::clone(&samples), Arc::clone(&stop));
        tokio::spawn(async move { every(LOOK_EVERY, &stop, |_| samples.lock().unwrap().push(gateway.process.memory_bytes())).await })
    };
    let outcomes = clients(&gateway, Instant::now() + Duration::from_secs(seconds)).await;
    stop.store(true, Ordering::Relaxed);
    let (swaps, edits) = (swapping.await.unwrap(), editing.await.unwrap());
    looking.await.unwrap();

    let samples = samples.lock().unwrap().clone();
    let warm = &samples[samples.len() / 3..];
    let thirds: Vec<u64> = warm.chunks(warm.len().div_ceil(3)).map(median).collect();
    let asked: usize = outcomes.values().sum();
    let thirds_mib: Vec<u64> = thirds.iter().map(|bytes| bytes >> 20).collect();
    println!("{seconds} s: {asked} requests, {outcomes:?}; {swaps} swaps, {edits} edits; memory by thirds {thirds_mib:?} MiB");
    let answered = outcomes.get(&Outcome::Answered).copied().unwrap_or(0);
    assert!(answered as f64 >= ANSWERED * asked as f64, "{outcomes:?}");
    assert!(thirds[2] < thirds[0] + MAX_GROWTH_BYTES, "memory by thirds: {thirds_mib:?} MiB");

    simulator.recover().await;
    ends_at_rest(&gateway, &simulator).await;
    let bad = (0..edits).filter(|edit| is_mistake(*edit)).count();
    for (message, acts) in [("plugin replaced", swaps), ("configuration loaded", edits - bad), ("configuration rejected", bad)] {
        let told = gateway.process.records(message).len();
        // Some are overtaken by the next, on a busy machine; the last may be too late; the start is told too.
        assert!(told.abs_diff(acts) <= 2 + acts / 10, "{message}: {told} of {acts}");
    }
    assert_eq!(gateway.process.errors(), [""; 0], "nothing panicked");
    let gateway = Arc::get_mut(&mut gateway).expect("the others are done with it");
    assert!(gateway.process.child.try_wait().unwrap().is_none(), "the gateway lives");
}

/// When nobody asks any more, nothing is under way.
async fn ends_at_rest(gateway: &Gateway, simulator: &Simulator) {
    let end = Instant::now() + PATIENCE;
    for adapter in ADAPTERS {
        loop {
            let plugin = gateway.plugin(adapter).await.unwrap();
            if plugin["in_flight"] == 0 && simulator.count(adapter, "open").await == 0 {
                assert_eq!(plugin["traps"], 0, "{plugin}");
                break;
            }
            assert!(Instant::now() < end, "{plugin}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
