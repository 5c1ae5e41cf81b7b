"""What the instrumentation of one AI call costs: ``python -m tests.benchmarks.instrumentation``.

Prints CPU microseconds per call, tracing off and on, beside a reference loop of this machine, so that figures
of different machines can be compared.
"""

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable

from agent.observe.logs import LogWriter
from agent.observe.traces import Tracer, open_tracer
from agent.records import Grounding, Reason
from tests.observe.calls import good, recorder, start
from tests.support.otlp_receiver import http_receiver

LIMIT_US = 300.0
ROUNDS = 7


def reference() -> None:
    """Do a fixed piece of pure Python: one JSON round trip of a verdict-sized object."""
    json.loads(json.dumps({f"key{place}": [place, float(place), str(place)] for place in range(20)}))


def cpu_us(work: Callable[[], object], count: int) -> float:
    """Return the median CPU time of one ``work()`` over some rounds, in microseconds, of this thread."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        for _ in range(count):
            work()
        rounds.append((time.thread_time() - began) / count * 1e6)
    return statistics.median(rounds)


def one_call(tracer: Tracer, content: str) -> Callable[[], None]:
    """Return a function that records a whole call, its checks and its publishing."""
    telemetry = recorder(LogWriter(stream=io.BytesIO(), content=content), tracer)
    # The log must not hold lines back here, or the cost would look smaller than it is.
    for limit in (telemetry.logs._warnings, telemetry.logs._others):
        limit._per_s = 1e9
    before, after = start(prompt="x" * 6_000), good(response="y" * 600)

    def work() -> None:
        telemetry.cache_looked_up("miss")
        with telemetry.call(before) as scope:
            scope.finish(after)
        telemetry.grounding_checked(Grounding.GROUNDED, ())
        telemetry.suppressed(Reason.NOT_SUSPICIOUS, 1)
        tracer.publish(trace_id=scope.trace_id, destination="edge-agent/gw1/verdicts/pump-1").end()

    return work


def main() -> int:
    """Print the table; 1 when a row is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="calls per round")
    count = parser.parse_args().count
    base = cpu_us(reference, count)
    rows = {}
    with http_receiver() as receiver:
        live = open_tracer(endpoint=receiver.endpoint, content=False, delay_s=60.0)
        rows["tracing off"] = cpu_us(one_call(Tracer(), "none"), count)
        rows["tracing on"] = cpu_us(one_call(live, "none"), count)
        rows["tracing on, content full"] = cpu_us(one_call(live, "full"), count)
        receiver.hang.set()
        live.shutdown(0.1)
    print(f"reference loop: {base:.1f} us")
    for name, cost in rows.items():
        print(
            f"{name:<26} {cost:7.1f} us per call  {cost / base:5.2f} x reference  (limit {LIMIT_US:.0f} us)"
        )
    return int(max(rows["tracing off"], rows["tracing on"]) > LIMIT_US)


if __name__ == "__main__":
    raise SystemExit(main())
