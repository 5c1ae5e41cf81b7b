"""A run of the commands of docs/deployment.md in a booted Debian, then of faults.

    sudo .venv/bin/python -m tests.deployment.booted [--folder DIR] [--keep]

Needs root, debootstrap and systemd-nspawn, and Debian and Python packages from the network. Takes some five
minutes. Exit codes: 0 all held, 1 something did not, 69 no machine can be booted here.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.deployment import steps
from tests.deployment.container import Container, ContainerError, bootstrap, missing, needs_root
from tests.deployment.readme import REPO
from tests.deployment.site import Look, clone

STEPS: tuple[tuple[str, Callable[[steps.Site], str]], ...] = (
    ("the first commands of docs/deployment.md, as written", steps.first_commands),
    ("the service is active in its sandbox", steps.sandbox),
    ("all wheels work in the sandbox, and what is forbidden is refused", steps.probe),
    ("a second run changes nothing", steps.again),
    ("a credential reaches the service", steps.credential),
    ("readings of the simulator become verdicts of its model; doctor all green", steps.verdicts),
    ("kill -9: systemd starts it again, nothing is lost", steps.killed),
    ("a stopped process is ended by the watchdog", steps.watchdog),
    ("a wrong configuration stops it with 2, and a corrected one starts it", steps.wrong_configuration),
    ("upgrade keeps the journal", steps.upgrade),
    ("a release that does not start is taken back", steps.broken_release),
    ("rollback", steps.rollback),
    ("a newer journal is refused with 69 and not touched", steps.downgrade),
    ("uninstall keeps configuration and journal", steps.uninstall),
    ("purge leaves nothing", steps.purge),
    ("an installation without a network, from wheels made elsewhere", steps.offline),
)


def main() -> int:
    """Boot, run the steps in order, and print the observation of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="where machines are made (default: a temporary one)")
    parser.add_argument("--base", type=Path, default=Path(tempfile.gettempdir()) / "edge-agent-base")
    parser.add_argument("--keep", action="store_true", help="leave the machine's files there")
    args = parser.parse_args()
    why = obstacle()
    if why:
        print(f"booted: {why}", file=sys.stderr)
        return 69
    folder = Path(args.folder or tempfile.mkdtemp(prefix="edge-agent-booted-"))
    try:
        return run(folder, args.base)
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)


def obstacle() -> str:
    """Return why no machine can be booted here, or nothing."""
    if not needs_root():
        return "root is needed to boot a machine; run it with sudo"
    if missing():
        return f"missing: {', '.join(missing())}; apt-get install debootstrap systemd-container"
    return ""


def run(folder: Path, base: Path) -> int:
    """Run all steps; 1 at the first that did not hold, since they build on each other."""
    begun = time.monotonic()
    try:
        bootstrap(base)
        with Container(folder, base) as machine:
            print(f"ok    booted Debian with systemd as its first process ({time.monotonic() - begun:.0f} s)")
            clone(machine, REPO)
            site = steps.Site(machine, folder, Look(machine))
            for label, step in STEPS:
                begun = time.monotonic()
                try:
                    seen = step(site)
                except (ContainerError, AssertionError) as error:
                    print(f"FAULT {label}: {error}\n{machine.run('journalctl -n 15 -o cat', check=False)}")
                    return 1
                print(f"ok    {label} ({time.monotonic() - begun:.0f} s): {seen}", flush=True)
    except (ContainerError, AssertionError) as error:
        print(f"booted: {error}", file=sys.stderr)
        return 69
    print(f"{len(STEPS)} steps, all held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
