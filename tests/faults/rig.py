"""The rig: broker, load generator, collector, model and one agent in a folder."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.faults import naive
from tests.faults.collector import Collector
from tests.faults.evidence import Evidence, count_journaled, is_settled, read_booked_usd, read_evidence
from tests.faults.loadgen import LoadGenerator
from tests.faults.model import PRICE, NonceModel
from tests.faults.nemesis import Record, revive
from tests.faults.workload import FILTER, TOPIC
from tests.support.agent_process import AgentProcess, Child, merge
from tests.support.broker import Broker
from tests.support.waiting import wait_for

#: The agent is killed here, not the broker: saving its state on each message would only cost time.
QUIET_BROKER = "autosave_on_changes false\nautosave_interval 1800"
QUIET_S = 2.0  # without anything new
OK = 200
CAP_USD = 100.0  # in each period: no run here costs as much, but each call is booked


@dataclass(frozen=True, slots=True, kw_only=True)
class RigSettings:
    """How a run is made. ``agent`` is ``ours`` or ``naive``; ``review`` our ``review.mode``."""

    folder: Path
    agent: str = "ours"
    seed: int = 1
    rate: float = 300.0
    devices: int = 20
    payloads: str = "mixed"  # tests.faults.workload.PAYLOADS
    review: str = "all"
    overrides: Mapping[str, Any] | None = None
    without: str | None = None  # a protection that is taken away (tests.faults.weakened)
    trouble: Mapping[str, float] | None = None  # shares of the model's misbehaviours; default: its own
    calls_per_s: float | None = None  # that the model answers; default: after a random delay
    broker_extra: str = QUIET_BROKER


class Rig:
    """Everything but the faults. Entering starts all parts, the agent ready, the load not yet begun."""

    def __init__(self, settings: RigSettings) -> None:
        folder = settings.folder
        folder.mkdir(parents=True, exist_ok=True)
        self.settings = settings
        self.folder = folder
        self.broker = Broker(folder / "broker", extra=settings.broker_extra)
        self.model = NonceModel(
            seed=settings.seed, trouble=settings.trouble, calls_per_s=settings.calls_per_s
        )
        self.agent: Child = self._naive() if settings.agent == "naive" else self._ours()
        self.journal = self.agent.journal if isinstance(self.agent, AgentProcess) else None
        self.collector = Collector(
            port=self.broker.port,
            folder=folder,
            base_topic=self.agent.base_topic if isinstance(self.agent, AgentProcess) else naive.BASE_TOPIC,
        )
        self.load = LoadGenerator(
            port=self.broker.port,
            folder=folder,
            rate=settings.rate,
            devices=settings.devices,
            payloads=settings.payloads,
        )
        self.record = Record()
        self._stack = ExitStack()

    def _ours(self) -> AgentProcess:
        settings = {
            "journal": {"prune": False, "max_mib": 8192},
            "sources": [{"topic": f"{TOPIC}/{{device}}"}],
            "review": {"mode": self.settings.review, "batch": {"max_wait_s": 0.3}},
            "ai": {
                "base_url": self.model.url,
                "model": "harness",
                "deadline_s": 3,
                "prices": {"harness": PRICE},
                "budget": dict.fromkeys(("hour_usd", "day_usd", "month_usd"), CAP_USD),
            },
        }
        agent = AgentProcess(
            self.folder / "agent",
            broker_url=self.broker.url,
            settings=merge(settings, self.settings.overrides or {}),
        )
        if self.settings.without is not None:
            agent.argv[1:3] = ["-m", "tests.faults.weakened", self.settings.without]
        return agent

    def _naive(self) -> Child:
        argv = ["-m", "tests.faults.naive", "--port", str(self.broker.port), "--topic", FILTER]
        return Child(argv=argv, log=self.folder / "agent.log")

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.broker.start()
            stack.callback(self.broker.stop)
            stack.enter_context(self.model)
            stack.enter_context(self.collector)
            self.agent.start()
            stack.callback(self.agent.kill)
            self.wait_ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def wait_ready(self, limit_s: float = 60.0) -> None:
        """Wait until the agent is subscribed; fail when it ends."""
        if isinstance(self.agent, AgentProcess):
            self.agent.wait_ready(limit_s)
        else:
            wait_for(lambda: "subscribed" in self.agent.text(), limit_s, "the naive agent is subscribed")

    def settle(self, limit_s: float) -> bool:
        """End the load and wait until every verdict is with the collector; False when that never came."""
        self.load.finish(limit_s)
        return self._wait_quiet(limit_s)

    def _wait_quiet(self, limit_s: float) -> bool:
        """Wait until nothing new came for ``QUIET_S`` and all is done."""
        deadline = time.monotonic() + limit_s
        last, since = self._progress(), time.monotonic()
        while time.monotonic() < deadline:
            time.sleep(0.25)
            revive(self.agent, self.record)
            now = self._progress()
            if now != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since >= QUIET_S and self._is_done():
                return True
        return False

    def _progress(self) -> tuple[int, int]:
        return self.collector.count, 0 if self.journal is None else count_journaled(self.journal)

    def _is_done(self) -> bool:
        if self.journal is None or not isinstance(self.agent, AgentProcess):
            return True
        return self.agent.get("/readyz")[0] == OK and is_settled(self.journal)

    def stop_agent(self) -> tuple[int, float]:
        """SIGTERM; return exit code and seconds."""
        begun = time.monotonic()
        code = self.agent.stop(30)
        took_s = time.monotonic() - begun
        time.sleep(0.5)  # what is on its way to the collector
        return code, took_s

    def overspent(self) -> str | None:
        """Return by how much the model's bill passes the booked money, or that the cap; else None."""
        if self.journal is None:
            return None
        booked_usd = read_booked_usd(self.journal.with_name("budget.sqlite"))
        if self.model.billed_usd <= booked_usd <= CAP_USD:
            return None
        return f"billed {self.model.billed_usd:.6f} USD, booked {booked_usd:.6f} of {CAP_USD:g}"

    def evidence(self) -> Evidence:
        """Read what the run left behind."""
        return read_evidence(self.folder, [] if self.journal is None else [self.journal])
