"""One question by each wire, for tests that are the same on all three: how errors and retries look to an SDK's user."""

from collections.abc import Iterator

import anthropic
import openai


class Chat:
    """`errors` is the SDK's own module of exceptions."""

    errors = openai

    def __init__(self, client: openai.OpenAI) -> None:
        self._client = client

    def trying(self, retries: int) -> "Chat":
        return type(self)(self._client.with_options(max_retries=retries))

    def ask(self, model: str, text: str) -> str:
        answer = self._client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}])
        return answer.choices[0].message.content

    def stream(self, model: str, text: str) -> Iterator[str]:
        messages = [{"role": "user", "content": text}]
        for chunk in self._client.chat.completions.create(model=model, messages=messages, stream=True):
            yield chunk.choices[0].delta.content or ""


class Responses(Chat):
    def ask(self, model: str, text: str) -> str:
        return self._client.responses.create(model=model, input=text).output_text

    def stream(self, model: str, text: str) -> Iterator[str]:
        for event in self._client.responses.create(model=model, input=text, stream=True):
            if event.type == "response.output_text.delta":
                yield event.delta


class Messages:
    errors = anthropic

    def __init__(self, client: anthropic.Anthropic) -> None:
        self._client = client

    def trying(self, retries: int) -> "Messages":
        return Messages(self._client.with_options(max_retries=retries))

    def ask(self, model: str, text: str) -> str:
        answer = self._client.messages.create(model=model, max_tokens=1000, messages=[{"role": "user", "content": text}])
        return "".join(block.text for block in answer.content if block.type == "text")

    def stream(self, model: str, text: str) -> Iterator[str]:
        with self._client.messages.stream(model=model, max_tokens=1000, messages=[{"role": "user", "content": text}]) as stream:
            yield from stream.text_stream


Caller = Chat | Responses | Messages
