"""Simulated devices, faults and a model endpoint, for tests of any agent."""
