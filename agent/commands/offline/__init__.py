"""Readings of the past: recordings, tables, the own journal, Prometheus; and the run over them."""
