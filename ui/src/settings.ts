/**
 * The form's settings and how they are written into the page's address, so that a link or a reload brings them back.
 *
 * The question itself is not among them: what people ask does not belong into histories and access logs.
 */
export const TASK_TYPES = {
  text_generation: "Text generation",
  summarization: "Summarization",
  sentiment_analysis: "Sentiment analysis",
  question_answering: "Question answering",
  other: "Other",
} as const;

export type TaskType = keyof typeof TASK_TYPES;

export interface Settings {
  mode: "one" | "compare";
  /** A provider, `provider/model`, or empty: the gateway chooses. */
  model: string;
  /** The models to compare; null until the reader has chosen, which means every provider that is available. */
  compared: string[] | null;
  taskType: TaskType | "";
  maxTokens: number | null;
}

export function parseSettings(search: string): Settings {
  const from = new URLSearchParams(search);
  const task = from.get("task") ?? "";
  const maxTokens = Number(from.get("max_tokens") ?? "");
  return {
    mode: from.get("mode") === "compare" ? "compare" : "one",
    model: from.get("model") ?? "",
    compared: from.has("compare") ? distinct(from.getAll("compare")) : null,
    taskType: isTaskType(task) ? task : "",
    maxTokens: Number.isSafeInteger(maxTokens) && maxTokens > 0 ? maxTokens : null,
  };
}

/** The part of the address after `?`; only what differs from the defaults. */
export function formatSettings(settings: Settings): string {
  const to = new URLSearchParams();
  if (settings.mode === "compare") to.set("mode", "compare");
  if (settings.model) to.set("model", settings.model);
  // "None" is a choice too, so an empty list leaves a trace.
  const compared = settings.compared?.length === 0 ? [""] : (settings.compared ?? []);
  for (const model of compared) to.append("compare", model);
  if (settings.taskType) to.set("task", settings.taskType);
  if (settings.maxTokens) to.set("max_tokens", String(settings.maxTokens));
  return to.toString();
}

function distinct(models: string[]): string[] {
  return [...new Set(models)].filter((model) => model !== "");
}

function isTaskType(value: string): value is TaskType {
  return Object.hasOwn(TASK_TYPES, value);
}
