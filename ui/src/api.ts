/** The gateway's routes that the page calls. Every way in which a call can fail becomes a `Failure`. */
import { Failure, retryAfterSeconds } from "./failure";
import { gatewayKey } from "./key";
import type { OneModel, SeveralModels } from "./request";
import {
  readAnswer,
  readComparison,
  readFailure,
  readStatus,
  unreadable,
  type Answer,
  type Comparison,
  type Provider,
  type Status,
} from "./wire";

const SIMULATED = "x-gateway-simulated";

interface Reply {
  headers: Headers;
  body: unknown;
}

export async function fetchStatus(signal: AbortSignal): Promise<Status> {
  return readStatus((await call("/api/status", { signal })).body);
}

export async function query(request: OneModel, signal: AbortSignal): Promise<Answer> {
  const { headers, body } = await call("/api/query", post(request, signal));
  return readAnswer(body, headers.get(SIMULATED) === "true");
}

/** One header speaks for all results, so `providers` say which of them are simulated; the header decides for one that is not listed. */
export async function parallel(request: SeveralModels, providers: Provider[], signal: AbortSignal): Promise<Comparison> {
  const { headers, body } = await call("/api/parallel", post(request, signal));
  const anySimulated = headers.get(SIMULATED) === "true";
  return readComparison(body, request.models, (id) => providers.find((provider) => provider.id === id)?.simulated ?? anySimulated);
}

function post(body: unknown, signal: AbortSignal): RequestInit {
  return { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal };
}

async function call(path: string, init: RequestInit): Promise<Reply> {
  const response = await reach(path, init);
  const body = await json(response);
  if (response.ok && body === undefined) throw unreadable("it is not JSON");
  if (response.ok) return { headers: response.headers, body };
  const wait = retryAfterSeconds(response.headers.get("retry-after"), new Date());
  throw readFailure(body, { status: response.status, retryAfterSeconds: wait });
}

async function reach(path: string, init: RequestInit): Promise<Response> {
  const headers = new Headers(init.headers);
  if (gatewayKey()) headers.set("authorization", `Bearer ${gatewayKey()}`);
  try {
    return await fetch(path, { ...init, headers });
  } catch {
    throw unreachable();
  }
}

/** `undefined` for a body that is not JSON; a connection that breaks within the body is a failure. */
async function json(response: Response): Promise<unknown> {
  const text = await response.text().catch(() => {
    throw unreachable();
  });
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function unreachable(): Failure {
  const message = "The gateway could not be reached.";
  return new Failure({ code: "unreachable", message, requestId: null, status: null, retryAfterSeconds: null });
}
