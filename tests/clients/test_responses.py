"""OpenAI's SDK on the Responses wire."""

import json

import pytest
from openai import BadRequestError, OpenAI
from openai.types.responses import Response

from features import feature, not_offered
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
    SURE,
    TOOLS,
    Trip,
)

WIRE = "responses"
NOT_IN_WIRE = {
    "Stop sequences": "OpenAI's Responses wire has no field for stop sequences.",
    "Audio, base64": "OpenAI's Responses wire has no audio.",
    "Several choices": "On this wire an answer is one.",
}

FUNCTIONS = [
    {"type": "function", "name": name, "description": description, "parameters": schema, "strict": True}
    for name, description, schema in TOOLS
]
# How a caller of this wire asks for thinking that is shown, and for what makes it last without a server's memory.
THINK = {"reasoning": {"effort": "high", "summary": "auto"}, "include": ["reasoning.encrypted_content"], "store": False}


def user(content: str | list) -> dict:
    return {"role": "user", "content": content}


def text(words: str) -> dict:
    return {"type": "input_text", "text": words}


def calls(response: Response) -> list:
    return [item for item in response.output if item.type == "function_call"]


def called(response: Response) -> list[tuple[str, dict]]:
    return [(call.name, json.loads(call.arguments)) for call in calls(response)]


def thought(response: Response) -> str:
    return "".join(part.text for item in response.output if item.type == "reasoning" for part in item.summary)


def answered(request: dict, response: Response) -> dict:
    """The next request: all items as the SDK gave them, and an output for each call."""
    outputs = [{"type": "function_call_output", "call_id": call.call_id, "output": RESULTS[call.name]} for call in calls(response)]
    return {**request, "input": [*request["input"], *response.output, *outputs]}


@feature("Chat")
def test_an_answer_has_all_that_the_sdk_types_promise(openai: OpenAI, provider: str) -> None:
    response = openai.responses.create(model=MODELS[provider], input="Hello there")
    assert (response.object, response.status, response.error) == ("response", "completed", None)
    assert response.id.startswith("resp_") and response.created_at > 1_700_000_000
    assert response.model == MODELS[provider].partition("/")[2]
    assert (response.tools, response.tool_choice, response.parallel_tool_calls) == ([], "auto", True)
    [message] = response.output
    assert (message.type, message.role, message.status) == ("message", "assistant", "completed")
    assert 'You said: "Hello there"' in response.output_text


@feature("Usage")
def test_tokens_are_counted_and_add_up(openai: OpenAI, provider: str) -> None:
    usage = openai.responses.create(model=MODELS[provider], input="Hello there").usage
    assert usage.input_tokens > 0 and usage.output_tokens > 0
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert (usage.input_tokens_details.cached_tokens, usage.output_tokens_details.reasoning_tokens) == (0, 0)


@feature("System prompt")
@pytest.mark.parametrize("place", ["instructions", "developer", "system"])
def test_instructions_reach_the_provider_and_are_not_answered(
    openai: OpenAI, simulator: Simulator, provider: str, place: str
) -> None:
    words = "Answer like a pirate."
    if place == "instructions":
        response = openai.responses.create(model=MODELS[provider], instructions=words, input="Hello there")
        assert response.instructions == words
    else:
        response = openai.responses.create(model=MODELS[provider], input=[{"role": place, "content": words}, user("Hello there")])
    assert "pirate" not in response.output_text
    assert words in simulator.last(provider)


@feature("Conversation of many turns")
def test_earlier_turns_go_along_and_the_last_one_is_answered(openai: OpenAI, simulator: Simulator, provider: str) -> None:
    turns = [user("first question")]
    turns += openai.responses.create(model=MODELS[provider], input=turns).output
    second = openai.responses.create(model=MODELS[provider], input=[*turns, user("second question")])
    assert 'You said: "second question"' in second.output_text
    sent = simulator.last(provider)
    assert "first question" in sent and "You said:" in sent


@feature("Unicode, emoji split across chunks")
def test_no_character_is_lost_however_the_bytes_are_cut(openai: OpenAI, simulator: Simulator, provider: str) -> None:
    request = {"model": MODELS[provider], "input": EMOJI}
    whole = openai.responses.create(**request)
    assert EMOJI in whole.output_text
    simulator.script(provider, "chunk-bytes=1", "split=seed:7")
    for _ in range(2):
        with openai.responses.stream(**request) as stream:
            assert stream.get_final_response().output_text == whole.output_text


@feature("Streaming")
def test_events_come_typed_numbered_and_in_order(openai: OpenAI, provider: str) -> None:
    request = {"model": MODELS[provider], "input": "Hello there"}
    events = list(openai.responses.create(**request, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    begin = ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"]
    end = ["response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed"]
    assert kinds[:4] == begin and kinds[-4:] == end and set(kinds[4:-4]) == {"response.output_text.delta"}
    words = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    whole = openai.responses.create(**request)
    assert words == events[-1].response.output_text == whole.output_text
    assert len({event.response.id for event in events if hasattr(event, "response")}) == 1


@feature("Streaming")
def test_the_stream_helper_gathers_the_answer(openai: OpenAI, provider: str) -> None:
    with openai.responses.stream(model=MODELS[provider], input="Hello there") as stream:
        words = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert final.output_text == words and 'You said: "Hello there"' in words
    assert final.status == "completed"


@feature("Usage in the stream")
def test_a_streams_usage_is_that_of_the_whole_answer(openai: OpenAI, provider: str) -> None:
    request = {"model": MODELS[provider], "input": "Hello there"}
    with openai.responses.stream(**request) as stream:
        streamed = stream.get_final_response().usage
    assert streamed == openai.responses.create(**request).usage


@feature("Usage, estimated where the provider is silent")
@pytest.mark.parametrize("way", ["whole", "streamed"])
def test_an_estimate_is_marked_as_one(openai: OpenAI, simulator: Simulator, provider: str, way: str) -> None:
    request = {"model": MODELS[provider], "input": "Hello there"}
    simulator.script(provider, "no-usage")
    if way == "whole":
        usage = openai.responses.create(**request).usage
    else:
        with openai.responses.stream(**request) as stream:
            usage = stream.get_final_response().usage
    assert usage.estimated is True and usage.input_tokens > 0 and usage.output_tokens > 0
    assert not hasattr(openai.responses.create(**request).usage, "estimated")


@feature("Tools, with the whole loop")
def test_a_call_its_result_and_the_answer(openai: OpenAI, provider: str) -> None:
    request = {"model": MODELS[provider], "tools": FUNCTIONS, "input": [user("Use the tool")]}
    first = openai.responses.create(**request)
    assert first.status == "completed" and called(first) == [("weather", ARGUMENTS["weather"])]
    [call] = calls(first)
    assert call.call_id and call.status == "completed"
    second = openai.responses.create(**answered(request, first))
    assert f'The tools answered: "{RESULTS["weather"]}"' in second.output_text


@feature("Failed tool")
def test_a_tools_failure_is_told_as_text(openai: OpenAI, provider: str) -> None:
    request = {"model": MODELS[provider], "tools": FUNCTIONS, "input": [user("Use the tool")]}
    first = openai.responses.create(**request)
    failed = {"type": "function_call_output", "call_id": calls(first)[0].call_id, "output": [text("Error: no such city")]}
    second = openai.responses.create(**{**request, "input": [*request["input"], *first.output, failed]})
    assert "Error: no such city" in second.output_text


@feature("Parallel tools")
def test_calls_keep_their_order_and_find_their_results(openai: OpenAI, provider: str) -> None:
    request = {"model": MODELS[provider], "tools": FUNCTIONS, "input": [user("Use two tools")]}
    first = openai.responses.create(**request)
    assert called(first) == list(ARGUMENTS.items())
    assert len({call.call_id for call in calls(first)}) == 2
    second = openai.responses.create(**answered(request, first))
    assert f'"{RESULTS["weather"]}". "{RESULTS["clock"]}"' in second.output_text


@feature("Parallel tools")
def test_parallel_calls_can_be_switched_off_where_the_provider_can(openai: OpenAI, provider: str) -> None:
    raw = openai.responses.with_raw_response.create(
        model=MODELS[provider], tools=FUNCTIONS, input="Use two tools", parallel_tool_calls=False
    )
    dropped = raw.headers.get("x-gateway-dropped-params", "")
    assert len(calls(raw.parse())) == 1 or "parallel_tool_calls" in dropped


@feature("Streamed tools")
def test_streamed_calls_are_items_of_their_own(openai: OpenAI, provider: str) -> None:
    request = {"model": MODELS[provider], "tools": FUNCTIONS, "input": [user("Use two tools")]}
    with openai.responses.stream(**request) as stream:
        events = list(stream)
        final = stream.get_final_response()
    done = [event for event in events if event.type == "response.function_call_arguments.done"]
    for event in done:
        deltas = [
            delta.delta
            for delta in events
            if delta.type == "response.function_call_arguments.delta" and delta.item_id == event.item_id
        ]
        assert "".join(deltas) == event.arguments
    assert [json.loads(event.arguments) for event in sorted(done, key=lambda event: event.output_index)] == list(ARGUMENTS.values())
    assert called(final) == list(ARGUMENTS.items())
    second = openai.responses.create(**answered(request, final))
    assert f'"{RESULTS["weather"]}". "{RESULTS["clock"]}"' in second.output_text


@feature("Forced tool")
@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "clock"}], ids=["any", "named"])
def test_a_tool_is_called_when_it_must_be(openai: OpenAI, provider: str, choice: str | dict) -> None:
    response = openai.responses.create(model=FORCIBLE[provider], tools=FUNCTIONS, tool_choice=choice, input="Hello there")
    [call] = calls(response)
    assert call.name == ("weather" if choice == "required" else "clock")


@feature("Forced tool")
def test_no_tool_is_called_when_none_may_be(openai: OpenAI, provider: str) -> None:
    response = openai.responses.create(model=MODELS[provider], tools=FUNCTIONS, tool_choice="none", input="Use the tool")
    assert calls(response) == [] and "Use the tool" in response.output_text


@feature("Structured output, parsed into a class")
def test_an_answer_is_parsed_into_a_class(openai: OpenAI, provider: str) -> None:
    trip = openai.responses.parse(model=MODELS[provider], input="Plan a trip", text_format=Trip).output_parsed
    assert isinstance(trip, Trip) and (trip.city, trip.days, trip.guests[0].age) == ("Oslo", 42, 42)


@feature("Structured output, streamed")
def test_a_streamed_answer_is_parsed_into_a_class(openai: OpenAI, provider: str) -> None:
    with openai.responses.stream(model=MODELS[provider], input="Plan a trip", text_format=Trip) as stream:
        trip = stream.get_final_response().output_parsed
    assert isinstance(trip, Trip) and trip.city == "Oslo"


@feature("JSON mode")
def test_json_mode_answers_with_an_object(openai: OpenAI, simulator: Simulator, provider: str) -> None:
    response = openai.responses.create(model=MODELS[provider], input="Say it in JSON", text={"format": {"type": "json_object"}})
    if provider == "claude":
        # It has no such mode: it is told to, in words, which the simulator does not read.
        assert "JSON" in simulator.last(provider).replace("Say it in JSON", "")
    else:
        assert json.loads(response.output_text)["you_said"] == "Say it in JSON"


@feature("Image, base64")
def test_an_image_arrives_byte_for_byte(openai: OpenAI, simulator: Simulator, provider: str) -> None:
    picture = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG_BASE64}", "detail": "auto"}
    response = openai.responses.create(model=MODELS[provider], input=[user([text("What is this?"), picture])])
    assert f"I received an image of {len(PNG)} bytes" in response.output_text
    assert PNG_BASE64 in simulator.last(provider)


@feature("Image, by URL")
def test_an_images_url_is_passed_on(openai: OpenAI, simulator: Simulator, provider: str) -> None:
    picture = {"type": "input_image", "image_url": PICTURE_URL, "detail": "auto"}
    response = openai.responses.create(model=MODELS[provider], input=[user([text("What is this?"), picture])])
    assert "I received an image by reference" in response.output_text
    assert PICTURE_URL in simulator.last(provider)


@feature("PDF")
def test_a_document_arrives_byte_for_byte(openai: OpenAI, simulator: Simulator, provider: str) -> None:
    document = {"type": "input_file", "filename": "plan.pdf", "file_data": f"data:application/pdf;base64,{PDF_BASE64}"}
    response = openai.responses.create(model=MODELS[provider], input=[user([text("Sum it up"), document])])
    assert f"I received a document of {len(PDF)} bytes" in response.output_text
    assert PDF_BASE64 in simulator.last(provider)


@feature("Thinking, shown")
def test_thinking_is_an_item_before_the_answer(openai: OpenAI, provider: str) -> None:
    response = openai.responses.create(model=MODELS[provider], input="Think hard", **THINK)
    assert "The user wrote 2 words" in thought(response)
    kinds = [item.type for item in response.output]
    assert kinds.index("reasoning") < kinds.index("message")
    assert 'You said: "Think hard"' in response.output_text and "The user wrote" not in response.output_text


@feature("Thinking, streamed")
def test_thinking_is_streamed_before_the_answer(openai: OpenAI, provider: str) -> None:
    request = {"model": MODELS[provider], "input": "Think hard", **THINK}
    with openai.responses.stream(**request) as stream:
        deltas = [
            event for event in stream if event.type in ("response.reasoning_summary_text.delta", "response.output_text.delta")
        ]
        final = stream.get_final_response()
    kinds = [event.type for event in deltas]
    assert kinds == sorted(kinds, reverse=True) and len(set(kinds)) == 2

    said = "".join(event.delta for event in deltas if event.type == "response.reasoning_summary_text.delta")
    assert said == thought(final) == thought(openai.responses.create(**request))


@feature("Thinking, kept through a tool loop")
@pytest.mark.parametrize("way", ["whole", "streamed"])
def test_what_is_private_to_the_provider_comes_back_to_it(openai: OpenAI, simulator: Simulator, provider: str, way: str) -> None:
    request = {"model": MODELS[provider], "tools": FUNCTIONS, "input": [user("Think, then use two tools")], **THINK}
    if way == "whole":
        first = openai.responses.create(**request)
    else:
        with openai.responses.stream(**request) as stream:
            first = stream.get_final_response()
    second = openai.responses.create(**answered(request, first))
    assert f'"{RESULTS["weather"]}". "{RESULTS["clock"]}"' in second.output_text
    assert simulator.private(provider), "the provider's own data did not come back"


@feature("Tool loop that another provider goes on with")
def test_another_provider_goes_on_where_one_stopped(openai: OpenAI, simulator: Simulator, provider: str) -> None:
    request = {"model": MODELS[BEFORE[provider]], "tools": FUNCTIONS, "input": [user("Think, then use two tools")], **THINK}
    first = openai.responses.create(**request)
    second = openai.responses.create(**{**answered(request, first), "model": MODELS[provider]})
    assert f'"{RESULTS["weather"]}". "{RESULTS["clock"]}"' in second.output_text
    assert simulator.private(provider) == [], "what is private to one provider went to another"


@feature("Prompt caching")
def test_tokens_read_from_the_cache_are_counted(openai: OpenAI, simulator: Simulator, provider: str) -> None:
    simulator.script(provider, "cached=4")
    usage = openai.responses.create(model=MODELS[provider], input="A long and often repeated beginning").usage
    assert usage.input_tokens_details.cached_tokens == 4 and usage.input_tokens > 4


@feature("Log probabilities")
@not_offered("mistral", "Mistral names no model that tells log probabilities.")
@not_offered("claude", "Claude tells no log probabilities.")
def test_each_token_tells_how_likely_it_was(openai: OpenAI, provider: str) -> None:
    request = {"model": SURE[provider], "input": "Hello there", "include": ["message.output_text.logprobs"], "top_logprobs": 2}
    [part] = openai.responses.create(**request).output[-1].content
    assert "".join(token.token for token in part.logprobs) == part.text
    assert all(token.logprob < 0 and len(token.top_logprobs) == 2 for token in part.logprobs)
    with openai.responses.stream(**request) as stream:
        assert stream.get_final_response().output[-1].content[0].logprobs == part.logprobs


@feature("Length limit")
def test_an_answer_that_is_too_long_says_so(openai: OpenAI, provider: str) -> None:
    response = openai.responses.create(model=MODELS[provider], input="Hello there", max_output_tokens=20)
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert response.usage.output_tokens == 20


@feature("Content filter")
def test_a_blocked_answer_is_no_success(openai: OpenAI, simulator: Simulator, provider: str) -> None:
    simulator.script(provider, "blocked")
    if provider == "mistral":
        # It refuses with an error of its own.
        with pytest.raises(BadRequestError):
            openai.responses.create(model=MODELS[provider], input="Hello there")
    else:
        response = openai.responses.create(model=MODELS[provider], input="Hello there")
        assert (response.status, response.incomplete_details.reason) == ("incomplete", "content_filter")


@feature("Dropped parameters are named")
def test_what_a_provider_cannot_take_is_named_in_the_callers_words(openai: OpenAI, provider: str) -> None:
    name, refused = {
        "openai": ("temperature", {"temperature": 0.5, "reasoning": {"effort": "high"}}),
        "gemini": ("safety_identifier", {"safety_identifier": "someone"}),
        "mistral": ("safety_identifier", {"safety_identifier": "someone"}),
        "claude": ("temperature", {"temperature": 0.5}),
    }[provider]
    raw = openai.responses.with_raw_response.create(model=MODELS[provider], input="Hello there", **refused)
    assert name in raw.headers["x-gateway-dropped-params"].split(", ")
    assert 'You said: "Hello there"' in raw.parse().output_text
    plain = openai.responses.with_raw_response.create(model=MODELS[provider], input="Hello there")
    assert "x-gateway-dropped-params" not in plain.headers


@pytest.mark.parametrize(
    "asked",
    [{"previous_response_id": "resp_1"}, {"conversation": "conv_1"}, {"background": True}],
    ids=lambda asked: next(iter(asked)),
)
def test_what_needs_a_servers_memory_is_refused_by_name(openai: OpenAI, asked: dict) -> None:
    with pytest.raises(BadRequestError, match=next(iter(asked))):
        openai.responses.create(model=MODELS["openai"], input="Hello there", **asked)
