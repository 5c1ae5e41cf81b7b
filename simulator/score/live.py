"""A subscriber for all agents on a broker, which keeps the verdicts of each."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from paho.mqtt.client import MQTTMessage

from simulator.link import Link
from simulator.score.files import is_verdict_topic
from simulator.score.verdicts import AgentVerdicts


class Listener:
    """One subscriber for all agents; distinguishes them by their base topic."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        filters: tuple[str, ...],
        since: float = float("-inf"),
        until: float = float("inf"),
        keep: Path | None = None,
    ) -> None:
        """Listen to ``filters``.

        Args:
            host: the broker's.
            port: the broker's.
            filters: topic filters of verdicts and events.
            since: Unix seconds of event time; what ended before is left out.
            until: what ended later is left out too.
            keep: a folder for one file of JSON lines per agent, or None.
        """
        self._since, self._until = since, until
        self._keep = keep
        self._files: dict[str, TextIO] = {}
        self._lock = threading.Lock()
        self.verdicts: dict[str, AgentVerdicts] = {}  # base topic -> its verdicts
        self.malformed = 0
        self.heard_at = time.monotonic()
        self._link = Link(
            host=host, port=port, client_id="edge-sim-score", filters=filters, on_arrival=self._arrived
        )

    def open(self, timeout_s: float = 10.0) -> None:
        """Subscribe.

        Raises:
            LinkError: the broker did not answer or refused.
        """
        self._link.open(timeout_s)

    def close(self) -> None:
        """Disconnect and close the files."""
        self._link.close()
        with self._lock:
            for file in self._files.values():
                file.close()
            self._files.clear()

    def wait(self, stop: threading.Event, *, until: Callable[[], bool]) -> None:
        """Return when ``until`` is true or ``stop`` is set."""
        while not until() and not stop.wait(0.2):
            pass

    def _arrived(self, message: MQTTMessage) -> None:
        """Take the messages from now on; retained ones are older."""
        topic, payload = message.topic, bytes(message.payload)
        if message.retain or not is_verdict_topic(topic):
            return
        base = topic.rsplit("/", 2)[0]
        self.heard_at = time.monotonic()
        with self._lock:
            try:
                kept = self.verdicts.setdefault(base, AgentVerdicts(self._since, self._until)).take(
                    json.loads(payload)
                )
            except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
                self.malformed += 1
                return
            if kept and self._keep is not None:
                self._write(base, payload)

    def _write(self, base: str, payload: bytes) -> None:
        assert self._keep is not None
        file = self._files.get(base)
        if file is None:
            name = base.replace("/", "_") + ".jsonl"
            file = self._files[base] = (self._keep / name).open("w", encoding="utf-8")
        file.write(payload.decode("utf-8", "replace").replace("\n", " ") + "\n")
