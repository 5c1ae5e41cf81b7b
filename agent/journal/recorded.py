"""What the journal holds, as records for people and commands."""

from dataclasses import dataclass

from agent.domain.records import Window


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """One AI call as journaled; ``detail`` is what the caller kept of prompt and reply."""

    id: str
    windows: tuple[str, ...]
    audit: tuple[str, ...]
    attempts: int
    clock: float
    detail: bytes | None


@dataclass(frozen=True, slots=True)
class VerdictRecord:
    """One verdict as journaled, with the window it speaks of."""

    id: str
    device: str
    body: bytes
    created: float
    state: str  # waiting | acknowledged | undeliverable
    detail: bytes | None
    window: Window | None
    batch: BatchRecord | None


@dataclass(frozen=True, slots=True)
class WindowRecord:
    """One window and how far it came."""

    window: Window
    state: str  # sealed | concluded | settled
    attempts: int
    batch: str | None


@dataclass(frozen=True, slots=True)
class QuarantineRecord:
    """A message that no reading could be made of."""

    id: int
    topic: str
    payload: bytes  # at most the first 256 KiB
    size: int
    reason: str
    detail: str
    received: float


@dataclass(frozen=True, slots=True)
class OutboxRecord:
    """A message that waits for its sink, or was given up."""

    id: int
    verdict: str
    sink: str
    key: str
    size: int
    reason: str | None  # of the last failed delivery
    given_up: bool
