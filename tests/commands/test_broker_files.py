"""The shipped Mosquitto configuration and ACL, in a real Mosquitto."""

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.benchmarks.broker_survival import Case, run, shipped as configuration
from tests.commands.shipped import FILES, USERS, ShippedBroker, User
from tests.support.waiting import wait_for

pytestmark = pytest.mark.broker

AGENT, DASHBOARD, DEVICE = "agent-gw1", "dashboard", "th1"
REFUSED = 0x87


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShippedBroker]:
    broker = ShippedBroker(tmp_path_factory.mktemp("shipped") / "broker")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def users(shipped: ShippedBroker) -> Iterator[dict[str, User]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(User(shipped, name)) for name in USERS}


@pytest.mark.parametrize(
    ("user", "topic", "allowed"),
    [
        (AGENT, "edge-agent/gw1/verdicts/th1", True),
        (AGENT, "edge-agent/gw1/events/th1", True),
        (AGENT, "edge-agent/gw1/status", True),
        (AGENT, "edge-agent/gw1/health", True),
        (AGENT, "edge-agent/gw1/doctor", True),
        (AGENT, "edge-agent/gw2/verdicts/th1", False),
        (AGENT, "sensors/th1/temperature", False),
        (AGENT, "$SYS/broker/publish/messages/dropped", False),
        (DEVICE, "sensors/th1/temperature", True),
        (DEVICE, "sensors/th2/temperature", False),
        (DEVICE, "edge-agent/gw1/verdicts/th1", False),
        (DEVICE, "edge-agent/gw1/feedback", False),
        (DASHBOARD, "edge-agent/gw1/feedback", True),
        (DASHBOARD, "edge-agent/gw1/verdicts/th1", False),
        (DASHBOARD, "sensors/th1/temperature", False),
    ],
)
def test_who_may_write_what(users: dict[str, User], user: str, topic: str, allowed: bool) -> None:
    """A refused publish comes back as not authorised, an allowed one does not."""
    code = users[user].publish(topic)
    assert allowed == (code < 0x80), f"0x{code:02x}"
    assert allowed or code == REFUSED


@pytest.mark.parametrize(
    ("reader", "pattern", "writer", "topic", "allowed"),
    [
        (AGENT, "sensors/#", DEVICE, "sensors/th1/r1", True),
        (AGENT, "edge-agent/gw1/feedback", DASHBOARD, "edge-agent/gw1/feedback", True),
        (AGENT, "edge-agent/gw1/verdicts/+", AGENT, "edge-agent/gw1/verdicts/r2", False),
        (DASHBOARD, "edge-agent/#", AGENT, "edge-agent/gw1/verdicts/r3", True),
        (DASHBOARD, "sensors/+/r4", DEVICE, "sensors/th1/r4", False),
        (DEVICE, "sensors/th2/#", "th2", "sensors/th2/r5", False),
        (DEVICE, "edge-agent/gw1/verdicts/r6", AGENT, "edge-agent/gw1/verdicts/r6", False),
    ],
)
def test_who_may_read_what(
    users: dict[str, User], reader: str, pattern: str, writer: str, topic: str, allowed: bool
) -> None:
    """A SUBACK grants all of them; what arrives shows who may read."""
    assert users[reader].subscribe(pattern) == 1
    assert users[writer].publish(topic) < 0x80
    if allowed:
        wait_for(lambda: topic in users[reader].got, 5, f"{topic} arrives", 0.005)
        return
    # A later message on the same connection shows that it was not on its way.
    users[reader].subscribe("edge-agent/gw1/feedback")
    assert users[DASHBOARD].publish("edge-agent/gw1/feedback") < 0x80
    if reader != DEVICE:
        wait_for(
            lambda: users[reader].got[-1:] == ["edge-agent/gw1/feedback"], 5, "the marker arrives", 0.005
        )
    assert topic not in users[reader].got


def test_the_agent_reads_what_the_broker_dropped(users: dict[str, User]) -> None:
    """`$SYS/broker/publish` is open to the agent, no other part of `$SYS`."""
    users[AGENT].subscribe("$SYS/broker/version")
    users[AGENT].subscribe("$SYS/broker/publish/messages/dropped")
    dropped = "$SYS/broker/publish/messages/dropped"
    wait_for(lambda: dropped in users[AGENT].got, 5, "the count arrives", 0.02)
    assert "$SYS/broker/version" not in users[AGENT].got


def test_nobody_is_anonymous(shipped: ShippedBroker) -> None:
    """A client without a name is not let in."""
    argv = ["mosquitto_pub", "-V", "5", "-p", str(shipped.port), "-q", "1", "-t", "sensors/x/y", "-m", "1"]
    told = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode != 0
    assert "not authori" in told.stderr.lower()


def test_each_setting_is_marked_broker_wide() -> None:
    """A reader of the file sees which settings concern all clients: a mark is above each."""
    text = (FILES / "edge-agent.conf").read_text()
    blocks = re.split(r"\n\s*\n", text)
    for block in blocks:
        lines = block.splitlines()
        settings = [line for line in lines if line and not line.startswith("#")]
        assert not settings or "[broker-wide]" in block, settings


@pytest.mark.parametrize(
    "line",
    [
        "persistence true",
        "autosave_interval 60",
        "max_queued_messages 100000",
        "max_queued_bytes 67108864",
        "max_inflight_messages 0",
        "queue_qos0_messages false",
        "set_tcp_nodelay true",
        "max_packet_size 1048576",
        "allow_anonymous false",
    ],
)
def test_the_decided_settings_are_there(line: str) -> None:
    """The shipped settings are the measured ones."""
    assert line in (FILES / "edge-agent.conf").read_text().splitlines()


def test_the_session_survives_a_kill_after_one_save(tmp_path: Path) -> None:
    """The step that the installation names: one SIGUSR1 after the agent's first start keeps its session."""
    case = Case("saved", configuration(), signal.SIGKILL, save_session=True)
    present, _, _ = run(case, 10, 0.0, tmp_path / "broker")
    assert present
