"""Every family: its messages are read, recognised by it alone, and documented."""

from pathlib import Path

import pytest

from agent.decode.families import FAMILIES, formats
from agent.decode.family import DecodeLimits, Route
from agent.decode.topics import covers
from tests.decode.cases import CASES, Case
from tests.decode.judge import faults

DEVICES = (Path(__file__).parents[2] / "docs" / "devices.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_message_of_the_family_is_read(case: Case) -> None:
    """Devices, metrics, values, units, times and availability are those of the case, and nothing else."""
    assert faults(case) == []


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_message_is_recognised_by_its_family_alone(case: Case) -> None:
    """So that the order of the families does not matter; the generic one takes what is left."""
    route = Route(case.topic, "device", None)
    made = {word: family(limits=DecodeLimits(), max_future_skew_s=300.0) for word, family in FAMILIES.items()}
    found = [
        word
        for word, family in made.items()
        if any(covers(own, case.topic) for own in family.topics) and family.recognise(route, case.payload)
    ]
    own = [case.family] if any(covers(one, case.topic) for one in FAMILIES[case.family].topics) else []
    assert found == list(dict.fromkeys([*own, "generic"]))


@pytest.mark.parametrize("case", [one for one in CASES if one.payload.endswith(b"}")], ids=str)
def test_one_bad_value_costs_no_others(case: Case) -> None:
    """A value that is not finite, in an object of any family, leaves the rest of the message as it was."""
    damaged = case._replace(payload=case.payload[:-1].rstrip() + b',"zz_odd":NaN}')
    if "refused" not in case.wanted and case.payload.startswith(b"{"):
        assert faults(damaged) == []


def test_every_family_has_cases() -> None:
    """A family without a message that it reads is not tested at all."""
    assert {case.family for case in CASES if "expect" in case.wanted} == set(FAMILIES)


@pytest.mark.parametrize("word", list(FAMILIES))
def test_every_family_is_documented(word: str) -> None:
    """The page on devices has a row for each word of ``format:``."""
    assert f"\n| `{word}` |" in DEVICES


def test_formats_are_the_families_and_auto() -> None:
    """The word is the name of the file; the generic family is asked last."""
    assert formats()[0] == "auto"
    assert formats()[-1] == "generic"
    assert set(formats()) == {"auto", *FAMILIES}
