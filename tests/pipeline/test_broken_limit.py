"""A broken limit is notified before its verdict, and once."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from agent.domain.records import (
    Answer,
    Arrival,
    Batch,
    Command,
    Finding,
    FindingEvent,
    FindingState,
    Kind,
    Outcome,
    Reason,
    Severity,
    Status,
    Window,
)
from agent.journal.reader import Reader
from agent.pipeline.events import Event, FindingChanged, IncidentChanged, VerdictCommitted
from agent.pipeline.notices import Receiver
from agent.pipeline.window import WindowSettings
from agent.verdict.command import read_command
from agent.verdict.finding import Findings
from agent.verdict.verdict import conclude
from tests.journal import rig as rig_module
from tests.journal.rig import Plain, arrival, link_up
from tests.pipeline.test_restart import Life, in_a_life
from tests.support.make import T0, answered, score, window

plain = rig_module.decode
HIGH = 50.0
LIMIT = score(3.5, Kind.OUT_OF_RANGE, limit=True)


@pytest.fixture(autouse=True)
def _commands(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(item: Arrival) -> Plain | Command:
        return read_command(item.payload) if item.topic == "own/command" else plain(item)

    monkeypatch.setattr(rig_module, "decode", decode)


class Model:
    """Answers when it is let: nothing is wrong."""

    def __init__(self) -> None:
        self.asked: list[str] = []  # devices
        self._gate = asyncio.Event()

    def answer(self) -> None:
        self._gate.set()

    async def ask(
        self, batch: Batch, sending: Callable[[Sequence[Window]], Awaitable[None]]
    ) -> list[Outcome]:
        await sending(batch.windows)
        self.asked += [one.device for one in batch.windows]
        await self._gate.wait()
        return [answered(one, Status.NORMAL) for one in batch.windows]

    def facts_fit(self, _answer: Answer, _window: Window) -> bool:
        return True

    def cancelled(self, batch: Batch) -> list[Outcome]:
        return [Outcome(one.id, Reason.SHUTDOWN) for one in batch.windows]


class Site:
    """A life of an agent in which each reading is a window of its own."""

    def __init__(self, life: Life, model: Model) -> None:
        self.life, self.model = life, model
        self.events: list[Event] = []
        self._numbers = count(1)
        life.pipeline.windows.reconfigure(WindowSettings(max_readings=1))
        life.events.subscribe(FindingChanged, self.events.append)
        life.events.subscribe(IncidentChanged, self.events.append)
        life.events.subscribe(VerdictCommitted, self.events.append)

    async def turn(self) -> None:
        """Let all come about that does not wait for the model."""
        for _ in range(4):
            await self.life.feed()
            self.life.pipeline.notices.turn(self.life.journal.clock.now())
            await asyncio.sleep(0.01)

    async def hear(self, device: str, *values: float) -> None:
        for value in values:
            payload = json.dumps(value).encode()
            self.life.rig.offer([arrival(next(self._numbers), topic=f"sensors/{device}/t", payload=payload)])
        await self.turn()

    async def say(self, **command: Any) -> None:
        payload = json.dumps(command).encode()
        self.life.rig.offer([arrival(next(self._numbers), qos=0, topic="own/command", payload=payload)])
        await self.turn()

    async def answer(self) -> None:
        self.model.answer()
        await self.turn()

    def notices(self) -> list[dict[str, Any]]:
        """Return all notices that the journal holds, released or not: none is delivered."""
        with Reader.open(self.life.rig.folder) as reader:
            rows = reader._connection.execute("SELECT payload FROM outbox WHERE sink = 'ops' ORDER BY id")
            return [json.loads(body) for (body,) in rows]

    def changes(self) -> list[tuple[FindingEvent, str | None]]:
        """Return the changes of findings so far, each with the verdict that it has."""
        return [
            (one.change, one.verdict.finding_id) for one in self.events if isinstance(one, FindingChanged)
        ]

    @property
    def findings(self) -> list[Finding]:
        return self.life.pipeline.conclusions.findings()


def lived(folder: Path, body: Callable[[Site], Awaitable[Any]]) -> Any:
    """Run ``body`` with a site whose agent is then killed."""
    model = Model()

    async def run(life: Life) -> Any:
        site = Site(life, model)
        life.rig.offer([link_up(life.journal.generation + 1)])
        await site.turn()
        return await body(site)

    receivers = [Receiver("ops", Severity.INFO)]
    return in_a_life(folder, run, high=HIGH, age_s=60.0, model=model, receivers=receivers)


def test_it_is_notified_while_the_model_is_asked(tmp_path: Path) -> None:
    """Finding and incident are open, and the status has its words; the verdict adds the event, no notice."""

    async def body(site: Site) -> None:
        await site.hear("freezer", 60.0)
        assert site.model.asked == ["freezer"]
        (finding,) = site.findings
        (notice,) = site.notices()
        assert (notice["finding_id"], notice["severity"]) == (finding.id, "critical")
        assert notice["incident_id"] == finding.incident is not None
        assert not any(isinstance(one, VerdictCommitted) for one in site.events)
        shown = site.life.pipeline.conclusions.last_anomaly(finding.id)
        assert shown is not None
        assert shown["summary"] in notice["text"]
        assert site.changes() == []
        await site.answer()
        (verdict,) = [one.verdict for one in site.events if isinstance(one, VerdictCommitted)]
        assert (verdict.id, verdict.status, verdict.kind) == (
            notice["verdict_id"],
            Status.ANOMALY,
            Kind.OUT_OF_RANGE,
        )
        assert site.changes() == [(FindingEvent.OPENED, finding.id)]
        await site.hear("freezer", 61.0, 62.0)
        assert len(site.notices()) == 1
        assert len([one for one in site.events if isinstance(one, IncidentChanged)]) == 1
        await site.hear("freezer", 20.0, 20.0, 20.0)
        assert [change for change, _ in site.changes()] == [FindingEvent.OPENED, FindingEvent.CLEARED]

    lived(tmp_path, body)


def test_a_kill_at_any_step_makes_no_second_notice(tmp_path: Path) -> None:
    """Neither one while the verdict is awaited nor one between window and notice."""

    async def breaks(site: Site) -> str:
        await site.hear("freezer", 60.0)
        (finding,) = site.findings
        return finding.id

    async def dies_before(site: Site) -> None:
        site.life.pipeline.review_queue.waits = lambda _window: None
        await site.hear("cellar", 70.0)
        assert [one.device for one in site.findings] == ["freezer"]

    async def awaits(site: Site) -> list[dict[str, Any]]:
        shown = [site.life.pipeline.conclusions.last_anomaly(one.id) for one in site.findings]
        assert len(shown) == 2
        assert all(shown)
        return site.notices()

    async def answers(site: Site) -> list[tuple[FindingEvent, str | None]]:
        await site.answer()
        assert len(site.notices()) == 2
        return site.changes()

    first = lived(tmp_path, breaks)
    lived(tmp_path, dies_before)
    notices = lived(tmp_path, awaits)
    assert [one["device"] for one in notices] == ["freezer", "cellar"]
    changes = lived(tmp_path, answers)
    ids = {one["finding_id"] for one in notices}
    assert first in ids
    assert set(changes) == {(FindingEvent.OPENED, one) for one in ids}


def test_a_window_before_it_that_waits_too_does_not_delay_it(tmp_path: Path) -> None:
    """Nor does its verdict end or rename the finding."""

    async def body(site: Site) -> None:
        suspect, broken = window(score(1.5)), window(LIMIT, lo=9)
        queue = site.life.pipeline.review_queue
        queue.submit(suspect)
        assert site.findings == []
        queue.submit(broken)
        (finding,) = site.findings
        assert (finding.kind, finding.awaits) == (Kind.OUT_OF_RANGE, broken.id)
        await site.answer()
        assert site.changes() == [(FindingEvent.OPENED, finding.id)]
        (finding,) = site.findings
        assert (finding.kind, finding.awaits, finding.normal_streak) == (Kind.OUT_OF_RANGE, None, 0)
        assert site.model.asked == ["d1", "d1"]

    lived(tmp_path, body)


def test_a_person_can_act_on_it_at_once(tmp_path: Path) -> None:
    """The command holds when the verdict comes; a device that was forgotten stays so."""

    async def body(site: Site) -> None:
        await site.hear("freezer", 60.0)
        await site.hear("cellar", 70.0)
        by_device = {one.device: one for one in site.findings}
        await site.say(do="ack", finding_id=by_device["freezer"].id)
        await site.say(do="forget", device="cellar")
        await site.answer()
        (finding,) = site.findings
        assert (finding.device, finding.state) == ("freezer", FindingState.ACKNOWLEDGED)
        assert site.changes() == [(FindingEvent.OPENED, finding.id)]
        assert len(site.notices()) == 2

    lived(tmp_path, body)


def test_without_a_model_nothing_comes_before_the_verdict(tmp_path: Path) -> None:
    """The finding opens with it."""

    async def run(life: Life) -> Site:
        site = Site(life, Model())
        life.rig.offer([link_up(1)])
        await site.hear("freezer", 60.0)
        assert [change for change, _ in site.changes()] == [FindingEvent.OPENED]
        assert len(site.notices()) == 1
        return site

    in_a_life(tmp_path, run, high=HIGH, receivers=[Receiver("ops", Severity.INFO)])


def test_a_limit_that_breaks_in_an_open_finding_is_its_next_change() -> None:
    """The finding is critical before the verdict, which is its update."""
    findings = Findings()

    def move(one: Window, *, early: bool = False) -> tuple[Finding | None, FindingEvent | None]:
        outcome = Outcome(one.id, Reason.REVIEW_OFF)
        verdict = conclude(one, outcome, agent="gw", created=T0)
        return findings.move(verdict, one, reviewed=False, early=early)

    drifts, breaks, calm = window(score(1.5)), window(LIMIT, lo=5), window(score(0.0), lo=3)
    opened, _ = move(drifts)
    early, event = move(breaks, early=True)
    assert opened is not None
    assert early is not None
    assert (early.id, early.severity, event) == (opened.id, Severity.CRITICAL, FindingEvent.UPDATED)
    assert move(calm) == (early, None)
    after, event = move(breaks)
    assert after is not None
    assert (after.awaits, after.verdicts, event) == (None, early.verdicts + 1, FindingEvent.UPDATED)
