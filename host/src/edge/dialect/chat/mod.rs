//! OpenAI's Chat Completions, as its clients speak it. Format: chapters 1.4 to 1.9 and 5 of OpenAI's and its SDKs' documentation.

mod body;
mod choice;
mod extras;
mod messages;
mod names;
mod parse;
#[cfg(test)]
mod properties;
mod render;
mod tools;
mod turn;
mod whole;

pub use names::caller_parameter;
pub use parse::parse;
pub use render::{CallForm, ChatForm, ChatRenderer};
pub use turn::{Turn, history_of, restore, turn_of};

/// The name of this dialect in the contract.
pub const DIALECT: &str = "openai-chat";
