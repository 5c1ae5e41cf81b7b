"""The nemesis: a seeded schedule of kills. The agent is started again at once; nothing is repaired."""

import random
import time
from dataclasses import dataclass, field

from tests.support.agent_process import Child

SHORT_S = (0.2, 3.0)
LONG_S = (4.0, 8.0)  # long enough for AI calls to end
LONG_SHARE = 0.15
STEP_S = 0.02


@dataclass(slots=True)
class Record:
    """What the nemesis did and saw."""

    kills: list[float] = field(default_factory=list)  # wall clock of each
    peak_rss_mib: float = 0.0
    max_descriptors: int = 0
    max_threads: int = 0
    ended: list[str] = field(default_factory=list)  # ends that nobody asked for


def kill_repeatedly(agent: Child, *, kills: int, seed: int, record: Record) -> None:
    """SIGKILL a running agent ``kills`` times at random, starting it again each time.

    Gaps are counted from the start of the process, so many kills hit its start-up too.
    """
    rng = random.Random(seed)
    for _ in range(kills):
        gap_s = rng.uniform(*(LONG_S if rng.random() < LONG_SHARE else SHORT_S))
        _live(agent, gap_s, record)
        _measure(agent, record)
        record.kills.append(time.time())
        agent.kill()
        agent.start()


def _live(agent: Child, gap_s: float, record: Record) -> None:
    """Let it run; start it again when it ends by itself."""
    deadline = time.monotonic() + gap_s
    while (left := deadline - time.monotonic()) > 0:
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
