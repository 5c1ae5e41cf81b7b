"""``edge-agent doctor``: tries all that the agent needs and prints remedies."""

import argparse
from typing import Any

from agent.commands.checks.broker import look_at_broker
from agent.commands.checks.configuration import look_at_settings
from agent.commands.checks.feedback import look_at_feedback
from agent.commands.checks.intake import look_at_intake
from agent.commands.checks.line import Level, Line, ok, warn
from agent.commands.checks.machine import look_at_machine, running
from agent.commands.checks.model import look_at_model
from agent.commands.checks.notify import look_at_notify
from agent.commands.checks.rules import look_at_rules
from agent.commands.checks.sources import look_at_sources
from agent.commands.printing import print_json, printable
from agent.config import load_apart, weaknesses
from agent.config.endpoint import describe_push, describe_traces

EXIT_OK, EXIT_UNAVAILABLE = 0, 69


def run(args: argparse.Namespace) -> int:
    """Look at broker, machine and model; 0 when nothing failed, else 69."""
    config = load_apart(args.config)
    wish = True if args.ai else False if args.no_ai else None
    lines = [warn(weak.key, printable(weak.what), printable(weak.remedy)) for weak in weaknesses(config)]
    lines += [*look_at_settings(config), *look_at_machine(config), *look_at_rules(config)]
    lines += look_at_intake(config, agent=running(config))
    lines += look_at_sources(config)
    lines += look_at_feedback(config)
    lines += look_at_broker(config, listen_s=args.listen)
    lines += look_at_model(config, agent=running(config), wish=wish)
    lines += look_at_notify(config)
    lines.append(ok("traces", printable(describe_traces(config))))
    lines.append(ok("push", printable(describe_push(config))))
    failed = any(line.level is Level.FAIL for line in lines)
    if args.json:
        print_json({"agent": config.name, "healthy": not failed, "lines": list(map(_as_json, lines))})
    else:
        print("\n".join(map(_as_text, lines)))
        print(_summary(lines))
    return EXIT_UNAVAILABLE if failed else EXIT_OK


def _as_json(line: Line) -> dict[str, Any]:
    return {
        "check": line.check,
        "level": str(line.level),
        "what": line.what,
        "remedy": line.remedy or None,
    }


def _as_text(line: Line) -> str:
    text = f"{line.level:<4}  {line.check}: {line.what}"
    return f"{text}\n      -> {line.remedy}" if line.remedy else text


def _summary(lines: list[Line]) -> str:
    counts = {level: sum(line.level is level for line in lines) for level in Level}
    return ", ".join(f"{count} {level}" for level, count in counts.items())
