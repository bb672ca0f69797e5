import { describe, expect, it } from "vitest";
import { defaultComparison, modelGroups, modelTitle } from "./models";
import type { Provider } from "./wire";

const openai: Provider = {
  id: "openai",
  name: "OpenAI",
  available: true,
  reason: null,
  simulated: true,
  pluginVersion: "0.1.0",
  models: ["gpt-5.4"],
  defaultModel: "gpt-5.4",
};
const mistral: Provider = { ...openai, id: "mistral", name: "Mistral", available: false, models: [], defaultModel: null };

describe("modelGroups", () => {
  it("offers each provider's default and its models, and says which provider is not real or not there", () => {
    expect(modelGroups([openai, mistral], [])).toEqual([
      {
        label: "OpenAI (simulated)",
        choices: [
          { model: "openai", label: "OpenAI default (gpt-5.4)" },
          { model: "openai/gpt-5.4", label: "gpt-5.4" },
        ],
      },
      { label: "Mistral (unavailable)", choices: [{ model: "mistral", label: "Mistral default" }] },
    ]);
  });

  it("keeps a chosen model that the gateway does not list", () => {
    expect(modelGroups([openai], ["", "openai/gpt-5.4", "openai/old"])[1]).toEqual({
      label: "Not in the list",
      choices: [{ model: "openai/old", label: "openai/old" }],
    });
  });
});

it("compares the available providers until the reader chooses", () => {
  expect(defaultComparison([openai, mistral])).toEqual(["openai"]);
});

it.each([
  ["openai", "OpenAI"],
  ["openai/gpt-5.4", "OpenAI / gpt-5.4"],
  ["own/meta/llama", "own / meta/llama"],
])("titles %s as %s", (model, title) => {
  expect(modelTitle(model, [openai])).toBe(title);
});
