"""The demo: broker, model, agent and devices with the true faults."""

import contextlib
import math
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from simulator import scrape, text
from simulator.agent_process import (
    EXIT_FAULT,
    EXIT_UNAVAILABLE,
    AgentEndedError,
    AgentProcess,
    Plan,
    demo_config,
    plan,
)
from simulator.broker import Broker
from simulator.events import Message, history, live
from simulator.faults import Label, label
from simulator.fleet import Fleet
from simulator.model import Director, ModelEndpoint
from simulator.model.behaviours import Knobs
from simulator.output import Plain, Show
from simulator.scenario import Scenario
from simulator.score import match
from simulator.truth import Truth
from simulator.watch import Watch

READY_LIMIT_S = 30.0
CATCH_UP_LIMIT_S = 30.0
LAST_WORDS_S = 1.0  # for the last messages to be journaled
LEAD_S = 3.0  # what starting and replaying take: the live part's event times then are about now
OPEN_END_S = 3600.0
MODEL_LATENCY_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """Options of the demo; ``for_s`` None is until Ctrl-C."""

    scenario: Scenario
    for_s: float | None = None
    speed: float = 1.0
    seed: int = 1
    config: Path | None = None
    broker: str | None = None
    show: Show | None = None  # None: a line for everything
    say: Callable[[str], None] = print  # for the last lines, when the show is over


def run(settings: DemoSettings) -> int:
    """Run the demo; returns the exit code, 0 only if verdicts came back from the broker.

    Raises:
        BrokerError, LinkError, AgentEndedError, OSError: with one line for the user.
    """
    stop = threading.Event()
    with _signals(stop), contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-sim-demo-")))
        return _Demo(settings=settings, stop=stop, stack=stack, folder=folder).run()


class _Demo:
    """One run. Each part that starts is pushed on the stack at once and stopped in reverse."""

    def __init__(
        self, *, settings: DemoSettings, stop: threading.Event, stack: contextlib.ExitStack, folder: Path
    ) -> None:
        self._settings = settings
        self._stop = stop
        self._stack = stack
        self._folder = folder
        self._show: Show = settings.show or Plain(settings.say)
        self._began = time.monotonic()
        horizon = settings.for_s or OPEN_END_S
        self._start = float(math.floor(time.time() + LEAD_S - (settings.speed - 1.0) * horizon))
        self._live_began = math.inf
        self._sent = {"history": 0, "live": 0}

    def run(self) -> int:
        self._stack.callback(self._show.close)
        self._show.open()
        broker = self._stack.enter_context(Broker(kind=self._settings.broker))
        plan = self._plan(broker)
        watch = Watch(
            host="127.0.0.1", port=broker.port, base_topic=plan.base_topic, on_message=self._on_message
        )
        watch.now = self._now
        self._show.truth = lambda: self._truth(watch, plan)
        watch.open()
        self._stack.callback(watch.close)
        agent = AgentProcess(plan=plan, folder=self._folder)
        self._stack.callback(agent.stop)
        agent.start()
        fleet = Fleet(host="127.0.0.1", port=broker.port, scenario=self._settings.scenario)
        self._stack.callback(fleet.close)
        fleet.open()
        self._introduce(broker, plan, fleet)
        past = list(history(self._settings.scenario, seed=self._settings.seed, start=self._start))
        if self._until(agent.ready, agent, READY_LIMIT_S, "ready"):
            self._replay(fleet, past, agent, plan)
        if not self._stop.is_set() and self._left() > 0:
            self._live(fleet, watch, agent, broker)
        return self._end(watch, agent, plan)

    def _plan(self, broker: Broker) -> Plan:
        model_url = None
        if not os.environ.get("OPENAI_API_KEY"):
            director = Director(seed=self._settings.seed, knobs=Knobs(latency_s=MODEL_LATENCY_S))
            model_url = self._stack.enter_context(ModelEndpoint(director=director)).url
        self._model_url = model_url
        return plan(
            self._settings.config or demo_config(),
            state_dir=self._folder / "state",
            broker_url=broker.url,
            model_url=model_url,
        )

    def _introduce(self, broker: Broker, plan: Plan, fleet: Fleet) -> None:
        endpoint = plan.config["ai"]["base_url"] or "its default address"
        whose = "the simulator's" if self._model_url else plan.model
        scenario = self._settings.scenario
        self._show.introduce("scenario", f"{scenario.name}: {scenario.title}")
        self._show.introduce(
            "broker", f"{broker.words} on 127.0.0.1:{broker.port}, devices speak MQTT {fleet.protocol}"
        )
        self._show.introduce("model", f"{whose} at {endpoint}")
        self._show.introduce("status page", f"{plan.web}/")

    def _replay(self, fleet: Fleet, past: list[Message], agent: AgentProcess, plan: Plan) -> None:
        """Send the history and wait until the agent has taken it in."""
        began = time.monotonic()
        count = fleet.replay(past, stop=self._stop)
        self._sent["history"] = sum(message.readings for message in past[:count])

        def caught_up() -> bool:
            agent.check()
            samples = scrape.metrics(plan.web, 2.0)
            return samples is not None and samples.total("edge_readings_total") >= self._sent["history"]

        caught = self._until(caught_up, agent, CATCH_UP_LIMIT_S, None)
        span = self._settings.scenario.history.span_s / 60
        took = time.monotonic() - began
        self._show.phase(
            "history",
            f"{self._sent['history']:,} readings of the {span:.0f} minutes before"
            f" {'taken in' if caught else 'sent'} in {took:.1f} s",
        )

    def _live(self, fleet: Fleet, watch: Watch, agent: AgentProcess, broker: Broker) -> None:
        """Let the devices run until the time is over, something ended or the user stops it."""
        settings = self._settings
        self._stop.wait(max(0.0, self._start - time.time()))
        watch.live_from = self._start
        self._live_began = time.monotonic()
        self._show.phase("live", f"{len(settings.scenario.devices)} devices from now on")
        done = threading.Event()
        thread = threading.Thread(target=self._send, args=(fleet, done), name="fleet", daemon=True)
        thread.start()
        shown: set[tuple[Label, bool]] = set()
        try:
            while not self._stop.wait(0.1) and self._left() > 0 and thread.is_alive():
                agent.check()
                if not broker.running:
                    raise AgentEndedError(f"the broker ({broker.words}) ended by itself", EXIT_FAULT)
                self._show_truth(shown)
        finally:
            done.set()
            thread.join(5.0)

    def _send(self, fleet: Fleet, done: threading.Event) -> None:
        messages = live(self._settings.scenario, seed=self._settings.seed, start=self._start)
        fleet.run(self._counted(messages), stop=done, start=self._start, speed=self._settings.speed)

    def _counted(self, messages: Iterator[Message]) -> Iterator[Message]:
        for message in messages:
            yield message
            self._sent["live"] += message.readings

    def _show_truth(self, shown: set[tuple[Label, bool]]) -> None:
        now = self._now()
        for one in self._labels():
            for moment, begins in ((one.start, True), (one.end, False)):
                if moment <= now and (one, begins) not in shown:
                    shown.add((one, begins))
                    self._show.fault(one, begins=begins)

    def _end(self, watch: Watch, agent: AgentProcess, plan: Plan) -> int:
        until = self._now()
        samples = self._last_scrape(plan)
        silence = text.model_silence(scrape.status(plan.web, 2.0))
        self._show.phase("end", "the agent is stopped")
        code = agent.stop()
        watch.close()
        self._show.close()
        received = watch.received
        rows = text.traffic_lines(received, samples, history=self._sent["history"], live=self._sent["live"])
        truth = self._truth(watch, plan, until)
        rows += text.score_lines(truth.score, kinds=truth.kinds, until=until, grace_s=truth.grace_s)
        self._settings.say("\n" + text.summary(rows, seconds=time.monotonic() - self._began))
        if code:
            self._settings.say(f"the agent ended with exit code {code}: {agent.last_words()}")
            return EXIT_FAULT
        if received.live == 0 and not self._stop.is_set():
            self._settings.say(
                "no verdict on a live window came back from the broker; run it longer (FOR=30)"
            )
            return EXIT_FAULT
        if silence:
            self._settings.say(
                f"{silence}\nno verdict above is the model's: this was the local detector alone"
            )
            return EXIT_UNAVAILABLE
        return 0

    def _last_scrape(self, plan: Plan) -> scrape.Samples | None:
        """Scrape once what was sent is journaled, or after a moment."""
        deadline = time.monotonic() + LAST_WORDS_S
        while True:
            samples = scrape.metrics(plan.web, 2.0)
            behind = samples is not None and samples.total("edge_readings_total") < sum(self._sent.values())
            if not behind or time.monotonic() >= deadline:
                return samples
            time.sleep(0.05)

    def _labels(self, until: float | None = None) -> list[Label]:
        end = self._now() if until is None else until
        return label(self._settings.scenario.faults, start=self._start, until=end)

    def _until(self, done: Callable[[], bool], agent: AgentProcess, limit_s: float, what: str | None) -> bool:
        """Poll ``done``; return False if the user or the clock stopped it; raise if ``what`` never came."""
        deadline = time.monotonic() + limit_s
        while not done():
            if self._stop.wait(0.1) or self._left() <= 0:
                return False
            if time.monotonic() >= deadline:
                if what is None:
                    return False
                raise AgentEndedError(
                    f"the agent was not {what} after {limit_s:.0f} s: {agent.last_words()}", EXIT_FAULT
                )
        return True

    def _left(self) -> float:
        for_s = self._settings.for_s
        return math.inf if for_s is None else for_s - (time.monotonic() - self._began)

    def _now(self) -> float:
        """Return the event time that it is for the devices."""
        passed = time.monotonic() - self._live_began
        return self._start + max(0.0, passed) * self._settings.speed if math.isfinite(passed) else self._start

    def _truth(self, watch: Watch, plan: Plan, until: float | None = None) -> Truth:
        """Compare the verdicts up to now with the true faults."""
        now, grace_s = self._now() if until is None else until, 2 * plan.window_s
        score = match(self._labels(now), list(watch.received.openings), grace_s=grace_s)
        return Truth(score=score, kinds=watch.received.kinds, now=now, grace_s=grace_s)

    def _on_message(self, kind: str, body: dict[str, Any]) -> None:
        if kind == "verdict":
            self._show.verdict(body)
        else:
            self._show.event(body)


@contextlib.contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into a clean end and the second into an immediate one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt(number)
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
