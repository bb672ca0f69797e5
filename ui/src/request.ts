/** The bodies that the page sends. An absent option is `undefined`, which JSON leaves out, so the gateway's own default holds. */
import type { Settings } from "./settings";

export interface Options {
  query: string;
  task_type?: string;
  max_tokens?: number;
}

export interface OneModel extends Options {
  model?: string;
  model_version?: string;
}

export interface SeveralModels extends Options {
  models: string[];
}

export function askOne(query: string, settings: Settings): OneModel {
  // Only the first slash separates: a model's own name may hold others.
  const [, provider, version] = /^([^/]*)(?:\/(.*))?$/s.exec(settings.model) ?? [];
  return { ...options(query, settings), model: provider || undefined, model_version: version || undefined };
}

export function askSeveral(query: string, settings: Settings, models: string[]): SeveralModels {
  return { ...options(query, settings), models };
}

function options(query: string, { taskType, maxTokens }: Settings): Options {
  return { query, task_type: taskType || undefined, max_tokens: maxTokens ?? undefined };
}
