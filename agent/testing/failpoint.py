"""Failpoints: places where a test kills, breaks or hangs this process.

Dead code unless ``EDGE_AGENT_FAILPOINT`` is set *and* :func:`arm` found a file ``.test-state`` in the state
directory; with the variable and without it, start-up refuses to run. The variable is ``name[:nth]`` (die
by SIGKILL at the nth pass), ``raise:name[:nth]`` (an exception) or ``hang:name[:nth]`` (wait forever).
"""

import os
import random
import signal
import threading
from pathlib import Path

VARIABLE = "EDGE_AGENT_FAILPOINT"
MARKER = ".test-state"
KILL, RAISE, HANG = "kill", "raise", "hang"

#: Every point that may be named; the number is the crash point of docs/guarantee.md.
POINTS = frozenset(
    {
        "c1_received",  # arrivals decoded, nothing on disk
        "c2_committing",  # while COMMIT runs
        "c3_committed",  # on disk, no PUBACK sent
        "c4_ack_sent",  # PUBACK handed to the kernel
        "c5_before_seal",  # rows on disk, the window not sealed
        "c6_attempt_committed",  # sealed and attempt counted, no answer yet
        "c7_before_conclude",  # answer here, verdict not committed
        "c8_verdict_committed",  # verdict on disk, not published
        "c9_published",  # PUBLISH handed to the kernel
        "c10_before_outbox_done",  # PUBACK seen, outbox row still there
        "c11_pruning",  # rows deleted, transaction open
        "c12_schema",  # half of the tables created
        "c13_generation",  # generation written, not committed
        "c13_generation_committed",  # generation on disk, SUBSCRIBE not sent
        "command_deciding",  # a person's command on disk, its outcome not
        "command_decided",  # the outcome on disk, not answered
        "epoch_stored",  # an epoch of a partition on disk, not claimed
        "settings_committed",  # reloaded settings on disk, no reading judged by them
        # one turn of each loop
        "main_turn",
        "net_turn",
        "journal_turn",
        "analyst_consume",
        "analyst_timers",
        "web_turn",
        "log_turn",
        "replay",  # a piece of the journal replayed at start
    }
)


class FailpointRefusedError(Exception):
    """A failpoint is set where none may be, or its name is unknown."""


class FailpointError(Exception):
    """Raised on purpose, as if there were a fault of ours."""


class _Armed:
    """The one point of this process, what happens there, and how many passes are left before it does."""

    name: str | None = None
    deed = KILL
    left = 0


def arm(state_dir: Path) -> None:
    """Arm the point that the environment names; refuse (raise) it outside a test's state directory."""
    wanted = os.environ.get(VARIABLE, "")
    if not wanted:
        _Armed.name = None
        return
    deed, _, rest = wanted.partition(":")
    if deed not in (RAISE, HANG):
        deed, rest = KILL, wanted
    name, _, nth = rest.partition(":")
    if not (state_dir / MARKER).exists():
        raise FailpointRefusedError(
            f"{VARIABLE} is set, but {state_dir / MARKER} does not exist: unset it, "
            "only a test's state directory may use it"
        )
    if name not in POINTS or not (nth or "1").isdigit():
        raise FailpointRefusedError(
            f"{VARIABLE}={wanted}: expected name[:nth], raise:name or hang:name, "
            f"with one of {', '.join(sorted(POINTS))}"
        )
    _Armed.name, _Armed.deed, _Armed.left = name, deed, int(nth or "1")


def failpoint(name: str) -> None:
    """Do what is armed for ``name`` when this is its nth pass; else do nothing."""
    if name != _Armed.name:
        return
    _Armed.left -= 1
    if _Armed.left > 0:
        return
    if _Armed.deed == RAISE:
        _Armed.name = None
        raise FailpointError(name)
    if _Armed.deed == HANG:
        threading.Event().wait()
    if name == "c2_committing":  # the next call is the COMMIT: die somewhere inside it
        delay_s = random.uniform(0, 0.004)  # noqa: S311  - a time to die, not a secret
        threading.Timer(delay_s, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return
    os.kill(os.getpid(), signal.SIGKILL)
