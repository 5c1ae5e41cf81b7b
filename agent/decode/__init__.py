"""What arrived, made into readings: one file per device family and a registry."""

from agent.decode.availability import AvailabilitySpec
from agent.decode.family import Content, DecodeLimits, Decoder, Note, Route, Skip, Skipped, TimeFrom
from agent.decode.registry import FAMILIES, Decoded, Registry, SourceSpec
from agent.decode.topics import TopicPattern, overlap

__all__ = [
    "FAMILIES",
    "AvailabilitySpec",
    "Content",
    "DecodeLimits",
    "Decoded",
    "Decoder",
    "Note",
    "Registry",
    "Route",
    "Skip",
    "Skipped",
    "SourceSpec",
    "TimeFrom",
    "TopicPattern",
    "overlap",
]
