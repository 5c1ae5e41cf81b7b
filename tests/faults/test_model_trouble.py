"""The model is down, slow or wrong: verdicts go on with the reason; it recovers.

Three agents live through it at the same time, each with an endpoint of its own, on one load.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from simulator.model import ModelEndpoint
from tests.faults.checker import Findings, check
from tests.faults.collector import Collector
from tests.faults.evidence import is_settled, read_evidence
from tests.faults.loadgen import LoadGenerator
from tests.faults.rig import QUIET_BROKER
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker, free_port
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]

DEADLINE_S = 3.0  # the first call loads openai
RECOVER_S = 60.0  # the breaker waits for 30 s before it tries again
#: Trouble, and the reasons that its verdicts may have.
TROUBLES = {
    "down": {"local/error", "local/breaker"},
    "slow": {"local/timeout", "local/breaker"},
    "garbage": {"local/invalid"},
}


@dataclass(slots=True)
class Patient:
    """One agent, its endpoint and its collector."""

    agent: AgentProcess
    collector: Collector
    model: ModelEndpoint
    during: dict[str, int]
    found: Findings | None = None


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Patient]]:
    """Run all three through trouble, recovery and a clean end."""
    folder = tmp_path_factory.mktemp("trouble")
    broker = Broker(folder / "broker", extra=QUIET_BROKER).start()
    load = LoadGenerator(port=broker.port, folder=folder, rate=40, devices=4)
    with ExitStack() as stack:
        stack.callback(broker.stop)
        patients = {name: admit(stack, folder / name, name, broker) for name in TROUBLES}
        with load:
            for name, patient in patients.items():
                suffer(patient, TROUBLES[name])
            for name, patient in patients.items():
                heal(name, patient)
            for patient in patients.values():
                wait_for(lambda p=patient: answered(p), RECOVER_S, "the model answers again")  # type: ignore[misc]
            load.finish(20)
        for patient in patients.values():
            discharge(patient, folder)
        yield patients


def admit(stack: ExitStack, folder: Path, name: str, broker: Broker) -> Patient:
    """Start one agent with its trouble."""
    model = ModelEndpoint(port=free_port())
    if name == "slow":
        model.director.behave("hang")
    elif name == "garbage":
        model.director.behave("bad_json")
    if name != "down":
        model.start()
    stack.callback(model.stop)
    agent = AgentProcess(
        folder,
        broker_url=broker.url,
        settings={
            "agent": {"id": name},
            "journal": {"prune": False},
            "review": {"mode": "all", "window": {"max_age_s": 1.5}},
            "ai": {
                "base_url": model.url,
                "model": "m",
                "deadline_s": DEADLINE_S,
                "prices": {"m": {"input": 0, "output": 0}},
            },
        },
    )
    collector = Collector(port=broker.port, folder=folder, base_topic=agent.base_topic, client_id=name)
    stack.enter_context(collector)
    stack.enter_context(agent)
    return Patient(agent, collector, model, {})


def suffer(patient: Patient, reasons: set[str]) -> None:
    """Wait until verdicts go on, some of them with one of ``reasons``."""
    told = patient.collector.reasons

    def goes_on() -> bool:
        return sum(told.values()) >= 8 and any(told.get(reason) for reason in reasons)

    wait_for(goes_on, 30, f"verdicts with one of {reasons}, not {told}")
    patient.during = dict(patient.collector.reasons)


def heal(name: str, patient: Patient) -> None:
    """End the trouble; the agent is not notified."""
    if name == "down":
        patient.model.start()
    else:
        patient.model.director.behave("fine")


def answered(patient: Patient) -> bool:
    """Return whether a verdict came from the model."""
    return any(reason.startswith("ai/") for reason in patient.collector.reasons)


def discharge(patient: Patient, folder: Path) -> None:
    """Let the agent finish, stop it, and check what it left."""
    wait_for(lambda: is_settled(patient.agent.journal), 30, "every window has its verdict")
    time.sleep(1)
    assert patient.agent.stop() == 0
    patient.collector.close()
    for name in ("intents.log", "acks.log"):
        shutil.copy(folder / name, patient.agent.folder / name)
    patient.found = check(read_evidence(patient.agent.folder, [patient.agent.journal]))


@pytest.mark.parametrize("name", TROUBLES)
def test_verdicts_go_on_with_the_reason(patients: dict[str, Patient], name: str) -> None:
    """While the model is in trouble every verdict is local and has the reason."""
    during = patients[name].during
    # On a busy machine a deadline passes, and failures in a row open the breaker: those are true reasons too.
    assert set(during) <= TROUBLES[name] | {"local/timeout", "local/breaker"}, during
    assert set(during) & TROUBLES[name], during
    assert sum(during.values()) >= 8


@pytest.mark.parametrize("name", TROUBLES)
def test_it_recovers_by_itself_and_nothing_is_lost(patients: dict[str, Patient], name: str) -> None:
    """Once the model answers again its verdicts come back, and every reading has its one verdict."""
    patient = patients[name]
    assert answered(patient)
    assert patient.found is not None
    assert patient.found.broken() == []
