"""What the writer is connected to, and its pace."""

from collections.abc import Callable
from dataclasses import dataclass

from agent.domain.records import Arrival, Row
from agent.journal.arrivals import Ack, Decode
from agent.journal.family_tables import Families
from agent.verdict.feedback import Noted


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """Where the writer's results go. All are called on its thread and must not block."""

    decode: Decode
    on_rows: Callable[[list[Row]], None]
    on_acks: Callable[[list[Ack]], None]
    on_generation: Callable[[int], None]
    on_room: Callable[[], None]
    log: Callable[..., None]
    on_texts: Callable[[list[tuple[Arrival, bool]]], None] = lambda _texts: None
    families: Families | None = None  # with state that the journal keeps
    knows: Callable[[str], bool] = lambda _device: False  # a device, to the detector
    on_feedback: Callable[[tuple[Noted, ...]], None] = lambda _noted: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much goes into a group, and how long it is waited for."""

    commit_s: float = 0.1
    max_group: int = 256
    max_jobs: int = 512  # a sealed window and its verdict are two
    max_group_bytes: int = 4 * 1024 * 1024
    max_pending_rows: int = 4096
