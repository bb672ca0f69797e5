import { expect, it } from "vitest";
import { Failure } from "./failure";
import { Fetching } from "./fetching.svelte";
import { unreadable } from "./wire";

function deferred() {
  let resolve!: (value: string) => void;
  let reject!: (cause: unknown) => void;
  const promise = new Promise<string>((onResolve, onReject) => ([resolve, reject] = [onResolve, onReject]));
  return { promise, resolve, reject };
}

it("is loading, then ready", async () => {
  const fetching = new Fetching<string>();
  const done = fetching.start(async () => "answer");
  expect(fetching.current).toEqual({ state: "loading" });
  await done;
  expect(fetching.current).toEqual({ state: "ready", value: "answer" });
});

it("keeps a failure as it was thrown", async () => {
  const fetching = new Fetching<string>();
  const failure = unreadable("it is not JSON");
  await fetching.start(() => Promise.reject(failure));
  expect(fetching.current).toEqual({ state: "failed", failure });
});

it("makes a failure of any other error", async () => {
  const fetching = new Fetching<string>();
  await fetching.start(() => Promise.reject(new TypeError("broken")));
  const { current } = fetching;
  expect(current.state === "failed" && current.failure instanceof Failure && current.failure.message).toContain("broken");
});

it("aborts the call that a new one replaces, and drops what it still brings", async () => {
  const fetching = new Fetching<string>();
  const slow = deferred();
  let aborted = false;
  const first = fetching.start((signal) => {
    signal.addEventListener("abort", () => (aborted = true));
    return slow.promise;
  });
  const second = fetching.start(async () => "new");
  expect(aborted).toBe(true);
  await second;
  slow.resolve("old");
  await first;
  expect(fetching.current).toEqual({ state: "ready", value: "new" });
});

it("is idle after a cancel, whatever the cancelled call brings", async () => {
  const fetching = new Fetching<string>();
  const slow = deferred();
  const call = fetching.start(() => slow.promise);
  fetching.cancel();
  slow.reject(unreadable("cut"));
  await call;
  expect(fetching.current).toEqual({ state: "idle" });
});

it("shows what it had until a refresh is done", async () => {
  const fetching = new Fetching<string>();
  await fetching.start(async () => "old");
  const done = fetching.refresh(async () => "new");
  expect(fetching.current).toEqual({ state: "ready", value: "old" });
  await done;
  expect(fetching.current).toEqual({ state: "ready", value: "new" });
});
