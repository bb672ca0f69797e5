import { afterEach, describe, expect, it, vi } from "vitest";
import { fetchStatus, parallel, query } from "./api";
import type { Failure } from "./failure";
import { useGatewayKey } from "./key";
import type { Provider } from "./wire";

const signal = new AbortController().signal;
const body = { response: "Hello", model: "openai", model_version: "gpt-5.4" };

function gatewayAnswers(reply: unknown, init: ResponseInit = {}) {
  const text = typeof reply === "string" ? reply : JSON.stringify(reply);
  const fetched = vi.fn(async (..._: [string, RequestInit]) => new Response(text, init));
  vi.stubGlobal("fetch", fetched);
  return fetched;
}

async function failureOf(call: Promise<unknown>): Promise<Failure["details"]> {
  return call.then(
    () => expect.fail("the call did not fail"),
    (failure: Failure) => failure.details,
  );
}

afterEach(() => vi.unstubAllGlobals());

describe("query", () => {
  it("posts the question as JSON", async () => {
    const fetched = gatewayAnswers(body);
    await query({ query: "Hi", model: "openai" }, signal);
    const [path, init] = fetched.mock.calls[0] ?? [];
    expect([path, init?.method, init?.body]).toEqual(["/api/query", "POST", '{"query":"Hi","model":"openai"}']);
  });

  it.each([
    [" gw-abc ", "Bearer gw-abc"],
    ["", null],
  ])("with the gateway key %j sends the authorization %j", async (key, authorization) => {
    const fetched = gatewayAnswers(body);
    useGatewayKey(key);
    await query({ query: "Hi" }, signal);
    const headers = new Headers(fetched.mock.calls[0]?.[1].headers);
    expect([headers.get("authorization"), headers.get("content-type")]).toEqual([authorization, "application/json"]);
  });

  it.each([
    [{}, false],
    [{ "x-gateway-simulated": "true" }, true],
  ])("with the headers %j is simulated: %s", async (headers: Record<string, string>, simulated) => {
    gatewayAnswers(body, { headers });
    expect((await query({ query: "Hi" }, signal)).simulated).toBe(simulated);
  });

  it("fails with the gateway's code and its wait", async () => {
    gatewayAnswers({ error: "slow down", code: "rate_limited", request_id: "r1" }, { status: 429, headers: { "retry-after": "7" } });
    expect(await failureOf(query({ query: "Hi" }, signal))).toEqual({
      code: "rate_limited",
      message: "slow down",
      requestId: "r1",
      status: 429,
      retryAfterSeconds: 7,
    });
  });

  it("fails with the status when a proxy answers in HTML", async () => {
    gatewayAnswers("<h1>Bad gateway</h1>", { status: 502 });
    expect((await failureOf(query({ query: "Hi" }, signal))).code).toBe("http_502");
  });
});

it("a success that is not JSON is a failure", async () => {
  gatewayAnswers("<html>");
  expect((await failureOf(fetchStatus(signal))).code).toBe("unreadable_answer");
});

it("a gateway that is down is a failure", async () => {
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
  expect((await failureOf(fetchStatus(signal))).code).toBe("unreachable");
});

it("a comparison marks only the providers that are simulated, and believes the header about one it does not know", async () => {
  const real: Provider = {
    id: "claude",
    name: "Claude",
    available: true,
    reason: null,
    simulated: false,
    pluginVersion: null,
    models: [],
    defaultModel: null,
  };
  gatewayAnswers({ results: [{ ...body, model: "claude" }, body] }, { headers: { "x-gateway-simulated": "true" } });
  const { results } = await parallel({ query: "Hi", models: ["claude", "openai"] }, [real], signal);
  expect(results).toMatchObject([{ outcome: { simulated: false } }, { outcome: { simulated: true } }]);
});
