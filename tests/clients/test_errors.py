"""What goes wrong, as a user of the SDK sees it: on every wire, for every provider. The simulator fails on command."""

import pytest
from anthropic import Anthropic
from openai import OpenAI

from callers import Caller, Chat, Messages, Responses
from features import feature, not_offered
from processes import Simulator
from samples import MODELS


@pytest.fixture
def caller(wire: str, openai: OpenAI, anthropic: Anthropic) -> Caller:
    return {"chat": lambda: Chat(openai), "responses": lambda: Responses(openai), "messages": lambda: Messages(anthropic)}[wire]()


# What the provider answers with, the SDK's class for it, and the status that the caller is told.
STATUSES = [
    (400, "BadRequestError", {400}),
    (401, "AuthenticationError", {401}),
    (403, "PermissionDeniedError", {403}),
    (404, "NotFoundError", {404}),
    (413, "APIStatusError", {413}),
    (422, "APIStatusError", {400, 422}),
    (429, "RateLimitError", {429}),
    (500, "InternalServerError", {500, 502}),
    (502, "InternalServerError", {502}),
    (503, "InternalServerError", {502, 503, 529}),
    (504, "InternalServerError", {502, 504}),
]
# A 403 of Mistral's is its guardrail that refuses the content.
GUARDRAIL = ("BadRequestError", {400})


@feature("Errors, as the SDK's exceptions")
@pytest.mark.parametrize(("status", "name", "told"), STATUSES, ids=[str(status) for status, *_ in STATUSES])
def test_a_providers_error_is_the_sdks_exception(
    caller: Caller, simulator: Simulator, provider: str, status: int, name: str, told: set[int]
) -> None:
    if (provider, status) == ("mistral", 403):
        name, told = GUARDRAIL
    simulator.script(provider, f"status={status}")
    with pytest.raises(getattr(caller.errors, name)) as raised:
        caller.ask(MODELS[provider], "Hello there")
    error = raised.value
    assert error.status_code in told
    assert error.response.headers["x-gateway-error-origin"] == "provider"
    assert error.request_id and error.body is not None
    # Neither the key nor where the provider is asked.
    assert f"secret-{provider}-key" not in error.response.text and "127.0.0.1" not in error.response.text


@feature("Errors, as the SDK's exceptions")
def test_overload_is_told_in_the_wires_own_way(caller: Caller, simulator: Simulator, wire: str, provider: str) -> None:
    # 529 is Anthropic's own.
    simulator.script(provider, "status=529" if provider == "claude" else "status=503")
    with pytest.raises(caller.errors.InternalServerError) as raised:
        caller.ask(MODELS[provider], "Hello there")
    assert raised.value.status_code == (529 if wire == "messages" or provider == "claude" else 503)


@feature("Errors, as the SDK's exceptions")
@pytest.mark.parametrize("fault", ["html=502", "garbage", "cut-after=0"])
def test_what_is_no_answer_at_all_is_a_server_error(caller: Caller, simulator: Simulator, provider: str, fault: str) -> None:
    simulator.script(provider, fault)
    with pytest.raises(caller.errors.InternalServerError) as raised:
        caller.ask(MODELS[provider], "Hello there")
    assert raised.value.status_code == 502


@feature("Errors, as the SDK's exceptions")
def test_the_gateways_own_refusals_say_what_to_do(caller: Caller, provider: str) -> None:
    with pytest.raises(caller.errors.NotFoundError) as unknown:
        caller.ask("nobody/no-such-model", "Hello there")
    assert unknown.value.response.headers["x-gateway-error-origin"] == "gateway"
    assert "no-such-model" in str(unknown.value) or "nobody" in str(unknown.value)
    # A provider that does not know the model says so itself.
    with pytest.raises(caller.errors.APIStatusError) as refused:
        caller.ask(f"{provider}/no-such-model", "Hello there")
    assert refused.value.status_code in (400, 404) and "no-such-model" in str(refused.value)


@feature("Errors, as the SDK's exceptions")
def test_a_failure_before_the_first_word_of_a_stream_has_its_status(caller: Caller, simulator: Simulator, provider: str) -> None:
    simulator.script(provider, "status=401")
    with pytest.raises(caller.errors.AuthenticationError):
        list(caller.stream(MODELS[provider], "Hello there"))


@feature("Rate limit, with the time to wait")
def test_the_time_to_wait_is_passed_on(caller: Caller, simulator: Simulator, provider: str) -> None:
    simulator.script(provider, "status=429;retry-after=7")
    with pytest.raises(caller.errors.RateLimitError) as raised:
        caller.ask(MODELS[provider], "Hello there")
    assert raised.value.response.headers["retry-after"] == "7"


@feature("Retries by the SDK")
@pytest.mark.parametrize("status", [429, 503])
def test_the_sdk_waits_as_told_and_tries_again(
    caller: Caller, simulator: Simulator, waits: list[float], provider: str, status: int
) -> None:
    simulator.script(provider, f"status={status};retry-after=3")
    assert 'You said: "Once more"' in caller.trying(2).ask(MODELS[provider], "Once more")
    assert waits == [3]


@feature("No retry without hope")
def test_a_used_up_budget_is_not_tried_again(caller: Caller, simulator: Simulator, waits: list[float], provider: str) -> None:
    fault = {
        "openai": "status=429;code=insufficient_quota",
        "gemini": "status=429;code=GenerateRequestsPerDayPerProjectPerModel",
        "mistral": "status=402",
        "claude": "status=429;code=enforced_spend_limit_reached",
    }[provider]
    simulator.script(provider, fault)
    with pytest.raises(caller.errors.APIStatusError) as raised:
        caller.trying(2).ask(MODELS[provider], "Hello there")
    assert raised.value.response.headers["x-should-retry"] == "false" and waits == []


@feature("No retry without hope")
@not_offered("gemini", "Gemini has no word against retries.")
@not_offered("mistral", "Mistral has no word against retries.")
def test_a_providers_word_against_retries_reaches_the_sdk(
    caller: Caller, simulator: Simulator, waits: list[float], provider: str
) -> None:
    simulator.script(provider, "status=503;should-retry=false")
    with pytest.raises(caller.errors.InternalServerError):
        caller.trying(2).ask(MODELS[provider], "Hello there")
    assert waits == []


def broken_stream(caller: Caller, simulator: Simulator, provider: str, fault: str) -> str:
    """The text that came before the SDK raised. What fails in one piece with its first words would fail before them, so there is a pause between."""
    simulator.script(provider, f"chunks=20;{fault};stall-after=7;stall-ms=50")
    pieces = []
    with pytest.raises(caller.errors.APIError):
        for piece in caller.stream(MODELS[provider], "Hello there"):
            pieces.append(piece)
    return "".join(pieces)


@feature("Error in mid-stream")
def test_an_error_in_mid_stream_raises_after_the_words_before_it(caller: Caller, simulator: Simulator, provider: str) -> None:
    assert broken_stream(caller, simulator, provider, "error-after=8").startswith(f"[simulated {provider}/")


@feature("Error in mid-stream")
def test_an_error_without_framing_raises_too(caller: Caller, simulator: Simulator, provider: str) -> None:
    assert broken_stream(caller, simulator, provider, "error-after=raw:8").startswith(f"[simulated {provider}/")


@feature("Cut stream is an error")
@pytest.mark.parametrize("fault", ["no-end=finish", "cut-after=8"])
def test_a_stream_without_its_end_is_no_short_success(caller: Caller, simulator: Simulator, provider: str, fault: str) -> None:
    assert broken_stream(caller, simulator, provider, fault).startswith(f"[simulated {provider}/")
