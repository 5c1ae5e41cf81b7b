"""Fixtures of the tests of real processes."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.model_site import Site, settings
from tests.integration.patients import HANGS, Patient
from tests.mqtt.link_harness import peer
from tests.support.agent_process import AgentProcess, merge
from tests.support.broker import Broker
from tests.support.model_endpoint import ModelEndpoint
from tests.support.otlp_receiver import OtlpReceiver


@pytest.fixture(scope="module")
def hung(tmp_path_factory: pytest.TempPathFactory, broker: Broker) -> Iterator[dict[str, Patient]]:
    """One agent for each loop that hangs, begun while other tests run: it takes half a minute."""
    folder = tmp_path_factory.mktemp("hung")
    with ExitStack() as stack:
        patients = {}
        for number, point in enumerate(HANGS):
            patient = Patient(folder / str(number), broker, f"hang:{point}", topic=f"hung{number}")
            stack.enter_context(patient.systemd)
            stack.callback(patient.agent.kill)
            patient.agent.start()
            patients[point] = patient
        yield patients


@pytest.fixture
def start(broker: Broker, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Start an agent on the session's broker with a model that behaves as the test wants."""
    with ExitStack() as stack:

        def begin(
            *script: Any,
            default: Any = "fine",
            traces: OtlpReceiver | None = None,
            over: dict[str, Any] | None = None,
            environ: dict[str, str] | None = None,
        ) -> Site:
            endpoint = stack.enter_context(ModelEndpoint(*script, default=default))
            folder = tmp_path / "agent"
            agent = AgentProcess(folder, broker_url=broker.url, environ=environ)
            told = merge(agent.settings, settings(folder, endpoint, traces))
            told["mqtt"]["base_topic"] = f"{tmp_path.name}/gw"
            agent.settings = merge(told, over or {})
            client = stack.enter_context(peer(broker.port, f"{tmp_path.name}/#"))
            stack.enter_context(agent)
            return Site(agent, client, endpoint)

        yield begin
