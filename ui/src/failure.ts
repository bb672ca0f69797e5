/**
 * What went wrong, and what the reader can do about it.
 *
 * The gateway's own words are shown as they are. The advice is the page's, chosen by the error's code, or by the HTTP status for
 * a code that this page does not know.
 */
export interface FailureDetails {
  code: string;
  message: string;
  requestId: string | null;
  /** The HTTP status; null if no answer came, or if the failure is one of several results in an answer of 200. */
  status: number | null;
  retryAfterSeconds: number | null;
}

export class Failure extends Error {
  readonly details: FailureDetails;

  constructor(details: FailureDetails) {
    super(details.message);
    this.name = "Failure";
    this.details = details;
  }
}

/** A map, since a code is the gateway's text: an object would also have `constructor`. */
const ADVICE = new Map([
  ["missing_gateway_key", "Enter a gateway key above."],
  ["invalid_gateway_key", "Enter another gateway key above."],
  ["expired_gateway_key", "Enter another gateway key above."],
  ["revoked_gateway_key", "Enter another gateway key above."],
  ["invalid_request", "Change the request as the message says, then send it again."],
  ["unsupported", "Choose another model: this one cannot do what was asked."],
  ["context_length", "Shorten the question, or choose a model that reads more text."],
  ["request_too_large", "Shorten the question."],
  ["content_refused", "Put the question in other words, or choose another model."],
  ["authentication", "Check the API key that the gateway has for this provider."],
  ["permission", "Check what the API key may do, or choose another model."],
  ["not_found", "Choose another model: the provider does not have this one."],
  ["rate_limited", "Wait a little and send it again, or choose another model."],
  ["quota_exhausted", "Waiting does not help: raise the limit of the account, or choose another model."],
  ["overloaded", "Wait a little and send it again, or choose another model."],
  ["timeout", "Send it again, ask for fewer tokens, or choose another model."],
  ["provider", "Send it again, or choose another model: the fault is the provider's."],
  ["malformed", "Send it again, or choose another model: the provider's answer could not be read."],
  ["unreachable", "Check that the gateway is running and that this device is online."],
  ["unreadable_answer", "Reload the page. If it stays so, something between the page and the gateway changes its answers."],
]);

export function advice({ code, status, retryAfterSeconds }: FailureDetails): string {
  if (retryAfterSeconds !== null) return `Wait ${retryAfterSeconds} s and send it again, or choose another model.`;
  return ADVICE.get(code.replaceAll("-", "_")) ?? adviceByStatus(status);
}

/** Whether the gateway refused the reader for want of a key that counts. A provider that refuses the gateway's own key has another code. */
export function wantsKey({ status, code }: FailureDetails): boolean {
  return status === 401 && code.endsWith("_gateway_key");
}

function adviceByStatus(status: number | null): string {
  if (status === 401 || status === 403) return "Check that you may use this gateway: it refused the request.";
  if (status === 429 || status === 503) return "Wait a little and send it again.";
  if (status !== null && status < 500) return "Change the request as the message says, then send it again.";
  return "Send it again. If it stays so, look for the request id in the gateway's log.";
}

/** Reads `Retry-After`, which is a number of seconds or a date. */
export function retryAfterSeconds(header: string | null, now: Date): number | null {
  if (header === null || header.trim() === "") return null;
  const seconds = /^\d+$/.test(header.trim()) ? Number(header) : Math.ceil((Date.parse(header) - now.getTime()) / 1000);
  return Number.isFinite(seconds) ? Math.max(0, seconds) : null;
}
