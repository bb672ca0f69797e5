import { expect, it } from "vitest";
import { formatSettings, parseSettings, type Settings } from "./settings";

const usual: Settings = { mode: "one", model: "", compared: null, taskType: "", maxTokens: null };

it("leaves no trace of the defaults in the address", () => {
  expect(formatSettings(usual)).toBe("");
});

it.each<Partial<Settings>>([
  {},
  { model: "claude/claude-sonnet-5-5", taskType: "summarization", maxTokens: 500 },
  { mode: "compare", compared: ["openai", "mistral/a b&c=d"] },
  { mode: "compare", compared: [] },
])("brings %j back from the address", (part) => {
  const settings = { ...usual, ...part };
  expect(parseSettings(`?${formatSettings(settings)}`)).toEqual(settings);
});

it.each(["max_tokens=-1", "max_tokens=1.5", "max_tokens=many", "max_tokens=1e99", "task=constructor", "mode=both"])(
  "ignores %s",
  (search) => {
    expect(parseSettings(search)).toEqual(usual);
  },
);

it("takes a model that is named twice once", () => {
  expect(parseSettings("compare=openai&compare=openai").compared).toEqual(["openai"]);
});
