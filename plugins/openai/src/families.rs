//! What each family of OpenAI's models takes. The rules that change with the model are here and nowhere else.
//!
//! Sources: wire reference 1.3 (tools on the chat endpoint), 1.4 (sampling, `stop`, effort, cache breakpoints), 1.12 (families). Effort
//! `minimal` belongs to gpt-5 alone, and `-pro`, `-codex` and `-deep-research` models answer on `/responses` alone: OpenAI's model pages.

use llm_gateway_adapter::types::Effort;

/// Whether and how hard a model reasons.
#[derive(Debug, PartialEq, Eq)]
pub enum Reasons {
    No,
    Yes {
        /// Efforts that it takes, in rising order.
        efforts: &'static [Effort],
        /// What it does when the request names none.
        default: Effort,
    },
    /// A model that the table does not know, on a compatible server perhaps: everything is passed on as asked.
    Unknown,
}

#[derive(Debug)]
pub struct Family {
    pub reasons: Reasons,
    /// Function tools are taken on `/chat/completions`, whatever the effort.
    pub tools_on_chat: bool,
    pub stop_sequences: bool,
    /// Explicit cache breakpoints.
    pub breakpoints: bool,
}

/// Which endpoints a model answers on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoints {
    Both,
    ChatOnly,
    ResponsesOnly,
}

#[derive(Debug, Clone, Copy)]
pub struct Model {
    pub family: &'static Family,
    pub endpoints: Endpoints,
}

use Effort::{ExtraHigh, High, Low, Maximum, Medium, Minimal, None as NoEffort};

static UNKNOWN: Family = Family { reasons: Reasons::Unknown, tools_on_chat: true, stop_sequences: true, breakpoints: false };
static CLASSIC: Family = Family { reasons: Reasons::No, tools_on_chat: true, stop_sequences: true, breakpoints: false };
static O_SERIES: Family = Family {
    reasons: Reasons::Yes { efforts: &[Low, Medium, High], default: Medium },
    tools_on_chat: true,
    stop_sequences: false,
    breakpoints: false,
};
/// Takes tools on the chat endpoint, but there loses its reasoning from one call to the next.
static GPT_5: Family = Family {
    reasons: Reasons::Yes { efforts: &[Minimal, Low, Medium, High], default: Medium },
    tools_on_chat: false,
    stop_sequences: false,
    breakpoints: false,
};
static GPT_5_1: Family = Family {
    reasons: Reasons::Yes { efforts: &[NoEffort, Low, Medium, High], default: NoEffort },
    tools_on_chat: false,
    stop_sequences: false,
    breakpoints: false,
};
static GPT_5_2: Family = Family {
    reasons: Reasons::Yes { efforts: &[NoEffort, Low, Medium, High, ExtraHigh], default: NoEffort },
    tools_on_chat: false,
    stop_sequences: false,
    breakpoints: false,
};
static GPT_5_6: Family = Family {
    reasons: Reasons::Yes { efforts: &[NoEffort, Low, Medium, High, ExtraHigh, Maximum], default: Medium },
    tools_on_chat: false,
    stop_sequences: false,
    breakpoints: true,
};
/// Also what a newer model than the table knows is taken for: it asks the least of the model.
static ALWAYS_REASONING: Family = Family {
    reasons: Reasons::Yes { efforts: &[Low, Medium, High, ExtraHigh, Maximum], default: Medium },
    tools_on_chat: false,
    stop_sequences: false,
    breakpoints: true,
};

/// Beginnings of model ids, the narrower before the wider.
static FAMILIES: &[(&str, &Family)] = &[
    ("gpt-6-astra", &ALWAYS_REASONING),
    ("gpt-6", &GPT_5_6),
    ("gpt-5.6", &GPT_5_6),
    ("gpt-5.5", &GPT_5_2),
    ("gpt-5.4", &GPT_5_2),
    ("gpt-5.3", &GPT_5_2),
    ("gpt-5.2", &GPT_5_2),
    ("gpt-5.1", &GPT_5_1),
    ("gpt-5", &GPT_5),
    ("o1", &O_SERIES),
    ("o3", &O_SERIES),
    ("o4", &O_SERIES),
    ("gpt-audio", &CLASSIC),
    ("gpt-4.1", &CLASSIC),
    ("gpt-4o", &CLASSIC),
    ("gpt-4", &CLASSIC),
    ("gpt-3.5", &CLASSIC),
];

impl Model {
    pub fn of(id: &str) -> Self {
        let id = id.strip_prefix("ft:").unwrap_or(id);
        let family = FAMILIES.iter().find(|(beginning, _)| begins(id, beginning)).map(|(_, family)| *family);
        let family = family.unwrap_or(if is_newer(id) { &ALWAYS_REASONING } else { &UNKNOWN });
        Self { family, endpoints: endpoints(id, family) }
    }

    pub fn is_known(&self) -> bool {
        self.family.reasons != Reasons::Unknown
    }

    pub fn is_known_to_reason(&self) -> bool {
        matches!(self.family.reasons, Reasons::Yes { .. })
    }
}

/// Whether the id is of this family: `gpt-5` begins `gpt-5-mini`, but not `gpt-5.6-sol`.
fn begins(id: &str, beginning: &str) -> bool {
    id.strip_prefix(beginning).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', ':']))
}

/// `gpt-5.9`, `gpt-6.1-sol`, `gpt-7`: a GPT of generation 5 or later that has no row of its own.
fn is_newer(id: &str) -> bool {
    let generation = id.strip_prefix("gpt-").map(|rest| rest.split(['.', '-']).next().unwrap_or_default());
    generation.and_then(|number| number.parse::<u32>().ok()).is_some_and(|number| number >= 5)
}

fn endpoints(id: &str, family: &Family) -> Endpoints {
    if family.reasons == Reasons::Unknown {
        return Endpoints::Both;
    }
    let special = id.split(['-', ':']).find_map(|word| match word {
        "audio" | "search" => Some(Endpoints::ChatOnly),
        "pro" | "codex" | "research" => Some(Endpoints::ResponsesOnly),
        _ => None,
    });
    special.unwrap_or(Endpoints::Both)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_belongs_to_the_narrowest_family() {
        for (id, family) in [
            ("gpt-5", &GPT_5),
            ("gpt-5-mini-2025-08-07", &GPT_5),
            ("gpt-5.1", &GPT_5_1),
            ("gpt-5.4-mini", &GPT_5_2),
            ("gpt-5.6-sol", &GPT_5_6),
            ("gpt-6-sol", &GPT_5_6),
            ("gpt-6-astra", &ALWAYS_REASONING),
            ("gpt-6.1-sol", &ALWAYS_REASONING),
            ("gpt-6.2-astra", &ALWAYS_REASONING),
            ("gpt-7", &ALWAYS_REASONING),
            ("gpt-4o-mini", &CLASSIC),
            ("ft:gpt-4.1-mini-2025-04-14:acme::x1", &CLASSIC),
            ("o3", &O_SERIES),
            ("gpt-oss-120b", &UNKNOWN),
            ("llama3.3:70b", &UNKNOWN),
            ("o365-tuned", &UNKNOWN),
        ] {
            assert!(std::ptr::eq(Model::of(id).family, family), "{id} is {:?}", Model::of(id).family);
        }
    }

    #[test]
    fn some_models_have_one_endpoint_only() {
        assert_eq!(Model::of("gpt-audio-mini").endpoints, Endpoints::ChatOnly);
        assert_eq!(Model::of("gpt-4o-audio-preview").endpoints, Endpoints::ChatOnly);
        assert_eq!(Model::of("gpt-5.2-codex").endpoints, Endpoints::ResponsesOnly);
        assert_eq!(Model::of("gpt-5-pro").endpoints, Endpoints::ResponsesOnly);
        assert_eq!(Model::of("gpt-5.6-sol").endpoints, Endpoints::Both);
        assert_eq!(Model::of("my-pro-model").endpoints, Endpoints::Both);
    }
}
