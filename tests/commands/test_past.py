"""Journaled prompts of a replay: names and facts that are no longer shared."""

import json

import pytest

from agent.commands.past import JOURNALED, Past, past_batches, prompter, versions
from agent.domain.records import Window
from agent.journal.reader import BatchRecord, Reader, VerdictRecord
from agent.prompt import NOTHING, VERSION, Prompt, Site, render, version_of
from tests.ai.kit import batch, window

SITE = Site.of("names", {"kitchen/*": "It steams for 40 minutes."})
OTHER = Site.of("names", {"kitchen/*": "It steams for 50 minutes."})


class Journal(Reader):
    """One batch of one window, asked about with this prompt."""

    def __init__(self, one: Window, prompt: Prompt) -> None:
        call = {
            "windows": [one.id],
            "system": prompt.system,
            "user": prompt.user,
            "prompt_version": prompt.version,
            "prompt_hash": prompt.hash,
        }
        self._batch = BatchRecord("b1", (one.id,), (), 1, 5.0, json.dumps({"calls": [call]}).encode())
        self._verdict = VerdictRecord(one.id, one.device, b"{}", 5.0, "acknowledged", None, one, None)

    def batches(self, *, limit: int) -> list[BatchRecord]:  # type: ignore[override]
        return [self._batch][:limit]

    def verdict(self, verdict_id: str) -> VerdictRecord:
        assert verdict_id == self._verdict.id
        return self._verdict


def found(sent: Site, today: Site, *, exact: bool = True) -> tuple[list[Past], Prompt]:
    """Return the batches of a replay, of which one was asked with ``sent``, and the prompt of then."""
    one = window("w1")
    prompt = render(batch(one), 4000, delimiter="7f3a", site=sent)
    return list(past_batches(Journal(one, prompt), since=0.0, limit=9, exact=exact, site=today)), prompt


@pytest.mark.parametrize("today", [NOTHING, OTHER])
def test_a_journaled_prompt_that_is_no_longer_shared_is_not_sent(today: Site) -> None:
    """Neither after ``aliases`` nor with other facts; rendered again, its windows are replayed."""
    assert found(SITE, today)[0] == []
    ((past,), _) = found(SITE, today, exact=False)
    assert past.asked is None
    assert "40 minutes" not in prompter("current", [past])(past.batch, 4000, delimiter="x", site=today).user


@pytest.mark.parametrize("today", [NOTHING, SITE])
def test_a_journaled_prompt_with_aliases_is_sent_as_it_was(today: Site) -> None:
    """Nothing of the site is in it."""
    past, prompt = found(NOTHING, today)
    sent = prompter(JOURNALED, past)(past[0].batch, 4000, delimiter="x", site=today)
    assert (sent.user, sent.version, sent.shared) == (prompt.user, VERSION, {})


def test_a_journaled_prompt_keeps_its_facts() -> None:
    """They can be cited as they were then."""
    past, prompt = found(SITE, SITE)
    sent = prompter(JOURNALED, past)(past[0].batch, 4000, delimiter="x", site=SITE)
    assert (sent.user, sent.shared) == (prompt.user, prompt.shared)
    assert versions(JOURNALED, past, SITE) == versions("current", past, SITE) == version_of(SITE)
