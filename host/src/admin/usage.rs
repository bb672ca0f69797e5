//! What was used, summed up for operators.

use super::csv;
use super::parameters::{Parameters, accepts_csv};
use super::requests::{Field, answer, time};
use crate::database::Database;
use crate::domain::CallContext;
use crate::edge::{ApiError, BadRequest};
use crate::ledger::HOUR_US;
use crate::ledger::read::{self, Group, Sums, Usage, UsageFilter, UsageRow};
use crate::state::App;
use axum::Json;
use axum::extract::{Extension, RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use std::sync::Arc;

const GROUPS: [(&str, Group); 6] = [
    ("day", Group::Day),
    ("hour", Group::Hour),
    ("tenant", Group::Tenant),
    ("key_id", Group::Key),
    ("provider", Group::Provider),
    ("model", Group::Model),
];
const SUMS: [Field<Sums>; 15] = [
    ("requests", |sums| json!(sums.requests)),
    ("failed", |sums| json!(sums.failed)),
    ("cache_hits", |sums| json!(sums.cache_hits)),
    ("attempts", |sums| json!(sums.attempts)),
    ("input_tokens", |sums| json!(sums.input_tokens)),
    ("cache_read_tokens", |sums| json!(sums.cache_read_tokens)),
    ("cache_write_tokens", |sums| json!(sums.cache_write_tokens)),
    ("output_tokens", |sums| json!(sums.output_tokens)),
    ("reasoning_tokens", |sums| json!(sums.reasoning_tokens)),
    ("total_tokens", |sums| json!(sums.input_tokens.saturating_add(sums.output_tokens))),
    ("cost_usd", |sums| json!(sums.cost())),
    ("saved_usd", |sums| json!(sums.saved())),
    ("unpriced", |sums| json!(sums.unpriced)),
    ("estimated", |sums| json!(sums.estimated)),
    ("average_latency_ms", |sums| json!(sums.average_latency_us().map(|average| average.round() / 1e3))),
];

/// `{"usage": […], "totals": {…}, "truncated": …}`, or CSV without the totals. Sums are kept by the hour: `from` and `to` are widened to whole ones.
pub(super) async fn usage(
    State(app): State<Arc<App>>,
    Extension(context): Extension<CallContext>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    app.ledger.flushed().await;
    answer(&context, summed(&app.database, query.as_deref(), accepts_csv(&headers)).await)
}

async fn summed(database: &Database, query: Option<&str>, csv_accepted: bool) -> Result<Response, ApiError> {
    let mut parameters = Parameters::of(query, &["group_by", "from", "to", "tenant", "key_id", "provider", "model", "format"])?;
    let groups = groups(&mut parameters)?;
    let as_csv = parameters.word("format", &[("json", false), ("csv", true)])?.unwrap_or(csv_accepted);
    let filter = UsageFilter {
        from: parameters.time("from")?.map(|from| from.div_euclid(HOUR_US)),
        to: parameters.time("to")?.map(|to| -(-to).div_euclid(HOUR_US)),
        tenant: parameters.text("tenant"),
        key_id: parameters.text("key_id"),
        provider: parameters.text("provider"),
        model: parameters.text("model"),
    };
    let found = read::usage(database, &filter, &groups).await?;
    if as_csv {
        return Ok(([(header::CONTENT_TYPE, csv::CONTENT_TYPE)], table(&found, &groups)).into_response());
    }
    let hour = |hour: Option<i64>| hour.map_or(Value::Null, |hour| time(hour.saturating_mul(HOUR_US)));
    let usage: Vec<_> = found.rows.iter().map(|row| fields(row, &groups)).collect();
    let totals: Map<String, Value> = sums(&found.totals).collect();
    let answer = json!({
        "usage": usage, "totals": totals, "truncated": found.truncated, "from": hour(filter.from), "to": hour(filter.to),
    });
    Ok(Json(answer).into_response())
}

/// Each once, in the order in which they are asked for.
fn groups(parameters: &mut Parameters) -> Result<Vec<Group>, BadRequest> {
    let known: Vec<&str> = GROUPS.iter().map(|(name, _)| *name).collect();
    let must = format!("must be one or more of {}, with commas between", known.join(", "));
    let groups = parameters.parse("group_by", &must, |text| {
        let mut groups = Vec::new();
        for word in text.split(',') {
            let (_, group) = GROUPS.iter().find(|(name, _)| *name == word.trim())?;
            if !groups.contains(group) {
                groups.push(*group);
            }
        }
        Some(groups)
    })?;
    Ok(groups.unwrap_or_else(|| vec![Group::Day]))
}

fn table(usage: &Usage, groups: &[Group]) -> String {
    let names = groups.iter().map(|group| name(*group)).chain(SUMS.iter().map(|(name, _)| *name));
    let rows = usage.rows.iter().map(|row| csv::record(&fields(row, groups)));
    std::iter::once(csv::header(&names.collect::<Vec<_>>())).chain(rows).collect()
}

fn fields(row: &UsageRow, groups: &[Group]) -> Map<String, Value> {
    let by_hour = groups.contains(&Group::Hour);
    let named = |name: &Option<String>| json!(name.as_deref().filter(|name| !name.is_empty()));
    let of_group = |group: &Group| {
        let value = match group {
            Group::Day => day(row.time, by_hour),
            Group::Hour => row.time.map_or(Value::Null, |hour| time(hour.saturating_mul(HOUR_US))),
            Group::Tenant => named(&row.tenant),
            Group::Key => named(&row.key_id),
            Group::Provider => named(&row.provider),
            Group::Model => named(&row.model),
        };
        (name(*group).to_owned(), value)
    };
    groups.iter().map(of_group).chain(sums(&row.sums)).collect()
}

fn name(group: Group) -> &'static str {
    GROUPS.iter().find(|(_, other)| *other == group).map_or("", |(name, _)| name)
}

fn sums(sums: &Sums) -> impl Iterator<Item = (String, Value)> {
    SUMS.iter().map(|(name, value)| ((*name).to_owned(), value(sums)))
}

/// `2026-11-25`: with this a time begins.
fn day(at: Option<i64>, by_hour: bool) -> Value {
    let hours = at.map(|at| if by_hour { at } else { at.saturating_mul(24) });
    let at = hours.map_or(Value::Null, |hours| time(hours.saturating_mul(HOUR_US)));
    json!(at.as_str().and_then(|at| at.get(..10)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ledger::read::RequestRecord;
    use crate::ledger::read::fixture::{self, Fixture, START};
    use http_body_util::BodyExt;

    async fn asked(fixture: &Fixture, query: &str) -> String {
        let response = summed(&fixture.database, Some(query), false).await.unwrap();
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().into()).unwrap()
    }

    async fn filled() -> Fixture {
        let fixture = Fixture::sqlite().await;
        let row = RequestRecord { cost: Some(500_000_000_000), latency_us: 1_500, provider: None, ..fixture::rows(1).remove(0) };
        let rows = [0, 1, 25].map(|hour| fixture::at(row.clone(), START + hour * HOUR_US + 5, hour.unsigned_abs()));
        fixture::insert(&fixture.database, &rows).await;
        fixture
    }

    #[tokio::test]
    async fn usage_is_told_by_day_unless_asked_otherwise() {
        let fixture = filled().await;
        let answer: Value = serde_json::from_str(&asked(&fixture, "").await).unwrap();
        let told = |row: &Value| json!([row["day"], row["requests"], row["cost_usd"], row["average_latency_ms"]]);
        let days: Vec<Value> = answer["usage"].as_array().unwrap().iter().map(told).collect();
        assert_eq!(json!(days), json!([["2026-11-03", 1, 0.5, 1.5], ["2026-11-02", 2, 1.0, 1.5]]));
        assert_eq!((&answer["totals"]["cost_usd"], &answer["truncated"]), (&json!(1.5), &json!(false)));
        let answer: Value = serde_json::from_str(&asked(&fixture, "group_by=provider,hour").await).unwrap();
        let first = &answer["usage"][0];
        assert_eq!((&first["provider"], &first["hour"]), (&Value::Null, &json!("2026-11-03T01:00:00Z")));
    }

    #[tokio::test]
    async fn a_time_is_widened_to_whole_hours() {
        let fixture = filled().await;
        let answer: Value = serde_json::from_str(&asked(&fixture, "from=2026-11-02T01:59:00Z&to=2026-11-03T01:00:01Z").await).unwrap();
        assert_eq!(
            (&answer["from"], &answer["to"], &answer["totals"]["requests"]),
            (&json!("2026-11-02T01:00:00Z"), &json!("2026-11-03T02:00:00Z"), &json!(2))
        );
    }

    #[tokio::test]
    async fn usage_is_a_table_too() {
        let text = asked(&filled().await, "format=csv&group_by=provider").await;
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        assert!(lines[0].starts_with("provider,requests,failed,") && lines[1].starts_with(",3,"), "{text}");
        assert_eq!(lines.len(), 2);
    }

    #[tokio::test]
    async fn an_unknown_group_is_named() {
        let fixture = Fixture::sqlite().await;
        let error = summed(&fixture.database, Some("group_by=day,week"), false).await.unwrap_err();
        assert_eq!(error.message, "`group_by` must be one or more of day, hour, tenant, key_id, provider, model, with commas between");
    }
}
