"""Faults inside the process: every thread that dies or hangs, no memory, no descriptors."""

import json
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import paho.mqtt.publish as mqtt
import pytest

from agent.failpoint import MARKER, VARIABLE
from agent.journal import Reader
from tests.support.agent_process import AgentProcess, wait_for
from tests.support.broker import Broker
from tests.support.notify import NotifySocket

STUCK_LIMIT_S = 30.0
#: Point -> the thread that the log names.
RAISES = {
    "main_turn:3": "main",
    "net_turn:5": "net",
    "journal_turn:5": "journal",
    "analyst_consume": "analyst",
    "analyst_timers:3": "analyst",
    "web_turn:2": "web",
    "log_turn:3": "log",
    "replay": "main",
}
HANGS = ("main_turn:3", "net_turn:5", "journal_turn:5", "analyst_timers:5", "web_turn:2")


class Patient:
    """An agent with one armed failpoint and a fake systemd."""

    def __init__(self, folder: Path, broker: Broker, failpoint: str, *, topic: str) -> None:
        self.topic = topic
        folder.mkdir()
        self.systemd = NotifySocket(folder / "notify")
        self.agent = AgentProcess(
            folder / "agent",
            broker_url=broker.url,
            settings={
                "agent": {"id": topic},
                "mqtt": {"client_id": topic},
                "sources": [{"topic": f"{topic}/{{device}}"}],
            },
            environ={"NOTIFY_SOCKET": str(self.systemd.path), VARIABLE: failpoint},
        )
        self.agent.state_dir.mkdir()
        (self.agent.state_dir / MARKER).touch()

    def journaled(self) -> int:
        """Return how many messages are in its journal."""
        with Reader.open(self.agent.state_dir) as reader:
            counts = reader.counts()
        return counts["messages"] + counts["quarantine"]


@pytest.fixture(scope="module")
def hung(tmp_path_factory: pytest.TempPathFactory, broker: Broker) -> Iterator[dict[str, Patient]]:
    """One agent for each loop that hangs, begun before the other tests: it takes half a minute."""
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


@pytest.mark.usefixtures("hung")
def test_an_exception_in_any_loop_ends_the_process_with_70_and_one_line(
    tmp_path: Path, broker: Broker
) -> None:
    """Main, net, journal, analyst, web, log and start-up: exit 70, one line that names the thread."""
    patients = {}
    with ExitStack() as stack:
        for number, point in enumerate(RAISES):
            name = f"raise{number}"
            patient = patients[point] = Patient(tmp_path / name, broker, f"raise:{point}", topic=name)
            stack.enter_context(patient.systemd)
            stack.callback(patient.agent.kill)
            if point == "replay":
                leave_something_to_replay(patient, broker)
            patient.agent.start()
        wait_for(lambda: reached(patients["analyst_consume"]), 20, "the analyst's agent is subscribed")
        publish(patients["analyst_consume"], broker)
        for point, thread in RAISES.items():
            agent = patients[point].agent
            assert (point, agent.wait(20)) == (point, 70)
            if thread == "log":
                assert "thread log failed: FailpointError('log_turn')" in agent.text()
            else:
                (line,) = agent.events("agent_failed")
                assert (line["thread"], line["error"]) == (thread, "FailpointError")
            assert "Traceback" not in agent.text()
        again = patients["journal_turn:5"]
        del again.agent.environ[VARIABLE]
        with again.agent:
            assert again.agent.stop() == 0


def reached(patient: Patient) -> bool:
    """Say whether an agent is ready."""
    return patient.agent.running and patient.agent.is_ready()


def publish(patient: Patient, broker: Broker, count: int = 1, size: int = 1) -> None:
    """Publish readings to an agent."""
    payload = json.dumps({"value": 1, "pad": [0] * (size // 3)})
    messages = [(f"{patient.topic}/d", payload, 1, False)] * count
    mqtt.multiple(messages, port=broker.port, client_id=f"{patient.topic}-says")


def leave_something_to_replay(patient: Patient, broker: Broker) -> None:
    """Let a first process journal a reading and be killed, so that the next has rows to replay."""
    point = patient.agent.environ.pop(VARIABLE)
    with patient.agent:
        publish(patient, broker)
        wait_for(lambda: patient.journaled() == 1, 10, "the reading is journaled")
    patient.agent.environ[VARIABLE] = point


@pytest.mark.usefixtures("hung")
def test_without_descriptors_readings_go_on_and_the_page_comes_back(tmp_path: Path, broker: Broker) -> None:
    """No file or socket can be opened: what is open goes on, the watchdog is fed, no core spins."""
    patient = Patient(tmp_path / "p", broker, "", topic="descriptors")
    with patient.systemd, patient.agent as agent:
        resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (3, 512))
        assert agent.get("/healthz", timeout_s=0.3)[0] == 0
        publish(patient, broker, count=20)
        wait_for(lambda: patient.journaled() == 20, 10, "readings are journaled")
        begun, cpu_s = time.monotonic(), agent.cpu_s()
        wait_for(lambda: patient.systemd.last("WATCHDOG") > begun + 1, 10, "the watchdog is fed")
        assert agent.cpu_s() - cpu_s < 0.5 * (time.monotonic() - begun)
        resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (512, 512))
        wait_for(lambda: agent.get("/healthz")[0] == 200, 10, "the page is back")
        assert agent.stop() == 0


@pytest.mark.usefixtures("hung")
def test_without_memory_the_process_ends_or_goes_on_and_the_next_start_is_clean(
    tmp_path: Path, broker: Broker
) -> None:
    """No page more can be mapped: whatever happens, what was acknowledged is there after a restart."""
    patient = Patient(tmp_path / "p", broker, "", topic="memory")
    with patient.systemd, patient.agent as agent:
        resource.prlimit(agent.pid, resource.RLIMIT_AS, (1 << 20, resource.RLIM_INFINITY))
        publish(patient, broker, count=300, size=20_000)
        try:
            wait_for(lambda: agent.code is not None or patient.journaled() == 300, 20, "an end or no harm")
        finally:
            print(agent.code, agent.tail(5))
        assert agent.code in (None, 70)
        agent.kill()
        agent.start().wait_ready()
        wait_for(lambda: patient.journaled() >= 300, 20, "all were journaled")
        assert agent.stop() == 0


def test_a_loop_that_hangs_ends_the_process(hung: dict[str, Patient]) -> None:
    """Net, journal, analyst: exit 70 within 30 s, the watchdog unfed before; main: the kernel's alarm."""
    for point in HANGS[:-1]:
        patient = hung[point]
        code = patient.agent.wait(STUCK_LIMIT_S + 5)
        ended = time.monotonic()
        if point.startswith("main"):
            assert code == -signal.SIGALRM
            continue
        assert (point, code) == (point, 70)
        (line,) = patient.agent.events("agent_failed")
        assert (line["thread"], line["error"]) == (point.partition("_")[0], "TimeoutError")
        assert ended - patient.systemd.last("WATCHDOG") > 5
        assert ended - patient.systemd.last("READY") < STUCK_LIMIT_S + 5


def test_a_web_server_that_hangs_is_said_and_the_rest_goes_on(
    hung: dict[str, Patient], broker: Broker
) -> None:
    """No address answers; readings are still journaled, systemd and the log are told, the stop is clean."""
    patient = hung["web_turn:2"]
    wait_for(lambda: patient.agent.events("web_hangs"), STUCK_LIMIT_S, "the log says so")
    wait_for(lambda: "web server hangs" in patient.systemd.values("STATUS")[-1], 5, "systemd is told")
    assert patient.agent.get("/healthz", timeout_s=0.3)[0] == 0
    publish(patient, broker)
    wait_for(lambda: patient.journaled() == 1, 10, "the reading is journaled")
    assert patient.agent.stop() == 0
