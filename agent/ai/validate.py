"""From a reply to what it is worth: parsed per window, each claim checked. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from agent.ai.protocols import ErrorType, Reply
from agent.domain.records import Answer, Batch, Check, Grounding, Reason, Source, Window
from agent.prompt import Kept, Parsed, Problem, freeze, ground, parse, reveal

MAX_DETAIL = 40


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the reply is worth for one window."""

    window: Window
    reason: Reason
    answer: Answer | None = None
    grounding: Grounding = Grounding.SKIPPED
    checks: tuple[Check, ...] = ()
    kept: Kept | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a reply is worth for the windows of its call."""

    assessments: Sequence[Assessment]
    strangers: tuple[Check, ...] = ()  # claims about windows that were not asked about
    sizes: tuple[int, ...] = ()  # of each window's answer
    repaired: bool | None = None
    invalid: bool = False
    error_type: ErrorType | None = None  # truncated or content_filter
    safety: tuple[str, ...] = ()

    @property
    def grounding(self) -> Mapping[Grounding, int]:
        """Windows by grounding."""
        return Counter(one.grounding for one in self.assessments)

    @property
    def failed(self) -> tuple[Check, ...]:
        """Checks that did not hold."""
        return (
            *(check for one in self.assessments for check in one.checks if not check.held),
            *self.strangers,
        )


def judge(reply: Reply, batch: Batch) -> Judgement:
    """Return what ``reply`` is worth for each window of ``batch``."""
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
    return Judgement(
        [_find(window, parsed) for window in batch.windows],
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
) -> Judgement:
    assessments = [Assessment(window, reason) for window in batch.windows]
    sizes = (1,) * len(assessments)
    return Judgement(assessments, sizes=sizes, error_type=error_type, safety=safety)


def _find(window: Window, parsed: Parsed) -> Assessment:
    answer = parsed.answers[window.id]
    if isinstance(answer, Problem):
        return Assessment(window, answer.reason, checks=(Check("answer", held=False, detail=answer.detail),))
    return check(answer, window)


def check(answer: Answer, window: Window, *, source: Source = Source.AI) -> Assessment:
    """Return what ``answer`` is worth for ``window``."""
    grounding, checks = ground(answer, window)
    kept = freeze(answer, window) if grounding is Grounding.GROUNDED else None
    shown = replace(answer, summary=reveal(answer.summary, window))
    if grounding is Grounding.UNGROUNDED:
        return Assessment(window, Reason.UNGROUNDED, shown, grounding, checks)
    reason = Reason.CACHED if source is Source.CACHE else Reason.REVIEWED
    return Assessment(window, reason, shown, grounding, checks, kept)
