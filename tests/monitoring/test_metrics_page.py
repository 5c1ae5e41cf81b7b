from configs.prometheus.metrics_page import PAGE, alerts_by_metric, page, table


def test_the_page_is_current() -> None:
    """The table of docs/metrics.md is that of the registry and the rules; `make docs` writes it."""
    assert PAGE.read_text() == page(PAGE.read_text())


def test_an_alert_is_listed_with_each_metric_that_it_asks_for() -> None:
    """Also through a recorded series."""
    rules = [
        {"record": "edge:full", "expr": "edge_used / edge_room"},
        {"alert": "Full", "expr": "edge:full > 1 and rate(edge_x_total[5m]) > 0"},
    ]
    found = alerts_by_metric(rules)
    assert set(found) == {"edge_used", "edge_room", "edge_x_total", "edge:full"}
    assert all(alerts == ["Full"] for alerts in found.values())


def test_each_metric_has_a_row_with_five_cells() -> None:
    """No text holds a bar or a line break."""
    rows = table().splitlines()
    assert len(rows) > 50
    assert {row.count("|") for row in rows} == {6}
