//! Real processes for tests: the gateway and the simulator on loopback ports of their own, their log read line by line, stopped when dropped.

use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const ADAPTERS: [&str; 4] = ["openai", "gemini", "mistral", "claude"];
/// How long anything may take that takes milliseconds on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A process of the gateway's binary, with what it has written.
pub struct Process {
    pub child: Child,
    lines: Arc<Lines>,
}

#[derive(Default)]
struct Lines {
    /// Of stdout.
    all: Mutex<Vec<String>>,
    more: Condvar,
    errors: Mutex<Vec<String>>,
}

impl Process {
    fn spawn(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let (stdout, stderr) = (child.stdout.take().expect("it is piped"), child.stderr.take().expect("it is piped"));
        let lines = Arc::new(Lines::default());
        let reader = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                reader.all.lock().unwrap().push(line);
                reader.more.notify_all();
            }
            reader.more.notify_all();
        });
        let reader = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                eprintln!("{line}");
                reader.errors.lock().unwrap().push(line);
            }
        });
        Self { child, lines }
    }

    /// Waits until a line of the log gives something.
    pub fn wait_for<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        let mut all = self.lines.all.lock().unwrap();
        loop {
            if let Some(found) = all.iter().find_map(|line| find(line)) {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what} in the log:\n{}", all.join("\n"));
            all = self.lines.more.wait_timeout(all, left.min(Duration::from_millis(200))).unwrap().0;
        }
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.all.lock().unwrap().clone()
    }

    /// What it wrote to stderr, where a panic would stand.
    pub fn errors(&self) -> Vec<String> {
        self.lines.errors.lock().unwrap().clone()
    }

    /// The lines that are JSON objects with this `message`.
    pub fn records(&self, message: &str) -> Vec<Value> {
        let lines = self.lines();
        lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter(|line| line["message"] == message).collect()
    }

    /// Waits for such a line.
    pub fn wait_for_record(&self, message: &str, matches: impl Fn(&Value) -> bool) -> Value {
        self.wait_for(message, |line| serde_json::from_str::<Value>(line).ok().filter(|line| line["message"] == message && matches(line)))
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("the process is there");
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the process can be waited for") {
                return status;
            }
            assert!(Instant::now() < end, "the process did not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Resident memory, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the process is there");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An HTTP client.
pub fn client() -> Client {
    llm_gateway::attempt::install_tls();
    Client::new()
}

pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_llm-gateway"));
    command.env_clear();
    command
}

/// The simulator as a process of its own.
pub struct Simulator {
    _process: Process,
    pub origin: String,
}

impl Simulator {
    /// Answers as fast as it can.
    pub fn start() -> Self {
        Self::paced(0)
    }

    pub fn paced(per_chunk_ms: u64) -> Self {
        let pace = per_chunk_ms.to_string();
        let process = Process::spawn(binary().args(["simulate", "--port", "0", "--first-token-ms", "0", "--per-chunk-ms", &pace]));
        let origin = process.wait_for("address", |line| Some(line.split_once("simulator on ")?.1.split_once(": ")?.0.to_owned()));
        Self { _process: process, origin }
    }

    pub fn base_url(&self, provider: &str) -> String {
        llm_gateway::simulate::base_url(&self.origin, provider).expect("it is simulated")
    }

    /// What the simulator counted of a provider.
    async fn stats(&self, provider: &str) -> Value {
        let stats: Value = client().get(format!("{}/simulator/stats", self.origin)).send().await.unwrap().json().await.unwrap();
        stats[provider].clone()
    }

    /// One of its counts: `requests`, `cancelled`, `open`.
    pub async fn count(&self, provider: &str, what: &str) -> u64 {
        let stats = self.stats(provider).await;
        stats[what].as_u64().unwrap_or_else(|| panic!("{stats}"))
    }

    /// Requests with the key that ends so.
    pub async fn count_of_key(&self, provider: &str, last_four: &str) -> u64 {
        self.stats(provider).await["by_key"][last_four].as_u64().unwrap_or(0)
    }

    /// Faults for the next requests of a provider, one after the other.
    pub async fn script(&self, provider: &str, faults: &[&str]) {
        self.post_script(serde_json::json!({"provider": provider, "faults": faults})).await;
    }

    /// A fault for every request of a provider, until `recover`.
    pub async fn outage(&self, provider: &str, fault: &str) {
        self.post_script(serde_json::json!({"provider": provider, "faults": [fault], "always": true})).await;
    }

    /// Ends all faults.
    pub async fn recover(&self) {
        let answer = client().delete(format!("{}/simulator/script", self.origin)).send().await.unwrap();
        assert!(answer.status().is_success());
    }

    /// A script in the simulator's own words: `provider`, `faults`, `key`, `always`, `chance`.
    pub async fn post_script(&self, script: Value) {
        let url = format!("{}/simulator/script", self.origin);
        let answer = client().post(url).json(&script).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// The last request that a provider got.
    pub async fn last_request(&self, provider: &str) -> Value {
        let url = format!("{}/simulator/requests", self.origin);
        let all: Value = client().get(url).send().await.unwrap().json().await.unwrap();
        let list = all.as_array().or_else(|| all["requests"].as_array()).unwrap_or_else(|| panic!("{all}"));
        list.iter()
            .rev()
            .find(|request| request["path"].as_str().is_some_and(|path| path.contains(provider)))
            .cloned()
            .unwrap_or_else(|| panic!("{all}"))
    }
}

/// What a gateway is started with.
pub struct Setup {
    env: BTreeMap<String, String>,
    folder: TempDir,
    arguments: Vec<String>,
}

impl Setup {
    /// No plugin, no key, any free port, no cache.
    pub fn bare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(folder.path().join("plugins")).unwrap();
        std::fs::create_dir(&data).unwrap();
        // Compiled once for all tests.
        let compiled = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        std::fs::create_dir_all(&compiled).unwrap();
        std::os::unix::fs::symlink(compiled, data.join("compiled")).unwrap();
        let setup = Self { env: BTreeMap::new(), folder, arguments: Vec::new() };
        // Tests ask the same again and again, to see it asked.
        setup.env("PORT", "0").env("INITIAL_BACKOFF", "5").env("MAX_BACKOFF", "2000").env("CACHE_ENABLED", "false")
    }

    /// The four adapters, each asking the simulator.
    pub fn simulated(simulator: &Simulator) -> Self {
        let mut setup = Self::bare();
        for adapter in ADAPTERS {
            setup.copy_adapter(adapter);
            setup = setup.provider(adapter, &simulator.base_url(adapter));
        }
        setup
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn provider(self, id: &str, base_url: &str) -> Self {
        let prefix = id.to_uppercase();
        self.env(&format!("{prefix}_API_KEY"), &format!("secret-{id}-key")).env(&format!("{prefix}_BASE_URL"), base_url)
    }

    /// What `gateway.toml` says.
    pub fn config(self, toml: &str) -> Self {
        std::fs::write(self.folder.path().join("gateway.toml"), toml).unwrap();
        self
    }

    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    pub fn plugins(&self) -> PathBuf {
        self.folder.path().join("plugins")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn copy_adapter(&self, name: &str) {
        std::fs::write(self.plugins().join(format!("{name}.wasm")), adapter_bytes(name)).unwrap();
    }

    pub fn command(&self) -> Command {
        let mut command = binary();
        command.arg("serve").args(&self.arguments).current_dir(self.folder.path()).envs(&self.env);
        command
    }

    pub fn start(self) -> Gateway {
        let command = self.command();
        self.start_as(command)
    }

    /// Starts it by a command that ends in its own.
    pub fn start_as(self, mut command: Command) -> Gateway {
        let (process, url) = listening(&mut command);
        Gateway { process, url, client: client(), setup: self }
    }
}

/// A built adapter of the project's.
pub fn adapter_bytes(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins").join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; `make test` builds it", path.display()))
}

/// A built adapter that only tests use, with another word in its switch.
pub fn fixture_bytes(name: &str, switch: &str) -> Vec<u8> {
    let target = std::env::var("CARGO_TARGET_DIR").map_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    let path = target.join("fixtures/wasm32-wasip2/adapter").join(format!("adapter_{name}.wasm"));
    let mut bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; `make test` builds it", path.display()));
    let at = bytes.windows(7).position(|window| window == b"SWITCH:").expect("the fixture has its switch") + 7;
    let padded = format!("{switch:_<16}");
    bytes[at..at + 16].copy_from_slice(padded.as_bytes());
    bytes
}

/// Puts a file in place in one step, as `mv` does.
pub fn place(folder: &Path, name: &str, bytes: &[u8]) {
    let temporary = folder.join(format!(".{name}.new"));
    std::fs::write(&temporary, bytes).unwrap();
    std::fs::rename(temporary, folder.join(name)).unwrap();
}

/// Starts a gateway, and waits until it says where it listens.
fn listening(command: &mut Command) -> (Process, String) {
    let process = Process::spawn(command);
    let address = process.wait_for("address", |line| {
        let line: Value = serde_json::from_str(line).ok()?;
        line["message"].as_str()?.contains("listens on").then(|| line["address"].as_str().map(str::to_owned))?
    });
    (process, format!("http://{address}"))
}

/// A gateway that listens.
pub struct Gateway {
    pub process: Process,
    pub url: String,
    pub client: Client,
    setup: Setup,
}

/// A gateway key that was made.
#[derive(Debug, Clone)]
pub struct Key {
    pub id: String,
    pub secret: String,
}

impl Gateway {
    pub fn folder(&self) -> &Path {
        self.setup.folder()
    }

    pub fn plugins(&self) -> PathBuf {
        self.setup.plugins()
    }

    /// Kills it (`SIGKILL`) and starts it again with the same settings and folder, on another port.
    pub fn kill_and_restart(&mut self) {
        self.process.signal(rustix::process::Signal::KILL);
        self.process.wait();
        (self.process, self.url) = listening(&mut self.setup.command());
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).timeout(PATIENCE)
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url)).timeout(PATIENCE)
    }

    pub async fn query(&self, body: Value) -> Response {
        self.post("/api/query").json(&body).send().await.unwrap()
    }

    pub async fn chat(&self, body: Value) -> Response {
        self.post("/v1/chat/completions").json(&body).send().await.unwrap()
    }

    pub async fn gateway_query(&self, body: Value) -> Response {
        self.post("/v1/gateway/query").json(&body).send().await.unwrap()
    }

    /// Makes a gateway key.
    pub async fn key(&self, body: Value) -> Key {
        let response = self.post("/admin/keys").json(&body).send().await.unwrap();
        assert_eq!(response.status(), 201, "{}", response.text().await.unwrap());
        let made = json(response).await;
        let text = |field: &str| made[field].as_str().unwrap_or_else(|| panic!("{field} is missing")).to_owned();
        Key { id: text("id"), secret: text("key") }
    }

    /// All rows of the ledger that a filter (`tenant=acme`) lets through, the newest first.
    pub async fn rows(&self, filter: &str) -> Vec<Value> {
        let (mut rows, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("/admin/requests?limit=1000&{filter}{cursor}")).send().await.unwrap();
            assert_eq!(page.status(), 200, "{}", page.text().await.unwrap());
            let page = json(page).await;
            rows.extend(page["requests"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return rows,
            }
        }
    }

    /// The one row of a request.
    pub async fn row(&self, request_id: &str) -> Value {
        let rows = self.rows(&format!("request_id={request_id}")).await;
        assert_eq!(rows.len(), 1, "{request_id}: {rows:?}");
        rows.into_iter().next().unwrap()
    }

    /// The sums over everything that a filter lets through.
    pub async fn usage(&self, filter: &str) -> Value {
        let usage = json(self.get(&format!("/admin/usage?{filter}")).send().await.unwrap()).await;
        usage["totals"].clone()
    }

    /// What is said of one plugin.
    pub async fn plugin(&self, id: &str) -> Option<Value> {
        let all: Value = self.get("/admin/plugins").send().await.unwrap().json().await.unwrap();
        all["plugins"].as_array().unwrap().iter().find(|plugin| plugin["id"] == id).cloned()
    }

    /// A count that `/metrics` tells under a name without labels; one that was never raised may be missing.
    pub async fn counted(&self, name: &str) -> f64 {
        let metrics = self.get("/metrics").send().await.unwrap().text().await.unwrap();
        metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok()).unwrap_or(0.0)
    }

    /// What `/metrics` tells under a name without labels.
    pub async fn gauge(&self, name: &str) -> f64 {
        let metrics = self.get("/metrics").send().await.unwrap().text().await.unwrap();
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in\n{metrics}"))
    }

    /// Waits until it is at least so much.
    pub async fn wait_for_gauge(&self, name: &str, least: f64) {
        let end = Instant::now() + PATIENCE;
        while self.gauge(name).await < least {
            assert!(Instant::now() < end, "{name} stays under {least}");
        }
    }

    /// What was logged of a request that is over: its line, and those of its attempts.
    pub fn logged(&self, id: &str) -> (Value, Vec<Value>) {
        let request = self.process.wait_for_record("request", |line| line["request_id"] == id);
        let attempts = self.process.records("attempt").into_iter().filter(|line| line["request_id"] == id).collect();
        (request, attempts)
    }

    /// Waits for an event of a plugin file in the log.
    pub fn wait_for_event(&self, file: &str, event: &str) -> Value {
        let message = format!("plugin {event}");
        self.process.wait_for_record(&message, |line| line["file"] == file)
    }
}

/// A Chat request of one user message.
pub fn chat_body(model: &str, text: &str, stream: bool) -> Value {
    let mut body = serde_json::json!({"model": model, "messages": [{"role": "user", "content": text}], "stream": stream});
    if stream {
        body["stream_options"] = serde_json::json!({"include_usage": true});
    }
    body
}

/// A streamed Chat answer, put together.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Streamed {
    pub text: String,
    pub thinking: String,
    pub finish: Option<String>,
    pub usage: Option<Value>,
    pub error: Option<Value>,
    pub done: bool,
}

impl Streamed {
    pub fn parse(body: &str) -> Self {
        let mut streamed = Self::default();
        for data in body.split("\n\n").filter_map(|event| event.strip_prefix("data: ")) {
            if data == "[DONE]" {
                streamed.done = true;
                continue;
            }
            let chunk: Value = serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"));
            let delta = &chunk["choices"][0]["delta"];
            streamed.text += delta["content"].as_str().unwrap_or_default();
            streamed.thinking += delta["reasoning_content"].as_str().unwrap_or_default();
            streamed.finish = chunk["choices"][0]["finish_reason"].as_str().map(str::to_owned).or(streamed.finish);
            streamed.usage = chunk.get("usage").filter(|usage| usage.is_object()).cloned().or(streamed.usage);
            streamed.error = chunk.get("error").cloned().or(streamed.error);
        }
        streamed
    }

    pub async fn read(response: Response) -> Self {
        Self::parse(&response.text().await.unwrap())
    }
}

pub async fn json(response: Response) -> Value {
    let text = response.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

pub fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
}

/// A header that is a number.
pub fn number(response: &Response, name: &str) -> f64 {
    let text = header(response, name).unwrap_or_else(|| panic!("no {name} in {:?}", response.headers()));
    text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}"))
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
