"""Outcome of asking a model about a window."""

from agent.domain.enums import Grounding, Reason, Severity, Source, Status
from agent.domain.kinds import Kind
from agent.domain.record import record


@record(frozen=True, slots=True)
class Check:
    """One checked claim: its name, whether it held, and in words what was compared."""

    name: str
    held: bool
    detail: str


@record(frozen=True, slots=True)
class Answer:
    """The model's answer about one window, well-formed but not yet checked."""

    status: Status
    kind: Kind
    severity: Severity
    confidence: int  # 1..3
    evidence: tuple[str, ...]  # refs
    summary: str


@record(frozen=True, slots=True)
class Tokens:
    """Tokens of a call, or a window's share of them."""

    input: int
    output: int


@record(frozen=True, slots=True)
class Outcome:
    """Outcome of the review of one window: an answer, or the reason why there is none."""

    window_id: str
    reason: Reason  # REVIEWED, AUDIT or CACHED when there is an answer that was checked
    answer: Answer | None = None
    grounding: Grounding = Grounding.SKIPPED
    checks: tuple[Check, ...] = ()
    overrules: bool = True  # False: a "normal" without a reason against a local alarm
    source: Source = Source.LOCAL  # AI or CACHE when an answer came, also if it is overruled later
    model: str | None = None
    prompt_version: str | None = None
    tokens: Tokens | None = None
    cost_usd: float | None = None
    latency_ms: float | None = None
    trace_id: str | None = None
    request_id: str | None = None  # of the call; None when none was made for this window
    detail: str | None = None  # the reason in words, where the word alone would mislead
