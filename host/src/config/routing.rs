//! Routes, tasks, models and the breaker as `gateway.toml` writes them, and their way into checked values.

use super::document::{Document, Place};
use super::{BreakerPolicy, ConfigError, Route, RouteTarget, Sticky, Strategy, TimeoutOverrides};
use crate::domain::{TaskType, is_provider_id};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

const MAX_ROUTES: usize = 1000;
const MAX_TARGETS: usize = 50;
const MAX_NAME_BYTES: usize = 200;
const DAY_MS: u32 = 86_400_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with `targets`")]
pub(super) struct FileRoute {
    targets: Vec<FileTarget>,
    #[serde(default)]
    strategy: Strategy,
    sticky: Option<Sticky>,
    max_retries: Option<i64>,
    hedge_after_ms: Option<i64>,
    #[serde(default)]
    timeouts: FileTimeouts,
}

/// `"openai/gpt-5.4"`, or with its weight.
#[derive(Debug)]
pub(super) struct FileTarget {
    target: String,
    weight: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { first_byte_ms = 5000 }")]
struct FileTimeouts {
    connect_ms: Option<i64>,
    first_byte_ms: Option<i64>,
    idle_ms: Option<i64>,
    total_ms: Option<i64>,
    request_ms: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct FileModel {
    #[serde(default)]
    timeouts: FileTimeouts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct FileBreaker {
    window_ms: Option<i64>,
    min_requests: Option<i64>,
    failure_ratio: Option<f64>,
    open_ms: Option<i64>,
}

/// The names that a target, and the own name of a route or an alias, is held against.
pub(super) struct Names<'a> {
    pub(super) aliases: &'a BTreeMap<String, String>,
    pub(super) providers: BTreeSet<&'a str>,
    pub(super) routes: BTreeSet<String>,
}

impl<'de> Deserialize<'de> for FileTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TargetVisitor)
    }
}

struct TargetVisitor;

impl<'de> Visitor<'de> for TargetVisitor {
    type Value = FileTarget;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a target such as \"openai/gpt-5.4\" or { target = \"openai/gpt-5.4\", weight = 3 }")
    }

    fn visit_str<E: Error>(self, target: &str) -> Result<FileTarget, E> {
        Ok(FileTarget { target: target.to_owned(), weight: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FileTarget, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Weighted {
            target: String,
            weight: Option<i64>,
        }
        let Weighted { target, weight } = Weighted::deserialize(MapAccessDeserializer::new(map))?;
        Ok(FileTarget { target, weight })
    }
}

/// # Errors
/// The first alias that can't be used.
pub(super) fn check_aliases(document: &Document<'_>, names: &Names<'_>) -> Result<(), ConfigError> {
    for (alias, target) in names.aliases {
        let place = document.place("aliases").key(alias);
        if !names_model(target) || !is_name(alias) || alias.contains('/') {
            return Err(place.wrong(format_args!("`{target}`: an alias without a slash stands for `provider/model`")));
        }
        if names.providers.contains(alias.as_str()) {
            return Err(place.wrong("a provider has this name: give the alias another one"));
        }
    }
    Ok(())
}

/// # Errors
/// The first thing in a route that can't be used.
pub(super) fn routes(
    document: &Document<'_>,
    routes: BTreeMap<String, FileRoute>,
    names: &Names<'_>,
) -> Result<BTreeMap<String, Route>, ConfigError> {
    let section = document.place("routes");
    if routes.len() > MAX_ROUTES {
        return Err(section.wrong(format_args!("there are {}: at most {MAX_ROUTES} are allowed", routes.len())));
    }
    let checked = |(name, route): (String, FileRoute)| {
        let place = section.key(&name);
        check_route_name(&place, &name, names)?;
        let route = route.checked(&place, names)?;
        Ok((name, route))
    };
    routes.into_iter().map(checked).collect()
}

fn check_route_name(place: &Place<'_>, name: &str, names: &Names<'_>) -> Result<(), ConfigError> {
    if !is_name(name) {
        return Err(place.wrong(format_args!("a route's name has 1 to {MAX_NAME_BYTES} bytes and no control characters")));
    }
    if names.providers.contains(name) {
        return Err(place.wrong("a provider has this name: give the route another one"));
    }
    if names.aliases.contains_key(name) {
        return Err(place.wrong("an alias has this name: give the route another one, or leave out the alias"));
    }
    Ok(())
}

impl FileRoute {
    fn checked(self, place: &Place<'_>, names: &Names<'_>) -> Result<Route, ConfigError> {
        let targets = targets(&place.key("targets"), self.targets, names)?;
        let optional = |field: &str, value: Option<i64>, range| value.map(|value| place.key(field).within(value, range)).transpose();
        let hedge_after = optional("hedge_after_ms", self.hedge_after_ms, 1..=600_000)?;
        if hedge_after.is_some() && targets.len() < 2 {
            return Err(place.key("hedge_after_ms").wrong("it needs at least two targets"));
        }
        Ok(Route {
            targets,
            strategy: self.strategy,
            sticky: self.sticky,
            timeouts: self.timeouts.checked(&place.key("timeouts"))?,
            max_retries: optional("max_retries", self.max_retries, 0..=20)?,
            hedge_after: hedge_after.map(milliseconds),
        })
    }
}

/// # Errors
/// The first thing in a task's list that can't be used.
pub(super) fn tasks(
    document: &Document<'_>,
    tasks: BTreeMap<String, Vec<String>>,
    names: &Names<'_>,
) -> Result<BTreeMap<&'static str, Vec<RouteTarget>>, ConfigError> {
    let checked = |(word, written): (String, Vec<String>)| {
        let place = document.place("tasks").key(&word);
        let known = || TaskType::WORDS.map(|(word, _)| word).join(", ");
        let task = TaskType::parse(&word).ok_or_else(|| place.wrong(format_args!("no such task: the tasks are {}", known())))?;
        let written = written.into_iter().map(|target| FileTarget { target, weight: None }).collect();
        Ok((task.as_str(), targets(&place, written, names)?))
    };
    tasks.into_iter().map(checked).collect()
}

/// # Errors
/// The first model whose name or time limits can't be used.
pub(super) fn models(
    document: &Document<'_>,
    models: BTreeMap<String, FileModel>,
) -> Result<BTreeMap<String, TimeoutOverrides>, ConfigError> {
    let checked = |(name, model): (String, FileModel)| {
        let place = document.place("models").key(&name);
        if !names_model(&name) {
            return Err(place.wrong("expected `provider/model`"));
        }
        let timeouts = place.key("timeouts");
        if model.timeouts.request_ms.is_some() {
            // A request may be tried with several models.
            return Err(timeouts.key("request_ms").wrong("it is no limit of a model: set it for a route, or REQUEST_TIMEOUT"));
        }
        Ok((name, model.timeouts.checked(&timeouts)?))
    };
    models.into_iter().map(checked).collect()
}

fn targets(place: &Place<'_>, written: Vec<FileTarget>, names: &Names<'_>) -> Result<Vec<RouteTarget>, ConfigError> {
    if !(1..=MAX_TARGETS).contains(&written.len()) {
        return Err(place.wrong(format_args!("it has {} targets: expected 1 to {MAX_TARGETS}", written.len())));
    }
    let mut targets: Vec<RouteTarget> = Vec::with_capacity(written.len());
    for (index, FileTarget { target, weight }) in written.into_iter().enumerate() {
        let place = place.item(index);
        let text = names.aliases.get(&target).unwrap_or(&target);
        let Some((provider, model)) = split_target(text) else {
            return Err(place.wrong(format_args!("`{target}`: expected `provider`, `provider/model` or an alias")));
        };
        if model.is_none() && names.routes.contains(provider) {
            return Err(place.wrong(format_args!("`{target}` is a route: write its targets")));
        }
        let weight = weight.map(|weight| place.key("weight").within(weight, 1..=1000)).transpose()?.unwrap_or(1);
        let (provider, model) = (provider.to_owned(), model.map(str::to_owned));
        if targets.iter().any(|other| (&other.provider, &other.model) == (&provider, &model)) {
            return Err(place.wrong(format_args!("`{target}` is there twice")));
        }
        targets.push(RouteTarget { provider, model, weight });
    }
    Ok(targets)
}

/// A provider's id, and what stands after the first slash. (A model's own id may have slashes too.)
fn split_target(text: &str) -> Option<(&str, Option<&str>)> {
    let (provider, model) = text.split_once('/').map_or((text, None), |(provider, model)| (provider, Some(model)));
    (is_provider_id(provider) && model.is_none_or(is_name)).then_some((provider, model))
}

/// Whether it is `provider/model`.
pub(super) fn names_model(text: &str) -> bool {
    split_target(text).is_some_and(|(_, model)| model.is_some())
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len()) && !text.contains(char::is_control)
}

impl FileTimeouts {
    fn checked(&self, place: &Place<'_>) -> Result<TimeoutOverrides, ConfigError> {
        let read = |field: &str, value: Option<i64>| value.map(|value| up_to_a_day(&place.key(field), value)).transpose();
        Ok(TimeoutOverrides {
            connect: read("connect_ms", self.connect_ms)?,
            first_byte: read("first_byte_ms", self.first_byte_ms)?,
            idle: read("idle_ms", self.idle_ms)?,
            total: read("total_ms", self.total_ms)?,
            request: read("request_ms", self.request_ms)?,
        })
    }
}

impl FileBreaker {
    /// # Errors
    /// The first value that is out of its range.
    pub(super) fn checked(&self, place: &Place<'_>) -> Result<BreakerPolicy, ConfigError> {
        let mut policy = BreakerPolicy::default();
        if let Some(value) = self.window_ms {
            policy.window = up_to_a_day(&place.key("window_ms"), value)?;
        }
        if let Some(value) = self.min_requests {
            policy.min_requests = place.key("min_requests").within(value, 1..=1_000_000)?;
        }
        if let Some(ratio) = self.failure_ratio {
            if !(ratio > 0.0 && ratio <= 1.0) {
                return Err(place.key("failure_ratio").wrong(format_args!("`{ratio}`: expected a number above 0, and at most 1")));
            }
            policy.failure_ratio = ratio;
        }
        if let Some(value) = self.open_ms {
            policy.open = up_to_a_day(&place.key("open_ms"), value)?;
        }
        Ok(policy)
    }
}

fn up_to_a_day(place: &Place<'_>, value: i64) -> Result<Duration, ConfigError> {
    place.within(value, 1..=DAY_MS).map(milliseconds)
}

fn milliseconds(value: u32) -> Duration {
    Duration::from_millis(u64::from(value))
}
