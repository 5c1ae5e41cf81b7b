"""Messages from a file: recordings as they were, tables as readings."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from simulator import recording, table
from simulator.outgoing import Outgoing
from simulator.recording import FileError, Recorded

SUFFIXES = {".csv": "table", ".tsv": "table", ".jsonl": "recording", ".ndjson": "recording"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tape:
    """A file that was read to its end once, so that its errors are reported before anything is sent.

    ``play(shift_s)`` yields the messages with their offsets (seconds) from the first, and a table's times
    moved by ``shift_s``. It may be called again.
    """

    play: Callable[[float], Iterator[Recorded]]
    messages: int
    first: float  # event time of the first row (Unix seconds); 0 for a recording
    span_s: float  # from the first to the last
    gap_s: float  # what to wait before it begins again


def open_tape(path: Path, *, topic: str | None = None, qos: int | None = None) -> Tape:
    """Check a file and return what plays it.

    Args:
        path: ``.csv`` (or ``.tsv``), else a recording.
        topic: where it goes. Of a recording, ``{topic}`` is its own; of a table, ``{name}`` is the file's
            name and ``{metric}`` the column, without which a message holds a whole row.
        qos: 0 or 1 instead of the recorded QoS, or 1 for a table.

    Raises:
        FileError: the file or the topic is wrong; one line.
    """
    if SUFFIXES.get(path.suffix.lower(), "recording") == "recording":
        return _measured(lambda _: _recorded(path, topic, qos), first=0.0)
    pattern = _table_topic(path, topic or "sensors/{name}/{metric}")
    first = next(table.rows(path), None)
    if first is None:
        raise FileError(f"{path}: holds no value; there is nothing to play")
    start = first.at
    return _measured(
        lambda shift_s: _rows(path, pattern, 1 if qos is None else qos, start, shift_s), first=start
    )


def _measured(play: Callable[[float], Iterator[Recorded]], *, first: float) -> Tape:
    count, last, steps = 0, 0.0, 0
    for one in play(0.0):
        steps += one.offset > last
        count, last = count + 1, one.offset
    gap_s = last / steps if steps else 1.0
    return Tape(play=play, messages=count, first=first, span_s=last, gap_s=gap_s)


def _recorded(path: Path, topic: str | None, qos: int | None) -> Iterator[Recorded]:
    for number, one in enumerate(recording.read(path), 1):
        message = one.message
        if topic is not None:
            try:
                message = replace(
                    message, topic=recording.checked_topic(topic.replace("{topic}", message.topic))
                )
            except ValueError as error:
                raise FileError(f"{path}: message {number} {error}; choose another --topic") from None
        yield Recorded(one.offset, message if qos is None else replace(message, qos=qos))


def _rows(path: Path, topic: str, qos: int, start: float, shift_s: float) -> Iterator[Recorded]:
    """Yield a table's readings in the form that the simulator's devices have."""
    for row in table.rows(path):
        stamp = round(row.at + shift_s, 3)
        bodies = (
            [
                (topic.replace("{metric}", name), {"ts": stamp, "value": value})
                for name, value in row.values.items()
            ]
            if "{metric}" in topic
            else [(topic, {"ts": stamp, **row.values})]
        )
        for where, body in bodies:
            payload = json.dumps(body, separators=(",", ":")).encode()
            yield Recorded(row.at - start, Outgoing(topic=where, payload=payload, qos=qos))


def _table_topic(path: Path, topic: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", path.stem) or "table"
    out = topic.replace("{name}", name)
    try:
        recording.checked_topic(out)
    except ValueError as error:
        raise FileError(f"--topic {error}; write sensors/{{name}}/{{metric}}") from None
    unknown = re.search(r"\{(?!metric\})[^}]*\}", out)
    if unknown is not None:
        raise FileError(f"--topic has {unknown[0][:40]}; use {{name}} and {{metric}}")
    return out
