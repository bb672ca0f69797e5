//! The HTTP face: routes, and a request's way from its bytes to its answer.
//!
//! Order, as at a provider: the connection (`reset`), the CDN (`html`), the key, the rate limiter and outages (`status`), then the request itself.

use super::faults::{Faults, Mistake, Replacement, RetryHint};
use super::id::{ExchangeId, Ids};
use super::journal::{Journal, Seen, Visit};
use super::provider::Provider;
use super::script::{Asked, Script, Scripts};
use super::transmit::{self, Plan};
use super::wire::{Answer, Body as RequestBody, Call, HintPlace, Problem, Wire};
use super::{Settings, clock};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use axum::response::Response;
use axum::routing::{any, get, post};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};
use std::sync::Arc;

const MAX_REQUEST_BYTES: usize = 64 * 1024 * 1024;
const FAULT_HEADER: &str = "x-simulate";
const SIMULATED: HeaderName = HeaderName::from_static("x-simulated");
/// Between a model's name and a fault.
const MODEL_SEPARATOR: &str = "--";

struct Simulator {
    settings: Settings,
    scripts: Scripts,
    journal: Arc<Journal>,
}

pub(super) fn router(settings: Settings) -> Router {
    let simulator = Arc::new(Simulator { settings, scripts: Scripts::default(), journal: Arc::default() });
    let mut router = Router::new()
        .route("/simulator/script", post(queue_script).delete(clear_script))
        .route("/simulator/requests", get(list_requests))
        .route("/simulator/stats", get(show_stats));
    for provider in Provider::ALL {
        let handler = move |State(simulator): State<Arc<Simulator>>, request: Request<Body>| simulate(simulator, provider, request);
        router = router.route(&format!("{}/{{*path}}", provider.base_path()), any(handler));
    }
    router.fallback(unknown_path).with_state(simulator)
}

async fn simulate(simulator: Arc<Simulator>, provider: Provider, request: Request<Body>) -> Response {
    let wire = provider.wire();
    let exchange = ExchangeId::new();
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, MAX_REQUEST_BYTES).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(_) => return Reply::problem(wire, &too_large(), &exchange).into_response(),
    };
    let mut call = read(provider, &parts, &body);
    let fault = choose_fault(&simulator.scripts, provider, &mut call).unwrap_or_default();
    let mut visit = simulator.journal.open(provider, &parts, Seen { body: &body, key: call.key(), fault: &fault });
    drop(body);
    let faults = match simulator.scripts.apply(provider, &fault) {
        Ok(faults) => faults,
        Err(mistake) => {
            visit.answered();
            return Reply::problem(wire, &misspelt(&mistake), &exchange).into_response();
        }
    };
    transmit::wait((!faults.delay.is_zero()).then_some(faults.delay)).await;
    if faults.replacement == Some(Replacement::Reset) {
        return Response::new(transmit::reset(visit));
    }
    call.shaping = faults.shaping.clone();
    if call.shaping.echo_headers {
        call.shaping.header_names = header_names(&parts.headers);
    }
    let reply = answer(wire, &call, &faults, &exchange);
    reply.send(&faults, &simulator.settings, visit).await
}

/// What goes back, before its delivery.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    answer: Answer,
}

fn answer(wire: &dyn Wire, call: &Call, faults: &Faults, exchange: &ExchangeId) -> Reply {
    if let Some(Replacement::Html(status)) = faults.replacement {
        return Reply::html(status);
    }
    let answered = wire.authorise(call).and_then(|()| match &faults.replacement {
        Some(Replacement::Status { status, code }) => Err(outage(wire, *status, code.as_deref(), faults)),
        _ => wire.answer(call),
    });
    let mut reply = match answered {
        Ok(Answer::Whole { .. }) if faults.delivery.error_after.is_some() => Reply::problem(wire, &wire.outage(500, None), exchange),
        Ok(answer) => Reply::good(wire, answer, exchange),
        Err(problem) => Reply::problem(wire, &problem, exchange),
    };
    if faults.replacement == Some(Replacement::Garbage) {
        reply.spoil();
    }
    if let Some(hint) = faults.retry {
        set_retry_hint(&mut reply.headers, hint, wire.retry_hint_place());
    }
    wire.set_limits(&mut reply.headers, faults.limits);
    if let Some(value) = faults.should_retry {
        reply.headers.insert("x-should-retry", HeaderValue::from_static(if value { "true" } else { "false" }));
    }
    reply
}

fn outage(wire: &dyn Wire, status: u16, code: Option<&str>, faults: &Faults) -> Problem {
    let mut problem = wire.outage(status, code);
    problem.retry = faults.retry.unwrap_or(problem.retry);
    problem
}

impl Reply {
    fn good(wire: &dyn Wire, answer: Answer, exchange: &ExchangeId) -> Self {
        let mut headers = HeaderMap::new();
        wire.set_headers(&mut headers, exchange, StatusCode::OK);
        Self { status: StatusCode::OK, headers, answer }
    }

    fn problem(wire: &dyn Wire, problem: &Problem, exchange: &ExchangeId) -> Self {
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut headers = HeaderMap::new();
        wire.set_headers(&mut headers, exchange, status);
        set_retry_hint(&mut headers, problem.retry, wire.retry_hint_place());
        let body = wire.error_body(problem, exchange);
        let content_type = if body.starts_with('<') { HTML } else { "application/json" };
        Self { status, headers, answer: Answer::Whole { content_type, body } }
    }

    /// What a CDN says when its origin does not.
    fn html(status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        let reason = status.canonical_reason().unwrap_or("Error");
        let body = format!(
            "<html>\r\n<head><title>{} {reason}</title></head>\r\n<body>\r\n<center><h1>{} {reason}</h1></center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n",
            status.as_str(),
            status.as_str(),
        );
        let mut headers = HeaderMap::new();
        headers.insert("server", HeaderValue::from_static("cloudflare"));
        Self { status, headers, answer: Answer::Whole { content_type: HTML, body } }
    }

    fn spoil(&mut self) {
        const NONSENSE: &str = "}{ \"half\": [1, 2,, \u{0} data: not json\n\ndata: {\"choices\":\n\n<<>> \u{fffd}\u{fffd}";
        let content_type = match &self.answer {
            Answer::Whole { content_type, .. } => content_type,
            Answer::Stream(streamed) => streamed.content_type,
        };
        self.status = StatusCode::OK;
        self.answer = Answer::Whole { content_type, body: NONSENSE.to_owned() };
    }

    /// Without faults and without a pause.
    fn into_response(self) -> Response {
        let (content_type, body) = match self.answer {
            Answer::Whole { content_type, body } => (content_type, Body::from(body)),
            Answer::Stream(streamed) => (streamed.content_type, Body::from(streamed.frames.into_parts().0)),
        };
        response(self.status, self.headers, content_type, body)
    }

    async fn send(mut self, faults: &Faults, settings: &Settings, visit: Visit) -> Response {
        let (content_type, plan) = match self.answer {
            Answer::Whole { content_type, body } => {
                if self.status == StatusCode::OK {
                    transmit::wait(settings.pacing.pause_before(0)).await;
                }
                (content_type, Plan::whole(Bytes::from(body), &faults.delivery))
            }
            Answer::Stream(streamed) => (streamed.content_type, Plan::stream(streamed, &faults.delivery, settings.pacing)),
        };
        if let Some(length) = plan.length {
            self.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        response(self.status, self.headers, content_type, plan.into_body(visit))
    }
}

const HTML: &str = "text/html; charset=UTF-8";

fn response(status: StatusCode, headers: HeaderMap, content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(SIMULATED, HeaderValue::from_static("true"));
    response
}

fn set_retry_hint(headers: &mut HeaderMap, hint: RetryHint, place: HintPlace) {
    headers.remove(RETRY_AFTER);
    if place == HintPlace::Body {
        return;
    }
    match hint {
        RetryHint::None => {}
        RetryHint::Seconds(seconds) => {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        RetryHint::Date(seconds) => {
            if let Ok(date) = HeaderValue::try_from(clock::http_date(clock::now() + seconds)) {
                headers.insert(RETRY_AFTER, date);
            }
        }
        RetryHint::Milliseconds(milliseconds) => {
            headers.insert("retry-after-ms", HeaderValue::from(milliseconds));
        }
    }
}

fn read(provider: Provider, parts: &Parts, body: &[u8]) -> Call {
    let path = parts.uri.path().strip_prefix(provider.base_path()).unwrap_or_default();
    let read_body = if body.is_empty() {
        RequestBody::None
    } else {
        serde_json::from_slice(body).map_or_else(|error| RequestBody::Malformed(error.to_string()), RequestBody::Json)
    };
    let path = percent_decoded(path.trim_start_matches('/'));
    let ids = Ids::of(body);
    Call {
        method: parts.method.clone(),
        path,
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers.clone(),
        body: read_body,
        body_bytes: body.len(),
        shaping: super::faults::Shaping::default(),
        ids,
    }
}

/// Bytes that are no text after decoding are left as they were sent.
fn percent_decoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = bytes.get(at + 1..at + 3).filter(|_| byte == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) => {
                decoded.push(value);
                at += 3;
            }
            None => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| path.to_owned())
}

/// The header's fault, else the model's, else the script's. Takes the fault off the model's name in any case.
fn choose_fault(scripts: &Scripts, provider: Provider, call: &mut Call) -> Option<String> {
    let from_model = take_from_model(call);
    let from_header = call.header(FAULT_HEADER).map(str::to_owned);
    from_header.or(from_model).or_else(|| scripts.next(Asked { provider, key: call.key() }))
}

fn take_from_model(call: &mut Call) -> Option<String> {
    if let RequestBody::Json(Value::Object(body)) = &mut call.body
        && let Some(Value::String(model)) = body.get_mut("model")
    {
        let (name, fault) = split_model(model)?;
        *model = name;
        return Some(fault);
    }
    let (rest, method) = call.path.rsplit_once(':')?;
    let (name, fault) = split_model(rest)?;
    call.path = format!("{name}:{method}");
    Some(fault)
}

fn split_model(model: &str) -> Option<(String, String)> {
    let (name, fault) = model.split_once(MODEL_SEPARATOR)?;
    Some((name.to_owned(), fault.strip_prefix("fault=").unwrap_or(fault).to_owned()))
}

fn header_names(headers: &HeaderMap) -> Vec<String> {
    let mut names: Vec<_> = headers.keys().map(|name| name.as_str().to_owned()).collect();
    names.sort_unstable();
    names
}

fn too_large() -> Problem {
    Problem::new(413, "invalid_request_error", format!("simulator: a request has at most {MAX_REQUEST_BYTES} bytes"))
}

fn misspelt(mistake: &Mistake) -> Problem {
    Problem::new(400, "invalid_request_error", mistake.to_string())
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptRequest {
    provider: String,
    /// Absent: requests with any key.
    key: Option<String>,
    faults: Vec<String>,
    /// Whether every request is hit, until the script is cleared or another one with `always` takes its place. Of several faults each draws one.
    #[serde(default)]
    always: bool,
    /// The share of requests that `always` hits, 0 to 1.
    chance: Option<f64>,
}

async fn queue_script(State(simulator): State<Arc<Simulator>>, body: Bytes) -> Response {
    let request: ScriptRequest = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => {
            return refused(format!(
                "simulator: a script is {{\"provider\":..,\"faults\":[..]}}, perhaps with \"key\", \"always\" and \"chance\": {error}"
            ));
        }
    };
    let Some(provider) = Provider::named(&request.provider) else {
        let known = Provider::ALL.map(Provider::name).join(", ");
        return refused(format!("simulator: there is no provider `{}`; there are {known}", request.provider));
    };
    let ScriptRequest { key, faults, always, chance, .. } = request;
    let script = Script { provider, key, faults };
    let queued = match (always, chance) {
        (false, None) => simulator.scripts.queue(script),
        (false, Some(_)) => return refused("simulator: `chance` needs `always` beside it".to_owned()),
        (true, chance) => simulator.scripts.stand(script, chance.unwrap_or(1.0)),
    };
    match queued {
        Ok(queued) => own(StatusCode::OK, &json!({"provider": provider.name(), "queued": queued})),
        Err(error) => refused(error.to_string()),
    }
}

async fn clear_script(State(simulator): State<Arc<Simulator>>) -> Response {
    simulator.scripts.clear();
    own(StatusCode::OK, &json!({"queued": 0}))
}

async fn list_requests(State(simulator): State<Arc<Simulator>>) -> Response {
    own(StatusCode::OK, &simulator.journal.requests())
}

async fn show_stats(State(simulator): State<Arc<Simulator>>) -> Response {
    own(StatusCode::OK, &simulator.journal.stats())
}

async fn unknown_path() -> Response {
    let bases = Provider::ALL.map(Provider::base_path).join(", ");
    own(StatusCode::NOT_FOUND, &json!({"error": format!("simulator: the providers are at {bases}, the rest at /simulator")}))
}

fn refused(error: String) -> Response {
    own(StatusCode::BAD_REQUEST, &json!({"error": error}))
}

/// An answer of the simulator itself.
fn own(status: StatusCode, body: &Value) -> Response {
    response(status, HeaderMap::new(), "application/json", Body::from(body.to_string()))
}
