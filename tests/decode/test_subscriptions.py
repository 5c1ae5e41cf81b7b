"""Subscriptions: none inside another, and one copy of each message counts."""

import pytest
from hypothesis import given, strategies as st

from agent.decode.registry import Registry, SourceSpec
from agent.decode.subscriptions import Wanted, common_filter, counting, joined, plan
from agent.decode.topics import covers, overlap
from agent.domain.records import Handling

_FILTER = st.builds(
    lambda levels, tail: "/".join([*levels, *tail]),
    st.lists(st.sampled_from(["a", "b", "+", ""]), min_size=1, max_size=3),
    st.sampled_from([[], ["#"]]),
)
_WANTED = st.lists(st.builds(Wanted, _FILTER, st.sampled_from([0, 1])), min_size=1, max_size=5)
_TOPIC = st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1, max_size=5).map("/".join)


def test_a_filter_inside_another_is_left_out_and_the_higher_qos_counts() -> None:
    """The broader filter brings the messages of both."""
    wanted = [Wanted("a/b", 1), Wanted("a/+", 0), Wanted("c", 0), Wanted("c", 1), Wanted("d/#", 0)]
    assert plan(wanted) == (Wanted("a/+", 1), Wanted("c", 1), Wanted("d/#", 0))


def test_only_filters_that_overlap_in_part_have_identifiers() -> None:
    """Each has its own, and another set of filters has others: a queued copy of it counts."""
    one, two, three = plan([Wanted("+/status/+"), Wanted("sensors/+/+"), Wanted("x")])
    assert one.identifier
    assert two.identifier
    assert (one.identifier == two.identifier, three.identifier) == (False, 0)
    other = plan([Wanted("+/status/+"), Wanted("sensors/+/+"), Wanted("sensors/status/#")])
    assert {one.identifier, two.identifier}.isdisjoint({each.identifier for each in other})


@given(_WANTED, _TOPIC)
def test_a_plan_brings_what_is_wanted_and_one_copy_counts(wanted: list[Wanted], topic: str) -> None:
    """No topic is lost or added; where several filters bring it, each of them is identified."""
    planned = plan(wanted)
    bringing = [one for one in planned if covers(one.filter, topic)]
    assert bool(bringing) == any(covers(one.filter, topic) for one in wanted)
    assert plan(planned) == planned
    if len(bringing) > 1:
        assert all(one.identifier for one in bringing)
        assert counting(planned, topic) == bringing[0].identifier
    if bringing and not topic.startswith("$"):
        best = max(one.qos for one in wanted if covers(one.filter, topic))
        assert max(one.qos for one in bringing) >= best


@given(_WANTED, _TOPIC)
def test_without_identifiers_filters_are_joined_under_a_fixed_level(wanted: list[Wanted], topic: str) -> None:
    """Nothing is lost; filters that still overlap have no common one that begins with a fixed level."""
    planned = joined(plan(wanted))
    if any(covers(one.filter, topic) for one in wanted):
        assert any(covers(one.filter, topic) for one in planned)
    for place, one in enumerate(planned):
        assert not one.identifier
        for other in planned[place + 1 :]:
            common = common_filter(one.filter, other.filter)
            assert not overlap(one.filter, other.filter) or common is None


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("a/+/x", "a/b/+", "a/+/+"),
        ("a/+/x", "a/b/#", "a/+/#"),
        ("a/b", "a/+/c", "a/+/#"),
        ("+/x", "a/+", None),
        ("a", "b", None),
    ],
)
def test_the_common_filter_covers_both(a: str, b: str, expected: str | None) -> None:
    """It is the narrowest one; one that would begin with a wildcard is not a filter of ours."""
    assert (expected, expected) == (common_filter(a, b), common_filter(b, a))
    assert expected is None or (covers(expected, a) and covers(expected, b))


def test_the_copy_of_the_first_filter_counts() -> None:
    """A further copy is acknowledged as an overlap; without identifiers, or with old ones, each counts."""
    registry = Registry(
        sources=[SourceSpec("{device}/status/{metric}"), SourceSpec("sensors/{device}/{metric}")],
        base_topic="edge-agent/gw1",
    )
    first, second = (one.identifier for one in registry.subscriptions)
    topic = "sensors/status/t"
    handled = {
        identifiers: registry.decode(topic, b"1", 0.0, (), identifiers).handling
        for identifiers in [(first,), (second,), (first, second), (), (7,), (second, 7)]
    }
    assert [identifiers for identifiers, one in handled.items() if one is Handling.OVERLAP] == [(second,)]
    alone = registry.decode("sensors/k/t", b"1", 0.0, (), (second,))
    assert (alone.handling, alone.device) == (Handling.READ, "k")
