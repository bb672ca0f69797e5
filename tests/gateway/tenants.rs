//! Whatever tenants ask in whatever order: none is given what another one paid for, sees its rows, or pays from its budget.

use crate::support::{Gateway, Key, Setup, Simulator, header};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json as object};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

const TENANTS: usize = 3;
const PROMPTS: usize = 2;
const STEPS: usize = 24;
const SEQUENCES: u32 = 16;
const BUDGET: f64 = 1.0;

#[derive(Debug, Clone, Copy)]
enum Step {
    Ask {
        tenant: usize,
        prompt: usize,
        wire: Wire,
    },
    /// Takes the tenant's key away and gives it another.
    Replace {
        tenant: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wire {
    Chat,
    ChatStream,
    Messages,
    MessagesStream,
    Query,
}

fn step() -> impl Strategy<Value = Step> {
    let wire = prop_oneof![Just(Wire::Chat), Just(Wire::ChatStream), Just(Wire::Messages), Just(Wire::MessagesStream), Just(Wire::Query)];
    prop_oneof![
        12 => (0..TENANTS, 0..PROMPTS, wire).prop_map(|(tenant, prompt, wire)| Step::Ask { tenant, prompt, wire }),
        1 => (0..TENANTS).prop_map(|tenant| Step::Replace { tenant }),
    ]
}

/// A tenant with its key, and what is expected of it.
struct Tenant {
    name: String,
    key: Key,
    /// Of all of its keys.
    spent: f64,
    spent_by_key: f64,
    /// What it has paid for.
    paid: BTreeSet<(usize, Wire)>,
    requests: BTreeSet<String>,
    requests_by_key: BTreeMap<String, BTreeSet<String>>,
}

impl Tenant {
    async fn new(gateway: &Gateway, name: String) -> Self {
        let key = new_key(gateway, &name).await;
        Self {
            name,
            key,
            spent: 0.0,
            spent_by_key: 0.0,
            paid: BTreeSet::new(),
            requests: BTreeSet::new(),
            requests_by_key: BTreeMap::new(),
        }
    }

    async fn ask(&mut self, gateway: &Gateway, prompt: usize, wire: Wire, words: &str) {
        let stream = matches!(wire, Wire::ChatStream | Wire::MessagesStream);
        let messages = object!([{"role": "user", "content": words}]);
        let model = "openai/gpt-4.1";
        let chat = object!({"model": model, "messages": messages, "temperature": 0, "max_tokens": 500, "stream": stream});
        let (path, body) = match wire {
            Wire::Chat | Wire::ChatStream => ("/v1/chat/completions", chat),
            Wire::Messages | Wire::MessagesStream => ("/v1/messages", chat),
            Wire::Query => ("/v1/gateway/query", object!({"model": model, "query": words, "max_tokens": 500})),
        };
        let response = gateway.post(path).bearer_auth(&self.key.secret).json(&body).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let cache = header(&response, "x-gateway-cache").unwrap();
        let id = header(&response, "x-request-id").unwrap();
        let left = header(&response, "x-gateway-budget-remaining-usd").map(|left| left.parse::<f64>().unwrap());
        let text = response.text().await.unwrap();
        let row = gateway.row(&id).await;
        let cost = row["cost_usd"].as_f64().unwrap();
        assert_eq!((&row["tenant"], &row["key_id"]), (&object!(self.name), &object!(self.key.id)));
        if cache == "hit" {
            assert!(
                !self.paid.is_empty() && self.paid.iter().any(|(paid, _)| *paid == prompt),
                "{} never paid for this: {text}",
                self.name
            );
            assert_eq!(cost, 0.0);
        } else {
            assert!(!self.paid.contains(&(prompt, wire)), "{} has paid for this already", self.name);
            assert!(cost > 0.0);
        }
        // What a request of its own sets aside may or may not be given back when its headers are written; nothing of others is in it.
        let before = BUDGET - self.spent_by_key;
        match left {
            Some(left) => assert!(left <= before + 1e-12 && left >= before - 0.1 - 1e-12, "{left} is left of {before}"),
            None => assert!(cache == "hit" && self.spent_by_key == 0.0, "it is told of each key that has paid for something"),
        }
        self.paid.insert((prompt, wire));
        self.spent += cost;
        self.spent_by_key += cost;
        self.requests.insert(id.clone());
        self.requests_by_key.entry(self.key.id.clone()).or_default().insert(id);
    }

    async fn replace_key(&mut self, gateway: &Gateway) {
        let old = std::mem::replace(&mut self.key, new_key(gateway, &self.name).await);
        self.spent_by_key = 0.0;
        let revoked = gateway.client.delete(format!("{}/admin/keys/{}", gateway.url, old.id)).send().await.unwrap();
        assert!(revoked.status().is_success());
        let refused = gateway.post("/v1/gateway/query").bearer_auth(&old.secret).json(&object!({"model": "openai", "query": "Hello"}));
        assert_eq!(refused.send().await.unwrap().status(), 401);
    }

    /// The books show all of its own and nothing else.
    async fn check_books(&self, gateway: &Gateway) {
        let ids = |rows: &[Value]| rows.iter().map(|row| row["request_id"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>();
        let rows = gateway.rows(&format!("tenant={}", self.name)).await;
        assert_eq!((rows.len(), ids(&rows)), (self.requests.len(), self.requests.clone()), "{}", self.name);
        for (key, requests) in &self.requests_by_key {
            assert_eq!(&ids(&gateway.rows(&format!("key_id={key}")).await), requests, "{}", self.name);
        }
        let usage = gateway.usage(&format!("tenant={}", self.name)).await;
        let spent = usage["cost_usd"].as_f64().unwrap();
        assert!((spent - self.spent).abs() < 1e-12, "{}: {spent} is not {}", self.name, self.spent);
    }
}

async fn new_key(gateway: &Gateway, tenant: &str) -> Key {
    gateway.key(object!({"tenant": tenant, "budget_usd": BUDGET})).await
}

#[test]
fn no_sequence_of_requests_lets_one_tenant_meet_another() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let simulator = Simulator::start();
    let gateway = Setup::simulated(&simulator).env("CACHE_ENABLED", "true").start();
    // Names and words of its own for each sequence, so that one gateway does for all.
    let sequence = AtomicUsize::new(0);
    let mut runner = TestRunner::new(Config { cases: SEQUENCES, failure_persistence: None, max_shrink_iters: 64, ..Config::default() });
    let run = |steps: Vec<Step>| {
        let sequence = sequence.fetch_add(1, Ordering::Relaxed);
        runtime.block_on(async {
            let mut tenants = Vec::new();
            for tenant in 0..TENANTS {
                tenants.push(Tenant::new(&gateway, format!("tenant-{sequence}-{tenant}")).await);
            }
            for step in steps {
                match step {
                    Step::Ask { tenant, prompt, wire } => {
                        tenants[tenant].ask(&gateway, prompt, wire, &format!("Say {sequence} and {prompt}")).await;
                    }
                    Step::Replace { tenant } => tenants[tenant].replace_key(&gateway).await,
                }
            }
            for tenant in &tenants {
                tenant.check_books(&gateway).await;
            }
        });
        Ok(())
    };
    runner.run(&prop::collection::vec(step(), STEPS), run).unwrap();
}
