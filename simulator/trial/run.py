"""One trial: an agent learns the history, copies of its state see the events.

The contestants and the devices follow one clock: ``pace`` gives every process at which monotonic moment the
live part begins and how fast time passes from then on, so that windows, silences and delays are those of the
scenario, not of the machine.
"""

import contextlib
import math
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from simulator import scrape
from simulator.agent_process import AgentProcess, Plan
from simulator.broker import Broker
from simulator.events import Message, history, live
from simulator.faults import Label, label
from simulator.fleet import Fleet
from simulator.model import Director, ModelEndpoint
from simulator.scenario import History, Scenario
from simulator.score.live import Listener
from simulator.score.verdicts import AgentVerdicts
from simulator.trial.plan import MODES, WINDOW_S, TrialPlan, contestant, learner

PACE = "EDGE_AGENT_PACE"
MARKER = ".test-state"
READY_LIMIT_S = 60.0
LEARN_LIMIT_S = 900.0
STALL_S = 20.0  # so long no reading comes: the rest never will
DRAIN_LIMIT_S = 60.0
PER_MESSAGE = 60


class TrialError(Exception):
    """A trial without a result: one did not start, or lost readings; one line."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a trial: the truth, and each contestant's verdicts on the live part."""

    scenario: str
    labels: tuple[Label, ...]
    verdicts: dict[str, AgentVerdicts]  # review mode -> its verdicts
    devices: int
    live_s: float
    behind_s: dict[str, float]  # event seconds that the contestant still worked after the last reading
    learned: int  # readings of the history


def run(plan: TrialPlan, *, say: Callable[[str], None], modes: Sequence[str] = MODES) -> Outcome:
    """Run one trial.

    Raises:
        TrialError, AgentEndedError, BrokerError, LinkError: it came to nothing, in one line.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-sim-trial-")))
        return _Trial(plan, stack=stack, folder=folder, say=say, modes=modes).run()


class _Trial:
    """One run. Each part that starts is pushed on the stack at once and stopped in reverse."""

    def __init__(
        self,
        plan: TrialPlan,
        *,
        stack: contextlib.ExitStack,
        folder: Path,
        say: Callable[[str], None],
        modes: Sequence[str],
    ) -> None:
        self._plan = plan
        self._stack = stack
        self._folder = folder
        self._say = say
        self._modes = modes
        span = History(span_s=plan.history_s, per_message=PER_MESSAGE)
        self._scenario: Scenario = replace(plan.scenario, history=span)
        # All event times are in the past, because an agent believes no time in the future.
        self._start = float(math.floor(time.time() - plan.live_s - 3600.0))
        self._until = self._start + plan.live_s

    def run(self) -> Outcome:
        plan = self._plan
        broker = self._stack.enter_context(Broker())
        fleet = Fleet(host="127.0.0.1", port=broker.port, scenario=self._scenario)
        self._stack.callback(fleet.close)
        fleet.open()
        learned = self._learn(broker, fleet)
        model = self._stack.enter_context(ModelEndpoint(director=Director(seed=plan.seed)))
        listener = self._listen(broker)
        began = time.monotonic() + plan.lead_s
        agents = self._enter(broker, model, began)
        self._say(f"{plan.scenario.name}: live, {plan.live_s / 3600:.1f} h at speed {plan.speed:g}")
        sent = self._live(fleet, began)
        behind = self._drain(agents, sent, listener)
        late = ", ".join(f"{mode} {seconds:.0f} s" for mode, seconds in behind.items())
        self._say(f"{plan.scenario.name}: {sent:,} readings; event time behind at the end: {late}")
        for agent, _ in agents.values():
            agent.stop()
        listener.close()
        labels = label(self._scenario.faults, start=self._start, until=self._until)
        verdicts = {
            mode: listener.verdicts.get(f"edge-agent/{mode}", AgentVerdicts()) for mode in self._modes
        }
        return Outcome(
            plan.scenario.name,
            tuple(labels),
            verdicts,
            len(self._scenario.devices),
            plan.live_s,
            behind,
            learned,
        )

    # ------------------------------------------------------------------------------------ history

    def _learn(self, broker: Broker, fleet: Fleet) -> int:
        """Let one agent take the history in, and end it; return how many readings there were."""
        began = time.monotonic()
        config = learner(self._plan, state_dir=self._folder / "state", broker_url=broker.url)
        agent, web = self._agent("learner", config, {})
        agent.start()
        self._await([(agent, web)], began + READY_LIMIT_S)
        sent = 0

        def counted() -> Iterator[Message]:
            nonlocal sent
            for message in history(self._scenario, seed=self._plan.seed, start=self._start):
                yield message
                sent += message.readings

        fleet.replay(counted(), stop=threading.Event())
        self._take_in(agent, web, sent, LEARN_LIMIT_S)
        agent.stop()
        took = time.monotonic() - began
        days = self._plan.history_s / 86_400
        self._say(f"{self._plan.scenario.name}: {sent:,} readings of {days:g} days taken in, {took:.0f} s")
        return sent

    def _take_in(self, agent: AgentProcess, web: str, sent: int, limit_s: float) -> bool:
        """Wait until an agent has journaled ``sent`` readings and concluded its windows."""
        deadline, last, since = time.monotonic() + limit_s, -1.0, time.monotonic()
        while time.monotonic() < deadline:
            agent.check()
            samples = scrape.metrics(web, 5.0)
            taken = 0.0 if samples is None else samples.total("edge_readings_total")
            if taken >= sent and samples is not None and not samples.total("edge_outbox_depth"):
                return True
            if taken != last:
                last, since = taken, time.monotonic()
            elif time.monotonic() - since > STALL_S:
                return False
            time.sleep(0.2)
        return False

    # --------------------------------------------------------------------------------------- live

    def _enter(
        self, broker: Broker, model: ModelEndpoint, began: float
    ) -> dict[str, tuple[AgentProcess, str]]:
        """Start the contestants on copies of the learnt state, before ``began``."""
        agents = {}
        pace = {PACE: f"{self._start!r}:{began!r}:{self._plan.speed!r}"}
        for mode in self._modes:
            state = self._folder / mode / "state"
            shutil.copytree(self._folder / "state", state)
            (state / MARKER).touch()
            config = contestant(self._plan, mode, state_dir=state, broker_url=broker.url, model_url=model.url)
            agents[mode] = self._agent(mode, config, pace)
            agents[mode][0].start()
        self._await(list(agents.values()), began)
        return agents

    def _agent(self, name: str, config: dict[str, Any], more: dict[str, str]) -> tuple[AgentProcess, str]:
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        web = f"http://{config['web']['listen']}"
        plan = Plan(config, str(config["mqtt"]["base_topic"]), web, WINDOW_S, "")
        agent = AgentProcess(plan=plan, folder=folder, environment=more)
        self._stack.callback(agent.stop)
        if self._plan.keep is not None:
            self._stack.callback(self._keep_log, folder / "agent.log", name)
        return agent, web

    def _keep_log(self, log: Path, name: str) -> None:
        if self._plan.keep is not None and log.exists():
            shutil.copy(log, self._plan.keep / f"{self._plan.scenario.name}.{name}.log")

    def _await(self, agents: list[tuple[AgentProcess, str]], deadline: float) -> None:
        for agent, _ in agents:
            while not agent.ready():
                if time.monotonic() >= deadline:
                    raise TrialError(
                        f"an agent was not ready in time ({agent.last_words()}); run fewer jobs at once"
                    )
                time.sleep(0.1)

    def _listen(self, broker: Broker) -> Listener:
        filters = tuple(
            f"edge-agent/{mode}/{kind}/+" for mode in self._modes for kind in ("verdicts", "events")
        )
        keep = None
        if self._plan.keep is not None:
            keep = self._plan.keep / self._plan.scenario.name
            keep.mkdir(parents=True, exist_ok=True)
        listener = Listener(
            host="127.0.0.1",
            port=broker.port,
            filters=filters,
            since=self._start,
            until=self._until,
            keep=keep,
        )
        self._stack.callback(listener.close)
        listener.open()
        return listener

    def _live(self, fleet: Fleet, began: float) -> int:
        """Let the devices live through the events; return how many readings they sent."""
        sent = 0

        def counted() -> Iterator[Message]:
            nonlocal sent
            for message in live(self._scenario, seed=self._plan.seed, start=self._start, until=self._until):
                yield message
                sent += message.readings

        time.sleep(max(0.0, began - time.monotonic()))
        fleet.run(counted(), stop=threading.Event(), start=self._start, speed=self._plan.speed)
        for link in fleet.links:
            link.flush(30.0)
        return sent

    def _drain(
        self, agents: dict[str, tuple[AgentProcess, str]], sent: int, listener: Listener
    ) -> dict[str, float]:
        """Wait until every contestant took everything in and fell silent; return how long that took."""
        ended, behind = time.monotonic(), {}
        for mode, (agent, web) in agents.items():
            if not self._take_in(agent, web, sent, DRAIN_LIMIT_S):
                raise TrialError(f"{mode} did not take in all {sent:,} readings; run it slower")
            behind[mode] = (time.monotonic() - ended) * self._plan.speed
        deadline = time.monotonic() + DRAIN_LIMIT_S
        while time.monotonic() - listener.heard_at < 4 * WINDOW_S / self._plan.speed + 1.0:
            if time.monotonic() >= deadline:
                break
            time.sleep(0.1)
        return behind
