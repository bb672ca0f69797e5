-- Requests and attempts are in order of time by their ids (UUID version 7). Amounts are whole picodollars (1e-12 USD), times microseconds of Unix time.
CREATE TABLE requests (
    id UUID PRIMARY KEY NOT NULL,
    request_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    route TEXT NOT NULL,
    tenant TEXT NOT NULL,
    key_id TEXT,
    stream BOOLEAN NOT NULL,
    status INTEGER NOT NULL,
    error_type TEXT,
    error TEXT,
    provider TEXT,
    model TEXT,
    asked_model TEXT,
    plugin_version TEXT,
    simulated BOOLEAN NOT NULL,
    input_tokens BIGINT,
    cache_read_tokens BIGINT,
    cache_write_tokens BIGINT,
    output_tokens BIGINT,
    reasoning_tokens BIGINT,
    tokens_estimated BOOLEAN NOT NULL,
    cost BIGINT,
    saved BIGINT,
    cache TEXT NOT NULL,
    latency_us BIGINT NOT NULL,
    upstream_us BIGINT NOT NULL,
    gateway_us BIGINT NOT NULL,
    finish_reason TEXT,
    attempts INTEGER NOT NULL
);

CREATE INDEX requests_request_id ON requests (request_id);
CREATE INDEX requests_tenant ON requests (tenant, id);
CREATE INDEX requests_model ON requests (model, id);
-- A stream may break after a 200. With what its condition names, it can be counted off without a look at the rows.
CREATE INDEX requests_failed ON requests (id, status, error_type) WHERE status >= 400 OR error_type IS NOT NULL;

CREATE TABLE attempts (
    request UUID NOT NULL,
    number INTEGER NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    plugin_version TEXT NOT NULL,
    simulated BOOLEAN NOT NULL,
    status INTEGER,
    error_type TEXT,
    error TEXT,
    reason TEXT NOT NULL,
    input_tokens BIGINT,
    cache_read_tokens BIGINT,
    cache_write_tokens BIGINT,
    output_tokens BIGINT,
    reasoning_tokens BIGINT,
    tokens_estimated BOOLEAN NOT NULL,
    cost BIGINT,
    duration_us BIGINT NOT NULL,
    upstream_us BIGINT NOT NULL,
    backoff_us BIGINT NOT NULL,
    provider_request_id TEXT,
    PRIMARY KEY (request, number)
);

-- Prompts and answers, where the operator wants them kept.
CREATE TABLE contents (
    request UUID PRIMARY KEY NOT NULL,
    prompt TEXT,
    answer TEXT
);

-- Sums by the hour, kept with the rows: what is asked of many rows is read here. `hour`: hours of Unix time. Requests count where their last attempt was, tokens and cost where they arose;
-- '' stands for none.
CREATE TABLE usage_by_hour (
    hour BIGINT NOT NULL,
    tenant TEXT NOT NULL,
    key_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    requests BIGINT NOT NULL DEFAULT 0,
    failed BIGINT NOT NULL DEFAULT 0,
    cache_hits BIGINT NOT NULL DEFAULT 0,
    attempts BIGINT NOT NULL DEFAULT 0,
    input_tokens BIGINT NOT NULL DEFAULT 0,
    cache_read_tokens BIGINT NOT NULL DEFAULT 0,
    cache_write_tokens BIGINT NOT NULL DEFAULT 0,
    output_tokens BIGINT NOT NULL DEFAULT 0,
    reasoning_tokens BIGINT NOT NULL DEFAULT 0,
    estimated BIGINT NOT NULL DEFAULT 0,
    unpriced BIGINT NOT NULL DEFAULT 0,
    cost BIGINT NOT NULL DEFAULT 0,
    saved BIGINT NOT NULL DEFAULT 0,
    latency_us BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (hour, tenant, key_id, provider, model)
);
CREATE INDEX usage_by_key ON usage_by_hour (key_id, hour);

-- The same by the day, in days of Unix time: what is asked by day is read here but for the hours at the ends of its time.
CREATE TABLE usage_by_day (
    day BIGINT NOT NULL,
    tenant TEXT NOT NULL,
    key_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    requests BIGINT NOT NULL DEFAULT 0,
    failed BIGINT NOT NULL DEFAULT 0,
    cache_hits BIGINT NOT NULL DEFAULT 0,
    attempts BIGINT NOT NULL DEFAULT 0,
    input_tokens BIGINT NOT NULL DEFAULT 0,
    cache_read_tokens BIGINT NOT NULL DEFAULT 0,
    cache_write_tokens BIGINT NOT NULL DEFAULT 0,
    output_tokens BIGINT NOT NULL DEFAULT 0,
    reasoning_tokens BIGINT NOT NULL DEFAULT 0,
    estimated BIGINT NOT NULL DEFAULT 0,
    unpriced BIGINT NOT NULL DEFAULT 0,
    cost BIGINT NOT NULL DEFAULT 0,
    saved BIGINT NOT NULL DEFAULT 0,
    latency_us BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (day, tenant, key_id, provider, model)
);
-- What a key has spent is read here.
CREATE INDEX usage_of_key ON usage_by_day (key_id, day);
