"""One process life that journals: killed by the crash tests or by a failpoint.

Reads a plan from stdin (JSON): the folder, the generation, the numbers that the broker sends again (DUP=1),
the first new number and how many. Prints the numbers that were sent (S), acknowledged (A) and concluded (V).
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from agent.domain.records import Batch, MessageRow, Outgoing
from agent.journal import JournalSettings
from agent.journal.store import Store
from tests.journal.rig import DEADLINE_S, Rig, acking, arrival, link_up, sealing, window

NONCE = os.urandom(4).hex()


def say(line: str) -> None:
    """Write one line at once."""
    os.write(1, f"{line}\n".encode())


class Life:
    """Journals the plan, and seals and concludes a window for every ten rows."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        settings = JournalSettings(commit_ms=2, ballast_bytes=0)
        self.rig = Rig(Path(plan["folder"]), settings=settings)
        self.generation = plan["generation"]
        self.worked = 0  # the last row that a window was sealed at

    def run(self) -> None:
        """Start, take up what was left open, go on."""
        journal = self.rig.open()
        self.rig.acks = Acks()
        self.rig.start_thread()
        for one in journal.recovered.pending:
            self.conclude(one.id, one.lo)
        self.rig.write(lambda store: store.begin_connection(self.generation))
        self.rig.offer([link_up(self.generation)])
        for number in self.plan["again"]:
            self.send(number, dup=True)
        for number in range(self.plan["first"], self.plan["first"] + self.plan["count"]):
            say(f"S {number}")
            self.send(number, dup=False)
            if number % 10 == 0:
                self.wait_for_rows()
                self.work()
                time.sleep(0.001)
        self.rig.settle()
        self.work()
        say("E")

    def send(self, number: int, *, dup: bool) -> None:
        """Be the broker."""
        self.rig.offer([arrival(number, generation=self.generation, dup=dup, mono=time.monotonic())])

    def wait_for_rows(self) -> None:
        """Wait for a commit: on a busy disk the life would be over before anything could be concluded."""
        deadline = time.monotonic() + DEADLINE_S
        while self.newest() <= self.worked and time.monotonic() < deadline:
            time.sleep(0.0005)

    def newest(self) -> int:
        """Return the last message row, 0 for none."""
        return max([row.seq for row in self.rig.rows[-1:] if isinstance(row, MessageRow)], default=0)

    def work(self) -> None:
        """Seal, ask, conclude, publish, snapshot and prune, as the analyst would."""
        seq = self.newest()
        if seq <= self.worked:
            return
        self.worked = seq
        name = f"w{seq}"
        one = window(name, "d1", seq, seq)
        self.rig.write(sealing(one))
        self.rig.write(lambda store: store.start_batch(Batch(f"b-{name}", (one,))))
        self.conclude(name, seq)

    def conclude(self, name: str, seq: int) -> None:
        """Commit a verdict whose content is of this life only."""
        content = f"{name} {NONCE}"
        one = window(name, "d1", seq, seq)

        def job(store: Store) -> list[Outgoing]:
            return store.conclude(
                window=one,
                verdict=content.encode(),
                finding=None,
                outgoing=[Outgoing(0, "mqtt", "t", content.encode(), retain=True, settles=True)],
            )

        for item in self.rig.write(job):
            say(f"V {content}")
            self.rig.write(acking(item.outbox_id))
        if self.plan["prune"]:
            self.rig.write(lambda store: store.snapshot(seq, b"state"))
            self.rig.write(lambda store: store.prune())


class Acks(list[tuple[int, int]]):
    """Prints each acknowledgement."""

    def extend(self, acks: Any) -> None:
        for _, mid in acks:
            say(f"A {mid - 1}")


if __name__ == "__main__":
    Life(json.load(sys.stdin)).run()
    os._exit(0)  # as sudden as a kill: a clean end is tested elsewhere
