"""Seal: id, local opinion, candidates and prompt section of a window, fixed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from agent.domain.records import Progress, SeriesView, Silence, TimerRow, Trigger, Window, WindowReading
from agent.pipeline.window import Draft, identify
from agent.prompt import MAX_SERIES, render_section
from agent.verdict.local_opinion import SUSPECT_SCORE, opine, opine_silence, pick_candidates


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealer:
    """Makes windows of drafts and of silences.

    ``may_ask`` decides by a window's id, score and clock whether a model could be asked about it: only then
    is a prompt section rendered and journaled. ``views`` gives a device's series as the detector knows them:
    the named ones first, then others, up to a number; ``others`` series of these metrics of the devices that
    people described together with it; ``silence`` how far a device is from being judged by its silence;
    ``absent`` the metrics of a device that have fallen away of late; ``zone`` is the site's.
    """

    journal: str
    agent: str
    may_ask: Callable[[str, float, float], bool]
    views: Callable[[str, Iterable[str], int], Sequence[SeriesView]]
    silence: Callable[[str], Progress | None]
    absent: Callable[[str], Sequence[str]] = lambda _device: ()
    others: Callable[[str, Sequence[str]], Sequence[SeriesView]] = lambda _device, _metrics: ()
    zone: tzinfo | None = None

    def seal(self, draft: Draft) -> Window:
        """Return the window of a draft."""
        readings, count = draft.readings, len(draft.readings)
        local = opine(readings, self.silence(draft.device))
        candidates = pick_candidates(readings)
        window_id = self.identify(draft)
        absent = self.absent(draft.device)
        back = {reading.metric for reading, _ in readings}.intersection(absent) if absent else ()
        section = ""
        if self.may_ask(window_id, local.score, draft.sealed):
            section = render_section(
                candidates=candidates,
                views=self.views(draft.device, [one.metric for one in candidates], MAX_SERIES),
                start=draft.start,
                end=draft.end,
                count=count,
                local=local,
                others=self.others(draft.device, _suspects(candidates)),
                zone=self.zone,
            )
        return Window(
            id=window_id,
            device=draft.device,
            trigger=draft.trigger,
            lo=draft.lo,
            hi=draft.hi,
            count=count,
            start=draft.start,
            end=draft.end,
            opened=draft.opened,
            sealed=draft.sealed,
            local=local,
            candidates=candidates,
            section=section,
            traceparents=draft.traceparents,
            back=tuple(sorted(back)),
        )

    def identify(self, draft: Draft) -> str:
        """Return the id of the window of a draft."""
        count = len(draft.readings)
        return self._identify(draft.device, draft.trigger, draft.lo, draft.hi, draft.hi, count)

    def seal_silence(self, silence: Silence, row: TimerRow, last_seq: int) -> Window:
        """Return the window of a silence: no readings, at the place of its timer row.

        Only that of a whole device has the trigger: its finding lasts until the device has spoken again.
        """
        trigger = Trigger.SUSPICION if silence.absent else Trigger.SILENCE
        local = opine_silence(silence)
        start = silence.last_at if silence.last_at is not None else row.clock
        return Window(
            id=self._identify(silence.device, trigger, row.seq, row.seq, last_seq, 0),
            device=silence.device,
            trigger=trigger,
            lo=row.seq,
            hi=row.seq,
            count=0,
            start=start,
            end=start + silence.silent_s,
            opened=row.clock,
            sealed=row.clock,
            local=local,
            candidates=local.evidence,
            section="",
        )

    def _identify(self, device: str, trigger: Trigger, lo: int, hi: int, last_seq: int, count: int) -> str:
        return identify(
            journal=self.journal,
            agent=self.agent,
            device=device,
            trigger=trigger,
            lo=lo,
            hi=hi,
            last_seq=last_seq,
            count=count,
        )


def _suspects(candidates: Sequence[WindowReading]) -> list[str]:
    """Return the metrics with a suspicious candidate."""
    return list(dict.fromkeys(one.metric for one in candidates if one.score.value >= SUSPECT_SCORE))
