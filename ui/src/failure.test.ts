import { describe, expect, it } from "vitest";
import { advice, retryAfterSeconds, wantsKey, type FailureDetails } from "./failure";

const details: FailureDetails = { code: "x", message: "", requestId: null, status: null, retryAfterSeconds: null };
const now = new Date("2026-03-01T12:00:00Z");

describe("advice", () => {
  it("follows the code, with hyphens or underscores", () => {
    expect(advice({ ...details, code: "context_length" })).toContain("Shorten");
    expect(advice({ ...details, code: "context-length" })).toContain("Shorten");
  });

  it("tells how long to wait when the gateway said so", () => {
    expect(advice({ ...details, code: "rate_limited", retryAfterSeconds: 12 })).toContain("Wait 12 s");
  });

  it.each([
    [403, "you may use this gateway"],
    [503, "Wait"],
    [422, "Change the request"],
    [500, "request id"],
    [null, "request id"],
  ])("of an unknown code with status %s says: %s", (status, part) => {
    expect(advice({ ...details, status })).toContain(part);
  });

  it("of a code named like a property of every object is still a sentence", () => {
    expect(advice({ ...details, code: "constructor" })).toContain("Send it again");
  });
});

it.each([
  [401, "missing_gateway_key", true],
  [401, "revoked_gateway_key", true],
  [401, "invalid_api_key", false],
  [403, "permission", false],
])("a failure with %s %s wants a gateway key: %s", (status, code, wanted) => {
  expect(wantsKey({ ...details, status, code })).toBe(wanted);
});

describe("retryAfterSeconds", () => {
  it.each([
    [null, null],
    ["", null],
    ["soon", null],
    ["12", 12],
    ["Sun, 01 Mar 2026 12:00:30 GMT", 30],
    ["Sun, 01 Mar 2026 11:00:00 GMT", 0],
  ])("reads %j as %j", (header, seconds) => {
    expect(retryAfterSeconds(header, now)).toBe(seconds);
  });
});
