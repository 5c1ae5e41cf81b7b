"""The kinds of anomaly: one table row with every word and rule of a kind."""

from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Self


class Claim(Enum):
    """A claim of the model that the readings prove or disprove; ``agent.prompt.ground`` checks it."""

    BROKEN_LIMIT = auto()
    STANDS_STILL = auto()
    NO_READINGS = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """One row of the table of kinds; a row without a part fails at import.

    Attributes:
        summary: predicate of the sentence about a reading, such as "temperature 98.7 degC <summary>".
        though: what is unusual about a value that is within its usual range, None if it adds nothing.
        advice: what a person should check.
        sureness: rank among the names of one moved or restless value, which look alike at its first
            reading: a finding is renamed to a surer name only. None for a kind that is another anomaly.
        hard: it follows from the readings alone, so the model cannot overrule it.
        prompt: condition under which the model may answer with it; "" if always, None if never.
        claim: what an answer with it claims; None if there is nothing to check.
    """

    summary: str
    though: str | None
    advice: str | None
    sureness: int | None
    hard: bool
    prompt: str | None
    claim: Claim | None


class Kind(StrEnum):
    """The kind of an anomaly, by its word in verdicts, findings, prompts and metrics."""

    traits: Traits

    def __new__(cls, word: str, *traits: Traits) -> Self:
        """Make a member of its word and its row; a look-up by word passes the word alone."""
        member = str.__new__(cls, word)
        member._value_ = word
        (member.traits,) = traits
        return member

    NONE = (
        "none",
        Traits(
            summary="is as usual",
            though=None,
            advice=None,
            sureness=None,
            hard=False,
            prompt="",
            claim=None,
        ),
    )
    SPIKE = (
        "spike",
        Traits(
            summary="stands out from its neighbours",  # prose: ok
            though="but not so far from the readings before",
            advice="Check the sensor's wiring and whether a short event explains the value.",
            sureness=0,
            hard=False,
            prompt="",
            claim=None,
        ),
    )
    LEVEL_SHIFT = (
        "level_shift",
        Traits(
            summary="is at a new level",
            though="but not for so long",
            advice="Check what changed at that time: a set-point, a load, a moved or replaced sensor.",
            sureness=1,
            hard=False,
            prompt="",
            claim=None,
        ),
    )
    DRIFT = (
        "drift",
        Traits(
            summary="has drifted away",
            though="but not for so long",
            advice="Check for slow wear, fouling, a leak or a sensor that needs calibration.",
            sureness=2,
            hard=False,
            prompt="",
            claim=None,
        ),
    )
    NOISE = (
        "noise",
        Traits(
            summary="varies more than usual",
            though="but not with such steps",
            advice="Check for a loose contact, vibration or interference near the sensor.",
            sureness=1,
            hard=False,
            prompt="",
            claim=None,
        ),
    )
    FLATLINE = (
        "flatline",
        Traits(
            summary="has not moved for unusually long",
            though=None,
            advice="Check whether the sensor is stuck: compare it with the real value then restart it.",
            sureness=None,
            hard=True,
            prompt="only if the series stands still",  # prose: ok
            claim=Claim.STANDS_STILL,
        ),
    )
    OUT_OF_RANGE = (
        "out_of_range",
        Traits(
            summary="is outside its configured limits",
            though=None,
            advice="Check the equipment now: a configured limit is broken.",
            sureness=None,
            hard=True,
            prompt="only if a cited value breaks `limits`",
            claim=Claim.BROKEN_LIMIT,
        ),
    )
    SILENCE = (
        "silence",
        Traits(
            summary="was the last reading",
            though=None,
            advice="Check the device's power, battery, network and sensor.",
            sureness=None,
            hard=True,
            prompt=None,
            claim=Claim.NO_READINGS,
        ),
    )
    OTHER = (
        "other",
        Traits(
            summary="is unusual",
            though="but not like this",
            advice="Look at the cited readings and compare them with the equipment.",
            sureness=0,
            hard=False,
            prompt="",
            claim=None,
        ),
    )


#: Kinds that the model may answer with.
OFFERED = tuple(kind for kind in Kind if kind.traits.prompt is not None)
