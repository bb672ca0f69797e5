/** The facts shown below an answer, in their order, and the one line that tells how a fetch went. */
import type { Fetch } from "./fetching.svelte";
import { providerName } from "./models";
import type { Answer, Comparison, Provider } from "./wire";
import { Failure } from "./failure";

export interface Fact {
  term: string;
  value: string;
}

export type Shown = { kind: "one"; answer: Answer } | { kind: "several"; comparison: Comparison };

const NUMBER = new Intl.NumberFormat("en");

export function facts(answer: Answer, providers: Provider[]): Fact[] {
  const all: Fact[] = [
    { term: "Provider", value: providerName(answer.provider, providers) },
    { term: "Model version", value: answer.modelVersion ?? "not told" },
    { term: "Input tokens", value: number(answer.inputTokens) },
    { term: "Output tokens", value: number(answer.outputTokens) },
    { term: "Total tokens", value: number(answer.totalTokens) },
    { term: "Time", value: milliseconds(answer.timeMs) },
    { term: "Cached", value: answer.cached ? "yes" : "no" },
    { term: "Simulated", value: answer.simulated ? "yes" : "no" },
    { term: "Retries", value: number(answer.retries) },
  ];
  if (answer.originalModel) all.push({ term: "Original model", value: answer.originalModel });
  all.push({ term: "Request id", value: answer.requestId ?? "not told" });
  return all;
}

export function summary(fetch: Fetch<Shown>, providers: Provider[]): string {
  switch (fetch.state) {
    case "idle":
      return "";
    case "loading":
      return "Waiting for the answer…";
    case "failed":
      return "No answer.";
    case "ready":
      return fetch.value.kind === "one" ? summaryOfOne(fetch.value.answer, providers) : summaryOfSeveral(fetch.value.comparison);
  }
}

function summaryOfOne(answer: Answer, providers: Provider[]): string {
  const time = answer.timeMs === null ? "" : ` in ${milliseconds(answer.timeMs)}`;
  return `${providerName(answer.provider, providers)} answered${time}.`;
}

function summaryOfSeveral({ results, timeMs }: Comparison): string {
  const answered = results.filter(({ outcome }) => !(outcome instanceof Failure)).length;
  const time = timeMs === null ? "" : ` in ${milliseconds(timeMs)}`;
  return `${answered} of ${results.length} models answered${time}.`;
}

function milliseconds(value: number | null): string {
  return value === null ? "not told" : `${NUMBER.format(value)} ms`;
}

function number(value: number | null): string {
  return value === null ? "not told" : NUMBER.format(value);
}
