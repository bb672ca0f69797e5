//! What went wrong with a request, as one word: the label of logs and metrics, and `error_type` in answers.

use crate::contract::FailureKind;

/// One word for a failure. Every error of the gateway maps to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    InvalidRequest,
    ModelNotFound,
    Unsupported,
    ContextLength,
    RequestTooLarge,
    ContentRefused,
    Authentication,
    Permission,
    NotFound,
    RateLimited,
    QuotaExhausted,
    /// It would cost more than its caller may spend, or nobody knows what it costs.
    BudgetExceeded,
    Overloaded,
    Timeout,
    /// The provider broke.
    Provider,
    /// Its answer makes no sense, or was cut.
    Malformed,
    /// No connection could be made.
    Unreachable,
    /// The provider's plugin broke, or went over a limit.
    Plugin,
    /// No provider can be asked now.
    Unavailable,
    /// The caller left.
    Cancelled,
}

impl ErrorKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::ModelNotFound => "model_not_found",
            Self::Unsupported => "unsupported",
            Self::ContextLength => "context_length",
            Self::RequestTooLarge => "request_too_large",
            Self::ContentRefused => "content_refused",
            Self::Authentication => "authentication",
            Self::Permission => "permission",
            Self::NotFound => "not_found",
            Self::RateLimited => "rate_limited",
            Self::QuotaExhausted => "quota_exhausted",
            Self::BudgetExceeded => "budget_exceeded",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
            Self::Provider => "provider",
            Self::Malformed => "malformed",
            Self::Unreachable => "unreachable",
            Self::Plugin => "plugin",
            Self::Unavailable => "unavailable",
            Self::Cancelled => "cancelled",
        }
    }
}

impl From<FailureKind> for ErrorKind {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::InvalidRequest => Self::InvalidRequest,
            FailureKind::Unsupported => Self::Unsupported,
            FailureKind::ContextLength => Self::ContextLength,
            FailureKind::RequestTooLarge => Self::RequestTooLarge,
            FailureKind::ContentRefused => Self::ContentRefused,
            FailureKind::Authentication => Self::Authentication,
            FailureKind::Permission => Self::Permission,
            FailureKind::NotFound => Self::NotFound,
            FailureKind::RateLimited => Self::RateLimited,
            FailureKind::QuotaExhausted => Self::QuotaExhausted,
            FailureKind::Overloaded => Self::Overloaded,
            FailureKind::Timeout => Self::Timeout,
            FailureKind::Provider => Self::Provider,
            FailureKind::Malformed => Self::Malformed,
        }
    }
}
