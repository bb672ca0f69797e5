//! Which fields Gemini's requests have. An unknown one, at any depth, is a 400.

use super::invalid;
use crate::simulate::shape::{self, Member, Shape, Step};
use crate::simulate::wire::Problem;
use serde_json::{Map, Value, json};

use Shape::{Any, At, List, Object};

const BLOB: Shape = Object(&[("mimeType", Any), ("data", Any), ("displayName", Any)]);
const FILE: Shape = Object(&[("mimeType", Any), ("fileUri", Any), ("displayName", Any)]);
const RESPONSE_PART: Shape = Object(&[("inlineData", BLOB), ("fileData", FILE)]);
const PART: Shape = Object(&[
    ("text", Any),
    ("thought", Any),
    ("thoughtSignature", Any),
    ("inlineData", BLOB),
    ("fileData", FILE),
    ("functionCall", Object(&[("id", Any), ("name", Any), ("args", Any)])),
    (
        "functionResponse",
        Object(&[
            ("id", Any),
            ("name", Any),
            ("response", Any),
            ("parts", List(&RESPONSE_PART)),
            ("willContinue", Any),
            ("scheduling", Any),
        ]),
    ),
    ("executableCode", Any),
    ("codeExecutionResult", Any),
    ("videoMetadata", Any),
    ("mediaResolution", Object(&[("level", Any)])),
    ("partMetadata", Any),
    ("toolCall", Any),
    ("toolResponse", Any),
]);
const CONTENT: Shape = Object(&[("role", Any), ("parts", List(&PART))]);
static SCHEMA: Shape = Object(&[
    ("type", Any),
    ("format", Any),
    ("title", Any),
    ("description", Any),
    ("nullable", Any),
    ("enum", Any),
    ("maxItems", Any),
    ("minItems", Any),
    ("properties", Shape::Map(&SCHEMA)),
    ("required", Any),
    ("minProperties", Any),
    ("maxProperties", Any),
    ("minLength", Any),
    ("maxLength", Any),
    ("pattern", Any),
    ("example", Any),
    ("anyOf", List(&SCHEMA)),
    ("propertyOrdering", Any),
    ("default", Any),
    ("items", At(&SCHEMA)),
    ("minimum", Any),
    ("maximum", Any),
    ("additionalProperties", Any),
]);
const FUNCTION: Shape = Object(&[
    ("name", Any),
    ("description", Any),
    ("parameters", At(&SCHEMA)),
    ("parametersJsonSchema", Any),
    ("response", Any),
    ("responseJsonSchema", Any),
    ("behavior", Any),
]);
const TOOL: Shape = Object(&[
    ("functionDeclarations", List(&FUNCTION)),
    ("googleSearch", Any),
    ("googleSearchRetrieval", Any),
    ("codeExecution", Any),
    ("urlContext", Any),
    ("googleMaps", Any),
    ("computerUse", Any),
    ("fileSearch", Any),
    ("mcpServers", Any),
]);
const CALLING: Shape = Object(&[("mode", Any), ("allowedFunctionNames", Any), ("streamFunctionCallArguments", Any)]);
const CONFIG: Shape = Object(&[
    ("temperature", Any),
    ("topP", Any),
    ("topK", Any),
    ("candidateCount", Any),
    ("maxOutputTokens", Any),
    ("stopSequences", Any),
    ("presencePenalty", Any),
    ("frequencyPenalty", Any),
    ("seed", Any),
    ("responseLogprobs", Any),
    ("logprobs", Any),
    ("responseMimeType", Any),
    ("responseSchema", At(&SCHEMA)),
    ("responseJsonSchema", Any),
    ("responseModalities", Any),
    ("mediaResolution", Any),
    ("thinkingConfig", Object(&[("includeThoughts", Any), ("thinkingBudget", Any), ("thinkingLevel", Any)])),
    ("speechConfig", Any),
    ("imageConfig", Any),
    ("enableEnhancedCivicAnswers", Any),
]);
const GENERATE_FIELDS: &[Member] = &[
    ("model", Any),
    ("systemInstruction", CONTENT),
    ("contents", List(&CONTENT)),
    ("tools", List(&TOOL)),
    ("toolConfig", Object(&[("functionCallingConfig", CALLING), ("retrievalConfig", Any), ("includeServerSideToolInvocations", Any)])),
    ("generationConfig", CONFIG),
    ("safetySettings", List(&Object(&[("category", Any), ("threshold", Any)]))),
    ("cachedContent", Any),
    ("continuationToken", Any),
    ("serviceTier", Any),
    ("labels", Any),
    ("store", Any),
];
pub(super) const GENERATE: Shape = Object(GENERATE_FIELDS);
pub(super) const COUNT: Shape = Object(&[("contents", List(&CONTENT)), ("generateContentRequest", GENERATE)]);
const EMBED_FIELDS: &[Member] =
    &[("model", Any), ("content", CONTENT), ("taskType", Any), ("title", Any), ("outputDimensionality", Any), ("embedContentConfig", Any)];
pub(super) const EMBED: Shape = Object(EMBED_FIELDS);
pub(super) const EMBED_BATCH: Shape = Object(&[("requests", List(&EMBED))]);

/// The request with its fields in camelCase.
///
/// # Errors
/// When it has a field that `shape` does not.
pub(super) fn normalised(request: &Value, shape: Shape) -> Result<Value, Problem> {
    let request = camel_case(request, shape);
    match shape::unknown(shape, &request) {
        Some(path) => Err(unknown_field(&path)),
        None => Ok(request),
    }
}

/// Renames what the shape knows by its other spelling, and leaves all else alone: free-form JSON is the caller's.
fn camel_case(value: &Value, shape: Shape) -> Value {
    match (shape, value) {
        (Object(members), Value::Object(object)) => {
            let renamed = object.iter().map(|(name, value)| {
                let camel = camel(name);
                match members.iter().find(|(known, _)| *known == camel) {
                    Some((_, shape)) => (camel, camel_case(value, *shape)),
                    None => (name.clone(), value.clone()),
                }
            });
            Value::Object(renamed.collect::<Map<_, _>>())
        }
        (At(shape), value) => camel_case(value, *shape),
        (List(of), Value::Array(items)) => items.iter().map(|item| camel_case(item, *of)).collect(),
        (Shape::Map(of), Value::Object(object)) => {
            Value::Object(object.iter().map(|(name, value)| (name.clone(), camel_case(value, *of))).collect())
        }
        _ => value.clone(),
    }
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut camel, word| {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
        camel
    })
}

/// Google names the message in snake_case, whatever was sent.
fn unknown_field(path: &[Step]) -> Problem {
    let mut name = String::new();
    let mut place = String::new();
    for (index, step) in path.iter().enumerate() {
        match step {
            Step::Member(member) if index + 1 == path.len() => name.clone_from(member),
            Step::Member(member) => {
                if !place.is_empty() {
                    place.push('.');
                }
                place.push_str(&snake(member));
            }
            Step::Item(item) => place.push_str(&format!("[{item}]")),
        }
    }
    let at = if place.is_empty() { String::new() } else { format!(" at '{place}'") };
    let description = format!("Invalid JSON payload received. Unknown name \"{name}\"{at}: Cannot find field.");
    let violation =
        if place.is_empty() { json!({"description": description}) } else { json!({"field": place, "description": description}) };
    let details = json!([{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}]);
    invalid(description).details(details)
}

fn snake(name: &str) -> String {
    let letters = name.chars().flat_map(|letter| {
        let underscore = letter.is_ascii_uppercase().then_some('_');
        underscore.into_iter().chain(std::iter::once(letter.to_ascii_lowercase()))
    });
    letters.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn both_spellings_are_taken_and_free_form_json_is_left_alone() {
        let request = json!({
            "system_instruction": {"parts": [{"text": "a"}]},
            "contents": [{"role": "model", "parts": [{"function_call": {"name": "f", "args": {"snake_case": 1}}, "thought_signature": "s"}]}],
        });
        let expected = json!({
            "systemInstruction": {"parts": [{"text": "a"}]},
            "contents": [{"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"snake_case": 1}}, "thoughtSignature": "s"}]}],
        });
        assert_eq!(normalised(&request, GENERATE).unwrap(), expected);
    }

    #[test]
    fn an_unknown_field_is_named_with_its_place() {
        for (request, said) in [
            (json!({"foo": 1}), "Invalid JSON payload received. Unknown name \"foo\": Cannot find field."),
            (
                json!({"generationConfig": {"max_tokens": 1}}),
                "Invalid JSON payload received. Unknown name \"max_tokens\" at 'generation_config': Cannot find field.",
            ),
            (
                json!({"tools": [{"functionDeclarations": [{"name": "f", "parameters": {"properties": {"a": {"$schema": "x"}}}}]}]}),
                "Invalid JSON payload received. Unknown name \"$schema\" at 'tools[0].function_declarations[0].parameters.properties.a': Cannot find field.",
            ),
        ] {
            assert_eq!(normalised(&request, GENERATE).unwrap_err().message, said);
        }
    }
}
