"""The result of a batch: an outcome, tokens and cost for each window."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from agent.budget.pricing import apportion, usd
from agent.domain.model_calls import Usage
from agent.domain.records import Batch, Outcome, Reason, Tokens, Window


class BatchResult:
    """Collects the outcomes of the windows of one batch, over several calls."""

    def __init__(self, batch: Batch, sending: Callable[[Sequence[Window]], Awaitable[None]]) -> None:
        self.batch = batch
        self.sending = sending  # awaited before a request, with its windows
        self._outcomes: dict[str, Outcome] = {}
        self._costs: dict[str, int] = {}  # nano-USD
        self._tokens: dict[str, tuple[int, int]] = {}

    def put(self, outcome: Outcome) -> None:
        """Store an outcome; an answer or the shutdown replaces a reason, another reason replaces nothing."""
        before = self._outcomes.get(outcome.window_id)
        ended = outcome.reason is Reason.SHUTDOWN and before is not None and before.answer is None
        if before is None or outcome.answer is not None or ended:
            self._outcomes[outcome.window_id] = outcome

    def excuse(self, windows: Sequence[Window], reason: Reason) -> None:
        """Store ``reason`` for ``windows`` that get no answer."""
        for window in windows:
            self.put(Outcome(window.id, reason))

    def charge(
        self,
        windows: Sequence[Window],
        cost: int,
        usage: Usage | None,
        *,
        lines: list[int],
        answers: list[int],
    ) -> list[int]:
        """Share the cost of a call among its windows by tokens; return the shares, nano-USD.

        Args:
            windows: of the call.
            cost: nano-USD.
            usage: tokens of the call, None if unknown.
            lines: size of each window's part of the prompt.
            answers: size of each window's part of the reply.
        """
        weights = lines
        if usage is not None:
            sent = apportion(usage.input, lines)
            got = apportion(usage.output, answers)
            for window, more_sent, more_got in zip(windows, sent, got, strict=True):
                before = self._tokens.get(window.id, (0, 0))
                self._tokens[window.id] = (before[0] + more_sent, before[1] + more_got)
            weights = [a + b for a, b in zip(sent, got, strict=True)]
        shares = apportion(cost, weights)
        for window, share in zip(windows, shares, strict=True):
            self._costs[window.id] = self._costs.get(window.id, 0) + share
        return shares

    def outcomes(self, missing: Reason) -> list[Outcome]:
        """Return the outcomes of all windows, in order; ``missing`` is the reason where there is none."""
        return [self._complete(window, missing) for window in self.batch.windows]

    def cancelled(self) -> list[Outcome]:
        """Return the outcomes of a cancelled batch: a window without an answer ends with the shutdown."""
        return [
            outcome if outcome.answer else replace(outcome, reason=Reason.SHUTDOWN)
            for outcome in self.outcomes(Reason.SHUTDOWN)
        ]

    def outcome(self, window: Window) -> Outcome | None:
        """Return the outcome of ``window`` so far."""
        return self._outcomes.get(window.id)

    def _complete(self, window: Window, missing: Reason) -> Outcome:
        outcome = self._outcomes.get(window.id) or Outcome(window.id, missing)
        tokens, cost = self._tokens.get(window.id), self._costs.get(window.id)
        return replace(
            outcome,
            tokens=outcome.tokens if tokens is None else Tokens(*tokens),
            cost_usd=outcome.cost_usd if cost is None else usd(cost),
        )
