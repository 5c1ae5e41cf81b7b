"""``edge-agent explain TOPIC PAYLOAD``: one message decoded, without a broker."""

import argparse
import sys
import time
from typing import Any

from agent.commands.printing import instant, number, print_result, printable
from agent.config import Config, load_apart, settings
from agent.decode.registry import Decoded, Registry
from agent.detect.limits import Limit, choose
from agent.domain.records import DecodeError, Reading
from agent.prompt.words import name_metrics, unit_word

MAX_SHOWN = 40
MAX_READ = 4 * 1024 * 1024  # of standard input; far above the limit of decoding


def run(args: argparse.Namespace) -> int:
    """Explain one message; always 0, since a quarantined message is an answer too."""
    config = load_apart(args.config)
    payload = args.payload.encode(errors="surrogateescape")
    if args.payload == "-":
        payload = sys.stdin.buffer.read(MAX_READ)
    print_result(explain(config, args.topic, payload, time.time()), _lines, as_json=args.json)
    return 0


def explain(config: Config, topic: str, payload: bytes, received: float) -> dict[str, Any]:
    """Return the handling of a message that arrives at ``received`` (Unix seconds)."""
    told: dict[str, Any] = {"topic": topic, "bytes": len(payload), "outcome": "", "quarantine": None}
    registry = Registry(sources=config.sources, base_topic=config.base_topic)
    try:
        decoded = registry.decode(topic, payload, received)
    except DecodeError as error:
        if (stranger := registry.unmatched(topic)) is not None:
            return told | {
                "outcome": "not_subscribed",
                "nearest": stranger,
                "sources": [source.topic for source in config.sources],
            }
        return told | {
            "outcome": "quarantined",
            "quarantine": {"reason": str(error.reason), "detail": error.detail},
            "sources": [source.topic for source in config.sources],
        }
    limits = settings.of_limits(config)
    words = name_metrics(dict.fromkeys(reading.metric for reading in decoded.readings))
    return told | {
        "outcome": _outcome(decoded),
        "source": decoded.source,
        "family": decoded.family,
        "device": decoded.device,
        "retained": decoded.retained,
        "time_from": str(decoded.time_from),
        "traceparent": decoded.traceparent,
        "message_id": decoded.message_id,
        "online": decoded.online,
        "notes": [str(note) for note in decoded.notes],
        "skipped": [{"name": one.name, "why": str(one.why)} for one in decoded.skipped],
        "device_alias": "dev_01" if decoded.readings else None,
        "readings": [_reading(reading, words[reading.metric], limits) for reading in decoded.readings],
    }


def _outcome(decoded: Decoded) -> str:
    if decoded.source is None:
        return "own"
    if decoded.online is not None:
        return "availability"
    if decoded.readings:
        return "readings"
    return "text_only" if decoded.text_only else "nothing"


def _reading(reading: Reading, word: str, limits: list[Limit]) -> dict[str, Any]:
    limit = choose(limits, reading.device, reading.metric)
    broken = limit.judge(reading.value, reading.unit) if limit is not None else None
    return {
        "device": reading.device,
        "metric": reading.metric,
        "value": reading.value,
        "unit": reading.unit,
        "at": instant(reading.at),
        "limit": None
        if limit is None
        else {"pattern": limit.pattern, "low": limit.low, "high": limit.high, "unit": limit.unit},
        "limit_applies": limit is not None and limit.speaks_of(reading.unit),
        "limit_alarms": broken is not None,
        "limit_score": None if broken is None else round(broken.value, 2),
        "prompt_metric": word,
        "prompt_unit": unit_word(reading.unit),
    }


_ENDINGS = {
    "availability": "It reports whether the device is online: offline opens a silence finding at once.",
    "own": "It is below the agent's own base topic: acknowledged, never a reading.",
    "text_only": "It holds nothing but text: acknowledged and counted, neither a reading nor quarantined.",
    "nothing": "It holds no reading: acknowledged and counted.",
}


def _lines(told: dict[str, Any]) -> list[str]:
    lines = [f"{printable(told['topic'])}, {told['bytes']} bytes"]
    if told["outcome"] == "not_subscribed":
        lines.append(f"  not subscribed: no source matches; nearest is {printable(told['nearest'])}")
        lines.append("  The agent never sees it; to read it, add a source whose topic matches.")
        lines.append(f"  Sources are: {printable(', '.join(told['sources']))}")
        return lines
    if (quarantine := told["quarantine"]) is not None:
        lines.append(f"  quarantined: {quarantine['reason']}: {printable(quarantine['detail'])}")
        lines.append("  It is acknowledged and kept with this reason; it never stops the rest.")
        return lines
    if told["source"] is not None:
        lines.append(
            f"  source {told['source']}, read as {told['family']}, time from the {told['time_from']}"
        )
    if told["online"] is not None:
        lines.append(f"  {printable(told['device'])} is {'online' if told['online'] else 'offline'}")
    if told["message_id"] is not None:
        lines.append(f"  the publisher's id {printable(told['message_id'])}: a repeat of it is dropped")
    lines += [f"  note: {note}" for note in told["notes"]]
    lines += [f"  no reading: {printable(one['name'])} ({one['why']})" for one in told["skipped"]]
    for one in told["readings"][:MAX_SHOWN]:
        lines += _reading_lines(one)
    if len(told["readings"]) > MAX_SHOWN:
        lines.append(f"  and {len(told['readings']) - MAX_SHOWN} more readings; --json shows all")
    if told["outcome"] in _ENDINGS:
        lines.append(f"  {_ENDINGS[told['outcome']]}")
    else:
        lines.append(f"  A retained replay of this topic counts as: {told['retained']}.")
    return lines


def _reading_lines(one: dict[str, Any]) -> list[str]:
    unit = f" {printable(one['unit'])}" if one["unit"] else ""
    name = f"{printable(one['device'])} / {printable(one['metric'])}"
    lines = [f"  {name} = {number(one['value'])}{unit} at {one['at']}"]
    limit = one["limit"]
    if limit is None:
        lines.append("      no limit is configured for it")
    else:
        sides = f"{number(limit['low'])} to {number(limit['high'])}"
        if not one["limit_applies"]:
            says = f"does not hold for {printable(one['unit'])}: give it in that unit, not in {limit['unit']}"
        elif one["limit_alarms"]:
            says = f"broken: critical at once, score {one['limit_score']}"
        else:
            says = "not broken"
        lines.append(f"      limit {limit['pattern']} ({sides}): {says}")
    spoken = one["prompt_unit"] or ("a unit that is not sent" if one["unit"] else "no unit")
    lines.append(f"      a model would see: dev_01, {one['prompt_metric']}, {spoken}")
    return lines
