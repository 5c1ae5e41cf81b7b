"""The bytes of a prompt belong to its version; other bytes need a new version."""

import json
from pathlib import Path

from agent.domain.records import Do, Kind, Past
from agent.prompt import VERSION, render
from tests.ai.kit import batch, window

RELEASED = Path(__file__).parent / "released"
#: The version and the hash go into logs, traces and metrics, so that answers can be compared.
HASHES = {
    "1": "a17465b7c9963e0c",
    "2": "afc45e1fb8a6a64f",
    "3": "ec605e63eee2693f",
    "4": "67a0cc6b610f1457",
    "5": "21249c19a0992f86",
}


PAST = (Past("f1", Do.FALSE_ALARM, Kind.SPIKE, 97.0, 99.2), Past("f2", Do.CONFIRMED, Kind.DRIFT, 80.0, 84.0))


def test_a_prompt_has_the_bytes_of_its_version() -> None:
    """System part, answer schema and a rendered batch equal the file of this version."""
    windows = [
        window("w1", recent=(70.4, 71.2, 98.66), past=PAST),
        window("w2", device="hall", metric="power", unit="W", kind=Kind.OUT_OF_RANGE),
        window("w3", device="hall", metric="flow rate of the pump", unit="l/min", kind=Kind.FLATLINE),
    ]
    prompt = render(batch(*windows), 4000, delimiter="7f3a")
    assert prompt.version == VERSION
    assert prompt.hash == HASHES[VERSION]
    written = f"{prompt.system}\n\n{json.dumps(prompt.schema, indent=1)}\n\n{prompt.user}\n"
    assert written == (RELEASED / f"prompt-{VERSION}.txt").read_text(encoding="utf-8")
