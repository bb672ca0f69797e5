//! `gateway.toml` as it is written, and its way into checked values.

use super::{ConfigError, Env, MediaConfig, ProviderConfig, UnsupportedParams, base_url, checked_key};
use crate::domain::is_provider_id;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

/// The file, if there is one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileConfig {
    #[serde(default)]
    pub(super) providers: BTreeMap<String, FileProvider>,
    #[serde(default)]
    pub(super) aliases: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) unsupported_params: UnsupportedParams,
    #[serde(default)]
    pub(super) media: FileMedia,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileMedia {
    fetch: bool,
    max_bytes: usize,
    timeout_ms: u64,
    private_addresses: bool,
}

impl Default for FileMedia {
    fn default() -> Self {
        Self { fetch: false, max_bytes: 20 << 20, timeout_ms: 10_000, private_addresses: false }
    }
}

impl FileMedia {
    pub(super) fn checked(self) -> Result<Option<MediaConfig>, ConfigError> {
        let in_range = |name: &str, value: u64, max: u64| match value {
            value if (1..=max).contains(&value) => Ok(()),
            value => Err(ConfigError::Value {
                name: format!("media.{name}"),
                value: value.to_string(),
                expected: format!("expected a number from 1 to {max}"),
            }),
        };
        in_range("max_bytes", self.max_bytes as u64, 128 << 20)?;
        in_range("timeout_ms", self.timeout_ms, 120_000)?;
        let timeout = Duration::from_millis(self.timeout_ms);
        let config = MediaConfig { max_bytes: self.max_bytes, timeout, private_addresses: self.private_addresses };
        Ok(self.fetch.then_some(config))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileProvider {
    plugin: Option<String>,
    base_url: Option<String>,
    /// Name of the variable that holds the key: keys do not stand in the file.
    key_env: Option<String>,
    headers: BTreeMap<String, String>,
    settings: BTreeMap<String, String>,
}

impl FileConfig {
    /// `CONFIG_FILE`, which must exist if it is set, or `gateway.toml`, which need not.
    pub(super) fn read(env: &impl Env) -> Result<Self, ConfigError> {
        let named = env.get("CONFIG_FILE");
        let path = named.clone().unwrap_or_else(|| "gateway.toml".to_owned());
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => return Ok(Self::default()),
            Err(error) => return Err(ConfigError::File { file: path, reason: format!("it can't be read: {error}") }),
        };
        let config: Self =
            toml::from_str(&text).map_err(|error| ConfigError::File { file: path.clone(), reason: in_one_line(&text, &error) })?;
        for (alias, target) in &config.aliases {
            if !target.contains('/') || alias.is_empty() || alias.contains('/') {
                return Err(ConfigError::Value {
                    name: format!("aliases.{alias}"),
                    value: target.clone(),
                    expected: "an alias without a slash stands for `provider/model`".into(),
                });
            }
        }
        Ok(config)
    }
}

fn in_one_line(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map(|span| text.get(..span.start).unwrap_or_default().lines().count().max(1));
    match line {
        Some(line) => format!("line {line}: {}", error.message().replace('\n', " ")),
        None => error.message().replace('\n', " "),
    }
}

impl FileProvider {
    pub(super) fn checked(self, name: &str, from_env: ProviderConfig, env: &impl Env) -> Result<ProviderConfig, ConfigError> {
        let path = |field: &str| format!("providers.{name}.{field}");
        if !is_provider_id(name) {
            return Err(ConfigError::Value {
                name: format!("providers.{name}"),
                value: name.into(),
                expected: "a provider's name is like [a-z][a-z0-9-]{0,31}".into(),
            });
        }
        for (header, value) in &self.headers {
            crate::outbound::header(header, value).map_err(|error| ConfigError::Value {
                name: path("headers"),
                value: header.clone(),
                expected: error.to_string(),
            })?;
        }
        let keys = match self.key_env {
            Some(variable) => env.get(&variable).map(|key| checked_key(&variable, &key)).transpose()?.into_iter().collect(),
            None => from_env.keys,
        };
        // A second instance of a shipped provider goes where the first one goes, if nothing else is said.
        let of_plugin = self.plugin.as_deref().and_then(super::shipped_base_url).and_then(|text| Url::parse(text).ok());
        Ok(ProviderConfig {
            plugin: self.plugin,
            base_url: self.base_url.map(|text| base_url(&path("base_url"), &text)).transpose()?.or(from_env.base_url).or(of_plugin),
            keys,
            headers: self.headers,
            settings: self.settings.into_iter().collect(),
        })
    }
}
