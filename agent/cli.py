"""Command line: arguments; each command is loaded when it is called.

Exit codes: 0 done, 2 wrong usage or configuration, 69 a service is missing, 70 a fault of ours,
130 interrupted.
"""

import argparse
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from agent import __version__

EXIT_OK = 0
EXIT_INTERRUPTED = 130

DEFAULT_CONFIG = Path("/etc/edge-agent/agent.yaml")
#: Modules for servers, gateways and proxies of two libraries, that the agent does not use: 3 MiB.
_UNUSED_BY_PROMETHEUS = (
    "http.server", "prometheus_client.decorator", "socketserver", "ssl", "urllib.error", "urllib.request",
    "wsgiref",
)  # fmt: skip
_UNUSED_BY_PAHO = ("urllib.request",)
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
SCHEMAS = ("verdict", "event", "incident", "status")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors for people are one line on stderr."""
    _print_anything()
    args = _arguments(argv)
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        return command(args)
    except BrokenPipeError:
        return EXIT_OK
    except KeyboardInterrupt:
        return EXIT_OK if command is _run else EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last resort
        from agent.commands.ending import report  # noqa: PLC0415 - a command that succeeds does not need it

        return report(error, path=getattr(args, "config", None))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; the parsers of all commands do not outlive it."""
    parser = _parser()
    args = parser.parse_args(argv)
    if [] in vars(args).values():
        parser.error("-- is not a value; write one")  # which argparse makes an empty list of
    return args


def _print_anything() -> None:
    """Escape what the terminal's encoding, or UTF-8, has no bytes for."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _Formatter(argparse.HelpFormatter):
    """Wraps at the width of the terminal, without ``shutil`` and the compressions that it imports."""

    def __init__(self, prog: str) -> None:
        width = os.environ.get("COLUMNS", "")
        if width.isdecimal() and int(width):
            columns = int(width)
        else:
            try:
                columns = os.get_terminal_size(1).columns or 80
            except OSError:
                columns = 80
        super().__init__(prog, width=columns - 2)


class _Parser(argparse.ArgumentParser):
    """Repeats what was typed without its control characters, and takes `-5m` as a value."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=_Formatter, **settings)
        self._negative_number_matcher = re.compile(r"-\d")

    def error(self, message: str) -> NoReturn:
        from agent.config import one_line  # noqa: PLC0415 - only for wrong usage

        super().error(one_line(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="edge-agent", description="Watches sensor topics and publishes one checked verdict per window."
    )
    parser.add_argument("--version", action="version", version=f"edge-agent {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    run = _with_config(commands.add_parser("run", help="run the agent until SIGTERM or Ctrl-C"))
    run.set_defaults(command=_run)
    check = _with_config(commands.add_parser("check", help="validate a configuration, without I/O"))
    check.set_defaults(command=lambda args: _command("check").run(args))
    _add_beginnings(commands)
    _add_questions(commands)
    home = commands.add_parser("ha", help="Home Assistant: remove the announced devices")
    actions = home.add_subparsers(required=True, metavar="clean")
    clean = _with_config(actions.add_parser("clean", help="remove all devices of this agent from it"))
    clean.set_defaults(command=lambda args: _command("ha").clean(args))
    _add_budget(commands.add_parser("budget", help="show or reset what the model has cost"))
    _add_people(commands)
    _add_notify(commands.add_parser("notify", help="try the sinks of notices"))
    schema = commands.add_parser("schema", help="print the JSON Schema of a published message")
    schema.add_argument("name", nargs="?", choices=SCHEMAS, default="verdict")
    schema.set_defaults(command=lambda args: _command("schema").run(args))
    return parser


def _add_beginnings(commands: "argparse._SubParsersAction[_Parser]") -> None:
    """Add what writes a first configuration."""
    init = commands.add_parser("init", help="write the commented default configuration")
    init.add_argument(
        "file",
        type=Path,
        nargs="?",
        default=Path("agent.yaml"),
        metavar="FILE",
        help="default: agent.yaml; - prints it",
    )
    init.add_argument("--force", action="store_true", help="replace an existing file")
    init.set_defaults(command=lambda args: _command("init").run(args))
    discover = commands.add_parser("discover", help="listen to a broker and propose sources for its devices")
    discover.add_argument(
        "filters", nargs="*", default=("#",), metavar="FILTER", help="topics to listen to (default: #)"
    )
    discover.add_argument("--broker", metavar="URL", help="default: mqtt://127.0.0.1:1883")
    discover.add_argument("--username", metavar="NAME", help="login at the broker")
    discover.add_argument("--password-file", type=Path, metavar="FILE", help="file with its password alone")
    discover.add_argument("--ca-file", type=Path, metavar="FILE", help="certificate of the broker's CA")
    discover.add_argument("--config", type=Path, metavar="FILE", help="use the broker of this configuration")
    discover.add_argument(
        "--for", dest="time", type=_listening, default=120.0, metavar="2m", help="how long to listen (2m)"
    )
    discover.add_argument("--write", type=Path, metavar="FILE", help="write a configuration")
    discover.add_argument("--force", action="store_true", help="replace an existing file")
    discover.add_argument("--json", action="store_true", help="as JSON")
    discover.set_defaults(command=lambda args: _command("discover").run(args))


def _add_questions(commands: "argparse._SubParsersAction[_Parser]") -> None:
    """Add what an operator asks; each has ``--config`` and ``--json``."""
    doctor = _question(commands, "doctor", "try broker, rights, disk, clock and model; report what to change")
    doctor.add_argument(
        "--listen", type=_patience, default=3.0, metavar="S", help="wait S for readings (default: 3)"
    )
    asking = doctor.add_mutually_exclusive_group()
    asking.add_argument("--no-ai", action="store_true", help="make no model call")
    asking.add_argument("--ai", action="store_true", help="make the call (under 0.001 USD) even unbooked")
    ask = _question(commands, "ask", "answer a question from the journal, each citation checked")
    ask.add_argument("question", metavar="QUESTION", nargs="+", help="such as 'why did fridge alarm today?'")
    ask.add_argument("--no-ai", action="store_true", help="make no model call: print the facts")
    mcp = _with_config(commands.add_parser("mcp", help="serve the journal, read-only, to an assistant (MCP)"))
    mcp.set_defaults(command=lambda args: _command("mcp").run(args))
    explain = _question(commands, "explain", "show how one message is decoded and judged")
    explain.add_argument("topic", metavar="TOPIC")
    explain.add_argument("payload", metavar="PAYLOAD", help="- reads it from standard input")
    replay = _question(commands, "replay", "ask another model about journaled batches, and compare")
    replay.add_argument("--model", required=True, help="the model to ask")
    replay.add_argument("--since", type=_seconds, default=86_400.0, metavar="2h", help="how far back (1d)")
    replay.add_argument("--base-url", metavar="URL", help="another endpoint; its key is OPENAI_API_KEY")
    replay.add_argument(
        "--profile", type=_profile, metavar="NAME", help="of that endpoint; default: as configured"
    )
    replay.add_argument(
        "--prompt", default="current", metavar="current|journaled|FILE", help="or a file with a system part"
    )
    replay.add_argument("--limit", type=_count, default=20, metavar="N", help="the newest N batches (20)")
    replay.add_argument("--max-usd", type=_money, default=0.10, metavar="USD", help="cap on its cost (0.10)")
    show = _question(commands, "show", "show all that is journaled of one verdict")
    show.add_argument("verdict_id", metavar="VERDICT_ID", help="or its first characters, or a request id")
    show.add_argument("--plot", type=Path, metavar="FILE", help="write the plot of its window as PNG")
    _add_history(commands)
    inspect = _question(commands, "inspect", "show what the detector has learnt")
    inspect.add_argument("series", metavar="DEVICE[/METRIC]", nargs="?", help="without it: all devices")


def _add_history(commands: "argparse._SubParsersAction[_Parser]") -> None:
    """Add the commands that read the past."""
    backtest = _question(commands, "backtest", "show what would have been found in recordings or tables")
    backtest.add_argument("files", type=Path, nargs="*", default=(), metavar="FILE", help="recording or CSV")
    backtest.add_argument("--since", metavar="7d", help="instead of files: the journal's last days")
    backtest.add_argument("--against", type=Path, metavar="FILE", help="compare with this configuration")
    backtest.add_argument(
        "--scores", type=Path, metavar="FILE", help="write the score of each reading as CSV"
    )
    backtest.add_argument(
        "--until", metavar="TIME|+1d", help="let time pass so far, for silence at the end (the last message)"
    )
    backtest.add_argument("--utc", action="store_true", help="print times in UTC, not in local time")
    learn = _question(commands, "learn", "teach a stopped agent from recordings, tables or Prometheus")
    learn.add_argument(
        "--from",
        dest="files",
        nargs="+",
        required=True,
        metavar="FILE|URL",
        help="recording, CSV or Prometheus",
    )
    learn.add_argument("--forget", action="store_true", help="forget what was learnt before")
    learn.add_argument("--query", metavar="PROMQL", help="of Prometheus, such as '{job=\"plant\"}'")
    learn.add_argument("--end", metavar="TIME", help="end of the query (now)")
    learn.add_argument("--step", default="1m", metavar="1m", help="step of the query: the devices' interval")
    learn.add_argument(
        "--device-label", metavar="LABEL", help="label that names the device (device, instance)"
    )
    learn.add_argument("--metric-label", metavar="LABEL", help="label that names the metric (__name__)")
    learn.add_argument("--bearer-file", type=Path, metavar="FILE", help="file with the server's token alone")
    learn.add_argument("--username", metavar="NAME", help="login at the server")
    learn.add_argument("--password-file", type=Path, metavar="FILE", help="file with its password alone")
    learn.add_argument("--ca-file", type=Path, metavar="FILE", help="certificate of the server's CA")
    labels = {backtest: "", learn: ", or a template of labels such as '{site}/{instance}'"}
    for parser, more in labels.items():
        begin = "beginning of a recording" + (", or of the query (14d)" if more else "")
        parser.add_argument("--start", metavar="TIME", help=begin)
        parser.add_argument("--device", metavar="NAME", help=f"device of a table that names none{more}")
        parser.add_argument("--metric", metavar="NAME", help=f"metric of a table with one column{more}")
        parser.add_argument("--unit", metavar="UNIT", help="unit of values that have none")


def _question(
    commands: "argparse._SubParsersAction[_Parser]", name: str, words: str
) -> argparse.ArgumentParser:
    parser = _with_config(commands.add_parser(name, help=words))
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(command=lambda args: _command(name).run(args))
    return parser


def _seconds(text: str) -> float:
    """Return a time span such as ``90m`` in seconds."""
    number, unit = text[:-1], text[-1:]
    if unit not in UNITS or not number.replace(".", "", 1).isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a time span; write for example 90m, 2h or 3d")
    return float(number) * UNITS[unit]


def _listening(text: str) -> float:
    """Return a time span in seconds, from 1 s to a day."""
    seconds = _seconds(text)
    if not 1.0 <= seconds <= UNITS["d"]:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time from 1s to 1d")
    return seconds


def _patience(text: str) -> float:
    """Return a number of seconds, an hour at most."""
    number = text.removesuffix("s")
    if not text.isascii() or not number.replace(".", "", 1).isdecimal() or float(number) > UNITS["h"]:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 3600")
    return float(number)


def _profile(text: str) -> str:
    from agent.ai.profiles import PROFILES  # noqa: PLC0415 - only for a replay with one

    if text not in PROFILES:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(sorted(PROFILES))}")
    return text


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:6]) <= 10_000:  # noqa: PLR2004 - as many are searched
        raise argparse.ArgumentTypeError(f"{text!r} is not a count; write a whole number from 1 to 10000")
    return int(text)


def _money(text: str) -> float:
    if not text.isascii() or not text.replace(".", "", 1).isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount; write for example 0.10")
    return min(float(text), 1e6)


def _add_budget(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="show|reset")
    show = _with_config(actions.add_parser("show", help="print limit, spent and reserved of each period"))
    show.add_argument("--json", action="store_true", help="as JSON")
    show.set_defaults(command=lambda args: _command("budget").show(args))
    reset = _with_config(actions.add_parser("reset", help="forget the spend of the running periods"))
    reset.set_defaults(command=lambda args: _command("budget").reset(args))


def _add_people(commands: "argparse._SubParsersAction[_Parser]") -> None:
    """Add the commands with which people act on findings and devices of the running agent."""
    finding = commands.add_parser("finding", help="list findings, acknowledge, snooze or close one")
    actions = finding.add_subparsers(required=True, metavar="list|ack|snooze|normal|false-alarm|confirm")
    listed = _act(actions, "list", "list_findings", "print the open findings, the worst first")
    listed.add_argument("--all", action="store_true", help="also the last ones that are over")
    words = {
        "ack": ("ack", "acknowledge it: known, no more notices"),
        "snooze": ("snooze", "no notices for a while"),
        "normal": ("normal_here", "close it: usual for this series from now on"),
        "false-alarm": ("false_alarm", "count it as a false alarm of its series"),
        "confirm": ("confirmed", "count it as a true alarm of its series"),
    }
    for name, (do, text) in words.items():
        parser = _act(actions, name, "act", text)
        parser.set_defaults(do=do)
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("finding", metavar="FINDING", nargs="?", help="its id, or the first characters")
        which.add_argument("--device", metavar="NAME", help="the last finding of this device")
        if name in {"ack", "snooze"}:
            which.add_argument("--incident", metavar="ID", help="its open findings, but no broken limit")
        if name == "snooze":
            _add_end(parser)
    device = commands.add_parser("device", help="list devices, or forget one")
    actions = device.add_subparsers(required=True, metavar="list|forget")
    _act(actions, "list", "list_devices", "print the devices, those received last first")
    forget = _act(actions, "forget", "forget", "close its finding and drop what was learnt")
    forget.add_argument("device", metavar="DEVICE")
    maintenance = _question(commands, "maintenance", "record findings of devices, but notify nobody")
    maintenance.set_defaults(command=lambda args: _command("people").maintain(args))
    maintenance.add_argument("devices", metavar="DEVICES", nargs="?", help="glob; without it: list the plans")
    maintenance.add_argument("--from", dest="start", metavar="TIME", help="default: now")
    maintenance.add_argument("--note", metavar="TEXT", help="for the log")
    _add_end(maintenance, required=False)

    model = commands.add_parser("model", help="ask the model no more for a while, or again")
    actions = model.add_subparsers(required=True, metavar="pause|resume")
    pause = _act(actions, "pause", "pause", "verdicts are local until then, for 31 days at most")
    pause.set_defaults(do="pause_model")
    _add_end(pause, required=False)
    resume = _act(actions, "resume", "pause", "ask it again")
    resume.set_defaults(do="resume_model", until=None, time=None)


def _act(
    actions: "argparse._SubParsersAction[_Parser]", name: str, function: str, words: str
) -> argparse.ArgumentParser:
    parser = _with_config(actions.add_parser(name, help=words))
    parser.add_argument("--json", action="store_true", help="as JSON")
    if name != "list":
        parser.add_argument("--note", metavar="TEXT", help="for the log")
    parser.set_defaults(command=lambda args: getattr(_command("people"), function)(args))  # noqa: PLW0108 - lazy
    return parser


def _add_end(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    end = parser.add_mutually_exclusive_group(required=required)
    end.add_argument("--for", dest="time", metavar="24h", help="such as 90m, 24h or 3d; 0s ends maintenance")
    end.add_argument("--until", metavar="TIME", help="such as 2026-05-01T06:00")


def _add_notify(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="test")
    test = _with_config(actions.add_parser("test", help="send a test notice through each sink, report"))
    test.add_argument("--sink", metavar="NAME", help="only this one")
    test.add_argument("--json", action="store_true", help="as JSON")
    test.set_defaults(command=lambda args: _command("notify").test(args))


def _command(name: str) -> ModuleType:
    """Return a module of ``agent.commands``, loaded when it is asked for."""
    return import_module(f"agent.commands.{name}")


def _with_config(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help=f"default: {DEFAULT_CONFIG}"
    )
    return parser


def _run(args: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(EXIT_OK))  # the app takes it over
    from agent.domain.lean_import import import_without, postpone  # noqa: PLC0415 - only for the agent itself

    import_without(_UNUSED_BY_PROMETHEUS, "prometheus_client")
    postpone()
    import_without(_UNUSED_BY_PAHO, "paho.mqtt.client")
    return int(_command("start").run(args))
