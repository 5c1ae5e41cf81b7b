"""The broker as a sink: PUBACK codes become answers."""

from agent.domain.messages import Outgoing
from agent.sinks import Answer, Delivered, MessageKind, Refused
from agent.sinks.mqtt import MqttSink, mqtt_routes


def test_a_puback_is_the_answer_of_its_message() -> None:
    """Below 0x80 it is delivered; else the sink gives code, words and remedy."""
    published: list[Outgoing] = []
    answers: list[Answer] = []
    sink = MqttSink(publish=published.extend, base_topic="edge-agent/gw1")
    messages = [Outgoing(row, "mqtt", "edge-agent/gw1/verdicts/d1", b"{}") for row in (1, 2)]
    for message in messages:
        sink.send(message, answers.append)
    assert (published, answers) == (messages, [])
    sink.acknowledged(1, 0x10)
    sink.acknowledged(2, 0x87)
    assert answers == [
        Delivered(),
        Refused(
            reason="reason code 0x87",
            remedy="allow the agent to write below edge-agent/gw1/, or raise the broker's packet limit",
            code=0x87,
        ),
    ]


def test_routes_of_the_broker_settle_the_verdict() -> None:
    """A verdict is retained below its device, an event is not; no verdict waits for an incident."""
    verdict, event, incident = mqtt_routes("edge-agent/gw1")
    assert (incident.kind, incident.key("1f"), incident.retain, incident.settles) == (
        MessageKind.INCIDENT,
        "edge-agent/gw1/incidents/1f",
        True,
        False,
    )
    assert (verdict.kind, verdict.key("a/b"), verdict.retain, verdict.settles) == (
        MessageKind.VERDICT,
        "edge-agent/gw1/verdicts/a=2Fb",
        True,
        True,
    )
    assert (event.kind, event.key("a/b"), event.retain, event.settles) == (
        MessageKind.EVENT,
        "edge-agent/gw1/events/a=2Fb",
        False,
        True,
    )
