"""The vocabulary of the feature table.

Owns: the order of rows, wires and providers, and how a test says what it proves. Not here: running tests (`conftest`) and writing the table
(`table`).
"""

import pytest

PROVIDERS = ("openai", "gemini", "mistral", "claude")
WIRES = ("chat", "responses", "messages")
# What has a wire of its own, and so one column for each provider.
OWN_WIRE = "own"

FEATURES = (
    "Chat",
    "System prompt",
    "Conversation of many turns",
    "Unicode, emoji split across chunks",
    "Streaming",
    "Usage",
    "Usage in the stream",
    "Usage, estimated where the provider is silent",
    "Tools, with the whole loop",
    "Failed tool",
    "Parallel tools",
    "Streamed tools",
    "Forced tool",
    "Structured output, parsed into a class",
    "Structured output, streamed",
    "JSON mode",
    "Image, base64",
    "Image, by URL",
    "PDF",
    "Audio, base64",
    "Thinking, shown",
    "Thinking, streamed",
    "Thinking, kept through a tool loop",
    "Tool loop that another provider goes on with",
    "Prompt caching",
    "Log probabilities",
    "Several choices",
    "Stop sequences",
    "Length limit",
    "Content filter",
    "Dropped parameters are named",
    "Errors, as the SDK's exceptions",
    "Rate limit, with the time to wait",
    "Retries by the SDK",
    "No retry without hope",
    "Error in mid-stream",
    "Cut stream is an error",
)
OWN_FEATURES = (
    "Token counting",
    "Models: list and retrieve",
    "Embeddings, floats",
    "Embeddings, base64",
    "Embeddings, fewer dimensions",
    "Embeddings of token ids",
)


def feature(name: str) -> pytest.MarkDecorator:
    """The test proves this row, for its wire and its provider."""
    if name not in FEATURES + OWN_FEATURES:
        raise ValueError(f"{name!r} is no row of the table; the rows are listed in features.py")
    return pytest.mark.feature(name)


def not_offered(provider: str, reason: str) -> pytest.MarkDecorator:
    """The provider itself has no such thing, so there is nothing to prove; the reason is printed below the table."""
    if provider not in PROVIDERS:
        raise ValueError(f"{provider!r} is none of {PROVIDERS}")
    return pytest.mark.not_offered(provider, reason)
