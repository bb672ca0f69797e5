//! A key: whose it is, what it may, and how that is changed. Pure.

use super::caller::AccessError;
use crate::money::Usd;
use jiff::Timestamp;
use std::sync::Arc;

/// The tenant of a key whose callers say for whom they act.
pub const ANY_TENANT: &str = "*";
const MAX_TENANT_BYTES: usize = 64;

/// A key that callers have, without its secret.
#[derive(Debug, Clone, PartialEq)]
pub struct GatewayKey {
    /// Shown in lists and in the ledger: it says nothing of the secret.
    pub id: Arc<str>,
    /// `*`: whichever the caller names.
    pub tenant: Arc<str>,
    pub name: Option<String>,
    /// What may be asked: `provider/model`, a provider, a model, a route or an alias, with `*` at its end for all that begin so. Empty: everything.
    pub models: Vec<String>,
    pub limits: KeyLimits,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

/// How much a key may use. Absent: as much as there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyLimits {
    /// Requests per minute.
    pub rpm: Option<u32>,
    /// Tokens per minute, in and out.
    pub tpm: Option<u64>,
    /// Requests at once.
    pub concurrency: Option<u32>,
    pub budget: Budget,
}

/// What may be spent in a day, a month (both of UTC) and at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    pub day: Option<Usd>,
    pub month: Option<Usd>,
    pub total: Option<Usd>,
}

/// What is to be different about a key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KeyChanges {
    pub name: Set<String>,
    pub models: Option<Vec<String>>,
    pub rpm: Set<u32>,
    pub tpm: Set<u64>,
    pub concurrency: Set<u32>,
    pub budget_day: Set<Usd>,
    pub budget_month: Set<Usd>,
    pub budget_total: Set<Usd>,
    pub expires_at: Set<Timestamp>,
}

/// A value that may be absent. `None`: it stays as it is. `Some(None)`: it is removed.
pub type Set<T> = Option<Option<T>>;

/// Whether a tenant may be called so: `[a-z0-9][a-z0-9._-]{0,63}`.
pub fn is_tenant(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let begins_well = name.bytes().next().is_some_and(is_word);
    begins_well && name.len() <= MAX_TENANT_BYTES && name.bytes().all(|byte| is_word(byte) || b"._-".contains(&byte))
}

impl Budget {
    pub fn is_limited(&self) -> bool {
        self.day.is_some() || self.month.is_some() || self.total.is_some()
    }
}

impl GatewayKey {
    /// Whether a model may be asked with it. `asked`: what the caller wrote as `model`, where it named a route or an alias.
    pub fn may_ask(&self, provider: &str, model: &str, asked: Option<&str>) -> bool {
        let allows = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => {
                model.starts_with(start) || asked.is_some_and(|asked| asked.starts_with(start)) || begins(provider, model, start)
            }
            None => pattern == provider || pattern == model || asked == Some(pattern) || is_path(provider, model, pattern),
        };
        self.models.is_empty() || self.models.iter().any(allows)
    }

    /// # Errors
    /// Why it does not count now.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), AccessError> {
        match self.expires_at {
            _ if self.revoked_at.is_some() => Err(AccessError::Revoked(Arc::clone(&self.id))),
            Some(end) if end <= now => Err(AccessError::Expired(Arc::clone(&self.id), end)),
            _ => Ok(()),
        }
    }
}

/// Whether `provider/model` is this.
fn is_path(provider: &str, model: &str, text: &str) -> bool {
    text.strip_prefix(provider).and_then(|rest| rest.strip_prefix('/')) == Some(model)
}

/// Whether `provider/model` begins so.
fn begins(provider: &str, model: &str, start: &str) -> bool {
    match start.strip_prefix(provider) {
        Some("") => true,
        Some(rest) => rest.strip_prefix('/').is_some_and(|rest| model.starts_with(rest)),
        None => provider.starts_with(start),
    }
}

impl KeyChanges {
    pub(super) fn apply(self, key: &mut GatewayKey) {
        fn set<T>(field: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *field = value;
            }
        }
        set(&mut key.name, self.name);
        set(&mut key.models, self.models);
        set(&mut key.expires_at, self.expires_at);
        set(&mut key.limits.rpm, self.rpm);
        set(&mut key.limits.tpm, self.tpm);
        set(&mut key.limits.concurrency, self.concurrency);
        set(&mut key.limits.budget.day, self.budget_day);
        set(&mut key.limits.budget.month, self.budget_month);
        set(&mut key.limits.budget.total, self.budget_total);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn key(models: &[&str]) -> GatewayKey {
        GatewayKey {
            id: "key_00000000".into(),
            tenant: "acme".into(),
            name: None,
            models: models.iter().map(|&model| model.to_owned()).collect(),
            limits: KeyLimits::default(),
            created_at: Timestamp::UNIX_EPOCH,
            expires_at: None,
            revoked_at: None,
        }
    }

    #[test]
    fn a_key_may_ask_what_its_patterns_name() {
        for (patterns, asked, may) in [
            (&[] as &[&str], None, true),
            (&["openai/gpt-5.4"], None, true),
            (&["openai"], None, true),
            (&["gpt-5.4"], None, true),
            (&["fast"], Some("fast"), true),
            (&["fa*"], Some("fast"), true),
            (&["*"], None, true),
            (&["gpt-*"], None, true),
            (&["openai/*"], None, true),
            (&["openai/gpt-5*"], None, true),
            (&["open*"], None, true),
            (&["claude", "openai"], None, true),
            (&["fast"], None, false),
            (&["fast"], Some("slow"), false),
            (&["openai/gpt-5"], None, false),
            (&["openai/"], None, false),
            (&["openai/claude*"], None, false),
            (&["openai-eu/*"], None, false),
            (&["openaigpt-5.4"], None, false),
            (&["gpt"], None, false),
            (&[""], None, false),
            (&["mistral", "claude/*"], None, false),
        ] {
            assert_eq!(key(patterns).may_ask("openai", "gpt-5.4", asked), may, "{patterns:?} {asked:?}");
        }
    }

    #[test]
    fn a_model_with_slashes_is_matched_whole() {
        assert!(key(&["hub/org/model"]).may_ask("hub", "org/model", None));
        assert!(key(&["org/*"]).may_ask("hub", "org/model", None));
        assert!(!key(&["hub/model"]).may_ask("hub", "org/model", None));
    }

    #[test]
    fn a_tenant_has_a_plain_name() {
        for (name, is) in
            [("a", true), ("acme-2.eu_west", true), ("0", true), ("", false), ("-a", false), ("Acme", false), ("a b", false), ("*", false)]
        {
            assert_eq!(is_tenant(name), is, "{name}");
        }
        assert!(is_tenant(&"a".repeat(64)) && !is_tenant(&"a".repeat(65)));
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let mut key = key(&["openai"]);
        key.limits.budget = Budget { day: Usd::from_f64(1.0), month: Usd::from_f64(2.0), total: None };
        KeyChanges { budget_day: Some(None), rpm: Some(Some(5)), ..KeyChanges::default() }.apply(&mut key);
        assert_eq!(key.limits.budget, Budget { day: None, month: Usd::from_f64(2.0), total: None });
        assert_eq!((key.limits.rpm, key.models.len()), (Some(5), 1));
    }

    #[test]
    fn a_key_counts_until_the_moment_that_it_expires() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut key = GatewayKey { expires_at: Some(at(10)), ..key(&[]) };
        assert_eq!(key.check(at(9)), Ok(()));
        assert_eq!(key.check(at(10)), Err(AccessError::Expired(Arc::clone(&key.id), at(10))));
        key.revoked_at = Some(at(5));
        assert_eq!(key.check(at(9)), Err(AccessError::Revoked(Arc::clone(&key.id))));
    }
}
