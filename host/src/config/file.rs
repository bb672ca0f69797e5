//! `gateway.toml`: where it is, how it is written, and its way into checked values.

use super::document::{Document, Place};
use super::pricing::{self, FilePrice};
use super::routing::{self, FileBreaker, FileModel, FileRoute, Names};
use super::{
    BASE_URL_EXPECTED, CachePolicy, CacheRules, CacheScope, ConfigError, Env, LedgerMode, MediaConfig, ProviderConfig, Rules, SHIPPED,
    UnpricedModels, UnsupportedParams, base_url, checked_key,
};
use crate::domain::is_provider_id;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::string::FromUtf8Error;
use std::time::Duration;
use url::Url;

const MAX_FILE_BYTES: u64 = 1 << 20;

/// Which file it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    path: PathBuf,
    /// Whether it was named, and so must be there.
    is_named: bool,
}

/// The file's text; nothing where there is none and there need not be one.
pub(super) type Content = Result<Option<String>, ConfigError>;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileConfig {
    providers: BTreeMap<String, FileProvider>,
    aliases: BTreeMap<String, String>,
    routes: BTreeMap<String, FileRoute>,
    tasks: BTreeMap<String, Vec<String>>,
    models: BTreeMap<String, FileModel>,
    prices: BTreeMap<String, FilePrice>,
    breaker: FileBreaker,
    unsupported_params: UnsupportedParams,
    media: FileMedia,
    cache: FileCache,
    ledger: LedgerMode,
    unpriced_models: UnpricedModels,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
struct FileCache {
    policy: CachePolicy,
    scope: CacheScope,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
struct FileMedia {
    fetch: bool,
    max_bytes: i64,
    timeout_ms: i64,
    private_addresses: bool,
}

/// Without Debug: a header or a setting may be a secret.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
struct FileProvider {
    plugin: Option<String>,
    base_url: Option<String>,
    /// Name of the variable that holds the key: keys do not stand in the file.
    key_env: Option<String>,
    /// Of several.
    key_envs: Option<Vec<String>>,
    keyless: bool,
    headers: BTreeMap<String, String>,
    settings: BTreeMap<String, String>,
}

impl ConfigFile {
    /// `CONFIG_FILE`, which must exist if it is set, or `gateway.toml`, which need not.
    pub fn of(env: &impl Env) -> Self {
        let named = env.get("CONFIG_FILE");
        Self { is_named: named.is_some(), path: named.map_or_else(|| "gateway.toml".into(), PathBuf::from) }
    }

    /// As it was set.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn folder(&self) -> &Path {
        self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    pub(super) fn read(&self) -> Content {
        let wrong = |reason: String| ConfigError::File { file: self.path.display().to_string(), reason };
        let unreadable = |error: std::io::Error| wrong(format!("it can't be read: {error}"));
        let metadata = match std::fs::metadata(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound && !self.is_named => return Ok(None),
            metadata => metadata.map_err(unreadable)?,
        };
        // A pipe would be waited for.
        if !metadata.is_file() {
            return Err(wrong("it is not a plain file".to_owned()));
        }
        let mut bytes = Vec::new();
        let file = std::fs::File::open(&self.path).map_err(unreadable)?;
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(wrong("it has more than 1 MiB".to_owned()));
        }
        let not_text = |error: FromUtf8Error| {
            let before = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
            wrong(format!("line {}: it is not UTF-8", before.filter(|byte| **byte == b'\n').count() + 1))
        };
        String::from_utf8(bytes).map(Some).map_err(not_text)
    }

    /// What the file says, where it says something, with what the environment says of providers and their keys.
    pub(super) fn rules(&self, text: Option<&str>, env: &impl Env) -> Result<Rules, ConfigError> {
        let file = self.path.display().to_string();
        let document = Document::parse(&file, text.unwrap_or_default())?;
        document.read::<FileConfig>()?.checked(&document, env)
    }
}

impl FileConfig {
    fn checked(self, document: &Document<'_>, env: &impl Env) -> Result<Rules, ConfigError> {
        let mut rules = Rules {
            unsupported_params: self.unsupported_params,
            timeouts: super::timeouts(env)?,
            cache: CacheRules { policy: self.cache.policy, scope: self.cache.scope },
            ledger: self.ledger,
            unpriced_models: self.unpriced_models,
            ..Rules::default()
        };
        for (name, _) in SHIPPED {
            rules.providers.insert(name.to_owned(), super::provider_from_env(env, name)?);
        }
        for (name, provider) in self.providers {
            let place = document.place("providers").key(&name);
            if !is_provider_id(&name) {
                return Err(place.wrong("a provider's name is like [a-z][a-z0-9-]{0,31}"));
            }
            let provider = provider.checked(&place, super::provider_from_env(env, &name)?, env)?;
            rules.notices.extend(unset(&name, &provider, env));
            rules.providers.insert(name, provider);
        }
        let names = Names {
            aliases: &self.aliases,
            providers: rules.providers.keys().map(String::as_str).collect(),
            routes: self.routes.keys().cloned().collect(),
        };
        routing::check_aliases(document, &names)?;
        rules.routes = routing::routes(document, self.routes, &names)?;
        rules.tasks = routing::tasks(document, self.tasks, &names)?;
        rules.models = routing::models(document, self.models)?;
        rules.prices = pricing::prices(document, self.prices)?;
        rules.aliases = self.aliases;
        rules.breaker = self.breaker.checked(&document.place("breaker"))?;
        rules.media = self.media.checked(&document.place("media"))?;
        Ok(rules)
    }
}

/// A line on the variables that a provider's keys are to come from and that are not set.
fn unset(name: &str, provider: &ProviderConfig, env: &impl Env) -> Option<String> {
    let unset: Vec<&str> = provider.key_variables.iter().filter(|variable| env.get(variable).is_none()).map(String::as_str).collect();
    (!unset.is_empty()).then(|| format!("providers.{name} goes without the keys of variables that are not set: {}", unset.join(", ")))
}

impl Default for FileMedia {
    fn default() -> Self {
        Self { fetch: false, max_bytes: 20 << 20, timeout_ms: 10_000, private_addresses: false }
    }
}

impl FileMedia {
    fn checked(&self, place: &Place<'_>) -> Result<Option<MediaConfig>, ConfigError> {
        let max_bytes = place.key("max_bytes").within(self.max_bytes, 1..=128 << 20)? as usize;
        let timeout = Duration::from_millis(place.key("timeout_ms").within(self.timeout_ms, 1..=120_000)?.into());
        let config = MediaConfig { max_bytes, timeout, private_addresses: self.private_addresses };
        Ok(self.fetch.then_some(config))
    }
}

impl FileProvider {
    fn checked(self, place: &Place<'_>, from_env: ProviderConfig, env: &impl Env) -> Result<ProviderConfig, ConfigError> {
        if self.plugin.as_deref().is_some_and(|plugin| !is_provider_id(plugin)) {
            return Err(place.key("plugin").wrong("an adapter's id is like [a-z][a-z0-9-]{0,31}"));
        }
        for (header, value) in &self.headers {
            crate::outbound::header(header, value).map_err(|error| place.key("headers").key(header).wrong(error))?;
        }
        let key_variables = key_variables(place, self.key_env, self.key_envs)?;
        if self.keyless && !key_variables.is_empty() {
            return Err(place.key("keyless").wrong("there are variables for its keys too: leave out one of the two"));
        }
        let keys = if key_variables.is_empty() { from_env.keys } else { keys(&key_variables, env)? };
        let moved = |text: String| base_url(&text).ok_or_else(|| place.key("base_url").wrong(BASE_URL_EXPECTED));
        // A second instance of a shipped provider goes where the first one goes, if nothing else is said.
        let of_plugin = self.plugin.as_deref().and_then(super::shipped_base_url).and_then(|text| Url::parse(text).ok());
        Ok(ProviderConfig {
            plugin: self.plugin,
            base_url: self.base_url.map(moved).transpose()?.or(from_env.base_url).or(of_plugin),
            key_variables,
            keys,
            keyless: self.keyless,
            headers: self.headers,
            settings: self.settings.into_iter().collect(),
        })
    }
}

fn key_variables(place: &Place<'_>, one: Option<String>, several: Option<Vec<String>>) -> Result<Vec<String>, ConfigError> {
    let (variables, field) = match (one, several) {
        (None, None) => return Ok(Vec::new()),
        (Some(one), None) => (vec![one], "key_env"),
        (None, Some(several)) => (several, "key_envs"),
        (Some(_), Some(_)) => return Err(place.key("key_envs").wrong("there is `key_env` too: write all of them here")),
    };
    let is_variable = |name: &str| {
        !name.starts_with(|first: char| first.is_ascii_digit())
            && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    };
    if variables.is_empty() || variables.iter().any(|name| name.is_empty() || !is_variable(name)) {
        // It is not shown: a key may stand there by mistake.
        return Err(place.key(field).wrong("expected the name of a variable that holds a key, in capitals, such as OPENAI_EU_KEY"));
    }
    Ok(variables)
}

/// Those that are set, each once: the same key twice has one rate limit.
fn keys(variables: &[String], env: &impl Env) -> Result<Vec<SecretString>, ConfigError> {
    let mut keys: Vec<SecretString> = Vec::new();
    for variable in variables {
        let Some(key) = env.get(variable) else { continue };
        let key = checked_key(variable, &key)?;
        if !keys.iter().any(|other| other.expose_secret() == key.expose_secret()) {
            keys.push(key);
        }
    }
    Ok(keys)
}
