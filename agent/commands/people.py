"""``edge-agent finding|device|maintenance``: lists, and commands on them.

The lists are read from the journal. All else is a command to the running agent, over the broker.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from secrets import token_hex
from typing import Any

from agent.commands.inspect import learn
from agent.commands.offline.moments import read_moment
from agent.commands.printing import (
    UnavailableError,
    UnknownError,
    instant,
    many,
    print_json,
    print_result,
    printable,
    span,
)
from agent.config import Config, load_apart, settings
from agent.detect import Detector
from agent.domain.records import Do, Finding
from agent.journal.reader import Reader
from agent.mqtt.errors import REFUSED
from agent.mqtt.probe import request
from agent.status.journal_view import worst_first
from agent.verdict.command import CommandError, read_command
from agent.verdict.people import People

ANSWER_S = 5.0
MAX_CLOSED = 50


def list_findings(args: argparse.Namespace) -> int:
    """Print the open findings, the worst first; with ``--all`` also the last ones that are over."""
    config, now = load_apart(args.config), time.time()
    with Reader.open(config.agent.state_dir) as reader:
        findings = worst_first(reader.findings())
        closed = list(reversed(reader.findings(closed=True)))[:MAX_CLOSED] if args.all else []
    told = {"findings": [finding_record(one, now) for one in (*findings, *closed)]}
    print_result(told, _finding_lines, as_json=args.json)
    return 0


def finding_record(finding: Finding, now: float) -> dict[str, Any]:
    """Return a finding as an object; ``now`` is Unix seconds."""
    return {
        "id": finding.id,
        "device": finding.device,
        "kind": finding.kind,
        "severity": finding.severity,
        "opened_at": instant(finding.opened),
        "open_s": round(now - finding.opened, 1),
        "verdicts": finding.verdicts,
        "state": finding.state_at(now),
        "until": instant(finding.snoozed_to(now)),
        "maintenance": finding.maintenance,
        "cites": [one.metric for one in finding.seen],
    }


def _finding_lines(told: Mapping[str, Any]) -> list[str]:
    lines = []
    for one in told["findings"]:
        state = one["state"] + (f" until {one['until']}" if one["until"] else "")
        state += ", under maintenance" if one["maintenance"] else ""
        metrics = f" ({', '.join(dict.fromkeys(one['cites']))})" if one["cites"] else ""
        text = f"{one['id']}  {one['severity']} {one['kind']} of {one['device']}{metrics}"
        lines.append(printable(f"{text}, opened {span(one['open_s'])} ago: {state}"))
    return lines or ["No finding is open."]


def list_devices(args: argparse.Namespace) -> int:
    """Print the devices that the detector knows, those received last first."""
    config = load_apart(args.config)
    with Reader.open(config.agent.state_dir) as reader:
        detector, _ = learn(reader, config)
        told = {"devices": list(device_records(reader, detector))}
    print_result(told, _device_lines, as_json=args.json)
    return 0


def device_records(reader: Reader, detector: Detector) -> Iterator[dict[str, Any]]:
    """Yield the known devices as objects, those received last first."""
    findings = {one.device: one.id for one in reader.findings()}
    seen = detector.last_seen()
    for device in sorted(seen, key=lambda one: -seen[one]):
        yield {
            "id": device,
            "last_seen": instant(seen[device]),
            "series": len(detector.views(device)),
            "silent": detector.silent(device),
            "finding": findings.get(device),
        }


def _device_lines(told: Mapping[str, Any]) -> list[str]:
    lines = []
    for one in told["devices"]:
        text = f"{one['id']}: {many(one['series'], 'metric')}, last seen {one['last_seen']}"
        text += ", silent" if one["silent"] else ""
        lines.append(printable(text + (f", finding {one['finding']}" if one["finding"] else "")))
    return lines or ["No device is known."]


def act(args: argparse.Namespace) -> int:
    """Send a command on a finding."""
    keys: dict[str, Any] = {"do": args.do, "note": args.note, "finding_id": args.finding}
    keys |= {"device": args.device, "incident_id": getattr(args, "incident", None)}
    if args.do == Do.SNOOZE:
        keys |= _end(args)
    return _send(args, keys)


def forget(args: argparse.Namespace) -> int:
    """Send the command to forget a device."""
    return _send(args, {"do": Do.FORGET, "device": args.device, "note": args.note})


def pause(args: argparse.Namespace) -> int:
    """Send the command to ask the model no more for a while, or again."""
    return _send(args, {"do": args.do, "note": args.note, "until": _moment(args), "for": args.time})


def maintain(args: argparse.Namespace) -> int:
    """Send a plan of maintenance; without devices print those that are planned or under way."""
    if args.devices is None:
        return _list_maintenance(args)
    keys = {"do": Do.MAINTENANCE, "device": args.devices, "note": args.note, **_end(args)}
    if args.start is not None:
        keys["from"] = read_moment(args.start, "--from")
    return _send(args, keys)


def _list_maintenance(args: argparse.Namespace) -> int:
    config, now = load_apart(args.config), time.time()
    with Reader.open(config.agent.state_dir) as reader:
        people = People(knows=lambda _device: False)
        people.restore((), reader.commands())
    told = {
        "maintenance": [
            {"devices": one.glob, "from": instant(one.since), "until": instant(one.until)}
            for one in people.maintenance.works(now)
        ]
    }
    print_result(told, _maintenance_lines, as_json=args.json)
    return 0


def _maintenance_lines(told: Mapping[str, Any]) -> list[str]:
    lines = [printable(f"{one['devices']}: {one['from']} to {one['until']}") for one in told["maintenance"]]
    return lines or ["No maintenance is planned."]


def _moment(args: argparse.Namespace) -> float | None:
    return None if args.until is None else read_moment(args.until, "--until")


def _end(args: argparse.Namespace) -> dict[str, Any]:
    """Return the end of a snooze or of maintenance."""
    if args.until is not None:
        return {"until": _moment(args)}
    if args.time is None:
        raise UnknownError("maintenance: give its end with --for 4h or --until TIME")
    return {"for": args.time}


def _send(args: argparse.Namespace, keys: Mapping[str, Any]) -> int:
    """Publish a command, wait for the answer and print it.

    Raises:
        UnavailableError: the broker, or the agent, did not answer.
        UnknownError: it is not a command, or the agent refused it.
    """
    config = load_apart(args.config)
    answer = send(config, keys)
    if args.json:
        print_json(answer)
    if not answer.get("accepted"):
        raise UnknownError(f"refused ({answer.get('reason')}): {printable(str(answer.get('detail')))}")
    if not args.json:
        print(printable(_words(answer)))
    return 0


def send(config: Config, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return the running agent's answer to a command.

    Raises:
        UnavailableError: the broker, or the agent, did not answer.
        UnknownError: it is not a command, so it was not sent.
    """
    command_id = f"cli-{token_hex(8)}"
    body = json.dumps(
        {**{key: keys[key] for key in keys if keys[key] is not None}, "id": command_id}
    ).encode()
    try:
        read_command(body)
    except CommandError as error:
        raise UnknownError(error.detail) from error
    base = config.base_topic
    link = replace(settings.of_link(config), client_id=f"{config.name}-{command_id}")
    ended = request(
        link,
        f"{base}/command",
        body,
        answers=f"{base}/command/result",
        is_answer=lambda body: _id_of(body) == command_id,
        for_s=ANSWER_S,
    )
    if ended.trouble is not None:
        remedy = ended.trouble.remedy or "see edge-agent doctor"
        raise UnavailableError(f"{printable(ended.trouble.what)}; {remedy}")
    if ended.code >= REFUSED:
        raise UnavailableError(
            f"the broker refuses {base}/command (0x{ended.code:02x}); see configs/mosquitto/edge-agent.acl"
        )
    if ended.payload is None:
        raise UnavailableError(
            f"no answer within {ANSWER_S:.0f} s on {base}/command/result; does agent {config.name} run,"
            " and may this user read that topic?"
        )
    answer: dict[str, Any] = json.loads(ended.payload)
    return answer


def _id_of(body: bytes) -> object:
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    return answer.get("id") if isinstance(answer, dict) else None


def _words(answer: Mapping[str, Any]) -> str:
    about = answer.get("device")
    until = f" until {answer['until']}" if answer.get("until") else ""
    match answer.get("do"):
        case Do.FORGET:
            return f"{about} is forgotten; it begins again with its next reading"
        case Do.MAINTENANCE:
            covered = answer.get("detail")  # clocks may be apart
            if not covered:
                return f"the maintenance of {about} is over"
            return f"{about} is under maintenance{until} ({covered})"
        case Do.PAUSE_MODEL:
            return f"the model is not asked{until}"
        case Do.RESUME_MODEL:
            return "the model may be asked"
        case Do.FALSE_ALARM | Do.CONFIRMED:
            return f"noted: {answer['do']} for finding {answer.get('finding_id')} of {about}"
        case _ if answer.get("finding_id") is None:
            return f"{answer.get('detail')} are {answer.get('state')}{until}"
        case _:
            return f"finding {answer.get('finding_id')} of {about} is {answer.get('state')}{until}"
