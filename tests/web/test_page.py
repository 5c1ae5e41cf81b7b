import base64
import hashlib
import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from agent.web.http import Request, Response
from agent.web.page import page
from tests.support.browser import FLAGS, executable
from tests.web.sample import sample_status
from tests.web.serving import serving

ROUTES = {
    "/": lambda _request: page(),
    "/status.json": lambda _request: Response(
        json.dumps(sample_status()).encode(), content_type="application/json"
    ),
}


def policy() -> str:
    return dict(page().headers)["Content-Security-Policy"]


def test_policy_allows_the_page_itself_and_nothing_else() -> None:
    """The policy names the hash of the one script and the one style, and no source but this address."""
    text = page().body.decode()
    for tag in ("script", "style"):
        bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert len(bodies) == 1
        digest = base64.b64encode(hashlib.sha256(bodies[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy()
    assert "unsafe" not in policy()
    assert "default-src 'none'" in policy()


class Outside(HTMLParser):
    """Collects every address and inline handler of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []
        self.places: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"src", "href", "action"} and value is not None:
                self.addresses.append(value)
            if name == "id":
                self.places.add(f"#{value}")
            if name == "style" or name.startswith("on"):
                self.inline.append(f"{tag}.{name}")


def test_page_has_no_outside_asset() -> None:
    """Every address is on this server, and nothing is inline that the policy would refuse."""
    text = page().body.decode()
    parser = Outside()
    parser.feed(text)
    within = {one for one in parser.addresses if one.startswith("#")}
    assert set(parser.addresses) - within == {"data:,", "status.json", "metrics", "readyz"}
    assert within <= parser.places
    assert parser.inline == []
    assert "innerHTML" not in text
    assert "insertAdjacentHTML" not in text


def dump_dom(port: int, profile: Path) -> str:
    """Return the document after four seconds of the page's own time."""
    argv = [executable(), "--headless", *FLAGS, "--virtual-time-budget=4000", f"--user-data-dir={profile}"]
    done = subprocess.run(
        [*argv, "--dump-dom", f"http://127.0.0.1:{port}/"],
        capture_output=True,
        timeout=60,
        check=True,
        text=True,
    )
    return done.stdout


@pytest.fixture(scope="module")
def dom(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The document as Chromium has it after the page's script ran."""
    profile = tmp_path_factory.mktemp("chromium")
    with serving(ROUTES) as server:
        return dump_dom(server.port, profile)


@pytest.mark.browser
def test_page_shows_the_status_in_a_browser(dom: str) -> None:
    """Broker, journal, model, budget, devices, findings, verdicts and quarantine are on the page."""
    for text in (
        "degraded",
        "127.0.0.1:1883, MQTT 5",
        "58.4 MiB of 512.0 MiB",
        "gpt-4o-mini",
        "day: $0.33 of $1.00",
        "Devices (4)",
        "kitchen/th1",
        "usual 68.1 to 73.9",
        "Open findings (2)",
        "nothing suspicious, model not asked",
        "bad_json",
        "up to date",
    ):
        assert text in dom, text


@pytest.mark.browser
def test_page_follows_without_reloading(tmp_path: Path) -> None:
    """The page asks again by itself and shows what changed."""
    asked = [0]

    def status(_request: Request) -> Response:
        asked[0] += 1
        text = sample_status() | {"agent": f"asked-{asked[0]}"}
        return Response(json.dumps(text).encode(), content_type="application/json")

    with serving(ROUTES | {"/status.json": status}) as server:
        text = dump_dom(server.port, tmp_path)
    assert asked[0] >= 2
    assert f'<h1 id="agent">asked-{asked[0]}</h1>' in text


@pytest.mark.browser
def test_page_says_when_the_agent_is_gone(tmp_path: Path) -> None:
    """Without an answer the page does not go on showing an old state as if it were new."""
    with serving({"/": lambda _request: page()}) as server:
        text = dump_dom(server.port, tmp_path)
    assert "no contact with the agent" in text


@pytest.mark.browser
def test_hostile_text_stays_text(dom: str) -> None:
    """Markup in device names, summaries and payload details is shown, never run or parsed."""
    assert "<title>(1) ! gw1 - edge-agent</title>" in dom
    assert "<img" not in dom
    assert dom.count("<script") == 1
    assert "&lt;img src=x onerror=" in dom
