"""Validation of a reply: parsed per window, each claim checked. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from agent.domain.model_calls import ErrorType, Reply
from agent.domain.records import Answer, Batch, Check, Grounding, Outcome, Reason, Source, Window
from agent.prompt import ALONE, Shared, reveal
from agent.prompt.ground import ground
from agent.prompt.parse import Parsed, Problem, parse

MAX_DETAIL = 40


@dataclass(frozen=True, slots=True)
class Validation:
    """A reply as outcomes, one for each window of its call, in order."""

    outcomes: tuple[Outcome, ...]
    answers: Mapping[str, Answer] = field(default_factory=dict)  # window id -> answer in the model's words
    strangers: tuple[Check, ...] = ()  # claims about windows that were not asked about
    sizes: tuple[int, ...] = ()  # of each window's answer
    repaired: bool | None = None
    invalid: bool = False
    error_type: ErrorType | None = None  # truncated or content_filter
    safety: tuple[str, ...] = ()

    @property
    def grounding(self) -> Mapping[Grounding, int]:
        """Windows by grounding."""
        return Counter(one.grounding for one in self.outcomes)

    @property
    def failed(self) -> tuple[Check, ...]:
        """Checks that did not hold."""
        return (
            *(check for one in self.outcomes for check in one.checks if not check.held),
            *self.strangers,
        )


def validate(reply: Reply, batch: Batch, shared: Mapping[str, Shared] | None = None) -> Validation:
    """Return the outcomes of ``reply`` for the windows of ``batch``; the prompt ``shared`` that by device."""
    safety = list(reply.safety_categories)
    if reply.refusal:
        return _all(batch, Reason.INVALID, safety=(*safety, "refusal"))
    if reply.finish_reason == "content_filter":
        safety.append("content_filter")
        return _all(batch, Reason.INVALID, safety=tuple(safety), error_type=ErrorType.CONTENT_FILTER)
    truncated = reply.finish_reason == "length"
    if truncated and not reply.content:
        return _all(batch, Reason.MODEL_OMITTED, safety=tuple(safety), error_type=ErrorType.TRUNCATED)
    parsed = parse(reply.content or "", batch, truncated=truncated)
    return Validation(
        tuple(_outcome(window, parsed, (shared or {}).get(window.device, ALONE)) for window in batch.windows),
        answers={name: one for name, one in parsed.answers.items() if isinstance(one, Answer)},
        strangers=tuple(
            Check("window_asked", held=False, detail=f"w {w}"[:MAX_DETAIL] + " was not asked")
            for w in parsed.strangers
        ),
        sizes=tuple(parsed.sizes.get(window.id, 0) for window in batch.windows),
        repaired=parsed.repaired,
        invalid=parsed.invalid,
        error_type=ErrorType.TRUNCATED if truncated else None,
        safety=tuple(safety),
    )


def _all(
    batch: Batch, reason: Reason, *, safety: tuple[str, ...], error_type: ErrorType | None = None
) -> Validation:
    outcomes = tuple(Outcome(window.id, reason) for window in batch.windows)
    return Validation(outcomes, sizes=(1,) * len(outcomes), error_type=error_type, safety=safety)


def _outcome(window: Window, parsed: Parsed, shared: Shared) -> Outcome:
    answer = parsed.answers[window.id]
    if isinstance(answer, Problem):
        return Outcome(window.id, answer.reason, checks=(Check("answer", held=False, detail=answer.detail),))
    return check(answer, window, shared)


def check(answer: Answer, window: Window, shared: Shared = ALONE, *, source: Source = Source.AI) -> Outcome:
    """Return the outcome of ``answer`` for ``window``, each of its claims looked up."""
    grounding, checks = ground(answer, window, shared)
    reason = Reason.CACHED if source is Source.CACHE else Reason.REVIEWED
    return Outcome(
        window.id,
        Reason.UNGROUNDED if grounding is Grounding.UNGROUNDED else reason,
        answer=replace(answer, summary=reveal(answer.summary, window)),
        grounding=grounding,
        checks=checks,
        source=source,
    )
