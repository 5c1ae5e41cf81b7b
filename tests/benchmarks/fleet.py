"""Cost of a large simulated fleet.

Usage: ``python -m tests.benchmarks.fleet --devices 1000 --seconds 20``.

``edge-sim run`` runs with that many devices, one reading a second each, on a Mosquitto of its own: with a
connection each and with one for all, then as fast as the broker takes it. CPU is what the process used while
it ran, start included; RSS, threads and sockets are the highest that were seen in ``/proc``.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from simulator import scrape
from tests.support.broker import Broker, free_port

STEP_S = 0.2
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One run."""

    name: str
    messages: int
    wall_s: float
    cpu_s: float
    rss_mib: float
    threads: int
    connections: int

    def line(self) -> str:
        """Return it as a row."""
        rate, share = self.messages / self.wall_s, 100 * self.cpu_s / self.wall_s
        return (
            f"{self.name:<34} {self.messages:>8,} {rate:>9,.0f}/s {share:>6.0f} % {self.cpu_s:>7.1f} s"
            f" {1e6 * self.cpu_s / self.messages:>6.0f} us {self.rss_mib:>7.1f} MiB {self.threads:>3}"
            f" {self.connections:>6,}"
        )


def scenario(devices: int) -> str:
    """Return a scenario of ``devices`` freezers that send one reading a second."""
    rows = "".join(
        f'  - {{id: d-{number}, signal: freezer, topic: "sensors/{{device}}"}}\n' for number in range(devices)
    )
    return f"title: many\ninterval_s: 1\ndevices:\n{rows}"


def measure(broker: Broker, name: str, args: Sequence[str]) -> Seen:
    """Run ``edge-sim run`` with ``args`` and watch it from outside."""
    port = free_port()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "simulator",
            "run",
            *args,
            "--broker",
            broker.url,
            f"--metrics=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
    )
    stat, status = Path(f"/proc/{process.pid}/stat"), Path(f"/proc/{process.pid}/status")
    cpu_s = rss = 0.0
    threads = connections = messages = 0
    began = last = None
    while process.poll() is None:
        samples = scrape.metrics(f"http://127.0.0.1:{port}", 2.0)
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            rows = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
            rss = max(rss, int(rows["VmRSS"].split()[0]) / 1024)
        except (OSError, KeyError):
            break
        cpu_s = (int(fields[11]) + int(fields[12])) * TICK_S
        # The scrape itself has a thread as long as it lasts.
        threads = max(threads, int(rows["Threads"]))
        if samples is not None:
            connections = max(connections, int(samples.total("edge_sim_connections_up")))
            acked = int(samples.total("edge_sim_messages_acked_total"))
            if acked and began is None:
                began = time.monotonic()
            if acked > messages:
                messages, last = acked, time.monotonic()
        time.sleep(STEP_S)
    if process.wait(30) != 0 or began is None or last is None:
        raise SystemExit(f"edge-sim run {' '.join(args)} ended with {process.returncode}")
    return Seen(
        name=name,
        messages=messages,
        wall_s=max(last - began, STEP_S),
        cpu_s=cpu_s,
        rss_mib=rss,
        threads=threads,
        connections=connections,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print a row for each way to connect."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0)
    args = parser.parse_args(argv)
    print(f"{'':<34} {'messages':>8} {'rate':>11} {'CPU':>8} {'':>9} {'each':>9} {'RSS':>11} thr  conns")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "many.yaml"
        path.write_text(scenario(args.devices))
        broker = Broker(folder / "broker").start()
        try:
            pace = ["--for", str(args.seconds)]
            fast = ["--speed", "1000", "--for", str(3 * args.seconds / 1000)]  # three times as much
            for words, more in (
                ("a connection each", ["--connections=each", *pace]),
                ("a connection each, QoS 0", ["--connections=each", "--qos=0", *pace]),
                ("10 connections", ["--connections=shared:10", *pace]),
                ("a connection each, full speed", ["--connections=each", *fast]),
                ("one connection, full speed", ["--connections=shared", *fast]),
            ):
                print(measure(broker, words, [str(path), *more]).line(), flush=True)
        finally:
            broker.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
