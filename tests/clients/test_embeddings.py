"""OpenAI's SDK on the Embeddings wire."""

import math

import pytest
from openai import BadRequestError, OpenAI

from features import feature, not_offered

WIRE = "own"
EMBEDDERS = {"openai": "openai/text-embedding-3-small", "gemini": "gemini/gemini-embedding-001", "mistral": "mistral/mistral-embed"}
LENGTHS = {"openai": 1536, "gemini": 3072, "mistral": 1024}

no_embeddings = not_offered("claude", "Anthropic has no embeddings.")


@feature("Embeddings, floats")
@no_embeddings
def test_each_text_has_its_vector_in_its_place(openai: OpenAI, provider: str) -> None:
    embedder = EMBEDDERS[provider]
    both = openai.embeddings.create(model=embedder, input=["first text", "second text"], encoding_format="float")
    assert both.object == "list" and both.model == embedder.partition("/")[2]
    assert [(entry.object, entry.index) for entry in both.data] == [("embedding", 0), ("embedding", 1)]
    assert both.usage.prompt_tokens > 0 and both.usage.total_tokens == both.usage.prompt_tokens
    alone = openai.embeddings.create(model=embedder, input="second text", encoding_format="float")
    assert both.data[1].embedding == alone.data[0].embedding != both.data[0].embedding
    assert len(alone.data[0].embedding) == LENGTHS[provider]


@feature("Embeddings, base64")
@no_embeddings
def test_what_the_sdk_asks_for_unasked_gives_the_same_numbers(openai: OpenAI, provider: str) -> None:
    request = {"model": EMBEDDERS[provider], "input": "a text"}
    # Without a format the SDK asks for base64 and decodes it.
    decoded = openai.embeddings.create(**request).data[0].embedding
    plain = openai.embeddings.create(**request, encoding_format="float").data[0].embedding
    assert decoded == pytest.approx(plain, abs=1e-6) and len(decoded) == LENGTHS[provider]
    raw = openai.embeddings.create(**request, encoding_format="base64").data[0].embedding
    assert isinstance(raw, str)


@feature("Embeddings, fewer dimensions")
@no_embeddings
def test_shorter_vectors_have_length_one(openai: OpenAI, provider: str) -> None:
    # Mistral's text model has one size only; its code model has several.
    embedder = {**EMBEDDERS, "mistral": "mistral/codestral-embed"}[provider]
    vector = openai.embeddings.create(model=embedder, input="a text", dimensions=256).data[0].embedding
    assert len(vector) == 256 and math.isclose(math.hypot(*vector), 1, abs_tol=1e-3)


@feature("Embeddings of token ids")
@no_embeddings
@not_offered("gemini", "Gemini takes text, no token ids; the gateway answers 400.")
@not_offered("mistral", "Mistral takes text, no token ids; the gateway answers 400.")
@pytest.mark.parametrize("ids", [[1, 2, 3], [[1, 2, 3], [4, 5]]], ids=["one", "many"])
def test_token_ids_are_taken_as_they_are(openai: OpenAI, provider: str, ids: list) -> None:
    data = openai.embeddings.create(model=EMBEDDERS[provider], input=ids).data
    assert len(data) == (1 if isinstance(ids[0], int) else len(ids))


@pytest.mark.parametrize("embedder", [EMBEDDERS["gemini"], EMBEDDERS["mistral"]])
def test_token_ids_are_refused_where_the_provider_takes_none(openai: OpenAI, embedder: str) -> None:
    with pytest.raises(BadRequestError, match="input"):
        openai.embeddings.create(model=embedder, input=[1, 2, 3])


def test_a_provider_without_embeddings_is_refused_clearly(openai: OpenAI) -> None:
    with pytest.raises(BadRequestError, match="embeddings"):
        openai.embeddings.create(model="claude/claude-sonnet-5-5", input="a text")


@pytest.mark.parametrize("empty", ["", []], ids=["text", "list"])
def test_nothing_to_embed_is_refused_by_name(openai: OpenAI, empty: str | list) -> None:
    with pytest.raises(BadRequestError, match="input"):
        openai.embeddings.create(model=EMBEDDERS["openai"], input=empty)
