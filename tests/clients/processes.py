"""The real processes that tests talk to: the simulator, and the gateway in front of it.

Owns: starting, stopping and addressing them. Both listen on loopback, on ports that the system chooses.
"""

import json
import os
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from features import PROVIDERS

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
BINARY = Path(os.environ.get("LLM_GATEWAY_BINARY", TARGET / "release" / "llm-gateway")).resolve()
# For what takes milliseconds on an idle machine, in seconds.
PATIENCE = 60
KEPT_LINES = 200


class Process:
    """The gateway's binary with `arguments`, and the last lines that it wrote."""

    def __init__(self, arguments: list[str], env: dict[str, str], folder: Path) -> None:
        self._child = subprocess.Popen(
            [BINARY, *arguments], env=env, cwd=folder, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        self._lines: list[str] = []
        self._more = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._child.stdout:
            with self._more:
                self._lines = [*self._lines[1 - KEPT_LINES :], line]
                self._more.notify_all()

    def find(self, what: str, address: Callable[[str], str | None]) -> str:
        """Waits for a line in which `address` finds something."""

        def found() -> str | None:
            return next(filter(None, map(address, self._lines)), None)

        with self._more:
            self._more.wait_for(found, PATIENCE)
            result = found()
        if result is None:
            raise RuntimeError(f"{BINARY} told no {what} within {PATIENCE} s:\n{''.join(self._lines)}")
        return result

    def stop(self) -> None:
        self._child.terminate()
        try:
            self._child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


class Simulator:
    """Plays all four providers, as fast as it can."""

    def __init__(self, folder: Path) -> None:
        self.process = Process(["simulate", "--port", "0", "--first-token-ms", "0", "--per-chunk-ms", "0"], {}, folder)
        self.origin = self.process.find("address", _simulator_address)

    def base_url(self, provider: str) -> str:
        version = "v1beta" if provider == "gemini" else "v1"
        return f"{self.origin}/{provider}/{version}"

    def script(self, provider: str, *faults: str) -> None:
        """Faults for the provider's next requests, one after the other."""
        self._call("POST", "script", {"provider": provider, "faults": faults})

    def forget(self) -> None:
        """Drops what is left of scripts."""
        self._call("DELETE", "script")

    def requests(self, provider: str) -> list[dict]:
        """What the provider was asked, the last request last: `path`, `headers`, `body`."""
        return [request for request in self._call("GET", "requests")["requests"] if request["provider"] == provider]

    def last(self, provider: str) -> str:
        """The body of the provider's last request, as text."""
        return json.dumps(self.requests(provider)[-1]["body"], ensure_ascii=False)

    def private(self, provider: str) -> list[str]:
        """What of the provider's last request is private to it: signatures, encrypted reasoning. It has checked them."""
        return list(_private(self.requests(provider)[-1]["body"]))

    def _call(self, method: str, path: str, body: dict | None = None) -> dict:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.origin}/simulator/{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)


class Gateway:
    """The gateway with the four adapters, each asking the simulator. It does not retry: that is left to the SDKs, to see what they do."""

    def __init__(self, simulator: Simulator, folder: Path) -> None:
        data = folder / "data"
        data.mkdir()
        # Kept, so that the adapters are compiled once for all runs.
        compiled = (TARGET / "clients-data" / "compiled").resolve()
        compiled.mkdir(parents=True, exist_ok=True)
        (data / "compiled").symlink_to(compiled)
        env = {
            "PORT": "0",
            "MAX_RETRIES": "0",
            "PLUGINS_DIR": str(ROOT / "plugins"),
            "DATA_DIR": str(data),
            # Tests ask the same again and again, to see it asked.
            "CACHE_ENABLED": "false",
        }
        for provider in PROVIDERS:
            env[f"{provider.upper()}_API_KEY"] = f"secret-{provider}-key"
            env[f"{provider.upper()}_BASE_URL"] = simulator.base_url(provider)
        self.process = Process(["serve"], env, folder)
        self.url = "http://" + self.process.find("address", _gateway_address)

    def forget(self) -> None:
        """Drops what it has learned of the providers: limits, breakers."""
        request = urllib.request.Request(f"{self.url}/admin/health/reset", method="POST")
        with urllib.request.urlopen(request, timeout=PATIENCE):
            pass


PRIVATE = ("signature", "thoughtSignature", "encrypted_content", "data")
# Gemini's word for a call that another provider made is shorter.
LEAST_PRIVATE = 40


def _private(body: object) -> Iterator[str]:
    if isinstance(body, list):
        for item in body:
            yield from _private(item)
    if isinstance(body, dict):
        for name, value in body.items():
            if name in PRIVATE and isinstance(value, str) and len(value) > LEAST_PRIVATE:
                yield value
            else:
                yield from _private(value)


def _simulator_address(line: str) -> str | None:
    _, found, rest = line.partition("simulator on ")
    return rest.partition(": ")[0] if found else None


def _gateway_address(line: str) -> str | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record.get("address") if "listens on" in record.get("message", "") else None
