"""``python -m tests.monitoring.grafana`` writes ``configs/grafana/dashboards/edge-agent.json``."""

from tests.monitoring.grafana.board import FILE, text

FILE.write_text(text())
print(FILE)
