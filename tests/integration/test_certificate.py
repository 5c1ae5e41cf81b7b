"""TLS on a gateway without a clock: a certificate that is not valid yet."""

from pathlib import Path

import pytest

from tests.integration.test_time import Wall
from tests.mqtt.brokers import Authority
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]


def test_a_certificate_that_is_not_valid_yet_is_retried_until_the_clock_is_right(tmp_path: Path) -> None:
    """The agent boots two days in the past: it reports what to look at, and connects in due time."""
    authority = Authority(tmp_path / "ca")
    cert, key = authority.issue("broker", "IP:127.0.0.1")
    lines = f"cafile {authority.ca}\ncertfile {cert}\nkeyfile {key}"
    broker = Broker(tmp_path / "broker", lines).start()
    wall = Wall(tmp_path)
    wall.set(-2)
    agent = AgentProcess(
        tmp_path / "agent",
        broker_url=f"mqtts://127.0.0.1:{broker.port}",
        settings={"mqtt": {"ca_file": str(authority.ca)}},
        environ=wall.environ,
    )
    try:
        agent.start()
        wait_for(lambda: agent.events("mqtt_connect_failed"), 20, "it was tried")
        (failure,) = agent.events("mqtt_connect_failed")
        assert "not yet valid" in failure["error"]
        assert "clock" in failure["remedy"]
        wait_for(lambda: "not yet valid" in agent.get("/readyz")[1], 20, "readiness names it")
        assert agent.get("/readyz")[0] == 503
        assert not agent.events("mqtt_connected")
        wall.set(0)
        agent.wait_ready()
        assert agent.stop() == 0
    finally:
        agent.kill()
        broker.stop()
