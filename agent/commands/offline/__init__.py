"""Readings of the past, and the run over them."""
