import { render } from "svelte/server";
import { describe, expect, it } from "vitest";
import AnswerCard from "./AnswerCard.svelte";
import FailureNote from "./FailureNote.svelte";
import ProviderList from "./ProviderList.svelte";
import { readAnswer, readFailure, readStatus } from "./wire";

describe("an answer", () => {
  it("is text, whatever markup the model wrote", () => {
    const { body } = render(AnswerCard, { props: { answer: readAnswer({ response: "<img src=x>\n  two" }, false), providers: [] } });
    expect(body).toContain("&lt;img src=x>\n  two");
  });

  it.each([
    [true, "Simulated: no model was asked"],
    [false, "The model answered with no text"],
  ])("with simulated %s and no text says: %s", (simulated, note) => {
    const { body } = render(AnswerCard, { props: { answer: readAnswer({ response: "" }, simulated), providers: [] } });
    expect(body).toContain(note);
    expect(body.includes("no model was asked")).toBe(simulated);
  });
});

it("a failure shows its words, what to do, its code and the request id", () => {
  const failure = readFailure({ error: "slow down", code: "rate_limited", request_id: "r1" }, { status: 429, retryAfterSeconds: 7 });
  const { body } = render(FailureNote, { props: { failure } });
  for (const part of ["slow down", "Wait 7 s", "rate_limited", "r1"]) expect(body).toContain(part);
});

it("a provider that is down shows why, and its plugin's version", () => {
  const providers = { mistral: { name: "Mistral", available: false, reason: "no API key", plugin_version: "0.1.0" } };
  const value = readStatus({ version: "0.1.0", providers });
  const { body } = render(ProviderList, { props: { status: { state: "ready", value }, onrefresh: () => {} } });
  for (const part of ["Mistral", "unavailable", "no API key", "plugin 0.1.0"]) expect(body).toContain(part);
});
