"""Check of the sources: their counts, as the agent journaled them last."""

from collections.abc import Iterator

from agent.commands.checks.line import Line, ok, warn
from agent.commands.printing import instant, printable
from agent.config import Config
from agent.journal import JournalError
from agent.journal.clocks import FAULTS
from agent.journal.reader import Reader
from agent.journal.source_tally import total
from agent.status.sentences import clock_words
from agent.status.source_view import barren_remedy, barren_words

FEW = 3  # messages without a reading


def look_at_sources(config: Config) -> Iterator[Line]:
    """Report for each source whether its messages hold readings."""
    try:
        with Reader.open(config.agent.state_dir) as reader:
            found, clocks = reader.sources(), reader.clocks()
    except JournalError:
        return  # reported by the journal's check
    for fault, words in FAULTS.items():
        if faulty := [one for one in clocks if one.fault is fault]:
            yield warn("device clocks", printable(clock_words(faulty, fault)), words.remedy)
    if found is None:
        return
    for label in dict.fromkeys(source.label for source in config.sources):
        one = found.get(label)
        check = printable(f"source {label}")
        if one is None:
            until = max((other.at for other in found.values()), default=None)
            yield ok(check, "no message" + ("" if until is None else f" until {instant(until)}"))
            continue
        counts = one.counts
        if counts["yields_nothing"] or (counts["fruitless"] >= FEW and not counts["readings"]):
            what = printable(barren_words(label, counts))
            yield warn(check, what, barren_remedy(counts["skipped"]))
        else:
            what = f"{total(counts['messages'])} messages, {counts['readings']} readings"
            if history := counts.get("history"):
                what += f", {history} of earlier times, which are not judged,"
            yield ok(check, f"{what} between {instant(one.since)} and {instant(one.at)}")
