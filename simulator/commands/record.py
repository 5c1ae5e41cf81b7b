"""``edge-sim record``: the messages on a broker, one JSON object a line."""

import argparse
import contextlib
import os
import queue
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from simulator.commands.common import (
    BROKER_LIMIT_S,
    EXIT_OK,
    EXIT_UNAVAILABLE,
    Commands,
    add_broker,
    complain,
    seconds,
    stop_on_signal,
)

if TYPE_CHECKING:
    import paho.mqtt.client as paho

MAX_WAITING = 10_000  # messages; beyond that the broker waits for us


def register(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("record", help="write down the messages on a broker")
    parser.add_argument("filters", nargs="+", type=topic_filter, metavar="FILTER", help="such as 'sensors/#'")
    add_broker(parser)
    parser.add_argument(
        "--for", dest="for_s", type=seconds, metavar="SECONDS", help="0 or left out: until Ctrl-C"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="left out: standard output")
    parser.set_defaults(command=_record)


def topic_filter(text: str) -> str:
    """Read a topic filter."""
    levels = text.split("/")
    broken = any(len(level) > 1 and ("+" in level or "#" in level) for level in levels) or "#" in levels[:-1]
    if not text or broken or "\0" in text or len(text.encode(errors="replace")) > 65_535:  # noqa: PLR2004
        raise argparse.ArgumentTypeError(
            f"{text[:60]!r} is not a topic filter; write sensors/+/temperature or '#'"
        )
    return text


def _record(args: argparse.Namespace) -> int:
    try:
        with contextlib.ExitStack() as stack:
            out = sys.stdout
            if args.out is not None:
                out = stack.enter_context(args.out.open("w", encoding="utf-8"))
            return _write(args, out)
    except BrokenPipeError:
        # The reader has left, so the buffered rest has no destination.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except OSError as error:
        return complain(f"{args.out or 'output'}: cannot be written: {error.strerror}", EXIT_UNAVAILABLE)


def _write(args: argparse.Namespace, out: TextIO) -> int:
    from simulator.link import Link  # noqa: PLC0415 - `list` stays quick
    from simulator.recording import dump, taken  # noqa: PLC0415

    waiting: queue.Queue[tuple[float, paho.MQTTMessage]] = queue.Queue(MAX_WAITING)
    stop = stop_on_signal()

    def arrived(message: "paho.MQTTMessage") -> None:
        at = time.monotonic()
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                waiting.put((at, message), timeout=0.1)
                return

    host, port = args.broker
    link = Link(
        host=host,
        port=port,
        client_id=f"edge-sim-record-{os.getpid()}",
        filters=args.filters,
        as_published=True,
        on_arrival=arrived,
    )
    began, count, unreadable = time.monotonic(), 0, 0
    link.open(BROKER_LIMIT_S)
    try:
        until = float("inf") if args.for_s is None else began + args.for_s
        while not waiting.empty() or not (stop.is_set() or time.monotonic() >= until):
            try:
                at, message = waiting.get(timeout=0.1)
            except queue.Empty:
                out.flush()
                continue
            if at > until:
                break
            try:
                line = dump(taken(message, at - began))
            except UnicodeDecodeError:
                unreadable += 1
                continue
            out.write(line + "\n")
            count += 1
        out.flush()
    finally:
        stop.set()
        link.close()
    complain(f"{count} messages recorded in {time.monotonic() - began:.1f} s", EXIT_OK)
    if unreadable:
        complain(f"{unreadable} messages left out: their topics are not UTF-8", EXIT_OK)
    if link.stats.disconnects:
        times = link.stats.disconnects
        return complain(
            f"the connection broke {times} time{'s' * (times > 1)}; the messages of that time are missing",
            EXIT_UNAVAILABLE,
        )
    return EXIT_OK
