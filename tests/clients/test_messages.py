"""Anthropic's SDK on the Messages wire."""

import pytest
from anthropic import Anthropic, BadRequestError
from anthropic.types import Message

from features import feature
from processes import Simulator
from samples import (
    ARGUMENTS,
    BEFORE,
    EMOJI,
    FORCIBLE,
    MODELS,
    PDF,
    PDF_BASE64,
    PICTURE_URL,
    PNG,
    PNG_BASE64,
    RESULTS,
    STOPPING,
    TOOLS,
    Trip,
)

WIRE = "messages"
NOT_IN_WIRE = {
    "JSON mode": "Anthropic's wire has structured outputs alone, which are JSON by a schema.",
    "Audio, base64": "Anthropic's wire has no audio.",
    "Log probabilities": "Anthropic's wire has no log probabilities.",
    "Several choices": "On this wire an answer is one.",
}

OWN_TOOLS = [{"name": name, "description": description, "input_schema": schema} for name, description, schema in TOOLS]
# How a caller of this wire asks for thinking that is shown.
THINK = {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "high"}}
ENOUGH = 4000


def user(content: str | list) -> dict:
    return {"role": "user", "content": content}


def ask(model: str, content: str | list, **more) -> dict:
    return {"model": model, "max_tokens": ENOUGH, "messages": [user(content)], **more}


def said(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def thought(message: Message) -> str:
    return "".join(block.thinking for block in message.content if block.type == "thinking")


def calls(message: Message) -> list:
    return [block for block in message.content if block.type == "tool_use"]


def answered(request: dict, message: Message) -> dict:
    """The next request: the message as the SDK gave it, and a result for each of its calls."""
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": RESULTS[call.name]} for call in calls(message)]
    turns = [{"role": "assistant", "content": message.content}, user(results)]
    return {**request, "messages": [*request["messages"], *turns]}


@feature("Chat")
def test_an_answer_has_all_that_the_sdk_types_promise(anthropic: Anthropic, provider: str) -> None:
    message = anthropic.messages.create(**ask(MODELS[provider], "Hello there"))
    assert (message.type, message.role) == ("message", "assistant") and message.id.startswith("msg_")
    assert message.model == MODELS[provider].partition("/")[2]
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert [block.type for block in message.content] == ["text"]
    assert 'You said: "Hello there"' in said(message)


def test_agents_ask_with_a_beta_query_and_a_key_header(anthropic: Anthropic) -> None:
    client = anthropic.with_options(default_headers={"x-api-key": "unused"})
    message = client.beta.messages.create(**ask(MODELS["openai"], "Hello there"), betas=["fine-grained-tool-streaming-2025-05-14"])
    assert 'You said: "Hello there"' in said(message)


@feature("Usage")
def test_tokens_are_counted_with_the_cache_apart(anthropic: Anthropic, provider: str) -> None:
    usage = anthropic.messages.create(**ask(MODELS[provider], "Hello there")).usage
    assert usage.input_tokens > 0 and usage.output_tokens > 0
    assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (0, 0)


@feature("System prompt")
@pytest.mark.parametrize(
    "system", ["Answer like a pirate.", [{"type": "text", "text": "Answer like a pirate."}]], ids=["text", "blocks"]
)
def test_instructions_reach_the_provider_and_are_not_answered(
    anthropic: Anthropic, simulator: Simulator, provider: str, system: str | list
) -> None:
    message = anthropic.messages.create(**ask(MODELS[provider], "Hello there", system=system))
    assert "pirate" not in said(message)
    assert "Answer like a pirate." in simulator.last(provider)


@feature("Conversation of many turns")
def test_earlier_turns_go_along_and_the_last_one_is_answered(anthropic: Anthropic, simulator: Simulator, provider: str) -> None:
    request = ask(MODELS[provider], "first question")
    first = anthropic.messages.create(**request)
    turns = [*request["messages"], {"role": "assistant", "content": first.content}, user("second question")]
    second = anthropic.messages.create(**{**request, "messages": turns})
    assert 'You said: "second question"' in said(second)
    sent = simulator.last(provider)
    assert "first question" in sent and "You said:" in sent


@feature("Unicode, emoji split across chunks")
def test_no_character_is_lost_however_the_bytes_are_cut(anthropic: Anthropic, simulator: Simulator, provider: str) -> None:
    request = ask(MODELS[provider], EMOJI)
    whole = anthropic.messages.create(**request)
    assert EMOJI in said(whole)
    simulator.script(provider, "chunk-bytes=1", "split=seed:7")
    for _ in range(2):
        with anthropic.messages.stream(**request) as stream:
            assert "".join(stream.text_stream) == said(whole)


@feature("Streaming")
def test_events_come_in_the_order_that_clients_insist_on(anthropic: Anthropic, provider: str) -> None:
    request = ask(MODELS[provider], "Hello there")
    events = [event for event in anthropic.messages.create(**request, stream=True) if event.type != "ping"]
    start, opened, *deltas, closed, ending, stop = events
    assert (start.type, start.message.content, start.message.stop_reason) == ("message_start", [], None)
    assert start.message.model == MODELS[provider].partition("/")[2]
    assert (opened.type, opened.index, opened.content_block.type) == ("content_block_start", 0, "text")
    assert {(delta.type, delta.index, delta.delta.type) for delta in deltas} == {("content_block_delta", 0, "text_delta")}
    assert (closed.type, closed.index) == ("content_block_stop", 0)
    assert (ending.type, ending.delta.stop_reason) == ("message_delta", "end_turn")
    assert stop.type == "message_stop"
    whole = anthropic.messages.create(**request)
    assert opened.content_block.text + "".join(delta.delta.text for delta in deltas) == said(whole)


@feature("Streaming")
def test_the_stream_helper_gathers_the_answer(anthropic: Anthropic, provider: str) -> None:
    request = ask(MODELS[provider], "Hello there")
    with anthropic.messages.stream(**request) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert said(final) == text and final.stop_reason == "end_turn"
    assert said(final) == said(anthropic.messages.create(**request))


@feature("Usage in the stream")
def test_a_streams_usage_is_that_of_the_whole_answer(anthropic: Anthropic, provider: str) -> None:
    request = ask(MODELS[provider], "Hello there")
    with anthropic.messages.stream(**request) as stream:
        streamed = stream.get_final_message().usage
    whole = anthropic.messages.create(**request).usage
    for count in ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
        assert getattr(streamed, count) == getattr(whole, count), count


@feature("Usage, estimated where the provider is silent")
@pytest.mark.parametrize("way", ["whole", "streamed"])
def test_an_estimate_is_marked_as_one(anthropic: Anthropic, simulator: Simulator, provider: str, way: str) -> None:
    request = ask(MODELS[provider], "Hello there")
    simulator.script(provider, "no-usage")
    if way == "whole":
        usage = anthropic.messages.create(**request).usage
        assert usage.estimated is True
    else:
        with anthropic.messages.stream(**request) as stream:
            # The helper keeps the counts alone.
            marks = [event.usage.estimated for event in stream if event.type == "message_delta"]
            usage = stream.get_final_message().usage
        assert marks == [True]
    assert usage.input_tokens > 0 and usage.output_tokens > 0
    assert not hasattr(anthropic.messages.create(**request).usage, "estimated")


@feature("Tools, with the whole loop")
def test_a_call_its_result_and_the_answer(anthropic: Anthropic, provider: str) -> None:
    request = ask(MODELS[provider], "Use the tool", tools=OWN_TOOLS)
    first = anthropic.messages.create(**request)
    assert first.stop_reason == "tool_use"
    [call] = calls(first)
    assert call.id and (call.name, call.input) == ("weather", ARGUMENTS["weather"])
    second = anthropic.messages.create(**answered(request, first))
    assert f'The tools answered: "{RESULTS["weather"]}"' in said(second) and second.stop_reason == "end_turn"


@feature("Failed tool")
def test_a_tools_failure_is_told_as_such(anthropic: Anthropic, simulator: Simulator, provider: str) -> None:
    request = ask(MODELS[provider], "Use the tool", tools=OWN_TOOLS)
    first = anthropic.messages.create(**request)
    [call] = calls(first)
    failed = {
        "type": "tool_result",
        "tool_use_id": call.id,
        "is_error": True,
        "content": [{"type": "text", "text": "no such city"}],
    }
    turns = [*request["messages"], {"role": "assistant", "content": first.content}, user([failed])]
    second = anthropic.messages.create(**{**request, "messages": turns})
    assert "no such city" in said(second)
    assert "error" in simulator.last(provider).lower()


@feature("Tools, with the whole loop")
def test_a_result_may_be_followed_by_a_remark(anthropic: Anthropic, provider: str) -> None:
    request = ask(MODELS[provider], "Use the tool", tools=OWN_TOOLS)
    following = answered(request, anthropic.messages.create(**request))
    following["messages"][-1]["content"].append({"type": "text", "text": "Be quick about it"})
    second = anthropic.messages.create(**following)
    assert RESULTS["weather"] in said(second) or "Be quick about it" in said(second)


@feature("Parallel tools")
def test_calls_keep_their_order_and_find_their_results(anthropic: Anthropic, provider: str) -> None:
    request = ask(MODELS[provider], "Use two tools", tools=OWN_TOOLS)
    first = anthropic.messages.create(**request)
    assert [(call.name, call.input) for call in calls(first)] == list(ARGUMENTS.items())
    assert len({call.id for call in calls(first)}) == 2
    second = anthropic.messages.create(**answered(request, first))
    assert f'"{RESULTS["weather"]}". "{RESULTS["clock"]}"' in said(second)


@feature("Parallel tools")
def test_parallel_calls_can_be_switched_off_where_the_provider_can(anthropic: Anthropic, provider: str) -> None:
    one = {"type": "auto", "disable_parallel_tool_use": True}
    request = ask(MODELS[provider], "Use two tools", tools=OWN_TOOLS, tool_choice=one)
    raw = anthropic.messages.with_raw_response.create(**request)
    dropped = raw.headers.get("x-gateway-dropped-params", "")
    assert len(calls(raw.parse())) == 1 or "disable_parallel_tool_use" in dropped


@feature("Streamed tools")
def test_streamed_calls_are_blocks_of_their_own_one_after_the_other(anthropic: Anthropic, provider: str) -> None:
    request = ask(MODELS[provider], "Use two tools", tools=OWN_TOOLS)
    with anthropic.messages.stream(**request) as stream:
        events = list(stream)
        final = stream.get_final_message()
    open_block, seen = None, []
    for event in events:
        if event.type == "content_block_start":
            assert open_block is None and event.index == len(seen)
            open_block = event.index
            seen.append(event.content_block.type)
        elif event.type == "content_block_stop":
            assert event.index == open_block
            open_block = None
    assert seen.count("tool_use") == 2
    assert [(call.name, call.input) for call in calls(final)] == list(ARGUMENTS.items())
    assert final.stop_reason == "tool_use"
    second = anthropic.messages.create(**answered(request, final))
    assert f'"{RESULTS["weather"]}". "{RESULTS["clock"]}"' in said(second)


@feature("Forced tool")
@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "clock"}], ids=["any", "named"])
def test_a_tool_is_called_when_it_must_be(anthropic: Anthropic, provider: str, choice: dict) -> None:
    message = anthropic.messages.create(**ask(FORCIBLE[provider], "Hello there", tools=OWN_TOOLS, tool_choice=choice))
    [call] = calls(message)
    assert call.name == choice.get("name", "weather") and message.stop_reason == "tool_use"


@feature("Forced tool")
def test_no_tool_is_called_when_none_may_be(anthropic: Anthropic, provider: str) -> None:
    message = anthropic.messages.create(**ask(MODELS[provider], "Use the tool", tools=OWN_TOOLS, tool_choice={"type": "none"}))
    assert calls(message) == [] and "Use the tool" in said(message)


@feature("Structured output, parsed into a class")
def test_an_answer_is_parsed_into_a_class(anthropic: Anthropic, provider: str) -> None:
    trip = anthropic.messages.parse(**ask(MODELS[provider], "Plan a trip"), output_format=Trip).parsed_output
    assert isinstance(trip, Trip) and (trip.city, trip.days, trip.guests[0].age) == ("Oslo", 42, 42)


@feature("Structured output, streamed")
def test_a_streamed_answer_is_parsed_into_a_class(anthropic: Anthropic, provider: str) -> None:
    with anthropic.messages.stream(**ask(MODELS[provider], "Plan a trip"), output_format=Trip) as stream:
        trip = stream.get_final_message().parsed_output
    assert isinstance(trip, Trip) and trip.city == "Oslo"


@feature("Image, base64")
def test_an_image_arrives_byte_for_byte(anthropic: Anthropic, simulator: Simulator, provider: str) -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG_BASE64}}
    message = anthropic.messages.create(**ask(MODELS[provider], [picture, {"type": "text", "text": "What is this?"}]))
    assert f"I received an image of {len(PNG)} bytes" in said(message)
    assert PNG_BASE64 in simulator.last(provider)


@feature("Image, by URL")
def test_an_images_url_is_passed_on(anthropic: Anthropic, simulator: Simulator, provider: str) -> None:
    picture = {"type": "image", "source": {"type": "url", "url": PICTURE_URL}}
    message = anthropic.messages.create(**ask(MODELS[provider], [picture, {"type": "text", "text": "What is this?"}]))
    assert "I received an image by reference" in said(message)
    assert PICTURE_URL in simulator.last(provider)


@feature("PDF")
def test_a_document_arrives_byte_for_byte(anthropic: Anthropic, simulator: Simulator, provider: str) -> None:
    source = {"type": "base64", "media_type": "application/pdf", "data": PDF_BASE64}
    document = {"type": "document", "source": source, "title": "plan.pdf"}
    message = anthropic.messages.create(**ask(MODELS[provider], [document, {"type": "text", "text": "Sum it up"}]))
    assert f"I received a document of {len(PDF)} bytes" in said(message)
    assert PDF_BASE64 in simulator.last(provider)


@feature("Thinking, shown")
def test_thinking_is_a_block_before_the_answer(anthropic: Anthropic, provider: str) -> None:
    message = anthropic.messages.create(**ask(MODELS[provider], "Think hard", **THINK))
    kinds = [block.type for block in message.content]
    assert kinds.index("thinking") < kinds.index("text")
    assert "The user wrote 2 words" in thought(message)
    assert 'You said: "Think hard"' in said(message) and "The user wrote" not in said(message)


@feature("Thinking, streamed")
def test_thinking_is_streamed_before_the_answer(anthropic: Anthropic, provider: str) -> None:
    request = ask(MODELS[provider], "Think hard", **THINK)
    with anthropic.messages.stream(**request) as stream:
        kinds = [event.type for event in stream if event.type in ("thinking", "text")]
        final = stream.get_final_message()
    assert kinds == sorted(kinds, reverse=True) and set(kinds) == {"thinking", "text"}

    assert thought(final) == thought(anthropic.messages.create(**request))


@feature("Thinking, kept through a tool loop")
@pytest.mark.parametrize("way", ["whole", "streamed"])
def test_what_is_private_to_the_provider_comes_back_to_it(
    anthropic: Anthropic, simulator: Simulator, provider: str, way: str
) -> None:
    request = ask(MODELS[provider], "Think, then use two tools", tools=OWN_TOOLS, **THINK)
    if way == "whole":
        first = anthropic.messages.create(**request)
    else:
        with anthropic.messages.stream(**request) as stream:
            first = stream.get_final_message()
    second = anthropic.messages.create(**answered(request, first))
    assert f'"{RESULTS["weather"]}". "{RESULTS["clock"]}"' in said(second)
    assert simulator.private(provider), "the provider's own data did not come back"


@feature("Tool loop that another provider goes on with")
def test_another_provider_goes_on_where_one_stopped(anthropic: Anthropic, simulator: Simulator, provider: str) -> None:
    request = ask(MODELS[BEFORE[provider]], "Think, then use two tools", tools=OWN_TOOLS, **THINK)
    first = anthropic.messages.create(**request)
    second = anthropic.messages.create(**{**answered(request, first), "model": MODELS[provider]})
    assert f'"{RESULTS["weather"]}". "{RESULTS["clock"]}"' in said(second)
    assert simulator.private(provider) == [], "what is private to one provider went to another"


def test_hidden_thinking_comes_back_as_it_was(anthropic: Anthropic, simulator: Simulator) -> None:
    simulator.script("claude", "redacted")
    request = ask(MODELS["claude"], "Think, then use two tools", tools=OWN_TOOLS, **THINK)
    first = anthropic.messages.create(**request)
    assert thought(first) == "" and first.content[0].type in ("thinking", "redacted_thinking")
    second = anthropic.messages.create(**answered(request, first))
    assert f'"{RESULTS["weather"]}". "{RESULTS["clock"]}"' in said(second)
    assert simulator.private("claude"), "the hidden thinking did not come back"


@feature("Prompt caching")
def test_tokens_read_from_the_cache_are_counted_apart(anthropic: Anthropic, simulator: Simulator, provider: str) -> None:
    system = [{"type": "text", "text": "A long and often repeated beginning", "cache_control": {"type": "ephemeral"}}]
    request = ask(MODELS[provider], "Hello there", system=system)
    first = anthropic.messages.create(**request).usage
    # Only Anthropic tells what it wrote to its cache.
    assert (first.cache_creation_input_tokens > 0) == (provider == "claude")
    simulator.script(provider, "cached=4")
    second = anthropic.messages.create(**request).usage
    assert second.cache_read_input_tokens == 4

    def prompt(usage) -> int:
        return usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens

    assert prompt(first) == prompt(second)


@feature("Stop sequences")
def test_an_answer_ends_before_a_stop_sequence(anthropic: Anthropic, provider: str) -> None:
    message = anthropic.messages.create(**ask(STOPPING[provider], "Hello there", stop_sequences=["nowhere", "said"]))
    assert said(message).endswith("You ")
    # Only Anthropic tells which one it was.
    expected = ("stop_sequence", "said") if provider == "claude" else ("end_turn", None)
    assert (message.stop_reason, message.stop_sequence) == expected


@feature("Length limit")
def test_an_answer_that_is_too_long_says_so(anthropic: Anthropic, provider: str) -> None:
    message = anthropic.messages.create(**ask(MODELS[provider], "Hello there", max_tokens=20))
    assert message.stop_reason == "max_tokens" and message.usage.output_tokens == 20


@feature("Content filter")
def test_a_blocked_answer_is_no_success(anthropic: Anthropic, simulator: Simulator, provider: str) -> None:
    simulator.script(provider, "blocked")
    if provider == "mistral":
        # It refuses with an error of its own.
        with pytest.raises(BadRequestError):
            anthropic.messages.create(**ask(MODELS[provider], "Hello there"))
    else:
        assert anthropic.messages.create(**ask(MODELS[provider], "Hello there")).stop_reason == "refusal"


@feature("Dropped parameters are named")
def test_what_a_provider_cannot_take_is_named_in_the_callers_words(anthropic: Anthropic, provider: str) -> None:
    # The SDK's newest version has no field for sampling any more; older ones send it.
    name, refused = {
        "openai": ("top_k", {"extra_body": {"top_k": 5}}),
        "gemini": ("metadata.user_id", {"metadata": {"user_id": "someone"}}),
        "mistral": ("metadata.user_id", {"metadata": {"user_id": "someone"}}),
        "claude": ("temperature", {"extra_body": {"temperature": 0.5}}),
    }[provider]
    raw = anthropic.messages.with_raw_response.create(**ask(MODELS[provider], "Hello there", **refused))
    assert name in raw.headers["x-gateway-dropped-params"].split(", ")
    assert 'You said: "Hello there"' in said(raw.parse())
    plain = anthropic.messages.with_raw_response.create(**ask(MODELS[provider], "Hello there"))
    assert "x-gateway-dropped-params" not in plain.headers


def test_a_missing_limit_is_refused_by_name(anthropic: Anthropic) -> None:
    with pytest.raises(BadRequestError, match="max_tokens"):
        anthropic.post("/v1/messages", cast_to=Message, body={"model": MODELS["claude"], "messages": [user("Hello there")]})
