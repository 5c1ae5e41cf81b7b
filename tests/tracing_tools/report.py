"""57 scripted calls, counted in a real tool that shows traces.

``make test-phoenix`` and ``make test-mlflow``. The calls go through the agent's recorder and exporter; five
of them fail. Exit code 1 if one is missing. Spans whose
answer came too late are shown, and count as lost.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.domain.model_calls import ErrorType, Reply
from agent.observe.traces import open_tracer
from tests.observe.calls import good, recorder, start
from tests.observe.sink import Log
from tests.support.broker import free_port
from tests.support.waiting import wait_for

CALLS, FAILED = 57, 5
START_LIMIT_S, SHOW_LIMIT_S = 300.0, 120.0
#: Run by the tool's own Python: MLflow has no plain way to read spans over HTTP.
MLFLOW_QUERY = """
import json, sys, mlflow
mlflow.set_tracking_uri(sys.argv[1])
traces = mlflow.search_traces(locations=["0"], max_results=500, return_type="list")
print(json.dumps([
    {"kind": str(s.span_type), "failed": s.status.status_code.name == "ERROR", "input": bool(s.inputs),
     "output": bool(s.outputs), "attributes": s.attributes} for t in traces for s in t.data.spans
]))
"""


class Phoenix:
    """Arize Phoenix."""

    chat, headers = "LLM", ""

    def __init__(self, tools: Path, folder: Path) -> None:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.argv = [str(tools / "phoenix"), "serve"]
        self.environ = {
            "PHOENIX_WORKING_DIR": str(folder),
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(self._port),
            "PHOENIX_GRPC_PORT": str(free_port()),
            "PHOENIX_TELEMETRY_ENABLED": "false",
        }

    def spans(self) -> list[dict[str, Any]]:
        """Return the spans that it shows."""
        with urllib.request.urlopen(f"{self.url}/v1/projects/default/spans?limit=1000") as answer:
            found = json.load(answer)["data"]
        return [
            {
                "kind": span["span_kind"],
                "failed": span["status_code"] == "ERROR",
                "input": any(key in span["attributes"] for key in _keys("input")),
                "output": any(key in span["attributes"] for key in _keys("output")),
                "attributes": span["attributes"],
            }
            for span in found
        ]


class MLflow:
    """MLflow's tracking server."""

    chat, headers = "CHAT_MODEL", "x-mlflow-experiment-id=0"

    def __init__(self, tools: Path, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._python = str(tools / "python")
        store = f"sqlite:///{folder / 'mlflow.db'}"
        self.argv = [str(tools / "mlflow"), "server", "--backend-store-uri", store, "--workers", "1"]
        self.argv += ["--host", "127.0.0.1", "--port", str(port)]
        self.environ = {"MLFLOW_DISABLE_TELEMETRY": "true"}

    def spans(self) -> list[dict[str, Any]]:
        """Return the spans that it shows."""
        argv = [self._python, "-W", "ignore", "-c", MLFLOW_QUERY, self.url]
        done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=SHOW_LIMIT_S)
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found


TOOLS: dict[str, type[Phoenix] | type[MLflow]] = {"phoenix": Phoenix, "mlflow": MLflow}


def _keys(way: str) -> tuple[str, str]:
    return f"llm.{way}_messages.0.message.content", f"{way}.value"


@contextmanager
def served(tool: Phoenix | MLflow, folder: Path) -> Iterator[None]:
    """Run the tool's server until the block ends."""
    with (folder / "log").open("w") as log:
        environ = {**os.environ, **tool.environ}
        server = subprocess.Popen(tool.argv, cwd=folder, env=environ, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: _answers(tool.url), START_LIMIT_S, "the tool answers", 0.5)
        yield
    finally:
        server.terminate()
        server.wait(60)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def send(url: str) -> int:
    """Make the calls; return the number of spans that were lost."""
    tracer = open_tracer(endpoint=url, gateway="gw1", service_version="test", content=True, delay_s=0.1)
    telemetry = recorder(Log().writer, tracer)
    for place in range(CALLS):
        with telemetry.call(start(request_id=f"request-{place}")) as scope:
            if place < FAILED:
                scope.finish(good(reply=Reply(), error_type=ErrorType.TIMEOUT, grounding={}, statuses={}))
            else:
                answer = Reply(content=json.dumps({"answer": place}), finish_reason="stop")
                scope.finish(good(reply=answer))
        time.sleep(0.01)
    assert tracer.source is not None
    tracer.source.flush()
    tracer.shutdown(SHOW_LIMIT_S)
    return tracer.dropped


def table(tool: Phoenix | MLflow, spans: list[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """Return for each property how many spans show it, and how many should."""
    chats = [span for span in spans if span["kind"] == tool.chat]
    around = [span for span in spans if span["kind"] == "CHAIN"]
    good_calls = CALLS - FAILED
    return {
        "calls recognised": (len(chats), CALLS),
        "prompts of calls": (sum(span["input"] for span in chats), CALLS),
        "replies of calls": (sum(span["output"] for span in chats), good_calls),
        "failed calls": (sum(span["failed"] for span in chats), FAILED),
        "batches and calls with a kind": (len(around), 2 * CALLS),
        "their inputs in the list": (sum(span["input"] for span in around), 2 * CALLS),
        "their outputs in the list": (sum(span["output"] for span in around), 2 * good_calls),
        "their failures in the list": (sum(span["failed"] for span in around), 2 * FAILED),
        "filter by grounding": (_having(spans, "ai.grounding", "fail"), 3 * good_calls),
        "filter by cost": (sum("ai.cost.usd" in span["attributes"] for span in chats), CALLS),
        "filter by gateway": (_having(around, "edge.gateway.id", "gw1"), 2 * CALLS),
    }


def _having(spans: list[dict[str, Any]], key: str, value: str) -> int:
    return sum(span["attributes"].get(key) == value for span in spans)


def main() -> int:
    """Print the table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tool", choices=sorted(TOOLS))
    parser.add_argument("bin", type=Path, help="folder of the tool's commands")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tool = TOOLS[asked.tool](asked.bin.absolute(), folder)
        if tool.headers:
            os.environ["OTEL_EXPORTER_OTLP_HEADERS"] = tool.headers
        with served(tool, folder):
            lost = send(tool.url)
            until = time.monotonic() + SHOW_LIMIT_S  # it stores what it took after it has answered
            spans = tool.spans()
            while len(spans) < 3 * CALLS and time.monotonic() < until:
                time.sleep(1.0)
                spans = tool.spans()
    counts = table(tool, spans)
    for name, (shown, wanted) in counts.items():
        print(f"{name:32} {shown:4} of {wanted}")
    print(f"{'spans lost':32} {lost:4}")
    return int(any(shown != wanted for shown, wanted in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
