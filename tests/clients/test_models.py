"""What a client asks about models before it chats: which there are, and how many tokens a prompt has. By both SDKs."""

import pytest
from anthropic import Anthropic
from anthropic import NotFoundError as NotFoundByAnthropic
from openai import NotFoundError, OpenAI

from features import feature
from samples import MODELS, TOOLS

WIRE = "own"


@feature("Models: list and retrieve")
def test_a_listed_model_can_be_retrieved_with_openais_sdk(openai: OpenAI, provider: str) -> None:
    model = MODELS[provider]
    listed = next(entry for entry in openai.models.list() if entry.id in (model, model.partition("/")[2]))
    assert (listed.object, listed.owned_by) == ("model", provider) and isinstance(listed.created, int)
    assert openai.models.retrieve(model) == openai.models.retrieve(listed.id) == listed


@feature("Models: list and retrieve")
def test_a_listed_model_can_be_retrieved_with_anthropics_sdk(anthropic: Anthropic, provider: str) -> None:
    model = MODELS[provider]
    listed = next(entry for entry in anthropic.models.list() if entry.id in (model, model.partition("/")[2]))
    assert listed.type == "model" and listed.display_name
    assert anthropic.models.retrieve(model).id == listed.id


def test_a_model_that_nobody_has_is_not_found(openai: OpenAI, anthropic: Anthropic) -> None:
    with pytest.raises(NotFoundError):
        openai.models.retrieve("no-such-model")
    with pytest.raises(NotFoundByAnthropic):
        anthropic.models.retrieve("no-such-model")


@feature("Token counting")
def test_a_longer_prompt_has_more_tokens(anthropic: Anthropic, provider: str) -> None:
    def count(words: str, **more) -> int:
        messages = [{"role": "user", "content": words}]
        return anthropic.messages.count_tokens(model=MODELS[provider], messages=messages, **more).input_tokens

    short = count("Hello there")
    assert 0 < short < count("Hello there, and a good deal more than that")
    assert short < count("Hello there", system="Answer like a pirate.")
    tools = [{"name": name, "description": description, "input_schema": schema} for name, description, schema in TOOLS]
    assert short < count("Hello there", tools=tools)
