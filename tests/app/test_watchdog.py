"""The watchdog finds a thread that hangs, and spares a stopped or starved process."""

from pathlib import Path

import pytest

from agent.app.watchdog import Watchdog, read_waits

BEAT_S = 0.5
LIMIT_S = 20.0


class Process:
    """A process in made-up time: each call of :meth:`run` is one beat of its ticker."""

    def __init__(self) -> None:
        self.watchdog = Watchdog(beat_s=BEAT_S)
        self.now = 100.0
        self.waited = {1: 0.0, 2: 0.0}
        self.beats = {"net": 0.0, "journal": 0.0}
        self.run()

    def run(self, passes_s: float = BEAT_S, *, waits_s: float = 0.0, turns: tuple[str, ...] = ()) -> None:
        """Let time pass, of which thread 2 waits for a core ``waits_s``; ``turns`` names loops that turn."""
        self.now += passes_s
        self.waited[2] += waits_s
        for name in turns:
            self.beats[name] += 1
        self.watchdog.look(self.now, self.waited, self.beats)

    def stuck(self) -> str | None:
        """Return the loop that counts as stuck."""
        return self.watchdog.stuck(LIMIT_S, ("net", "journal"))


def test_a_loop_that_makes_no_turn_is_found_and_named() -> None:
    """Its neighbour goes on; the limit is that of the time given."""
    process = Process()
    for _ in range(40):
        process.run(turns=("net",))
    assert (process.stuck(), process.watchdog.age("journal")) == (None, 20.0)
    process.run(turns=("net",))
    assert process.stuck() == "journal"
    process.run(turns=("journal",))
    assert process.stuck() is None


@pytest.mark.parametrize("stopped_s", [80.0, 86_400.0])
def test_a_process_that_was_stopped_is_left_alone(stopped_s: float) -> None:
    """SIGSTOP, or a machine that was suspended: the loops have missed one beat, not a minute."""
    process = Process()
    process.run(stopped_s)
    assert process.watchdog.age("net") == BEAT_S


def test_stopping_again_and_again_hides_no_hang() -> None:
    """A loop that hangs is found although the process is stopped between any two beats."""
    process = Process()
    for _ in range(41):
        process.run(30.0, turns=("net",))
    assert process.stuck() == "journal"


def test_a_thread_that_waits_for_a_core_is_left_alone() -> None:
    """A tenth of a core for ten minutes: the ticker is on time, the thread waits in the run queue."""
    process = Process()
    for _ in range(1200):
        process.run(waits_s=0.9 * BEAT_S)
        if process.now % 100 < BEAT_S:
            process.run(waits_s=0.9 * BEAT_S, turns=("net", "journal"))
    assert process.stuck() is None


def test_a_hang_on_a_tenth_of_a_core_is_found() -> None:
    """It takes ten times as long, no longer."""
    process = Process()
    for _ in range(401):
        process.run(waits_s=0.9 * BEAT_S)
    assert process.stuck() == "net"


def test_a_wait_is_left_out_though_it_is_read_late() -> None:
    """The kernel adds a wait when the thread runs again: one of 30 s comes with the look after it."""
    process = Process()
    for _ in range(38):
        process.run()
    process.run(waits_s=30.0)
    process.run()
    process.run()
    assert process.stuck() is None


def test_a_wait_of_the_late_ticker_itself_counts_once() -> None:
    """Both show the same lack of a core: it must not hide the time after it."""
    process = Process()
    process.run(30.0, waits_s=29.5)
    for _ in range(39):
        process.run()
    assert process.watchdog.age("net") == 20.0


def test_the_wait_of_each_thread_is_read_from_the_kernel(tmp_path: Path) -> None:
    """The second number is nanoseconds; a task without the file, or with another form, is passed over."""
    for task, text in (("7", "5 2500000000 9\n"), ("8", "garbage"), ("9", None)):
        (tmp_path / task).mkdir()
        if text is not None:
            (tmp_path / task / "schedstat").write_text(text)
    assert read_waits(tmp_path) == {7: 2.5}
    assert read_waits(tmp_path / "gone") == {}
