"""Held notices are released, as many as an hour allows, the rest as a summary."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from agent.domain.records import Severity
from agent.journal import notices as rows_of
from agent.journal.notices import Alone, Released, message_of
from agent.journal.outbox import Outbox
from agent.journal.schema import migrate
from agent.verdict.notice import DIGEST, SUMMARY, Notice, NoticeRules

NOON = 1_700_000_000.0 - 1_700_000_000.0 % 86_400 + 43_200  # of the zone UTC
SINK = "ops"


@dataclass
class Rig:
    """The outbox over tables in memory; agent time and wall clock are one."""

    connection: sqlite3.Connection
    now: float = NOON

    def __post_init__(self) -> None:
        self.outbox = Outbox(self.connection, lambda: self.now)

    def hold(
        self,
        key: str,
        *,
        severity: Severity = Severity.WARNING,
        event: str = "opened",
        wait_s: float = 0.0,
        alone: Alone = Alone.NEWS,
        incident: str | None = None,
    ) -> None:
        notice: Notice = {
            "id": f"{key}-{event}-{severity}", "agent": "gw1", "type": "finding", "event": event,
            "severity": severity, "title": f"{severity}: {key}", "text": "t", "device": key, "kind": "spike",
            "finding_id": key, "at": "2026-01-01T00:00:00.000Z", "link": None,
        }  # fmt: skip
        message = message_of(notice, SINK, incident or key, not_before=self.now + wait_s, alone=alone)
        self.outbox.notices.hold(message, verdict="v", device=key)

    def release(self, **rules: object) -> Released:
        return self.outbox.notices.release(SINK, replace(NoticeRules(), **rules), wall=self.now)  # type: ignore[arg-type]

    def waiting(self) -> list[str]:
        """Return the keys that may be sent, in their order."""
        return [one.key for one in self.outbox.pending(SINK, after=0, limit=10**6)[0]]

    def deliver(self) -> list[Notice]:
        """Deliver what may be sent; return its content."""
        found = self.outbox.pending(SINK, after=0, limit=10**6)[0]
        self.outbox.finish([one.outbox_id for one in found])
        return [json.loads(one.payload) for one in found]

    def held(self) -> list[str]:
        return [
            key
            for (key,) in self.connection.execute("SELECT key FROM outbox WHERE not_before > 0 ORDER BY id")
        ]


@pytest.fixture
def rig() -> Iterator[Rig]:
    """An empty outbox."""
    connection = sqlite3.connect(":memory:")
    migrate(connection, version=0)
    yield Rig(connection)
    connection.close()


def test_a_notice_is_held_until_its_time(rig: Rig) -> None:
    """And the answer has the time of the next look."""
    rig.hold("a", wait_s=60.0)
    assert rig.release() == Released(due=NOON + 60.0)
    assert rig.waiting() == []
    rig.now += 60.0
    assert rig.release() == Released(rows=1)
    assert rig.release() == Released()
    assert [one["id"] for one in rig.deliver()] == ["a-opened-warning"]


def test_a_held_notice_is_replaced_by_the_next_of_its_key(rig: Rig) -> None:
    """At the earlier of both times; a released one is never changed."""
    rig.hold("a", wait_s=60.0)
    rig.hold("a", severity=Severity.CRITICAL, event="updated")
    rig.release()
    rig.hold("a", event="cleared", severity=Severity.CRITICAL, alone=Alone.HELD)
    assert [one["event"] for one in rig.deliver()] == ["updated"]
    rig.release()
    assert [one["event"] for one in rig.deliver()] == ["cleared"]


def test_an_end_that_nobody_asked_for_only_amends_what_is_held(rig: Rig) -> None:
    """After a quiet night people read that it is over already, in one notice."""
    rig.hold("a", event="cleared", alone=Alone.DROPPED)
    assert rig.held() == []
    rig.hold("a", wait_s=60.0)
    rig.hold("a", event="cleared", wait_s=90.0, alone=Alone.DROPPED)
    rig.now += 60.0
    rig.release()
    assert [one["event"] for one in rig.deliver()] == ["cleared"]


def test_what_a_person_knows_is_withdrawn(rig: Rig) -> None:
    """From the held notices and from a summary that waits."""
    for key in ("a", "b", "c"):
        rig.hold(key)
    rig.release(max_per_hour=1)
    rig.hold("d", wait_s=60.0)
    for key in ("b", "d"):
        rig.outbox.notices.withdraw(key, key)
    rig.now += 3600.0
    rig.release(max_per_hour=1)
    own, summary = rig.deliver()
    assert own["finding_id"] == "a"
    assert [one["finding_id"] for one in summary["notices"]] == ["c"]


def test_an_hour_has_so_many_notices_and_one_summary(rig: Rig) -> None:
    """None is lost: the summary lists the rest, the worst first."""
    told: list[Notice] = []
    for minute in range(60):
        rig.hold(f"d{minute}", severity=Severity.WARNING)
        rig.release(max_per_hour=5)
        told += rig.deliver()
        rig.now += 60.0
    assert [one["type"] for one in told] == ["finding"] * 5
    rig.release(max_per_hour=5)
    (summary,) = rig.deliver()
    assert (summary["type"], summary["count"]) == ("summary", 55)
    assert {one["finding_id"] for one in (*told, *summary["notices"])} == {f"d{n}" for n in range(60)}
    assert rig.held() == []


def test_no_hour_has_more_however_notices_come(rig: Rig) -> None:
    """Counted in each span of an hour, also after one in which the sink was away; one summary an hour."""
    at: list[tuple[float, str]] = []
    expected, found = set(), set()
    for minute in range(60 * 8):
        if minute % 4 == 0:
            rig.hold(f"d{minute}")
            expected.add(f"d{minute}")
        rig.release(max_per_hour=6)
        if not 100 <= minute < 200:
            for one in rig.deliver():
                at.append((rig.now, one["type"]))
                items = one.get("notices", [one])
                found |= {item["finding_id"] for item in items}
        rig.now += 60.0
    for begin, _ in at:
        hour = [kind for moment, kind in at if begin <= moment < begin + 3600.0]
        assert hour.count("finding") <= 6
        assert hour.count("summary") <= 2
    rig.now += 3600.0
    rig.release(max_per_hour=6)
    for one in rig.deliver():
        found |= {item["finding_id"] for item in one.get("notices", [one])}
    assert found == expected


def test_of_many_the_critical_ones_go_first(rig: Rig) -> None:
    """And the first one beyond the limit brings the summary forward, at most once an hour."""
    for key in ("a", "b", "c"):
        rig.hold(key)
    rig.hold("hot", severity=Severity.CRITICAL)
    rig.release(max_per_hour=2)
    assert rig.waiting() == ["a", "hot"]
    rig.deliver()
    rig.now += 60.0
    rig.hold("fire", severity=Severity.CRITICAL)
    assert rig.release(max_per_hour=2).due == rig.now + 60.0
    rig.now += 60.0
    rig.release(max_per_hour=2)
    (summary,) = rig.deliver()
    assert summary["notices"][0]["finding_id"] == "fire"
    rig.hold("smoke", severity=Severity.CRITICAL)
    due = rig.release(max_per_hour=2).due
    assert due is not None
    assert due - rig.now > 3000.0


def test_a_change_of_a_folded_finding_stays_in_the_summary(rig: Rig) -> None:
    """Unless it has become worse: then it is a notice of its own again."""
    for key in ("a", "b", "c"):
        rig.hold(key)
    rig.release(max_per_hour=1)
    rig.hold("b", event="cleared", alone=Alone.DROPPED)
    rig.hold("c", event="updated", severity=Severity.CRITICAL)
    assert rig.held() == [SUMMARY, "c"]
    rig.deliver()
    rig.now += 3600.0
    rig.release(max_per_hour=5)
    summary, own = rig.deliver()
    assert [(one["finding_id"], one["event"]) for one in summary["notices"]] == [("b", "cleared")]
    assert own["severity"] == "critical"


def test_a_sink_that_is_away_gets_no_flood_when_it_is_back(rig: Rig) -> None:
    """Rows that were released and not delivered count, so that hours do not pile up."""
    for hour in range(5):
        for number in range(10):
            rig.hold(f"d{hour}.{number}")
        rig.release(max_per_hour=3)
        rig.now += 3600.0
    rig.release(max_per_hour=3)
    back = rig.deliver()
    assert [one["type"] for one in back] == ["finding"] * 3 + ["summary"]
    rig.now += 3600.0
    rig.release(max_per_hour=3)
    back += rig.deliver()
    assert [one["type"] for one in back[4:]] == ["summary"]
    assert len({item["finding_id"] for one in back for item in one.get("notices", [one])}) == 50


def test_failing_notices_wait_for_the_end_of_quiet_hours(rig: Rig) -> None:
    """A sink that comes back at night gets what is critical."""
    from zoneinfo import ZoneInfo  # noqa: PLC0415

    rules = {"quiet": (22 * 60, 7 * 60), "zone": ZoneInfo("UTC")}
    rig.now = NOON + 9.9 * 3600
    rig.hold("a")
    rig.hold("b", severity=Severity.CRITICAL)
    rig.release(**rules)
    for one in rig.outbox.pending(SINK, after=0, limit=9)[0]:
        rig.outbox.fail(one.outbox_id, "away")
    rig.now = NOON + 11 * 3600
    assert rig.release(**rules).due == NOON + 19 * 3600
    assert rig.waiting() == ["b"]
    rig.now = NOON + 19 * 3600
    rig.release(**rules)
    assert sorted(rig.waiting()) == ["a", "b"]


def test_beyond_the_bound_the_oldest_are_given_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """They stay for the user to see."""
    monkeypatch.setattr(rows_of, "MAX_WAITING", 5)
    for number in range(8):
        rig.hold(f"d{number}", wait_s=9.0)
    assert rig.release().given_up == 3
    assert rig.connection.execute("SELECT key FROM outbox WHERE given_up = 1").fetchall() == [
        ("d0",), ("d1",), ("d2",)
    ]  # fmt: skip
    assert rig.release().given_up == 0


def test_one_more_costs_the_same_however_many_are_held(rig: Rig) -> None:
    """Steps of SQLite: neither a notice, nor a person's word on one, passes by all others."""

    def steps() -> int:
        found = 0

        def count() -> int:
            nonlocal found
            found += 1
            return 0

        rig.connection.set_progress_handler(count, 1)
        rig.hold("one", wait_s=60.0)
        rig.outbox.notices.withdraw("one", "one")
        rig.connection.set_progress_handler(None, 0)
        return found

    rig.hold("d", wait_s=60.0)
    few = steps()
    for number in range(1000):
        rig.hold(f"d{number}", wait_s=60.0)
    assert steps() < few + 100


def test_a_digest_comes_once_a_day(rig: Rig) -> None:
    """The first one is the next day's; a start after its time makes up for it, once."""
    from zoneinfo import ZoneInfo  # noqa: PLC0415

    rules = NoticeRules(digest=7 * 60 + 30, zone=ZoneInfo("UTC"))

    def look() -> float | None:
        due = rig.outbox.notices.digest([SINK], rules, agent="gw1", wall=rig.now)
        rig.outbox.notices.release(SINK, rules, wall=rig.now)
        return due

    assert look() == NOON + 19.5 * 3600
    assert rig.waiting() == []
    rig.connection.execute(
        "INSERT INTO findings(id, device, kind, severity, opened, last_reviewed, normal_streak, verdicts,"
        " cleared, clock) VALUES ('f','d1','spike','critical',?,?,0,1,0,?)",
        (rig.now, rig.now, rig.now),
    )
    rig.now = NOON + 21 * 3600
    for _ in range(3):
        look()
    assert rig.waiting() == [DIGEST]
    (digest,) = rig.deliver()
    assert (digest["type"], digest["open"], digest["opened"]) == ("digest", 1, 1)
    assert "critical: d1, spike, since 20" in digest["text"]
    look()
    assert rig.waiting() == []


def test_order_of_the_wall_clock_does_not_matter(rig: Rig) -> None:
    """A wall clock that is set back holds nothing for longer: holding is agent time."""
    rig.hold("a", wait_s=60.0)
    rig.now += 60.0
    assert rig.outbox.notices.release(SINK, NoticeRules(), wall=0.0).rows == 1


def test_one_incident_is_one_notice(rig: Rig) -> None:
    """Held, it takes up further findings; the time of the first and the highest severity are its own."""
    for number in range(25):
        severity = Severity.CRITICAL if number == 7 else Severity.WARNING
        rig.hold(f"d{number}", incident="i", severity=severity, wait_s=60.0 + number)
    rig.now += 60.0
    assert rig.release().rows == 1
    (notice,) = rig.deliver()
    assert (notice["severity"], notice["event"], notice["device"]) == ("critical", "opened", "d7")
    assert (notice["title"], notice["device_count"]) == ("critical: d7 and 24 more devices", 25)
    assert "25 devices: d7, d0, d1, d2, d3 and 20 more." in notice["text"]
    assert {one["finding_id"] for one in notice["findings"]} == {f"d{number}" for number in range(25)}


def test_an_incident_is_notified_once(rig: Rig) -> None:
    """A later finding is news if it is more severe, a broken limit or the end; over a restart too."""
    rig.hold("a", incident="i")
    rig.release()
    rig.hold("b", incident="i")
    assert rig.held() == []
    rig.deliver()
    rig.outbox = Outbox(rig.connection, lambda: rig.now)
    rig.hold("c", incident="i")
    rig.hold("c", incident="i", event="cleared", alone=Alone.DROPPED)
    assert rig.held() == []
    rig.hold("d", incident="i", severity=Severity.CRITICAL)
    rig.release()
    assert [one["title"] for one in rig.deliver()] == ["critical: d"]
    rig.hold("e", incident="i", severity=Severity.CRITICAL)
    assert rig.held() == []
    for event in ("updated", "cleared"):
        rig.hold("e", incident="i", event=event, alone=Alone.HELD)
        rig.release()
        assert [one["event"] for one in rig.deliver()] == [event]
    rig.hold("f", incident="other")
    assert rig.held() == ["other"]


@pytest.mark.parametrize("end", [Alone.HELD, Alone.DROPPED])
def test_an_anomaly_that_comes_back_is_news_to_those_who_read_its_end(rig: Rig, end: Alone) -> None:
    """In a notice of its own, or in the one of its opening; to others it is not."""
    rig.hold("a", incident="i", wait_s=0.0 if end is Alone.HELD else 60.0)
    rig.release()
    rig.hold("a", incident="i", event="cleared", alone=end)
    rig.now += 60.0
    rig.release()
    assert rig.deliver()[-1]["event"] == "cleared"
    rig.hold("b", incident="i")
    rig.release()
    assert [one["device"] for one in rig.deliver()] == ["b"]
    rig.hold("b", incident="i", event="cleared", alone=Alone.DROPPED)
    rig.hold("c", incident="i")
    assert rig.held() == []


def test_a_persons_word_on_a_finding_leaves_the_others_of_its_incident(rig: Rig) -> None:
    """In a held notice and in a summary; without another finding nothing is left."""
    for key in ("a", "b", "c"):
        rig.hold(key, incident="i", wait_s=60.0)
    rig.outbox.notices.withdraw("i", "a")
    rig.hold("x")
    rig.hold("y")
    rig.release(max_per_hour=1)
    assert rig.held() == ["i", SUMMARY]
    rig.now += 60.0
    rig.release(max_per_hour=1)
    rig.hold("d", incident="i")
    rig.outbox.notices.withdraw("i", "b")
    assert rig.held() == [SUMMARY]
    rig.now += 3600.0
    rig.deliver()
    rig.release()
    (summary,) = rig.deliver()
    item = next(one for one in summary["notices"] if one["key"] == "i")
    assert [one["finding_id"] for one in item["findings"]] == ["c", "d"]
    rig.hold("e", incident="j", wait_s=60.0)
    rig.outbox.notices.withdraw("j", "e")
    assert rig.held() == []


def test_after_a_persons_word_what_turns_critical_is_notified(rig: Rig) -> None:
    """A person who knows of an incident knows of its warnings; maintenance hides them from all."""
    rig.hold("a", incident="i", severity=Severity.CRITICAL)
    rig.release()
    rig.deliver()
    rig.hold("a", incident="i", event="updated")
    assert rig.held() == []
    rig.outbox.notices.withdraw("i", "a")
    rig.hold("a", incident="i", event="updated")
    assert rig.held() == []
    critical = Severity.CRITICAL
    rig.hold("b", incident="i", wait_s=60.0, severity=critical)
    rig.hold("c", incident="i", wait_s=70.0, severity=critical)
    rig.now += 60.0
    rig.release()
    (both,) = rig.deliver()
    assert [one["finding_id"] for one in both["findings"]] == ["b", "c"]
    rig.hold("d", incident="i", severity=critical)
    assert rig.held() == []
    rig.outbox.notices.withdraw("i", "a", again=True)
    rig.hold("a", incident="i", event="updated")
    assert rig.held() == ["i"]


def test_what_comes_back_and_stays_is_notified_once_an_hour(rig: Rig) -> None:
    """Although its incident was notified; what is over before its time is a flap, and no notice."""

    def comes_back(*, stays: bool) -> list[str]:
        rig.hold("a", incident="i", alone=Alone.AGAIN, wait_s=60.0)
        if not stays:
            rig.hold("a", incident="i", event="cleared", alone=Alone.DROPPED)
        rig.now += 60.0
        rig.release()
        return [one["event"] for one in rig.deliver()]

    assert comes_back(stays=False) == ["cleared"]  # it was not notified yet
    assert comes_back(stays=True) == ["opened"]
    assert comes_back(stays=False) == []
    assert comes_back(stays=True) == ["opened"]
    for _ in range(58):
        assert comes_back(stays=True) == []
    rig.now += 120.0
    rig.hold("b", incident="i", alone=Alone.AGAIN, wait_s=60.0)
    assert comes_back(stays=True) == ["opened"]


@pytest.mark.parametrize("told", ["none", "older", "younger"])
def test_a_merged_incident_has_no_notice_of_its_own(rig: Rig, told: str) -> None:
    """Its findings go out with the older one unless one of both was notified."""
    for key, incident in (("a", "older"), ("b", "younger")):
        if told in ("none", incident):
            rig.hold(key, incident=incident, wait_s=60.0 if told == "none" else 0.0)
    rig.release()
    before = rig.deliver()
    if told == "older":
        rig.hold("b", incident="younger", wait_s=60.0)
    rig.outbox.notices.merge("younger", "older")
    rig.hold("c", incident="older", wait_s=60.0)
    rig.now += 60.0
    rig.release()
    after = rig.deliver()
    assert len(before) + len(after) == 1
    if told == "none":
        assert [one["finding_id"] for one in after[0]["findings"]] == ["a", "b", "c"]


def test_a_merged_incident_in_a_summary_is_one_item(rig: Rig) -> None:
    """That of the older one."""
    for key, incident in (("x", "x"), ("a", "older"), ("b", "younger")):
        rig.hold(key, incident=incident)
    rig.release(max_per_hour=1)
    rig.outbox.notices.merge("younger", "older")
    rig.deliver()
    rig.now += 3600.0
    rig.release()
    (summary,) = rig.deliver()
    assert (summary["count"], [one["key"] for one in summary["notices"]]) == (1, ["older"])
    assert [one["finding_id"] for one in summary["notices"][0]["findings"]] == ["a", "b"]


def test_a_notice_that_was_released_keeps_id_and_bytes(rig: Rig) -> None:
    """Further findings and a merge do not change it; before, another content is another id."""
    rig.hold("a", incident="i", wait_s=60.0)
    rig.hold("b", incident="i", wait_s=60.0)
    rig.now += 60.0
    rig.release()
    (first,) = rig.outbox.pending(SINK, after=0, limit=9)[0]
    rig.outbox.fail(first.outbox_id, "away")
    rig.hold("c", incident="i")
    rig.outbox.notices.merge("i", "older")
    rig.outbox.notices.withdraw("i", "a")
    rig.release()
    (again,) = rig.outbox.pending(SINK, after=0, limit=9)[0]
    assert (again.payload, again.properties) == (first.payload, first.properties)
    assert json.loads(first.payload)["id"] not in {"a-opened-warning", "b-opened-warning"}


def test_a_broken_limit_that_is_held_outlasts_a_merge(rig: Rig) -> None:
    """Although the older incident was notified."""
    rig.hold("a", incident="older")
    rig.release()
    rig.deliver()
    rig.hold("b", incident="younger", wait_s=60.0)
    rig.hold("b", incident="younger", wait_s=60.0, alone=Alone.HELD)
    rig.hold("c", incident="younger", wait_s=60.0)
    rig.outbox.notices.merge("younger", "older")
    assert rig.held() == ["older"]
