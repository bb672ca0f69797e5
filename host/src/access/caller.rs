//! Who a request is from, for whom it acts, and why it is not let in. Pure.

use super::key::{ANY_TENANT, GatewayKey, is_tenant};
use jiff::Timestamp;
use std::sync::{Arc, LazyLock};

/// The tenant of callers who say nothing of one.
pub const DEFAULT_TENANT: &str = "default";

/// Who a request is from.
#[derive(Debug, Clone)]
pub struct Caller {
    pub tenant: Arc<str>,
    /// Absent: a caller without a key.
    pub key: Option<Arc<GatewayKey>>,
}

impl Default for Caller {
    fn default() -> Self {
        static TENANT: LazyLock<Arc<str>> = LazyLock::new(|| DEFAULT_TENANT.into());
        Self { tenant: Arc::clone(&TENANT), key: None }
    }
}

/// Why a caller is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    #[error(
        "this gateway answers only callers with a key: send one as `Authorization: Bearer …` or `x-api-key` (an operator makes keys with POST /admin/keys; ALLOW_ANONYMOUS=true lets callers in without one)"
    )]
    NoKey,
    #[error("the gateway key is not known: it was mistyped, or replaced; ask an operator for a new one (POST /admin/keys)")]
    Unknown,
    #[error("the gateway key `{0}` expired at {1}; ask an operator for a new one")]
    Expired(Arc<str>, Timestamp),
    #[error("the gateway key `{0}` was revoked; ask an operator for a new one")]
    Revoked(Arc<str>),
    #[error("`tenant`: {0}")]
    Tenant(String),
    #[error("gateway keys can't be checked yet: the database has not answered since the gateway started; try again soon")]
    Unavailable,
}

impl Caller {
    /// The caller, acting for the tenant that its request names.
    ///
    /// # Errors
    /// When it may not.
    pub fn acting_for(self, tenant: &str) -> Result<Self, AccessError> {
        if tenant == &*self.tenant {
            return Ok(self);
        }
        match &self.key {
            None => Err(AccessError::Tenant(format!(
                "a caller without a gateway key acts for `{DEFAULT_TENANT}` alone; leave `tenant` out, or send a key of that tenant"
            ))),
            Some(key) if &*key.tenant != ANY_TENANT => Err(AccessError::Tenant(format!(
                "the gateway key `{}` acts for `{}` alone; leave `tenant` out, or send a key of that tenant or of `{ANY_TENANT}`",
                key.id, key.tenant
            ))),
            Some(_) if !is_tenant(tenant) => Err(AccessError::Tenant(
                "a tenant's name has 1 to 64 characters of a-z, 0-9, `.`, `_` and `-`, and begins with a letter or a digit".to_owned(),
            )),
            Some(_) => Ok(Self { tenant: tenant.into(), ..self }),
        }
    }
}
