"""Destinations of the outbox: one protocol, one file per sink."""

from agent.sinks.sink import Answer, Careful, Delivered, MessageKind, Refused, Retry, Route, Sink

__all__ = ["Answer", "Careful", "Delivered", "MessageKind", "Refused", "Retry", "Route", "Sink"]
