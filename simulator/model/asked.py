"""The answer to a question of a person: a sentence per finding."""

import json
import re
from typing import Any

MAX_SENTENCES = 4
_FACTS = re.compile(r"FACTS [0-9a-f]+")


def answer_to_question(prompt: str) -> dict[str, Any] | None:
    """Return the answer to the question in a prompt, None where there is none."""
    lines = iter(prompt.splitlines())
    if not any(_FACTS.fullmatch(line) for line in lines):
        return None
    facts: list[dict[str, Any]] = []
    for line in lines:
        if line.startswith("QUESTION "):
            break
        facts.append(json.loads(line))
    findings = [fact for fact in facts if {"id", "device", "kind", "severity", "opened"} <= fact.keys()]
    told = findings[:MAX_SENTENCES]
    return {
        "answered": bool(told),
        "answer": " ".join(map(_sentence, told)),
        "cites": [fact["id"] for fact in told],
    }


def _sentence(finding: dict[str, Any]) -> str:
    ended = f" and ended at {finding['ended']}" if "ended" in finding else ""
    what = f"{finding['severity']} {finding['kind']} of {finding['device']}"
    return f"There was a {what}, which opened at {finding['opened']}{ended} [{finding['id']}]."
