"""Two agents of a partition at a simulated broker that fails in all ways."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from agent.mqtt import LinkState
from agent.pipeline.epochs import Epochs

BASE = "edge-agent/gw-0"
TOPIC = f"{BASE}/epoch"
TURN_S = 0.2


@dataclass
class Place:
    """One agent: its process, its disk and its connection. ``fenced``: false publishes at any time."""

    world: "World"
    standby: bool
    fenced: bool = True
    client: str = ""
    disk: tuple[int, int] = (0, 0)
    generation: int = 0
    connected: bool = False
    stamp: Callable[[str, bytes], bytes | None] | None = None
    epochs: Epochs | None = None
    shown: int = 0  # times that all open incidents were published
    inbox: list[tuple[Callable[[bytes], None], bytes]] = field(default_factory=list)
    pending: list[Callable[[], None]] = field(default_factory=list)  # writes that are not on disk yet

    @property
    def name(self) -> str:
        return "gw-0-standby" if self.standby else "gw-0"

    @property
    def status(self) -> str:
        return f"{BASE}/standby/status" if self.standby else f"{BASE}/status"

    @property
    def incident(self) -> str:
        """The topic of its one incident, which is open all the time."""
        return f"{BASE}/incidents/{self.name}"

    def start(self) -> None:
        """Start a process with the epochs on the disk."""
        self.epochs = Epochs(
            agent=self.name,
            client=self.client or self.name,
            base=BASE,
            standby=self.standby,
            takeover_s=5.0,
            has=lambda _device: True,
            post=lambda work, *found: work(*found),
            link=self,
            keep=self.keep,
            drained=lambda: True,
            changed=lambda _device: None,
            retained=lambda: [self.incident],
            show=self.show,
            clock=lambda: self.world.now,
            wall=lambda: self.world.now,
            log=lambda *_event, **_values: None,
        )
        self.epochs.restore(*self.disk)

    def show(self) -> None:
        self.shown += 1

    def kill(self) -> None:
        """End the process; what was not on disk is lost."""
        self.epochs = None
        self.pending.clear()
        self.cut()

    def connect(self) -> None:
        """Connect and subscribe: `online`, then the retained messages."""
        if self.epochs is None or self.connected or not self.world.up:
            return
        self.connected, self.stamp = True, None
        self.generation += 1
        self.world.publish(self.status, b'{"state":"online"}')
        self.epochs.link_changed(LinkState(connected=True, subscribed=True, generation=self.generation))
        for topic, payload in list(self.world.retained.items()):
            self.world.send(self, topic, payload)

    def cut(self) -> None:
        """Lose the connection: the broker publishes the will."""
        was, self.connected, self.stamp = self.connected, False, None
        self.inbox.clear()
        if self.epochs is not None:
            self.epochs.link_changed(LinkState())
        if was and self.world.up:
            self.world.publish(self.status, b'{"state":"offline"}')

    def keep(self, own: int, known: int, then: Callable[[], None]) -> None:
        def written() -> None:
            self.disk = (own, known)
            then()

        self.pending.append(written)

    def announce(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        if self.connected:
            assert retain
            self.world.publish(topic, payload)

    def let_publish(self, generation: int, stamp: Callable[[str, bytes], bytes | None]) -> None:
        if self.connected and generation == self.generation:
            self.stamp = stamp

    def hold_publishing(self) -> None:
        self.stamp = None

    def weed(self, covered: Callable[[str, bytes], bool]) -> None:
        assert not covered("edge-agent/gw-0/incidents/1", b"{}")

    def step(self) -> None:
        """Read what came, write to the disk, take a turn and publish a verdict if that is allowed."""
        if self.epochs is None:
            return
        for take, payload in self.inbox:
            take(payload)
        self.inbox.clear()
        written, self.pending = self.pending, []
        for one in written:
            one()
        self.epochs.turn()
        if self.connected and not self.fenced:
            self.world.verdicts.append((self.world.now, self.epochs.known or 1, self.name))
        elif self.connected and self.stamp is not None:
            out = self.stamp("edge-agent/gw-0/events/d", b'{"a":1}')
            assert out is not None
            epoch = json.loads(out)["epoch"]
            self.world.verdicts.append((self.world.now, epoch, self.name))
            self.world.published.append((epoch, self.client or self.name))
            self.world.publish(self.incident, out)


class World:
    """The broker and its two agents."""

    def __init__(self, *, fenced: bool = True) -> None:
        self.now = 1000.0
        self.up = True
        self.retained: dict[str, bytes] = {}
        self.saved: dict[str, bytes] = {}  # to its disk
        self.verdicts: list[tuple[float, int, str]] = []  # time, epoch, agent
        self.published: list[tuple[int, str]] = []  # epoch, client
        self.claims: list[dict[str, Any]] = []
        self.first = Place(self, standby=False)
        self.standby = Place(self, standby=True, fenced=fenced)
        self.places: tuple[Place, ...] = (self.first, self.standby)

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish a retained message."""
        self.retained[topic] = payload
        if topic == TOPIC:
            self.claims.append({"raw": payload, "at": self.now})
        for place in self.places:
            self.send(place, topic, payload)

    def send(self, place: Place, topic: str, payload: bytes) -> None:
        if not place.connected or place.epochs is None:
            return
        if topic == TOPIC:
            place.inbox.append((place.epochs.take_claim, payload))
        elif topic == f"{BASE}/status" and place.standby:
            place.inbox.append((place.epochs.take_first, payload))

    def break_down(self, *, wiped: bool, unsaved: bool = False) -> None:
        """End the broker; it publishes no will. ``unsaved``: it comes back as it was saved last."""
        self.up = False
        for place in self.places:
            place.cut()
        if wiped:
            self.retained.clear()
        elif unsaved:
            self.retained = dict(self.saved)

    def save(self) -> None:
        """Save the broker's state."""
        self.saved = dict(self.retained)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds / TURN_S)):
            self.now += TURN_S
            for place in self.places:
                place.step()

    def start(self) -> None:
        """Start both agents and connect them."""
        for place in self.places:
            place.start()
            place.connect()

    @property
    def holders(self) -> list[str]:
        """The agents that may publish now."""
        return [place.name for place in self.places if place.connected and place.stamp is not None]


HOSTILE = (
    b"",
    b"{",
    b"7",
    b"[" * 5000,
    b'{"epoch":true,"agent":"gw-0","client":"gw-0","state":"held"}',
    b'{"epoch":1e9,"agent":"x","client":"x","state":"held"}',
    b'{"epoch":-4,"agent":"x","client":"x","state":"held"}',
    b'{"epoch":9007199254740993,"agent":"x","client":"x","state":"held"}',
    b'{"epoch":' + b"9" * 900 + b',"agent":"x","client":"x","state":"held"}',
    b'{"epoch":4,"agent":["x"],"client":"x","state":"held"}',
    b'{"epoch":4,"agent":"gw-0","client":"gw-0","state":"taken"}',
    b'{"epoch":4,"agent":"gw-0","client":"gw-0","state":["held"]}',
    b'{"epoch":4,"agent":"gw-0","state":"held"}',
)

HOSTILE_STATES = (
    b"",
    b"7",
    b"[" * 5000,
    b"\xff",
    b'{"state":[]}',
    b'{"state":{}}',
    b'{"state":null}',
    b'{"state":["offline"]}',
    b'{"state":"away"}',
)


def forged(dice: Random, known: int) -> bytes:
    """Return a claim that neither agent made."""
    agent = dice.choice(["gw-0", "gw-0-standby", "stranger"])
    state = dice.choice(["held", "released"])
    epoch = known + dice.randint(-2, 9)
    return json.dumps({"epoch": epoch, "agent": agent, "client": agent, "state": state}).encode()


def mishap(world: World, dice: Random, *, strangers: bool) -> None:
    """Let something happen."""
    if dice.random() < 0.1:
        world.save()
    place = dice.choice(world.places)
    match dice.randrange(9 if strangers else 7):
        case 0:
            place.kill()
        case 1:
            place.cut()
        case 2 | 3:
            if place.epochs is None:
                place.start()
            place.connect()
        case 4:
            place.kill()
            place.start()
        case 5:
            world.break_down(wiped=dice.random() < 0.3, unsaved=dice.random() < 0.5)
        case 6:
            world.up = True
        case 7:
            world.publish(TOPIC, dice.choice(HOSTILE))
        case _:
            known = max(one.disk[1] for one in world.places)
            world.publish(TOPIC, forged(dice, known))
