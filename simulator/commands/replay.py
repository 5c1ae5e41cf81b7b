"""``edge-sim replay``: a recording or a table of values onto topics."""

import argparse
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.commands.common import (
    BROKER_LIMIT_S,
    EXIT_OK,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
    Commands,
    add_broker,
    complain,
    positive,
    say,
    stop_on_signal,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.link import Link
    from simulator.playback import Tape
    from simulator.recording import Recorded

_FLUSH_LIMIT_S = 10.0


def register(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("replay", help="a recording or a CSV file onto topics")
    parser.add_argument(
        "file", type=Path, help="of `edge-sim record`, or .csv: timestamp,value or a column per metric"
    )
    add_broker(parser)
    parser.add_argument(
        "--topic",
        metavar="TOPIC",
        help="of a recording, {topic} for its own; of a CSV file (sensors/{name}/{metric}) {name} for the "
        "file's name and {metric} for the column, without which a message holds the whole row",
    )
    parser.add_argument("--qos", type=int, choices=(0, 1), help="else as recorded; 1 for a CSV file")
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument("--speed", type=positive, default=1.0, metavar="N", help="file seconds per second")
    pace.add_argument("--fast", action="store_true", help="as fast as the broker takes it")
    parser.add_argument(
        "--now", action="store_true", help="move a CSV file's times so that the last one is of its sending"
    )
    parser.add_argument("--loop", action="store_true", help="begin again at the end, until Ctrl-C")
    parser.set_defaults(command=_replay)


def _replay(args: argparse.Namespace) -> int:
    from simulator.link import Link  # noqa: PLC0415 - `list` stays quick
    from simulator.playback import open_tape  # noqa: PLC0415
    from simulator.recording import FileError  # noqa: PLC0415

    try:
        tape = open_tape(args.file, topic=args.topic, qos=args.qos)
    except FileError as error:
        return complain(str(error), EXIT_USAGE)
    if args.now and not tape.first:
        return complain("--now is for CSV files: a recording's payloads are sent as they are", EXIT_USAGE)
    if not tape.messages:
        return complain(f"{args.file}: holds no message; there is nothing to play", EXIT_USAGE)
    host, port = args.broker
    stop = stop_on_signal()
    link = Link(host=host, port=port, client_id=f"edge-sim-replay-{os.getpid()}")
    link.open(BROKER_LIMIT_S)
    try:
        what = f"{tape.messages} messages over {tape.span_s:.0f} s"
        say(f"{args.file}: {what} to {host}:{port}, MQTT {link.protocol}")
        count = _play(args, tape, link, stop)
        link.flush(_FLUSH_LIMIT_S)
        stats = link.stats
    except FileError as error:
        return complain(f"{error} (it has changed meanwhile)", EXIT_USAGE)
    finally:
        link.close()
    say(f"{count} messages; {stats.acked} of {stats.published} acknowledged")
    if stats.unacked:
        return complain(f"{stats.unacked} messages were not acknowledged", EXIT_UNAVAILABLE)
    if stats.refused:
        return complain(f"the broker refused {stats.refused} messages (ACL or size)", EXIT_UNAVAILABLE)
    return EXIT_OK


def _play(args: argparse.Namespace, tape: "Tape", link: "Link", stop: threading.Event) -> int:
    """Send until the end, or until ``stop``; returns how many messages."""
    from simulator.pace import Pace  # noqa: PLC0415 - as above

    pace, count = Pace(start=0.0, speed=args.speed), 0
    for one in _rounds(args, tape):
        if stop.is_set() or not (args.fast or pace.wait(one.offset, stop)):
            break
        if not link.send(one.message, stop=stop):
            break
        count += 1
    return count


def _rounds(args: argparse.Namespace, tape: "Tape") -> "Iterator[Recorded]":
    """Yield the messages, round after round if it loops, a table's times going on from round to round."""
    from simulator.recording import Recorded  # noqa: PLC0415 - as above

    takes_s = 0.0 if args.fast else tape.span_s / args.speed
    shift_s = time.time() + takes_s - tape.span_s - tape.first if args.now else 0.0
    passed_s = 0.0
    while True:
        for one in tape.play(shift_s + passed_s):
            yield Recorded(one.offset + passed_s, one.message)
        passed_s += tape.span_s + tape.gap_s
        if not args.loop:
            return
