"""One real trace from a reading to its verdict, drawn as a tree by this module.

A broker, the simulator's model endpoint, the agent, and a receiver that decodes what it exports. A device
sends four usual readings and one above its limit, each with a ``traceparent`` of its own; the model's first
answer is a 500, so that a retry is seen.
"""

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho

from tests.monitoring.site import site
from tests.mqtt.link_harness import user_properties
from tests.support.broker import Broker
from tests.support.otlp_receiver import ReceivedEvent, ReceivedSpan, http_receiver
from tests.support.waiting import wait_for

SPANS = 4
LIMIT_S = 30.0
TOPIC, DEVICE = "plant", "pump"
VALUES = (71.2, 71.4, 71.3, 71.1, 98.7)
DEVICE_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
REVIEW = {
    "mode": "suspicious",
    "window": {"max_age_s": 60, "max_readings": 60, "settle_s": 0.5},
    "batch": {"max_wait_s": 0.1},
}
#: The attributes that a tree shows of each span; the rest is in the exporter's bytes.
SHOWN = (
    "edge.batch.id", "edge.batch.size", "edge.batch.trigger", "ai.verdict.status", "ai.verdict.source",
    "ai.model", "user.id", "openinference.span.kind", "prompt.length", "response.length", "ai.cost.usd",
    "ai.grounding", "ai.budget.remaining_usd",
    "gen_ai.provider.name", "gen_ai.response.model", "gen_ai.response.finish_reasons",
    "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.prompt.version", "server.address",
    "messaging.system", "messaging.destination.name", "network.protocol.version",
)  # fmt: skip


@dataclass(frozen=True)
class Traced:
    """The spans of one trace, the verdict, and what came with it over MQTT."""

    spans: list[ReceivedSpan]
    verdict: dict[str, Any]
    traceparent: str
    sent: list[str]  # the messages' own traceparents


def make(folder: Path) -> Traced:
    """Run all parts in ``folder`` until the verdict's spans have come."""
    broker = Broker(folder / "broker").start()
    try:
        with http_receiver() as receiver:
            more = {
                "review": REVIEW,
                "limits": {"*/temperature": {"high": 85, "unit": "degC"}},
                "traces": {"endpoint": receiver.endpoint},
            }
            with site(folder, broker, TOPIC, **more) as place:
                place.model("server_error")
                sent = _publish(place.client)
                wait_for(place.verdicts, LIMIT_S, "a verdict")
                place.agent.stop()  # sends what waits for company
                heard: list[paho.MQTTMessage] = place.client.heard  # type: ignore[attr-defined]
                message = next(one for one in heard if "/verdicts/" in one.topic)
            receiver.wait(SPANS)
            properties = dict(message.properties.UserProperty)  # type: ignore[union-attr]
            return Traced(receiver.spans, json.loads(message.payload), properties["traceparent"], sent)
    finally:
        broker.stop()


def _publish(client: paho.Client) -> list[str]:
    sent = []
    for number, value in enumerate(VALUES):
        sent.append(f"00-{DEVICE_TRACE}-{0xA0 + number:016x}-01")
        body = json.dumps({"value": value, "unit": "degC", "ts": round(time.time(), 3)})
        properties = user_properties(("traceparent", sent[-1]))
        client.publish(f"{TOPIC}/{DEVICE}/temperature", body, qos=1, properties=properties)
    return sent


def draw(traced: Traced) -> list[str]:
    """Return the trace as lines: each span below its parent, with id, start, length, attributes, events."""
    (root,) = [span for span in traced.spans if not span.parent_id]
    lines = [f"trace {root.trace_id}"]
    lines += _branch(root, traced.spans, root.start_ns, "")
    verdict = {key: traced.verdict[key] for key in ("status", "kind", "severity", "source", "reason")}
    lines += ["", f"verdict {traced.verdict['id']} on {TOPIC}-out/gw/verdicts/{DEVICE}"]
    lines += [f"  {json.dumps(verdict)}"]
    lines += [f"  trace_id {traced.verdict['trace_id']}, user property traceparent {traced.traceparent}"]
    return lines


def _branch(span: ReceivedSpan, spans: list[ReceivedSpan], begin_ns: int, indent: str) -> list[str]:
    after, length = (span.start_ns - begin_ns) / 1e6, (span.end_ns - span.start_ns) / 1e6
    lines = [f"{indent}{span.name} ({span.kind}) span {span.span_id}, at {after:.1f} ms, {length:.1f} ms"]
    indent += "    "
    lines += [f"{indent}link to {trace}-{parent}" for trace, parent in span.links]
    lines += [f"{indent}{key} = {span.attributes[key]}" for key in SHOWN if key in span.attributes]
    lines += [f"{indent}event {_told(event)}" for event in span.events]
    children = [one for one in spans if one.parent_id == span.span_id]
    for child in sorted(children, key=lambda one: one.start_ns):
        lines += _branch(child, spans, begin_ns, indent)
    return lines


def _told(event: ReceivedEvent) -> str:
    return f"{event.name}: {', '.join(f'{key} = {value}' for key, value in event.attributes.items())}"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        print("\n".join(draw(make(Path(name)))))
