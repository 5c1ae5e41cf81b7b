"""The shipped central Prometheus against an agent with TLS and a password."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.monitoring.servers import SHIPPED, Prometheus, quick_prometheus
from tests.mqtt.brokers import Authority
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.slow]

USER, PASSWORD = "prometheus", "correct horse"
LIMIT_S = 30.0


@pytest.fixture
def agent(broker: Broker, tmp_path: Path) -> Iterator[AgentProcess]:
    """An agent whose web port has a certificate of a site's own authority; its CA is ``ca/ca.pem``."""
    cert, key = Authority(tmp_path / "ca").issue("gw1", "IP:127.0.0.1")
    key.chmod(0o600)
    secret = tmp_path / "web.password"
    secret.write_text(f"{PASSWORD}\n")
    secret.chmod(0o600)
    web = {"cert_file": str(cert), "key_file": str(key), "username": USER, "password_file": str(secret)}
    agent = AgentProcess(
        tmp_path / "agent",
        broker_url=broker.url,
        settings={"agent": {"id": "central"}, "sources": [{"topic": "central/{device}"}], "web": web},
    )
    agent.start()
    yield agent
    agent.kill()


def test_a_central_prometheus_finds_and_reads_an_agent(agent: AgentProcess, tmp_path: Path) -> None:
    """A site file is found while running, a wrong password refused, and idle clients do not hinder it."""
    quick_prometheus(tmp_path, "prometheus-many.yml", every_s=2)
    (tmp_path / "ca.pem").write_bytes((tmp_path / "ca" / "ca.pem").read_bytes())
    (tmp_path / "edge-agent.password").write_text("wrong")
    sites = tmp_path / "targets"
    sites.mkdir()
    (example,) = yaml.safe_load((SHIPPED / "targets" / "example.yml").read_text())
    example["targets"] = [f"127.0.0.1:{agent.port}"]
    with Prometheus(tmp_path) as prometheus:
        assert prometheus.get("targets")["activeTargets"] == []
        (sites / "example.new").write_text(yaml.safe_dump([example]))
        (sites / "example.new").rename(sites / "example.yml")

        def scraped() -> float:
            return prometheus.value('up{job="edge-agent", site="example"}')

        def said() -> str:
            (target,) = prometheus.get("targets")["activeTargets"]
            return str(target["lastError"])

        wait_for(lambda: scraped() == 0 and "401" in said(), LIMIT_S, "a wrong password is refused")
        (tmp_path / "edge-agent.password").write_text(PASSWORD)
        wait_for(lambda: scraped() == 1, LIMIT_S, "the right one is taken, without a restart")
        assert prometheus.value("edge_mqtt_connected") == 1

        silent = 'ALERTS{alertname="EdgeNothingReceived", alertstate="firing", site="example"}'
        wait_for(
            lambda: prometheus.value(silent) == 1, LIMIT_S, "the alert that nothing arrives names the site"
        )

        with contextlib.ExitStack() as idle:
            for _ in range(40):
                idle.enter_context(socket.create_connection(("127.0.0.1", agent.port), 5))
            seen = prometheus.value("count_over_time(edge_mqtt_connected[5m])")
            wait_for(
                lambda: prometheus.value("count_over_time(edge_mqtt_connected[5m])") >= seen + 2,
                LIMIT_S,
                "two more scrapes",
            )
            assert scraped() == 1
    assert PASSWORD not in agent.text()
    assert agent.stop() == 0
