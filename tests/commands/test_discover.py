"""``edge-agent discover`` at a real broker, its layouts and sources."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.commands.discovery import heard as heard_module
from agent.commands.discovery.found import read_with
from agent.commands.discovery.heard import FEW, Heard, Message
from agent.commands.discovery.layouts import group
from agent.commands.discovery.limits import propose_limits
from agent.commands.discovery.proposal import Proposed, propose
from agent.commands.discovery.topic_facts import gather
from agent.commands.discovery.written import limit_line
from agent.config import load_apart
from agent.decode.registry import Registry, SourceSpec
from agent.decode.topics import covers
from agent.mqtt.probe import listen
from agent.mqtt.settings import LinkSettings
from simulator.families import words
from simulator.family_run import make, play, reports
from tests.commands.kit import ask
from tests.decode.test_simulated import DEVICES
from tests.mqtt.link_harness import peer
from tests.support.broker import Broker, free_port

pytestmark = [pytest.mark.broker, pytest.mark.process]

FIVE = ("zigbee2mqtt", "tasmota", "shelly", "rtl_433", "ble_gateway")
START = 1_782_475_200.0


def messages(topics: dict[str, Any]) -> list[Message]:
    """Return each payload (a list: several) of each topic as a message."""
    found = []
    for topic, given in topics.items():
        for place, payload in enumerate(given if isinstance(given, list) else [given]):
            raw = payload if isinstance(payload, bytes) else str(payload).encode()
            found.append(Message(topic, raw, START + 10.0 * place, retained=False))
    return found


def proposed(topics: dict[str, Any]) -> list[Proposed]:
    return propose(gather(messages(topics)))


@contextmanager
def five_families(broker: Broker) -> Iterator[None]:
    """Play devices of five families until the block ends."""
    stop = threading.Event()
    thread = threading.Thread(
        target=play,
        kwargs={
            "devices": make(FIVE, count=2, seed=1), "address": ("127.0.0.1", broker.port), "start": START,
            "until": START + 10_000.0, "speed": 60.0, "stop": stop,
        },
    )  # fmt: skip
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.process
def test_every_device_of_five_families_is_found_and_read(
    tmp_path: Path, own_broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    """The written configuration is valid without a warning and reads all devices, with no text left over."""
    path = tmp_path / "agent.yaml"
    with five_families(own_broker), peer(own_broker.port, "#") as listener:
        code, out, err = ask(
            capsys, "discover", "--broker", own_broker.url, "--for", "3s", "--json", "--write", str(path)
        )
        sent = [(one.topic, one.payload) for one in listener.heard]  # type: ignore[attr-defined]
    assert code == 0
    assert err.startswith("edge-agent: ") is False
    told = json.loads(out)
    found = {device["device"] for source in told["sources"] for device in source["devices"]}
    wanted = {device for family in FIVE for device in DEVICES[family]}
    assert found >= wanted
    assert [source["text_unread"] for source in told["sources"]] == [[]] * len(told["sources"])
    assert ask(capsys, "check", "--config", str(path))[::2] == (0, "")
    registry = Registry(sources=load_apart(path).sources, base_topic="edge-agent/gw")
    decoded = [
        registry.decode(topic, payload, time.time())
        for topic, payload in sent
        if any(source.topic.split("/")[0] == topic.split("/")[0] for source in load_apart(path).sources)
    ]
    assert {reading.device for one in decoded for reading in one.readings} >= wanted


def series(heard: list[Message], sources: list[SourceSpec]) -> set[tuple[str, str]]:
    registry = Registry(sources=sources, base_topic="edge-agent/gw")
    decoded = [
        registry.decode(one.topic, one.payload, one.at)
        for one in heard
        if any(covers(filter_, one.topic) for filter_ in registry.filters)
    ]
    return {(reading.device, reading.metric) for one in decoded for reading in one.readings}


def played(word: str, count: int) -> list[Message]:
    """Return 20 minutes of so many devices of a family."""
    devices = make([word], count=count, seed=1)
    sent = [(START, one) for device in devices for one in device.begin(START)]
    sent += reports(devices, start=START, until=START + 1200.0)
    return [Message(one.topic, one.payload, at, retained=False) for at, one in sent]


WILD = ("ems_esp", "esphome", "openmqttgateway", "shelly", "tasmota")  # their topics begin with the device


@pytest.mark.parametrize(("word", "count"), [*((word, 1) for word in words()), *((word, 6) for word in WILD)])
def test_proposed_sources_name_devices_and_metrics_as_the_family_does(word: str, count: int) -> None:
    """A narrower topic than `#` changes no name and loses no series, for every family of the simulator."""
    heard = played(word, count)
    sources = [one.spec() for one in propose(gather(heard))]
    assert series(heard, sources) == series(heard, [SourceSpec("#")])


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("shelly", {"shellies/#", "{device}/events/rpc", "{device}/status/{part}", "{device}/online"}),
        (
            "esphome",
            {"{device}/sensor/{part}/state", "{device}/binary_sensor/{part}/state", "{device}/status"},
        ),
    ],
)
def test_a_site_of_many_devices_is_the_same_sources(word: str, expected: set[str]) -> None:
    """A device that is bought next year needs no source of its own."""
    for count in (6, 12):
        sources = propose(gather(played(word, count)))
        states = {one.availability["topic"] for one in sources if one.availability is not None}
        assert {one.topic for one in sources} | states == expected


@pytest.mark.parametrize(
    ("topics", "bare", "pattern"),
    [
        (["home/kitchen/th1/temperature", "home/attic/humidity"], True, "home/{device+}/{metric}"),
        (["plant/hall/a/state", "plant/b/state", "plant/c/d/e/state"], False, "plant/{device+}/state"),
        (["rooms/hall/a", "rooms/b", "rooms/c/d/e"], False, "rooms/{device+}"),
        (["eu/site/a/b/temp", "eu/site/c/temp"], True, "eu/site/{device+}/{metric}"),
        (["/a/b/temp", "/c/temp"], True, "/{device+}/{metric}"),
    ],
)
def test_names_with_slashes_are_one_source(topics: list[str], bare: bool, pattern: str) -> None:
    """The device is the levels between the common ones in front and at the end."""
    (layout,) = group(dict.fromkeys(topics, bare))
    assert layout.topic == pattern


def test_names_with_slashes_have_their_availability() -> None:
    """It is at the end of each device's levels; the source is valid and reads all devices."""
    topics = {f"home/{name}/{metric}": 20 for name in ("a/b", "c") for metric in ("temperature", "humidity")}
    heard = messages(topics | {"home/a/b/status": "online", "home/c/status": "offline"})
    (source,) = propose(gather(heard))
    assert source.topic == "home/{device+}/{metric}"
    assert source.availability is not None
    assert source.availability["topic"] == "home/{device+}/status"
    assert {device for device, _ in series(heard, [source.spec()])} == {"a/b", "c"}


@pytest.mark.parametrize(
    ("topics", "pattern", "device"),
    [
        (["home/a/temperature", "home/a/humidity", "home/b/temperature"], "home/{device}/{metric}", None),
        (["sensors/th1/temperature"], "sensors/{device}/{metric}", None),
        (["temperature/kitchen", "temperature/bath"], "temperature/{device}", None),
        (["well/pump1", "well/pump2"], "well/{device}", None),
        (["house/temperature", "house/humidity"], "house/{metric}", "house"),
        (["x/y/temp/a", "x/y/hum/a", "x/y/temp/b"], "x/y/{metric}/{device}", None),
        (["value"], "value", None),
    ],
)
def test_levels_that_vary_name_device_and_metric(topics: list[str], pattern: str, device: str | None) -> None:
    """One value a topic: the level with names of quantities is the metric, the others are the device."""
    (layout,) = group(dict.fromkeys(topics, True))
    assert (layout.topic, layout.device) == (pattern, device)


def test_objects_have_their_metrics_inside() -> None:
    """Every level that varies belongs to the device."""
    (layout,) = group(dict.fromkeys(["plant/n/p1", "plant/n/p2", "plant/s/p1"], False))
    assert layout.topic == "plant/{area}/{device}"


def test_a_first_level_becomes_a_wildcard_only_for_many() -> None:
    """A source with a wildcard in front reads topics of everybody."""
    few = group({f"room{n}/temperature": True for n in range(5)})
    assert [layout.topic for layout in few] == [f"room{n}/{{metric}}" for n in range(5)]
    (many,) = group({f"room{n}/temperature": True for n in range(40)})
    assert many.topic == "{device}/{metric}"


def test_states_become_the_availability_of_the_devices() -> None:
    """Both words are written, whichever was received."""
    (source,) = proposed({
        "home/a/temperature": 20, "home/b/temperature": 21,
        "home/a/status": "online", "home/b/status": "online",
    })  # fmt: skip
    assert source.availability == {
        "topic": "home/{device}/status", "online": ("online",), "offline": ("offline",),
    }  # fmt: skip


def test_the_availability_is_that_of_most_devices() -> None:
    """A bridge with a state of its own is not taken for the rule."""
    (source,) = proposed({
        "home/bridge/state": "online", "home/a/lwt": "online", "home/b/lwt": "offline",
        "home/a/temperature": 20, "home/b/temperature": 21,
    })  # fmt: skip
    assert source.availability is not None
    assert source.availability["topic"] == "home/{device}/lwt"


@pytest.mark.parametrize(
    ("word", "base", "topic", "format_"),
    [
        ("zigbee2mqtt", "site/z2m", "site/z2m/{device+}", "zigbee2mqtt"),
        ("homie", "devices", "devices/#", "homie"),
        ("meshtastic", "club/mesh", "club/mesh/EU_868/#", "meshtastic"),
        ("opendtu", "roof/pv", "roof/pv/{device}/{metric+}", "opendtu"),
    ],
)
def test_a_family_below_an_unusual_base_topic_is_recognised(
    word: str, base: str, topic: str, format_: str
) -> None:
    """Its own topics show it; devices, metrics and units are those below the usual base."""
    usual = played(word, 2)
    if word == "zigbee2mqtt":
        bridge = b'{"version": "2.0", "network": {"channel": 11, "pan_id": 6754}}'
        usual.insert(0, Message("zigbee2mqtt/bridge/info", bridge, START, retained=True))
    heard = [one._replace(topic=f"{base}/{one.topic.split('/', 1)[1]}") for one in usual]
    sources = propose(gather(heard))
    assert [(one.topic, one.format) for one in sources] == [(topic, format_)]
    assert series(heard, [one.spec() for one in sources]) == series(usual, [SourceSpec("#")])
    alone = SourceSpec(topic, format=format_)
    assert series(heard, [alone]) == series(usual, [SourceSpec("#")])


def test_a_topic_without_a_value_at_present_is_not_excluded() -> None:
    """A phase that an inverter has not connected is null; the next site with the same path is read."""
    phases = {f"N/c0619ab00001/pvinverter/20/Ac/L{n}/Power": '{"value": null}' for n in (2, 3)}
    heard = messages({**phases, "N/c0619ab00001/pvinverter/20/Ac/L1/Power": '{"value": 812}'})
    (source,) = propose(gather(heard))
    assert source.exclude == ()
    (source,) = propose(gather(heard[:2]))
    assert source.exclude == ()


def test_nodes_that_were_born_earlier_are_said_to_need_a_birth(
    tmp_path: Path, own_broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their data has numbers in place of names, and births are not retained."""
    data = next(one for one in played("sparkplug", 1) if "/DDATA/" in one.topic)
    path = tmp_path / "agent.yaml"
    with peer(own_broker.port) as node:
        node.publish(data.topic, data.payload, qos=1, retain=True).wait_for_publish(60)
        code, out, _ = ask(
            capsys, "discover", "--broker", own_broker.url, "--for", "1s", "--write", str(path)
        )
    assert code == 0
    assert "values without a name: its names come with the next birth of each node" in out
    assert "#  request_rebirth: true" in path.read_text()
    assert ask(capsys, "check", "--config", str(path))[0] == 0


def test_a_base_topic_that_families_share_stays_with_the_usual_sources() -> None:
    """Topics of another family are not read as the one that was found."""
    heard = messages({
        "home/bridge/info": '{"version": "2.0"}', "home/attic/climate": '{"temperature": 20.5}',
        "home/gw/BTtoMQTT/A4C138000101": '{"id": "A4:C1:38:00:01:01", "tempc": 20.5}',
    })  # fmt: skip
    assert "zigbee2mqtt" not in {one.format for one in propose(gather(heard))}


def test_what_carries_no_reading_is_excluded_with_its_reason() -> None:
    """Commands, discovery, other agents and free text are not sources."""
    topics = {
        "home/a/temperature": 20, "home/b/temperature": 21, "home/a/set": "21", "home/b/set": "22",
        "log/main": "Everything is fine with the pump, no need to worry about it today",
        "homeassistant/sensor/x/config": '{"expire_after": 30}', "edge-agent/gw/status": '{"state":"online"}',
        "cam/front": bytes(range(256)),
    }  # fmt: skip
    heard = messages(topics)
    facts = gather(heard)
    sources = propose(facts)
    assert [(one.topic, one.exclude) for one in sources] == [("home/{device}/{metric}", ("home/+/set",))]
    missed = read_with(sources, heard, facts).missed
    assert missed["homeassistant/sensor/x/config"] == "discovery of Home Assistant"
    assert missed["edge-agent/gw/status"] == "published by an edge agent"
    assert missed["log/main"] == "text"
    assert missed["cam/front"].startswith("quarantine: ")


def test_words_are_named_to_be_mapped() -> None:
    """A word that no rule knows is listed with its topic, or with its key."""
    heard = messages({
        "a/vent": ["halb", "ganz"], "b/x/state": '{"mode": "automatik", "temp": 20}',
        "c/x": [f"temp={n},step=eco" for n in range(5)], "d/x": [f"temp: {n}; phase: {n}a" for n in range(2)],
    })  # fmt: skip
    facts = gather(heard)
    result = read_with(propose(facts), heard, facts)
    words = {name: texts for source in result.sources for name, texts in source.words.items()}
    assert words == {"a/vent": {"halb", "ganz"}, "mode": {"automatik"}, "step": {"eco"}}


def test_a_key_that_tells_devices_apart_names_them() -> None:
    """Several devices on one topic get a template; a message number does not."""
    (source,) = proposed({"gw/data": [json.dumps({"device_id": one, "temp": 1}) for one in ("a", "b", "a")]})
    assert source.device == "{$.device_id}"
    (source,) = proposed({"gw/data": [json.dumps({"id": n, "temp": 1}) for n in range(3)]})
    assert source.device is None


@pytest.mark.parametrize(
    ("payloads", "device"),
    [
        ([{"model": m, "id": i} for m, i in (("A", 1), ("A", 2), ("B", 1), ("B", 1))], "{$.model}/{$.id}"),
        ([{"model": m, "id": i} for m, i in (("A", 1), ("B", 2), ("A", 1))], "{$.id}"),
        ([{"gateway_id": g, "mac": m} for g, m in (("g1", "a"), ("g2", "b"), ("g2", "c"))], "{$.mac}"),
        ([{"node": one} for one in ("attic", "cellar", "attic")], "{$.node}"),
        ([{"sensor": {"name": one}} for one in ("attic", "cellar", "attic")], "{$.sensor.name}"),
        ([{"device_id": one, "name": one} for one in ("a", "b", "a")], "{$.device_id}"),
        ([{"serial": n} for n in range(5)], "{$.serial}"),
        ([{"msg_id": n // 2} for n in range(5)], None),
        ([{"nonce": n // 2, "seq": n, "uuid": f"u{n}"} for n in range(5)], None),
        ([{"fw": one} for one in ("1.0", "1.1", "1.1")], None),
        ([{"device_id": "a"}, {"device_id": "b"}, {}], None),
        ([{"node": f"n{n // 2}"} for n in range(400)], None),
    ],
)
def test_keys_name_devices_only_if_they_stay_and_keep_them_apart(
    payloads: list[dict[str, Any]], device: str | None
) -> None:
    """Two sensors never become one series, and neither a new message nor new firmware makes a new device."""
    heard = messages({"gw/data": [json.dumps({**one, "temp": 20.5}) for one in payloads]})
    facts = gather(heard)
    (source,) = propose(facts)
    assert source.device == device
    if device is not None:
        (result,) = read_with([source], heard, facts).sources
        assert sum(one.messages for one in result.devices.values()) == len(payloads)
        assert not result.words


@pytest.mark.parametrize(
    ("lines", "form"),
    [
        (["21.5;45.2;1", "21.6;45.1;0"], "auto"),
        (["attic;21.5;45.2", "attic;21.6;45.1"], "csv"),
        (["12:00:00\tok then\t21.5\t45.2\t7", "12:00:10\tok then\t21.6\t45.1\t7"], "csv"),
    ],
)
def test_a_line_of_cells_is_csv_unless_it_is_read_without(lines: list[str], form: str) -> None:
    """Lines of numbers need no format; no family recognises others, so that CSV is tried on texts."""
    (source,) = proposed({"logger/x": lines})
    assert source.format == form
    registry = Registry(sources=[source.spec()], base_topic="edge-agent/gw")
    for line in lines:
        values = {one.value for one in registry.decode("logger/x", line.encode(), START).readings}
        assert len(values & {21.5, 45.2, 21.6, 45.1}) == 2


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a busy topic a part is kept, of a flood of topics the first; all are counted."""
    monkeypatch.setattr(heard_module, "MAX_KEPT", 10)
    monkeypatch.setattr(heard_module, "MAX_TOPICS", 3)
    heard = Heard()
    for n in range(100):
        heard.take(b"busy", b"1", float(n), retained=False, properties=())
    for n in range(10):
        heard.take(b"flood/%d" % n, b"1", 0.0, retained=False, properties=())
    assert (heard.messages, len(heard.counts), len(heard.kept)) == (110, 3, 12)
    assert heard.left_out == 98
    assert heard.kept[FEW].topic == "busy"


@pytest.mark.process
def test_hostile_topics_and_payloads_only_show_escaped(
    tmp_path: Path, own_broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing from a device steers the terminal, ends a comment or adds a key to the configuration."""
    path = tmp_path / "agent.yaml"
    hostile = [
        't/x"]\u2028ai: {model: evil}/temperature',
        "t/{device}/temperature",
        "t/\U0001f600: x/temperature",
    ]
    with peer(own_broker.port) as publisher:
        for topic in hostile:
            publisher.publish(topic, b"21.5", qos=1, retain=True)
        publisher.publish("t/y/mode", "ab\u202ecd".encode(), qos=1, retain=True)
        code, out, _ = ask(
            capsys, "discover", "--broker", own_broker.url, "--for", "1s", "--write", str(path)
        )
    assert code == 0
    assert all(char.isprintable() or char == "\n" for char in out)
    text = path.read_text()
    assert all(char.isprintable() or char == "\n" for char in text)
    assert yaml.safe_load(text)["ai"]["model"] == "gpt-4o-mini"
    assert ask(capsys, "check", "--config", str(path))[0] == 0


def test_a_quiet_broker_is_listened_to_for_the_whole_time(own_broker: Broker) -> None:
    """A client that only listens sends pings, or the broker ends its connection."""
    link = LinkSettings(
        host="127.0.0.1", port=own_broker.port, client_id="quiet", base_topic="quiet", keepalive_s=1
    )
    ended = listen(link, ["quiet/#"], take=lambda *_: None, for_s=8.0)
    assert (ended.trouble, ended.lost) == (None, None)
    assert ended.seconds >= 8.0


def test_nothing_is_left_at_the_broker(own_broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    """It publishes nothing, and its session ends with its connection."""
    with peer(own_broker.port, "#") as listener:
        assert ask(capsys, "discover", "--broker", own_broker.url, "--for", "1s")[0] == 69
        assert list(listener.heard) == []  # type: ignore[attr-defined]


def test_a_broker_that_is_not_there_is_69(capsys: pytest.CaptureFixture[str]) -> None:
    """The reason and a remedy are one line."""
    code, out, err = ask(capsys, "discover", "--broker", f"mqtt://127.0.0.1:{free_port()}", "--for", "1s")
    assert (code, out) == (69, "")
    assert "nothing listens there" in err


def test_an_existing_file_stays(
    tmp_path: Path, own_broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is refused before anything is listened to."""
    path = tmp_path / "agent.yaml"
    path.write_text("agent: {id: mine}\n")
    code, _, err = ask(capsys, "discover", "--broker", own_broker.url, "--write", str(path))
    assert (code, path.read_text()) == (2, "agent: {id: mine}\n")
    assert "--force" in err


def test_a_user_without_the_right_to_read_is_69(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Mosquitto grants the subscription and sends nothing: the line names what to look at."""
    acl = tmp_path / "acl"
    acl.write_text("topic write agent/#\n")
    broker = Broker(tmp_path / "broker", f"acl_file {acl}").start()
    path = tmp_path / "agent.yaml"
    try:
        code, _, err = ask(
            capsys, "discover", "--broker", broker.url, "--for", "1s", "--write", str(path), "agent/#"
        )
    finally:
        broker.stop()
    assert (code, path.exists()) == (69, False)
    assert "may this user read" in err
    assert "--username" in err


LIMITS = {
    "cold/freezer1/temperature": [-18.2, -19, -18],
    "cold/[x]*/temperature": [-21],
    "cold/fridge/temperature": [4, 5],
    "cold/oven/temperature": [180],
    "house/a/humidity": [50],
    "house/b/humidity": [40],
    "house/b/battery_voltage": [3.3],
    "house/b/co2": ['{"value": 700, "unit": "ppm"}'],
    "usa/den/temperature": ['{"value": 70, "unit": "°F"}'],
    "usa/attic/temperature": ['{"value": 120, "unit": "°F"}'],
    "leak/cellar": ['{"leak": 0}'],
    "leak/bath": ['{"leak": 1}'],
}


def limits(topics: dict[str, Any]) -> list[str]:
    heard = messages(topics)
    facts = gather(heard)
    return [limit_line(one) for one in propose_limits(read_with(propose(facts), heard, facts).sources)]


def test_limits_are_proposed_for_known_quantities() -> None:
    """None where the values are of no known kind, or beyond it: no proposed limit is broken already."""
    found = yaml.safe_load("\n".join(limits(LIMITS)))
    assert found == {
        "freezer1/temperature": {"high": -10},
        "[[]x][*]/temperature": {"high": -10},
        "fridge/temperature": {"low": 0, "high": 8},
        "den/temperature": {"low": 5, "high": 35, "unit": "degC"},
        "*/humidity": {"high": 80},
        "b/co2": {"high": 2000, "unit": "ppm"},
        "cellar/leak": {"high": 0},
    }


@pytest.mark.process
def test_proposed_limits_are_comments_that_are_valid(
    tmp_path: Path, own_broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    """The written file has no limit until a person takes the signs away; a hostile name stays a comment."""
    path = tmp_path / "agent.yaml"
    with peer(own_broker.port) as publisher:
        for name in ("freezer", 'x"\u2028ai: {model: evil}\u202e'):
            publisher.publish(f"cold/{name}/temperature", b"-18", qos=1, retain=True)
        publisher.publish("warm/kiln/temperature", b"800", qos=1, retain=True)
        ask(capsys, "discover", "--broker", own_broker.url, "--for", "1s", "--write", str(path))
    assert load_apart(path).limits == {}
    text = path.read_text()
    assert yaml.safe_load(text)["ai"]["model"] == "gpt-4o-mini"
    (line,) = [line for line in text.splitlines() if line.startswith('#  "freezer/temperature"')]
    path.write_text(text.replace("limits: {}", "limits:").replace(line, line.replace("#", "", 1)))
    assert load_apart(path).limits["freezer/temperature"].high == -10


@pytest.mark.parametrize("text", ["a/#/b", "a/b+", "", "$SYS/#", "a/{one}/{one}"])
def test_a_filter_that_no_broker_takes_ends_it_at_once(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """Before it connects."""
    nobody = f"mqtt://127.0.0.1:{free_port()}"
    code, out, err = ask(capsys, "discover", "--broker", nobody, "a/#", text)
    assert (code, out) == (2, "")
    assert f"the filter {text!r} " in err
    assert "Listening" not in err


@pytest.mark.process
def test_the_topic_of_a_source_is_a_filter(capsys: pytest.CaptureFixture[str]) -> None:
    nobody = f"mqtt://127.0.0.1:{free_port()}"
    code, _, err = ask(capsys, "discover", "--broker", nobody, "a/{device}/{metric}")
    assert code == 69
    assert "to a/+/+ on" in err


@pytest.mark.process
def test_a_missing_folder_is_reported_before_it_listens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not after two minutes, when nobody can write the file."""
    path = tmp_path / "missing" / "agent.yaml"
    code, _, err = ask(capsys, "discover", "--write", str(path))
    assert (code, "Listening" in err) == (2, False)
    assert f"{path}: its folder is missing" in err
