//! The four providers, and where each lives below the simulator's origin.

use super::wire::Wire;
use super::{anthropic, gemini, mistral, openai};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Provider {
    Openai,
    Gemini,
    Mistral,
    Claude,
}

impl Provider {
    pub const ALL: [Self; 4] = [Self::Openai, Self::Gemini, Self::Mistral, Self::Claude];

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::Gemini => "gemini",
            Self::Mistral => "mistral",
            Self::Claude => "claude",
        }
    }

    /// With the API version, without a slash at the end.
    pub fn base_path(self) -> &'static str {
        match self {
            Self::Openai => "/openai/v1",
            Self::Gemini => "/gemini/v1beta",
            Self::Mistral => "/mistral/v1",
            Self::Claude => "/claude/v1",
        }
    }

    pub fn wire(self) -> &'static dyn Wire {
        match self {
            Self::Openai => &openai::Openai,
            Self::Gemini => &gemini::Gemini,
            Self::Mistral => &mistral::Mistral,
            Self::Claude => &anthropic::Anthropic,
        }
    }
}
