//! The list of models, `GET /models`. It is not paged.

use crate::endpoint::Endpoint;
use crate::failure;
use crate::text::{Text, string_in};
use llm_gateway_adapter::failure::unreadable_body;
use llm_gateway_adapter::models::Page;
use llm_gateway_adapter::types::{Failure, Framing, HttpMethod, HttpRequest, HttpResponse, ModelInfo, Native};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::HashSet;

#[derive(Deserialize)]
struct ModelList<'a> {
    #[serde(borrow)]
    data: Vec<Model<'a>>,
}

#[derive(Deserialize)]
struct Model<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    shutdown_date: Option<&'a RawValue>,
    #[serde(borrow)]
    created: Option<&'a RawValue>,
    #[serde(borrow)]
    owned_by: Option<&'a RawValue>,
}

pub fn encode() -> HttpRequest {
    HttpRequest {
        method: HttpMethod::Get,
        path: "/models".to_owned(),
        query: Vec::new(),
        headers: Vec::new(),
        body: Vec::new(),
        framing: Framing::Whole,
        dropped: Vec::new(),
        context: String::new(),
        extras: Vec::new(),
    }
}

/// # Errors
/// The provider's error, or a body that is no list of models.
pub fn decode(response: &HttpResponse) -> Result<Page, Failure> {
    if !(200..300).contains(&response.status) {
        return Err(failure::of_response(response));
    }
    let list: ModelList<'_> =
        serde_json::from_slice(&response.body).map_err(|_| Failure::malformed(unreadable_body(response.status, &response.body)))?;
    let mut seen = HashSet::new();
    let models = list.data.iter().filter(|model| seen.insert(&*model.id)).map(Model::info).collect();
    Ok(Page { models, next: None })
}

impl Model<'_> {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            id: self.id.to_string(),
            name: None,
            aliases: Vec::new(),
            context_window: None,
            max_output: None,
            capabilities: None,
            price: None,
            suited_to: Vec::new(),
            retires: string_in(self.shutdown_date).map(Text::into_owned),
            extras: self.extras().into_iter().collect(),
        }
    }

    fn extras(&self) -> Option<Native> {
        #[derive(Serialize)]
        struct Extras<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            created: Option<&'a RawValue>,
            #[serde(skip_serializing_if = "Option::is_none")]
            owned_by: Option<&'a RawValue>,
        }
        let value = serde_json::to_string(&Extras { created: self.created, owned_by: self.owned_by }).ok()?;
        Some(Native { dialect: Endpoint::Chat.dialect().to_owned(), value })
    }
}
