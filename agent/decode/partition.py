"""Partition: the devices that one of several agents on a broker keeps.

Partition ``index`` of ``of`` keeps the devices for which the first eight bytes of the SHA-256 of the device
id (UTF-8), as a big-endian number, leave ``index`` when divided by ``of``. This never changes: agents of all
versions and machines agree on it. A multiple of N partitions splits each of N into whole ones.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import sha256
from typing import Annotated

from agent.decode.registry import Decoded
from agent.domain.keys import Key
from agent.domain.records import Handling

MAX_PARTITIONS = 64
STANDBY = "-standby"
_MAX_KEPT = 16_384  # devices whose partition is kept in memory


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionSettings:
    """Section ``partition``."""

    index: Annotated[int, Key("the partition of this agent, from 0", ge=0, le=MAX_PARTITIONS - 1)] = 0
    of: Annotated[int, Key("how many there are", ge=1, le=MAX_PARTITIONS)] = 1
    standby: Annotated[
        bool, Key("`true`: follows the agent of this partition, and replaces it while it is offline")
    ] = False
    takeover_s: Annotated[
        float, Key("how long that agent has to be offline; longer if it comes and goes", ge=1, le=3600)
    ] = 10.0

    @property
    def suffix(self) -> str:
        """The end of the name of this agent."""
        return f"-{self.index}{STANDBY if self.standby else ''}"


def partition_of(device: str, of: int) -> int:
    """Return the partition of a device."""
    digest = sha256(device.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % of


class Partition:
    """Leaves out of messages what belongs to the devices of other partitions."""

    def __init__(self, settings: PartitionSettings) -> None:
        self.settings = settings
        self._of = lru_cache(_MAX_KEPT)(partial(partition_of, of=settings.of))
        self.others = 0  # messages that were another partition's

    def has(self, device: str) -> bool:
        """Return whether this partition has a device."""
        return self._of(device) == self.settings.index

    def elsewhere(self, device: str) -> str:
        """Return which partition has a device, in words for a person; empty for one of its own."""
        if not device or self.has(device):
            return ""
        return f"it is of partition {self._of(device)} of {self.settings.of}: ask that agent"

    def keep(self, decoded: Decoded, topic: str, *, whole: bool = False) -> Decoded:
        """Return a message without the devices of other partitions.

        A message without a device is of the partition that its topic would have as a device. With ``whole``,
        one device of another partition excludes the message: no other agent receives it.
        """
        if decoded.source is None or decoded.handling is Handling.EXCLUDED:
            return decoded
        more = decoded.history or decoded.states or decoded.heard or decoded.expected_s or decoded.skipped
        if len(decoded.readings) == 1 and not more:
            device = decoded.readings[0].device
            return decoded if self.has(device) else self._excluded(decoded, (device,))
        devices = {reading.device for reading in (*decoded.readings, *decoded.history)}
        devices.update(decoded.heard)
        devices.update(name for name, _ in (*decoded.states, *decoded.expected_s))
        devices.update(one.device for one in decoded.skipped if one.device)
        if decoded.device and (decoded.online is not None or not devices):
            devices.add(decoded.device)
        foreign = {one for one in devices or {topic} if not self.has(one)}
        if not foreign:
            return decoded
        if whole or len(foreign) == len(devices or {topic}):
            return self._excluded(decoded, foreign)
        return _without(decoded, foreign)

    def _excluded(self, decoded: Decoded, foreign: Iterable[str]) -> Decoded:
        """Return a message that holds nothing for this partition."""
        self.others += 1
        return Decoded(
            decoded.source,
            (),
            None,
            text_only=False,
            retained=decoded.retained,
            device=decoded.device,
            family=decoded.family,
            handling=Handling.EXCLUDED,
            excluded_by=self.whose(foreign),
            request=decoded.request,
        )

    def whose(self, foreign: Iterable[str]) -> str:
        """Return which partitions have these devices, as the reason why a message is excluded."""
        names = ", ".join(sorted({str(self._of(one)) for one in foreign}))
        return f"partition: it is of {names}, this is {self.settings.index} of {self.settings.of}"

    def refuses(self, device: str) -> bool:
        """Return whether a message of a device is another partition's, and count it then."""
        foreign = not self.has(device)
        self.others += foreign
        return foreign


def _without(decoded: Decoded, foreign: Iterable[str]) -> Decoded:
    """Return a message without some of its devices."""
    gone = frozenset(foreign)
    readings = tuple(one for one in decoded.readings if one.device not in gone)
    history = tuple(one for one in decoded.history if one.device not in gone)
    states = tuple(one for one in decoded.states if one[0] not in gone)
    online = None if decoded.device in gone else decoded.online
    handling = decoded.handling
    if not readings and not history and handling is Handling.READ:
        handling = Handling.AVAILABILITY if states or online is not None else Handling.NO_VALUE
    return decoded._replace(
        readings=readings,
        history=history,
        states=states,
        online=online,
        heard=tuple(one for one in decoded.heard if one not in gone),
        expected_s=tuple(one for one in decoded.expected_s if one[0] not in gone),
        skipped=tuple(one for one in decoded.skipped if (one.device or decoded.device) not in gone),
        handling=handling,
    )
