"""Epochs: which of the two agents of a partition publishes.

Each publishes in epochs of its own: the first agent in even ones, its standby in odd ones, so that no two
ever share one. A claim is a retained message on ``<base>/epoch``. It is on disk before it is sent, and counts
when the broker has returned it. An agent that sees a higher claim publishes nothing until its next own claim.

    first      claims when it is connected; waits up to 10 s for the release of a standby that holds it
    standby    claims when the first has been offline for ``takeover_s``; releases when the first is online

While an agent does not hold the partition, its windows wait in the review queue. Those that a verdict of the
other agent covers are concluded without a message; the rest is concluded once the agent holds it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum, auto
from functools import partial
from typing import Any, NamedTuple, Protocol

from agent.domain.records import Window
from agent.mqtt import LinkState
from agent.pipeline.review_queue import Gate
from agent.verdict.cover import Cover, stamped

SETTLE_S = 1.0  # after the subscription, for retained messages
HANDOVER_S = 10.0  # for the release of the other agent
DRAIN_S = 5.0  # for messages on their way, before a release
RESEND_S = 2.0  # a claim that does not come back
REPEAT_S = 10.0  # a claim that is held, so that one that was lost or overwritten is there again
ABSENT_S = 60.0  # without a claim or a status of the first agent: it is gone if it was ever there
MAX_CLEARED = 20  # retained messages in a turn
FLAPPING_S = 3600.0  # claims within so long make the next one wait longer
MAX_DELAY_S = 300.0
MAX_FIRST, MAX_AHEAD, MAX_EPOCH = 1_000_000, 10_000, 2**53
_MAX_BYTES = 1024


class Phase(StrEnum):
    """The part of an agent in its pair."""

    AWAY = auto()  # no connection
    FOLLOWING = auto()
    CLAIMING = auto()
    HOLDING = auto()
    YIELDING = auto()


class Claim(NamedTuple):
    """A message on the epoch topic."""

    epoch: int
    agent: str
    client: str  # the client id: two agents may have one name by mistake
    held: bool  # false: it is released

    def to_bytes(self) -> bytes:
        """Return the message."""
        state = "held" if self.held else "released"
        found = {"epoch": self.epoch, "agent": self.agent, "client": self.client, "state": state}
        return json.dumps(found).encode()


def read_claim(payload: bytes, known: int) -> Claim | None:
    """Return a claim, None for anything else; an epoch far beyond the known one is not believed."""
    try:
        found: dict[str, Any] = json.loads(payload) if len(payload) <= _MAX_BYTES else {}
        epoch, agent, client, state = (found[key] for key in ("epoch", "agent", "client", "state"))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    highest = min(MAX_EPOCH, known + MAX_AHEAD if known else MAX_FIRST)
    if type(epoch) is not int or not 0 < epoch <= highest:
        return None
    if not (isinstance(agent, str) and isinstance(client, str) and state in ("held", "released")):
        return None
    return Claim(epoch, agent, client, state == "held")


def read_state(payload: bytes) -> str | None:
    """Return the state in an agent's status, None for anything else."""
    try:
        state = json.loads(payload)["state"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return state if isinstance(state, str) and state in {"online", "offline"} else None


class Publishing(Protocol):
    """The link, as the epochs need it."""

    def announce(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish a message that may be lost."""

    def let_publish(self, generation: int, stamp: Callable[[str, bytes], bytes | None]) -> None:
        """Publish from the outbox on this connection; ``stamp`` returns a message as it goes out."""

    def hold_publishing(self) -> None:
        """Publish nothing more from the outbox."""

    def weed(self, covered: Callable[[str, bytes], bool]) -> None:
        """Count messages of the outbox as delivered."""


@dataclass(slots=True, kw_only=True)
class Epochs:
    """All on the analyst's loop, except that messages are read where they come in.

    ``has`` returns whether a device is of the partition; ``post`` runs work on the loop, from any thread;
    ``keep`` stores own and highest epoch and calls back when they are on disk; ``drained`` returns whether
    the outbox has nothing on its way; ``changed`` gets a device whose windows may be concluded, or None for
    all; ``retained`` returns the topics of messages of its own that would outlive a standby's epoch; ``show``
    publishes the open incidents of a first agent, those of its standby's epoch among them.
    """

    agent: str
    client: str
    base: str
    standby: bool
    takeover_s: float
    has: Callable[[str], bool]
    post: Callable[..., None]
    link: Publishing
    keep: Callable[[int, int, Callable[[], None]], None]
    drained: Callable[[], bool]
    changed: Callable[[str | None], None]
    retained: Callable[[], list[str]]
    show: Callable[[], None]
    clock: Callable[[], float]
    wall: Callable[[], float]
    log: Callable[..., None]
    own: int = 0
    known: int = 0
    phase: Phase = Phase.AWAY
    superseded: int = 0  # messages of the outbox that the other agent's verdicts cover
    cover: Cover = field(init=False)
    _took: bool = False
    _generation: int = 0
    _since: float = 0.0  # of the phase, or of the last message in it
    _subscribed_at: float = 0.0
    _claimed_at: float = 0.0
    _weeded_at: float = 0.0
    _other: Claim | None = None  # the last claim of another agent on this connection
    _first: str | None = None  # state of the first agent, as the standby knows it
    _first_since: float = 0.0
    _first_heard: float = 0.0  # its last claim or status
    _turned_at: float = 0.0
    _behind_since: float | None = None  # claims of the other agent are below the highest known one
    _claims: list[float] = field(default_factory=list)
    _overwritten: bool = False  # the retained claim is not ours
    _cleared: bool = False  # since the last hold, on this connection
    _to_clear: list[str] = field(default_factory=list)  # topics
    _shown: bool = False  # the open incidents, since another agent's last claim

    def __post_init__(self) -> None:
        """Let a first agent that nobody has replaced go on as it was."""
        self.cover = Cover(self.agent)
        self._took = not self.standby

    @property
    def topic(self) -> str:
        """Where claims are."""
        return f"{self.base}/epoch"

    @property
    def active(self) -> bool:
        """Whether verdicts are to be published, now or when there is a connection."""
        return self._took and self.known <= self.own

    @property
    def first(self) -> str:
        """The name of the first agent, the end of its topics."""
        return self.base.rpartition("/")[2]

    def waits_s(self) -> float:
        """Return for how long the broker has not returned a claim; from any thread."""
        return self.clock() - self._claimed_at if self.phase is Phase.CLAIMING else 0.0

    def gate(self, window: Window) -> Gate:
        """Return what may become of a sealed window."""
        if not self.has(window.device) or self.cover.has(window):
            return Gate.COVERED
        return Gate.OPEN if self.active else Gate.HELD

    def restore(self, own: int, known: int) -> None:
        """Take what an earlier process kept."""
        self.own, self.known = own, max(own, known)

    # -------------------------------------------------------------------------------- what comes in

    def link_changed(self, state: LinkState) -> None:
        """Begin again on a new connection."""
        if not state.subscribed:
            self.phase = Phase.AWAY
        elif self.phase is Phase.AWAY or state.generation != self._generation:
            self._generation = state.generation
            self._other, self._first, self._behind_since = None, None, None
            self._cleared = False
            self._first_since = self._first_heard = self._subscribed_at = self.clock()
            self._enter(Phase.FOLLOWING)

    def take_claim(self, payload: bytes) -> None:
        """Take a message of the epoch topic; on any thread."""
        self.post(self._take_claim, read_claim(payload, self.known))

    def _take_claim(self, claim: Claim | None) -> None:
        if claim is None:
            self._overwritten = True
        elif (claim.agent, claim.client) == (self.agent, self.client):
            self._take_own(claim)
        else:
            self._take_others(claim)

    def _take_own(self, claim: Claim) -> None:
        if claim.epoch > self.known:  # of a process whose state is lost
            self._learn(claim.epoch)
            self._lose()
        elif (claim.epoch, claim.held) == (self.own, True):
            if self.phase is Phase.CLAIMING:
                self._take_over()
        else:
            self._overwritten = True

    def _take_others(self, claim: Claim) -> None:
        now = self.clock()
        self._shown = False
        if claim.epoch % 2 == 0 and now - self._subscribed_at >= SETTLE_S:  # not a retained one
            self._take_first("online")
        if claim.epoch >= self.known:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = now
        if claim.epoch < self.own:
            self._overwritten = True
            return
        self._other = claim
        if claim.epoch > self.known:
            self._learn(claim.epoch)
        elif claim.epoch == self.own:  # two agents in one place of the partition
            self._learn(claim.epoch + 1)
        self._lose()
        if self.standby and self.own and not self._cleared:
            self._cleared, self._to_clear = True, self.retained()

    def _lose(self) -> None:
        """Publish nothing from now on: there is a higher claim."""
        if self.phase in {Phase.CLAIMING, Phase.HOLDING, Phase.YIELDING}:
            self.link.hold_publishing()
            self._took = False
            self._enter(Phase.FOLLOWING)
            self.log("partition_lost", level="warning", epoch=self.known)

    def take_first(self, payload: bytes) -> None:
        """Take the status of the first agent; on any thread."""
        state = read_state(payload)
        if state is not None:
            self.post(self._take_first, state)

    def _take_first(self, state: str) -> None:
        self._first_heard = self.clock()
        if state != self._first:
            self._first, self._first_since = state, self._first_heard

    def take_verdict(self, payload: bytes) -> None:
        """Take a verdict on a device of the partition; on any thread."""
        device = self.cover.note(payload, self.wall())
        if device is not None:
            self.post(self.changed, device)

    # ---------------------------------------------------------------------------------- in its time

    def turn(self) -> None:
        """Do what is due."""
        now = self.clock()
        if now - self._turned_at >= HANDOVER_S:  # suspended: what came meanwhile is not read yet
            self._first_heard = now
        self._turned_at = now
        match self.phase:
            case Phase.FOLLOWING:
                self._clear()
                behind = self._behind_since
                if self._may_claim(now):
                    self._claim(now)
                elif self.standby and behind is not None and now - behind >= HANDOVER_S:
                    self._raise()
                elif now - self._weeded_at >= REPEAT_S:
                    self._weeded_at = now
                    self.link.weed(self._is_covered)
            case Phase.CLAIMING:
                if self.standby and self._first == "online":
                    self._release()
                elif now - self._since >= RESEND_S:
                    self._announce(held=True)
            case Phase.HOLDING:
                if self.standby and self._first == "online":
                    self._begin_to_yield()
                elif self._overwritten or now - self._since >= REPEAT_S:
                    self._announce(held=True)
            case Phase.YIELDING:
                if self.drained() or now - self._since >= DRAIN_S:
                    self._release()
            case Phase.AWAY:
                pass

    def _clear(self) -> None:
        """Delete retained messages of its own, a few in a turn: another agent speaks of their devices now."""
        for topic in self._to_clear[:MAX_CLEARED]:
            self.link.announce(topic, b"", retain=True)
        del self._to_clear[:MAX_CLEARED]

    def _may_claim(self, now: float) -> bool:
        if now - self._subscribed_at < SETTLE_S:
            return False
        if self.standby:
            return self._first_is_gone(now)
        other = self._other
        handed = other is None or other.epoch < self.own or not other.held
        return handed or now - self._since >= max(HANDOVER_S, self._delay_s(now, HANDOVER_S))

    def _first_is_gone(self, now: float) -> bool:
        if self._first == "offline":
            return now - self._first_since >= self._delay_s(now, self.takeover_s)
        return self.known > 0 and now - self._first_heard >= ABSENT_S

    def _raise(self) -> None:
        """Release an epoch above all that is known, so that the other agent's next one is above it too.

        The broker has lost the claims since the one that it goes by.
        """
        self._behind_since = None
        self._choose()
        self.keep(self.own, self.known, self._announce_released)

    def _announce_released(self) -> None:
        if self.phase is Phase.FOLLOWING:
            self._announce(held=False)

    def _delay_s(self, now: float, first_s: float) -> float:
        """Return how long to wait: twice as long after each claim of the last hour."""
        self._claims = [one for one in self._claims if now - one < FLAPPING_S]
        doublings = min(16, max(0, len(self._claims) - 1))
        return min(max(first_s, MAX_DELAY_S), first_s * (1 << doublings))

    def _claim(self, now: float) -> None:
        """Store the next epoch of ours, then claim it; one that is the highest is claimed again."""
        if self._choose():
            self._claims.append(now)
        if self.standby:
            self._first = "offline"  # its status may be of an older save of the broker
        self._enter(Phase.CLAIMING)
        self._claimed_at = now
        generation, epoch = self._generation, self.own

        def stored() -> None:
            if self.phase is Phase.CLAIMING and (generation, epoch) == (self._generation, self.own):
                self._announce(held=True)

        self.keep(self.own, self.known, stored)

    def _choose(self) -> bool:
        """Let the epoch of ours be the highest one; return whether it is a new one."""
        if self.own and self.own >= self.known:
            return False
        self.own = self.known + 1 + ((self.known + 1) % 2 != int(self.standby))
        self.known = self.own
        return True

    def _take_over(self) -> None:
        self._enter(Phase.HOLDING)
        self._took, self._cleared = True, False
        self._to_clear.clear()
        self.log("partition_held", epoch=self.own)
        self.link.let_publish(self._generation, partial(self._stamp, self.own))
        if not self.standby and not self._shown:
            self._shown = True
            self.show()
        self.changed(None)

    def _begin_to_yield(self) -> None:
        self._took = False
        self._enter(Phase.YIELDING)

    def _release(self) -> None:
        self.link.hold_publishing()
        self._took = False
        self._announce(held=False)
        self._enter(Phase.FOLLOWING)
        self.log("partition_released", epoch=self.own)

    def _stamp(self, epoch: int, topic: str, payload: bytes) -> bytes | None:
        """Return a message with its epoch, None for a verdict that the other agent's cover; on any thread."""
        if topic.startswith(f"{self.base}/verdicts/") and self._is_covered(topic, payload):
            return None
        return stamped(payload, epoch)

    def _is_covered(self, topic: str, payload: bytes) -> bool:
        """Whether a verdict, or an event with one, is about what the other agent published; on any thread."""
        ours = topic.startswith((f"{self.base}/verdicts/", f"{self.base}/events/"))
        covered = ours and bool(payload) and self.cover.has_message(payload)
        self.superseded += covered
        return covered

    def _announce(self, *, held: bool) -> None:
        self._overwritten = False
        self._since = self.clock()
        claim = Claim(self.own, self.agent, self.client, held)
        self.link.announce(self.topic, claim.to_bytes(), retain=True)

    def _learn(self, epoch: int) -> None:
        self.known = epoch
        self.keep(self.own, self.known, lambda: None)

    def _enter(self, phase: Phase) -> None:
        self.phase, self._since = phase, self.clock()
