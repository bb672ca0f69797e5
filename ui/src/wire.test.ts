import { describe, expect, it } from "vitest";
import { Failure } from "./failure";
import { readAnswer, readComparison, readFailure, readStatus } from "./wire";

const answer = {
  response: " two\n lines ",
  model: "openai",
  model_version: "gpt-5.4",
  input_tokens: 3,
  output_tokens: 4,
  total_tokens: 7,
  request_id: "r1",
};

describe("readStatus", () => {
  it("reads each provider, in the gateway's order", () => {
    const providers = {
      mistral: {
        available: false,
        reason: "no API key",
        simulated: false,
        name: "Mistral",
        plugin_version: "0.1.0",
        models: ["m"],
        default_model: "m",
      },
      claude: { available: true },
    };
    const { version, providers: read } = readStatus({ version: "0.1.0", providers });
    expect(version).toBe("0.1.0");
    expect(read.map(({ id, name, available, reason }) => [id, name, available, reason])).toEqual([
      ["mistral", "Mistral", false, "no API key"],
      ["claude", "claude", true, null],
    ]);
  });

  it("drops a model that is listed twice", () => {
    expect(readStatus({ providers: { openai: { models: ["a", "b", "a"] } } }).providers[0]?.models).toEqual(["a", "b"]);
  });

  it("refuses a body without providers", () => {
    expect(() => readStatus({ status: "ok" })).toThrow(Failure);
  });
});

describe("readAnswer", () => {
  it("keeps the text's whitespace", () => {
    expect(readAnswer(answer, false).text).toBe(" two\n lines ");
  });

  it("takes a missing count for unknown, not for zero", () => {
    expect(readAnswer({ ...answer, input_tokens: undefined, output_tokens: 0 }, false)).toMatchObject({
      inputTokens: null,
      outputTokens: 0,
    });
  });

  it("accepts an empty text, but not a missing one", () => {
    expect(readAnswer({ ...answer, response: "" }, false).text).toBe("");
    expect(() => readAnswer({ ...answer, response: undefined }, false)).toThrow("cannot be read");
  });
});

describe("readComparison", () => {
  const failed = { model: "mistral", response: "", error: "no API key", error_type: "authentication" };

  it("gives each model that was asked its answer or its failure", () => {
    const { results } = readComparison({ request_id: "r0", results: [answer, failed] }, ["openai", "mistral"], (id) => id === "openai");
    expect(results[0]).toMatchObject({ asked: "openai", outcome: { text: " two\n lines ", simulated: true, requestId: "r1" } });
    expect(results[1]?.outcome).toBeInstanceOf(Failure);
    expect(results[1]?.outcome).toMatchObject({ details: { code: "authentication", message: "no API key", requestId: "r0" } });
  });

  it("refuses results that do not match what was asked", () => {
    expect(() => readComparison({ results: [answer] }, ["openai", "mistral"], () => false)).toThrow("not every model");
  });
});

describe("readFailure", () => {
  const head = { status: 502, retryAfterSeconds: null };

  it("keeps the gateway's words, code and request id", () => {
    const { details } = readFailure({ error: "too long", code: "context_length", request_id: "r2" }, head);
    expect(details).toEqual({ message: "too long", code: "context_length", requestId: "r2", ...head });
  });

  it.each([undefined, null, [], "<h1>Bad gateway</h1>"])("names the status when the body is %j", (body) => {
    expect(readFailure(body, head).details.code).toBe("http_502");
  });
});
