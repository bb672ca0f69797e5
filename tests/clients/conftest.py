"""Fixtures for all tests, and the plugin that writes down what they prove.

Owns: one gateway and one simulator for the whole run, the SDKs' clients, which provider and wire each test runs for, and the file of
proofs (`--features`). Not here: the processes themselves (`processes`), the rows (`features`), the table (`table`).
"""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from anthropic import Anthropic
from openai import OpenAI

from features import PROVIDERS, WIRES
from processes import BINARY, Gateway, Simulator


@pytest.fixture(scope="session")
def _simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    if not BINARY.is_file():
        pytest.exit(f"there is no {BINARY}; `make build` builds it, LLM_GATEWAY_BINARY names another", returncode=1)
    simulator = Simulator(tmp_path_factory.mktemp("simulator"))
    yield simulator
    simulator.process.stop()


@pytest.fixture
def simulator(_simulator: Simulator, gateway: Gateway) -> Iterator[Simulator]:
    yield _simulator
    _simulator.forget()
    gateway.forget()


@pytest.fixture(scope="session")
def gateway(_simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway(_simulator, tmp_path_factory.mktemp("gateway"))
    yield gateway
    gateway.process.stop()


@pytest.fixture(scope="session")
def openai(gateway: Gateway) -> Iterator[OpenAI]:
    """Tries once; a test of retries asks for more by `with_options`."""
    with OpenAI(base_url=f"{gateway.url}/v1", api_key="unused", max_retries=0) as client:
        yield client


@pytest.fixture(scope="session")
def anthropic(gateway: Gateway) -> Iterator[Anthropic]:
    with Anthropic(base_url=gateway.url, api_key="unused", max_retries=0) as client:
        yield client


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch, gateway: Gateway) -> list[float]:
    """How long an SDK waited before each retry, in seconds. It does not really wait: what the gateway would leave alone for that long is forgotten."""
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        gateway.forget()

    monkeypatch.setattr("time.sleep", wait)
    return waits


# ---- which provider and wire a test runs for


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "wire" in metafunc.fixturenames:
        metafunc.parametrize("wire", WIRES)
    if "provider" in metafunc.fixturenames:
        absent = _not_offered(metafunc.definition)
        metafunc.parametrize("provider", [provider for provider in PROVIDERS if provider not in absent])


def _not_offered(item: pytest.Item) -> dict[str, str]:
    return dict(mark.args for mark in item.iter_markers("not_offered"))


def _rows(item: pytest.Item) -> list[str]:
    return [mark.args[0] for mark in item.iter_markers("feature")]


# ---- what the tests prove


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--features", type=Path, help="the file to write what the tests prove into, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--features")
    if path is not None:
        config.pluginmanager.register(Proofs(path))


class Proofs:
    """Per row, wire and provider: whether all tests of it passed, or why there is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[str, list[Place]] = {}
        self._cells: dict[Place, dict] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            self._places[item.nodeid] = list(_proved(item))
            self._cells.update(dict.fromkeys(self._places[item.nodeid], {"proved": True}))
        for item in session.items:
            for place, reason in _absent(item):
                # Unless another test of the row does prove it.
                self._cells.setdefault(place, reason)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self._cells.update(dict.fromkeys(self._places[report.nodeid], {"proved": False}))

    def pytest_sessionfinish(self) -> None:
        rows: dict[str, dict[str, dict[str, dict]]] = {}
        for (row, wire, provider), cell in self._cells.items():
            rows.setdefault(row, {}).setdefault(wire, {})[provider] = cell
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


# Row, wire, provider.
Place = tuple[str, str, str]


def _wires(item: pytest.Item) -> tuple[str, ...]:
    return WIRES if "wire" in item.fixturenames else (item.module.WIRE,)


def _proved(item: pytest.Item) -> Iterator[Place]:
    params = item.callspec.params if hasattr(item, "callspec") else {}
    wires = (params["wire"],) if "wire" in params else _wires(item)
    providers = (params["provider"],) if "provider" in params else PROVIDERS
    yield from itertools.product(_rows(item), wires, providers)


def _absent(item: pytest.Item) -> Iterator[tuple[Place, dict]]:
    for provider, reason in _not_offered(item).items():
        for place in itertools.product(_rows(item), _wires(item), [provider]):
            yield place, {"not_offered": reason}
    for row, reason in getattr(item.module, "NOT_IN_WIRE", {}).items():
        for provider in PROVIDERS:
            yield (row, item.module.WIRE, provider), {"not_in_wire": reason}
