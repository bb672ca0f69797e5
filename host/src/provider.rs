//! Providers as requests see them: which plugin speaks for which provider, where it sends, with which key.
//!
//! Owns: joining what is configured with the plugins that are active, into one immutable snapshot per change; a request takes one and keeps it.
//! Not here: which provider a request goes to (`plan`), the plugins' life (`plugin`). Pure but for the credential's being kept.
//!
//! A provider's key is bound to its own variable, and where it is sent to what the operator set or, for the four that ship, to the built-in URL. A
//! plugin's own idea of its base URL is no more than advice: no build of it can take a key, or a prompt, to another place.

use crate::config::{self, Env, ProviderConfig, Rules};
use crate::contract::{Credential as CredentialForm, ModelInfo, Task};
use crate::health::KeyId;
use crate::outbound;
use crate::plugin::{Active, Version};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use url::Url;

/// All providers at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// In the order in which they are asked when nothing else decides: the shipped ones, then the others by name.
    pub providers: Vec<Arc<Provider>>,
    pub rules: Arc<Rules>,
}

/// One provider instance.
#[derive(Debug)]
pub struct Provider {
    /// The name that callers write: `openai`.
    pub id: String,
    pub state: State,
}

#[derive(Debug)]
pub enum State {
    Ready(Box<Ready>),
    Unavailable {
        /// For operators: what is missing and how to give it.
        reason: String,
        version: Option<Arc<Version>>,
    },
}

/// What it takes to ask a provider.
pub struct Ready {
    pub version: Arc<Version>,
    pub base_url: Url,
    /// Empty where it needs none.
    pub credentials: Vec<Credential>,
    /// Of each credential, the id by which its rate limits are kept.
    pub key_ids: Vec<KeyId>,
    /// Their values are marked sensitive.
    pub fixed_headers: HeaderMap,
    pub settings: Vec<(String, String)>,
    /// Whether the embedded simulator answers for it.
    pub simulated: bool,
}

/// Without headers and settings, for a value may be a secret.
impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready")
            .field("version", &self.version)
            .field("base_url", &self.base_url.as_str())
            .field("simulated", &self.simulated)
            .finish_non_exhaustive()
    }
}

/// A key, as it is sent.
#[derive(Debug, Clone)]
pub struct Credential {
    pub header: HeaderName,
    /// Marked sensitive, so that no Debug shows it.
    value: HeaderValue,
    /// Bytes of the value that stand before the key.
    prefix: usize,
}

impl Credential {
    pub(crate) fn value(&self) -> &HeaderValue {
        &self.value
    }

    /// The key alone.
    pub(crate) fn key(&self) -> Option<&str> {
        self.value.to_str().ok()?.get(self.prefix..)
    }
}

impl Provider {
    pub fn ready(&self) -> Option<&Ready> {
        match &self.state {
            State::Ready(ready) => Some(ready),
            State::Unavailable { .. } => None,
        }
    }

    /// Of the keys that it can be asked with.
    pub fn key_ids(&self) -> &[KeyId] {
        self.ready().map(|ready| ready.key_ids.as_slice()).unwrap_or_default()
    }

    /// The build that speaks for it, if one is loaded.
    pub fn version(&self) -> Option<&Arc<Version>> {
        match &self.state {
            State::Ready(ready) => Some(&ready.version),
            State::Unavailable { version, .. } => version.as_ref(),
        }
    }

    /// Known models, the preferred one first.
    pub fn models(&self) -> &[ModelInfo] {
        self.version().map_or(&[], |version| &version.info.models)
    }

    /// Whether it is the instance that a plugin is known by.
    pub fn is_its_plugins_namesake(&self) -> bool {
        self.version().is_some_and(|version| version.info.id == self.id)
    }

    /// A model that it knows, by id or alias.
    pub fn model(&self, name: &str) -> Option<&ModelInfo> {
        self.version()?.model(name)
    }

    /// The model that it is asked for a task, or for any.
    pub fn default_model(&self, task: Option<Task>) -> Option<&str> {
        let suited = |model: &&ModelInfo| task.is_some_and(|task| model.suited_to.contains(&task));
        self.models().iter().find(suited).or_else(|| self.models().first()).map(|model| model.id.as_str())
    }
}

impl Snapshot {
    pub fn provider(&self, id: &str) -> Option<&Arc<Provider>> {
        self.providers.iter().find(|provider| provider.id == id)
    }

    /// Joins what is configured with what is active. `simulator` gives the base URL at which a provider without a key is simulated, if it is.
    pub fn build(rules: Arc<Rules>, active: &Active, env: &impl Env, simulator: impl Fn(&str) -> Option<String>) -> Self {
        let mut configured = rules.providers.clone();
        for id in active.keys() {
            // A bad variable of a provider that nobody asked for at the start is as if it were not set.
            configured.entry(id.clone()).or_insert_with(|| config::provider_from_env(env, id).unwrap_or_default());
        }
        let shipped = |name: &str| config::SHIPPED.iter().position(|(id, _)| *id == name).unwrap_or(usize::MAX);
        let mut names: Vec<String> = configured.keys().cloned().collect();
        names.sort_by_key(|name| (shipped(name), name.clone()));
        let providers = names.into_iter().map(|id| {
            let provider = &configured[&id];
            let version = active.get(provider.plugin.as_deref().unwrap_or(&id)).cloned();
            let state = state(&id, provider, version, simulator(&id));
            Arc::new(Provider { id, state })
        });
        Self { providers: providers.collect(), rules }
    }
}

fn state(id: &str, config: &ProviderConfig, version: Option<Arc<Version>>, simulator: Option<String>) -> State {
    let Some(version) = version else {
        let plugin = config.plugin.as_deref().unwrap_or(id);
        return State::Unavailable {
            reason: format!("no plugin `{plugin}` is loaded: put {plugin}.wasm into the plugins folder"),
            version: None,
        };
    };
    match ready(id, config, &version, simulator) {
        Ok(ready) => State::Ready(Box::new(ready)),
        Err(reason) => State::Unavailable { reason, version: Some(version) },
    }
}

/// # Errors
/// Why it can't be asked.
fn ready(id: &str, config: &ProviderConfig, version: &Arc<Version>, simulator: Option<String>) -> Result<Ready, String> {
    let info = &version.info;
    let needs_key = info.credential.is_some() && config.keys.is_empty() && !config.keyless;
    let simulator = simulator.filter(|_| needs_key);
    let simulated = simulator.is_some();
    let credentials = match &info.credential {
        None => Vec::new(),
        Some(_) if config.keyless => Vec::new(),
        Some(form) if simulated => vec![credential(form, "simulated")?],
        Some(_) if config.keys.is_empty() => return Err(format!("it has no key: set {}", key_variables(id, config))),
        Some(form) => config.keys.iter().map(|key| credential(form, key.expose_secret())).collect::<Result<_, _>>()?,
    };
    let base_url = match (simulator, &config.base_url) {
        (Some(url), _) => Url::parse(&url).map_err(|error| format!("the simulator's URL is none: {error}"))?,
        (None, Some(url)) => url.clone(),
        (None, None) => {
            let variable = config::base_url_variable(id);
            return Err(format!("it has no base URL: set {variable} to where its requests may go (its plugin suggests {})", info.base_url));
        }
    };
    Ok(Ready {
        version: Arc::clone(version),
        base_url,
        key_ids: credentials.iter().filter_map(Credential::key).map(KeyId::of).collect(),
        credentials,
        fixed_headers: fixed_headers(&info.fixed_headers, &config.headers)?,
        settings: config.settings.clone(),
        simulated,
    })
}

fn key_variables(id: &str, config: &ProviderConfig) -> String {
    if config.key_variables.is_empty() { config::key_variable(id) } else { config.key_variables.join(" or ") }
}

fn credential(form: &CredentialForm, key: &str) -> Result<Credential, String> {
    let header = HeaderName::from_bytes(form.header.as_bytes()).map_err(|_| "its plugin names no valid header for the key".to_owned())?;
    let value = format!("{}{key}", form.prefix);
    let mut value = HeaderValue::from_str(&value).map_err(|_| "its key can't stand in a header".to_owned())?;
    value.set_sensitive(true);
    Ok(Credential { header, value, prefix: form.prefix.len() })
}

fn fixed_headers(adapters: &[(String, String)], configured: &BTreeMap<String, String>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let all = adapters.iter().map(|(name, value)| (name, value)).chain(configured);
    for (name, value) in all {
        let (name, mut value) = outbound::header(name, value).map_err(|error| error.to_string())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}
