"""The queue before the writer."""

from concurrent.futures import Future
from pathlib import Path
from time import monotonic
from typing import Any

from agent.domain.records import Arrival, LinkDown
from agent.journal import JournalSettings
from agent.journal.inbox import Group, Inbox, Item, Job
from tests.journal.rig import Rig, arrival, link_up, sealing, window

BIG = b"x" * 1000


def take(inbox: Inbox, **changes: Any) -> Group:
    """Take without waiting."""
    plain: dict[str, Any] = {
        "max_items": 256,
        "max_bytes": 1 << 20,
        "wait_s": 0.0,
        "idle_s": 0.0,
        "intake": True,
        "max_pending_rows": 10,
    }
    return inbox.take(**{**plain, **changes})


def job(*, urgent: bool = False) -> Job:
    """Return a job that nobody runs."""
    return Job(lambda store: store, Future(), urgent)


def test_it_is_capped_in_bytes() -> None:
    """A message that does not fit is refused and counted; with all others taken, room is reported once."""
    inbox = Inbox(max_bytes=8_000)
    assert inbox.offer([arrival(number, payload=BIG) for number in range(8)]) == 5
    assert not inbox.found_room()
    take(inbox, max_items=4)
    assert not inbox.found_room()
    take(inbox, max_items=1)
    assert [inbox.found_room(), inbox.found_room()] == [True, False]


def test_more_than_the_writer_needs_presses() -> None:
    """Many small messages, or few large ones; the broker keeps the others until some are taken."""
    inbox = Inbox(max_bytes=1 << 30)
    inbox.offer([arrival(number) for number in range(1024)])
    pressed = [inbox.pressed]
    inbox.offer([arrival(1024)])
    pressed.append(inbox.pressed)
    take(inbox)
    assert [*pressed, inbox.pressed] == [False, True, False]
    small = Inbox(max_bytes=8_000)
    small.offer([arrival(number, payload=BIG) for number in range(3)])
    assert small.pressed


def test_a_change_of_the_link_always_fits() -> None:
    """It decides whose acks are whose."""
    inbox = Inbox(max_bytes=100)
    assert inbox.offer([arrival(1, payload=BIG)])  # alone, anything fits
    assert not inbox.offer([arrival(2)])
    assert inbox.offer([LinkDown(1, "gone", 0.0)])
    assert inbox.offer([link_up(2)])


def test_a_group_ends_behind_a_link_up() -> None:
    """The generation must be on disk before anything of it is."""
    inbox = Inbox(max_bytes=1 << 20)
    items: list[Item] = [arrival(1), LinkDown(1, "gone", 0.0), link_up(2), arrival(3, generation=2)]
    inbox.offer(items)
    assert items[:3] == take(inbox, wait_s=60.0).items  # and it is not waited for the interval
    assert items[3:] == take(inbox).items


def test_a_group_is_bounded_in_messages_and_bytes() -> None:
    """Whichever comes first."""
    inbox = Inbox(max_bytes=1 << 20)
    inbox.offer([arrival(number, payload=BIG) for number in range(20)])
    assert len(take(inbox, max_items=8).items) == 8
    assert len(take(inbox, max_bytes=4_000).items) == 3
    assert len(take(inbox).items) == 9
    assert inbox.size == 0


def test_what_is_put_back_comes_first() -> None:
    """Order and bytes are as if it had never been taken."""
    inbox = Inbox(max_bytes=1 << 20)
    inbox.offer([arrival(number, payload=BIG) for number in range(6)])
    size = inbox.size
    first = job()
    inbox.submit(first)
    group = take(inbox, max_items=4)
    inbox.submit(job())
    inbox.put_back(group)
    assert size == inbox.size
    again = take(inbox)
    assert [item.mid for item in again.items if isinstance(item, Arrival)] == [1, 2, 3, 4, 5, 6]
    assert first is again.jobs[0]


def test_without_intake_only_jobs_are_taken() -> None:
    """Arrivals stay, also when the analyst has too many rows in hand, until it has consumed some."""
    inbox = Inbox(max_bytes=1 << 20)
    inbox.offer([arrival(1)])
    inbox.submit(job())
    group = take(inbox, intake=False)
    assert (group.items, len(group.jobs)) == ([], 1)
    inbox.handed(10)
    assert take(inbox).items == []
    inbox.consumed(1)
    assert len(take(inbox).items) == 1


def test_urgent_jobs_and_the_end_are_not_waited_for() -> None:
    """The interval is cut short for them."""
    inbox = Inbox(max_bytes=1 << 20)
    inbox.submit(job(urgent=True))
    assert len(take(inbox, wait_s=60.0).jobs) == 1
    inbox.submit(job())
    inbox.stop()
    assert len(take(inbox, wait_s=60.0).jobs) == 1


def test_the_interval_begins_with_the_oldest_message() -> None:
    """One that arrived while the last group was written does not wait for a whole interval more."""
    inbox = Inbox(max_bytes=1 << 20)
    inbox.offer([arrival(1, mono=monotonic() - 60.0), arrival(2, mono=monotonic())])
    assert len(take(inbox, wait_s=60.0).items) == 2


def test_the_interval_begins_with_the_rest_of_the_socket() -> None:
    """A message may have waited there since then."""
    inbox = Inbox(max_bytes=1 << 20)
    inbox.offer([arrival(1, mono=monotonic(), waited_s=60.0), arrival(2, mono=monotonic())])
    assert len(take(inbox, wait_s=60.0).items) == 2


def test_a_closed_inbox_takes_nothing() -> None:
    """Jobs that nobody will run are handed back."""
    inbox = Inbox(max_bytes=1 << 20)
    left = job()
    inbox.submit(left)
    assert [left] == inbox.close()
    assert not inbox.submit(job())
    assert not inbox.offer([arrival(1)])


def test_jobs_are_taken_in_bounded_groups_and_in_order() -> None:
    """5,000 windows that seal at once are not one transaction; an urgent one among them is remembered."""
    inbox = Inbox(max_bytes=1 << 20)
    jobs = [job(urgent=number == 900) for number in range(1200)]
    assert all(inbox.submit(one) for one in jobs)
    groups = [take(inbox, max_jobs=512, wait_s=60.0).jobs for _ in range(2)]
    groups.append(take(inbox, max_jobs=512).jobs)
    assert [len(group) for group in groups] == [512, 512, 176]
    assert [one for group in groups for one in group] == jobs


def test_a_group_put_back_is_taken_again_at_once_for_its_urgent_job() -> None:
    """A commit that failed does not let an AI call wait the interval out again."""
    inbox = Inbox(max_bytes=1 << 20)
    inbox.submit(job(urgent=True))
    inbox.put_back(take(inbox))
    assert len(take(inbox, wait_s=60.0).jobs) == 1


def test_neither_readings_nor_verdicts_starve_the_other() -> None:
    """A backlog of both: every group holds some of each, fewer readings while the jobs are behind."""
    inbox = Inbox(max_bytes=1 << 24)
    for number in range(2_000):
        inbox.offer([arrival(number)])
        inbox.submit(job())
    groups = [take(inbox) for _ in range(4)]
    assert [(len(group.items), len(group.jobs)) for group in groups] == [
        (64, 512),
        (64, 512),
        (256, 512),
        (256, 464),
    ]


def test_verdicts_are_committed_while_a_backlog_is_drained(tmp_path: Path) -> None:
    """Sixty thousand readings wait: what the analyst writes is on disk with the next group of them."""
    journal = Rig(tmp_path, settings=JournalSettings(commit_ms=1, ballast_bytes=0, max_inbox_bytes=1 << 27))
    writer = journal.open()._writer
    journal.offer([link_up(1), *(arrival(number) for number in range(60_000))])
    writer.turn()
    for group in range(1, 6):
        answers = [journal.journal.write(sealing(window(f"w{group}.{n}"))) for n in range(300)]
        writer.turn()
        assert all(answer.done() for answer in answers)
        assert len(journal.acks) == 256 * group
    journal.stop()
