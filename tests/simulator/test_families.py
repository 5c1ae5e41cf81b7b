"""``edge-sim run --family``: devices that speak the protocol of a family."""

import math

import pytest

from simulator.cli import main
from simulator.families import device_class, words
from simulator.family_run import make, reports
from simulator.outgoing import Outgoing
from tests.simulator.listener import Listener
from tests.support.broker import Broker
from tests.support.waiting import wait_for

START = 1_782_475_200.0


def day(word: str, *, seed: int = 1, count: int = 2) -> list[Outgoing]:
    """Return the messages of devices of one family, from their begin to their end, over 6 hours."""
    devices = make([word], count=count, seed=seed)
    begin = [one for device in devices for one in device.begin(START)]
    told = [one for _, one in reports(devices, start=START, until=START + 21_600.0)]
    return [*begin, *told, *(one for device in devices for one in device.end(START + 21_600.0))]


@pytest.mark.parametrize("word", words())
def test_the_same_seed_gives_the_same_messages(word: str) -> None:
    """A device is a function of its place, the seed and the time."""
    assert day(word) == day(word) != day(word, seed=2)


@pytest.mark.parametrize("word", words())
def test_topics_can_be_published(word: str) -> None:
    """No topic is empty or holds a wildcard; a report has an interval."""
    assert 0.0 < device_class(word).interval_s < math.inf
    assert all(one.topic and not set("+#\0") & set(one.topic) for one in day(word))


def test_reports_come_in_the_order_of_their_times() -> None:
    """Devices with different intervals take turns."""
    times = [at for at, _ in reports(make(words(), count=2, seed=1), start=START, until=START + 3600.0)]
    assert times == sorted(times)
    assert times[0] == START


def test_the_command_plays_families_on_a_broker(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    """Two families at once on one connection, from hello to goodbye."""
    listener = Listener(broker, "zigbee2mqtt/#")
    command = ["run", "--family", "zigbee2mqtt", "--broker", broker.url, "--for", "0.5", "--speed", "120"]
    assert main(command) == 0
    last = "zigbee2mqtt/room 2/climate/availability"
    wait_for(lambda: [item[0] for item in listener.got].count(last) == 2, 10, "hello and goodbye")
    listener.close()
    topics = [item[0] for item in listener.got]
    assert topics.count("zigbee2mqtt/room 1/climate") >= 2
    assert topics[-1] == last
    assert "zigbee2mqtt: 2 devices or gateways on" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "named"),
    [(["quiet"], "leave out the name"), (["--qos", "1"], "--qos"), (["--devices", "0"], "1 to 1000")],
)
def test_options_of_scenarios_are_refused(
    option: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A family has no history, faults or manifest."""
    with pytest.raises(SystemExit) as ended:
        main(["run", "--family", "zigbee2mqtt", *option])
    assert ended.value.code == 2
    assert named in capsys.readouterr().err
