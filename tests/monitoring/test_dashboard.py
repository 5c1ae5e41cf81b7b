"""The shipped dashboard and its provisioning, as Grafana would read them."""

import itertools
import json
import re
from typing import Any

import pytest
import yaml

from configs.grafana.dashboard import FILE, text
from configs.prometheus.metrics_page import known_names, names_in

SHIPPED = FILE.parents[1]
BOARD: dict[str, Any] = json.loads(FILE.read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
ROWS = [panel for panel in BOARD["panels"] if panel["type"] == "row"]
KNOWN = known_names()
VARIABLES = {one["name"]: one for one in BOARD["templating"]["list"]}
UNITS = {"currencyUSD", "percentunit", "s", "cpm", "cps", "bytes", "short"}
KINDS = {"timeseries", "stat", "gauge", "bargauge", "table", "heatmap", "state-timeline"}
named = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))


def test_the_file_is_what_the_table_of_panels_says() -> None:
    """The shipped JSON is that of the table of panels; `make docs` writes it."""
    assert FILE.read_text() == text()


def test_it_has_the_rows_that_people_look_for() -> None:
    """Eight rows, what is wrong now first, each with panels of its own, none collapsed."""
    titles = [row["title"] for row in ROWS]
    assert titles == ["Now", "Money", "Traffic", "Latency", "Tokens", "Quality", "Safety", "Edge"]
    kinds = [panel["type"] for panel in BOARD["panels"]]
    assert not any(pair == ("row", "row") for pair in itertools.pairwise(kinds))
    assert kinds[0] == "row"
    assert kinds[-1] != "row"
    assert not any(row["collapsed"] for row in ROWS)


def test_ids_and_titles_are_unique() -> None:
    """No two panels have one id or one title."""
    for key in ("id", "title"):
        values = [panel[key] for panel in BOARD["panels"]]
        assert len(set(values)) == len(values)
    assert "id" not in BOARD  # Grafana gives it
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", BOARD["uid"])
    assert BOARD["schemaVersion"] >= 36  # targets and variables with a datasource object


def test_the_grid_has_no_overlap_and_no_hole() -> None:
    """Each place of 24 columns is covered once; a row's panels end before the next row."""
    taken: dict[tuple[int, int], str] = {}
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        assert 0 < at["w"] <= 24
        assert 0 <= at["x"] <= 24 - at["w"]
        for place in itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])):
            assert place not in taken, (panel["title"], taken[place])
            taken[place] = panel["title"]
    assert len(taken) == 24 * (1 + max(y for _, y in taken))


@named
def test_every_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    """A kind that Grafana has, words, a unit, and queries with their own letter and legend."""
    assert panel["type"] in KINDS
    assert len(panel["description"]) > 20
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["targets"]
    letters = [target["refId"] for target in panel["targets"]]
    assert letters == [chr(ord("A") + place) for place in range(len(letters))]
    assert all(target["legendFormat"] for target in panel["targets"])
    assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["value"] is None


@named
def test_every_query_follows_the_variables(panel: dict[str, Any]) -> None:
    """Each panel and query takes the chosen data source, each selector the chosen gateways."""
    for holder in (panel, *panel["targets"]):
        assert holder["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for target in panel["targets"]:
        selectors = re.findall(r"\b(?:ai|edge|process|up|ALERTS)[\w:]*\{[^}]*\}", target["expr"])
        assert selectors
        assert all('job=~"$job",instance=~"$instance"' in one for one in selectors), target["expr"]
        bare = re.sub(r"\{[^}]*\}|\[[^]]*\]", "", target["expr"])
        names = re.findall(r"\b(?:ai|edge|process)_[\w:]+|\bai:[\w:]+|\bup\b|\bALERTS\b", bare)
        assert len(names) == len(selectors), "a metric without the chosen gateways"


@named
def test_every_query_asks_for_what_exists(panel: dict[str, Any]) -> None:
    """Each metric that a panel names is in the registry or recorded by the rules."""
    names = {name for target in panel["targets"] for name in names_in(target["expr"])}
    assert names <= KNOWN


def test_the_variables_choose_source_and_gateways() -> None:
    """A data source first; then job and gateways, several or all at once."""
    assert list(VARIABLES) == ["datasource", "job", "instance"]
    assert (VARIABLES["datasource"]["type"], VARIABLES["datasource"]["query"]) == ("datasource", "prometheus")
    for name in ("job", "instance"):
        one = VARIABLES[name]
        assert (one["type"], one["multi"], one["includeAll"], one["allValue"]) == ("query", True, True, ".+")
        assert one["datasource"]["uid"] == "${datasource}"
        assert re.fullmatch(r"label_values\(.+, \w+\)", one["query"]["query"])
    used = set(re.findall(r"\$\{?(\w+)", FILE.read_text()))
    assert used <= {*VARIABLES, "__rate_interval", "__all"}


def test_the_provisioning_leads_to_the_dashboard() -> None:
    """The data source is a Prometheus on its own port, the provider reads JSON files of a folder."""
    source = yaml.safe_load((SHIPPED / "provisioning/datasources/prometheus.yaml").read_text())
    (prometheus,) = source["datasources"]
    assert source["apiVersion"] == 1
    assert (prometheus["type"], prometheus["url"]) == ("prometheus", "http://127.0.0.1:9090")
    provider = yaml.safe_load((SHIPPED / "provisioning/dashboards/edge-agent.yaml").read_text())
    (one,) = provider["providers"]
    assert provider["apiVersion"] == 1
    assert (one["type"], one["allowUiUpdates"]) == ("file", False)
    assert one["options"]["path"].startswith("/var/lib/grafana/")
    scrape = yaml.safe_load((SHIPPED.parent / "prometheus" / "prometheus.yml").read_text())
    assert prometheus["jsonData"]["timeInterval"] == scrape["global"]["scrape_interval"]
