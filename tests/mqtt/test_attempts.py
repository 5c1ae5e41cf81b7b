"""Attempts to connect: on disk before CONNECT is written, and numbered."""

import threading

import pytest

from tests.mqtt.brokers import CONNACK, ScriptedBroker
from tests.mqtt.link_harness import LinkHarness, until

CONNECT = 1
REFUSED = b"\x20\x03\x00\x88\x00"  # the broker is unavailable


class Waiting(LinkHarness):
    """A journal that stores an attempt when the test allows it."""

    def _store_connection(self, generation: int) -> None:
        self.attempts.append(generation)


@pytest.mark.slow
def test_connect_waits_for_the_attempt_to_be_stored() -> None:
    """Nothing is written to the broker before; a number that nobody waits for changes nothing."""
    with ScriptedBroker({CONNECT: lambda _body: CONNACK}) as odd:
        harness = Waiting(port=odd.port, client_id="waits", first_generation=5).start()
        until(lambda: harness.attempts == [5])
        harness.link.connection_stored(4)
        assert not odd.packets
        harness.link.connection_stored(5)
        until(lambda: [up.generation for up in harness.ups] == [5])
        harness.stop()


def test_an_attempt_that_is_not_stored_is_given_up() -> None:
    """It is tried again under the same number, and the reason names the disk."""
    with ScriptedBroker({CONNECT: lambda _body: CONNACK}) as odd:
        harness = Waiting(port=odd.port, client_id="never", connack_timeout_s=0.1).start()
        until(lambda: harness.attempts[:2] == [1, 1])
        assert not odd.packets
        assert "does not store" in harness.values("mqtt_connect_failed")[0]["error"]
        harness.stop()


@pytest.mark.slow
def test_a_refusal_changes_no_session() -> None:
    """The number is used again after a refusal, and not after a CONNECT without an answer."""
    answers = iter([REFUSED, REFUSED, b"", CONNACK])
    lock = threading.Lock()

    def answer(_body: bytes) -> bytes:
        with lock:
            return next(answers, CONNACK)

    with ScriptedBroker({CONNECT: answer}) as odd:
        harness = LinkHarness(port=odd.port, client_id="numbers", connack_timeout_s=0.3).start()
        until(lambda: harness.ups, "a CONNACK")
        assert harness.attempts == [1, 1, 1, 2]
        assert [up.generation for up in harness.ups] == [2]
        harness.stop()
