"""The filters that the session holds, and those that the broker granted."""

from collections.abc import Callable, Sequence

from agent.mqtt.connection import Connection
from agent.mqtt.errors import REFUSED
from agent.mqtt.settings import Subscription


class Subscriber:
    """Gives back filters that are no longer configured, asks for ours and checks the answers."""

    def __init__(
        self,
        *,
        wanted: Sequence[Subscription],
        without_identifiers: Sequence[Subscription] = (),
        held: Sequence[str],
        retry_s: float,
        log: Callable[..., None],
    ) -> None:
        self._identified = any(one.identifier for one in wanted)
        self._choices = {True: wanted, False: without_identifiers or wanted}
        self._choose(identifiers=True)
        self._held = set(held)
        self._retry_s = retry_s
        self._log = log
        self._connection: Connection | None = None
        self._session_present = False
        self._asked: dict[int, list[Subscription]] = {}
        self._returned: dict[int, list[str]] = {}
        self._retry_at: float | None = None
        self._granted: set[str] = set()
        self._reported: tuple[str, ...] = ()
        self.refused: tuple[str, ...] = ()
        self.downgraded: tuple[str, ...] = ()
        self.done = False

    @property
    def filters(self) -> tuple[str, ...]:
        """The filters that the session may hold once we have asked."""
        return tuple(sorted(self._held | self._wanted.keys()))

    def _choose(self, *, identifiers: bool) -> None:
        wanted = self._choices[identifiers]
        self._wanted = {one.filter: one for one in wanted}
        self._needed = {one.filter for one in wanted if not one.optional}

    def begin(self, connection: Connection, *, session_present: bool, identifiers: bool = True) -> None:
        """Start on a new connection; nothing is sent yet. ``identifiers``: the broker has them."""
        if self._identified:
            self._choose(identifiers=identifiers)
        self._connection, self._session_present = connection, session_present
        self._asked.clear()
        self._returned.clear()
        self._retry_at = None
        self.done = False
        if not session_present:
            self._held.clear()
            self._granted.clear()

    def end(self) -> None:
        """Forget the connection."""
        self._connection = None
        self.done = False

    def ask(self) -> bool:
        """Send UNSUBSCRIBE for removed filters, then SUBSCRIBE; return whether no SUBACK is to come.

        With MQTT 3.1.1 each SUBSCRIBE replays the retained messages, so there a kept session is left alone,
        except for filters whose messages are wanted each time.
        """
        connection = self._connection
        if connection is None or self._asked or self.done:
            return False
        gone = sorted(self._held - self._wanted.keys())
        if gone:
            self._returned[connection.client.unsubscribe(gone)] = gone
        kept = self._session_present and self._granted >= self._needed
        asked = list(self._wanted.values())
        if kept and connection.protocol != "5":
            asked = [one for one in asked if one.replay]
        if not asked:
            self.done = True
            return True
        by_identifier: dict[int, list[Subscription]] = {}
        for one in asked:
            by_identifier.setdefault(one.identifier, []).append(one)
        for group in by_identifier.values():
            self._ask(connection, group)
        return False

    def _ask(self, connection: Connection, wanted: list[Subscription]) -> None:
        self._held.update(one.filter for one in wanted)
        self._asked[connection.client.subscribe(wanted)] = wanted

    def answered(self, mid: int, codes: Sequence[int], now: float) -> None:
        """Take a SUBACK: note the filters that were refused or granted at a lower QoS."""
        wanted = self._asked.pop(mid, [])
        answers = dict(zip(wanted, codes, strict=False))
        granted = {one.filter for one, code in answers.items() if code < REFUSED}
        weaker = {one.filter for one, code in answers.items() if code < one.qos}
        self._granted |= granted
        self._granted -= {one.filter for one in wanted} - granted
        self.refused = tuple(sorted(self._needed - self._granted))
        self.downgraded = tuple(sorted((set(self.downgraded) - granted) | weaker))
        self.done = not self._asked and (bool(self._granted & self._needed) or not self._needed)
        self._retry_at = now + self._retry_s if self.refused else None
        self._report({one.filter: code for one, code in answers.items()})

    def _report(self, codes: dict[str, int]) -> None:
        if (self.refused, self.downgraded) == ((), ()) or self._reported == (
            found := self.refused + self.downgraded
        ):
            self._reported = self.refused + self.downgraded
            return
        self._reported = found
        for name in self.refused:
            self._log(
                "mqtt_subscription_refused",
                level="error",
                filter=name,
                reason_code=codes.get(name, REFUSED),
                remedy="give this user the right to subscribe to it",
            )
        for name in self.downgraded:
            self._log(
                "mqtt_subscription_downgraded",
                level="warning",
                filter=name,
                granted_qos=codes.get(name, 0),
                remedy="the broker grants a lower QoS than sources ask for: messages may be lost",
            )

    def returned(self, mid: int) -> None:
        """Take an UNSUBACK."""
        self._held.difference_update(self._returned.pop(mid, ()))

    def retry(self, now: float) -> None:
        """Ask again for refused filters; rights may have been given meanwhile."""
        if self._connection is not None and self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
            for name in self.refused:
                self._ask(self._connection, [self._wanted[name]])
