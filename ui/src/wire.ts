/**
 * The gateway's JSON, and what the page makes of it. Pure: no fetch, no clock.
 *
 * A field that the page cannot do without and that is missing is a failure `unreadable_answer`; any other is null.
 */
import { Failure } from "./failure";

export interface Provider {
  id: string;
  name: string;
  available: boolean;
  /** Why it is not available. */
  reason: string | null;
  simulated: boolean;
  pluginVersion: string | null;
  models: string[];
  defaultModel: string | null;
}

export interface Status {
  version: string;
  providers: Provider[];
}

export interface Answer {
  text: string;
  provider: string;
  modelVersion: string | null;
  inputTokens: number | null;
  outputTokens: number | null;
  totalTokens: number | null;
  timeMs: number | null;
  requestId: string | null;
  cached: boolean;
  simulated: boolean;
  retries: number | null;
  /** The model that was asked, if a fallback answered. */
  originalModel: string | null;
}

/** What one of several models gave; `asked` is how the request named it. */
export interface Result {
  asked: string;
  outcome: Answer | Failure;
}

export interface Comparison {
  results: Result[];
  timeMs: number | null;
  requestId: string | null;
}

type Fields = Record<string, unknown>;

export function readStatus(body: unknown): Status {
  const { version, providers } = fields(body);
  return {
    version: text(version) ?? "",
    providers: Object.entries(fields(providers)).map(([id, provider]) => readProvider(id, fields(provider))),
  };
}

function readProvider(id: string, from: Fields): Provider {
  return {
    id,
    name: text(from.name) ?? id,
    available: from.available === true,
    reason: text(from.reason),
    simulated: from.simulated === true,
    pluginVersion: text(from.plugin_version),
    models: Array.isArray(from.models) ? [...new Set(from.models.filter((model) => typeof model === "string"))] : [],
    defaultModel: text(from.default_model),
  };
}

export function readAnswer(body: unknown, simulated: boolean): Answer {
  const from = fields(body);
  if (typeof from.response !== "string") throw unreadable("the answer has no `response`");
  return {
    text: from.response,
    provider: text(from.model) ?? "unknown",
    modelVersion: text(from.model_version),
    inputTokens: count(from.input_tokens),
    outputTokens: count(from.output_tokens),
    totalTokens: count(from.total_tokens),
    timeMs: count(from.response_time_ms),
    requestId: text(from.request_id),
    cached: from.cached === true,
    simulated,
    retries: count(from.num_retries),
    originalModel: text(from.original_model),
  };
}

/** `isSimulated` is asked with the provider's id: the results do not tell it themselves. */
export function readComparison(body: unknown, asked: string[], isSimulated: (provider: string) => boolean): Comparison {
  const from = fields(body);
  const requestId = text(from.request_id);
  if (!Array.isArray(from.results) || from.results.length !== asked.length) throw unreadable("not every model that was asked has a result");
  const results = asked.map((name, at) => ({
    asked: name,
    outcome: readOutcome(fields((from.results as unknown[])[at]), requestId, isSimulated),
  }));
  return { results, timeMs: count(from.response_time_ms), requestId };
}

function readOutcome(from: Fields, requestId: string | null, isSimulated: (provider: string) => boolean): Answer | Failure {
  const withId = { ...from, request_id: text(from.request_id) ?? requestId };
  if (text(from.error) === null) return readAnswer(withId, isSimulated(text(from.model) ?? ""));
  return readFailure({ ...withId, code: from.error_type }, { status: null, retryAfterSeconds: null });
}

export interface FailureHead {
  status: number | null;
  retryAfterSeconds: number | null;
}

/** Reads an error body. A proxy in front of the gateway may answer with a page of its own: then the status must do. */
export function readFailure(body: unknown, head: FailureHead): Failure {
  const from = isFields(body) ? body : {};
  return new Failure({
    code: text(from.code) ?? (head.status === null ? "unknown" : `http_${head.status}`),
    message: text(from.error) ?? "The gateway gave no reason.",
    requestId: text(from.request_id),
    ...head,
  });
}

export function unreadable(what: string): Failure {
  const message = `The gateway's answer cannot be read: ${what}.`;
  return new Failure({ code: "unreadable_answer", message, requestId: null, status: null, retryAfterSeconds: null });
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function fields(value: unknown): Fields {
  if (!isFields(value)) throw unreadable("an object is missing");
  return value;
}

function text(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

function count(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
