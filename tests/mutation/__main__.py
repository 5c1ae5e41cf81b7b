"""Changes one place at a time and runs the module's unit tests on each change.

Run as ``python -m tests.mutation [--jobs N] [TARGET ...]``. A mutant is killed when a test fails, or
when the tests take more than a limit of CPU time or wall time. ``equivalent.yaml`` lists the mutants that do
not change behaviour, with the reason. Ends with 1 when a mutant survives.
"""

import argparse
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

import pytest
import yaml

from tests.mutation.mutants import Mutant, mutants
from tests.mutation.targets import TARGETS, Target
from tests.support import waiting

REPO = Path(__file__).resolve().parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.yaml")
CPU_FACTOR = 5  # of the CPU time of the tests without a change, which is many loops and no more
LEAST_CPU_S = 10
WALL_FACTOR = 20  # a mutant may wait for ever; a busy machine takes its time
SURVIVED, KILLED = 0, 1
#: Imported before the first child starts, so that not every child does.
LIBRARIES = ("hypothesis.strategies", "pydantic", "paho.mqtt.client", "asyncio")


class MutatedModule(MetaPathFinder):
    """Imports one module of the product from the tree of a mutant."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._name = ".".join(mutant.path.relative_to(REPO).with_suffix("").parts)

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        loader = MutatedLoader(fullname, str(self._mutant.path))
        loader.mutant = self._mutant
        return spec_from_file_location(fullname, self._mutant.path, loader=loader)


class MutatedLoader(SourceFileLoader):
    """Compiles the tree in place of the text."""

    mutant: Mutant

    def get_code(self, _fullname: str) -> CodeType:
        return compile(self.mutant.tree(), self.path, "exec")


@dataclass
class Limits:
    """Limits of one run of the tests, s."""

    cpu_s: int
    wall_s: float


def run_tests(target: Target, mutant: Mutant | None, cpu_s: int | None) -> int:
    """Run the tests in this process, which is a child of its own; return its exit code."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.environ["HYPOTHESIS_PROFILE"] = "mutation"
    waiting.PATIENCE = 1.0  # of many mutants nothing comes
    os.dup2(null, 1)
    os.dup2(null, 2)
    if cpu_s is not None:
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    if mutant is not None:
        sys.meta_path.insert(0, MutatedModule(mutant))
    folder = Path(tempfile.gettempdir()) / str(os.getpid())
    marks = "not broker and not process and not root"
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", marks, f"--basetemp={folder}"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # for the libraries that are there already
    code = int(pytest.main([*options, *target.tests]))
    shutil.rmtree(folder, ignore_errors=True)
    return code


def start(target: Target, mutant: Mutant | None, limits: Limits | None) -> int:
    """Start a child that runs the tests; return its process id."""
    child = os.fork()
    if child:
        return child
    code = KILLED
    try:
        code = run_tests(target, mutant, limits.cpu_s if limits else None)
    finally:
        os._exit(code)
    raise AssertionError


def measured(target: Target) -> Limits:
    """Run the tests without a change and return what a mutant may take.

    Raises:
        SystemExit: they fail.
    """
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    child = start(target, None, None)
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit(f"the tests fail without a change: {' '.join(target.tests)}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    cpu_limit = max(LEAST_CPU_S, round(CPU_FACTOR * cpu_s))
    return Limits(cpu_limit, WALL_FACTOR * max(LEAST_CPU_S, time.monotonic() - began))


def survivors(target: Target, found: list[Mutant], limits: Limits, jobs: int) -> Iterator[Mutant]:
    """Yield the mutants that no test notices."""
    waiting = list(reversed(found))
    running: dict[int, tuple[Mutant, float]] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            running[start(target, mutant, limits)] = (mutant, time.monotonic())
        child, status = os.waitpid(-1, os.WNOHANG)
        if child:
            mutant, _ = running.pop(child)
            if status == SURVIVED:
                yield mutant
            continue
        for child, (_, began) in running.items():
            if time.monotonic() - began > limits.wall_s:
                os.kill(child, 9)
        time.sleep(0.02)


def run(names: Sequence[str], jobs: int) -> int:
    """Print the survivors and a table; return the exit code."""
    reasons: dict[str, dict[str, str]] = yaml.safe_load(EQUIVALENT.read_text())
    for library in LIBRARIES:
        import_module(library)
    rows = []
    for name in names:
        target = TARGETS[name]
        limits = measured(target)
        for module in target.modules:
            every, equivalent = mutants(REPO / module), reasons.get(module, {})
            asked = [mutant for mutant in every if mutant.name not in equivalent]
            survived = 0
            for mutant in survivors(target, asked, limits, jobs):
                survived += 1
                print(f"survived: {module}:{mutant.line}: {mutant.name}", flush=True)
            rows.append((f"`{module}`", len(every), len(asked) - survived, len(every) - len(asked), survived))
    print("| module | mutants | killed | equivalent | survived |\n|---|---|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")
    return 1 if any(survived for *_, survived in rows) else 0


def main() -> int:
    """Parse the arguments and run in a temporary folder."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all if none")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edge-mutation-") as folder:
        tempfile.tempdir = folder
        return run(chosen.targets or list(TARGETS), chosen.jobs)


if __name__ == "__main__":
    sys.exit(main())
