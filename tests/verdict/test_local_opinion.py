"""The local opinion from the scores of a window."""

from agent.domain.records import CALM, Kind, Progress, Reading, Score, Severity, Silence, Status
from agent.prompt import render_section
from agent.verdict.local_opinion import opine, opine_silence, pick_candidates
from tests.support.make import T0, reading, score


def test_calm_readings_are_normal() -> None:
    """Below the alarm line the opinion is normal, and its score is kept."""
    opinion = opine([(reading(), score(0.4)), (reading(), CALM)])
    assert (opinion.status, opinion.kind, opinion.severity) == (Status.NORMAL, Kind.NONE, Severity.INFO)
    assert opinion.score == 0.4
    assert opinion.evidence == ()


def test_the_highest_score_names_the_kind() -> None:
    """An alarm is a warning, named after its strongest reading."""
    opinion = opine([(reading(), score(1.2, Kind.NOISE)), (reading(30), score(2.0, Kind.SPIKE))])
    assert (opinion.status, opinion.kind, opinion.severity) == (Status.ANOMALY, Kind.SPIKE, Severity.WARNING)
    assert [item.ref for item in opinion.evidence] == ["r2", "r1"]
    assert opinion.summary == (
        "temperature 30 degC stands out from its neighbours;"
        " usual at this time is 19 to 21 degC (2 readings)."
    )


def test_a_rhythm_that_is_not_known_is_named() -> None:
    """Calm readings are not all that a person wants to know: the device may fall silent unseen."""
    opinion = opine([(reading(), CALM)], Progress(2, 20, of="gaps"))
    assert (opinion.status, opinion.learning) == (Status.NORMAL, None)
    assert opinion.summary == (
        "Readings are within their usual range. Its silence is not judged yet (2 of 20 gaps)."
    )


def test_a_long_summary_has_no_room_for_the_rhythm() -> None:
    """The values go first, and no sentence is cut for the other."""
    unlearnt = Score(0.0, progress=Progress(1, 150), unit_was="v" * 16, unchecked="u" * 16)
    readings = [(reading(metric="m" * 60), unlearnt)]
    assert opine(readings, Progress(2, 20, of="gaps")).summary == opine(readings).summary


def test_critical_from_three_or_a_limit() -> None:
    """Score 3.0 or a broken limit is critical; the limit leads even where another score is higher."""
    assert opine([(reading(), score(3.0))]).severity is Severity.CRITICAL
    opinion = opine([(reading(), score(9.0)), (reading(), score(1.0, Kind.OUT_OF_RANGE, limit=True))])
    assert (opinion.kind, opinion.severity) == (Kind.OUT_OF_RANGE, Severity.CRITICAL)


def test_a_limit_with_one_side_is_told_in_words() -> None:
    """A person reads "up to 50", not "any to 50"."""
    inf = float("inf")
    for expected, words in (
        ((-inf, 50.0), "allowed is up to 50 degC."),
        ((5.0, inf), "allowed is 5 and more degC."),
        ((5.0, 50.0), "allowed is 5 to 50 degC."),
    ):
        broken = Score(3.0, Kind.OUT_OF_RANGE, expected, limit=True)
        assert opine([(reading(99), broken)]).summary.endswith(words)


def test_candidates_are_few_and_worth_citing() -> None:
    """The highest suspicious scores come first, then the newest of each metric, in order of arrival."""
    readings = [(reading(index, metric=f"m{index % 2}"), CALM) for index in range(40)]
    readings[3] = (readings[3][0], score(0.3))
    assert [item.ref for item in pick_candidates(readings)] == ["r4", "r39", "r40"]
    crowded = [(reading(index), score(1.0 + index)) for index in range(40)]
    assert len(pick_candidates(crowded)) == 12


def test_silence_is_told_with_its_last_reading() -> None:
    """A silence cites the last reading and its age."""
    opinion = opine_silence(Silence("d", T0, "temperature", 4.0, 60.0, 600.0, 1.5))
    assert (opinion.kind, opinion.evidence[0].value) == (Kind.SILENCE, 4.0)
    assert opinion.summary == "No reading for 10 min; at this hour it usually sends every 60 s."
    opinion = opine_silence(Silence("d", T0, "value", 4.0, 60.0, 50_400.0, 1.0, on_events=True))
    assert opinion.summary == (
        "No reading for 14.0 h; the device sends when something happens, but seldom pauses for so long."
    )


def test_the_word_behind_a_number_is_told_to_people_only() -> None:
    """The summary names it; a prompt section never does, so that no text of a device leaves the site."""
    odd = Reading("d", "contact", T0, 1.0, None, "Sesame")
    readings = [(odd, score(2.0))]
    opinion, candidates = opine(readings), pick_candidates(readings)
    assert opinion.summary.startswith("contact 1 (sent as Sesame) stands out")
    assert [one.word for one in (*opinion.evidence, *candidates)] == ["Sesame", "Sesame"]
    section = render_section(candidates=candidates, views=[], start=T0, end=T0, count=1, local=opinion)
    assert "sesame" not in section.casefold()
