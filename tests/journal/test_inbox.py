"""The queue before the writer."""

from concurrent.futures import Future
from typing import Any

from agent.journal.inbox import Group, Inbox, Item, Job
from agent.records import Arrival, LinkDown
from tests.journal.rig import arrival, link_up

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
    """What does not fit is refused and counted; once all accepted is taken, there is room, said once."""
    inbox = Inbox(max_bytes=8_000)
    assert [inbox.offer(arrival(number, payload=BIG)) for number in range(6)] == [True] * 5 + [False]
    assert inbox.refused == 1
    assert not inbox.found_room()
    take(inbox, max_items=4)
    assert not inbox.found_room()
    take(inbox, max_items=1)
    assert [inbox.found_room(), inbox.found_room()] == [True, False]


def test_a_change_of_the_link_always_fits() -> None:
    """It decides whose acks are whose."""
    inbox = Inbox(max_bytes=100)
    assert inbox.offer(arrival(1, payload=BIG))  # alone, anything fits
    assert not inbox.offer(arrival(2))
    assert inbox.offer(LinkDown(1, "gone", 0.0))
    assert inbox.offer(link_up(2))


def test_a_group_ends_behind_a_link_up() -> None:
    """The generation must be on disk before anything of it is."""
    inbox = Inbox(max_bytes=1 << 20)
    items: list[Item] = [arrival(1), LinkDown(1, "gone", 0.0), link_up(2), arrival(3, generation=2)]
    for item in items:
        inbox.offer(item)
    assert items[:3] == take(inbox, wait_s=60.0).items  # and it is not waited for the interval
    assert items[3:] == take(inbox).items


def test_a_group_is_bounded_in_messages_and_bytes() -> None:
    """Whichever comes first."""
    inbox = Inbox(max_bytes=1 << 20)
    for number in range(20):
        inbox.offer(arrival(number, payload=BIG))
    assert len(take(inbox, max_items=8).items) == 8
    assert len(take(inbox, max_bytes=4_000).items) == 3
    assert len(take(inbox).items) == 9
    assert inbox.size == 0


def test_what_is_put_back_comes_first() -> None:
    """Order and bytes are as if it had never been taken."""
    inbox = Inbox(max_bytes=1 << 20)
    for number in range(6):
        inbox.offer(arrival(number, payload=BIG))
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
    inbox.offer(arrival(1))
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


def test_a_closed_inbox_takes_nothing() -> None:
    """Jobs that nobody will run are handed back."""
    inbox = Inbox(max_bytes=1 << 20)
    left = job()
    inbox.submit(left)
    assert [left] == inbox.close()
    assert not inbox.submit(job())
    assert not inbox.offer(arrival(1))
