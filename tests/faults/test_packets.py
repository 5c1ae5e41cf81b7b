"""The harness counts packets on the wire, whatever pieces they come in."""

import pytest

from tests.support.packets import PacketCounter

LONG = b"\x3a\xac\x02" + bytes(300)  # PUBLISH, QoS 1, DUP, two length bytes
STREAM = (
    b"\x20\x02\x00\x00" + b"\x30\x03abc" + b"\x32\x05\x00\x01a\x00\x01" + LONG + b"\x40\x02\x00\x01" + LONG
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 299, len(STREAM)])
def test_packets_are_counted_in_any_pieces(size: int) -> None:
    """Messages at QoS 1, those sent again, and acknowledgements; a message at QoS 0 is none of them."""
    counter = PacketCounter()
    for start in range(0, len(STREAM), size):
        counter.feed(STREAM[start : start + size])
    assert (counter.publishes, counter.repeats, counter.pubacks) == (3, 2, 1)
