"""The parts of ``edge-agent discover``: what a broker carries, and the sources that read it."""
