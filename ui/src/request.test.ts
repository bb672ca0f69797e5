import { expect, it } from "vitest";
import { askOne, askSeveral } from "./request";
import type { Settings } from "./settings";

const usual: Settings = { mode: "one", model: "", compared: null, taskType: "", maxTokens: null };

function sent(request: object): unknown {
  return JSON.parse(JSON.stringify(request));
}

it("leaves the choice of the model and every option to the gateway by default", () => {
  expect(sent(askOne("Why?", usual))).toEqual({ query: "Why?" });
});

it("asks a provider for its default model", () => {
  expect(sent(askOne("Why?", { ...usual, model: "openai" }))).toEqual({ query: "Why?", model: "openai" });
});

it("splits a model's name at the first slash only", () => {
  expect(sent(askOne("Why?", { ...usual, model: "own/meta/llama" }))).toEqual({ query: "Why?", model: "own", model_version: "meta/llama" });
});

it("sends the options with one model and with several", () => {
  const settings: Settings = { ...usual, taskType: "other", maxTokens: 9 };
  expect(sent(askOne("Why?", settings))).toEqual({ query: "Why?", task_type: "other", max_tokens: 9 });
  expect(sent(askSeveral("Why?", settings, ["a", "b/c"]))).toEqual({
    query: "Why?",
    models: ["a", "b/c"],
    task_type: "other",
    max_tokens: 9,
  });
});
