//! What the operator set: environment variables (a `.env` is read by `main`) and `gateway.toml`, checked once into values that nothing
//! later needs to doubt.
//!
//! Owns: names, units, defaults and ranges of every setting. Not here: what is built of them. The environment comes as a function, so that
//! tests set nothing global.

mod file;
mod rules;

pub use rules::{BreakerPolicy, Route, RouteTarget, Rules, Sticky, Strategy, TimeoutOverrides, Timeouts};

use file::FileConfig;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
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
    /// Whether providers without a key are answered by the simulator.
    pub demo: bool,
    /// As they are at the start.
    pub rules: Rules,
}

/// What becomes of a request of which a provider can't take everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
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

#[derive(Debug, Clone)]
pub struct LogConfig {
    /// A level (`info`) or directives (`llm_gateway=debug,hyper=info`).
    pub level: String,
    /// Whether prompts and answers are logged.
    pub prompts: bool,
}

/// One provider instance: a plugin, where it sends, and its key.
#[derive(Debug, Clone, Default)]
pub struct ProviderConfig {
    /// Id of the adapter; absent: the instance's own name.
    pub plugin: Option<String>,
    pub base_url: Option<Url>,
    /// Each counts its own rate limits, and they take turns. Empty: none is set.
    pub keys: Vec<SecretString>,
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
        Ok(Self {
            server: ServerConfig {
                host: parsed(env, "HOST", "an IP address to listen on, such as 127.0.0.1 or 0.0.0.0")?
                    .unwrap_or(IpAddr::from([127, 0, 0, 1])),
                port: parsed(env, "PORT", "a port from 0 to 65535")?.unwrap_or(8080),
                max_connections: ranged(env, "MAX_CONNECTIONS", 1, 1_000_000, 10_000)?,
                header_read_timeout: milliseconds(env, "HEADER_READ_TIMEOUT", 1, 30_000)?,
                shutdown_grace: milliseconds(env, "SHUTDOWN_GRACE", 0, 30_000)?,
            },
            limits: RequestLimits {
                body_bytes: ranged(env, "MAX_BODY_BYTES", 1024, 1 << 30, 20 << 20)?,
                query_chars: ranged(env, "MAX_QUERY_CHARS", 1, 100_000_000, 1_000_000)?,
                body_read_timeout: milliseconds(env, "BODY_READ_TIMEOUT", 1, 60_000)?,
            },
            admission: AdmissionConfig {
                max_concurrency: ranged(env, "MAX_CONCURRENCY", 1, 100_000, 2000)?,
                max_queue: ranged(env, "MAX_QUEUE", 0, 100_000, 2000)?,
                queue_timeout: milliseconds(env, "QUEUE_TIMEOUT", 1, 10_000)?,
                body_memory: ranged(env, "MAX_BODY_MEMORY", 1 << 20, 1 << 40, 512 << 20)?,
            },
            answer_bytes: ranged(env, "MAX_ANSWER_BYTES", 1024, 1 << 30, 64 << 20)?,
            retry: retry(env)?,
            log: LogConfig { level: env.get("LOG_LEVEL").unwrap_or_else(|| "info".into()), prompts: flag(env, "LOG_PROMPTS", false)? },
            plugins_dir: PathBuf::from(env.get("PLUGINS_DIR").unwrap_or_else(|| "plugins".into())),
            data_dir: PathBuf::from(env.get("DATA_DIR").unwrap_or_else(|| "data".into())),
            admin_key: env.get("ADMIN_KEY").map(SecretString::from),
            demo,
            rules,
        })
    }
}

impl Rules {
    /// What the file and the environment say now.
    ///
    /// # Errors
    /// The first of it that can't be used; then none of it counts.
    pub fn load(env: &impl Env) -> Result<Self, ConfigError> {
        let file = FileConfig::read(env)?;
        let mut providers = BTreeMap::new();
        for (name, _) in SHIPPED {
            providers.insert(name.to_owned(), provider_from_env(env, name)?);
        }
        for (name, instance) in file.providers {
            let from_env = provider_from_env(env, &name)?;
            providers.insert(name.clone(), instance.checked(&name, from_env, env)?);
        }
        Ok(Self {
            providers,
            aliases: file.aliases,
            unsupported_params: file.unsupported_params,
            media: file.media.checked()?,
            timeouts: timeouts(env)?,
            ..Self::default()
        })
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
    let base_url = env.get(&variable).or(shipped).map(|text| base_url(&variable, &text)).transpose()?;
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

fn base_url(name: &str, text: &str) -> Result<Url, ConfigError> {
    let wrong = || ConfigError::Value {
        name: name.into(),
        // A URL that is refused for the password in it must not show it.
        value: if text.contains('@') { "(hidden)".into() } else { text.into() },
        expected: "expected an http or https URL with its API version and no query, such as https://api.openai.com/v1".into(),
    };
    if !crate::outbound::is_base_url(text) {
        return Err(wrong());
    }
    Url::parse(text.trim_end_matches('/')).map_err(|_| wrong())
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

    fn load_file(toml: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
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
            ("OPENAI_BASE_URL", "api.openai.com"),
            ("MAX_BACKOFF", "5"),
        ] {
            let message = load(&[(name, value)]).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains(value), "{message}");
        }
    }

    #[test]
    fn a_malformed_key_is_refused_without_being_shown() {
        let message = load(&[("OPENAI_API_KEY", "sk-\nsecret")]).unwrap_err().to_string();
        assert!(message.contains("OPENAI_API_KEY") && !message.contains("secret"), "{message}");
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
    fn unknown_keys_and_bad_values_in_the_file_are_named() {
        for (toml, named) in [
            ("[providers.local]\nbase_ur = \"x\"\n", "base_ur"),
            ("[provider.local]\n", "provider"),
            ("[providers.local]\nbase_url = \"ftp://x\"\n", "providers.local.base_url"),
            ("[providers.Local]\n", "providers.Local"),
            ("[providers.local]\nheaders = { authorization = \"x\" }\n", "authorization"),
            ("[aliases]\nfast = \"nothing\"\n", "aliases.fast"),
            ("not toml", "line 1"),
        ] {
            let message = load_file(toml, &[]).unwrap_err().to_string();
            assert!(message.contains(named), "{toml}: {message}");
        }
    }

    #[test]
    fn a_named_file_must_exist() {
        assert!(load(&[("CONFIG_FILE", "/nowhere/gateway.toml")]).unwrap_err().to_string().contains("/nowhere/gateway.toml"));
    }
}
