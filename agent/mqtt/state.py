"""The state of the connection for others to read, and its changes in the log."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from agent.mqtt.errors import TAKEN_OVER, ErrorText, of_code
from agent.mqtt.paho_client import Accepted
from agent.mqtt.reconnect import Reconnect
from agent.mqtt.settings import LinkSettings, LinkState
from agent.mqtt.subscriptions import Subscriber


class ConnectionState:
    """Keeps the state and reports its changes; the same fault is logged once until the link works again."""

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
        self._reported: str | None = None
        self._reported_downgrade = False
        self.state = LinkState(since=wall(), filters=tuple(filters))

    def set(self, **changes: Any) -> None:
        """Change the state, and report it if it is another."""
        state = replace(self.state, **changes)
        if state != self.state:
            self.state = state
            self._on_event(state)

    def status(self, state: str) -> bytes:
        """Render the status topic's payload as of now."""
        return self._settings.status(state, self._wall())

    def connected(self, accepted: Accepted, protocol: str, generation: int, filters: tuple[str, ...]) -> None:
        """Report that the broker has accepted us."""
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
        """Report once that the broker knows only 3.1.1."""
        if not self._reported_downgrade:
            self._reported_downgrade = True
            self._log(
                "mqtt_protocol_downgraded",
                level="warning",
                protocol="3.1.1",
                consequence="a publish that the broker refuses looks like an accepted one",
                remedy="use a broker that speaks MQTT 5",
            )

    def subscribed(self, subscriber: Subscriber) -> None:
        """Report which filters were granted."""
        if subscriber.done and not self.state.subscribed:
            self._reported = None
            self._log("mqtt_subscribed", level="info", filters=list(subscriber.filters))
        self.set(
            subscribed=subscriber.done,
            refused=subscriber.refused,
            downgraded=subscriber.downgraded,
            filters=subscriber.filters,
            last_error=None if subscriber.done else self.state.last_error,
        )

    def lost(self, fault: ErrorText, reconnect: Reconnect) -> None:
        """Report the end of a connection, or of an attempt, and the next attempt."""
        if reconnect.reported:
            self._report_loss(fault, reconnect.delay_s)
        if reconnect.contested:
            self._report_silence(reconnect.delay_s)

    def _report_loss(self, fault: ErrorText, retry_s: float) -> None:
        was = self.state.connected
        self.set(
            connected=False,
            subscribed=False,
            stalled=False,
            since=self._wall() if was else self.state.since,
            last_error=str(fault),
            silent_until=None,
        )
        if was or self._reported != fault.what:
            self._reported = fault.what
            self._log(
                "mqtt_disconnected" if was else "mqtt_connect_failed",
                level="warning",
                error=fault.what,
                remedy=fault.remedy,
                retry_s=round(retry_s, 1),
            )

    def parted(self) -> None:
        """Note that we left on purpose."""
        if self.state.connected:
            self.set(connected=False, subscribed=False, stalled=False, since=self._wall())

    def _report_silence(self, silence_s: float) -> None:
        """Report that another client uses our id, so that we stay silent."""
        self.set(silent_until=self._wall() + silence_s, last_error=str(of_code(TAKEN_OVER)))
        self._log(
            "mqtt_client_id_contested",
            level="error",
            client_id=self._settings.client_id,
            silence_s=silence_s,
            remedy=of_code(TAKEN_OVER).remedy,
        )

    def stalled(self) -> None:
        """Report that the intake is full."""
        self.set(stalled=True)
        self._log(
            "mqtt_intake_stalled",
            level="warning",
            consequence="what arrives is left with the broker until there is room",
        )

    def resumed(self, dropped: int) -> None:
        """Report that there is room again and that the broker is asked to send again."""
        self._log("mqtt_intake_resumed", level="info", dropped=dropped)
