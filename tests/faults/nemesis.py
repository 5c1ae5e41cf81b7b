"""The nemesis: a seeded schedule of kills. The agent is restarted at once."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from tests.support.agent_process import Child

SHORT_S = (0.3, 2.0)
LONG_S = (2.5, 5.0)  # long enough for AI calls to end
LONG_SHARE = 0.12
QUESTION_S = 30.0  # the wait for an AI call at the end of a long life
STEP_S = 0.02
PROGRESS_EVERY = 50  # kills


@dataclass(slots=True)
class Record:
    """Kills of the nemesis, and their effects."""

    kills: list[float] = field(default_factory=list)  # wall clock of each
    asking: int = 0  # kills while the model had questions of that life to answer
    peak_rss_mib: float = 0.0
    max_descriptors: int = 0
    max_threads: int = 0
    ended: list[str] = field(default_factory=list)  # ends that nobody asked for


def kill_repeatedly(
    agent: Child,
    *,
    kills: int,
    seed: int,
    record: Record,
    open_since: Callable[[float], int] | None = None,
    progress: bool = False,
) -> None:
    """SIGKILL a running agent ``kills`` times at random, starting it again each time.

    Gaps are counted from the start of the process, so many kills hit its start-up too. ``open_since`` counts
    the model's open requests; the answers to those of this life are in flight at its kill. A long life ends
    while one is open.
    """
    rng = random.Random(seed)
    begun = started = time.monotonic()
    for number in range(1, kills + 1):
        long = rng.random() < LONG_SHARE
        _live(agent, rng.uniform(*(LONG_S if long else SHORT_S)), record)
        if long and open_since is not None:  # however slow the machine is
            _live(agent, QUESTION_S, record, until=partial(open_since, started))
        _measure(agent, record)
        record.asking += open_since is not None and open_since(started) > 0
        record.kills.append(time.time())
        agent.kill()
        started = time.monotonic()
        agent.start()
        if progress and number % PROGRESS_EVERY == 0:
            took_s = time.monotonic() - begun
            print(f"  {number} kills in {took_s:.0f} s, {record.asking} with a question open", flush=True)


def _live(agent: Child, gap_s: float, record: Record, until: Callable[[], object] = lambda: False) -> None:
    """Let it run for a time or until something holds; start it again when it ends by itself."""
    deadline = time.monotonic() + gap_s
    while (left := deadline - time.monotonic()) > 0 and not until():
        time.sleep(min(STEP_S, left))
        revive(agent, record)


def revive(agent: Child, record: Record) -> None:
    """Start an agent again that ended by itself, as the service manager would, and note it."""
    if not agent.running:
        record.ended.append(f"exit code {agent.code}: {agent.tail(1)[:500]}")
        agent.start()


def _measure(agent: Child, record: Record) -> None:
    try:
        record.peak_rss_mib = max(record.peak_rss_mib, agent.peak_rss_mib())
        record.max_descriptors = max(record.max_descriptors, agent.descriptors())
        record.max_threads = max(record.max_threads, agent.threads())
    except (OSError, ValueError, ArithmeticError):
        return  # it just ended
