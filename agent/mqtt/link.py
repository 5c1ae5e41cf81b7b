"""The net thread: connects, reads, acknowledges, publishes and reconnects."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from agent.domain.records import AgentError, Outgoing
from agent.mqtt.connection import Connection
from agent.mqtt.dial import Dialled, Dialler
from agent.mqtt.errors import NOT_STORED, ErrorText, of_code, of_error
from agent.mqtt.paho_client import Accepted, Denied, Dropped, Event, Published, Subscribed, Unsubscribed
from agent.mqtt.publisher import Publisher
from agent.mqtt.receiver import Offer, Receiver
from agent.mqtt.reconnect import ReconnectPolicy
from agent.mqtt.selector import ReadPace, WireSelector
from agent.mqtt.settings import LinkSettings, LinkState, LinkStats, Subscription
from agent.mqtt.state import ConnectionState
from agent.mqtt.subscriptions import Subscriber
from agent.mqtt.takeover import TakeoverSilence
from agent.mqtt.wire import CHUNK, WireError
from agent.testing.failpoint import failpoint

TURN_S = 1.0
SHORT_TURN_S = 0.02  # while pausing or stopping
ROOM_PAUSE_S = 0.5  # for more room, so that a flood does not reconnect all the time


class Link:
    """The link to one broker.

    ``run`` is the body of the net thread; it returns after ``stop`` and raises what a callable raises. The
    other methods may be called from any thread. ``first_generation`` is the number of the first attempt;
    ``store_connection`` is asked to store each attempt and ends in ``connection_stored``;
    ``previous_filters`` is what an earlier process may have left in the session. ``offer`` takes arrivals and
    link changes in order and returns how many had room; ``on_published`` gets outbox id and reason
    code of each settled message (0x80 and above: refused); ``on_event`` gets the state at each change;
    ``pressed`` returns whether offers come faster than they are taken: the socket then rests for a moment.
    """

    def __init__(
        self,
        *,
        settings: LinkSettings,
        subscriptions: Sequence[Subscription],
        without_identifiers: Sequence[Subscription] = (),
        first_generation: int,
        previous_filters: Sequence[str] = (),
        store_connection: Callable[[int], None],
        offer: Offer,
        on_published: Callable[[int, int], None],
        on_event: Callable[[LinkState], None],
        log: Callable[..., None],
        pressed: Callable[[], bool] = lambda: False,
        wall: Callable[[], float] = time.time,
        mono: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._mono = settings, mono
        self._store_connection = store_connection
        self.stats = stats = LinkStats()
        self.heartbeat = mono()
        self._state = ConnectionState(
            settings=settings, filters=previous_filters, on_event=on_event, log=log, wall=wall
        )
        self._receiver = Receiver(
            offer=offer, pressed=pressed, stats=stats, first_generation=first_generation, wall=wall, mono=mono
        )
        self._publisher = Publisher(
            settings=settings, stats=stats, on_published=on_published, log=log, mono=mono
        )
        self._subscriber = Subscriber(
            wanted=subscriptions,
            without_identifiers=without_identifiers,
            held=previous_filters,
            retry_s=settings.resubscribe_s,
            log=log,
        )
        self._policy, self._silence = ReconnectPolicy(settings=settings), TakeoverSilence()
        self._dialler = Dialler(settings=settings, done=lambda: self._post(self._take_dialled))
        self._dialled: Dialled | None = None  # a socket whose attempt is not on disk yet
        self._store_by = math.inf
        self._connection: Connection | None = None
        self._up = self._hungry = False  # the connection was accepted; there is more to read
        self._pace = ReadPace(settings.commit_s)
        self._resting = False  # commands wait for the end of it
        self._dial_at = mono()
        self._room_at = math.inf
        self._stop_at: float | None = None
        self._commands: deque[Callable[[], None]] = deque()
        self._selector: WireSelector | None = None
        self._over = threading.Event()

    @property
    def state(self) -> LinkState:
        """The link as of now."""
        return self._state.state

    def pass_by(self, topic: str, take: Callable[[bytes], None]) -> None:
        """Have ``take`` get the payloads of one topic on the net thread, past the journal. At build only."""
        self._receiver.asides[topic.encode()] = take

    def pass_by_below(self, beginning: str, take: Callable[[bytes], None]) -> None:
        """Do the same for all topics with a beginning."""
        self._receiver.aside_below = (beginning.encode(), take)

    # ------------------------------------------------------------------------------- from any thread

    def ack(self, acks: Sequence[tuple[int, int]]) -> None:
        """Acknowledge (generation, packet id) pairs, in arrival order; the broker waits for them."""
        self._post(lambda: self._acknowledge(acks), urgent=True)

    def connection_stored(self, generation: int) -> None:
        """Note that the attempt ``generation`` is on disk; only then is CONNECT written."""
        self._post(lambda: self._open(generation))

    def generation_stored(self, generation: int) -> None:
        """Note that the CONNACK of ``generation`` is on disk; only then are the filters subscribed."""
        self._post(lambda: self._stored(generation))

    def publish(self, items: Sequence[Outgoing]) -> None:
        """Queue messages that must arrive."""
        self._post(lambda: self._publisher.add(items))

    def announce(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        expiry_s: int | None = None,
        group: str = "",
    ) -> None:
        """Queue a message that may be dropped, as it is while there is no connection.

        The topics of a ``group`` are left alone together once the broker has refused one of them.
        """
        self._post(
            lambda: self._publisher.announce(topic, payload, retain=retain, expiry_s=expiry_s, group=group)
        )

    def let_publish(self, generation: int, stamp: Callable[[str, bytes], bytes | None]) -> None:
        """Publish on this connection what must arrive, as ``stamp`` returns it; None: it is left out."""

        def let() -> None:
            if self._up and generation == self._receiver.generation:
                self._publisher.let(stamp)

        self._post(let)

    def hold_publishing(self) -> None:
        """Publish nothing more of it until it is let out again."""
        self._post(self._publisher.hold)

    def weed(self, covered: Callable[[str, bytes], bool]) -> None:
        """Count messages that wait and are covered as delivered."""
        self._post(lambda: self._publisher.weed(covered))

    def answer(self, topic: str, payload: bytes, correlation: bytes | None) -> None:
        """Queue the answer to a command, which may be dropped."""
        self._post(lambda: self._publisher.answer(topic, payload, correlation))

    def room(self) -> None:
        """Note that offers are accepted again; the link reconnects so that the broker sends again."""
        self._post(self._take_room)

    def stop_intake(self) -> None:
        """Drop what arrives from now on, unacknowledged; acks and publishing go on."""
        self._post(self._receiver.close)

    def stop(self, timeout_s: float) -> bool:
        """Send the queue, ``offline`` and DISCONNECT in ``timeout_s``; return whether ``run`` ended."""
        deadline = self._mono() + timeout_s
        self._post(lambda: self._begin_stop(deadline))
        return self._over.wait(timeout_s)

    def _post(self, command: Callable[[], None], *, urgent: bool = False) -> None:
        self._commands.append(command)
        if self._selector is not None and (urgent or not self._resting):
            self._selector.wake()

    # --------------------------------------------------------------------------------- the net thread

    def run(self) -> None:
        """Run until stopped."""
        try:
            with WireSelector() as self._selector:
                while not self._over.is_set():
                    self._turn(self._selector)
        finally:
            self._over.set()
            if self._connection is not None:
                self._connection.close()
            self._close_dialled()
            self._dialler.close()
            self._silence.end()

    def _turn(self, selector: WireSelector) -> None:
        now, connection = self._mono(), self._connection
        paused = self._receiver.pauses(now) and connection is not None and not connection.doubted
        rest_s = self._pace.rest_s(now)
        resting = rest_s > 0 and not (self._hungry or self._publisher.waits)
        if resting:
            self._resting = True
            selector.rest(rest_s)
            self._resting = readable = False
        else:
            selector.watch(None if connection is None else connection.wire, read=not paused)
            readable = selector.sleep(SHORT_TURN_S if paused else self._spare_s())
        self.heartbeat = now = self._mono()
        failpoint("net_turn")
        for _ in range(len(self._commands)):  # those that come meanwhile have the next turn
            self._commands.popleft()()
        if resting:
            readable = not self._pace.rest_s(now)  # without asking
        connection = self._connection
        if connection is not None:
            try:
                self._work(connection, now, readable=(readable or self._hungry) and not paused)
            except WireError as error:
                self._lose(connection.describe(error), hung_up=error.hung_up)
        self._advance(now)

    def _work(self, connection: Connection, now: float, *, readable: bool) -> None:
        if readable:
            self._receiver.waited_s = self._pace.waited_s(now)
            self._hungry = connection.read() >= CHUNK
            self._pace.note(now, messages=self._receiver.hand_over(), more=self._hungry)
        if self._connection is not connection:
            return
        if self._receiver.stalled and not self.state.stalled:
            self._state.stalled()
        if not connection.keep_alive(now):
            raise WireError("the broker has fallen silent", hung_up=not self._up)
        self._publisher.pump()
        self._subscriber.retry(now)
        connection.write()

    def _acknowledge(self, acks: Sequence[tuple[int, int]]) -> None:
        self._receiver.ack(acks)
        self._pace.acknowledged()

    def _spare_s(self) -> float:
        """Return how long the thread may sleep."""
        if self._hungry or self._commands:
            return 0.0
        alive = math.inf if self._connection is None else self._connection.due
        due = min(self._dial_at, self._store_by, self._room_at, alive)
        return max(0.0, min(due - self._mono(), TURN_S if self._stop_at is None else SHORT_TURN_S))

    def _advance(self, now: float) -> None:
        """Do the work that is due: connect, reconnect for room, or stop."""
        if self._stop_at is not None:
            self._finish(now, self._stop_at)
        elif now >= self._dial_at or self._silence.broken():
            self._dial_at = math.inf
            self._silence.end()
            self._dialler.start(self._policy.protocol, detect=self._policy.suspects_takeover(now))
        elif now >= self._store_by:
            self._close_dialled()
            self._receiver.withdraw()
            self._lose(NOT_STORED)
        elif now >= self._room_at:
            self._room_at = math.inf
            if self._connection is not None and self._receiver.stalled:
                self._state.resumed(self.stats.dropped["intake_full"])
                self._part()

    def _take_dialled(self) -> None:
        """Take the dialler's result: a socket or an error."""
        result = self._dialler.take()
        if isinstance(result, Dialled):
            self._dialled = result
            self._store_by = self._mono() + self._settings.connack_timeout_s
            self._store_connection(self._receiver.attempt())
        elif isinstance(result, OSError | ValueError | AgentError):
            self._lose(of_error(result, self._settings.address))
        else:
            raise result

    def _open(self, generation: int) -> None:
        """Write CONNECT on the socket that waited for this attempt to be on disk."""
        if self._dialled is None or generation != self._receiver.attempted:
            return
        dialled, self._dialled, self._store_by = self._dialled, None, math.inf
        self._hungry = False
        self._connection = Connection(
            settings=self._settings,
            dialled=dialled,
            protocol=self._policy.protocol,
            take=self._receiver.take,
            on_event=self._take_event,
            mono=self._mono,
        )

    def _close_dialled(self) -> None:
        if self._dialled is not None:
            self._dialled.close()
        self._dialled, self._store_by = None, math.inf

    def _take_event(self, event: Event) -> None:
        match event:
            case Accepted():
                self._accept(event)
            case Denied(code=code) | Dropped(code=code):
                if isinstance(event, Denied):
                    self._receiver.withdraw()
                self._lose(of_code(code), code=code, hung_up=isinstance(event, Dropped))
            case Published(mid=mid, code=code):
                self._publisher.settle(mid, code)
            case Subscribed(mid=mid, codes=codes):
                self._subscriber.answered(mid, codes, self._mono())
                self._state.subscribed(self._subscriber)
            case Unsubscribed(mid=mid):
                self._subscriber.returned(mid)
                self._state.set(filters=self._subscriber.filters)

    def _accept(self, accepted: Accepted) -> None:
        connection = self._connection
        present = accepted.session_present
        session_lost = bool(self.stats.connects) and not present
        if connection is None or not self._policy.accepted(self._mono(), session_lost=session_lost):
            self._part()
            return
        self._up = True
        self.stats.connects += 1
        identifiers = connection.protocol == "5" and accepted.limits.identifiers
        self._subscriber.begin(connection, session_present=present, identifiers=identifiers)
        filters = self._subscriber.filters
        generation = self._receiver.begin(connection, session_present=present, filters=filters)
        self._publisher.begin(connection, accepted.limits)
        self._publisher.announce(self._settings.status_topic, self._state.status("online"), retain=True)
        self._state.connected(accepted, connection.protocol, generation, filters)
        if self._policy.downgraded:
            self._state.downgraded()

    def _stored(self, generation: int) -> None:
        if self._up and generation == self._receiver.generation and self._subscriber.ask():
            self._state.subscribed(self._subscriber)

    def _lose(self, fault: ErrorText, *, code: int = 0, hung_up: bool = False) -> None:
        """End the connection, or the attempt at one, and settle when to try again."""
        now, connection = self._mono(), self._connection
        self.stats.connect_failures += not self._up
        reconnect = self._policy.lost(
            now,
            code=code,
            hung_up=hung_up and not self.stats.in_flight,
            classify_loss=None if connection is None else connection.classify_loss,
        )
        if reconnect.contested and connection is not None:
            self._silence.begin(connection.release_detector())
            self.stats.takeovers += 1
        self._drop(fault.what, ours=False)
        self._dial_at = now + reconnect.delay_s
        self._state.lost(fault, reconnect)

    def _part(self) -> None:
        """Leave with a DISCONNECT, and come back at once."""
        self._dial_at = self._mono()
        if self._connection is not None:
            self._connection.part()
        self._drop("we ended the connection", ours=True)
        self._state.parted()

    def _drop(self, reason: str, *, ours: bool) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        if self._up:
            self._up = False
            self._publisher.lose(ours=ours)
            self._subscriber.end()
            self._receiver.end(reason)

    def _take_room(self) -> None:
        self._room_at = self._mono() + ROOM_PAUSE_S if self._receiver.stalled else self._room_at

    def _begin_stop(self, deadline: float) -> None:
        self._receiver.close()
        self._stop_at = deadline

    def _finish(self, now: float, deadline: float) -> None:
        """Publish the queue, then ``offline``, then end; what the deadline cuts off is left undone."""
        if self._connection is None or not self._up:
            self._over.set()
        elif self._publisher.finish(
            now, deadline, self._settings.status_topic, self._state.status("offline")
        ):
            self._part()
            self._over.set()
