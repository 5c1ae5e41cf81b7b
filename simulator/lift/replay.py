"""Recorded answers: JSON lines, one per window, and a model that repeats them."""

import json
import math
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.lift.gateway import Exchange
from simulator.lift.question import questions
from simulator.lift.scripted import chat
from simulator.model.replies import Response, prompt_of

MAX_LINE = 64 * 1024
HEAD = "edge-sim-lift"


class RecordingError(Exception):
    """A recording that cannot be read or written; one line: file, line, what is wrong."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Answers of one model by the key of their window."""

    model: str
    prompt: str  # version of the prompts that were answered
    scenarios: tuple[str, ...]
    settings: Mapping[str, Any]  # of the run: seed, times, batches
    answers: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, path: Path) -> "Recording":
        """Read a file.

        Raises:
            RecordingError: it cannot be read or is none.
        """
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            head, *rest = [json.loads(line) for line in lines if line.strip()]
            if head["recording"] != HEAD:
                raise ValueError("another kind of file")  # noqa: TRY301 - reported with the others
            answers = {str(one["key"]): one for one in rest}
            return cls(
                str(head["model"]),
                str(head["prompt"]),
                tuple(map(str, head["scenarios"])),
                dict(head["settings"]),
                answers,
            )
        except OSError as error:
            raise RecordingError(f"{path}: cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, RecursionError):
            raise RecordingError(
                f"{path}: is not a recording; make one with `edge-sim lift --record FILE`"
            ) from None

    def write(self, path: Path) -> None:
        """Write a file.

        Raises:
            RecordingError: it cannot be written.
        """
        head = {
            "recording": HEAD,
            "model": self.model,
            "prompt": self.prompt,
            "scenarios": self.scenarios,
            "settings": self.settings,
        }
        lines = [json.dumps(one, separators=(",", ":")) for one in (head, *self.answers.values())]
        try:
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        except OSError as error:
            raise RecordingError(f"{path}: cannot be written: {error.strerror}") from None


def recorded(exchanges: Iterable[Exchange]) -> dict[str, Mapping[str, Any]]:
    """Return the lines of a recording; of a window that was asked twice, the first answer."""
    lines: dict[str, Mapping[str, Any]] = {}
    for one in exchanges:
        answer = None if one.answer is None else {**one.answer, "w": 1}
        lines.setdefault(
            one.question.key,
            {
                "key": one.question.key,
                "device": one.question.device,
                "at": one.question.at,
                "answer": answer,
                "reply": one.reply[:MAX_LINE],
                "input": round(one.input_tokens, 1),
                "output": round(one.output_tokens, 1),
                "seconds": round(one.seconds, 3),
            },
        )
    return lines


class Replay:
    """Repeats recorded answers; a window without one is left out of the reply and counted."""

    def __init__(self, recording: Recording) -> None:
        self._answers = recording.answers
        self._lock = threading.Lock()
        self.missing: list[str] = []  # device and time
        self.used: set[str] = set()

    def __call__(self, request: dict[str, Any]) -> Response:
        """Return the response to a completion request."""
        asked = questions(prompt_of(request))
        found = [(one, self._answers.get(one.key)) for one in asked]
        known = [(one, line) for one, line in found if line is not None]
        with self._lock:
            self.missing += [f"{one.device} {one.at}" for one, line in found if line is None]
            self.used.update(one.key for one, _ in known)
        told = [{**line["answer"], "w": one.w} for one, line in known if line["answer"] is not None]
        content = json.dumps({"windows": told}, separators=(",", ":"))
        if not told and len(known) == 1:
            content = str(known[0][1]["reply"])
        sent, got = (math.ceil(sum(line[name] for _, line in known)) for name in ("input", "output"))
        used = {"prompt_tokens": sent, "completion_tokens": got, "total_tokens": sent + got}
        return chat(request, content, used)
