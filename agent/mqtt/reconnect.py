"""When to connect again, and with which version of MQTT."""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from agent.mqtt.errors import TAKEN_OVER, UNSUPPORTED_PROTOCOL
from agent.mqtt.settings import LinkSettings
from agent.mqtt.takeover import Ending

STEADY_S = 10.0  # a connection that lived this long was a good one
TAKEOVERS = 3
TAKEOVER_WINDOW_S = 60.0
MAX_DOUBLINGS = 16
MAX_HANG_UPS = 2


@dataclass(frozen=True, slots=True)
class Reconnect:
    """The delay before the next attempt, and how a loss is reported."""

    delay_s: float
    contested: bool = False  # another client took our id too often
    reported: bool = True  # false: only the version changes, there is nothing to report


class ReconnectPolicy:
    """Joins the delays and the version. ``rng`` draws from [0, 1)."""

    def __init__(self, *, settings: LinkSettings, rng: Callable[[], float] = random.random) -> None:
        self._settings = settings
        self._rng = rng
        self._protocols = Protocols(settings.protocol)
        self._attempt = 0
        self._up_at: float | None = None
        self._session_lost = False  # the session was gone when we came back
        self._takeovers: deque[float] = deque(maxlen=TAKEOVERS)

    @property
    def protocol(self) -> str:
        """The version for the next attempt."""
        return self._protocols.current

    @property
    def downgraded(self) -> bool:
        """Whether 3.1.1 was settled on because the broker knows no 5."""
        return self._protocols.downgraded

    def accepted(self, now: float, *, session_lost: bool = False) -> bool:
        """Note a CONNACK, and whether the session is gone; return False for a probe of the version."""
        if not self._protocols.accepted():
            return False
        self._up_at, self._session_lost = now, session_lost
        return True

    def suspects_takeover(self, now: float) -> bool:
        """Whether the next loss could be the third take-over, so that a detector is needed."""
        recent = [at for at in self._takeovers if now - at <= TAKEOVER_WINDOW_S]
        return len(recent) >= TAKEOVERS - 1

    def lost(
        self,
        now: float,
        *,
        code: int,
        hung_up: bool,
        classify_loss: Callable[[], Ending] | None = None,
    ) -> Reconnect:
        """Note that a connection or an attempt is over.

        ``hung_up``: the broker ended it, and nothing that we sent explains it. ``classify_loss`` asks the
        take-over detector.
        """
        up_at, self._up_at = self._up_at, None
        if up_at is None:
            if code == UNSUPPORTED_PROTOCOL and self._protocols.refused():
                return Reconnect(0.0, reported=False)
            if hung_up:
                self._protocols.hung_up()
        elif now - up_at >= STEADY_S:
            self._attempt = 0
        explicit = code == TAKEN_OVER
        suspect = up_at is not None and (explicit or (hung_up and not code))
        if suspect and self._taken_over(now) and (explicit or self._is_taken(classify_loss)):
            self._takeovers.clear()
            return Reconnect(self._settings.takeover_silence_s, contested=True)
        return Reconnect(self._delay_s())

    def _is_taken(self, classify_loss: Callable[[], Ending] | None) -> bool:
        """Judge the loss: a client that starts clean takes our session as well, and our will is published."""
        ending = Ending.UNKNOWN if classify_loss is None else classify_loss()
        return ending is Ending.TAKEN or (ending is Ending.CUT and self._session_lost)

    def _delay_s(self) -> float:
        """Draw from the minimum to a bound that doubles (full jitter)."""
        self._attempt = min(self._attempt + 1, MAX_DOUBLINGS)
        least, most = self._settings.reconnect_min_s, self._settings.reconnect_max_s
        bound = min(most, least * float(1 << self._attempt))
        return least + self._rng() * (bound - least)

    def _taken_over(self, now: float) -> bool:
        """Note a possible take-over of our id; return whether it is the third within a minute."""
        self._takeovers.append(now)
        return len(self._takeovers) == TAKEOVERS and now - self._takeovers[0] <= TAKEOVER_WINDOW_S


class Protocols:
    """Which version to speak: 5, and 3.1.1 once the broker has shown that it knows no 5.

    A broker that hangs up on a CONNECT of version 5 without a word may be an old one, or just be starting
    behind a proxy. So 3.1.1 is tried, and when that is accepted, 5 once more, before 3.1.1 is settled on.
    """

    def __init__(self, setting: str) -> None:
        self._auto = setting == "auto"
        self.current = "3.1.1" if setting == "3.1.1" else "5"
        self._hang_ups = 0
        self._guessed = False  # the current version was chosen because the other was hung up on
        self._probing = False  # 5 is tried once more, since 3.1.1 was accepted

    @property
    def downgraded(self) -> bool:
        """Whether 3.1.1 was settled on because the broker knows no 5."""
        return self._auto and self.current == "3.1.1"

    def refused(self) -> bool:
        """Note that the broker rejects the version; return whether another is left to try."""
        if not self._auto or self.current != "5":
            return False
        self.current, self._guessed, self._probing = "3.1.1", False, False
        return True

    def hung_up(self) -> None:
        """Note that the broker ended the connection before any CONNACK."""
        if not self._auto:
            return
        if self._probing:
            self.current, self._guessed, self._probing, self._hang_ups = "3.1.1", False, False, 0
            return
        self._hang_ups += 1
        if self._hang_ups >= MAX_HANG_UPS:
            self._hang_ups = 0
            self._guessed = self.current == "5"
            self.current = "3.1.1" if self._guessed else "5"

    def accepted(self) -> bool:
        """Note a CONNACK; return False when 5 is to be tried once more before staying."""
        self._hang_ups = 0
        self._probing = self._guessed
        if self._guessed:
            self.current, self._guessed = "5", False
            return False
        return True
