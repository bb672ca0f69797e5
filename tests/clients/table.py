"""Writes the feature table of README.md from what the tests proved; with `--check` only says whether it is right.

    python tests/clients/table.py target/features.json [--check]

A cell without a tick has a reason, which stands below the table. A cell without either is an error: a test is missing, or failed.
"""

import argparse
import json
import sys
from pathlib import Path

from features import FEATURES, OWN_FEATURES, OWN_WIRE, PROVIDERS, WIRES

README = Path(__file__).resolve().parents[2] / "README.md"
BEGIN, END = "<!-- features -->", "<!-- /features -->"
NAMES = {
    "openai": "OpenAI",
    "gemini": "Gemini",
    "mistral": "Mistral",
    "claude": "Claude",
    "chat": "Chat",
    "responses": "Responses",
    "messages": "Messages",
}


class Unproved(Exception):
    """A cell that no test proves."""


class Table:
    """`proofs` is what `conftest.Proofs` wrote: row, wire, provider, cell."""

    def __init__(self, proofs: dict) -> None:
        self._proofs = proofs
        self._notes: list[str] = []

    def markdown(self) -> str:
        by_wire = [(wire, provider) for wire in WIRES for provider in PROVIDERS]
        heads = [f"{NAMES[wire]}<br>{NAMES[provider]}" for wire, provider in by_wire]
        own = [(OWN_WIRE, provider) for provider in PROVIDERS]
        tables = [
            self._table(heads, FEATURES, by_wire),
            self._table([NAMES[provider] for provider in PROVIDERS], OWN_FEATURES, own),
        ]
        notes = [f"{number}. {note}" for number, note in enumerate(self._notes, 1)]
        return "\n\n".join([*tables, "\n".join(notes)])

    def _table(self, heads: list[str], rows: tuple[str, ...], places: list[tuple[str, str]]) -> str:
        lines = ["| | " + " | ".join(heads) + " |", "|---|" + ":-:|" * len(heads)]
        lines += [f"| {row} | " + " | ".join(self._cell(row, *place) for place in places) + " |" for row in rows]
        return "\n".join(lines)

    def _cell(self, row: str, wire: str, provider: str) -> str:
        cell = self._proofs.get(row, {}).get(wire, {}).get(provider)
        match cell:
            case {"proved": True}:
                return "✓"
            case {"not_offered": reason} | {"not_in_wire": reason}:
                if reason not in self._notes:
                    self._notes.append(reason)
                return f"–<sup>{self._notes.index(reason) + 1}</sup>"
            case None:
                raise Unproved(
                    f"no test of {NAMES.get(wire, wire)} and {NAMES[provider]} proves {row!r}; see tests/clients/features.py"
                )
            case _:
                raise Unproved(f"a test of {NAMES.get(wire, wire)} and {NAMES[provider]} for {row!r} failed")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("proofs", type=Path, help="what the tests wrote, target/features.json")
    parser.add_argument("--check", action="store_true", help="change nothing, fail if README.md says something else")
    arguments = parser.parse_args()
    try:
        table = Table(json.loads(arguments.proofs.read_text())).markdown()
    except Unproved as reason:
        print(f"the feature table can't be written: {reason}", file=sys.stderr)
        return 1
    readme = README.read_text()
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        print(f"README.md has no place for the feature table: it needs {BEGIN} and {END}", file=sys.stderr)
        return 1
    wanted = f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"
    if wanted == readme:
        return 0
    if arguments.check:
        print("README.md says something else than the tests prove; `make features` writes it", file=sys.stderr)
        return 1
    README.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
