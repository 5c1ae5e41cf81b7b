"""Decoding of messages into readings: sources, and one file per device family."""
