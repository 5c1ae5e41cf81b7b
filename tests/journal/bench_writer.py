"""Benchmark of the journal thread: `python -m tests.journal.bench_writer [N]`.

One reading a message, 300 series, a producer on another thread; the decoder is a stub whose share is given.
"""

import json
import resource
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from agent.domain.records import Arrival, LinkUp, Reading, Row
from agent.journal import JournalSettings
from agent.journal.journal import Journal
from agent.journal.writer import Wiring
from tests.journal.rig import Plain

SERIES = 300
SAMPLE = 5_000


def decode(arrival: Arrival) -> Plain:
    """Read a bare number."""
    device = arrival.topic.split("/")[1]
    reading = Reading(device, "temperature", arrival.received, float(arrival.payload), "degC")
    return Plain((reading,), received=arrival.received)


def make(number: int) -> Arrival:
    """Return one arrival."""
    topic = f"sensors/dev{number % SERIES}/temperature"
    payload = b"%.2f" % (20 + number % 50)
    return Arrival(1, number % 65_535 + 1, 1, False, False, topic, payload, time.time(), time.monotonic())


def ignore(*_: object, **__: object) -> None:
    """Take the place of a callback."""


def measure(job: Callable[[], object]) -> float:
    """Return the CPU seconds of this thread in a job."""
    start = time.thread_time()
    job()
    return time.thread_time() - start


def run(messages: int, folder: Path) -> dict[str, float]:
    """Journal so many messages and return the figures."""
    spent: list[float] = []
    journal: Journal

    def take(rows: list[Row]) -> None:
        journal.consumed(len(rows))

    journal = Journal.open(
        folder,
        agent_id="bench",
        wiring=Wiring(
            decode=decode,
            on_rows=take,
            on_acks=ignore,
            on_generation=ignore,
            on_room=ignore,
            log=ignore,
        ),
        settings=JournalSettings(),
        wall=time.time,
        mono=time.monotonic,
    )
    thread = threading.Thread(target=lambda: spent.append(measure(journal.run)))
    thread.start()
    journal.inbox.offer([LinkUp(1, True, "5", time.monotonic())])
    start = time.monotonic()
    for number in range(messages):
        arrival = make(number)
        while not journal.inbox.offer([arrival]):
            time.sleep(0.005)
    journal.stop(60.0)
    thread.join()
    wall_s = time.monotonic() - start
    stats = journal.stats
    assert stats.journaled == messages
    rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    arrivals = [make(number) for number in range(SAMPLE)]
    decoding = measure(lambda: deque(map(decode, arrivals), maxlen=0))
    return {
        "messages": messages,
        "messages_per_s": round(messages / wall_s),
        "writer_cpu_us": round(spent[0] / messages * 1e6, 1),
        "of_which_decode_us": round(decoding / SAMPLE * 1e6, 1),
        "commits": stats.commits,
        "commit_ms": round(stats.commit_s / stats.commits * 1e3, 2),
        "bytes_written_per_message": round(stats.bytes_written / messages),
        "max_rss_mib": round(rss_mib),
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else 60_000, Path(name))))
