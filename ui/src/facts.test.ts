import { describe, expect, it } from "vitest";
import { facts, summary } from "./facts";
import { readAnswer, readComparison, unreadable } from "./wire";

const body = {
  response: "Hello",
  model: "openai",
  model_version: "gpt-5.4",
  response_time_ms: 1234,
  cached: true,
  input_tokens: 1203,
  output_tokens: 0,
  num_retries: 2,
  request_id: "r1",
};

describe("facts", () => {
  it("tell all about an answer, and name what the gateway did not tell", () => {
    const shown = facts(readAnswer(body, true), []).map(({ term, value }) => `${term}: ${value}`);
    expect(shown).toEqual([
      "Provider: openai",
      "Model version: gpt-5.4",
      "Input tokens: 1,203",
      "Output tokens: 0",
      "Total tokens: not told",
      "Time: 1,234 ms",
      "Cached: yes",
      "Simulated: yes",
      "Retries: 2",
      "Request id: r1",
    ]);
  });

  it("name the original model only when a fallback answered", () => {
    const shown = facts(readAnswer({ ...body, original_model: "claude" }, false), []);
    expect(shown).toContainEqual({ term: "Original model", value: "claude" });
  });
});

describe("summary", () => {
  it("names who answered and how fast", () => {
    expect(summary({ state: "ready", value: { kind: "one", answer: readAnswer(body, false) } }, [])).toBe("openai answered in 1,234 ms.");
  });

  it("counts the models that answered", () => {
    const comparison = readComparison(
      { results: [body, { error: "no key", response: "" }], response_time_ms: 9 },
      ["openai", "claude"],
      () => false,
    );
    expect(summary({ state: "ready", value: { kind: "several", comparison } }, [])).toBe("1 of 2 models answered in 9 ms.");
  });

  it("says that there is no answer", () => {
    expect(summary({ state: "failed", failure: unreadable("it is not JSON") }, [])).toBe("No answer.");
  });
});
