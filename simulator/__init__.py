"""Simulated devices, faults and a model endpoint; meets the agent on the broker and on HTTP only."""
