"""The parts of ``edge-agent discover``."""
