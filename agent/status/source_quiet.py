"""Sources that have sent nothing for longer than usual, by their learnt rhythm."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, tzinfo
from functools import partial
from math import inf

from agent.detect import DetectSettings, Rhythm, Watch, dump_rhythm, load_rhythm, offset_of
from agent.journal.source_tally import EarlierCounts, SourceTally
from agent.verdict.encode import iso
from agent.verdict.verdict import clean

MIN_QUIET_S = 60.0
_MAX_SHOWN = 80


class SourceQuiet:
    """Learns how often each source sends, as the detector does of a device.

    Call :meth:`look` about once a second; ``quiet`` may be read from any thread. The rhythm of a source is
    kept in its counts, which the journal saves.
    """

    def __init__(self, zone: tzinfo = UTC) -> None:
        """Make one that knows nothing yet; ``zone`` is the site's, for usual pauses."""
        self._watch = Watch(DetectSettings(min_silence_s=MIN_QUIET_S), partial(offset_of, zone))
        self._last: dict[str, float] = {}  # receipt of its last message, Unix seconds
        self.quiet: Mapping[str, bool] = {}  # of the sources that have sent, in the order of their meeting

    def restore(self, earlier: Mapping[str, EarlierCounts], sources: Iterable[str]) -> None:
        """Take back what the last run learnt of the sources that are still configured."""
        rhythms: dict[str, Rhythm] = {}
        until = -inf
        for source in sources:
            known = earlier.get(source)
            if known is None or known.counts["rhythm"] is None:
                continue
            with suppress(TypeError, ValueError, KeyError):  # a file that was altered
                rhythms[source] = load_rhythm(known.counts["rhythm"])
                self._last[source] = known.counts["last"]
                until = max(until, rhythms[source].clock)
        if rhythms:
            self._watch.rebuild(None, until, (), rhythms)
            self._note()

    def look(self, sources: Mapping[str, SourceTally], *, subscribed: bool, clock: float) -> None:
        """Take the newest message of each source, and note which are quiet at ``clock``, seconds."""
        watch = self._watch
        if not subscribed:
            watch.disconnected(clock)
        elif watch.up_since is None:
            watch.connected(clock)
        for source, tally in list(sources.items()):
            if source and tally.last is not None and tally.last != self._last.get(source):
                self._last[source] = tally.last
                watch.hear(source, clock, clock)
                tally.rhythm = dump_rhythm(watch.rhythms[source])
        watch.tick(clock)
        self._note()

    def _note(self) -> None:
        self.quiet = {source: rhythm.silent for source, rhythm in self._watch.rhythms.items()}

    def problems(self) -> list[str]:
        """Return which sources are quiet, and since when, in sentences."""
        return [
            f"Source {clean(source)[:_MAX_SHOWN]} has sent nothing since {iso(self._last[source])}, longer"
            " than usual: look at its bridge or radio, its power, and the agent's right to read its topic."
            for source, quiet in self.quiet.items()
            if quiet
        ]
