"""Feedback in the journal: each verdict and outcome once, despite repeats."""

import json
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from agent.domain.records import Arrival, CommandRow, DecodeReason, Do, Kind, Seen, Window
from agent.journal import feedback
from agent.journal.store import Store
from agent.verdict.feedback import Feedback, Noted
from tests.journal import rig as rig_module
from tests.journal.rig import Plain, Rig, arrival, link_up, sealing, window

ID = "0123456789abcdef"
VERDICT = json.dumps(
    {
        "status": "anomaly",
        "kind": "spike",
        "device": "d1",
        "finding_id": "f1",
        "evidence": [
            {"metric": "m", "value": 30.0},
            {"metric": "m", "value": 31.0},
            {"metric": "n", "value": None},  # it was not finite
        ],
    }
).encode()
JUDGED = (Seen("m", Kind.SPIKE, 30.0, 31.0),)


def say(number: int, outcome: str, verdict_id: str = ID, *, retain: bool = False) -> Arrival:
    return arrival(number, topic="own/feedback", payload=f"{verdict_id} {outcome}".encode(), retain=retain)


def decode(item: Arrival) -> Plain | Feedback:
    verdict_id, outcome = item.payload.decode().split()
    return Feedback(verdict_id, outcome, "seen")


def conclude(one: Window, store: Store) -> None:
    store.conclude(window=one, verdict=VERDICT, finding=None, outgoing=(), detail=None)


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A journal that reads feedback, with one verdict."""
    monkeypatch.setattr(rig_module, "decode", decode)
    return Rig(tmp_path)


def test_each_outcome_of_a_verdict_counts_once(rig: Rig) -> None:
    """Repeats in the same group, a later one and after a restart count nowhere; all are acknowledged."""
    with rig:
        one = window(ID)
        rig.write(sealing(one))
        rig.write(lambda store: conclude(one, store))
        rig.offer([link_up(1), say(1, "confirmed"), say(2, "confirmed"), say(3, "false_alarm")])
        rig.settle()
        rig.offer([say(4, "confirmed"), say(5, "confirmed", "f" * 16), say(6, "confirmed", retain=True)])
        rig.settle()
        assert len(rig.acks) == 6
        rows = [row for row in rig.rows if isinstance(row, CommandRow)]
        assert rows == rig.rows
        assert [row.command.do for row in rows] == [Do.CONFIRMED, Do.FALSE_ALARM]
        assert all(row.outcome and row.outcome.judged == JUDGED for row in rows)
        assert len({row.seq for row in rows}) == 2
        assert rig.journal.stats.retained_ignored == 1
    again = Rig(rig.folder)
    with again:
        again.offer([link_up(2), say(7, "false_alarm", retain=False)])
        again.settle()
    confirmed, false_alarm = Feedback(ID, "confirmed", "seen"), Feedback(ID, "false_alarm", "seen")
    *known, stranger = rig.noted
    assert known == [
        Noted(confirmed, "anomaly", "", ID, "d1", "f1", JUDGED),
        Noted(confirmed, None, "repeat", ID),
        Noted(false_alarm, "anomaly", "", ID, "d1", "f1", JUDGED),
        Noted(confirmed, None, "repeat", ID),
    ]
    assert stranger.refused
    assert again.noted == [Noted(false_alarm, None, "repeat", ID)]
    with closing(sqlite3.connect(rig.folder / "journal.sqlite")) as connection:
        kept = feedback.read(connection, ID)
    assert [(one["outcome"], one["note"]) for one in kept] == [("confirmed", "seen"), ("false_alarm", "seen")]


def keep_two(rig: Rig) -> None:
    """Journal two verdicts whose ids begin alike."""
    for one in map(window, (ID, ID[:8] + "ffff")):
        rig.write(sealing(one))
        rig.write(partial(conclude, one))


def test_the_first_characters_of_an_id_are_enough(rig: Rig) -> None:
    """As with ``show``, where only one verdict begins so."""
    with rig:
        keep_two(rig)
        rig.offer([link_up(1), say(1, "confirmed", ID[:9]), say(2, "false_alarm", ID)])
        rig.settle()
    assert [(one.status, one.verdict_id) for one in rig.noted] == [("anomaly", ID), ("anomaly", ID)]


def test_an_id_of_no_verdict_or_of_several_is_refused_with_a_reason(rig: Rig) -> None:
    """It is acknowledged and is in quarantine with a remedy, instead of vanishing."""
    with rig:
        keep_two(rig)
        rig.offer([link_up(1), say(1, "confirmed", ID[:6]), say(2, "confirmed", "beef")])
        rig.settle()
        assert len(rig.acks) == 2
        assert rig.journal.stats.quarantined[DecodeReason.UNKNOWN_VERDICT] == 2
    with closing(sqlite3.connect(rig.folder / "journal.sqlite")) as connection:
        rows = connection.execute("SELECT topic, reason, detail FROM quarantine ORDER BY id").fetchall()
    assert [row[:2] for row in rows] == [("own/feedback", "unknown_verdict")] * 2
    assert "several verdicts begin so; send more of the id" in rows[0][2]
    assert "no verdict that is kept has this id" in rows[1][2]


def test_a_journal_without_feedback_has_none(rig: Rig) -> None:
    """The table is made when it is needed."""
    with rig:
        rig.settle()
    with closing(sqlite3.connect(rig.folder / "journal.sqlite")) as connection:
        assert feedback.read(connection, ID) == []
