"""Checks of ``edge-agent doctor``: the broker, this machine, the model."""
