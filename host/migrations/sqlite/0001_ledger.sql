-- Requests and attempts are in order of time by their ids (UUID version 7). Amounts are whole picodollars (1e-12 USD), times microseconds of Unix time.
CREATE TABLE requests (
    id BLOB PRIMARY KEY NOT NULL,
    request_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    route TEXT NOT NULL,
    tenant TEXT NOT NULL,
    key_id TEXT,
    stream INTEGER NOT NULL,
    status INTEGER NOT NULL,
    error_type TEXT,
    error TEXT,
    provider TEXT,
    model TEXT,
    asked_model TEXT,
    plugin_version TEXT,
    simulated INTEGER NOT NULL,
    input_tokens INTEGER,
    cache_read_tokens INTEGER,
    cache_write_tokens INTEGER,
    output_tokens INTEGER,
    reasoning_tokens INTEGER,
    tokens_estimated INTEGER NOT NULL,
    cost INTEGER,
    saved INTEGER,
    cache TEXT NOT NULL,
    latency_us INTEGER NOT NULL,
    upstream_us INTEGER NOT NULL,
    gateway_us INTEGER NOT NULL,
    finish_reason TEXT,
    attempts INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX requests_request_id ON requests (request_id);
CREATE INDEX requests_tenant ON requests (tenant, id);
CREATE INDEX requests_model ON requests (model, id);
-- A stream may break after a 200. With what its condition names, it can be counted off without a look at the rows.
CREATE INDEX requests_failed ON requests (id, status, error_type) WHERE status >= 400 OR error_type IS NOT NULL;

CREATE TABLE attempts (
    request BLOB NOT NULL,
    number INTEGER NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    plugin_version TEXT NOT NULL,
    simulated INTEGER NOT NULL,
    status INTEGER,
    error_type TEXT,
    error TEXT,
    reason TEXT NOT NULL,
    input_tokens INTEGER,
    cache_read_tokens INTEGER,
    cache_write_tokens INTEGER,
    output_tokens INTEGER,
    reasoning_tokens INTEGER,
    tokens_estimated INTEGER NOT NULL,
    cost INTEGER,
    duration_us INTEGER NOT NULL,
    upstream_us INTEGER NOT NULL,
    backoff_us INTEGER NOT NULL,
    provider_request_id TEXT,
    PRIMARY KEY (request, number)
) WITHOUT ROWID;

-- Prompts and answers, where the operator wants them kept.
CREATE TABLE contents (
    request BLOB PRIMARY KEY NOT NULL,
    prompt TEXT,
    answer TEXT
) WITHOUT ROWID;

-- Sums by the hour, kept with the rows: what is asked of many rows is read here. `hour`: hours of Unix time. Requests count where their last attempt was, tokens and cost where they arose;
-- '' stands for none.
CREATE TABLE usage_by_hour (
    hour INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    key_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    requests INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    cache_hits INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    input_tokens INTEGER NOT NULL DEFAULT 0,
    cache_read_tokens INTEGER NOT NULL DEFAULT 0,
    cache_write_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    reasoning_tokens INTEGER NOT NULL DEFAULT 0,
    estimated INTEGER NOT NULL DEFAULT 0,
    unpriced INTEGER NOT NULL DEFAULT 0,
    cost INTEGER NOT NULL DEFAULT 0,
    saved INTEGER NOT NULL DEFAULT 0,
    latency_us INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (hour, tenant, key_id, provider, model)
) WITHOUT ROWID;
CREATE INDEX usage_by_key ON usage_by_hour (key_id, hour);

-- The same by the day, in days of Unix time: what is asked by day is read here but for the hours at the ends of its time.
CREATE TABLE usage_by_day (
    day INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    key_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    requests INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    cache_hits INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    input_tokens INTEGER NOT NULL DEFAULT 0,
    cache_read_tokens INTEGER NOT NULL DEFAULT 0,
    cache_write_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    reasoning_tokens INTEGER NOT NULL DEFAULT 0,
    estimated INTEGER NOT NULL DEFAULT 0,
    unpriced INTEGER NOT NULL DEFAULT 0,
    cost INTEGER NOT NULL DEFAULT 0,
    saved INTEGER NOT NULL DEFAULT 0,
    latency_us INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (day, tenant, key_id, provider, model)
) WITHOUT ROWID;
-- What a key has spent is read here.
CREATE INDEX usage_of_key ON usage_by_day (key_id, day);
