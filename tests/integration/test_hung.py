"""A loop that hangs, burns or is only starved, seen from outside."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from agent.app.watchdog import read_waits
from agent.status.responses import STALE_S
from tests.integration.patients import Patient
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process

PATIENCE_S = 1.0
#: Burns inside one call of C, so that no other thread of the process gets the interpreter.
RUN = f"""
import os, runpy, sys
from agent.app import app
from agent.pipeline import pipeline
config, point, flag = sys.argv[1:]
app.MAIN_STUCK_S = {PATIENCE_S}
def failpoint(name):
    if name == point and os.path.exists(flag):
        sum(range(10**18))
app.failpoint = pipeline.failpoint = failpoint
sys.argv = ["edge-agent", "run", "--config", config]
runpy.run_module("agent", run_name="__main__", alter_sys=True)
"""


def burning(folder: Path, broker: Broker, point: str, flag: Path) -> AgentProcess:
    """Return an agent of which a thread burns as soon as the file is there."""
    agent = AgentProcess(folder, broker_url=broker.url, settings={"mqtt": {"client_id": point}})
    agent.argv[1:] = ["-c", RUN, str(agent.config_path), point, str(flag)]
    return agent


@pytest.mark.slow
def test_a_thread_that_keeps_the_interpreter_ends_the_process_and_a_stop_does_not(
    tmp_path: Path, broker: Broker
) -> None:
    """SIGSTOP for twice the patience changes nothing; a loop in C is ended by the kernel's SIGPROF."""
    flag = tmp_path / "burn"
    with ExitStack() as stack:
        agents = [
            stack.enter_context(burning(tmp_path / point, broker, point, flag))
            for point in ("main_turn", "analyst_timers")
        ]
        for agent in agents:
            agent.send(signal.SIGSTOP)
        time.sleep(2 * PATIENCE_S)
        for agent in agents:
            agent.send(signal.SIGCONT)
        for agent in agents:
            wait_for(lambda agent=agent: agent.get("/healthz")[0] == 200, 20, "all loops turn")  # type: ignore[misc]
        flag.touch()
        for agent in agents:
            assert agent.wait(60) == -signal.SIGPROF
            assert agent.events("agent_failed") == []


@pytest.mark.slow
def test_an_analyst_that_hangs_is_not_ready_and_its_status_says_its_age(
    tmp_path: Path, broker: Broker
) -> None:
    """Ready for the first seconds, then 503 with the reason, until the watchdog ends the process."""
    patient = Patient(tmp_path / "p", broker, "hang:analyst_timers:12", topic="hangs")
    with patient.systemd, patient.agent as agent:
        status = agent.status()
        assert (status["stale"], status["age_s"]) == (False, 0.0)
        wait_for(lambda: agent.status()["stale"], 20, "the status is stale")
        # A machine that is busy elsewhere may have lost the seconds in which it is still ready.
        assert agent.get("/readyz")[0] == 200 or agent.status()["age_s"] > STALE_S
        wait_for(lambda: agent.get("/readyz")[0] == 503, 20, "it is not ready")
        assert "The analyst has made no turn for" in agent.get("/readyz")[1].splitlines()[1]
        status = agent.status()
        assert status["age_s"] > 4.0
        assert f"{status['age_s']:.0f} s old" in status["problems"][0]
        agent.kill()


@contextmanager
def crowded(core: int) -> Iterator[None]:
    """Have another process burn the core."""
    burn = f"import os\nos.sched_setaffinity(0, {{{core}}})\nprint(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", burn], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        try:
            yield
        finally:
            other.kill()


def test_the_kernel_tells_how_long_a_thread_has_waited_for_its_core() -> None:
    """A thread that shares a core with another process waits; its time comes with `schedstat`."""
    if not read_waits():
        pytest.skip("this kernel has no schedstat")
    found: dict[str, float] = {}
    core = min(os.sched_getaffinity(0))

    def work() -> None:
        own = threading.get_native_id()
        os.sched_setaffinity(0, {core})
        before = read_waits()[own]
        until = time.thread_time() + 0.2
        while time.thread_time() < until:
            pass
        found["waited"] = read_waits()[own] - before

    with crowded(core):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert found["waited"] > 0.02
