//! What a caller's words for a model mean: one model, or several to choose from. Pure.
//!
//! A name is a route's, else an alias, else `provider/model`, a provider, or the id of a model that just one provider knows. What a route or an
//! alias stands for is never a route.

use super::PlanError;
use crate::config::{Route, RouteTarget};
use crate::contract::Task;
use crate::domain::{Target, TaskType};
use crate::provider::{Provider, Snapshot};
use std::sync::Arc;

/// Names that an error suggests.
const MAX_HINTS: usize = 3;

#[derive(Debug)]
pub(super) enum Meaning<'a> {
    /// A provider that there is; without a model, the one that its adapter prefers for the task.
    One {
        provider: &'a Arc<Provider>,
        model: Option<&'a str>,
        task: Option<Task>,
    },
    Several(Choice<'a>),
}

/// Several to choose from.
#[derive(Debug)]
pub(super) struct Choice<'a> {
    pub(super) origin: Origin<'a>,
    pub(super) wishes: Vec<Wish<'a>>,
    /// For a wish without a model.
    pub(super) task: Option<Task>,
}

/// Whose choice it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin<'a> {
    Route {
        name: &'a str,
        route: &'a Route,
    },
    /// The operator's list for a task.
    Task(&'static str),
    /// All providers.
    BuiltIn,
}

/// A model that is wished for, whether there is one or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wish<'a> {
    pub(super) provider: &'a str,
    pub(super) model: Option<&'a str>,
    pub(super) weight: u32,
}

impl<'a> From<&'a RouteTarget> for Wish<'a> {
    fn from(target: &'a RouteTarget) -> Self {
        Self { provider: &target.provider, model: target.model.as_deref(), weight: target.weight }
    }
}

/// # Errors
/// When the target names nothing, or too much.
pub(super) fn meaning<'a>(snapshot: &'a Snapshot, target: &'a Target) -> Result<Meaning<'a>, PlanError> {
    match target {
        Target::Any(task) => Ok(any(snapshot, *task)),
        Target::Provider { provider, model: Some(model), task } => match route(snapshot, &format!("{provider}/{model}"), *task) {
            Some(meaning) => Ok(meaning),
            None => match snapshot.provider(provider) {
                Some(provider) => Ok(Meaning::One { provider, model: Some(model), task: *task }),
                None => Err(unknown(snapshot, provider)),
            },
        },
        Target::Provider { provider: name, model: None, task } => named(snapshot, name, *task),
        Target::Name(name) => named(snapshot, name, None),
    }
}

fn any(snapshot: &Snapshot, task: Option<Task>) -> Meaning<'_> {
    let word = TaskType(task.unwrap_or(Task::Other)).as_str();
    let (origin, wishes) = match snapshot.rules.tasks.get(word) {
        Some(targets) => (Origin::Task(word), targets.iter().map(Wish::from).collect()),
        None => {
            let ids = snapshot.providers.iter().map(|provider| provider.id.as_str());
            (Origin::BuiltIn, ids.map(|provider| Wish { provider, model: None, weight: 1 }).collect())
        }
    };
    Meaning::Several(Choice { origin, wishes, task })
}

fn route<'a>(snapshot: &'a Snapshot, name: &str, task: Option<Task>) -> Option<Meaning<'a>> {
    let (name, route) = snapshot.rules.routes.get_key_value(name)?;
    let wishes = route.targets.iter().map(Wish::from).collect();
    Some(Meaning::Several(Choice { origin: Origin::Route { name, route }, wishes, task }))
}

fn named<'a>(snapshot: &'a Snapshot, name: &'a str, task: Option<Task>) -> Result<Meaning<'a>, PlanError> {
    if let Some(meaning) = route(snapshot, name, task) {
        return Ok(meaning);
    }
    let name = snapshot.rules.aliases.get(name).map_or(name, String::as_str);
    match with_slash(snapshot, name).or_else(|| Some((snapshot.provider(name)?, None))) {
        Some((provider, model)) => Ok(Meaning::One { provider, model, task }),
        None => bare(snapshot, name),
    }
}

/// `provider/model`, if what stands before the first slash is a provider. (A model's own id may have slashes too.)
fn with_slash<'a>(snapshot: &'a Snapshot, name: &'a str) -> Option<(&'a Arc<Provider>, Option<&'a str>)> {
    let (id, model) = name.split_once('/')?;
    Some((snapshot.provider(id)?, Some(model).filter(|model| !model.is_empty())))
}

/// The id of a model that just one provider knows.
fn bare<'a>(snapshot: &'a Snapshot, name: &'a str) -> Result<Meaning<'a>, PlanError> {
    match only(name, &knowing(snapshot, name))? {
        Some(provider) => Ok(Meaning::One { provider, model: Some(name), task: None }),
        None => Err(unknown(snapshot, name)),
    }
}

/// # Errors
/// When several know the model.
fn only<'a>(model: &str, knowing: &[&'a Arc<Provider>]) -> Result<Option<&'a Arc<Provider>>, PlanError> {
    match knowing {
        [] => Ok(None),
        [provider] => Ok(Some(provider)),
        several => Err(PlanError::AmbiguousModel {
            name: model.to_owned(),
            choices: several.iter().map(|provider| format!("`{}/{model}`", provider.id)).collect(),
        }),
    }
}

/// The providers that know a model: only those that can be asked, if any can; and of a plugin's several instances the one that has its name.
fn knowing<'a>(snapshot: &'a Snapshot, model: &str) -> Vec<&'a Arc<Provider>> {
    let mut knowing: Vec<&Arc<Provider>> = snapshot.providers.iter().filter(|provider| provider.model(model).is_some()).collect();
    for preferred in [|provider: &Provider| provider.ready().is_some(), Provider::is_its_plugins_namesake] {
        if knowing.iter().any(|provider| preferred(provider)) {
            knowing.retain(|provider| preferred(provider));
        }
    }
    knowing
}

fn unknown(snapshot: &Snapshot, name: &str) -> PlanError {
    let providers = snapshot.providers.iter().map(|provider| provider.id.as_str()).collect::<Vec<_>>().join(", ");
    let near: Vec<String> = nearest(name, known_names(snapshot)).into_iter().map(|name| format!("`{name}`")).collect();
    let near = if near.is_empty() { String::new() } else { format!("perhaps {} is meant; ", near.join(" or ")) };
    let hint = format!(
        "{near}GET /v1/models lists those that are known, and any other model of a provider ({providers}) is written `provider/model`"
    );
    PlanError::UnknownModel { name: name.to_owned(), hint }
}

fn known_names(snapshot: &Snapshot) -> impl Iterator<Item = &str> {
    let rules = &snapshot.rules;
    let models = snapshot.providers.iter().flat_map(|provider| provider.models());
    let models = models.flat_map(|model| std::iter::once(&model.id).chain(&model.aliases));
    let providers = snapshot.providers.iter().map(|provider| &provider.id);
    rules.routes.keys().chain(rules.aliases.keys()).chain(providers).chain(models).map(String::as_str)
}

/// Those that differ from a name in a few letters, the nearest first.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let most = (name.len() / 4).clamp(1, 3);
    let mut near: Vec<(usize, &str)> = known
        .filter(|known| known.len().abs_diff(name.len()) <= most)
        .map(|known| (edits(name.as_bytes(), known.as_bytes()), known))
        .filter(|(edits, _)| *edits <= most)
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(MAX_HINTS).map(|(_, known)| known).collect()
}

/// Levenshtein's distance, the case of letters aside.
fn edits(one: &[u8], other: &[u8]) -> usize {
    // The distances of `one` up to here from every beginning of `other`.
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (number, letter) in (1..).zip(one) {
        let mut before = number;
        let mut next = vec![number];
        for (second, above) in other.iter().zip(row.windows(2)) {
            let [replaced, removed] = above else { continue };
            before = (replaced + usize::from(!letter.eq_ignore_ascii_case(second))).min(removed + 1).min(before + 1);
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::{Rules, Strategy, TimeoutOverrides};
    use crate::plan::order::tests::provider;

    fn target(provider: &str, model: &str) -> RouteTarget {
        RouteTarget { provider: provider.into(), model: Some(model.into()), weight: 1 }
    }

    fn route(targets: Vec<RouteTarget>) -> Route {
        let timeouts = TimeoutOverrides::default();
        Route { targets, strategy: Strategy::Ordered, sticky: None, timeouts, max_retries: None, hedge_after: None }
    }

    fn snapshot() -> Snapshot {
        let mut rules = Rules::default();
        for name in ["fast", "acme/large", "both"] {
            rules.routes.insert(name.into(), route(vec![target("beta", "b-1"), target("acme", "a-1")]));
        }
        rules.aliases.insert("both".into(), "acme/hidden".into());
        rules.aliases.insert("small".into(), "acme/a-mini".into());
        rules.tasks.insert("summarization", vec![target("beta", "b-2")]);
        Snapshot { providers: vec![provider("acme"), provider("beta")], rules: Arc::new(rules) }
    }

    /// In one line: the model, or whose choice and what it is from.
    fn told(snapshot: &Snapshot, target: &Target) -> String {
        let word = |provider: &str, model: Option<&str>| format!("{provider}/{}", model.unwrap_or("?"));
        match meaning(snapshot, target) {
            Ok(Meaning::One { provider, model, .. }) => word(&provider.id, model),
            Ok(Meaning::Several(choice)) => {
                let wishes: Vec<String> = choice.wishes.iter().map(|wish| word(wish.provider, wish.model)).collect();
                let origin = match choice.origin {
                    Origin::Route { name, .. } => name,
                    Origin::Task(word) => word,
                    Origin::BuiltIn => "built-in",
                };
                format!("{origin}: {}", wishes.join(" "))
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_name_is_a_routes_then_an_aliass_then_a_providers() {
        let snapshot = snapshot();
        for (name, meaning) in [
            ("fast", "fast: beta/b-1 acme/a-1"),
            ("both", "both: beta/b-1 acme/a-1"),
            ("acme/large", "acme/large: beta/b-1 acme/a-1"),
            ("small", "acme/a-mini"),
            ("acme/small", "acme/small"),
            ("acme/org/model", "acme/org/model"),
            ("acme", "acme/?"),
            ("acme/", "acme/?"),
        ] {
            assert_eq!(told(&snapshot, &Target::Name(name.into())), meaning, "{name}");
            let asked = Target::Provider { provider: name.into(), model: None, task: None };
            assert_eq!(told(&snapshot, &asked), meaning, "{name} on a query route");
        }
    }

    #[test]
    fn provider_and_version_of_a_query_name_a_route_together() {
        let snapshot = snapshot();
        let target = |model: &str| Target::Provider { provider: "acme".into(), model: Some(model.into()), task: None };
        assert_eq!(told(&snapshot, &target("large")), "acme/large: beta/b-1 acme/a-1");
        assert_eq!(told(&snapshot, &target("a-1")), "acme/a-1");
    }

    #[test]
    fn without_a_model_the_tasks_list_counts_or_else_the_providers_in_their_order() {
        let snapshot = snapshot();
        assert_eq!(told(&snapshot, &Target::Any(Some(Task::Summarization))), "summarization: beta/b-2");
        assert_eq!(told(&snapshot, &Target::Any(Some(Task::SentimentAnalysis))), "built-in: acme/? beta/?");
        assert_eq!(told(&snapshot, &Target::Any(None)), "built-in: acme/? beta/?");
        let mut rules = (*snapshot.rules).clone();
        rules.tasks.insert("other", vec![target("beta", "b-3")]);
        let snapshot = Snapshot { rules: Arc::new(rules), ..snapshot };
        assert_eq!(told(&snapshot, &Target::Any(None)), "other: beta/b-3");
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest_known_ones() {
        let snapshot = snapshot();
        let message = told(&snapshot, &Target::Name("Fsat".into()));
        assert!(message.contains("no model `Fsat`") && !message.contains("perhaps"), "two letters of four are too many: {message}");
        for (name, near) in [("smal", "`small`"), ("BETTA", "`beta`"), ("betta", "`beta`"), ("fas", "`fast`"), ("bets", "`beta`")] {
            let message = told(&snapshot, &Target::Name(name.into()));
            assert!(message.contains(&format!("perhaps {near}")), "{message}");
        }
        let unknown = Target::Provider { provider: "nobody".into(), model: Some("x".into()), task: None };
        assert!(told(&snapshot, &unknown).contains("(acme, beta)"));
    }

    #[test]
    fn a_model_that_several_providers_offer_is_refused_with_the_choices() {
        let (one, other) = (provider("acme"), provider("beta"));
        let error = only("b-1", &[&one, &other]).unwrap_err();
        assert!(error.to_string().ends_with("write one of `acme/b-1`, `beta/b-1`"), "{error}");
        assert_eq!(only("b-1", &[&other]).unwrap().unwrap().id, "beta");
        assert!(only("b-1", &[]).unwrap().is_none());
    }

    #[test]
    fn edits_are_counted_as_letters_put_in_taken_out_or_replaced() {
        for (one, other, expected) in [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("GPT-5", "gpt-5", 0), ("flaw", "lawn", 2)] {
            assert_eq!(edits(one.as_bytes(), other.as_bytes()), expected, "{one} {other}");
            assert_eq!(edits(other.as_bytes(), one.as_bytes()), expected, "{other} {one}");
        }
    }
}
