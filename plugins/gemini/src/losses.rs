//! What a request loses on its way to Gemini, for the caller to be told.

use llm_gateway_adapter::dropped;
use llm_gateway_adapter::types::Dropped;

/// Collects what is left out, or stands in the request in another form.
#[derive(Debug, Default)]
pub struct Losses(Vec<Dropped>);

impl Losses {
    /// `parameter` is a path in `chat-request`.
    pub fn add(&mut self, parameter: impl Into<String>, reason: impl Into<String>) {
        self.0.push(Dropped { parameter: parameter.into(), reason: reason.into() });
    }

    pub fn into_list(self) -> Vec<Dropped> {
        dropped::once(self.0)
    }
}
