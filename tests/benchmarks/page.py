"""Weight of the status page, its CPU, and the bytes that its charts write.

    python -m tests.benchmarks.page [--devices 10 100 1000] [--only weight written chart] [--folder DIR]

``weight``: a real agent on a real Mosquitto, three series a device, a broken limit on up to 60 devices; 50
refreshes as the page makes them, and 50 with the tag of the last one. ``written``: the real journal and
detector in event time, a message of three values a minute from each device, each commit on disk, with samples
and without; the kernel counts. ``chart``: a week of samples of all devices, read.
"""

import argparse
import gzip
import json
import math
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch
from urllib.request import ProxyHandler, Request, build_opener

from agent.decode.registry import Registry
from agent.detect import Detector
from agent.domain.records import Arrival, LinkUp, Outgoing, Row, Status, TimerKind, TimerRow
from agent.journal import JournalSettings
from agent.journal.journal import Journal
from agent.journal.samples import FINE_S, GROUP, SLOT_S, Samples
from agent.journal.store import Store
from agent.journal.writer import Wiring, _bytes_written
from agent.pipeline.offline import Concluded, OfflinePath
from agent.pipeline.snapshot import AGE_S, Dump
from agent.pipeline.usual import UsualRanges
from agent.pipeline.window import WindowSettings
from agent.status.device_history import HOURS, read_device
from agent.verdict.encode import to_bytes
from agent.verdict.review_policy import CalmRate, ReviewSettings
from tests.benchmarks.inprocess import configure
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

REFRESHES = 50
METRICS = ("temperature", "humidity", "pressure")
START = 1_800_000_000.0
INTERVAL_S = 60.0
COMMIT_S = {10: 0.1}  # of ten messages a minute each commits alone anyway
HOURS_OF = {10: 24.0}
WEEK_S = 7 * 86_400.0


def payload(device: int, place: int) -> bytes:
    """Return a message of three values."""
    values = {
        metric: round(20 + 5 * row + math.sin(place / 9 + device), 2) for row, metric in enumerate(METRICS)
    }
    return json.dumps(values).encode()


# ----------------------------------------------------------------------------------- weight, CPU


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """Refreshes of a page with so many devices."""

    plain: int  # bytes
    gzipped: int
    cpu_ms: float
    unchanged: int  # bytes of a response to a known tag
    unchanged_ms: float


def weigh(devices: int, folder: Path) -> Weight:
    """Return the weight of a refresh and the CPU of the agent for one."""
    from paho.mqtt.client import Client  # noqa: PLC0415 - a device
    from paho.mqtt.enums import CallbackAPIVersion  # noqa: PLC0415

    settings = {"limits": {"*/temperature": {"high": 50}}, "review": {"window": {"max_age_s": 5}}}
    broker = Broker(folder / "broker", extra="autosave_on_changes false\nautosave_interval 3600").start()
    try:
        with AgentProcess(folder / "agent", broker_url=broker.url, settings=settings) as agent:
            wait_for(lambda: agent.get("/readyz")[0] == 200, 30, "the agent is ready")
            client = Client(CallbackAPIVersion.VERSION2)
            client.max_inflight_messages_set(1000)
            client.connect("127.0.0.1", broker.port)
            client.loop_start()
            for place in range(40):
                for device in range(devices):
                    body = payload(device, place)
                    if place == 39 and device < 60:
                        body = body.replace(b'"temperature": ', b'"temperature": 9')
                    client.publish(f"load/hall-{device:04}", body, qos=1)
            wait_for(
                lambda: counter(agent, "messages") >= 40 * devices,
                120,
                "all is journaled",
            )
            wait_for(
                lambda: counter(agent, "findings_open") == min(60, devices),
                120,
                "the findings are open",
            )
            client.disconnect()
            client.loop_stop()
            wait_for(lambda: at_rest(agent), 120, "the agent is at rest", 0.1)
            return measure_refreshes(agent)
    finally:
        broker.stop()


def counter(agent: AgentProcess, name: str) -> int:
    """Return a counter of the status, -1 while the agent is too busy."""
    code, body = agent.get("/status.json")
    return int(json.loads(body)["counters"][name]) if code == 200 else -1


def at_rest(agent: AgentProcess) -> bool:
    """Return whether the agent does nothing but its timers for two seconds."""
    before = agent.cpu_s()
    time.sleep(2.0)
    return agent.cpu_s() - before < 0.2


def measure_refreshes(agent: AgentProcess) -> Weight:
    """Ask as the page does, each time as if for the first time, then with the tag of the last response."""
    opener = build_opener(ProxyHandler({}))
    url = f"http://127.0.0.1:{agent.port}/status.json"

    def ask(**headers: str) -> tuple[int, int, str, bytes]:
        request = Request(url, headers={"Accept-Encoding": "gzip", **headers})
        try:
            with opener.open(request, timeout=10) as response:
                body = response.read()
                head = sum(len(name) + len(value) + 4 for name, value in response.getheaders())
                return response.status, head + len(body), response.headers["ETag"], body
        except OSError as error:
            return getattr(error, "code", 0), 0, "", b""

    def cpu_ms(act: Callable[[], object]) -> float:
        idle_from, began = agent.cpu_s(), time.monotonic()
        time.sleep(2.0)
        idle = (agent.cpu_s() - idle_from) / (time.monotonic() - began)
        before, began = agent.cpu_s(), time.monotonic()
        for _ in range(REFRESHES):
            act()
        return 1000 * max(0.0, agent.cpu_s() - before - idle * (time.monotonic() - began)) / REFRESHES

    _, whole, tag, body = ask()
    full_ms = cpu_ms(ask)
    seen: list[int] = []

    def again() -> None:
        nonlocal tag
        status, _, found, _ = ask(**{"If-None-Match": tag})
        seen.append(status)
        tag = found or tag

    unchanged_ms = cpu_ms(again)
    return Weight(
        plain=len(gzip.decompress(body)),
        gzipped=whole,
        cpu_ms=full_ms,
        unchanged=sum(status == 304 for status in seen),
        unchanged_ms=unchanged_ms,
    )


# ------------------------------------------------------------------------------- bytes written


class Site:
    """The real journal on disk, the detector and windows, in event time and in one thread."""

    def __init__(self, folder: Path, *, sampled: bool) -> None:
        self.now = 0.0
        self._sampled = sampled
        self._rows: list[Row] = []
        self._concluded: list[Concluded] = []
        self.detector = Detector()
        self._usual = UsualRanges(self.detector)
        sources = configure({}, [{"topic": "load/{device}"}]).sources
        registry = Registry(sources=sources, base_topic="edge-agent/bench")
        self._path = OfflinePath(
            detector=self.detector,
            window=WindowSettings(),
            review=ReviewSettings(),
            concluded=self._concluded.append,
        )
        self._journal = Journal.open(
            folder,
            agent_id="bench",
            wiring=Wiring(
                decode=lambda one: registry.decode(one.topic, one.payload, one.received),
                on_rows=self._rows.extend,
                families=registry,
                knows=self.detector.knows,
                log=lambda *_args, **_more: None,
            ),
            settings=JournalSettings(commit_ms=1),
            wall=lambda: START + self.now,
            mono=lambda: self.now,
        )
        self._snapshot_at = AGE_S
        self._mid = 0
        self._journal.inbox.offer([LinkUp(1, False, "5", self.now)])
        self._turn()
        self._path.take(TimerRow(1, START, TimerKind.CONNECTED))

    def send(self, device: int, place: int) -> None:
        """Let a message arrive; it is committed by :meth:`commit`."""
        self._mid = self._mid % 65_535 + 1
        arrival = Arrival(
            generation=1,
            mid=self._mid,
            qos=1,
            dup=False,
            retain=False,
            topic=f"load/hall-{device:04}",
            payload=payload(device, place),
            received=START + self.now,
            mono=self.now,
        )
        self._journal.inbox.offer([arrival])

    def commit(self) -> None:
        """Do what the agent does in a commit interval: rows, then windows and verdicts, then deliveries."""
        self._turn()
        clock = START + self.now
        due = self._path.core.next_due(clock)
        if due is not None and due <= clock:
            self._journal.write(lambda store: store.timer(TimerKind.TICK, None))
            self._turn()
        if self.now >= self._snapshot_at:
            self._snapshot_at = self.now + AGE_S
            self._snapshot()

    def _turn(self) -> None:
        self._journal._writer.turn()
        rows, self._rows[:] = list(self._rows), []
        for row in rows:
            self._path.take(row)
        self._journal.consumed(len(rows))
        if not self._concluded:
            return
        sent = [self._journal.write(self._concluding(one)) for one in self._concluded]
        self._concluded.clear()
        self._turn()
        ids = [row.outbox_id for future in sent for row in future.result(0)]
        self._journal.write(lambda store: store.outbox.finish(ids))
        self._turn()

    def _concluding(self, one: Concluded) -> Callable[[Store], list[Outgoing]]:
        """Return the job that seals a window and commits its verdict."""
        body = to_bytes(one.verdict)
        usual = self._usual.take(one.window) if self._sampled else []
        outgoing = [Outgoing(0, "mqtt", "verdicts/d", body, retain=True, settles=True)]

        def job(store: Store) -> list[Outgoing]:
            store.seal(one.window, usual)
            return store.conclude(
                window=one.window,
                verdict=body,
                finding=one.finding,
                outgoing=outgoing,
                anomaly=one.verdict.status is Status.ANOMALY,
            )

        return job

    def _snapshot(self) -> None:
        core = self._path.core
        dump = Dump(self.detector, core.windows, CalmRate(), core.last_seq)
        while (blob := dump.slice()) is None:
            pass
        seq = max(core.last_seq.values(), default=0)
        lowest = core.windows.lowest_seq()
        self._journal.write(lambda store: store.snapshot(seq, blob, lowest))
        self._turn()

    def close(self) -> None:
        """Close the file."""
        self._journal.stop(10)


@contextmanager
def samples_off() -> Iterator[None]:
    """Run a journal as it was before it had samples."""
    nothing = lambda *_args, **_more: None  # noqa: E731
    with patch.object(Samples, "take", nothing), patch.object(Samples, "prune", nothing):
        yield


def written_per_day(devices: int, hours: float, folder: Path, *, sampled: bool) -> float:
    """Return the bytes that a day writes, of a site after its first hour."""
    site = Site(folder, sampled=sampled)
    step = max(COMMIT_S.get(devices, 1.0), INTERVAL_S / devices)
    turns = int((hours + 1) * 3600 / step)
    sent = 0
    began = 0
    for turn in range(turns):
        site.now = turn * step
        if site.now < 3600:
            began = _bytes_written()
        while sent < (turn + 1) * step * devices / INTERVAL_S:
            site.send(sent % devices, sent // devices)
            sent += 1
        site.commit()
    total = _bytes_written() - began
    site.close()
    return total * 24 / hours


# ---------------------------------------------------------------------------------------- charts


def read_charts(devices: int, folder: Path) -> dict[int, tuple[int, float]]:
    """Return bytes with gzip and CPU in ms of the chart of a device by its hours, of a week of samples."""
    site = Site(folder, sampled=True)
    for device in range(devices):
        site.send(device, 0)
        site.commit()
    site.close()
    now = START + 60.0
    fine = int((now - FINE_S) / SLOT_S) // GROUP * GROUP
    slots = [
        *range(int((now - WEEK_S) / SLOT_S) // GROUP * GROUP, fine, GROUP),
        *range(fine, int(now / SLOT_S)),
    ]
    with closing(sqlite3.connect(folder / "journal.sqlite")) as connection:
        series = [one for (one,) in connection.execute("SELECT id FROM series")]
        connection.executemany(
            "INSERT OR REPLACE INTO samples VALUES (?,?,?,?,?,?)",
            (
                (slot, one, 20 + math.sin(slot / 7 + one), 21 + math.sin(slot / 7 + one), 18.123, 23.456)
                for slot in slots
                for one in series
            ),
        )
        connection.commit()
    found = {}
    for hours in HOURS:
        began = time.process_time()
        for _ in range(10):
            body = read_device(folder, f"id=hall-0003&hours={hours}", now=now)
        found[hours] = (len(gzip.compress(body, 5)), 100 * (time.process_time() - began))
    return found


def main() -> int:
    """Print one table for each figure."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.page", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--devices", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument(
        "--only", nargs="+", choices=("weight", "written", "chart"), default=["weight", "written", "chart"]
    )
    parser.add_argument("--folder", type=Path, default=None, help="on the storage that counts, not in memory")
    given = parser.parse_args()
    for devices in given.devices:
        with tempfile.TemporaryDirectory(dir=given.folder) as name:
            folder = Path(name)
            if "weight" in given.only:
                one = weigh(devices, folder / "weight")
                print(
                    f"{devices} devices: a refresh {one.gzipped:,} bytes ({one.plain:,} before gzip),"
                    f" {one.cpu_ms:.1f} ms CPU;"
                    f" unchanged {one.unchanged} of {REFRESHES}, {one.unchanged_ms:.1f} ms",
                    flush=True,
                )
            if "written" in given.only:
                hours = HOURS_OF.get(devices, 1.0)
                with samples_off():
                    before = written_per_day(devices, hours, folder / "off", sampled=False)
                after = written_per_day(devices, hours, folder / "on", sampled=True)
                print(
                    f"{devices} devices: {before / 1e6:,.0f} MB written a day without samples,"
                    f" {after / 1e6:,.0f} MB with them ({100 * (after / before - 1):+.1f} %),"
                    f" {hours:g} hours",
                    flush=True,
                )
            if "chart" in given.only:
                for hours, (size, cpu) in read_charts(devices, folder / "chart").items():
                    print(
                        f"{devices} devices: a chart of {hours} hours {size:,} bytes, {cpu:.0f} ms CPU",
                        flush=True,
                    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
