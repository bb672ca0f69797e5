/**
 * Builds the page into `dist/`, which the gateway embeds and serves at `/`.
 *
 * The gateway sends `Content-Security-Policy: default-src 'self'`. So no asset may become a `data:` address, and nothing may be
 * inlined into the HTML.
 */
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

const gateway = process.env.LLM_GATEWAY_URL ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [svelte({ configFile: false })],
  build: { assetsInlineLimit: 0, modulePreload: { polyfill: false }, target: "es2022" },
  server: { proxy: { "/api": gateway } },
  test: { include: ["src/**/*.test.ts"] },
});
