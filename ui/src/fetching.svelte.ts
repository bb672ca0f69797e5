/**
 * One fetch and its state. A new call aborts the one before it, and what an aborted call still brings is dropped, so an old
 * answer never overwrites a newer one.
 */
import { Failure } from "./failure";

export type Fetch<T> = { state: "idle" } | { state: "loading" } | { state: "failed"; failure: Failure } | { state: "ready"; value: T };

export type Call<T> = (signal: AbortSignal) => Promise<T>;

export class Fetching<T> {
  current: Fetch<T> = $state.raw({ state: "idle" });
  #running: AbortController | null = null;

  start(call: Call<T>): Promise<void> {
    this.current = { state: "loading" };
    return this.refresh(call);
  }

  /** As `start`, but what is shown stays until the new result is there. */
  async refresh(call: Call<T>): Promise<void> {
    this.#running?.abort();
    const mine = new AbortController();
    this.#running = mine;
    const settled = await settle(call, mine.signal);
    if (mine.signal.aborted) return;
    this.#running = null;
    this.current = settled;
  }

  cancel(): void {
    this.#running?.abort();
    this.#running = null;
    this.current = { state: "idle" };
  }
}

async function settle<T>(call: Call<T>, signal: AbortSignal): Promise<Fetch<T>> {
  try {
    return { state: "ready", value: await call(signal) };
  } catch (cause) {
    if (cause instanceof Failure) return { state: "failed", failure: cause };
    const details = { code: "page_error", message: String(cause), requestId: null, status: null, retryAfterSeconds: null };
    return { state: "failed", failure: new Failure(details) };
  }
}
