"""Answers that need no call: kept ones, and those of a call under way for a window that looks the same."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.ai.answer_store import AnswerCache, Entry, Landed
from agent.ai.batch_result import Sheet
from agent.ai.protocols import Recorder
from agent.ai.settings import CallerSettings
from agent.ai.validate import check
from agent.domain.records import Batch, Grounding, Outcome, Reason, Source, Window
from agent.prompt import VERSION, fingerprint, thaw


@dataclass(slots=True)
class Plan:
    """Which windows of a batch must be asked, and which wait for the call of another window."""

    ask: list[Window] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)  # window id -> key of the flight that it leads
    wait: list[tuple[Window, asyncio.Future[Landed]]] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)  # ids of windows whose device has used up its share


class Recall:
    """Looks windows up in the cache. Every hit is grounded again in its window, or else forgotten."""

    def __init__(self, *, settings: CallerSettings, recorder: Recorder, clock: Callable[[], float]) -> None:
        self.cache = AnswerCache(ttl_s=settings.cache_ttl_s, max_bytes=settings.max_cache_bytes, clock=clock)
        self._recorder = recorder
        self._clock = clock
        self._context = (*settings.models, settings.provider, settings.temperature, settings.seed)

    def plan(self, batch: Batch, sheet: Sheet) -> Plan:
        """Put what is known on the ``sheet``; return what is left to do. Audits are always asked."""
        plan = Plan()
        try:
            for window in batch.windows:
                self._look_up(window, plan, sheet, audit=window.id in batch.audit)
        except BaseException:
            self.land(plan, sheet, Reason.ERROR)  # or the next windows like these would wait for nobody
            raise
        return plan

    def _look_up(self, window: Window, plan: Plan, sheet: Sheet, *, audit: bool) -> None:
        if not self.cache.on or audit:
            self._recorder.cache_looked_up("bypass")
            plan.ask.append(window)
            return
        key = fingerprint(window, *self._context)
        outcome = self._recall(key, window)
        flight = self.cache.flight(key)
        if outcome is not None:
            self._served(sheet, outcome)
        elif flight is not None:
            plan.wait.append((window, flight))
        else:
            self._recorder.cache_looked_up("miss")
            plan.ask.append(window)
            plan.keys[window.id] = key
            self.cache.take_off(key)

    def land(self, plan: Plan, sheet: Sheet, missing: Reason) -> None:
        """Tell those who wait what came of the windows that were asked."""
        for window in plan.ask:
            key = plan.keys.pop(window.id, None)
            if key is not None:
                outcome = sheet.outcome(window) or Outcome(window.id, missing)
                kept = sheet.kept.get(window.id)
                entry = Entry(kept, outcome.model) if kept else None
                self.cache.land(key, Landed(outcome, entry, own=window.id in plan.refused))

    async def wait(self, plan: Plan, sheet: Sheet, until: float) -> list[Window]:
        """Take the outcomes of the calls of others, as long as there is time.

        Returns the windows whose call was not made because another device had used up its share.
        """
        again = []
        for window, flight in plan.wait:
            try:
                async with asyncio.timeout(max(0.0, until - self._clock())):
                    landed = await asyncio.shield(flight)
            except TimeoutError:
                sheet.put(Outcome(window.id, Reason.TIMEOUT))
                self._recorder.cache_looked_up("miss")
                continue
            if landed.own:
                again.append(window)
            else:
                self._follow(window, landed, sheet)
        return again

    def _follow(self, window: Window, landed: Landed, sheet: Sheet) -> None:
        outcome = self._serve(window, landed.entry) if landed.entry is not None else None
        if outcome is not None:
            self._served(sheet, outcome)
            return
        self._recorder.cache_looked_up("miss")
        reason = landed.outcome.reason
        if landed.outcome.answer is not None:  # the answer holds for the other window only
            reason = Reason.MODEL_OMITTED
        elif reason is Reason.SHUTDOWN:  # of the other batch
            reason = Reason.ERROR
        sheet.put(Outcome(window.id, reason))

    def _recall(self, key: str, window: Window) -> Outcome | None:
        entry = self.cache.get(key)
        if entry is None:
            return None
        outcome = self._serve(window, entry)
        if outcome is None:
            self.cache.drop(key)
        return outcome

    def _serve(self, window: Window, entry: Entry) -> Outcome | None:
        """Return the outcome of a kept answer, if it is grounded in ``window``."""
        answer = thaw(entry.kept, window)
        if answer is None:
            return None
        found = check(answer, window, source=Source.CACHE)
        self._recorder.grounding_checked(found.grounding, found.checks)
        if found.grounding is not Grounding.GROUNDED:
            return None
        return Outcome(
            found.window.id,
            Reason.CACHED,
            answer=found.answer,
            grounding=found.grounding,
            checks=found.checks,
            source=Source.CACHE,
            model=entry.model,
            prompt_version=VERSION,
            cost_usd=0.0,
        )

    def _served(self, sheet: Sheet, outcome: Outcome) -> None:
        self._recorder.cache_looked_up("hit")
        self._recorder.suppressed(Reason.CACHED, 1)
        sheet.put(outcome)
