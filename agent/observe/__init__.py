"""The three pillars: logs, metrics and traces."""
