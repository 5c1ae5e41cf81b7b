"""Real Prometheus and Alertmanager on loopback, and the webhook of the alerts."""

import contextlib
import json
import shutil
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import yaml

from tests.support.agent_process import ChildError
from tests.support.broker import free_port
from tests.support.waiting import wait_for

SHIPPED = Path(__file__).resolve().parents[2] / "configs" / "prometheus"
START_LIMIT_S = 30.0
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

Sample = tuple[dict[str, str], float]


def call(url: str, body: object = None, *, form: dict[str, str] | None = None) -> Any:
    """GET, or POST ``body`` as JSON or a ``form``; return the answer's JSON, None when it has none.

    Raises:
        OSError: no answer, or an error; its text holds the response.
    """
    data = None
    if body is not None:
        data = json.dumps(body).encode()
    elif form is not None:
        data = urllib.parse.urlencode(form).encode()
    request = urllib.request.Request(url, data=data)
    if body is not None:
        request.add_header("Content-Type", "application/json")
    try:
        with _OPENER.open(request, timeout=60) as response:
            text = response.read()
    except urllib.error.HTTPError as error:
        with error:
            raise OSError(f"{url}: {error.code} {error.read().decode(errors='replace')[:500]}") from None
    with contextlib.suppress(ValueError):
        return json.loads(text)
    return None


class Server:
    """A process of Debian's with a web port. Usable as a context manager."""

    def __init__(self, *names: str, folder: Path, arguments: list[str], ready: str = "/-/ready") -> None:
        found = next((path for name in names if (path := shutil.which(name))), None)
        if found is None:
            raise ChildError(f"{names[0]} is not installed: `make tools` installs it")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"{names[0]}.log"
        self._folder = folder
        self._ready = ready
        self._argv = [found, *arguments, f"--web.listen-address=127.0.0.1:{self.port}"]
        self._process: subprocess.Popen[bytes] | None = None

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise ChildError(self.log.read_text()[-2000:])
        with contextlib.suppress(OSError):
            call(self.url + self._ready)
            return True
        return False

    def __enter__(self) -> Self:
        with self.log.open("ab") as sink:
            self._process = subprocess.Popen(self._argv, stdout=sink, stderr=sink, cwd=self._folder)
        try:
            wait_for(self._is_ready, START_LIMIT_S, f"{self._argv[0]} is ready")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(60)


class Prometheus(Server):
    """Prometheus with the configuration ``prometheus.yml`` in ``folder``."""

    def __init__(self, folder: Path) -> None:
        arguments = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn"]
        super().__init__("prometheus", folder=folder, arguments=arguments)

    def query(self, expression: str) -> list[Sample]:
        """Return the series of ``expression`` now; a scalar is one without labels."""
        result = call(f"{self.url}/api/v1/query", form={"query": expression})["data"]
        if result["resultType"] == "scalar":
            return [({}, float(result["result"][1]))]
        return [(one["metric"], float(one["value"][1])) for one in result["result"]]

    def value(self, expression: str) -> float:
        """Return the value of the only series of ``expression``; NaN when there is none."""
        found = self.query(expression)
        assert len(found) < 2, found
        return found[0][1] if found else float("nan")

    def get(self, path: str) -> Any:
        """Return the data of an address of its API."""
        return call(f"{self.url}/api/v1/{path}")["data"]


class Alertmanager(Server):
    """Alertmanager with the configuration ``alertmanager.yml`` in ``folder``."""

    def __init__(self, folder: Path) -> None:
        arguments = ["--config.file=alertmanager.yml", "--storage.path=alerts", "--cluster.listen-address="]
        super().__init__("alertmanager", "prometheus-alertmanager", folder=folder, arguments=arguments)

    def post(self, *alerts: dict[str, str]) -> None:
        """Give it firing alerts with these labels."""
        call(f"{self.url}/api/v2/alerts", [{"labels": labels} for labels in alerts])

    def state(self, alert: str, instance: str) -> str:
        """Return ``active``, ``suppressed`` or ``unprocessed`` of an alert, empty when it has none."""
        for one in call(f"{self.url}/api/v2/alerts"):
            if (one["labels"]["alertname"], one["labels"].get("instance")) == (alert, instance):
                return str(one["status"]["state"])
        return ""


class Webhook:
    """The receiver of the alerts: ``alerts`` in the order of their arrival."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.alerts: list[dict[str, Any]] = []

    def heard(self, alert: str, status: str) -> list[dict[str, Any]]:
        """Return the alerts of a name that came as ``firing`` or ``resolved``."""
        wanted = (alert, status)
        return [one for one in list(self.alerts) if (one["labels"]["alertname"], one["status"]) == wanted]


@contextlib.contextmanager
def webhook() -> Iterator[Webhook]:
    """Listen on a free loopback port until the block ends."""
    heard: list[Webhook] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            heard[0].alerts += body.get("alerts", [])  # a notice of the agent has none
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the library's name
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    heard.append(Webhook(f"http://127.0.0.1:{server.server_address[1]}/alerts"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield heard[0]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)


def shipped(name: str) -> Any:
    """Return a shipped file of ``configs/prometheus``, parsed."""
    return yaml.safe_load((SHIPPED / name).read_text())


def quick_rules(folder: Path) -> None:
    """Write the shipped rules with every wait cut to a second; the expressions stay."""
    rules = shipped("rules.yml")
    for group in rules["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = "1s"
    (folder / "rules.yml").write_text(yaml.safe_dump(rules, sort_keys=False))


def quick_prometheus(
    folder: Path,
    name: str,
    *,
    targets: list[str] | None = None,
    alerts_to: int | None = None,
    every_s: int = 1,
) -> None:
    """Write a shipped scrape configuration at a quick pace, with ``targets`` where it names its own."""
    quick_rules(folder)
    config: dict[str, Any] = shipped(name)
    pace = f"{every_s}s"
    config["global"].update(scrape_interval=pace, scrape_timeout=pace, evaluation_interval="1s")
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = (
        [] if alerts_to is None else [f"127.0.0.1:{alerts_to}"]
    )
    if targets is not None:
        config["scrape_configs"][0]["static_configs"][0]["targets"] = targets
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config, sort_keys=False))


def quick_alertmanager(folder: Path, address: str) -> None:
    """Write the shipped Alertmanager example with its waits cut and the webhook's address."""
    config = shipped("alertmanager.yml")
    config["route"].update(group_wait="1s", group_interval="1s")
    config["receivers"][0]["webhook_configs"][0]["url"] = address
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(config, sort_keys=False))
