"""A real journal with its thread, and arrivals to feed it."""

import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from agent.decode.family import Skipped
from agent.domain.records import (
    Arrival,
    DecodeError,
    DecodeReason,
    Handling,
    Kind,
    LinkUp,
    LocalOpinion,
    Outgoing,
    Reading,
    Row,
    Score,
    Severity,
    Status,
    Trigger,
    Window,
    WindowReading,
)
from agent.journal import JournalSettings
from agent.journal.arrivals import Decode
from agent.journal.commands import Refusal
from agent.journal.journal import Journal
from agent.journal.samples import Usual
from agent.journal.short_way import ReadPlain
from agent.journal.store import Store
from agent.journal.writer import Wiring
from agent.verdict.feedback import Noted
from tests.support.waiting import PATIENCE, wait_for

DEADLINE_S = 10.0


@dataclass(frozen=True, slots=True)
class Plain:
    """A decoded message, as a decoder of these tests gives it."""

    readings: tuple[Reading, ...] = ()
    source: str | None = "sensors"
    traceparent: str | None = None
    family: str | None = None
    text_only: bool = False
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    heard: tuple[str, ...] = ()
    handling: Handling = Handling.READ
    excluded_by: str | None = None
    retained: str = "seed"
    device: str | None = None
    online: bool | None = None
    states: tuple[tuple[str, bool], ...] = ()
    message_id: str | None = None
    history: tuple[Reading, ...] = ()
    expected_s: tuple[tuple[str, float], ...] = ()
    received: float = 0.0
    off_s: float | None = None


def decode(arrival: Arrival) -> Plain:
    """Read ``sensors/<device>/<metric>`` with a JSON number or object of numbers."""
    if arrival.payload == b"fault":
        raise RuntimeError("a decoder's own bug")
    if arrival.payload == b"text":
        return Plain(text_only=True, handling=Handling.TEXT, device=arrival.topic.split("/")[1])
    if arrival.topic.startswith("own/"):
        return Plain(source=None, handling=Handling.OWN)
    try:
        data = json.loads(arrival.payload)
    except ValueError as error:
        raise DecodeError(DecodeReason.BAD_JSON, str(error)) from error
    _, device, metric = arrival.topic.split("/")
    values = data if isinstance(data, dict) else {metric: data}
    return Plain(tuple(Reading(device, name, arrival.received, value) for name, value in values.items()))


def arrival(number: int = 0, **changes: Any) -> Arrival:
    """Return the arrival with this number: packet id number + 1, device ``d<number % 10>``."""
    plain = Arrival(
        generation=1,
        mid=number % 65_535 + 1,
        qos=1,
        dup=False,
        retain=False,
        topic=f"sensors/d{number % 10}/temperature",
        payload=str(20 + number).encode(),
        received=1_700_000_000.0 + number,
        mono=time.monotonic(),
    )
    return replace(plain, **changes)


def link_up(generation: int, *, session_present: bool = True) -> LinkUp:
    """Return a CONNACK."""
    return LinkUp(generation, session_present, "5", time.monotonic())


def window(name: str = "w1", device: str = "d1", lo: int = 1, hi: int = 10) -> Window:
    """Return a window with everything in it."""
    reading = WindowReading(
        "r1", "temperature", 5.0, 98.7, "degC", Score(1.7, Kind.SPIKE, (70.1, 72.3), limit=True)
    )
    return Window(
        id=name,
        device=device,
        trigger=Trigger.SUSPICION,
        lo=lo,
        hi=hi,
        count=10,
        start=1.0,
        end=9.5,
        opened=100.0,
        sealed=101.25,
        local=LocalOpinion(
            Status.ANOMALY, 1.7, Kind.SPIKE, Severity.WARNING, (reading,), "high \N{DEGREE SIGN}"
        ),
        candidates=(reading, replace(reading, ref="r2", unit=None, score=Score(0.1))),
        section='{"device":"A"}',
        traceparents=("00-aa-bb-01",),
    )


@dataclass
class Rig:
    """Opens a journal in a folder, runs its thread, and keeps its reports."""

    folder: Path
    settings: JournalSettings = field(default_factory=lambda: JournalSettings(commit_ms=5, ballast_bytes=0))
    wall: Callable[[], float] = time.time
    mono: Callable[[], float] = time.monotonic
    read: Decode | None = None  # in place of ``decode``
    read_plain: ReadPlain | None = None
    rows: list[Row] = field(default_factory=list)
    acks: list[tuple[int, int]] = field(default_factory=list)
    generations: list[int] = field(default_factory=list)
    noted: list[Noted] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    rooms: int = 0
    reports: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    auto_consume: bool = True
    error: BaseException | None = None

    def open(self) -> Journal:
        """Open without running."""
        self.journal = Journal.open(
            self.folder,
            agent_id="gw1",
            wiring=Wiring(
                decode=self.read or (lambda item: decode(item)),  # noqa: PLW0108 - tests put another in its place
                read_plain=self.read_plain,
                on_rows=self._take,
                on_acks=lambda acks: self.acks.extend(acks),  # noqa: PLW0108 - tests put another in its place
                on_generation=lambda number: self.generations.append(number),  # noqa: PLW0108
                on_room=self._note_room,
                log=lambda event, **values: self.reports.append((event, values)),
                on_feedback=lambda noted: self.noted.extend(noted),  # noqa: PLW0108
                on_refusals=lambda refusals: self.refusals.extend(refusals),  # noqa: PLW0108
            ),
            settings=self.settings,
            wall=self.wall,
            mono=self.mono,
        )
        return self.journal

    def start(self) -> Self:
        """Open and run."""
        self.open()
        self.start_thread()
        return self

    def start_thread(self) -> None:
        """Run what is open."""
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop and wait."""
        assert self.journal.stop(DEADLINE_S)
        if self.error is not None:
            raise self.error

    def offer(self, items: Iterable[Any]) -> None:
        """Offer items; all must fit."""
        offered = list(items)
        assert self.journal.inbox.offer(offered) == len(offered)

    def write(self, job: Callable[[Store], Any]) -> Any:
        """Run a job and wait for its result."""
        return self.journal.write(job, urgent=True).result(PATIENCE * DEADLINE_S)

    def settle(self) -> None:
        """Wait until everything offered so far is committed and reported."""
        self.until(lambda: not self.journal.inbox.depth)
        self.write(_nothing)
        self.write(_nothing)  # the first is answered before its group's rows are handed on

    def acked(self, count: int) -> None:
        """Wait until so many messages are acknowledged and their rows, which come later, are handed on."""
        self.until(lambda: len(self.acks) == count)
        self.write(_nothing)

    def until(self, condition: Callable[[], bool]) -> None:
        """Poll until a condition holds."""

        def met() -> bool:
            assert self.error is None, repr(self.error)
            return condition()

        wait_for(met, DEADLINE_S, "the journal gets there", 0.002)

    def _run(self) -> None:
        try:
            self.journal.run()
        except BaseException as error:  # noqa: BLE001 - shown by the test
            self.error = error

    def _take(self, rows: list[Row]) -> None:
        self.rows.extend(rows)
        if self.auto_consume:
            self.journal.consumed(len(rows))

    def _note_room(self) -> None:
        self.rooms += 1


def _nothing(store: Store) -> None:
    """Be a transaction without content."""


def sealing(one: Window, usual: Sequence[Usual] = ()) -> Callable[[Store], None]:
    """Return the job that seals a window."""
    return lambda store: store.seal(one, usual)


def concluding(
    one: Window, *outgoing: Outgoing, detail: bytes | None = None
) -> Callable[[Store], list[Outgoing]]:
    """Return the job that concludes a window without a finding."""
    return lambda store: store.conclude(
        window=one, verdict=b"verdict", finding=None, outgoing=outgoing, detail=detail
    )


def acking(*ids: int) -> Callable[[Store], None]:
    """Return the job that notes PUBACKs."""
    return lambda store: store.outbox.finish(ids)


ON = {"topic": "sensors/door/contact", "payload": b"1"}


def constant(mid: int, generation: int = 1, **changes: Any) -> Arrival:
    """Return a message of a contact that always publishes the same, with this packet id."""
    return arrival(0, mid=(mid - 1) % 65_535 + 1, generation=generation, **ON, **changes)


def again(messages: Sequence[Arrival], generation: int) -> list[Arrival]:
    """Return messages as the broker sends them again; held ones wait as long as a test needs."""
    return [replace(one, generation=generation, dup=True, mono=time.monotonic() + 600) for one in messages]
