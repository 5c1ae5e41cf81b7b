"""Subscriptions of a set of filters: none inside another, and copies recognised."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from agent.decode.topics import covers, overlap

_MAX_IDENTIFIER = 268_435_455  # MQTT 5, 3.8.2.1.2


@dataclass(frozen=True, slots=True)
class Wanted:
    """One filter to subscribe; with ``identifier`` it overlaps another one in part."""

    filter: str
    qos: int = 1
    identifier: int = 0
    group: str | None = None  # a shared subscription; it overlaps no other filter

    @property
    def asked(self) -> str:
        """The filter as the broker gets it."""
        return self.filter if self.group is None else f"$share/{self.group}/{self.filter}"


def plain(asked: str) -> str:
    """Return the filter of a subscription, without the group that it may be shared in."""
    return asked.split("/", 2)[2] if asked.startswith("$share/") else asked


def plan(wanted: Sequence[Wanted]) -> tuple[Wanted, ...]:
    """Return the fewest subscriptions that bring all of ``wanted``, in their order.

    A filter inside another is left out, and the other has the higher QoS. Filters that overlap in part
    have identifiers. A broker may send a message once for each of these. The identifiers are those of
    this very set: a message that was queued for another set has none of them.
    """
    kept = [
        one
        for place, one in enumerate(wanted)
        if not any(
            covers(other.filter, one.filter) and (other.filter != one.filter or other_place < place)
            for other_place, other in enumerate(wanted)
        )
    ]
    made = [
        replace(one, qos=max(other.qos for other in wanted if covers(one.filter, other.filter)))
        for one in kept
    ]
    shared = [one.filter for one in made if sum(overlap(one.filter, other.filter) for other in made) > 1]
    return tuple(
        replace(one, identifier=_identifier(shared, one.filter)) if one.filter in shared else one
        for one in made
    )


def counting(planned: Sequence[Wanted], topic: str) -> int:
    """Return the identifier of the copy that counts for ``topic``: of the first filter, 0 without one."""
    return next((one.identifier for one in planned if covers(one.filter, topic)), 0)


def joined(planned: Sequence[Wanted]) -> tuple[Wanted, ...]:
    """Return ``planned`` for a broker without identifiers: one common filter for those that overlap in part.

    Filters whose common one would begin with a wildcard stay apart: a broker may then send copies.
    """
    made = [replace(one, identifier=0) for one in planned]
    place = 0
    while place < len(made):
        one = made[place]
        for other in made[place + 1 :]:
            common = common_filter(one.filter, other.filter)
            if overlap(one.filter, other.filter) and common is not None:
                rest = [each for each in made if each not in (one, other)]
                made = list(plan([Wanted(common, max(one.qos, other.qos)), *rest]))
                made = [replace(each, identifier=0) for each in made]
                place = -1
                break
        place += 1
    return tuple(made)


def common_filter(a_filter: str, b_filter: str) -> str | None:
    """Return the narrowest filter that covers both, None where its first level would be a wildcard."""
    a, b = a_filter.split("/"), b_filter.split("/")
    levels = []
    for own, other in zip(a, b, strict=False):
        if "#" in {own, other}:
            levels.append("#")
            break
        levels.append(own if own == other else "+")
    else:
        levels += ["#"] * (len(a) != len(b))
    return None if levels[0] in {"+", "#"} else "/".join(levels)


def _identifier(shared: Sequence[str], own: str) -> int:
    text = "\n".join((*shared, "", own))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) % _MAX_IDENTIFIER + 1
