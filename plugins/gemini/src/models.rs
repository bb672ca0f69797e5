//! The list of models, `GET /models`.

use crate::{failure, manifest};
use llm_gateway_adapter::models::Page;
use llm_gateway_adapter::serde_json;
use llm_gateway_adapter::types::{Capabilities, Failure, Framing, HttpMethod, HttpRequest, HttpResponse, ModelInfo};
use serde::Deserialize;

/// The most that Gemini gives at once; its default is 50.
const PAGE_SIZE: &str = "1000";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListModelsResponse {
    models: Option<Vec<Model>>,
    next_page_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Model {
    /// `models/gemini-3.8-flash`
    name: String,
    display_name: Option<String>,
    input_token_limit: Option<u32>,
    output_token_limit: Option<u32>,
    supported_generation_methods: Option<Vec<String>>,
}

/// `position` is a page token.
pub fn encode(position: Option<String>) -> HttpRequest {
    let mut query = vec![("pageSize".to_owned(), PAGE_SIZE.to_owned())];
    query.extend(position.map(|token| ("pageToken".to_owned(), token)));
    HttpRequest {
        method: HttpMethod::Get,
        path: "/models".to_owned(),
        query,
        headers: Vec::new(),
        body: Vec::new(),
        framing: Framing::Whole,
        dropped: Vec::new(),
        context: String::new(),
        extras: Vec::new(),
    }
}

/// # Errors
/// The provider's, or `malformed`.
pub fn decode(response: &HttpResponse) -> Result<Page, Failure> {
    if !(200..300).contains(&response.status) {
        return Err(failure::of_response(response));
    }
    let list: ListModelsResponse = serde_json::from_slice(&response.body)
        .map_err(|error| Failure::malformed(format!("Gemini's list of models can't be read: {error}")))?;
    Ok(Page {
        models: list.models.unwrap_or_default().into_iter().map(Model::into_info).collect(),
        next: list.next_page_token.filter(|token| !token.is_empty()),
    })
}

impl Model {
    /// With what the list does not say, where the model is known.
    fn into_info(self) -> ModelInfo {
        let id = self.name.strip_prefix("models/").unwrap_or(&self.name);
        let known = manifest::find(id);
        let methods = self.supported_generation_methods.unwrap_or_default();
        let capabilities = known.as_ref().and_then(|known| known.capabilities).or_else(|| other_than_chat(&methods));
        ModelInfo {
            name: self.display_name.or_else(|| known.as_ref()?.name.clone()),
            aliases: Vec::new(),
            context_window: self.input_token_limit,
            max_output: self.output_token_limit,
            capabilities,
            price: None,
            suited_to: known.map(|known| known.suited_to).unwrap_or_default(),
            retires: None,
            extras: Vec::new(),
            id: id.to_owned(),
        }
    }
}

/// What a model that can't chat can do; for one that can, the list does not say what else it takes.
fn other_than_chat(methods: &[String]) -> Option<Capabilities> {
    let has = |method: &str| methods.iter().any(|name| name == method);
    match (has("generateContent"), has("embedContent")) {
        (true, _) => None,
        (false, true) => Some(Capabilities::EMBEDDINGS),
        (false, false) if methods.is_empty() => None,
        (false, false) => Some(Capabilities::empty()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use llm_gateway_adapter::harness::response;

    #[test]
    fn the_list_gives_ids_limits_and_the_next_page() {
        let body = r#"{"models":[{"name":"models/gemini-9","displayName":"Gemini 9","inputTokenLimit":9,"outputTokenLimit":3,
            "supportedGenerationMethods":["generateContent"]},
            {"name":"models/gemini-embedding-2","supportedGenerationMethods":["embedContent"]},
            {"name":"models/gemini-3.8-flash"}],"nextPageToken":"t1"}"#;
        let page = decode(&response(200, &[], body)).unwrap();
        let ids: Vec<&str> = page.models.iter().map(|model| model.id.as_str()).collect();
        assert_eq!(ids, ["gemini-9", "gemini-embedding-2", "gemini-3.8-flash"]);
        assert_eq!((page.models[0].context_window, page.models[0].max_output), (Some(9), Some(3)));
        assert_eq!(page.models[0].capabilities, None);
        assert_eq!(page.models[1].capabilities, Some(Capabilities::EMBEDDINGS));
        let known = page.models[2].capabilities.unwrap();
        assert_eq!(known & Capabilities::TOOLS, Capabilities::TOOLS);
        assert_eq!(page.next.as_deref(), Some("t1"));
        assert!(encode(page.next).query.contains(&("pageToken".to_owned(), "t1".to_owned())));
    }

    #[test]
    fn a_list_that_is_no_list_is_malformed() {
        assert!(decode(&response(200, &[], "<html>")).is_err());
        assert!(decode(&response(200, &[], r#"{"models":[{"name":7}]}"#)).is_err());
    }
}
