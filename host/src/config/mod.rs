//! What the operator set: environment variables (a `.env` is read by `main`) and `gateway.toml`, checked once into values that nothing
//! later needs to doubt.
//!
//! Owns: names, units, defaults and ranges of every setting; reading the file again when it changes. Not here: what is built of them. The environment comes as a function, so that
//! tests set nothing global.

mod document;
mod file;
mod pricing;
mod routing;
mod rules;
mod watch;

pub use file::ConfigFile;
pub use rules::{
    BreakerPolicy, CachePolicy, CacheRules, CacheScope, LedgerMode, Route, RouteTarget, Rules, Sticky, Strategy, TimeoutOverrides,
    Timeouts, UnpricedModels,
};
pub use watch::{ConfigState, Reloader, Report, watch};

use secrecy::SecretString;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Providers that the gateway ships adapters for, in the order in which they are asked when nothing else decides, with the base URL that their
/// key is sent to. An adapter's own idea of its base URL does not count for these.
pub const SHIPPED: [(&str, &str); 4] = [
    ("openai", "https://api.openai.com/v1"),
    ("gemini", "https://generativelanguage.googleapis.com/v1beta"),
    ("mistral", "https://api.mistral.ai/v1"),
    ("claude", "https://api.anthropic.com/v1"),
];

const BASE_URL_EXPECTED: &str = "expected an http or https URL with its API version and no query, such as https://api.openai.com/v1";

/// Everything that is set.
#[derive(Debug, Clone)]
pub struct Config {
    pub server: ServerConfig,
    pub limits: RequestLimits,
    pub admission: AdmissionConfig,
    /// Of an answer that comes whole.
    pub answer_bytes: usize,
    pub retry: RetryPolicy,
    pub log: LogConfig,
    pub plugins_dir: PathBuf,
    pub data_dir: PathBuf,
    pub admin_key: Option<SecretString>,
    /// Whether callers without a gateway key are answered.
    pub allow_anonymous: bool,
    pub cache: CacheConfig,
    pub ledger: LedgerConfig,
    /// Postgres. Absent: SQLite in the data folder.
    pub database_url: Option<SecretString>,
    /// What several gateways share. Absent: each has its own limits and cache.
    pub redis_url: Option<SecretString>,
    /// Whether providers without a key are answered by the simulator.
    pub demo: bool,
    /// As they are at the start.
    pub rules: Arc<Rules>,
}

/// What becomes of a request of which a provider can't take everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UnsupportedParams {
    /// It is left out, and named in `x-gateway-dropped-params`.
    #[default]
    Drop,
    /// The request is refused, or goes to another candidate.
    Reject,
}

/// Media that the gateway fetches for providers that don't.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaConfig {
    /// Of one piece.
    pub max_bytes: usize,
    /// For one piece, from the first packet to the last.
    pub timeout: Duration,
    /// Whether it may be fetched from this machine and private networks.
    pub private_addresses: bool,
}

/// Where the gateway listens, and what a connection may do.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub host: IpAddr,
    /// 0: any free one.
    pub port: u16,
    pub max_connections: usize,
    pub header_read_timeout: Duration,
    /// How long a client may take nothing of what is there for it.
    pub write_timeout: Duration,
    /// How long requests and streams may go on after a signal to stop.
    pub shutdown_grace: Duration,
}

/// What one request may be.
#[derive(Debug, Clone, Copy)]
pub struct RequestLimits {
    pub body_bytes: usize,
    /// Of `query` on the query routes, in characters.
    pub query_chars: usize,
    /// Until a body is there whole.
    pub body_read_timeout: Duration,
    /// Between two pieces of a body.
    pub body_idle_timeout: Duration,
}

/// How much the gateway takes on at once.
#[derive(Debug, Clone, Copy)]
pub struct AdmissionConfig {
    /// Attempts that are under way, streams included.
    pub max_concurrency: usize,
    /// Requests beside these: such as wait for one of those places, or before a retry.
    pub max_queue: usize,
    /// How long a request waits for its turn.
    pub queue_timeout: Duration,
    /// Of all requests' bodies in memory, in bytes.
    pub body_memory: usize,
}

/// Exponential backoff with jitter.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Retries of one candidate, beside the first attempt.
    pub max_retries: u32,
    pub initial_backoff: Duration,
    /// A provider that asks for a longer wait is left for the next candidate.
    pub max_backoff: Duration,
    pub factor: f64,
    /// Share of the backoff by which it varies up and down, 0 to 1.
    pub jitter: f64,
    /// Retries of a provider as a share of its successes, 0 to 1: what an outage may add to its load.
    pub budget: f64,
}

/// Answers that are kept to be given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheConfig {
    pub enabled: bool,
    pub ttl: Duration,
    /// Of the answers in this process.
    pub max_bytes: u64,
}

/// What is kept of requests, and for how long. Absent: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerConfig {
    pub retention: Option<Duration>,
    /// Whether prompts and answers are kept too.
    pub contents: bool,
    pub contents_retention: Option<Duration>,
    /// Of rows that are not in the database yet.
    pub journal_bytes: u64,
}

#[derive(Debug, Clone)]
pub struct LogConfig {
    /// A level (`info`) or directives (`llm_gateway=debug,hyper=info`).
    pub level: String,
    /// Whether prompts and answers are logged.
    pub prompts: bool,
}

/// One provider instance: a plugin, where it sends, and its key.
#[derive(Clone, Default)]
pub struct ProviderConfig {
    /// Id of the adapter; absent: the instance's own name.
    pub plugin: Option<String>,
    pub base_url: Option<Url>,
    /// That its keys come from, where the file names them; else it is its own (`key_variable`).
    pub key_variables: Vec<String>,
    /// Each counts its own rate limits, and they take turns. Empty: none is set.
    pub keys: Vec<SecretString>,
    /// Whether it is asked without a key, whatever its adapter needs: a server of the operator's own.
    pub keyless: bool,
    /// Replace the adapter's fixed headers of the same name.
    pub headers: BTreeMap<String, String>,
    pub settings: Vec<(String, String)>,
}

/// A setting that can't be used. The start ends with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{name} is `{value}`: {expected}")]
    Value { name: String, value: String, expected: String },
    #[error("{file}: {reason}")]
    File { file: String, reason: String },
}

/// Of headers and settings the names alone: a value may be a secret.
impl fmt::Debug for ProviderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings: Vec<&str> = self.settings.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("ProviderConfig")
            .field("plugin", &self.plugin)
            .field("base_url", &self.base_url.as_ref().map(Url::as_str))
            .field("key_variables", &self.key_variables)
            .field("headers", &self.headers.keys())
            .field("settings", &settings)
            .finish_non_exhaustive()
    }
}

/// Reads variables by name.
pub trait Env {
    /// The variable's value; absent and empty are the same.
    fn get(&self, name: &str) -> Option<String>;
}

impl<F: Fn(&str) -> Option<String>> Env for F {
    fn get(&self, name: &str) -> Option<String> {
        self(name).filter(|value| !value.trim().is_empty())
    }
}

/// The variable that holds a provider's key: `OPENAI_API_KEY` for `openai`.
pub fn key_variable(provider: &str) -> String {
    format!("{}_API_KEY", variable_prefix(provider))
}

/// The variable that moves a provider: `OPENAI_BASE_URL` for `openai`.
pub fn base_url_variable(provider: &str) -> String {
    format!("{}_BASE_URL", variable_prefix(provider))
}

fn variable_prefix(provider: &str) -> String {
    provider.to_ascii_uppercase().replace('-', "_")
}

impl Config {
    /// # Errors
    /// The first setting that can't be used, in words for the operator.
    pub fn load(env: &impl Env, demo: bool) -> Result<Self, ConfigError> {
        let rules = Rules::load(env)?;
        let limits = RequestLimits {
            body_bytes: ranged(env, "MAX_BODY_BYTES", 1024, 1 << 30, 20 << 20)?,
            query_chars: ranged(env, "MAX_QUERY_CHARS", 1, 100_000_000, 1_000_000)?,
            body_read_timeout: milliseconds(env, "BODY_READ_TIMEOUT", 1, 60_000)?,
            body_idle_timeout: milliseconds(env, "BODY_IDLE_TIMEOUT", 1, 10_000)?,
        };
        let host = parsed(env, "HOST", "an IP address to listen on, such as 127.0.0.1 or 0.0.0.0")?.unwrap_or(IpAddr::from([127, 0, 0, 1]));
        Ok(Self {
            server: ServerConfig {
                host,
                port: parsed(env, "PORT", "a port from 0 to 65535")?.unwrap_or(8080),
                max_connections: ranged(env, "MAX_CONNECTIONS", 1, 1_000_000, 10_000)?,
                header_read_timeout: milliseconds(env, "HEADER_READ_TIMEOUT", 1, 30_000)?,
                write_timeout: milliseconds(env, "WRITE_TIMEOUT", 1, 30_000)?,
                shutdown_grace: milliseconds(env, "SHUTDOWN_GRACE", 0, 30_000)?,
            },
            limits,
            admission: admission(env, &limits)?,
            answer_bytes: ranged(env, "MAX_ANSWER_BYTES", 1024, 1 << 30, 64 << 20)?,
            retry: retry(env)?,
            log: LogConfig { level: env.get("LOG_LEVEL").unwrap_or_else(|| "info".into()), prompts: flag(env, "LOG_PROMPTS", false)? },
            plugins_dir: PathBuf::from(env.get("PLUGINS_DIR").unwrap_or_else(|| "plugins".into())),
            data_dir: PathBuf::from(env.get("DATA_DIR").unwrap_or_else(|| "data".into())),
            admin_key: env.get("ADMIN_KEY").map(SecretString::from),
            allow_anonymous: flag(env, "ALLOW_ANONYMOUS", host.is_loopback())?,
            cache: CacheConfig {
                enabled: flag(env, "CACHE_ENABLED", true)?,
                ttl: Duration::from_secs(ranged(env, "CACHE_TTL", 1, 31_536_000, 300)?),
                max_bytes: ranged(env, "CACHE_MAX_BYTES", 1 << 20, 1 << 40, 256 << 20)?,
            },
            ledger: LedgerConfig {
                retention: days(env, "LEDGER_RETENTION_DAYS", 400)?,
                contents: flag(env, "LEDGER_CONTENTS", false)?,
                contents_retention: days(env, "LEDGER_CONTENTS_RETENTION_DAYS", 30)?,
                journal_bytes: ranged(env, "LEDGER_JOURNAL_BYTES", 1 << 20, 1 << 40, 1 << 30)?,
            },
            database_url: secret_url(env, "DATABASE_URL", &["postgres://", "postgresql://"])?,
            redis_url: secret_url(env, "REDIS_URL", &["redis://", "rediss://"])?,
            demo,
            rules: Arc::new(rules),
        })
    }
}

impl Rules {
    /// What the file and the environment say now.
    ///
    /// # Errors
    /// The first of it that can't be used; then none of it counts.
    pub fn load(env: &impl Env) -> Result<Self, ConfigError> {
        let file = ConfigFile::of(env);
        file.rules(file.read()?.as_deref(), env)
    }
}

/// The built-in base URL of a shipped provider.
pub fn shipped_base_url(provider: &str) -> Option<&'static str> {
    SHIPPED.iter().find(|(id, _)| *id == provider).map(|(_, url)| *url)
}

/// What a provider's own variables say of it.
///
/// # Errors
/// When its base URL is none.
pub fn provider_from_env(env: &impl Env, name: &str) -> Result<ProviderConfig, ConfigError> {
    let shipped = shipped_base_url(name).map(str::to_owned);
    let variable = base_url_variable(name);
    let wrong = || ConfigError::Value { name: variable.clone(), value: "(hidden)".into(), expected: BASE_URL_EXPECTED.into() };
    let base_url = env.get(&variable).or(shipped).map(|text| base_url(&text).ok_or_else(wrong)).transpose()?;
    let key = env.get(&key_variable(name)).map(|key| checked_key(&key_variable(name), &key)).transpose()?;
    Ok(ProviderConfig { base_url, keys: key.into_iter().collect(), ..ProviderConfig::default() })
}

fn checked_key(name: &str, key: &str) -> Result<SecretString, ConfigError> {
    let key = key.trim();
    if key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Ok(SecretString::from(key.to_owned()));
    }
    Err(ConfigError::Value { name: name.into(), value: "(hidden)".into(), expected: "a key has only printable ASCII characters".into() })
}

/// One that is refused is not shown: a password or a key may stand in it.
fn base_url(text: &str) -> Option<Url> {
    Url::parse(text.trim_end_matches('/')).ok().filter(|_| crate::outbound::is_base_url(text))
}

fn retry(env: &impl Env) -> Result<RetryPolicy, ConfigError> {
    let policy = RetryPolicy {
        max_retries: ranged(env, "MAX_RETRIES", 0, 20, 3)?,
        initial_backoff: milliseconds(env, "INITIAL_BACKOFF", 0, 1000)?,
        max_backoff: milliseconds(env, "MAX_BACKOFF", 0, 30_000)?,
        factor: fraction(env, "BACKOFF_FACTOR", 1.0, 100.0, 2.0)?,
        jitter: fraction(env, "JITTER", 0.0, 1.0, 0.1)?,
        budget: fraction(env, "RETRY_BUDGET", 0.0, 1.0, 0.2)?,
    };
    if policy.max_backoff < policy.initial_backoff {
        return Err(ConfigError::Value {
            name: "MAX_BACKOFF".into(),
            value: policy.max_backoff.as_millis().to_string(),
            expected: format!("it must not be less than INITIAL_BACKOFF ({} ms)", policy.initial_backoff.as_millis()),
        });
    }
    Ok(policy)
}

fn admission(env: &impl Env, limits: &RequestLimits) -> Result<AdmissionConfig, ConfigError> {
    let config = AdmissionConfig {
        max_concurrency: ranged(env, "MAX_CONCURRENCY", 1, 100_000, 2000)?,
        max_queue: ranged(env, "MAX_QUEUE", 0, 100_000, 2000)?,
        queue_timeout: milliseconds(env, "QUEUE_TIMEOUT", 1, 10_000)?,
        body_memory: ranged(env, "MAX_BODY_MEMORY", 1024, 1 << 40, limits.body_bytes.max(512 << 20))?,
    };
    if config.body_memory < limits.body_bytes {
        return Err(ConfigError::Value {
            name: "MAX_BODY_MEMORY".into(),
            value: config.body_memory.to_string(),
            expected: format!("it must not be less than MAX_BODY_BYTES ({}): one body has to have room", limits.body_bytes),
        });
    }
    Ok(config)
}

fn timeouts(env: &impl Env) -> Result<Timeouts, ConfigError> {
    let default = Timeouts::default();
    let read = |name: &str, default: Duration| milliseconds(env, name, 1, default.as_millis() as u64);
    Ok(Timeouts {
        connect: read("CONNECT_TIMEOUT", default.connect)?,
        first_byte: read("FIRST_BYTE_TIMEOUT", default.first_byte)?,
        idle: read("IDLE_TIMEOUT", default.idle)?,
        total: read("TOTAL_TIMEOUT", default.total)?,
        request: read("REQUEST_TIMEOUT", default.request)?,
    })
}

fn parsed<T: FromStr>(env: &impl Env, name: &str, expected: &str) -> Result<Option<T>, ConfigError> {
    let Some(value) = env.get(name) else { return Ok(None) };
    let wrong = |_| ConfigError::Value { name: name.into(), value: value.clone(), expected: format!("expected {expected}") };
    value.trim().parse().map(Some).map_err(wrong)
}

fn ranged<T: FromStr + PartialOrd + Display + Copy>(env: &impl Env, name: &str, min: T, max: T, default: T) -> Result<T, ConfigError> {
    let expected = format!("a number from {min} to {max}");
    match parsed(env, name, &expected)? {
        Some(value) if !(min..=max).contains(&value) => {
            Err(ConfigError::Value { name: name.into(), value: value.to_string(), expected: format!("expected {expected}") })
        }
        value => Ok(value.unwrap_or(default)),
    }
}

/// 0: for ever.
fn days(env: &impl Env, name: &str, default: u64) -> Result<Option<Duration>, ConfigError> {
    let days = ranged(env, name, 0, 36_500, default)?;
    Ok((days > 0).then(|| Duration::from_secs(days * 86_400)))
}

/// One that is refused is not shown: a password may stand in it.
fn secret_url(env: &impl Env, name: &str, schemes: &[&str]) -> Result<Option<SecretString>, ConfigError> {
    let Some(url) = env.get(name) else { return Ok(None) };
    let url = url.trim();
    let wrong = || ConfigError::Value {
        name: name.into(),
        value: "(hidden)".into(),
        expected: format!("expected a URL that begins with {}", schemes.join(" or ")),
    };
    let is_url = schemes.iter().any(|scheme| url.starts_with(scheme)) && Url::parse(url).is_ok();
    is_url.then(|| Some(SecretString::from(url.to_owned()))).ok_or_else(wrong)
}

/// At most a day.
fn milliseconds(env: &impl Env, name: &str, min: u64, default: u64) -> Result<Duration, ConfigError> {
    Ok(Duration::from_millis(ranged(env, name, min, 86_400_000, default)?))
}

/// A NaN is in no range.
fn fraction(env: &impl Env, name: &str, min: f64, max: f64, default: f64) -> Result<f64, ConfigError> {
    ranged(env, name, min, max, default)
}

fn flag(env: &impl Env, name: &str, default: bool) -> Result<bool, ConfigError> {
    Ok(parsed(env, name, "true or false")?.unwrap_or(default))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use secrecy::ExposeSecret;

    fn load(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let variables: BTreeMap<String, String> = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::load(&move |name: &str| variables.get(name).cloned(), false)
    }

    fn load_file(toml: impl AsRef<[u8]>, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.toml");
        std::fs::write(&path, toml).unwrap();
        let path = path.to_string_lossy().into_owned();
        let variables: Vec<(&str, &str)> = variables.iter().copied().chain([("CONFIG_FILE", path.as_str())]).collect();
        load(&variables)
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let config = load(&[]).unwrap();
        assert_eq!((config.server.host.to_string().as_str(), config.server.port), ("127.0.0.1", 8080));
        assert_eq!(config.limits.body_bytes, 20 << 20);
        assert_eq!((config.retry.max_retries, config.retry.initial_backoff.as_millis()), (3, 1000));
        assert_eq!(config.rules.providers["claude"].base_url.as_ref().unwrap().as_str(), "https://api.anthropic.com/v1");
    }

    #[test]
    fn a_bad_value_names_the_variable_and_what_is_expected() {
        for (name, value) in [
            ("PORT", "eighty"),
            ("PORT", "70000"),
            ("HOST", "localhost"),
            ("JITTER", "2"),
            ("JITTER", "NaN"),
            ("MAX_RETRIES", "-1"),
            ("LOG_PROMPTS", "perhaps"),
            ("MAX_BACKOFF", "5"),
            ("MAX_BODY_MEMORY", "2000000"),
        ] {
            let message = load(&[(name, value)]).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains(value), "{message}");
        }
    }

    #[test]
    fn what_is_malformed_and_may_be_a_key_is_refused_without_being_shown() {
        for (name, value) in [("OPENAI_API_KEY", "sk-\nsecret"), ("OPENAI_BASE_URL", "https://api.openai.com/v1?key=secret")] {
            let message = load(&[(name, value)]).unwrap_err().to_string();
            assert!(message.contains(name) && !message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn debug_shows_names_and_no_values() {
        let toml = "[providers.openai]\nheaders = { x-team = \"secret-header\" }\nsettings = { tier = \"secret-setting\" }\n";
        let shown = format!("{:?}", load_file(toml, &[("OPENAI_API_KEY", "secret-key")]).unwrap());
        assert!(shown.contains("x-team") && shown.contains("tier") && !shown.contains("secret-"), "{shown}");
    }

    fn rules(toml: &str) -> Arc<Rules> {
        load_file(toml, &[]).unwrap().rules
    }

    fn target(provider: &str, model: Option<&str>, weight: u32) -> RouteTarget {
        RouteTarget { provider: provider.into(), model: model.map(str::to_owned), weight }
    }

    #[test]
    fn the_file_adds_instances_and_aliases() {
        let toml = "[providers.local]\nplugin = \"openai\"\nbase_url = \"http://127.0.0.1:11434/v1\"\nkey_env = \"LOCAL_KEY\"\n[aliases]\nfast = \"local/llama\"\n";
        let config = load_file(toml, &[("LOCAL_KEY", "k")]).unwrap();
        let local = &config.rules.providers["local"];
        assert_eq!((local.plugin.as_deref(), local.keys[0].expose_secret()), (Some("openai"), "k"));
        assert_eq!(config.rules.aliases["fast"], "local/llama");
    }

    #[test]
    fn several_keys_count_once_each_and_those_that_are_not_set_are_told() {
        let toml = "[providers.openai]\nkey_envs = [\"KEY_1\", \"KEY_2\", \"KEY_3\", \"KEY_4\"]\n";
        let variables = [("KEY_1", "a"), ("KEY_2", "b"), ("KEY_4", "a"), ("OPENAI_API_KEY", "c")];
        let rules = load_file(toml, &variables).unwrap().rules;
        let keys: Vec<&str> = rules.providers["openai"].keys.iter().map(ExposeSecret::expose_secret).collect();
        assert_eq!(keys, ["a", "b"]);
        assert!(rules.notices.len() == 1 && rules.notices[0].contains("KEY_3"), "{:?}", rules.notices);
        assert!(rules.providers["openai"].base_url.is_some(), "a shipped provider keeps its place");
    }

    #[test]
    fn a_route_is_read_whole() {
        let rules = rules(
            r#"
            [aliases]
            fast = "mistral/mistral-small-2603"
            [routes.support]
            targets = ["openai/org/model", { target = "claude", weight = 3 }, "fast"]
            strategy = "least_latency"
            sticky = "conversation"
            max_retries = 1
            hedge_after_ms = 800
            timeouts = { connect_ms = 2000, request_ms = 86400000 }
            "#,
        );
        let second = Duration::from_secs(1);
        let timeouts = TimeoutOverrides { connect: Some(2 * second), request: Some(86_400 * second), ..TimeoutOverrides::default() };
        let targets =
            vec![target("openai", Some("org/model"), 1), target("claude", None, 3), target("mistral", Some("mistral-small-2603"), 1)];
        let expected = Route {
            targets,
            strategy: Strategy::LeastLatency,
            sticky: Some(Sticky::Conversation),
            timeouts,
            max_retries: Some(1),
            hedge_after: Some(Duration::from_millis(800)),
        };
        assert_eq!(rules.routes["support"], expected);
    }

    #[test]
    fn a_route_may_stand_in_for_a_model() {
        let rules = rules("[routes.\"openai/gpt-5.4\"]\ntargets = [\"openai/gpt-5.4\", \"openai-eu/gpt-5.4\"]\n");
        let route = &rules.routes["openai/gpt-5.4"];
        assert_eq!((route.targets.len(), route.strategy, route.sticky), (2, Strategy::Ordered, None));
    }

    #[test]
    fn tasks_models_and_the_breaker_are_read() {
        let rules = rules(
            r#"
            [tasks]
            summarization = ["mistral/mistral-small-2603", "gemini"]
            [models."openai/gpt-5.4"]
            timeouts = { first_byte_ms = 600000 }
            [breaker]
            min_requests = 5
            failure_ratio = 1
            "#,
        );
        assert_eq!(rules.tasks["summarization"], [target("mistral", Some("mistral-small-2603"), 1), target("gemini", None, 1)]);
        assert_eq!(rules.models["openai/gpt-5.4"].first_byte, Some(Duration::from_secs(600)));
        let expected = BreakerPolicy { min_requests: 5, failure_ratio: 1.0, ..BreakerPolicy::default() };
        assert_eq!(rules.breaker, expected);
    }

    #[test]
    fn what_is_wrong_in_the_file_is_named_with_its_line() {
        for (toml, line, named) in [
            ("[providers.local]\nbase_ur = \"x\"\n", 2, "providers.local: unknown field `base_ur`"),
            ("[provider.local]\n", 1, "provider"),
            ("[providers.local]\nbase_url = \"ftp://x\"\n", 2, "providers.local.base_url"),
            ("\n\n[providers.Local]\n", 3, "providers.Local"),
            ("[providers.local]\nheaders = { authorization = \"x\" }\n", 2, "authorization"),
            ("[providers.local]\nplugin = \"../x\"\n", 2, "providers.local.plugin"),
            ("[providers.local]\nkey_envs = []\n", 2, "providers.local.key_envs"),
            ("[providers.local]\nkey_env = \"A\"\nkey_envs = [\"B\"]\n", 3, "`key_env` too"),
            ("[aliases]\na = \"local/x\"\nfast = \"nothing\"\n", 3, "aliases.fast"),
            ("[aliases]\na = \"local/x\"\nclaude = \"local/x\"\n", 3, "aliases.claude: a provider has this name"),
            ("[providers.mine]\n[aliases]\nmine = \"local/x\"\n", 3, "aliases.mine: a provider has this name"),
            ("not toml", 1, "expected"),
            ("[media]\nmax_bytes = 0\n", 2, "media.max_bytes: `0`"),
            ("[media]\n\n\nmax_bytes = \"x\"\n", 4, "media.max_bytes: expected a whole number"),
            ("unsupported_params = \"keep\"\n", 1, "unsupported_params: unknown variant `keep`"),
            ("[routes.a]\n", 1, "routes.a: missing field `targets`"),
            ("[routes.a]\ntargets = []\n", 2, "routes.a.targets"),
            ("[routes.a]\ntargets = [\n\"openai\",\n\"Open AI/x\"]\n", 4, "routes.a.targets[1]: `Open AI/x`"),
            ("[routes.a]\ntargets = [\"openai/\"]\n", 2, "routes.a.targets[0]"),
            ("[routes.a]\ntargets = [\"fast\",\n\"openai/x\"]\n[aliases]\nfast = \"openai/x\"\n", 3, "`openai/x` is there twice"),
            ("[routes.a]\ntargets = [\"openai\",\n{ target = \"claude\", weight = 0 }]\n", 3, "routes.a.targets[1].weight: `0`"),
            ("[routes.a]\ntargets = [{ target = \"claude\", wait = 0 }]\n", 2, "unknown field `wait`"),
            ("[routes.a]\ntargets = [3]\n", 2, "expected a target such as"),
            ("[routes.a]\ntargets = [\"b\"]\n[routes.b]\ntargets = [\"openai\"]\n", 2, "`b` is a route"),
            ("[routes.a]\ntargets = [\"openai\"]\nstrategy = \"best\"\n", 3, "unknown variant `best`"),
            ("[routes.a]\ntargets = [\"openai\"]\nsticky = \"ip\"\n", 3, "unknown variant `ip`"),
            ("[routes.a]\ntargets = [\"openai\"]\nmax_retries = 21\n", 3, "routes.a.max_retries: `21`"),
            ("[routes.a]\ntargets = [\"openai\"]\nmax_retries = -1\n", 3, "routes.a.max_retries: `-1`"),
            ("[routes.a]\ntargets = [\"openai\"]\nhedge_after_ms = 10\n", 3, "at least two targets"),
            ("[routes.a]\ntargets = [\"openai\"]\ntimeouts = { idle_ms = 0 }\n", 3, "routes.a.timeouts.idle_ms: `0`"),
            ("[routes.a]\ntargets = [\"openai\"]\n[routes.a.timeouts]\n\nidle_ms = 86400001\n", 5, "routes.a.timeouts.idle_ms"),
            ("[routes.openai]\ntargets = [\"claude\"]\n", 1, "routes.openai: a provider has this name"),
            ("[providers.mine]\n[routes.mine]\ntargets = [\"claude\"]\n", 2, "routes.mine: a provider has this name"),
            ("[aliases]\na = \"claude/x\"\n[routes.a]\ntargets = [\"claude\"]\n", 3, "routes.a: an alias has this name"),
            ("[routes.\"\"]\ntargets = [\"claude\"]\n", 1, "routes.\"\""),
            ("[routes.\"a\\u0007\"]\ntargets = [\"claude\"]\n", 1, "no control characters"),
            ("[tasks]\nother = [\"openai\"]\npoetry = [\"openai\"]\n", 3, "tasks.poetry"),
            ("[tasks]\nother = []\n", 2, "tasks.other"),
            ("[models.openai]\n", 1, "models.openai: expected `provider/model`"),
            ("[models.\"openai/x\"]\ntimeouts = { total = 1 }\n", 2, "models.openai/x.timeouts: unknown field `total`"),
            ("[models.\"openai/x\"]\ntimeouts = { idle_ms = 1, request_ms = 1 }\n", 2, "models.\"openai/x\".timeouts.request_ms"),
            ("[breaker]\nfailure_ratio = 0.0\n", 2, "breaker.failure_ratio"),
            ("[breaker]\nfailure_ratio = nan\n", 2, "breaker.failure_ratio"),
            ("[breaker]\n# none\nmin_requests = 0\n", 3, "breaker.min_requests"),
        ] {
            let message = load_file(toml, &[]).unwrap_err().to_string();
            assert!(message.contains(&format!("gateway.toml: line {line}: ")) && message.contains(named), "{toml}: {message}");
        }
    }

    #[test]
    fn a_key_that_stands_in_the_wrong_place_is_not_shown() {
        for toml in [
            "[providers]\nopenai = \"sk-secret\"\n",
            "[providers.openai]\nkey_env = \"sk-secret\"\n",
            "[providers.openai]\nkey_env = \"secret\"\n",
            "[providers.openai]\nkey_envs = \"sk-secret\"\n",
            "[providers.openai]\nkey_envs = [\"OPENAI_API_KEY\", \"sk-secret\"]\n",
            "[providers.openai]\nbase_url = \"https://me:secret@api.openai.com/v1\"\n",
            "[providers.openai]\nbase_url = \"https://api.openai.com/v1?key=secret\"\n",
            "[providers.openai]\nbase_url = \"sk-secret\"\n",
            "[providers.openai]\nheaders = \"secret\"\n",
            "[providers.openai]\nheaders = { x-key = \"secret\\n\" }\n",
        ] {
            let message = load_file(toml, &[]).unwrap_err().to_string();
            assert!(message.contains("line ") && message.contains("providers") && !message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn a_file_that_is_no_text_is_refused_with_its_line() {
        let message = load_file(b"[aliases]\n\nfast = \"\xff\"\n", &[]).unwrap_err().to_string();
        assert!(message.contains("gateway.toml: line 3: it is not UTF-8"), "{message}");
    }

    #[test]
    fn the_file_and_its_lists_have_bounds() {
        let long = format!("# {}\n", "x".repeat(1 << 20));
        assert!(load_file(&long, &[]).unwrap_err().to_string().contains("1 MiB"));
        let routes: String = (0..=1000).map(|number| format!("[routes.r{number}]\ntargets = [\"openai\"]\n")).collect();
        assert!(load_file(&routes, &[]).unwrap_err().to_string().contains("at most 1000"));
        let targets: Vec<String> = (0..=50).map(|number| format!("\"openai/m{number}\"")).collect();
        let route = format!("[routes.a]\ntargets = [{}]\n", targets.join(", "));
        assert!(load_file(&route, &[]).unwrap_err().to_string().contains("51 targets"));
    }

    #[test]
    fn a_named_file_must_exist() {
        assert!(load(&[("CONFIG_FILE", "/nowhere/gateway.toml")]).unwrap_err().to_string().contains("/nowhere/gateway.toml"));
    }
}
