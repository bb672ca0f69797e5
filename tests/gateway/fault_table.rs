//! Every way in which a provider fails, and what comes of it: one table. Each row is asked whole and as a stream, of a model alone and of a route that has a
//! healthy second target; each says which attempts there were, after which waits, what the caller saw and what was logged.
//!
//! Each case has a provider instance of its own, so that what is learned of one (limits, breaker, retry budget) is not known of the next.

use crate::support::{Gateway, Setup, Simulator, Streamed, chat_body, header, json};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json as object};
use std::fmt::Write;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

const MAX_RETRIES: usize = 2;
const INITIAL_BACKOFF_MS: f64 = 40.0;
const BACKOFF_FACTOR: f64 = 2.0;
const JITTER: f64 = 0.5;
const CASES_AT_ONCE: usize = 8;
/// Answers where the row's own provider does not.
const HEALTHY: &str = "mistral";
/// Nobody listens there.
const CLOSED_PORT: &str = "http://127.0.0.1:1/v1";
const NO_SUCH_HOST: &str = "http://nowhere.invalid/v1";

struct Row {
    name: &'static str,
    upstream: Upstream,
    fault: &'static str,
    /// Time limits of its models alone, where the fault is to exceed them.
    timeouts: &'static str,
    wait: Wait,
    whole: End,
    stream: End,
}

#[derive(Clone, Copy)]
enum Upstream {
    /// One of the simulator's providers, and a model of it.
    Simulated(&'static str, &'static str),
    At(&'static str),
}

/// How long a retry is put off.
#[derive(Clone, Copy)]
enum Wait {
    Backoff,
    /// By the provider, in milliseconds: at least the first and at most the second, and then up to the jitter more.
    Told(f64, f64),
}

/// What comes of a fault.
#[derive(Clone, Copy)]
enum End {
    /// Every attempt fails like this.
    Failing(Failure),
    /// So does the first, and no further one could do better.
    Hopeless(Failure),
    /// So does the first, and the second answers.
    Mended(Failure),
    /// The answer has begun: its error comes inside, and nothing is tried again.
    BrokenOff(&'static str),
}

#[derive(Clone, Copy)]
struct Failure {
    /// What the provider answered, if it did.
    upstream: Option<u16>,
    error: &'static str,
    /// What the caller gets.
    status: u16,
    /// Whether it may be a timeout instead: some resolvers say nothing of a name that there is none of.
    or_timeout: bool,
}

impl Failure {
    fn is(&self, error: &Value) -> bool {
        error == self.error || (self.or_timeout && error == "timeout")
    }

    fn has(&self, status: u16) -> bool {
        status == self.status || (self.or_timeout && status == 504)
    }
}

const OPENAI: Upstream = Upstream::Simulated("openai", "gpt-5.4");
const NO_ADDRESS: Failure = Failure { upstream: None, error: "unreachable", status: 502, or_timeout: true };

const fn failure(upstream: Option<u16>, error: &'static str, status: u16) -> Failure {
    Failure { upstream, error, status, or_timeout: false }
}

/// A row of which a stream fares no better than a whole answer.
const fn row(name: &'static str, upstream: Upstream, fault: &'static str, end: End) -> Row {
    Row { name, upstream, fault, timeouts: "", wait: Wait::Backoff, whole: end, stream: end }
}

/// A row of which a stream has begun before it fails.
const fn late(name: &'static str, fault: &'static str, failure: Failure) -> Row {
    let (whole, stream) = (End::Failing(failure), End::BrokenOff(failure.error));
    Row { name, upstream: OPENAI, fault, timeouts: "", wait: Wait::Backoff, whole, stream }
}

const fn within(timeouts: &'static str, row: Row) -> Row {
    Row { timeouts, ..row }
}

const fn limited(name: &'static str, upstream: Upstream, fault: &'static str, wait: Wait) -> Row {
    let end = End::Mended(failure(Some(429), "rate_limited", 429));
    Row { name, upstream, fault, timeouts: "", wait, whole: end, stream: end }
}

static TABLE: [Row; 19] = [
    row("refused", Upstream::At(CLOSED_PORT), "", End::Failing(failure(None, "unreachable", 502))),
    within("connect_ms = 30000", row("DNS failure", Upstream::At(NO_SUCH_HOST), "", End::Failing(NO_ADDRESS))),
    row("reset before the headers", OPENAI, "reset", End::Failing(failure(None, "malformed", 502))),
    late("reset in the body", "cut-after=4", failure(Some(200), "malformed", 502)),
    limited("429, seconds", OPENAI, "status=429;times=1;retry-after=1", Wait::Told(1000.0, 1000.0)),
    // A date has whole seconds, so up to one of these two is gone when it is read.
    limited("429, date", OPENAI, "status=429;times=1;retry-after=date:2", Wait::Told(500.0, 2000.0)),
    limited("429, milliseconds", OPENAI, "status=429;times=1;retry-after=ms:150", Wait::Told(150.0, 150.0)),
    limited(
        "429, RetryInfo",
        Upstream::Simulated("gemini", "gemini-3.8-flash"),
        "status=429;times=1;retry-after=ms:200",
        Wait::Told(200.0, 200.0),
    ),
    limited("429, no hint", Upstream::Simulated("mistral", "mistral-large-4"), "status=429;times=1;retry-after=none", Wait::Backoff),
    row("429, quota", OPENAI, "status=429;code=insufficient_quota", End::Hopeless(failure(Some(429), "quota_exhausted", 429))),
    row("500 once", OPENAI, "status=500;times=1", End::Mended(failure(Some(500), "provider", 500))),
    row("500 always", OPENAI, "status=500", End::Failing(failure(Some(500), "provider", 500))),
    row("529", Upstream::Simulated("claude", "claude-sonnet-5-5"), "status=529", End::Failing(failure(Some(529), "overloaded", 529))),
    within("first_byte_ms = 800", row("hang before the first byte", OPENAI, "delay-ms=60000", End::Failing(failure(None, "timeout", 504)))),
    within("idle_ms = 600", late("stall in mid-stream", "stall-after=4", failure(Some(200), "timeout", 504))),
    late("truncated JSON", "truncate", failure(Some(200), "malformed", 502)),
    row("garbage", OPENAI, "garbage", End::Failing(failure(Some(200), "malformed", 502))),
    within("total_ms = 2000", late("slow drip", "text-bytes=12000;chunk-bytes=200;drip-ms=50", failure(Some(200), "timeout", 504))),
    row("expired key", OPENAI, "status=401", End::Hopeless(failure(Some(401), "authentication", 401))),
];

/// A row, as it is asked.
#[derive(Clone)]
struct Case {
    row: &'static Row,
    /// Its provider instance, and its requests' id.
    instance: String,
    stream: bool,
    has_fallback: bool,
}

impl Case {
    fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for (number, row) in TABLE.iter().enumerate() {
            for (stream, word) in [(false, "whole"), (true, "stream")] {
                for (has_fallback, place) in [(false, "alone"), (true, "route")] {
                    cases.push(Self { row, instance: format!("row{number}-{word}-{place}"), stream, has_fallback });
                }
            }
        }
        cases
    }

    fn plugin(&self) -> &'static str {
        match self.row.upstream {
            Upstream::Simulated(plugin, _) => plugin,
            Upstream::At(_) => "openai",
        }
    }

    /// With the fault in its name, where the simulator finds it.
    fn model(&self) -> String {
        let model = match self.row.upstream {
            Upstream::Simulated(_, model) => model,
            Upstream::At(_) => "gpt-5.4",
        };
        format!("{}/{model}--label={};{}", self.instance, self.instance, self.row.fault)
    }

    /// What callers write.
    fn name(&self) -> String {
        if self.has_fallback { format!("{}-with-fallback", self.instance) } else { self.model() }
    }

    fn toml(&self, simulator: &Simulator) -> String {
        let plugin = self.plugin();
        let base_url = match self.row.upstream {
            Upstream::Simulated(..) => simulator.base_url(plugin),
            Upstream::At(url) => url.to_owned(),
        };
        let key = format!("{}_API_KEY", plugin.to_uppercase());
        let mut toml = format!("[providers.{}]\nplugin = \"{plugin}\"\nbase_url = \"{base_url}\"\nkey_env = \"{key}\"\n", self.instance);
        if !self.row.timeouts.is_empty() {
            let _ = writeln!(toml, "[models.\"{}\"]\ntimeouts = {{ {} }}", self.model(), self.row.timeouts);
        }
        if self.has_fallback {
            let _ = write!(toml, "[routes.{}]\ntargets = [\"{}\", \"{HEALTHY}/mistral-small-2603\"]\n", self.name(), self.model());
        }
        toml
    }

    fn end(&self) -> End {
        if self.stream { self.row.stream } else { self.row.whole }
    }

    /// The attempts that there have to be.
    fn expected(&self) -> Vec<Expected> {
        let first = |failure| Expected { reason: "first", outcome: Err(failure) };
        let mut attempts = match self.end() {
            End::Failing(failure) => {
                let retry = Expected { reason: "retry", outcome: Err(failure) };
                std::iter::once(first(failure)).chain(std::iter::repeat_n(retry, MAX_RETRIES)).collect()
            }
            End::Hopeless(failure) => vec![first(failure)],
            End::Mended(failure) => vec![first(failure), Expected { reason: "retry", outcome: Ok(()) }],
            End::BrokenOff(error) => vec![first(failure(Some(200), error, 200))],
        };
        if self.falls_back() {
            attempts.push(Expected { reason: "fallback", outcome: Ok(()) });
        }
        attempts
    }

    fn falls_back(&self) -> bool {
        self.has_fallback && matches!(self.end(), End::Failing(_) | End::Hopeless(_))
    }

    /// The waits that the attempt of that number may have had before it, in milliseconds.
    fn backoff(&self, number: usize, reason: &str) -> RangeInclusive<f64> {
        match (reason, self.row.wait) {
            ("retry", Wait::Backoff) => {
                let base = INITIAL_BACKOFF_MS * BACKOFF_FACTOR.powi(number as i32 - 1);
                base * (1.0 - JITTER)..=base * (1.0 + JITTER)
            }
            ("retry", Wait::Told(least, most)) => least..=most * (1.0 + JITTER),
            _ => 0.0..=0.0,
        }
    }

    async fn run(self, gateway: &Gateway) {
        let context = format!("{}, {}", self.row.name, self.instance);
        let text = format!("Question of {}", self.instance);
        let (path, body) = match self.stream {
            true => ("/v1/chat/completions", chat_body(&self.name(), &text, true)),
            false => ("/v1/gateway/query", object!({"model": self.name(), "query": text})),
        };
        let began = Instant::now();
        let response = gateway.post(path).header("x-request-id", &self.instance).json(&body).send().await.unwrap();
        let status = response.status().as_u16();
        let heads = ["x-gateway-attempts", "x-gateway-provider", "x-gateway-fallback-from"].map(|name| header(&response, name));
        let body = response.text().await.unwrap();
        let took = began.elapsed();

        let expected = self.expected();
        let provider = if self.falls_back() { HEALTHY } else { self.instance.as_str() };
        assert_eq!(heads[0], Some(expected.len().to_string()), "{context}: {body}");
        assert_eq!(heads[1].as_deref(), Some(provider), "{context}");
        assert_eq!(heads[2].as_deref(), self.falls_back().then_some(self.instance.as_str()), "{context}");
        assert!(self.has(status), "{context}: {status}: {body}");
        self.check_answer(&context, &text, &body);
        let (request, attempts) = gateway.logged(&self.instance);
        self.check_log(&context, &request, &attempts);
        let waited: f64 = attempts.iter().filter_map(|attempt| attempt["backoff_ms"].as_f64()).sum();
        assert!(took >= Duration::from_secs_f64(waited / 1000.0), "{context}: {took:?} with waits of {waited} ms");
    }

    /// Whether the caller may get this status.
    fn has(&self, status: u16) -> bool {
        match self.end() {
            End::Failing(failure) | End::Hopeless(failure) if !self.has_fallback => failure.has(status),
            _ => status == 200,
        }
    }

    /// What the caller saw.
    fn check_answer(&self, context: &str, text: &str, body: &str) {
        assert!(!body.contains("secret-") && !body.contains("127.0.0.1"), "{context}: {body}");
        let said = format!("You said: \"{text}\".");
        let is_answer = self.has(200);
        if self.stream && is_answer {
            let streamed = Streamed::parse(body);
            match self.end() {
                End::BrokenOff(_) => {
                    assert!(!streamed.done && !streamed.text.is_empty(), "{context}: {body}");
                    let message = streamed.error.and_then(|error| error["message"].as_str().map(str::to_owned));
                    assert!(message.is_some_and(|message| !message.is_empty()), "{context}: {body}");
                }
                _ => assert!(streamed.done && streamed.error.is_none() && streamed.text.contains(&said), "{context}: {body}"),
            }
            return;
        }
        let told: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{context}: {error}: {body}"));
        match (self.end(), self.stream) {
            (_, false) if is_answer => assert!(told["response"].as_str().is_some_and(|answer| answer.contains(&said)), "{context}: {told}"),
            (End::Failing(failure) | End::Hopeless(failure), false) => {
                assert!(failure.is(&told["error_type"]), "{context}: {told}");
                assert!(told["error"].as_str().is_some_and(|message| !message.is_empty()), "{context}: {told}");
            }
            _ => assert!(told["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{context}: {told}"),
        }
        if !self.stream {
            self.check_attempts(context, told["attempts"].as_array().unwrap_or_else(|| panic!("{context}: {told}")));
        }
    }

    /// The attempts as the caller is told them: in whole milliseconds.
    fn check_attempts(&self, context: &str, attempts: &[Value]) {
        for (number, (attempt, expected)) in attempts.iter().zip(self.expected()).enumerate() {
            expected.check(context, attempt);
            assert_eq!(attempt["reason"], expected.reason, "{context}: {attempt}");
            let backoff = attempt["backoff_ms"].as_f64().unwrap();
            let allowed = self.backoff(number, expected.reason);
            assert!((allowed.start().floor()..=allowed.end().ceil()).contains(&backoff), "{context}: {allowed:?}: {attempt}");
            assert!(attempt["duration_ms"].is_number() && attempt["model"].is_string(), "{context}: {attempt}");
        }
        assert_eq!(attempts.len(), self.expected().len(), "{context}: {attempts:?}");
    }

    fn check_log(&self, context: &str, request: &Value, attempts: &[Value]) {
        let expected = self.expected();
        assert_eq!(attempts.len(), expected.len(), "{context}: {attempts:?}");
        for (number, (attempt, expected)) in attempts.iter().zip(&expected).enumerate() {
            expected.check(context, attempt);
            let provider = if expected.reason == "fallback" { HEALTHY } else { self.instance.as_str() };
            assert_eq!((&attempt["attempt"], &attempt["provider"]), (&object!(number + 1), &object!(provider)), "{context}");
            let (backoff, allowed) = (attempt["backoff_ms"].as_f64().unwrap(), self.backoff(number, expected.reason));
            assert!(allowed.contains(&backoff), "{context}: {allowed:?}: {attempt}");
        }
        if let Some(last) = expected.last() {
            assert!(last.has(&request["error_type"]), "{context}: {request}");
        }
        assert_eq!(request["attempts"], expected.len(), "{context}: {request}");
        // What is sent is a 200, and what came of it is not.
        let is_broken_off = matches!(self.end(), End::BrokenOff(_));
        let status = request["status"].as_u64().and_then(|status| u16::try_from(status).ok());
        assert_eq!(status.is_some_and(|status| self.has(status)), !is_broken_off, "{context}: {request}");
    }
}

#[derive(Clone, Copy)]
struct Expected {
    reason: &'static str,
    outcome: Result<(), Failure>,
}

impl Expected {
    fn check(&self, context: &str, attempt: &Value) {
        let status = self.outcome.map_or_else(|failure| failure.upstream, |()| Some(200));
        assert_eq!(attempt["status"], object!(status), "{context}: {attempt}");
        assert!(self.has(&attempt["error_type"]), "{context}: {attempt}");
        assert_eq!(attempt["error"].as_str().is_some_and(|error| !error.is_empty()), self.outcome.is_err(), "{context}: {attempt}");
    }

    fn has(&self, error: &Value) -> bool {
        self.outcome.map_or_else(|failure| failure.is(error), |()| error.is_null())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_has_its_attempts_its_waits_and_its_words() {
    let simulator = Simulator::start();
    let cases = Case::all();
    // No breaker comes between: it has tests of its own.
    let mut toml = "[breaker]\nmin_requests = 1000\n".to_owned();
    cases.iter().for_each(|case| toml += &case.toml(&simulator));
    let gateway = Setup::simulated(&simulator)
        .config(&toml)
        .env("MAX_RETRIES", &MAX_RETRIES.to_string())
        .env("INITIAL_BACKOFF", &INITIAL_BACKOFF_MS.to_string())
        .env("BACKOFF_FACTOR", &BACKOFF_FACTOR.to_string())
        .env("JITTER", &JITTER.to_string())
        .env("MAX_BACKOFF", "3000")
        .start();
    // The first answers of each plugin take longer.
    for provider in crate::support::ADAPTERS {
        assert!(json(gateway.query(object!({"query": "Hello", "model": provider})).await).await["error"].is_null());
    }
    stream::iter(cases).map(|case| case.run(&gateway)).buffer_unordered(CASES_AT_ONCE).collect::<()>().await;
    assert_eq!(gateway.process.errors(), [""; 0], "nothing panicked");
}
