"""Counts of the MQTT packets in one direction of a connection, from its bytes in any pieces."""

DUP, QOS = 0x08, 0x06


class PacketCounter:
    """Feed it the bytes as they pass."""

    def __init__(self) -> None:
        self.publishes = 0  # at QoS 1
        self.repeats = 0  # those with DUP=1
        self.pubacks = 0
        self._head = b""  # a fixed header that is not whole yet
        self._left = 0  # bytes of the current packet that are still to come

    def feed(self, data: bytes) -> None:
        """Count the packets that begin in ``data``."""
        data, self._head = self._head + data, b""
        at = min(self._left, len(data))
        self._left -= at
        while at < len(data):
            length = shift = 0
            place, more = at + 1, True
            while more:
                if place >= len(data):
                    self._head = data[at:]
                    return
                length |= (data[place] & 0x7F) << shift
                more = data[place] > 0x7F
                shift, place = shift + 7, place + 1
            self._count(data[at])
            at = place + length
        self._left += at - len(data)

    def _count(self, first: int) -> None:
        match first & 0xF0:
            case 0x30:  # PUBLISH
                self.publishes += first & QOS != 0
                self.repeats += first & DUP != 0
            case 0x40:  # PUBACK
                self.pubacks += 1
