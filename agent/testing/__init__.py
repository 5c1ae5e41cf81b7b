"""Hooks for test rigs: failpoints and a time scale."""
