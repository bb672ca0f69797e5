//! OpenAI's Responses, in its stateless use, as its SDKs and agents speak it.
//!
//! Owns: the request (`parse`, its `items`, their `content`, the `tools`), what of it is said again in the answer (`form`), the answer
//! (`output`, `render`) and its events (`stream`). An answer's item shows one part; so whole and streamed it has the same items, with
//! the same ids, whichever parts were written at the same time.
//!
//! What a provider wants back unchanged is carried in `encrypted_content`: the reasoning's own in its item, all other in one more
//! reasoning item at the end of the answer (`turn`). Nothing is kept here between requests, so what needs that is refused.

mod content;
mod form;
mod items;
mod names;
mod output;
mod parse;
mod render;
mod stream;
mod tools;
mod turn;

pub use form::ResponsesForm;
pub use names::caller_parameter;
pub use parse::parse;
pub use stream::ResponsesRenderer;

/// The name of this dialect in the contract.
pub const DIALECT: &str = "openai-responses";

#[cfg(test)]
mod tests;
