"""Wire: buffered bytes between paho and the socket, with its own PUBLISH parser.

paho reads a packet with three ``recv`` calls and writes each PUBACK with a ``send`` of its own. This wire is
a socket to paho, but reads 16 KiB at a time, hands whole PUBLISH packets straight on and gives paho only
the rest, one packet at a time; what is written is gathered and sent once per turn of the loop.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from agent.domain.records import AgentError, Reply
from agent.domain.tls import is_end_of_tls, is_tls_socket, must_wait

CHUNK = 1 << 14
PUBLISH = 0x30
MAX_LENGTH_BYTES = 4
USER_PROPERTY = 0x26
#: Bytes of the other properties that a PUBLISH may carry; None: a length of two bytes precedes them.
PROPERTY_SIZES: dict[int, int | None] = {0x01: 1, 0x02: 4, 0x03: None, 0x23: 2}
RESPONSE_TOPIC, CORRELATION = 0x08, 0x09
SUBSCRIPTION_ID = 0x0B
MAX_PROPERTIES = 128  # of a PUBLISH that are read; the rest is passed over
#: Bytes of a packet that paho reads. It copies the rest of a packet for each property in it, which takes
#: quadratic time, and no CONNACK or SUBACK needs as much.
MAX_CONTROL = 8192
MAX_CONTROLS = 512  # of one read, PUBACK excepted: a broker answers what it was asked, which is little
PUBACK = 0x40

LOST = "the connection was lost"
MALFORMED = "the broker sent a malformed packet"

Pairs = tuple[tuple[str, str], ...]


class Take(Protocol):
    """Takes one PUBLISH: first byte, topic, packet id, payload, user properties, identifiers, reply."""

    def __call__(
        self,
        first: int,
        topic: bytes,
        mid: int,
        payload: bytes,
        properties: Pairs,
        identifiers: tuple[int, ...] = (),
        reply: Reply | None = None,
        /,
    ) -> None: ...


class WireError(AgentError):
    """The connection is over, or what came over it is not MQTT. ``hung_up``: the broker wants it so."""

    def __init__(self, message: str, *, hung_up: bool = False) -> None:
        super().__init__(message)
        self.hung_up = hung_up


class Wire:
    """One socket; ``take`` gets each PUBLISH."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        v5: bool,
        max_packet_size: int,
        take: Take,
        control: Callable[[bytes], None],
    ) -> None:
        self.sock = sock
        self._v5 = v5
        self._max_packet_size = max_packet_size
        self.take = take
        self._control = control
        self._data: bytes | bytearray = b""  # received, not yet a whole packet
        self._need = 0  # bytes that the first packet in it needs, as far as known
        self._skip = 0  # bytes still to come of an oversized packet
        self._packet = b""  # the control packet that paho is reading
        self._packet_at = 0
        self._out = bytearray()
        self.closed = False

    # ------------------------------------------------------------------------- the socket for paho

    def recv(self, size: int) -> bytes:
        """Return bytes of the current control packet only."""
        at = self._packet_at
        data = self._packet[at : at + size]
        if not data:
            raise BlockingIOError
        self._packet_at = at + len(data)
        return data

    def send(self, data: bytes | bytearray) -> int:
        """Take all of ``data``; it leaves with the next flush."""
        self._out += data
        return len(data)

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 -- the signature of a socket
        self.sock.setblocking(flag)

    def fileno(self) -> int:
        return self.sock.fileno()

    def close(self) -> None:
        """Send what is left as far as it goes without waiting, then close."""
        if not self.closed:
            with suppress(WireError):
                self.flush()
            self.closed = True
            self.sock.close()

    # ----------------------------------------------------------------------------------- for the loop

    @property
    def wants_write(self) -> bool:
        """Whether bytes wait for the socket."""
        return bool(self._out) and not self.closed

    def feed(self, packet: bytes) -> None:
        """Show ``packet`` to paho as the bytes that the socket has to read."""
        self._packet, self._packet_at = packet, 0

    def flush(self) -> None:
        """Send what is gathered until the socket takes no more."""
        out = self._out
        while out:
            try:
                # After TLS wanted more, the same bytes must be offered again: `out` only grows.
                sent = self.sock.send(out[:CHUNK])
            except OSError as error:
                if must_wait(error):
                    return
                raise _lost(error) from error
            del out[:sent]

    def fill(self) -> int:
        """Read once and hand on every whole packet; return the bytes read, 0 when there were none to read."""
        try:
            chunk = self.sock.recv(CHUNK)
        except OSError as error:
            if must_wait(error):
                return 0
            raise _lost(error) from error
        if not chunk:
            raise WireError("closed by the broker", hung_up=True)
        if is_tls_socket(self.sock):
            chunk += self._further_records(CHUNK - len(chunk))
        size = len(chunk)
        if self._skip:
            skipped = min(self._skip, size)
            self._skip -= skipped
            chunk = chunk[skipped:]
        if self._data:
            self._data += chunk
            if len(self._data) < self._need:
                return size
        else:
            self._data = chunk
        try:
            self._split(bytes(self._data))
        except (IndexError, UnicodeDecodeError) as error:
            raise WireError(MALFORMED) from error
        return size

    def _further_records(self, room: int) -> bytes:
        """Return what else has come over TLS: a read returns one record, which is often one message.

        An end is found by the next read.
        """
        parts: list[bytes] = []
        with suppress(OSError):
            while room > 0 and (part := self.sock.recv(room)):
                parts.append(part)
                room -= len(part)
        return b"".join(parts)

    def _split(self, data: bytes) -> None:
        """Hand on the whole packets in ``data`` and keep the rest."""
        at, size, need, controls = 0, len(data), 0, 0
        take, v5, most = self.take, self._v5, self._max_packet_size
        while size - at >= 2:  # noqa: PLR2004 -- the shortest packet
            first, length, start = data[at], data[at + 1], at + 2
            if length > 0x7F:  # noqa: PLR2004 -- more length bytes follow
                long = _length(data, at + 1)
                if long is None:
                    break
                length, start = long
            # Of too big a PUBLISH the beginning is handed on: it ends in quarantine and is acknowledged.
            end = start + min(length, most)
            if end > size:
                need = end - at
                break
            if first & 0xF0 == PUBLISH:
                topic_end = start + 2 + (data[start] << 8 | data[start + 1])
                body, mid = topic_end, 0
                if first & 0x06:
                    mid = data[body] << 8 | data[body + 1]
                    body += 2
                properties: Pairs = ()
                identifiers: tuple[int, ...] = ()
                reply: Reply | None = None
                if v5:
                    if data[body]:
                        body, properties, identifiers, reply = _properties(data, body)
                    else:
                        body += 1
                if body > end:
                    raise WireError(MALFORMED)
                topic, payload = data[start + 2 : topic_end], data[body:end]
                if identifiers or reply is not None:
                    take(first, topic, mid, payload, properties, identifiers, reply)
                else:
                    take(first, topic, mid, payload, properties)
            else:
                controls += first != PUBACK
                if length > min(most, MAX_CONTROL) or controls > MAX_CONTROLS:
                    raise WireError(MALFORMED)
                self._control(data[at:end])
                if self.closed:
                    return
                take = self.take
            at = start + length
        self._need = need
        if at > size:
            self._skip, at = at - size, size
        self._data = bytearray(data[at:]) if at < size else b""


def _lost(error: OSError) -> WireError:
    return WireError(LOST, hung_up=isinstance(error, ConnectionError) or is_end_of_tls(error))


def _length(data: bytes, at: int) -> tuple[int, int] | None:
    """Return a variable byte integer and where it ends, None when it is not whole yet."""
    value = shift = 0
    for place in range(at, at + MAX_LENGTH_BYTES):
        if place >= len(data):
            return None
        value |= (data[place] & 0x7F) << shift
        if data[place] < 0x80:  # noqa: PLR2004 -- the last byte has no continuation bit
            return value, place + 1
        shift += 7
    raise WireError(MALFORMED)


def _properties(data: bytes, at: int) -> tuple[int, Pairs, tuple[int, ...], Reply | None]:
    """Return where the properties of a PUBLISH end, and in order its user properties, the identifiers
    of the subscriptions that it is sent for, and where its sender awaits an answer (MQTT 5, 3.3.2.3).
    """  # noqa: D205 - one sentence
    long = _length(data, at)
    if long is None:
        raise WireError(MALFORMED)
    length, at = long
    end = at + length
    pairs: list[tuple[str, str]] = []
    identifiers: list[int] = []
    topic, correlation = "", None
    for _ in range(MAX_PROPERTIES):
        if at >= end:
            break
        kind = data[at]
        at += 1
        if kind == USER_PROPERTY:
            name, at = _text(data, at)
            value, at = _text(data, at)
            pairs.append((name, value))
        elif kind == SUBSCRIPTION_ID:
            long = _length(data, at)
            if long is None:
                raise WireError(MALFORMED)
            identifiers.append(long[0])
            at = long[1]
        elif kind == RESPONSE_TOPIC:
            topic, at = _text(data, at)
        elif kind == CORRELATION:
            start = at + 2
            at = start + (data[at] << 8 | data[at + 1])
            correlation = data[start:at]
        elif kind in PROPERTY_SIZES:
            fixed = PROPERTY_SIZES[kind]
            at += 2 + (data[at] << 8 | data[at + 1]) if fixed is None else fixed
        else:
            raise WireError(MALFORMED)
    else:
        at = end
    if at != end:
        raise WireError(MALFORMED)
    reply = Reply(topic, correlation) if topic or correlation is not None else None
    return end, tuple(pairs), tuple(identifiers), reply


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = at + 2 + (data[at] << 8 | data[at + 1])
    return data[at + 2 : end].decode(), end
