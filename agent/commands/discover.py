"""``edge-agent discover``: sources for the devices of a broker."""

import argparse
import secrets
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.commands.discovery.found import Device, Result, SourceResult, read_with
from agent.commands.discovery.heard import RETAIN_BIT, Heard
from agent.commands.discovery.limits import propose_limits
from agent.commands.discovery.proposal import propose
from agent.commands.discovery.topic_facts import gather
from agent.commands.discovery.written import discovered_text, flow, limit_line, missed_lines, short, write
from agent.commands.printing import UnknownError, many, number, print_result, printable, span
from agent.config import Config, load_apart, one_line, settings
from agent.decode.family import Note, Skip
from agent.decode.topics import TopicPattern
from agent.domain.metric_names import MetricClass, look_up
from agent.domain.records import Reply
from agent.mqtt.probe import Listened, listen
from agent.status.source_view import REBIRTH

EXIT_OK, EXIT_UNAVAILABLE = 0, 69
MAX_LINES = 40  # devices of one source that are printed
MAX_SERIES = 12  # metrics of one device
MAX_TOPICS = 30


def run(args: argparse.Namespace) -> int:
    """Listen, propose, print, and write the configuration if that is wanted."""
    config = _config(args)
    if args.write is not None and args.write.exists() and not args.force:
        raise UnknownError(f"{args.write} exists; choose another name, or replace it with --force")
    if args.write is not None and not args.write.absolute().parent.is_dir():
        raise UnknownError(f"{args.write}: its folder is missing; make it, or choose another path")
    filters = [_filter(text) for text in args.filters]
    link = replace(settings.of_link(config), client_id=f"edge-agent-discover-{secrets.token_hex(4)}")
    print(
        one_line(
            f"Listening for {span(args.time)} to {', '.join(filters)} on {link.address}; Ctrl-C ends it."
        ),
        file=sys.stderr,
    )
    heard = Heard()

    def take(
        first: int,
        topic: bytes,
        _mid: int,
        payload: bytes,
        properties: tuple[tuple[str, str], ...],
        _identifiers: tuple[int, ...] = (),
        _reply: Reply | None = None,
        /,
    ) -> None:
        heard.take(topic, payload, time.time(), retained=bool(first & RETAIN_BIT), properties=properties)

    ended = listen(link, filters, take=take, for_s=args.time)
    if ended.trouble is not None:
        return _fail(f"{ended.trouble.what}; {ended.trouble.remedy}")
    if len(ended.refused) == len(filters):
        return _fail(
            f"the broker refuses {', '.join(ended.refused)}; give this user the right to read,"
            " or name filters that it may read: edge-agent discover 'sensors/#'"
        )
    facts = gather(heard.kept)
    result = read_with(propose(facts), heard.kept, facts)
    told = _told(config, filters, heard, ended, result)
    if args.write is not None and result.sources:
        write(args.write, discovered_text(args.write, config, result, _summary(told)), force=args.force)
        told["written"] = str(args.write)
    print_result(told, _lines, as_json=args.json)
    if not heard.messages and ended.lost is None:
        return _fail(
            f"nothing was received on {', '.join(filters)} in {span(ended.seconds)}; does anything publish"
            " there, and may this user read it? Many brokers grant the subscription and send nothing:"
            " try --username, other filters, or a longer --for"
        )
    if args.write is not None and not result.sources:
        return _fail(f"nothing that can be read was received, so {args.write} was not written")
    return EXIT_OK


def _filter(text: str) -> str:
    """Return what to subscribe to for a filter, or for the topic of a source."""
    try:
        return TopicPattern(text).filter
    except ValueError as error:
        raise UnknownError(f"the filter {text!r} {error}") from error


def _config(args: argparse.Namespace) -> Config:
    """Return the configuration whose broker is listened to: a file, or the options."""
    if args.config is not None:
        return load_apart(args.config)
    from agent.config.load import build  # noqa: PLC0415 - only here

    given = {
        "url": args.broker,
        "username": args.username,
        "password_file": args.password_file and str(args.password_file.absolute()),
        "ca_file": args.ca_file and str(args.ca_file.absolute()),
    }
    return build({"mqtt": {key: value for key, value in given.items() if value is not None}}, Path.cwd())


def _fail(text: str) -> int:
    print(f"edge-agent: {one_line(text)}", file=sys.stderr)
    return EXIT_UNAVAILABLE


def _told(
    config: Config, filters: list[str], heard: Heard, ended: Listened, result: Result
) -> dict[str, Any]:
    """Return everything as one JSON object."""
    return {
        "broker": config.mqtt.url,
        "filters": filters,
        "refused": list(ended.refused),
        "lost": None if ended.lost is None else ended.lost.what,
        "listened_s": round(ended.seconds, 1),
        "messages": heard.messages,
        "bytes": heard.payload_bytes,
        "topics": len(heard.counts),
        "messages_left_out": heard.left_out,
        "devices": sum(len(one.devices) for one in result.sources),
        "devices_left_out": result.devices_left_out,
        "sources": [_source(one) for one in result.sources],
        "limits": [limit_line(one) for one in propose_limits(result.sources)],
        "not_read": [{"topic": topic, "why": why} for topic, why in result.missed.items()],
        "written": None,
    }


def _source(one: SourceResult) -> dict[str, Any]:
    return {
        "configuration": one.source.keys(),
        "messages": one.messages,
        "devices": [_device(name, device) for name, device in one.devices.items()],
        "words": {name: sorted(words) for name, words in one.words.items()},
        "excluded": list(one.source.exclude),
        "skipped": dict(one.skipped),
        "notes": dict(one.notes),
        "text_unread": list(one.unread),
    }


def _device(name: str, device: Device) -> dict[str, Any]:
    return {
        "device": name,
        "messages": device.messages,
        "interval_s": device.interval_s,
        "availability": bool(device.states),
        "metrics": [
            {
                "metric": metric,
                "class": str(look_up(metric).kind),
                "unit": found.unit,
                "readings": found.readings,
                "low": found.low,
                "high": found.high,
            }
            for metric, found in device.metrics.items()
        ],
    }


def _heard(told: dict[str, Any]) -> str:
    heard = f"{many(told['messages'], 'message')} on {many(told['topics'], 'topic')}"
    found = f"{many(told['devices'], 'device')} in {many(len(told['sources']), 'source')}"
    return f"{heard} in {span(told['listened_s'])}: {found}."


def _summary(told: dict[str, Any]) -> list[str]:
    return [
        f"Written by `edge-agent discover`. {_heard(told)}",
        "A device that sent nothing in this time is in it only if a source's topic covers it.",
    ]


def _lines(told: dict[str, Any]) -> list[str]:
    lines = [_heard(told)]
    if told["lost"]:
        lines.append(f"The connection ended early: {printable(told['lost'])}")
    if told["refused"]:
        lines.append(f"The broker refused {printable(', '.join(told['refused']))}.")
    if told["messages_left_out"] or told["devices_left_out"]:
        lines.append(
            f"Too much for one look: {many(told['messages_left_out'], 'message')} not examined;"
            " name filters to look at a part."
        )
    for source in told["sources"]:
        lines += _source_lines(source)
    if told["limits"]:
        lines += ["", "Limits that would suit the values received; --write puts them into comments:"]
        lines += [f"  {line}" for line in told["limits"][:MAX_TOPICS]]
        lines += _rest(told["limits"], MAX_TOPICS, "limits")
    if told["not_read"]:
        lines += ["", "Not read by these sources:"]
        missed = {one["topic"]: one["why"] for one in told["not_read"]}
        lines += [f"  {line}" for line in missed_lines(missed)]
    lines.append("")
    if told["written"]:
        lines.append(f"Written: {told['written']}. Next: edge-agent doctor --config {told['written']}")
    elif told["sources"]:
        lines.append("To write a configuration: the same command with --write agent.yaml")
    return lines


def _source_lines(source: dict[str, Any]) -> Iterator[str]:
    yield ""
    keys = {
        key: value for key, value in source["configuration"].items() if key not in {"exclude", "availability"}
    }
    yield "source " + "  ".join(f"{key}: {printable(flow(value))}" for key, value in keys.items())
    if (states := source["configuration"].get("availability")) is not None:
        yield f"  availability on {printable(states['topic'])}"
    for device in source["devices"][:MAX_LINES]:
        every = f"every {span(device['interval_s'])}" if device["interval_s"] else _few(device["messages"])
        yield f"  {short(device['device']):<28} {every:<14} {_metrics(device)}"
    yield from _rest(source["devices"], MAX_LINES, "devices")
    for name, words in list(source["words"].items())[:MAX_TOPICS]:
        shown = ", ".join(map(short, words))
        yield f"  words without a number at {short(name)}: {shown} (map them with metrics: {{values: ...}})"
    for topic in source["excluded"]:
        yield f"  excluded: {printable(topic)}"
    if source["notes"].get(Note.TIME_WITHOUT_ZONE):
        yield "  its times name no zone; name it with time: {zone: ...}, or the receipt time counts"
    if source["skipped"].get(Skip.UNKNOWN_ALIAS):
        yield f"  values without a name: {REBIRTH}"
    for topic in source["text_unread"][:MAX_TOPICS]:
        yield f"  text that is not read: {short(topic)}"


def _few(messages: int) -> str:
    return many(messages, "message") if messages else "-"


def _metrics(device: dict[str, Any]) -> str:
    shown = []
    for one in device["metrics"][:MAX_SERIES]:
        reach = (
            number(one["low"])
            if one["low"] == one["high"]
            else f"{number(one['low'])}..{number(one['high'])}"
        )
        unit = f" {printable(one['unit'])}" if one["unit"] else ""
        mark = "" if one["class"] == MetricClass.READING else " (diagnostic)"
        shown.append(f"{short(one['metric'])} {reach}{unit}{mark}")
    more = len(device["metrics"]) - MAX_SERIES
    text = ", ".join(shown) + (f" and {more} more" if more > 0 else "")
    return text or ("availability only" if device["availability"] else "no values")


def _rest(items: list[Any], shown: int, word: str) -> list[str]:
    return [f"  and {len(items) - shown} more {word}; --json shows all"] if len(items) > shown else []
