"""``edge-agent notify test``: sends one notice through each sink."""

import argparse
import time
from typing import Any

from agent.commands.printing import print_json, printable
from agent.config import Config, ConfigError, load_apart
from agent.config.checks import is_loopback
from agent.config.credentials import read_for
from agent.sinks import Answer, Delivered, Refused
from agent.sinks.receivers import receiver_of
from agent.sinks.settings import SinkSettings
from agent.sinks.worker import NoticeReceiver
from agent.verdict.encode import encode
from agent.verdict.notice import trial_of

EXIT_OK, EXIT_UNAVAILABLE = 0, 69


def test(args: argparse.Namespace) -> int:
    """Try the sinks; 0 when all have taken the notice, else 69.

    Raises:
        ConfigError: there is no such sink.
    """
    config = load_apart(args.config)
    sinks = [one for one in config.notify.sinks if args.sink in (None, one.label)]
    if not sinks:
        names = ", ".join(one.label for one in config.notify.sinks)
        raise ConfigError(
            [
                f"notify.sinks: none is named {args.sink}; write one of: {names}"
                if names
                else "notify.sinks: is empty, so nobody is notified of findings; see docs/notices.md"
            ]
        )
    lines, failed = [], False
    for one in sinks:
        began = time.monotonic()
        answer, refused = _try(one, config)
        took_s = time.monotonic() - began
        failed = failed or not isinstance(answer, Delivered)
        lines.append(_as_json(one, answer, refused, took_s))
        if not args.json:
            print(_as_text(lines[-1]))
    if args.json:
        print_json({"agent": config.name, "sinks": lines})
    return EXIT_UNAVAILABLE if failed else EXIT_OK


def make_receiver(one: SinkSettings, refused: dict[str, int]) -> NoticeReceiver:
    """Return the receiver of a sink for a command; ``refused`` gets mail addresses that were refused."""
    return receiver_of(one, read=read_for(None), local=is_loopback, refused=refused.__setitem__)


def _try(one: SinkSettings, config: Config) -> tuple[Answer, dict[str, int]]:
    notice = trial_of(one.label, agent=config.name, at=time.time())
    refused: dict[str, int] = {}
    receiver = make_receiver(one, refused)
    return receiver.deliver(encode(notice), {"id": notice["id"], "severity": notice["severity"]}), refused


def _as_json(one: SinkSettings, answer: Answer, refused: dict[str, int], took_s: float) -> dict[str, Any]:
    line: dict[str, Any] = {"sink": one.label, "type": one.type, "min_severity": str(one.min_severity)}
    if isinstance(answer, Delivered):
        line |= {"taken": True, "what": f"taken in {took_s:.1f} s", "remedy": None}
        if refused:
            line["what"] += f", but not for {printable(', '.join(refused))}"
            line["remedy"] = "correct these addresses"
        return line
    remedy = answer.remedy if isinstance(answer, Refused) else "try again, and look at the receiver's own log"
    return line | {"taken": False, "what": printable(answer.reason), "remedy": printable(remedy)}


def _as_text(line: dict[str, Any]) -> str:
    level = "ok" if line["taken"] else "fail"
    text = f"{level:<4}  {line['sink']} ({line['type']}, from {line['min_severity']}): {line['what']}"
    return f"{text}\n      -> {line['remedy']}" if line["remedy"] else text
