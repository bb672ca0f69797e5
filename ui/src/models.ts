/** The models one can choose, from the state of the providers. A model is named `provider`, its default, or `provider/model`. */
import type { Provider } from "./wire";

export interface Choice {
  model: string;
  label: string;
}

export interface Group {
  label: string;
  choices: Choice[];
}

/** A provider that is down stays in the list: its state may be old, and the gateway's refusal says more than a missing line. */
export function modelGroups(providers: Provider[], chosen: string[]): Group[] {
  const groups = providers.map((provider) => ({ label: groupLabel(provider), choices: choicesOf(provider) }));
  const listed = new Set(groups.flatMap((group) => group.choices.map((choice) => choice.model)));
  const unlisted = chosen.filter((model) => model !== "" && !listed.has(model));
  if (unlisted.length > 0) groups.push({ label: "Not in the list", choices: unlisted.map((model) => ({ model, label: model })) });
  return groups;
}

function groupLabel({ name, available, simulated }: Provider): string {
  if (!available) return `${name} (unavailable)`;
  return simulated ? `${name} (simulated)` : name;
}

function choicesOf({ id, name, models, defaultModel }: Provider): Choice[] {
  const usual = { model: id, label: defaultModel ? `${name} default (${defaultModel})` : `${name} default` };
  return [usual, ...models.map((model) => ({ model: `${id}/${model}`, label: model }))];
}

/** What is compared until the reader chooses. */
export function defaultComparison(providers: Provider[]): string[] {
  return providers.filter((provider) => provider.available).map((provider) => provider.id);
}

/** A model's name for a heading: `OpenAI`, `OpenAI / gpt-5.4`. */
export function modelTitle(model: string, providers: Provider[]): string {
  const [id = model, ...version] = model.split("/");
  return [providerName(id, providers), version.join("/")].filter((part) => part !== "").join(" / ");
}

export function providerName(id: string, providers: Provider[]): string {
  return providers.find((provider) => provider.id === id)?.name ?? id;
}
