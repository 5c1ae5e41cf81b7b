"""Lose a connection after its packet ids wrapped: ``python -m tests.faults.wrap``.

65,535 messages are a lap. After it, equal payloads come with the packet ids and bytes of messages that the
agent has journaled on the same connection. Then the connection ends with messages in flight: by RST, by
kill -9, or by SIGTERM and a restart. All that the broker acknowledged must be in the journal or in
quarantine.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.faults.bound import most_duplicates
from tests.faults.evidence import count_journaled, count_messages
from tests.faults.feeder import LAST_ID, Feeder
from tests.faults.rig import QUIET_BROKER
from tests.faults.workload import CYCLE, devices_of
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.proxy import Proxy
from tests.support.waiting import wait_for

ENDS = ("restart", "kill", "reset")
LOADS = {"constant": 1, "registers": CYCLE, "repeating": 1, "unique": 3, "mixed": CYCLE}
BEYOND = 3000  # messages of the second lap before the connection ends
RATE = 3000.0  # messages/s while it ends
UNSEEN_S = 0.1  # of messages that the agent has not seen when the link is reset
MIN_IN_FLIGHT = 150
MAX_BEHIND = 8000  # messages: far from a whole lap in flight
QUIET_S = 3.0
SETTLED_S = 1.0
DRAIN_S = 90.0
SETTINGS = {
    "journal": {"prune": False, "max_mib": 8192},
    "sources": [{"topic": "load/{device}"}],
    "review": {"window": {"max_age_s": 60, "max_readings": 1000}},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Effects of one end of a connection; ``lost`` and ``duplicated`` since the end before."""

    payloads: str
    end: str
    acked: int
    in_flight: int  # on the wire without a PUBACK when the connection ended
    redelivered: int  # with DUP=1 on the connection after it
    there: int
    lost: int
    duplicated: int

    def problems(self) -> list[str]:
        """Name everything that must not be."""
        out = []
        if self.lost:
            out.append(f"lost {self.lost} of {self.in_flight} in flight")
        bound = most_duplicates(losses=1, rate=RATE)
        if self.duplicated > bound:
            out.append(f"duplicated {self.duplicated}, the bound is {bound}")
        if not self.redelivered:
            out.append("nothing was sent again: this run could not have lost anything")
        return [f"{self.payloads}, {self.end}: {text}" for text in out]


def run_wraps(folder: Path, plan: Sequence[tuple[str, str]], *, laps: int = 1) -> list[End]:
    """End a connection after ``laps`` laps for each (payloads, end) of ``plan``, one after the other."""
    ends: list[End] = []
    with ExitStack() as stack:
        broker = Broker(folder / "broker", extra=QUIET_BROKER).start()
        stack.callback(broker.stop)
        proxy = stack.enter_context(Proxy(broker.port))
        agent = AgentProcess(folder / "agent", broker_url=f"mqtt://127.0.0.1:{proxy.port}", settings=SETTINGS)
        stack.enter_context(agent)
        feeder = stack.enter_context(
            Feeder(port=broker.port, may_send=lambda: proxy.unacknowledged < MAX_BEHIND)
        )
        before: Counter[str] = Counter()
        for payloads, end in plan:
            feeder.load(devices_of(payloads, LOADS[payloads]), laps * LAST_ID + BEYOND)
            wait_for(lambda: not proxy.unacknowledged, DRAIN_S, "the agent has acknowledged the laps")
            feeder.flow(RATE)
            wait_for(lambda: proxy.unacknowledged >= MIN_IN_FLIGHT, DRAIN_S, "messages in flight", 0.002)
            redelivered, in_flight = proxy.redelivered, proxy.unacknowledged
            _end(end, agent, proxy)
            feeder.pause()
            _wait_quiet(agent.journal, feeder.acked.total())
            totals = _compare(feeder, agent.journal)
            ends.append(
                End(
                    payloads=payloads,
                    end=end,
                    acked=totals["acked"] - before["acked"],
                    in_flight=in_flight,
                    redelivered=proxy.redelivered - redelivered,
                    there=totals["there"] - before["there"],
                    lost=totals["lost"] - before["lost"],
                    duplicated=totals["duplicated"] - before["duplicated"],
                )
            )
            before = totals
        if agent.stop() != 0:
            raise AssertionError(agent.tail())
    return ends


def _end(end: str, agent: AgentProcess, proxy: Proxy) -> None:
    """End the connection during the flow, and wait until the agent is back."""
    connections = proxy.connections
    match end:
        case "reset":
            proxy.reset_in_flight(UNSEEN_S)
        case "kill":
            agent.kill()
            agent.start()
        case "restart":
            agent.stop()
            agent.start()
    wait_for(lambda: proxy.connections > connections and agent.is_ready(), 60, "the agent is back")


def _wait_quiet(journal: Path, wanted: int) -> None:
    """Wait until all that is wanted is there, and nothing more has come for a while."""
    deadline = time.monotonic() + DRAIN_S
    there, since = count_journaled(journal), time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - since < QUIET_S:
        time.sleep(0.25)
        now = count_journaled(journal)
        if now != there:
            there, since = now, time.monotonic()
        elif now == wanted and time.monotonic() - since > SETTLED_S:
            return


def _compare(feeder: Feeder, journal: Path) -> Counter[str]:
    """Count what the journal and its quarantine hold, against what was sent and acknowledged."""
    there = count_messages(journal)
    lost, twice = feeder.acked - there, there - feeder.sent
    return Counter(
        acked=feeder.acked.total(), there=there.total(), lost=lost.total(), duplicated=twice.total()
    )


def show(ends: Sequence[End]) -> str:
    """Return a Markdown table."""
    lines = [
        "| payloads | end | acknowledged | in flight | sent again | on disk | lost | twice |",
        "|" + "---|" * 8,
    ]
    for one in ends:
        cells = (
            one.payloads, one.end, one.acked, one.in_flight, one.redelivered, one.there, one.lost,
            one.duplicated,
        )  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run each payload with each end, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.wrap", description=__doc__)
    parser.add_argument("--laps", type=int, default=1, help="of 65,535 messages, on each connection")
    parser.add_argument("--payloads", choices=sorted(LOADS), action="append", help="default: all but unique")
    parser.add_argument("--end", choices=ENDS, action="append", help="default: all")
    args = parser.parse_args(argv)
    payloads = args.payloads or [name for name in LOADS if name != "unique"]
    plan = [(name, end) for name in payloads for end in args.end or ENDS]
    with tempfile.TemporaryDirectory(prefix="edge-wrap-") as folder:
        ends = run_wraps(Path(folder), plan, laps=args.laps)
    print(show(ends))
    problems = [text for one in ends for text in one.problems()]
    for text in problems:
        print(f"NOT KEPT: {text}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
