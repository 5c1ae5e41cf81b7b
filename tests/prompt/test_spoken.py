"""Words of a sentence that claim something, and the facts that prove them."""

from typing import Any

import pytest

from agent.prompt.spoken import is_english, unproven_words

PROOFS: dict[str, tuple[str, list[str]]] = {
    "It was acknowledged.": ("acknowledged", ["ack", "acknowledged"]),
    "It was snoozed.": ("snoozed", ["snooze", "snoozed"]),
    "It was confirmed.": ("confirmed", ["confirmed"]),
    "It was a false alarm.": ("false alarm", ["false_alarm"]),
    "Someone looked at it.": (
        "Someone looked",
        ["ack", "acknowledged", "confirmed", "false_alarm", "normal_here", "maintenance"],
    ),
    "It was dismissed.": ("dismissed", ["false_alarm", "normal_here"]),
    "It was maintenance.": ("maintenance", ["maintenance"]),
    "It was forgotten.": ("forgotten", ["forget", "forgotten"]),
    "It was cleared.": ("cleared", ["cleared"]),
    "It was cancelled.": ("cancelled", ["cancelled"]),
    "It is resolved.": ("resolved", ["cleared", "normal_here", "ended"]),
    "It was critical.": ("critical", ["critical"]),
    "It was a warning.": ("warning", ["warning"]),
}


@pytest.mark.parametrize(
    ("sentence", "proof"), [(sentence, one) for sentence, (_, every) in PROOFS.items() for one in every]
)
def test_a_word_holds_by_the_act_the_state_or_the_kind_of_a_fact(sentence: str, proof: str) -> None:
    """Whichever key has it; of no fact, and of an act that is not cited, it does not hold."""
    claim, _ = PROOFS[sentence]
    for key in ("did", "state", "kind", "severity", "cause"):
        assert unproven_words(sentence, [{key: proof}], []) == []
        assert unproven_words(sentence, [], [{key: proof}]) == [claim]
    assert unproven_words(sentence, [{"note": proof}], []) == [claim]


@pytest.mark.parametrize("sentence", PROOFS)
def test_no_other_word_proves_a_claim(sentence: str) -> None:
    """Each proof is only of its own claims."""
    claim, proofs = PROOFS[sentence]
    others = {one for _, every in PROOFS.values() for one in every} - set(proofs)
    facts: list[dict[str, Any]] = [{"state": one} for one in sorted(others)]
    assert unproven_words(sentence, facts, []) == [claim]


@pytest.mark.parametrize(
    ("sentence", "fact"),
    [
        ("It was maintenance.", {"maintenance": True}),
        ("It is resolved.", {"over": True}),
        ("It was cleared.", {"over": True}),
        ("It is resolved.", {"ended": "2026-03-02 02:55"}),
        ("It was out of range.", {"limit_broken": True}),
    ],
)
def test_marks_of_a_fact_prove_too(sentence: str, fact: dict[str, Any]) -> None:
    """An incident that is over, an end, a limit."""
    assert unproven_words(sentence, [fact], []) == []
    empty = dict.fromkeys(fact, None)
    assert unproven_words(sentence, [empty], []) != []


def test_a_denial_needs_that_nothing_proves_the_opposite() -> None:
    """Neither a cited fact nor an act of a person on the devices."""
    assert unproven_words("It was not acknowledged.", [], []) == []
    assert unproven_words("It was not acknowledged.", [{"did": "ack"}], []) == ["acknowledged"]
    assert unproven_words("It was not acknowledged.", [], [{"did": "ack"}]) == ["acknowledged"]


def test_measurements_are_those_of_the_facts() -> None:
    """Of a fact, or of the values in it; without any metric nothing is compared."""
    humid: dict[str, Any] = {"metric": "humidity"}
    assert unproven_words("The humidity rose.", [humid], []) == []
    assert unproven_words("The humidity rose.", [{"values": [humid]}], []) == []
    assert unproven_words("The humidity rose.", [humid, {"metric": "pressure"}], []) == []
    assert unproven_words("The temperature rose.", [humid], []) == ["temperature"]
    assert unproven_words("The temperature rose.", [{"values": [{}]}], []) == []


@pytest.mark.parametrize(
    ("sentence", "english"),
    [
        ("The door is open.", True),
        ("98.7 degC", True),
        ("98.7", True),
        ("98.7 degC kaputt", False),
        ("Maschine kaputt", False),
        ("La porte is open", False),
    ],
)
def test_the_language_is_one_whose_words_are_looked_up(sentence: str, *, english: bool) -> None:
    """A sentence of units and numbers alone has no language."""
    assert is_english(sentence) is english
