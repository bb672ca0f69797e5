"""OpenAI's SDK on the Chat Completions wire."""

import json

import pytest
from openai import BadRequestError, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionMessage

from features import feature, not_offered
from processes import Simulator
from samples import (
    ARGUMENTS,
    BEFORE,
    EMOJI,
    FORCIBLE,
    HEARING,
    MODELS,
    PDF,
    PDF_BASE64,
    PICTURE_URL,
    PNG,
    PNG_BASE64,
    RESULTS,
    STOPPING,
    SURE,
    TOOLS,
    WAV,
    WAV_BASE64,
    Trip,
)

WIRE = "chat"

FUNCTIONS = [
    {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}
    for name, description, schema in TOOLS
]
# How a caller of this wire asks for thinking that is shown; OpenAI's own fields have no word for it.
THINK = {"reasoning_effort": "high", "extra_body": {"reasoning": {"exclude": False}}}


def user(content: str | list) -> dict:
    return {"role": "user", "content": content}


def said(answer: ChatCompletion) -> str:
    return answer.choices[0].message.content


# What the SDK adds to a message for its user alone.
ADDED = {"parsed": True, "tool_calls": {"__all__": {"index": True, "function": {"parsed_arguments": True}}}}


def answered(message: ChatCompletionMessage) -> list[dict]:
    """The assistant's message as the SDK gave it, and a result for each of its calls."""
    calls = message.tool_calls
    results = [{"role": "tool", "tool_call_id": call.id, "content": RESULTS[call.function.name]} for call in calls]
    return [message.model_dump(exclude_none=True, exclude=ADDED), *results]


@feature("Chat")
def test_an_answer_has_all_that_the_sdk_types_promise(openai: OpenAI, provider: str) -> None:
    answer = openai.chat.completions.create(model=MODELS[provider], messages=[user("Hello there")])
    assert answer.object == "chat.completion" and answer.id.startswith("chatcmpl-") and answer.created > 1_700_000_000
    assert answer.model == MODELS[provider].partition("/")[2]
    [choice] = answer.choices
    assert (choice.index, choice.finish_reason, choice.message.role) == (0, "stop", "assistant")
    assert 'You said: "Hello there"' in choice.message.content
    assert choice.message.tool_calls is None and choice.message.refusal is None


@feature("Usage")
def test_tokens_are_counted_and_add_up(openai: OpenAI, provider: str) -> None:
    usage = openai.chat.completions.create(model=MODELS[provider], messages=[user("Hello there")]).usage
    assert usage.prompt_tokens > 0 and usage.completion_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


@feature("System prompt")
@pytest.mark.parametrize("role", ["system", "developer"])
def test_instructions_reach_the_provider_and_are_not_answered(
    openai: OpenAI, simulator: Simulator, provider: str, role: str
) -> None:
    messages = [{"role": role, "content": "Answer like a pirate."}, user("Hello there")]
    answer = openai.chat.completions.create(model=MODELS[provider], messages=messages)
    assert "pirate" not in said(answer)
    assert "Answer like a pirate." in simulator.last(provider)


@feature("Conversation of many turns")
def test_earlier_turns_go_along_and_the_last_one_is_answered(openai: OpenAI, simulator: Simulator, provider: str) -> None:
    model, messages = MODELS[provider], [user("first question")]
    first = openai.chat.completions.create(model=model, messages=messages)
    messages += [first.choices[0].message, user("second question")]
    second = openai.chat.completions.create(model=model, messages=messages)
    assert 'You said: "second question"' in said(second)
    sent = simulator.last(provider)
    assert "first question" in sent and "You said:" in sent


@feature("Unicode, emoji split across chunks")
def test_no_character_is_lost_however_the_bytes_are_cut(openai: OpenAI, simulator: Simulator, provider: str) -> None:
    whole = openai.chat.completions.create(model=MODELS[provider], messages=[user(EMOJI)])
    assert EMOJI in said(whole)
    simulator.script(provider, "chunk-bytes=1", "split=seed:7")
    for _ in range(2):
        chunks = openai.chat.completions.create(model=MODELS[provider], messages=[user(EMOJI)], stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == said(whole)


@feature("Streaming")
def test_a_stream_says_the_same_as_a_whole_answer(openai: OpenAI, provider: str) -> None:
    request = {"model": MODELS[provider], "messages": [user("Hello there")]}
    chunks = list(openai.chat.completions.create(**request, stream=True))
    assert len(chunks) > 3
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert [chunk.choices[0].delta.role for chunk in chunks if chunk.choices[0].delta.role] == ["assistant"]
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]
    # Who did not ask for usage gets no chunk without choices.
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    whole = openai.chat.completions.create(**request)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == said(whole)


@feature("Streaming")
def test_the_stream_helper_gathers_the_answer(openai: OpenAI, provider: str) -> None:
    with openai.chat.completions.stream(model=MODELS[provider], messages=[user("Hello there")]) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
        final = stream.get_final_completion()
    assert said(final) == text and 'You said: "Hello there"' in text
    assert final.choices[0].finish_reason == "stop"


@feature("Usage in the stream")
def test_usage_comes_in_one_last_chunk_when_asked_for(openai: OpenAI, provider: str) -> None:
    request = {"model": MODELS[provider], "messages": [user("Hello there")]}
    *chunks, last = openai.chat.completions.create(**request, stream=True, stream_options={"include_usage": True})
    assert last.choices == [] and all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert last.usage == openai.chat.completions.create(**request).usage


@feature("Usage, estimated where the provider is silent")
@pytest.mark.parametrize("way", ["whole", "streamed"])
def test_an_estimate_is_marked_as_one(openai: OpenAI, simulator: Simulator, provider: str, way: str) -> None:
    request = {"model": MODELS[provider], "messages": [user("Hello there")]}
    simulator.script(provider, "no-usage")
    if way == "whole":
        usage = openai.chat.completions.create(**request).usage
    else:
        *_, last = openai.chat.completions.create(**request, stream=True, stream_options={"include_usage": True})
        usage = last.usage
    assert usage.estimated is True and usage.prompt_tokens > 0 and usage.completion_tokens > 0
    assert not hasattr(openai.chat.completions.create(**request).usage, "estimated")


@feature("Tools, with the whole loop")
def test_a_call_its_result_and_the_answer(openai: OpenAI, provider: str) -> None:
    request = {"model": MODELS[provider], "tools": FUNCTIONS}
    messages = [user("Use the tool")]
    first = openai.chat.completions.create(**request, messages=messages)
    assert first.choices[0].finish_reason == "tool_calls"
    [call] = first.choices[0].message.tool_calls
    assert call.id and call.type == "function" and call.function.name == "weather"
    assert json.loads(call.function.arguments) == ARGUMENTS["weather"]
    second = openai.chat.completions.create(**request, messages=messages + answered(first.choices[0].message))
    assert f'The tools answered: "{RESULTS["weather"]}"' in said(second)
    assert second.choices[0].finish_reason == "stop"


@feature("Failed tool")
def test_a_tools_failure_is_told_as_text(openai: OpenAI, provider: str) -> None:
    request = {"model": MODELS[provider], "tools": FUNCTIONS}
    first = openai.chat.completions.create(**request, messages=[user("Use the tool")])
    [call] = first.choices[0].message.tool_calls
    failed = {"role": "tool", "tool_call_id": call.id, "content": [{"type": "text", "text": "Error: no such city"}]}
    second = openai.chat.completions.create(**request, messages=[user("Use the tool"), first.choices[0].message, failed])
    assert "Error: no such city" in said(second)


@feature("Parallel tools")
def test_calls_keep_their_order_and_find_their_results(openai: OpenAI, provider: str) -> None:
    request = {"model": MODELS[provider], "tools": FUNCTIONS}
    messages = [user("Use two tools")]
    message = openai.chat.completions.create(**request, messages=messages).choices[0].message
    assert [call.function.name for call in message.tool_calls] == ["weather", "clock"]
    assert [json.loads(call.function.arguments) for call in message.tool_calls] == list(ARGUMENTS.values())
    assert len({call.id for call in message.tool_calls}) == 2
    second = openai.chat.completions.create(**request, messages=messages + answered(message))
    assert f'"{RESULTS["weather"]}". "{RESULTS["clock"]}"' in said(second)


@feature("Parallel tools")
def test_parallel_calls_can_be_switched_off_where_the_provider_can(openai: OpenAI, provider: str) -> None:
    raw = openai.chat.completions.with_raw_response.create(
        model=MODELS[provider], tools=FUNCTIONS, messages=[user("Use two tools")], parallel_tool_calls=False
    )
    calls = raw.parse().choices[0].message.tool_calls
    dropped = raw.headers.get("x-gateway-dropped-params", "")
    assert len(calls) == 1 or "parallel_tool_calls" in dropped


@feature("Streamed tools")
def test_streamed_calls_have_an_index_of_their_own_and_name_themselves_once(openai: OpenAI, provider: str) -> None:
    request = {"model": MODELS[provider], "tools": FUNCTIONS, "messages": [user("Use two tools")]}
    chunks = list(openai.chat.completions.create(**request, stream=True))
    pieces = [piece for chunk in chunks for piece in chunk.choices[0].delta.tool_calls or []]
    for index, name in enumerate(ARGUMENTS):
        first, *rest = [piece for piece in pieces if piece.index == index]
        assert (first.type, first.function.name) == ("function", name) and first.id
        assert all(piece.id is None and piece.function.name is None for piece in rest)
        arguments = "".join(piece.function.arguments for piece in [first, *rest])
        assert json.loads(arguments) == ARGUMENTS[name]
    assert {piece.index for piece in pieces} == {0, 1}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


@feature("Streamed tools")
def test_gathered_calls_go_back_as_they_came(openai: OpenAI, provider: str) -> None:
    request = {"model": MODELS[provider], "tools": FUNCTIONS}
    messages = [user("Use two tools")]
    with openai.chat.completions.stream(**request, messages=messages) as stream:
        message = stream.get_final_completion().choices[0].message
    second = openai.chat.completions.create(**request, messages=[*messages, *answered(message)])
    assert f'"{RESULTS["weather"]}". "{RESULTS["clock"]}"' in said(second)


@feature("Forced tool")
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "clock"}}], ids=["any", "named"])
def test_a_tool_is_called_when_it_must_be(openai: OpenAI, provider: str, choice: str | dict) -> None:
    answer = openai.chat.completions.create(
        model=FORCIBLE[provider], tools=FUNCTIONS, tool_choice=choice, messages=[user("Hello there")]
    )
    [call] = answer.choices[0].message.tool_calls
    assert call.function.name == ("weather" if choice == "required" else "clock")
    assert answer.choices[0].finish_reason == "tool_calls"


@feature("Forced tool")
def test_no_tool_is_called_when_none_may_be(openai: OpenAI, provider: str) -> None:
    answer = openai.chat.completions.create(
        model=MODELS[provider], tools=FUNCTIONS, tool_choice="none", messages=[user("Use the tool")]
    )
    assert answer.choices[0].message.tool_calls is None and "Use the tool" in said(answer)


def test_a_model_that_cannot_be_forced_is_asked_in_words_and_this_is_told(openai: OpenAI, simulator: Simulator) -> None:
    raw = openai.chat.completions.with_raw_response.create(
        model=MODELS["claude"], tools=FUNCTIONS, tool_choice="required", messages=[user("Hello there")]
    )
    assert raw.headers["x-gateway-dropped-params"] == "tool_choice"
    assert "tool" in str(simulator.requests("claude")[-1]["body"]["system"])


@feature("Structured output, parsed into a class")
def test_an_answer_is_parsed_into_a_class(openai: OpenAI, provider: str) -> None:
    answer = openai.chat.completions.parse(model=MODELS[provider], messages=[user("Plan a trip")], response_format=Trip)
    trip = answer.choices[0].message.parsed
    assert isinstance(trip, Trip) and (trip.city, trip.days, trip.guests[0].age) == ("Oslo", 42, 42)


@feature("Structured output, streamed")
def test_a_streamed_answer_is_parsed_into_a_class(openai: OpenAI, provider: str) -> None:
    with openai.chat.completions.stream(model=MODELS[provider], messages=[user("Plan a trip")], response_format=Trip) as stream:
        trip = stream.get_final_completion().choices[0].message.parsed
    assert isinstance(trip, Trip) and trip.city == "Oslo"


@feature("JSON mode")
def test_json_mode_answers_with_an_object(openai: OpenAI, simulator: Simulator, provider: str) -> None:
    answer = openai.chat.completions.create(
        model=MODELS[provider], messages=[user("Say it in JSON")], response_format={"type": "json_object"}
    )
    if provider == "claude":
        # It has no such mode: it is told to, in words, which the simulator does not read.
        assert "JSON" in simulator.last(provider).replace("Say it in JSON", "")
    else:
        assert json.loads(said(answer))["you_said"] == "Say it in JSON"


@feature("Image, base64")
def test_an_image_arrives_byte_for_byte(openai: OpenAI, simulator: Simulator, provider: str) -> None:
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG_BASE64}"}}
    answer = openai.chat.completions.create(
        model=MODELS[provider], messages=[user([{"type": "text", "text": "What is this?"}, picture])]
    )
    assert f"I received an image of {len(PNG)} bytes" in said(answer)
    assert PNG_BASE64 in simulator.last(provider)


@feature("Image, by URL")
def test_an_images_url_is_passed_on(openai: OpenAI, simulator: Simulator, provider: str) -> None:
    picture = {"type": "image_url", "image_url": {"url": PICTURE_URL}}
    answer = openai.chat.completions.create(
        model=MODELS[provider], messages=[user([{"type": "text", "text": "What is this?"}, picture])]
    )
    assert "I received an image by reference" in said(answer)
    assert PICTURE_URL in simulator.last(provider)


@feature("PDF")
def test_a_document_arrives_byte_for_byte(openai: OpenAI, simulator: Simulator, provider: str) -> None:
    document = {"type": "file", "file": {"filename": "plan.pdf", "file_data": f"data:application/pdf;base64,{PDF_BASE64}"}}
    answer = openai.chat.completions.create(
        model=MODELS[provider], messages=[user([{"type": "text", "text": "Sum it up"}, document])]
    )
    assert f"I received a document of {len(PDF)} bytes" in said(answer)
    assert PDF_BASE64 in simulator.last(provider)


@feature("Audio, base64")
@not_offered("claude", "Claude takes no audio.")
def test_a_sound_arrives_byte_for_byte(openai: OpenAI, simulator: Simulator, provider: str) -> None:
    sound = {"type": "input_audio", "input_audio": {"data": WAV_BASE64, "format": "wav"}}
    answer = openai.chat.completions.create(
        model=HEARING[provider], messages=[user([{"type": "text", "text": "What is said?"}, sound])]
    )
    assert f"I received a sound of {len(WAV)} bytes" in said(answer)
    assert WAV_BASE64 in simulator.last(provider)


def test_a_sound_is_refused_by_its_place_where_none_is_taken(openai: OpenAI) -> None:
    sound = {"type": "input_audio", "input_audio": {"data": WAV_BASE64, "format": "wav"}}
    with pytest.raises(BadRequestError) as raised:
        openai.chat.completions.create(model=MODELS["claude"], messages=[user([{"type": "text", "text": "What is said?"}, sound])])
    assert raised.value.param == "messages[0].content[1]"


@feature("Thinking, shown")
def test_thinking_comes_as_reasoning_content(openai: OpenAI, provider: str) -> None:
    answer = openai.chat.completions.create(model=MODELS[provider], messages=[user("Think hard")], **THINK)
    message = answer.choices[0].message
    assert "The user wrote 2 words" in message.reasoning_content
    assert 'You said: "Think hard"' in message.content and "The user wrote" not in message.content


@feature("Thinking, streamed")
def test_thinking_is_streamed_before_the_answer(openai: OpenAI, provider: str) -> None:
    request = {"model": MODELS[provider], "messages": [user("Think hard")], **THINK}
    deltas = [chunk.choices[0].delta for chunk in openai.chat.completions.create(**request, stream=True)]
    kinds = [
        "thinking" if getattr(delta, "reasoning_content", None) else "text"
        for delta in deltas
        if delta.content or getattr(delta, "reasoning_content", None)
    ]
    assert kinds == sorted(kinds, reverse=True) and set(kinds) == {"thinking", "text"}
    whole = openai.chat.completions.create(**request).choices[0].message
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == whole.reasoning_content


@feature("Thinking, kept through a tool loop")
@pytest.mark.parametrize("client", ["whole", "streaming", "forgetful"])
def test_what_is_private_to_the_provider_comes_back_to_it(openai: OpenAI, simulator: Simulator, provider: str, client: str) -> None:
    request = {"model": MODELS[provider], "tools": FUNCTIONS, **THINK}
    messages = [user("Think, then use two tools")]
    if client == "streaming":
        with openai.chat.completions.stream(**request, messages=messages) as stream:
            first = stream.get_final_completion()
    else:
        first = openai.chat.completions.create(**request, messages=messages)
    back, *results = answered(first.choices[0].message)
    if client == "forgetful":
        # It rebuilds the message from the fields that it knows.
        back = {"role": "assistant", "tool_calls": back["tool_calls"]}
    second = openai.chat.completions.create(**request, messages=[*messages, back, *results])
    assert f'"{RESULTS["weather"]}". "{RESULTS["clock"]}"' in said(second)
    assert simulator.private(provider), "the provider's own data did not come back"


@feature("Tool loop that another provider goes on with")
def test_another_provider_goes_on_where_one_stopped(openai: OpenAI, simulator: Simulator, provider: str) -> None:
    request = {"tools": FUNCTIONS, **THINK, "messages": [user("Think, then use two tools")]}
    message = openai.chat.completions.create(model=MODELS[BEFORE[provider]], **request).choices[0].message
    request["messages"] += answered(message)
    second = openai.chat.completions.create(model=MODELS[provider], **request)
    assert f'"{RESULTS["weather"]}". "{RESULTS["clock"]}"' in said(second)
    assert simulator.private(provider) == [], "what is private to one provider went to another"


@feature("Prompt caching")
def test_tokens_read_from_the_cache_are_counted(openai: OpenAI, simulator: Simulator, provider: str) -> None:
    simulator.script(provider, "cached=4")
    usage = openai.chat.completions.create(model=MODELS[provider], messages=[user("A long and often repeated beginning")]).usage
    assert usage.prompt_tokens_details.cached_tokens == 4
    assert usage.prompt_tokens > 4


@pytest.mark.parametrize(
    ("model", "mark"),
    [
        ("openai/gpt-5.6-sol", {"prompt_cache_breakpoint": {"mode": "explicit"}}),
        (MODELS["claude"], {"cache_control": {"type": "ephemeral"}}),
    ],
    ids=["openai", "claude"],
)
def test_a_mark_for_the_cache_reaches_the_provider(openai: OpenAI, simulator: Simulator, model: str, mark: dict) -> None:
    content = [{"type": "text", "text": "A long and often repeated beginning", **mark}, {"type": "text", "text": "Hello there"}]
    openai.chat.completions.create(model=model, messages=[user(content)])
    [name] = mark
    assert f'"{name}"' in simulator.last(model.partition("/")[0])


@feature("Log probabilities")
@not_offered("mistral", "Mistral names no model that tells log probabilities.")
@not_offered("claude", "Claude tells no log probabilities.")
def test_each_token_tells_how_likely_it_was(openai: OpenAI, provider: str) -> None:
    request = {"model": SURE[provider], "messages": [user("Hello there")], "logprobs": True, "top_logprobs": 2}
    choice = openai.chat.completions.create(**request).choices[0]
    assert "".join(token.token for token in choice.logprobs.content) == choice.message.content
    assert all(token.logprob < 0 and len(token.top_logprobs) == 2 for token in choice.logprobs.content)
    chunks = openai.chat.completions.create(**request, stream=True)
    told = [chunk.choices[0].logprobs for chunk in chunks]
    assert [token for logprobs in told if logprobs for token in logprobs.content or []] == choice.logprobs.content


@feature("Several choices")
@not_offered("gemini", "Gemini's current models give one answer.")
@not_offered("claude", "Claude gives one answer.")
def test_each_of_several_answers_has_its_index(openai: OpenAI, provider: str) -> None:
    request = {"model": MODELS[provider], "messages": [user("Hello there")], "n": 2}
    whole = openai.chat.completions.create(**request)
    assert [(choice.index, choice.finish_reason) for choice in whole.choices] == [(0, "stop"), (1, "stop")]
    with openai.chat.completions.stream(**request) as stream:
        streamed = stream.get_final_completion()
    assert [choice.message.content for choice in streamed.choices] == [choice.message.content for choice in whole.choices]


@feature("Stop sequences")
@pytest.mark.parametrize("stop", ["said", ["nowhere", "said"]], ids=["one", "many"])
def test_an_answer_ends_before_a_stop_sequence(openai: OpenAI, provider: str, stop: str | list[str]) -> None:
    answer = openai.chat.completions.create(model=STOPPING[provider], messages=[user("Hello there")], stop=stop)
    assert said(answer).endswith("You ") and answer.choices[0].finish_reason == "stop"


@feature("Length limit")
@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_an_answer_that_is_too_long_says_so(openai: OpenAI, provider: str, field: str) -> None:
    answer = openai.chat.completions.create(model=MODELS[provider], messages=[user("Hello there")], **{field: 20})
    assert answer.choices[0].finish_reason == "length" and answer.usage.completion_tokens == 20


@feature("Content filter")
def test_a_blocked_answer_is_no_success(openai: OpenAI, simulator: Simulator, provider: str) -> None:
    simulator.script(provider, "blocked")
    if provider == "mistral":
        # It refuses with an error of its own.
        with pytest.raises(BadRequestError):
            openai.chat.completions.create(model=MODELS[provider], messages=[user("Hello there")])
    else:
        answer = openai.chat.completions.create(model=MODELS[provider], messages=[user("Hello there")])
        assert answer.choices[0].finish_reason == "content_filter"


@feature("Dropped parameters are named")
def test_what_a_provider_cannot_take_is_named_in_the_callers_words(openai: OpenAI, provider: str) -> None:
    refused = {
        "openai": {"stop": ["never"]},
        "gemini": {"logit_bias": {"5": 1}},
        "mistral": {"logit_bias": {"5": 1}},
        "claude": {"seed": 7},
    }[provider]
    raw = openai.chat.completions.with_raw_response.create(model=MODELS[provider], messages=[user("Hello there")], **refused)
    assert raw.headers["x-gateway-dropped-params"].split(", ") == list(refused)
    assert 'You said: "Hello there"' in said(raw.parse())
    taken = openai.chat.completions.with_raw_response.create(model=MODELS[provider], messages=[user("Hello there")])
    assert "x-gateway-dropped-params" not in taken.headers
