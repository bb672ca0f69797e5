//! OpenAI's Chat Completions, as its clients speak it. Format: chapters 1.4 to 1.9 and 5 of OpenAI's and its SDKs' documentation.

mod names;
mod parse;
mod render;

pub use names::caller_parameter;
pub use parse::parse;
pub use render::{ChatForm, ChatRenderer};

/// The name of this dialect in the contract.
pub const DIALECT: &str = "openai-chat";
