"""``edge-agent explain TOPIC PAYLOAD``: one message decoded, without a broker."""

import argparse
import sys
import time
from typing import Any

from agent.commands.printing import UnknownError, instant, number, print_result, printable
from agent.config import Config, load_apart, settings
from agent.config.series_rules import of_limits
from agent.decode.family import Skip
from agent.decode.partition import Partition
from agent.decode.registry import Decoded, Registry
from agent.decode.source_spec import SourceSpec
from agent.detect.limits import Limit, choose
from agent.domain.metric_names import MetricClass, look_up
from agent.domain.records import DecodeError, Handling, Reading
from agent.journal.clocks import DAY_S
from agent.prompt.words import name_metrics, unit_word
from agent.status.sentences import offset_words

MAX_SHOWN = 40
MAX_READ = 4 * 1024 * 1024  # of standard input; far above the limit of decoding


def run(args: argparse.Namespace) -> int:
    """Explain one message; always 0, since a quarantined message is an answer too.

    Raises:
        UnknownError: the topic is none that a message may have.
    """
    if not args.topic or any(sign in args.topic for sign in "+#"):
        raise UnknownError(f"{args.topic!r} is not the topic of a message; name one, without wildcards")
    config = load_apart(args.config)
    payload = args.payload.encode(errors="surrogateescape")
    if args.payload == "-":
        payload = sys.stdin.buffer.read(MAX_READ)
    print_result(explain(config, args.topic, payload, time.time()), _lines, as_json=args.json)
    return 0


def explain(config: Config, topic: str, payload: bytes, received: float) -> dict[str, Any]:
    """Return the handling of a message that arrives at ``received`` (Unix seconds)."""
    told: dict[str, Any] = {"topic": topic, "bytes": len(payload), "outcome": "", "quarantine": None}
    told["sources"] = [source.topic for source in config.sources]
    registry = Registry(sources=config.sources, base_topic=config.base_topic)
    try:
        decoded = registry.decode(topic, payload, received)
        if config.partition is not None:
            decoded = Partition(config.partition).keep(decoded, topic)
    except DecodeError as error:
        if not registry.subscribes(topic):
            return told | {"outcome": "not_subscribed", "nearest": registry.nearest(topic)}
        return told | {
            "outcome": "quarantined",
            "quarantine": {"reason": str(error.reason), "detail": error.detail},
        }
    if decoded.handling is Handling.UNMATCHED:
        outcome = "unmatched" if registry.subscribes(topic) else "not_subscribed"
        return told | {"outcome": outcome, "nearest": registry.nearest(topic)}
    limits = of_limits(config)
    words = name_metrics(dict.fromkeys(reading.metric for reading in (*decoded.readings, *decoded.history)))
    return told | {
        "outcome": _OUTCOMES[decoded.handling],
        "source": decoded.source,
        "source_place": _place(config, decoded),
        "excluded_by": decoded.excluded_by,
        "family": decoded.family,
        "format": _format(config, decoded),
        "device": decoded.device,
        "device_from": _device_from(config, decoded),
        "retained": decoded.retained,
        "time_from": str(decoded.time_from),
        "traceparent": decoded.traceparent,
        "message_id": decoded.message_id,
        "online": decoded.online,
        "states": [{"device": device, "online": online} for device, online in decoded.states],
        "heard": list(decoded.heard),
        "expected_s": dict(decoded.expected_s),
        "renamed": dict(decoded.renamed),
        "notes": [str(note) for note in decoded.notes],
        "skipped": [{"name": one.name, "why": str(one.why)} for one in decoded.skipped],
        "device_alias": _sent_as(config, decoded.readings[0].device) if decoded.readings else None,
        "time_off_s": None if decoded.off_s is None else round(decoded.off_s, 3),
        "readings": [
            _reading(reading, words[reading.metric], limits, received) for reading in decoded.readings
        ],
        "history": [
            _reading(reading, words[reading.metric], limits, received) for reading in decoded.history
        ],
    }


def _sent_as(config: Config, device: str) -> str:
    """Return the name of a device in a prompt on it alone."""
    return settings.of_site(config).shared([device], 0)[device].name or "dev_01"


_OUTCOMES = {
    Handling.READ: "readings",
    Handling.AVAILABILITY: "availability",
    Handling.TEXT: "text_only",
    Handling.NO_VALUE: "nothing",
    Handling.EXCLUDED: "excluded",
    Handling.OWN: "own",
}


def _spec(config: Config, decoded: Decoded) -> SourceSpec | None:
    return next((source for source in config.sources if source.label == decoded.source), None)


def _place(config: Config, decoded: Decoded) -> int | None:
    """Return the place of the source in ``sources``."""
    spec = _spec(config, decoded)
    return None if spec is None else config.sources.index(spec)


def _format(config: Config, decoded: Decoded) -> str | None:
    """Return the format that the source configures."""
    spec = _spec(config, decoded)
    return None if spec is None else spec.format


def _device_from(config: Config, decoded: Decoded) -> str | None:
    """Return what makes the device id: the topic, the source's ``device``, or the payload of a family."""
    spec = _spec(config, decoded)
    if spec is None or decoded.handling is Handling.EXCLUDED:
        return None
    if any(reading.device != decoded.device for reading in decoded.readings) and not spec.device:
        return "payload"
    return spec.device or "topic"


def _reading(reading: Reading, word: str, limits: list[Limit], received: float) -> dict[str, Any]:
    limit = choose(limits, reading.device, reading.metric)
    broken = limit.judge(reading.value, reading.unit) if limit is not None else None
    return {
        "device": reading.device,
        "metric": reading.metric,
        "class": str(look_up(reading.metric).kind),
        "value": reading.value,
        "unit": reading.unit,
        "word": reading.word,
        "at": instant(reading.at),
        "old": reading.at < received - DAY_S,
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
    "text_only": "Nothing in it is a reading: acknowledged and counted, and its device was received.",
    "nothing": "It holds no reading: acknowledged and counted.",
    "excluded": "It is acknowledged and counted, and no later source reads it.",
}
_SKIPPED = {
    Skip.EXCLUDED: "excluded by metrics.include or metrics.exclude",
    Skip.SENTINEL: "a number that means no value, by metrics.ignore_values or by default",
    Skip.UNMAPPED: "a word without a number; give it one under metrics.values",
    Skip.NOT_A_VALUE: "an id, a time or a sequence number",
    Skip.UNKNOWN_ALIAS: "its name comes with the next birth of its node",
    Skip.TOO_DEEP: "more than 8 objects or lists inside each other",
}


def _lines(told: dict[str, Any]) -> list[str]:
    lines = [f"{printable(told['topic'])}, {told['bytes']} bytes"]
    if told["outcome"] in {"not_subscribed", "unmatched"}:
        return lines + _unmatched_lines(told)
    if (quarantine := told["quarantine"]) is not None:
        lines.append(f"  quarantined: {quarantine['reason']}: {printable(quarantine['detail'])}")
        lines.append("  It is acknowledged and kept with this reason; it never stops the rest.")
        return lines
    if told["source"] is not None:
        lines += _source_lines(told)
    if told["message_id"] is not None:
        lines.append(f"  the publisher's id {printable(told['message_id'])}: a repeat of it is dropped")
    lines += [f"  renamed: {printable(old)} to {printable(new)}" for old, new in told["renamed"].items()]
    lines += [f"  note: {note}{_far(told, note)}" for note in told["notes"]]
    lines += [
        f"  no reading: {printable(one['name'])} ({_SKIPPED.get(one['why'], one['why'])})"
        for one in told["skipped"]
    ]
    for one in told["readings"][:MAX_SHOWN]:
        lines += _reading_lines(one)
    if told["history"]:
        marked = "its sender marks it as old: kept at its own time, not judged"
        lines += [f"{_value_line(one)}: {marked}" for one in told["history"][:MAX_SHOWN]]
    if len(told["readings"]) > MAX_SHOWN:
        lines.append(f"  and {len(told['readings']) - MAX_SHOWN} more readings; --json shows all")
    if told["outcome"] == "text_only" and [one["why"] for one in told["skipped"]] == [Skip.TEXT]:
        lines.append("  If it holds columns or pairs: set format: csv or format: keyvalue on the source.")
    if told["outcome"] in _ENDINGS:
        lines.append(f"  {_ENDINGS[told['outcome']]}")
    else:
        lines.append(f"  A retained replay of this topic counts as: {told['retained']}.")
    return lines


def _unmatched_lines(told: dict[str, Any]) -> list[str]:
    nearest = f"no source matches; nearest is {printable(told['nearest'])}"
    sources = f"  Sources are: {printable(', '.join(told['sources']))}"
    if told["outcome"] == "unmatched":
        return [
            f"  {nearest}",
            "  A subscription brings it: acknowledged and counted.",
            sources,
        ]
    remedy = "  The agent never sees it; to read it, add a source whose topic matches."
    return [f"  not subscribed: {nearest}", remedy, sources]


def _source_lines(told: dict[str, Any]) -> list[str]:
    """Return the steps from the topic to the device."""
    place = "" if told["source_place"] is None else f" (sources[{told['source_place']}])"
    if told["excluded_by"] is not None:
        return [f"  source {told['source']}{place}, excluded by {told['excluded_by']}"]
    recognised = ", recognised" if told["format"] == "auto" and told["family"] != "availability" else ""
    read = f"read as {told['family']}{recognised}, time from the {told['time_from']}"
    lines = [f"  source {told['source']}{place}, {read}"]
    device = printable(told["device"] or "")
    if told["online"] is not None:
        who = device if told["device"] else "all devices of the source under this topic:"
        lines.append(f"  {who} {'is ' if told['device'] else ''}{'online' if told['online'] else 'offline'}")
    elif told["device_from"] == "payload":
        lines.append("  device from the payload")
    elif told["device"]:
        lines.append(f"  device {device} from {printable(told['device_from'])}")
    states = told["states"][:MAX_SHOWN]
    lines += [f"  {printable(one['device'])} is {'online' if one['online'] else 'offline'}" for one in states]
    lines += [f"  {printable(one)} was received, with no value" for one in told["heard"][:MAX_SHOWN]]
    return lines


def _far(told: dict[str, Any], note: str) -> str:
    """Return how far the time of a note is from receipt."""
    off_s = told["time_off_s"] if note.startswith("time_") else None
    return "" if off_s is None else f" ({offset_words(off_s)})"


def _value_line(one: dict[str, Any]) -> str:
    unit = f" {printable(one['unit'])}" if one["unit"] else ""
    word = f" ({printable(one['word'])})" if one["word"] else ""
    name = f"{printable(one['device'])} / {printable(one['metric'])}"
    return f"  {name} = {number(one['value'])}{unit}{word} at {one['at']}"


def _reading_lines(one: dict[str, Any]) -> list[str]:
    lines = [_value_line(one)]
    if one["old"]:
        lines.append("      more than a day old: history, not judged, if its device has sent newer times")
    if one["class"] != MetricClass.READING:
        lines.append("      diagnostic by its name: kept and shown, not judged")
    limit = one["limit"]
    if limit is None:
        lines.append("      no limit is configured for it")
    else:
        sides = f"{number(limit['low'])} to {number(limit['high'])} {limit['unit'] or ''}".rstrip()
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
