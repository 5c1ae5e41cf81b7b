"""What the link says of itself: the state for others to read, the status topic and the events for the log."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from agent.mqtt.errors import TAKEN_OVER, Trouble, of_code
from agent.mqtt.events import Accepted
from agent.mqtt.reconnect import Comeback
from agent.mqtt.settings import LinkSettings, LinkState
from agent.mqtt.status import status_payload
from agent.mqtt.subscriptions import Subscriber


class Board:
    """Keeps the state and tells of its changes; the same trouble is said once until the link works again."""

    def __init__(
        self,
        *,
        settings: LinkSettings,
        filters: Sequence[str],
        on_event: Callable[[LinkState], None],
        log: Callable[..., None],
        wall: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._on_event = on_event
        self._log = log
        self._wall = wall
        self._had_session = bool(filters)
        self._said: str | None = None
        self._said_downgrade = False
        self.state = LinkState(since=wall(), filters=tuple(filters))

    def set(self, **changes: Any) -> None:
        """Change the state, and tell of it if it is another."""
        state = replace(self.state, **changes)
        if state != self.state:
            self.state = state
            self._on_event(state)

    def status(self, state: str) -> bytes:
        """Render the status topic's payload as of now."""
        return status_payload(state, self._settings.version, self._wall())

    def connected(self, accepted: Accepted, protocol: str, generation: int, filters: tuple[str, ...]) -> None:
        """Tell that the broker has accepted us."""
        present = accepted.session_present
        self.set(
            connected=True,
            subscribed=False,
            protocol=protocol,
            since=self._wall(),
            generation=generation,
            session_present=present,
            filters=filters,
            silent_until=None,
            stalled=False,
            limits=accepted.limits,
        )
        self._log(
            "mqtt_connected",
            level="info",
            broker=self._settings.address,
            protocol=protocol,
            session_present=present,
            generation=generation,
        )
        if self._had_session and not present:
            self._log(
                "mqtt_session_lost",
                level="warning",
                consequence="what was published while the agent was away did not arrive",
                remedy="make the broker keep sessions (persistence true), and look whether it was wiped",
            )
        self._had_session = True

    def downgraded(self) -> None:
        """Tell once that the broker knows only 3.1.1."""
        if not self._said_downgrade:
            self._said_downgrade = True
            self._log(
                "mqtt_protocol_downgraded",
                level="warning",
                protocol="3.1.1",
                consequence="a publish that the broker refuses cannot be told from one that it took",
                remedy="use a broker that speaks MQTT 5",
            )

    def subscribed(self, subscriber: Subscriber) -> None:
        """Tell what became of the filters."""
        if subscriber.done and not self.state.subscribed:
            self._said = None
            self._log("mqtt_subscribed", level="info", filters=list(subscriber.filters))
        self.set(
            subscribed=subscriber.done,
            refused=subscriber.refused,
            downgraded=subscriber.downgraded,
            filters=subscriber.filters,
            last_error=None if subscriber.done else self.state.last_error,
        )

    def lost(self, trouble: Trouble, comeback: Comeback) -> None:
        """Tell that a connection, or an attempt at one, is over, and how it goes on."""
        if comeback.retold:
            self._told(trouble, comeback.delay_s)
        if comeback.contested:
            self._silenced(comeback.delay_s)

    def _told(self, trouble: Trouble, retry_s: float) -> None:
        was = self.state.connected
        self.set(
            connected=False,
            subscribed=False,
            stalled=False,
            since=self._wall() if was else self.state.since,
            last_error=str(trouble),
            silent_until=None,
        )
        if was or self._said != trouble.what:
            self._said = trouble.what
            self._log(
                "mqtt_disconnected" if was else "mqtt_connect_failed",
                level="warning",
                error=trouble.what,
                remedy=trouble.remedy,
                retry_s=round(retry_s, 1),
            )

    def parted(self) -> None:
        """Note that we left on purpose."""
        if self.state.connected:
            self.set(connected=False, subscribed=False, stalled=False, since=self._wall())

    def _silenced(self, silence_s: float) -> None:
        """Tell that another client uses our id and that we stand back."""
        self.set(silent_until=self._wall() + silence_s, last_error=str(of_code(TAKEN_OVER)))
        self._log(
            "mqtt_client_id_contested",
            level="error",
            client_id=self._settings.client_id,
            silence_s=silence_s,
            remedy=of_code(TAKEN_OVER).remedy,
        )

    def stalled(self) -> None:
        """Tell that intake is full."""
        self.set(stalled=True)
        self._log(
            "mqtt_intake_stalled",
            level="warning",
            consequence="what arrives is left with the broker until there is room",
        )

    def resumed(self, dropped: int) -> None:
        """Tell that there is room again and that the broker is asked to send again."""
        self._log("mqtt_intake_resumed", level="info", dropped=dropped)
