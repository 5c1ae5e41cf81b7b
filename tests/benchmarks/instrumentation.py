"""Cost of the instrumentation of one AI call.

Usage: ``python -m tests.benchmarks.instrumentation``.

Prints CPU microseconds per call, tracing off and on, next to a reference loop of this machine, so that
figures of different machines can be compared. A call here is a cache look-up, the scope with its two log
lines, all counters, three spans, the checks of an answer and the publishing span. Sending the spans (another
thread, in batches, only with tracing on) is a row of its own.
"""

import argparse
import io
import json
import time
from collections.abc import Callable
from dataclasses import replace

from agent.domain.records import Grounding, Reason
from agent.observe.logs import LogWriter
from agent.observe.traces import Tracer, open_tracer
from tests.observe.calls import ANSWERED, good, recorder, start
from tests.support.otlp_receiver import http_receiver

LIMIT_US = 450.0
CALLS = 30  # 120 spans: below the 128 at which the exporter's thread would wake up inside a round


def reference() -> None:
    """Do a fixed piece of pure Python: one JSON round trip of a verdict-sized object."""
    json.loads(json.dumps({f"key{place}": [place, float(place), str(place)] for place in range(20)}))


def thread_us(work: Callable[[], object], count: int) -> float:
    """Return the CPU time of this thread per ``work()``, in microseconds."""
    began = time.thread_time()
    for _ in range(count):
        work()
    return (time.thread_time() - began) / count * 1e6


def one_call(tracer: Tracer, content: str) -> Callable[[], None]:
    """Return a function that records a whole call, its checks and its publishing."""
    telemetry = recorder(LogWriter(stream=io.BytesIO(), content=content), tracer)
    # The log must not hold lines back here, or the cost would look smaller than it is.
    for limit in (telemetry.logs._warnings, telemetry.logs._others):
        limit._per_s = 1e9
    before = start(user="x" * 6_000)
    after = good(request=before, reply=replace(ANSWERED, content="y" * 600))

    def work() -> None:
        telemetry.cache_looked_up("miss")
        with telemetry.call(before) as scope:
            scope.finish(after)
        telemetry.grounding_checked(Grounding.GROUNDED, ())
        telemetry.suppressed(Reason.NOT_SUSPICIOUS, 1)
        tracer.publish(trace_id=scope.trace_id, destination="edge-agent/gw1/verdicts/pump-1").end()

    return work


def measure(rounds: int) -> dict[str, float]:
    """Return the best round of each row: whatever else runs on the machine only adds."""
    found: dict[str, list[float]] = {"reference": [], "off": [], "on": [], "full": [], "sending": []}
    with http_receiver() as receiver:
        live = open_tracer(endpoint=receiver.endpoint, content=False, delay_s=600.0)
        assert live.source is not None
        works = {
            "off": one_call(Tracer(), "none"),
            "on": one_call(live, "none"),
            "full": one_call(live, "full"),
        }
        for _ in range(rounds):
            found["reference"].append(thread_us(reference, CALLS))
            for name, work in works.items():
                found[name].append(thread_us(work, CALLS))
                sent = thread_us(live.source.flush, 1) / CALLS
                if name == "on":
                    found["sending"].append(sent)
        live.shutdown()
        assert live.dropped == 0
    return {name: min(values) for name, values in found.items()}


def main() -> int:
    """Print the table; 1 when a row is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    best = measure(parser.parse_args().rounds)
    base = best["reference"]
    words = {
        "off": "tracing off",
        "on": "tracing on",
        "full": "tracing on, content full",
        "sending": "  and its spans sent",
    }
    print(f"reference loop: {base:.1f} us")
    for name, text in words.items():
        print(f"{text:<26} {best[name]:7.1f} us per call  {best[name] / base:5.2f} x reference")
    worst = max(best["off"], best["on"])
    print(f"limit {LIMIT_US:.0f} us per call: {'kept' if worst <= LIMIT_US else 'passed'}")
    return int(worst > LIMIT_US)


if __name__ == "__main__":
    raise SystemExit(main())
