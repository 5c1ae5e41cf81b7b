"""Destinations of the outbox: one protocol, one file per sink."""

from agent.sinks.sink import Answer, Delivered, MessageKind, Refused, Retry, Route, Sink

__all__ = ["Answer", "Delivered", "MessageKind", "Refused", "Retry", "Route", "Sink"]
