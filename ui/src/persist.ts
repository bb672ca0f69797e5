/**
 * Keeps the settings in the page's address, and in local storage for a visit without any.
 *
 * Storage may be blocked or full, and browsers limit how often an address may change. Then the settings are not kept, silently:
 * nothing that the reader asked for has failed.
 */
import { formatSettings, parseSettings, type Settings } from "./settings";

const KEY = "llm-gateway-settings";

export function loadSettings(): Settings {
  return parseSettings(location.search || stored());
}

export function saveSettings(settings: Settings): void {
  const search = formatSettings(settings);
  try {
    history.replaceState(history.state, "", search ? `?${search}` : location.pathname);
    localStorage.setItem(KEY, search);
  } catch {
    // See above.
  }
}

function stored(): string {
  try {
    return localStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}
