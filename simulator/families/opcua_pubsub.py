"""A machine that publishes OPC UA data sets in JSON."""

from collections.abc import Iterable
from typing import ClassVar

from simulator.family_device import FamilyDevice, Sensors, iso, message
from simulator.outgoing import Outgoing


class Publisher:
    """Two writers with the same fields in one network message."""

    interval_s: ClassVar[float] = 10.0

    def __init__(self, *, place: int, seed: int) -> None:
        self._publisher = f"press{place}"
        self._count = 0
        self._writers = {
            number: Sensors("compressor", name=f"{self._publisher}/{number}", seed=seed)
            for number in (10, 11)
        }

    def begin(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return the status of the publisher."""
        yield self._message("status", {"MessageType": "ua-status", "IsCyclic": False, "Status": 2})

    def report(self, at: float) -> Iterable[Outgoing]:
        """Return one network message."""
        self._count += 1
        sets = [
            {
                "DataSetWriterId": number,
                "SequenceNumber": self._count,
                "Timestamp": iso(at),
                "Payload": {
                    name: {"Value": value, "SourceTimestamp": iso(at)}
                    for name, value in sensors.read(at).items()
                },
            }
            for number, sensors in self._writers.items()
        ]
        yield self._message("data", {"MessageType": "ua-data", "Messages": sets})

    def end(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return the publisher as disabled."""
        yield self._message("status", {"MessageType": "ua-status", "IsCyclic": False, "Status": 0})

    def _message(self, kind: str, content: dict[str, object]) -> Outgoing:
        head = {"MessageId": f"{self._publisher}-{self._count}", "PublisherId": self._publisher}
        return message(f"opcua/json/{kind}/{self._publisher}", {**head, **content})


DEVICE: type[FamilyDevice] = Publisher
