"""Faults inside the process: dead and hung threads, no memory, no descriptors."""

import resource
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest

from agent.testing.failpoint import VARIABLE
from tests.integration.patients import HANGS, Patient, publish
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

STUCK_LIMIT_S = 30.0
#: Point -> the thread that the log names.
RAISES = {
    "main_turn": "main",
    "net_turn:5": "net",
    "journal_turn:2": "journal",
    "analyst_consume": "analyst",
    "analyst_timers:3": "analyst",
    "web_turn": "web",
    "log_turn:2": "log",
}


@pytest.mark.slow
@pytest.mark.usefixtures("hung")
def test_an_exception_in_any_loop_ends_the_process_with_70_and_one_line(
    tmp_path: Path, broker: Broker
) -> None:
    """Main, net, journal, analyst, web and log: exit 70, one line that names the thread."""
    patients = {}
    with ExitStack() as stack:
        for number, point in enumerate(RAISES):
            name = f"raise{number}"
            patient = patients[point] = Patient(tmp_path / name, broker, f"raise:{point}", topic=name)
            stack.enter_context(patient.systemd)
            stack.callback(patient.agent.kill)
            patient.agent.start()
        for point, thread in RAISES.items():
            agent = patients[point].agent
            assert (point, agent.wait(20)) == (point, 70)
            if thread == "log":
                assert "thread log failed: FailpointError('log_turn')" in agent.text()
            else:
                (line,) = agent.events("agent_failed")
                assert (line["thread"], line["error"]) == (thread, "FailpointError")
            assert "Traceback" not in agent.text()
        again = patients["journal_turn:2"]
        del again.agent.environ[VARIABLE]
        with again.agent:
            assert again.agent.stop() == 0


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


@pytest.mark.slow
@pytest.mark.usefixtures("hung")
def test_without_memory_readings_go_on_and_the_next_start_is_clean(tmp_path: Path, broker: Broker) -> None:
    """No page more can be mapped, then the process is killed: what was acknowledged is there afterwards."""
    patient = Patient(tmp_path / "p", broker, "", topic="memory")
    with patient.systemd, patient.agent as agent:
        resource.prlimit(agent.pid, resource.RLIMIT_AS, (1 << 20, resource.RLIM_INFINITY))
        publish(patient, broker, count=20)
        wait_for(lambda: patient.journaled() == 20, 20, "readings are journaled")
        agent.kill()  # as the kernel would in the end
        agent.start().wait_ready()
        assert patient.journaled() == 20
        assert agent.stop() == 0


def test_a_loop_that_hangs_ends_the_process(hung: dict[str, Patient]) -> None:
    """Main, net, journal, analyst: exit 70 within the limit, the watchdog unfed before."""
    for point in HANGS[:-1]:
        agent, systemd = hung[point].agent, hung[point].systemd
        code = agent.wait(STUCK_LIMIT_S + 5)
        assert systemd.last("WATCHDOG") - systemd.last("READY") < STUCK_LIMIT_S / 3
        assert (point, code) == (point, 70)
        (ready,), (failed,) = agent.events("agent_ready"), agent.events("agent_failed")
        assert (failed["thread"], failed["error"]) == (point.partition("_")[0], "TimeoutError")
        began, ended = (datetime.fromisoformat(line["timestamp"]) for line in (ready, failed))
        assert (ended - began).total_seconds() < STUCK_LIMIT_S


def test_a_web_server_that_hangs_is_said_and_the_rest_goes_on(
    hung: dict[str, Patient], broker: Broker
) -> None:
    """No address answers; readings are journaled, systemd and the log are notified, the stop is clean."""
    patient = hung["web_turn:2"]
    wait_for(lambda: patient.agent.events("web_hangs"), STUCK_LIMIT_S, "the log says so")
    wait_for(lambda: "web server hangs" in patient.systemd.values("STATUS")[-1], 5, "systemd is told")
    assert patient.agent.get("/healthz", timeout_s=0.3)[0] == 0
    publish(patient, broker)
    wait_for(lambda: patient.journaled() == 1, 10, "the reading is journaled")
    assert patient.agent.stop() == 0


@pytest.mark.process
def test_a_journal_that_was_begun_again_is_told_until_the_old_one_is_deleted(
    tmp_path: Path, broker: Broker
) -> None:
    """The status names the file; a sound journal has no such note."""
    agent = AgentProcess(tmp_path, broker_url=broker.url)
    state = tmp_path / "state"
    with agent:
        assert not damaged(agent)
        agent.stop()
        journal = state / "journal.sqlite"
        journal.write_bytes(b"garbage" * 100)
        agent.start()
        (note,) = damaged(agent)
        (aside,) = state.glob("journal.corrupt-*")
        assert str(aside) in note
        aside.unlink()
        assert not damaged(agent)


def damaged(agent: AgentProcess) -> list[str]:
    """Return the notes of the status about a damaged journal, once it is ready."""
    agent.wait_ready()
    return [note for note in agent.status()["notes"] if "The journal was damaged" in note]
