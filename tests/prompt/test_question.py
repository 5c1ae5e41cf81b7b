"""The checks of an answer to a question, and the prompt that it is asked with."""

from typing import Any

import pytest

from agent.prompt.question import (
    SYSTEM,
    Answered,
    check_answer,
    parse_answer,
    render_question,
    reveal_answer,
)
from agent.prompt.render import estimate_tokens

HEAD = {
    "now": "2026-03-02 09:00",
    "from": "2026-03-01 18:00",
    "to": "2026-03-02 08:00",
    "devices": 2,
    "findings": 3,
}
FACTS: dict[str, dict[str, Any]] = {
    "f1": {
        "id": "f1",
        "device": "d1",
        "kind": "drift",
        "severity": "warning",
        "opened": "2026-03-02 02:10",
        "ended": "2026-03-02 02:55",
        "lasted_min": 45,
        "values": [{"metric": "temperature_2", "low": -14.2, "high": -9.86, "unit": "degC"}],
    },
    "r1": {
        "id": "r1",
        "device": "d1",
        "metric": "pm25",
        "unit": "degC",
        "at": "2026-03-02 02:13",
        "value": -9.86,
        "expected": [-22, -17.5],
    },
    "f2": {"id": "f2", "device": "d2", "kind": "silence", "opened": "2026-03-02 14:00", "values": []},
    "c1": {"id": "c1", "did": "maintenance", "covers": ["d2"], "until": "2026-03-02 16:30"},
    "i1": {"id": "i1", "findings": ["f2"], "devices": 7},
    "i2": {"id": "i2", "findings": [], "devices": 1, "over": True},
}


def wrong(text: str, *cites: str) -> set[str]:
    """Return the names of the checks that do not hold."""
    answer = parse_answer(
        f'{{"answered": true, "answer": "{text}", "cites": {list(cites)}}}'.replace("'", '"')
    )
    return {check.name for check in check_answer(answer, HEAD, FACTS) if not check.held}


@pytest.mark.parametrize(
    "text",
    [
        "d1 drifted from 2:10 to 02:55 for 45 minutes [f1].",
        "At 2026-03-02 02:13 it was -9.9 degC, above -17.5 [r1].",
        "On 2 March at 2:13 am, or March 2nd, 2026, it was \u22129.86 degC [r1].",
        "About 2 am it rose [f1].",
        "In the night to 2026-03-02 there were three findings of 2 devices [f1].",
        "temperature_2 and temperature 2 rose to -9.86; pm25 was expected at -22 to -17.5 [f1, r1].",
        "d2 is one of seven devices [i1].",
        "At 2 pm d2 fell silent [f2].",
        "d1 drifted for 45 min [f1]. d2 fell silent. [f2]",
        "A warning: drift, and a silence later (a.m. or p.m.), e.g. in m/s or km/h [f1, f2, i1].",
        "d2 was under maintenance until 4:30 p.m. [c1].",
        "It is resolved [i2] (no person was needed, <45 min) [f1].",
    ],
)
def test_what_holds(text: str) -> None:
    """Rounded numbers, and dates and times as people write them."""
    assert wrong(text) == set()


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("It was -9.5 degC [r1].", "numbers"),
        ("It was 45 degC, or \u00bd [r1].", "numbers"),
        ("It happened twice a night and five times before [f1].", "numbers"),
        ("It was \u0669\u0669 degC [r1].", "numbers"),
        ("It rose at 02:11 [f1].", "times"),
        ("It rose at 2026-03-03 02:10 [f1].", "times"),
        ("It rose at 2:10 pm [f1].", "times"),
        ("It rose on 3 March [f1].", "times"),
        ("It rose on March 2, 2025 [f1].", "times"),
        ("It rose about 4 am [f1].", "times"),
        ("It rose at 02:10:33 [f1].", "numbers"),
        ("d2 rose [f1].", "devices"),
        ("d9 rose [f1].", "devices"),
        ("pump-7 rose [f1].", "names"),
        ("It rose [f1, f9].", "cites_known"),
        ("It rose.", "cites_present"),
        ("It was -9.86 degC.", "cites_present"),
        ("It was -9.86 degC [r1]. All is well now.", "cites_each"),
        ("d1 drifted [f1]. At -9.86 d2 fell silent [f2].", "numbers"),
        ("d2 drifted [f1]. d1 fell silent [f2].", "devices"),
        ("It began at 02:10 [f1]. d2 followed at 02:55 [f2].", "times"),
        ("A spike [f1].", "words"),
        ("It was out of range, a level-shift [f1].", "words"),
        ("A critical drift [f1].", "words"),
        ("A person acknowledged it [f1].", "words"),
        ("It was called a false alarm [c1].", "words"),
        ("d1 was under maintenance [f1].", "words"),
        ("It cleared at 02:55, since it was cleared [f1].", "words"),
        ("Drift: see http://help.example [f1].", "words_alone"),
        ("Drift: write to root@example [f1].", "words_alone"),
        ("Drift: run `x` [f1].", "words_alone"),
        ("Drift: run x | sh [f1].", "words_alone"),
        ("Drift: look at evil.example [f1].", "words_alone"),
        ("Drift: delete /var/lib [f1].", "words_alone"),
        ("Drift: see [help](evil) [f1].", "words_alone"),
        ("Drift: <img src=x> [f1].", "words_alone"),
        ("Drift: see evil\u3002com [f1].", "words_alone"),
        ("The silence is resolved [f2].", "words"),
        ("It is back to normal [f2].", "words"),
    ],
)
def test_what_does_not_hold(text: str, check: str) -> None:
    """A claim without its fact fails under its own name."""
    assert check in wrong(text)


@pytest.mark.parametrize(
    "text",
    [
        "d1 drifted for 45-minutes [f1].",
        "It lasted 45 min. [f1]",
        "It was -9.86 °C, up to -9.86°C [r1].",
        "It was -9.86 degrees Celsius, or -9.9 degrees [r1].",
        "It was between -22 and -17.5 degC; later -9.86 in the night [r1].",
        "d2 is one of seven devices [i1].",
        "There were three findings in the period [f1].",
        "There were two devices and 3 findings [f1].",
        "It lasted forty-five minutes [f1].",
        "Ünlike usual, it rose \u2013 sharply \u2013 to \u22129.86 [r1].",
        "temperature_2 fell to -14.2 at 02:10 [f1].",
        "It rose to -9.9 (usual -22..-17.5) [r1].",
        "One device, d1, drifted [f1].",
        "At first it was at -9.86, a second later too [r1].",
    ],
)
def test_quantities_that_hold(text: str) -> None:
    """Units as people write them, number words, and counts."""
    assert wrong(text) == set()


@pytest.mark.parametrize(
    "text",
    [
        "It was -9.86 °F [r1].",
        "It was -9.86 degF [r1].",
        "It was -9.86 degrees Fahrenheit [r1].",
        "It was -9.86 F [r1].",
        "It was -9.86F [r1].",
        "It was -9.86 K [r1].",
        "It was -9.86 kPa [r1].",
        "It was -9.86 % [r1].",
        "It was -9.86 percent [r1].",
        "It was -9.86, in Fahrenheit [r1].",
        "In °F it was -9.86 [r1].",
        "It lasted 45 hours [f1].",
        "It lasted 45 s [f1].",
        "It lasted 45h [f1].",
        "It lasted 45 weeks [f1].",
        "45 devices drifted [f1].",
        "It rose by half [f1].",
        "A third of it drifted [f1].",
        "d1 rose to a quarter [f1].",
        "There were three million findings [f1].",
        "3 million findings [f1].",
        "3k findings [f1].",
        "3M findings [f1].",
        "3e6 findings [f1].",
        "It was twice as much [f1].",
        "It doubled [f1].",
        "It rose three times the usual [f1].",
        "a twofold rise [f1].",
        "a 3-fold rise [f1].",
        "3x the usual [f1].",
        "3 x the usual [f1].",
        "3 \u00d7 the usual [f1].",
        "It was seventy [f1].",
        "It was ninety-nine degC [f1].",
        "two hundred findings [f1].",
        "Three hundred [f1].",
        "It was zero degC [f1].",
        "eight point five [f1].",
        "It was \uff19\uff10 [f1].",
        "It was \u0669 [f1].",
        "It was \U0001d7d6 [f1].",
        "It was 8\ufe0f\u20e3 [f1].",
        "It was \u2153 [f1].",
        "It was 3/2 [i1].",
        "It was 3\u00b3 [f1].",
        "3^3 findings [f1].",
        "It is re\u0455olved [f2].",
        "It cost 3 \u20ac [f1].",
        "About \u20ac3 [f1].",
        "It was -9.86 hectopascals [r1].",
        "It was 45 kilometers [f1].",
        "It was -9.86 Rankine [r1].",
        "There were dozens [f1].",
        "There were hundreds of findings [f1].",
        "Three thousand findings [f1].",
        "It was -9.86 \u2030 [r1].",
        "It was -9.86 \u2109 [r1].",
        "It was 3 thousand [f1].",
        "It lasted 45 \u03bcs [f1].",
        "It was minus ninety [r1].",
        "It was -9.86 bar [r1].",
        "It was -9.86 volts [r1].",
        "It was -9.86 \u00ba [r1].",
        "It rose to 45, that is 45 minutes, in degC [f1]. It was -14.2 minutes [f1].",
        "It happened twice [f1].",
    ],
)
def test_quantities_that_do_not_hold(text: str) -> None:
    """Another unit, a multiple, a share, or digits that are not looked up."""
    assert wrong(text) & {"numbers", "words_alone"}


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("The fr\u0435\u0435zer drifted [f1].", "words_alone"),  # Cyrillic letters
        ("The silence is r\u0435solved [f2].", "words_alone"),
        ("The silence is resol\u0475ed [f2].", "words_alone"),
        ("The silence is résolved [f2].", "words"),
        ("The \uff44\uff11 drifted [f1].", "words_alone"),  # full-width
        ("The \u0501\uff11 drifted [f1].", "words_alone"),
        ("It drifted \u2460 times [f1].", "words_alone"),
        ("d1 driftete dreimal [f1].", "language"),
        ("d1 subi\u00f3 tres veces [f1].", "language"),
        ("d1 drifted [f1]. d1 war halb so warm [f1].", "language"),
    ],
)
def test_text_that_cannot_be_looked_up(text: str, check: str) -> None:
    """Look-alikes of letters, and sentences of other languages."""
    assert check in wrong(text)


def test_a_unit_belongs_to_the_fact_that_has_the_number() -> None:
    """A value in degC is none in minutes, though another cited fact is in minutes."""
    assert "numbers" in wrong("It rose to -9.86 minutes [f1, r1].")
    assert wrong("It rose to -9.86 degC for 45 minutes [f1, r1].") == set()


def test_a_fact_that_is_not_cited_proves_nothing() -> None:
    """A number of f1 is wrong where f2 alone is cited."""
    assert wrong("It was -14.2 degC", "f1") == set()
    assert "numbers" in wrong("It was -14.2 degC", "f2")


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "no JSON",
        "[]",
        "{}",
        '{"answer": "", "cites": []}',
        '{"answer": "a", "cites": "f1"}',
        '{"answer": "a", "cites": [1]}',
        '{"answer": "a", "cites": [], "answered": "yes"}',
        '{"answer": "' + "a" * 1001 + '", "cites": []}',
        '{"answer": "a", "cites": [' + ",".join(['"f1"'] * 41) + "]}",
        "[" * 100_000,
    ],
)
def test_replies_of_another_form(reply: str) -> None:
    """The reason is in our own words."""
    with pytest.raises(ValueError, match=r"reply|answer|citations"):
        parse_answer(reply)


def test_a_reply_that_is_mended() -> None:
    """A fence and a trailing comma are repaired, control characters go, ids of the text are citations."""
    reply = '```json\n{"answered": true, "answer": "hot\\u001b[2J [R1]", "cites": ["f1",],}\n```'
    assert parse_answer(reply) == Answered(answered=True, text="hot [2J [R1]", cites=("f1", "r1"))


def test_the_last_facts_go_first() -> None:
    """A fact that does not fit the tokens is neither sent nor known to the check."""
    facts = [{"id": f"f{n}", "text": "x" * 100} for n in range(100)]
    prompt, kept = render_question("why?", HEAD, facts, max_tokens=1200, delimiter="word")
    assert prompt.estimated_tokens <= 1200
    assert list(kept) == [f"f{n}" for n in range(len(kept))]
    assert 0 < len(kept) < 100
    assert prompt.user.count('{"id":') == len(kept)
    assert estimate_tokens(SYSTEM) < 600


def test_names_come_back() -> None:
    """Aliases of devices and our words for unknown metrics; a longer alias is another one."""
    told = reveal_answer("d1 and D12: metric_1 [f1]", {"d1": "cold/d2", "d12": "x"}, {"metric_1": "Druck"})
    assert told == "cold/d2 and x: Druck [f1]"
    told = reveal_answer("d1: metric_1 [f1]", {"d1": "hall/metric_1"}, {"metric_1": "d1"})
    assert told == "hall/metric_1: d1 [f1]"
