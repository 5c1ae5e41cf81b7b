"""Readings of the past: recordings, tables, and a server like Prometheus."""

import base64
import json
import random
import threading
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

START = 1_782_475_200.0  # 2026-06-26T12:00:00Z
STEP_S = 10.0

Point = tuple[float, str, float]  # time, device, value


def points(devices: int = 3, steps: int = 600, *, seed: int = 1, start: float = START) -> list[Point]:
    """Return calm temperatures of some devices, in order of time."""
    dice = random.Random(seed)
    return [
        (start + step * STEP_S + 0.1 * device, f"dev{device}", round(20.0 + dice.gauss(0.0, 0.3), 2))
        for step in range(steps)
        for device in range(devices)
    ]


def shifted(all_points: Iterable[Point], device: str, since: float, by: float) -> list[Point]:
    """Return the points with those of a device moved from a time on."""
    return [(at, of, value + by if of == device and at >= since else value) for at, of, value in all_points]


def line(offset: float, topic: str, payload: bytes, **more: Any) -> str:
    """Return a line of a recording."""
    text = base64.b64encode(payload).decode()
    return json.dumps({"offset": offset, "topic": topic, "payload": text, "qos": 1, "retain": False} | more)


def record(path: Path, all_points: Iterable[Point], *, timed: bool = True, start: float = START) -> Path:
    """Write a recording of the points, as JSON with their time or as bare numbers."""
    with path.open("w") as file:
        for at, device, value in all_points:
            body = json.dumps({"ts": at, "value": value}) if timed else str(value)
            file.write(line(round(at - start, 6), f"sensors/{device}/temperature", body.encode()) + "\n")
    return path


def tabulate(path: Path, all_points: Iterable[Point]) -> Path:
    """Write a table of the points."""
    rows = [f"{at},{device},temperature,{value}" for at, device, value in all_points]
    path.write_text("\n".join(["time,device,metric,value", *rows]) + "\n")
    return path


Answer = tuple[int, bytes, Mapping[str, str]]


@dataclass
class Scripted:
    """A server whose answers the test gives; it keeps the requests."""

    url: str = ""
    asked: list[tuple[str, dict[str, str], Mapping[str, str]]] = field(default_factory=list)
    answer: Callable[[dict[str, str]], Answer] = lambda _form: (200, matrix([]), {})


def matrix(result: Any) -> bytes:
    """Return the body of an answer with these series."""
    body = {"status": "success", "data": {"resultType": "matrix", "result": result}}
    return json.dumps(body).encode()


@contextmanager
def scripted() -> Iterator[Scripted]:
    """Run such a server on loopback."""
    told = Scripted()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            self._answer(path, query)

        def do_POST(self) -> None:
            self._answer(self.path, self.rfile.read(int(self.headers["Content-Length"])).decode())

        def _answer(self, path: str, query: str) -> None:
            form = dict(urllib.parse.parse_qsl(query))
            told.asked.append((path, form, dict(self.headers)))
            status, body, headers = told.answer(form)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)
