"""``edge-agent show VERDICT_ID``: the journaled record of one verdict."""

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agent.commands.printing import UnknownError, instant, many, number, print_result, printable, roughly
from agent.config import load_apart
from agent.domain.model_calls import fingerprint
from agent.domain.records import Window
from agent.journal.reader import BatchRecord, Reader, VerdictRecord
from agent.prompt.plot import draw

MAX_SEARCHED = 1000
MAX_OUTBOX = 100
_REQUEST_ID = re.compile("[0-9a-f]{16}")


def run(args: argparse.Namespace) -> int:
    """Show one verdict.

    Raises:
        JournalError: there is no journal to read.
        UnknownError: it holds no such verdict, or several, or nothing to draw; or the plot's file exists.
    """
    config = load_apart(args.config)
    with Reader.open(config.agent.state_dir) as reader:
        told = show(reader, args.verdict_id)
    if args.plot is not None:
        told["plot"] = _plot(told, args.plot)
    print_result(told, _lines, as_json=args.json)
    return 0


def show(reader: Reader, verdict_id: str) -> dict[str, Any]:
    """Return the journaled record of a verdict."""
    record = reader.verdict(verdict_id) if verdict_id else None
    record = record or _of_request(reader, verdict_id)
    if record is None:
        raise UnknownError(_why_not(reader, verdict_id))
    verdict: dict[str, Any] = json.loads(record.body)
    review = json.loads(record.detail) if record.detail else None
    return {
        "id": record.id,
        "device": record.device,
        "delivery": record.state,
        "journaled_at": instant(record.created),
        "verdict": verdict,
        "window": None if record.window is None else _window(reader, record.window),
        "batch": None if record.batch is None else _batch(record.batch, record),
        "review": review,
        "outbox": [asdict(row) for row in reader.outbox(limit=MAX_OUTBOX, verdict=record.id)],
        "feedback": [
            {**one, "received": instant(float(str(one["received"])))} for one in reader.feedback(record.id)
        ],
        "cost_usd": verdict.get("cost_usd"),
        "trace_id": verdict.get("trace_id"),
        "request_id": verdict.get("request_id"),  # verdicts of older versions have none
    }


def _plot(told: dict[str, Any], file: Path) -> dict[str, Any]:
    """Draw the window again, as ``ai.plot`` sends it: a plot is a function of the journaled section."""
    section = (told["window"] or {}).get("section")
    image = None if section is None else draw(section)
    if image is None:
        raise UnknownError(f"verdict {told['id']}: nothing to draw: no values of its series are journaled")
    try:
        with file.open("xb") as new:
            new.write(image)
    except FileExistsError:
        raise UnknownError(f"{printable(str(file))} exists; choose another name") from None
    return {"file": str(file), **fingerprint(image)}


def _of_request(reader: Reader, request_id: str) -> VerdictRecord | None:
    """Return the verdict that an AI call was made for, by the ``request_id`` of log and verdict.

    Raises:
        UnknownError: the call was about several windows.
    """
    if not _REQUEST_ID.fullmatch(request_id):
        return None
    found = [
        record
        for record in reader.verdicts(limit=MAX_SEARCHED)
        if json.loads(record.body).get("request_id") == request_id
    ]
    if len(found) > 1:
        ids = ", ".join(record.id for record in found)
        raise UnknownError(
            f"request {request_id}: that call was about {len(found)} windows; show one of {ids}"
        )
    return found[0] if found else None


def _why_not(reader: Reader, verdict_id: str) -> str:
    for one in reader.windows(limit=MAX_SEARCHED):
        if verdict_id and one.window.id.startswith(verdict_id) and one.state == "sealed":
            return (
                f"verdict {verdict_id}: its window is sealed, its verdict is still awaited; ask again later"
            )
    newest = ", ".join(one.id for one in reader.verdicts(limit=3)) or "none at all"
    return (
        f"verdict {printable(verdict_id)!r}: none is journaled that begins so, or several are; "
        f"the newest are: {newest} (reviewed ones are kept journal.keep_days)"
    )


def _window(reader: Reader, window: Window) -> dict[str, Any]:
    kept = sum(len(row.readings) for row in reader.readings_of(window) if hasattr(row, "readings"))
    told = asdict(window)
    section = told.pop("section")
    return told | {
        "start": instant(window.start),
        "end": instant(window.end),
        "section": json.loads(section) if section else None,
        "readings_still_journaled": kept,
    }


def _batch(batch: BatchRecord, record: VerdictRecord) -> dict[str, Any]:
    return {
        "id": batch.id,
        "windows": list(batch.windows),
        "place": batch.windows.index(record.id) + 1 if record.id in batch.windows else None,
        "audit": record.id in batch.audit,
        "attempts": batch.attempts,
        "detail": json.loads(batch.detail) if batch.detail else None,
    }


def _lines(told: dict[str, Any]) -> list[str]:
    verdict = told["verdict"]
    lines = [
        (
            f"verdict {told['id']} on {printable(told['device'])}: {verdict['status']},"
            f" {verdict['severity']}, {verdict['kind']}, score {number(verdict['score'])}"
        ),
        f"  {printable(verdict['summary'])}",
        f"  decided by {verdict['source']} ({verdict['reason']}), journaled at {told['journaled_at']}",
        f"  delivery: {told['delivery']}",
    ]
    if learning := verdict.get("learning"):
        seen, needed = learning["seen"], learning["needed"]
        lines.insert(3, f"    still learning: {printable(learning['metric'])}, {seen} of {needed} readings")
    if verdict.get("reason_detail"):
        lines.insert(3, f"    {printable(verdict['reason_detail'])}")
    lines += [_outbox_line(row) for row in told["outbox"]]
    if told["verdict"]["finding_id"]:
        lines.append(f"  finding {verdict['finding_id']}")
    lines += _evidence(verdict, told["window"])
    lines += _window_lines(told["window"])
    if plot := told.get("plot"):
        lines.append(f"plot: {printable(plot['file'])} ({_image(plot)})")
    lines += _review_lines(told["review"])
    lines += _batch_lines(told["batch"], told["request_id"])
    if told["batch"] and told["batch"]["detail"] and verdict.get("request_id", "old") is None:
        lines.append("  this verdict names none of these calls: its window was not part of them")
    lines += [
        f"feedback at {one['received']}: {one['outcome']} {printable(one['note'])}".rstrip()
        for one in told["feedback"]
    ]
    tokens = verdict.get("tokens")
    if tokens is not None:
        lines.append(f"tokens: {tokens['input']} in, {tokens['output']} out")
    cost = told["cost_usd"]
    lines.append(
        f"cost: {'nothing' if not cost else f'{cost:.9f} USD'}; trace id: {told['trace_id'] or 'none'};"
        f" request id: {told['request_id'] or 'none'}"
    )
    return lines


def _outbox_line(row: dict[str, Any]) -> str:
    state = "given up" if row["given_up"] else "waits"
    failed = "" if row["reason"] is None else f", last failed with {row['reason']}"
    return f"    {row['sink']}: {row['key']} ({row['size']} bytes): {state}{failed}"


def _evidence(verdict: dict[str, Any], window: dict[str, Any] | None) -> list[str]:
    lines = []
    words_sent = {} if window is None else {one["ref"]: one["word"] for one in window["candidates"]}
    for one in verdict["evidence"]:
        usual, word = one["expected"], words_sent.get(one["reading"])
        sent = f" ({printable(word)})" if word else ""
        words = f", expected is {roughly(*usual)}" if usual else ""
        lines.append(
            f"  evidence {one['reading']}: {printable(one['metric'])} = {number(one['value'])}{sent}"
            f" at {one['at']}{words}"
        )
    return lines


def _window_lines(window: dict[str, Any] | None) -> list[str]:
    if window is None:
        return ["window: no longer journaled"]
    local = window["local"]
    lines = [
        (
            f"window: {many(window['count'], 'reading')}, sealed by {window['trigger']}, {window['start']} to"
            f" {window['end']}, seq {window['lo']} to {window['hi']},"
            f" {many(window['readings_still_journaled'], 'reading')} still journaled"
        ),
        (
            f"local opinion: {local['status']}, {local['kind']}, score {number(local['score'])}:"
            f" {printable(local['summary'])}"
        ),
    ]
    if window["section"] is not None:
        text = json.dumps(window["section"], separators=(",", ":"))
        lines.append(f"prompt section ({len(text)} bytes): {text}")
    return lines


def _review_lines(review: dict[str, Any] | None) -> list[str]:
    if review is None:
        return ["answer: none was checked"]
    answer = review.get("answer")
    lines = ["answer: none that could be used"]
    if answer:
        lines = [
            (
                f"answer: {answer['status']}, {answer['kind']}, {answer['severity']},"
                f" confidence {answer['confidence']} of 3, cites"
                f" {', '.join(answer['evidence']) or 'nothing'}: {printable(answer['summary'])}"
            )
        ]
    lines.append(f"checks: {review.get('grounding')}")
    for check in review.get("checks", ()):
        lines.append(
            f"  {'held' if check['held'] else 'FAILED'} {check['name']}: {printable(check['detail'])}"
        )
    return lines


def _batch_lines(batch: dict[str, Any] | None, request_id: str | None) -> list[str]:
    if batch is None:
        return ["batch: none, no model was asked"]
    what = "an audit" if batch["audit"] else f"window {batch['place']} of {len(batch['windows'])}"
    lines = [f"batch {batch['id']}: {what}, begun {many(batch['attempts'], 'time')}"]
    calls = (batch["detail"] or {}).get("calls", ())
    if not calls:
        lines.append("  no call was made")
    for call in calls:
        failed = (
            f", {call['error_type']}: {printable(call['error_message'])}" if call.get("error_type") else ""
        )
        decided = " (this verdict's)" if request_id and call.get("request_id") == request_id else ""
        lines.append(
            f"  call {call.get('request_id')}{decided}: {call.get('model')},"
            f" prompt {call.get('prompt_version')} ({call.get('prompt_hash')}){failed}"
        )
        lines.append(f"    {', '.join(_figures(call))}")
        lines += [
            f"  plot of w {plot['w']}, sent behind the text: {_image(plot)}" for plot in call.get("plots", ())
        ]
        for name in ("system", "user", "reply"):
            words = str(call.get(name, "")).splitlines() or ["(nothing)"]
            lines += [f"  {name}:"] + [f"    {printable(line)}" for line in words]
    return lines


def _image(plot: dict[str, Any]) -> str:
    return f"{plot['bytes']} bytes, sha256 {plot['sha256']}"


def _figures(call: dict[str, Any]) -> Iterator[str]:
    yield many(call.get("attempts") or 0, "attempt")
    yield f"{call.get('latency_s') or 0:.2f} s"
    if call.get("finish_reason"):
        yield f"finish reason {printable(call['finish_reason'])}"
    usage = call.get("usage")
    if usage:
        guessed = " (estimated)" if usage["estimated"] else ""
        yield f"{usage['input']} tokens in, {usage['output']} out{guessed}"
    yield f"{call['cost_usd']:.9f} USD" if call.get("cost_usd") else "no cost"
    yield f"trace id {call.get('trace_id') or 'none'}"
