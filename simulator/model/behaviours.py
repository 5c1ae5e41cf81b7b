"""How the model endpoint can misbehave, and who decides when it does."""

import random
import re
import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Behaviour(StrEnum):
    """The endpoint's handling of one request."""

    FINE = "fine"
    SLOW = "slow"  # the right answer after `delay_s`
    HANG = "hang"  # no answer at all
    DRIP = "drip"  # the right answer, one byte per `drip_s`
    RATE_LIMITED = "rate_limited"  # 429 with Retry-After
    QUOTA = "quota"  # 429, insufficient_quota
    SERVER_ERROR = "server_error"
    UNAUTHORIZED = "unauthorized"
    BAD_REQUEST = "bad_request"
    NO_SCHEMA = "no_schema"  # 400 on response_format, fine without
    REFUSAL = "refusal"
    CONTENT_FILTER = "content_filter"
    MODERATED = "moderated"  # the right answer, and a flagged category with it
    TRUNCATED = "truncated"
    BAD_JSON = "bad_json"
    FENCED_JSON = "fenced_json"
    WRONG_SCHEMA = "wrong_schema"
    MISSING_WINDOW = "missing_window"
    WRONG_READING = "wrong_reading"  # cites a reading id that was not offered
    WRONG_NUMBER = "wrong_number"  # a number in the summary that is nowhere
    UNKNOWN_DEVICE = "unknown_device"  # names a device that was not asked about
    ALL_NORMAL = "all_normal"  # was talked into it
    ALL_ANOMALY = "all_anomaly"
    EMPTY_CHOICES = "empty_choices"
    EMPTY_CONTENT = "empty_content"
    NO_USAGE = "no_usage"
    HTML = "html"  # a captive portal: HTML with status 200
    ERROR_BODY = "error_body"  # an error object with status 200
    HUGE = "huge"  # a body of `huge_bytes`
    RESET = "reset"  # the connection is cut in the middle of the answer
    REFUSED = "refused"  # nobody listens for `refused_s`


NAMES = frozenset(str(one) for one in Behaviour)


class ControlError(Exception):
    """A control request that makes no sense; the text is one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """The numbers behind the behaviours."""

    latency_s: float = 0.0  # before every answer
    delay_s: float = 20.0
    drip_s: float = 0.05
    retry_after_s: float = 2.0
    huge_bytes: int = 100 * 1024 * 1024
    refused_s: float = 5.0


_MARKER = re.compile(r"\[\[sim:([a-z_]+)\]\]")
_KEYS = frozenset({"behaviour", "times", "script", "probability", "knobs", "reset"})


@dataclass(slots=True)
class Director:
    """Chooses a behaviour for each request.

    A marker in the prompt decides, else the script, else chance, else the default. Any thread may steer it
    while the endpoint runs.
    """

    seed: int = 0
    knobs: Knobs = field(default_factory=Knobs)
    calls: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    _default: Behaviour = Behaviour.FINE
    _script: deque[Behaviour] = field(default_factory=deque)
    _chance: dict[Behaviour, float] = field(default_factory=dict)
    _rng: random.Random = field(default_factory=random.Random)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._rng.seed(self.seed)

    def choose(self, prompt: str) -> Behaviour:
        """Return what to do with the request that carries ``prompt``, and count it."""
        with self._lock:
            behaviour = self._choice(prompt)
            self.calls += 1
            self.counts[behaviour] += 1
            return behaviour

    def behave(self, behaviour: str, times: int | None = None) -> None:
        """Do ``behaviour`` from now on, or for the next ``times`` requests."""
        chosen = _behaviour(behaviour)
        with self._lock:
            if times is None:
                self._default = chosen
            else:
                self._script.extend([chosen] * times)

    def play(self, script: list[str]) -> None:
        """Answer the next requests by ``script``, one behaviour each."""
        chosen = [_behaviour(one) for one in script]
        with self._lock:
            self._script.extend(chosen)

    def chance(self, probability: Mapping[str, float]) -> None:
        """Do each named behaviour with its probability, otherwise the default."""
        chosen = {_behaviour(name): _share(name, share) for name, share in probability.items()}
        if sum(chosen.values()) > 1:
            raise ControlError("probability: the shares add up to more than 1")
        with self._lock:
            self._chance = chosen

    def steer(self, order: Any) -> None:
        """Obey a control request; its keys are all optional.

        They are ``behaviour``, ``times``, ``script``, ``probability``, ``knobs`` and ``reset``.

        Raises:
            ControlError: nothing of the request was done.
        """
        if not isinstance(order, dict) or not order.keys() <= _KEYS:
            raise ControlError(f"write an object with some of {', '.join(sorted(_KEYS))}")
        knobs = _turned(self.knobs, order.get("knobs", {}))
        times = order.get("times")
        if times is not None and (not isinstance(times, int) or not 0 <= times <= 100_000):  # noqa: PLR2004 - a sane cap
            raise ControlError("times: write a whole number up to 100000")
        script = order.get("script", [])
        probability = order.get("probability", {})
        if not isinstance(script, list) or not isinstance(probability, dict):
            raise ControlError("script is a list of behaviours, probability maps behaviours to shares")
        for name in [*script, *probability, *([order["behaviour"]] if "behaviour" in order else [])]:
            _behaviour(name)
        if order.get("reset"):
            self.reset()
        if probability:
            self.chance(probability)
        self.knobs = knobs
        self.play(script)
        if "behaviour" in order:
            self.behave(order["behaviour"], times)

    def reset(self) -> None:
        """Behave again."""
        with self._lock:
            self._default = Behaviour.FINE
            self._script.clear()
            self._chance = {}

    def state(self) -> dict[str, Any]:
        """Return its script and its counts."""
        with self._lock:
            return {
                "behaviour": str(self._default),
                "script": [str(one) for one in self._script],
                "probability": {str(name): share for name, share in self._chance.items()},
                "calls": self.calls,
                "counts": {str(name): count for name, count in self.counts.items()},
            }

    def _choice(self, prompt: str) -> Behaviour:
        marker = _MARKER.search(prompt)
        if marker is not None and marker.group(1) in NAMES:
            return Behaviour(marker.group(1))
        if self._script:
            return self._script.popleft()
        roll = self._rng.random() if self._chance else 1.0
        for behaviour, share in self._chance.items():
            roll -= share
            if roll < 0:
                return behaviour
        return self._default


def _behaviour(name: Any) -> Behaviour:
    if not isinstance(name, str) or name not in NAMES:
        raise ControlError(f"{name!r} is not a behaviour; use one of {', '.join(Behaviour)}")
    return Behaviour(name)


def _share(name: str, share: Any) -> float:
    if not isinstance(share, int | float) or not 0 <= share <= 1:
        raise ControlError(f"probability.{name}: {share!r} is not a share from 0 to 1")
    return float(share)


def _turned(knobs: Knobs, wanted: Any) -> Knobs:
    current = {name: getattr(knobs, name) for name in Knobs.__slots__}
    if not isinstance(wanted, dict) or not wanted.keys() <= current.keys():
        raise ControlError(f"knobs: use some of {', '.join(current)}")
    for name, value in wanted.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:  # noqa: PLR2004 - a sane cap
            raise ControlError(f"knobs.{name}: {value!r} is not a number from 0")
    return Knobs(**{**current, **wanted, "huge_bytes": int(wanted.get("huge_bytes", knobs.huge_bytes))})
