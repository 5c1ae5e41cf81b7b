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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from simulator.trial.plan import MODES, WINDOW_S, Contestant, TrialPlan, configure, learner

PACE = "EDGE_AGENT_PACE"
MARKER = ".test-state"
READY_LIMIT_S = 60.0
LEARN_LIMIT_S = 900.0
STALL_S = 20.0  # so long no reading comes: the rest never will
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
    start: float  # event time of the live part, Unix seconds
    metrics: dict[str, scrape.Samples]  # of each contestant, at its end
    status: dict[str, Mapping[str, Any]]  # its status object


def run(
    plan: TrialPlan, *, say: Callable[[str], None], contestants: Sequence[Contestant] | None = None
) -> Outcome:
    """Run one trial of ``contestants``, else of one for each way to review and the simulator's model.

    Raises:
        TrialError, AgentEndedError, BrokerError, LinkError: it came to nothing, in one line.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-sim-trial-")))
        if contestants is None:
            model = ModelEndpoint(director=Director(seed=plan.seed))
            contestants = [Contestant(name=mode, mode=mode, endpoint=model) for mode in MODES]
        return _Trial(plan, stack=stack, folder=folder, say=say, contestants=contestants).run()


class _Trial:
    """One run. Each part that starts is pushed on the stack at once and stopped in reverse."""

    def __init__(
        self,
        plan: TrialPlan,
        *,
        stack: contextlib.ExitStack,
        folder: Path,
        say: Callable[[str], None],
        contestants: Sequence[Contestant],
    ) -> None:
        self._plan = plan
        self._stack = stack
        self._folder = folder
        self._say = say
        self._contestants = contestants
        span = History(span_s=plan.history_s, per_message=PER_MESSAGE)
        self._scenario: Scenario = replace(plan.scenario, history=span)
        # All event times are in the past, because an agent believes no time in the future.
        self._start = plan.start or float(math.floor(time.time() - plan.live_s - 3600.0))
        self._until = self._start + plan.live_s

    def run(self) -> Outcome:
        plan = self._plan
        broker = self._stack.enter_context(Broker())
        fleet = Fleet(host="127.0.0.1", port=broker.port, scenario=self._scenario)
        self._stack.callback(fleet.close)
        fleet.open()
        learned = self._learn(broker, fleet)
        for endpoint in dict.fromkeys(one.endpoint for one in self._contestants):
            self._stack.enter_context(endpoint)
        listener = self._listen(broker)
        began = time.monotonic() + plan.lead_s
        agents = self._enter(broker, began)
        self._say(f"{plan.scenario.name}: live, {plan.live_s / 3600:.1f} h at speed {plan.speed:g}")
        sent = self._live(fleet, began)
        behind = self._drain(agents, sent, listener)
        late = ", ".join(f"{mode} {seconds:.0f} s" for mode, seconds in behind.items())
        self._say(f"{plan.scenario.name}: {sent:,} readings; event time behind at the end: {late}")
        metrics, status = {}, {}
        for name, (agent, web) in agents.items():
            metrics[name] = scrape.metrics(web) or scrape.Samples(())
            status[name] = scrape.status(web)
            agent.stop()
        listener.close()
        labels = label(self._scenario.faults, start=self._start, until=self._until)
        verdicts = {name: listener.verdicts.get(f"edge-agent/{name}", AgentVerdicts()) for name in agents}
        return Outcome(
            plan.scenario.name,
            tuple(labels),
            verdicts,
            len(self._scenario.devices),
            plan.live_s,
            behind,
            learned,
            self._start,
            metrics,
            status,
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

    def _enter(self, broker: Broker, began: float) -> dict[str, tuple[AgentProcess, str]]:
        """Start the contestants on copies of the learnt state, before ``began``."""
        agents = {}
        pace = {PACE: f"{self._start!r}:{began!r}:{self._plan.speed!r}"}
        for one in self._contestants:
            state = self._folder / one.name / "state"
            shutil.copytree(self._folder / "state", state)
            (state / MARKER).touch()
            config = configure(self._plan, one, state_dir=state, broker_url=broker.url)
            agents[one.name] = self._agent(one.name, config, pace)
            agents[one.name][0].start()
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
            f"edge-agent/{one.name}/{kind}/+" for one in self._contestants for kind in ("verdicts", "events")
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
            if not self._take_in(agent, web, sent, self._plan.drain_limit_s):
                raise TrialError(f"{mode} did not take in all {sent:,} readings; run it slower")
            behind[mode] = (time.monotonic() - ended) * self._plan.speed
        deadline = time.monotonic() + self._plan.drain_limit_s
        quiet_s = 4 * WINDOW_S / self._plan.speed + 1.0
        late = self._late(agents, sent, listener)
        while late or time.monotonic() - listener.heard_at < quiet_s:
            if time.monotonic() >= deadline:
                if late:
                    raise TrialError(f"{late[0]} still waits for its model; run it slower, or with less")
                break
            time.sleep(0.1)
            late = self._late(agents, sent, listener)
        return behind

    def _late(self, agents: Iterable[str], sent: int, listener: Listener) -> list[str]:
        """Return the contestants whose verdicts do not cover all readings yet."""
        known = {name: listener.verdicts.get(f"edge-agent/{name}") for name in agents}
        return [name for name, one in known.items() if one is None or one.readings < sent]
