"""The subscriptions that a connection asks for, with and without identifiers."""

from types import SimpleNamespace
from typing import Any

import pytest

from agent.mqtt.settings import Subscription
from agent.mqtt.subscriptions import Subscriber

ONE, TWO = Subscription("+/x", identifier=7), Subscription("a/+", identifier=8)
WANTED = [ONE, Subscription("b"), TWO, Subscription("c")]
PLAIN = [Subscription("d/#"), Subscription("b")]


class Broker:
    """Notes what is asked for; each SUBSCRIBE has a packet id of its own."""

    def __init__(self, protocol: str) -> None:
        self.asked: list[list[Subscription]] = []
        self.returned: list[str] = []
        client = SimpleNamespace(subscribe=self._subscribe, unsubscribe=self._unsubscribe)
        self.connection: Any = SimpleNamespace(protocol=protocol, client=client)

    def _subscribe(self, wanted: list[Subscription]) -> int:
        self.asked.append(list(wanted))
        return len(self.asked)

    def _unsubscribe(self, filters: list[str]) -> int:
        self.returned += filters
        return 99


def subscriber(*held: str) -> Subscriber:
    def log(*_: Any, **__: Any) -> None: ...

    return Subscriber(wanted=WANTED, without_identifiers=PLAIN, held=held, retry_s=60.0, log=log)


def test_each_identifier_has_a_subscribe_of_its_own() -> None:
    """MQTT 5 has one for all filters of a packet; it is done when all are answered."""
    one, broker = subscriber(), Broker("5")
    one.begin(broker.connection, session_present=False, identifiers=True)
    assert not one.ask()
    assert broker.asked == [[ONE], [Subscription("b"), Subscription("c")], [TWO]]
    for mid, codes in ((1, [1]), (2, [1, 1])):
        one.answered(mid, codes, 0.0)
        assert not one.done
    one.answered(3, [0x87], 0.0)
    assert (one.done, one.refused) == (True, ("a/+",))
    one.retry(60.0)
    assert broker.asked[-1] == [TWO]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_broker_without_identifiers_gets_the_other_filters(protocol: str) -> None:
    """Those of an earlier connection that had identifiers are given back."""
    one, broker = subscriber("+/x", "b"), Broker(protocol)
    one.begin(broker.connection, session_present=True, identifiers=False)
    assert one.filters == ("+/x", "b", "d/#")
    assert not one.ask()
    assert (broker.asked, broker.returned) == ([PLAIN], ["+/x"])
