"""Decoding of messages into readings: sources, and one file per device family."""

from agent.decode.availability import AvailabilitySpec
from agent.decode.families import FAMILIES, formats
from agent.decode.family import Content, DecodeLimits, Family, Note, Route, Skip, Skipped, TimeFrom
from agent.decode.registry import Decoded, Registry, SourceSpec
from agent.decode.topics import TopicPattern, overlap

__all__ = [
    "FAMILIES",
    "AvailabilitySpec",
    "Content",
    "DecodeLimits",
    "Decoded",
    "Family",
    "Note",
    "Registry",
    "Route",
    "Skip",
    "Skipped",
    "SourceSpec",
    "TimeFrom",
    "TopicPattern",
    "formats",
    "overlap",
]
