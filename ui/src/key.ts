/**
 * The gateway key that the page sends with its requests; empty for none.
 *
 * It is a secret, so it is kept for this tab alone, and never in the page's address. Storage may be blocked; then it is kept until the page is left.
 */
const NAME = "llm-gateway-key";

let current = stored();

export function gatewayKey(): string {
  return current;
}

export function useGatewayKey(key: string): void {
  current = key.trim();
  try {
    if (current) sessionStorage.setItem(NAME, current);
    else sessionStorage.removeItem(NAME);
  } catch {
    // See above.
  }
}

function stored(): string {
  try {
    return sessionStorage.getItem(NAME) ?? "";
  } catch {
    return "";
  }
}
