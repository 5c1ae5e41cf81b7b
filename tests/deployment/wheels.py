"""Check that each package of the agent has a ready-made wheel for a Raspberry Pi.

    .venv/bin/python -m tests.deployment.wheels [--arch aarch64]

Reads ``systemd/requirements.txt``, which the installer uses, and looks each package up in ``uv.lock``: one of
its wheels must be for this architecture (or for all) and for each Python, and its hash must be one that the
installer accepts. Exit codes: 0 there are, 1 some are missing.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from tests.deployment.readme import REPO

PYTHONS = ((3, 11), (3, 12), (3, 13))
GLIBC = 36  # the minor version of Debian 12's and Raspberry Pi OS 12's, 2.36


@dataclass(frozen=True, slots=True)
class Pin:
    """One package of the requirements; ``marker`` is the condition for it."""

    name: str
    version: str
    marker: str
    hashes: frozenset[str]


def pins(file: str = "requirements.txt") -> list[Pin]:
    """Return what the installer installs."""
    text = (REPO / "systemd" / file).read_text().replace("\\\n", " ")
    found = []
    for line in text.splitlines():
        head, *hashes = line.split("--hash=")
        requirement, _, marker = head.partition(";")
        name, version = requirement.strip().split("==")
        found.append(Pin(name, version, marker.strip(), frozenset(part.strip() for part in hashes)))
    return found


def needed(pin: Pin, python: tuple[int, int], arch: str) -> bool:
    """Return whether a package is installed on Linux with this Python."""
    text = ".".join(map(str, python))
    environment = {
        "python_version": text,
        "python_full_version": f"{text}.0",
        "sys_platform": "linux",
        "platform_machine": arch,
        "platform_system": "Linux",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    return not pin.marker or Marker(pin.marker).evaluate(environment)


def accepted(python: tuple[int, int], arch: str) -> frozenset[Tag]:
    """Return the tags of the wheels that run there."""
    platforms = [f"manylinux_2_{minor}_{arch}" for minor in range(17, GLIBC + 1)] + [f"manylinux2014_{arch}"]
    return frozenset(
        chain(
            cpython_tags(python, platforms=platforms),
            compatible_tags(python, f"cp{python[0]}{python[1]}", platforms),
        )
    )


def locked() -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Return file name and hash of each wheel in the lock, by package and version."""
    lock = tomllib.loads((REPO / "uv.lock").read_text())
    return {
        (package["name"], package["version"]): [
            (re.split(r"[/#]", wheel["url"])[-1], wheel["hash"]) for wheel in package.get("wheels", [])
        ]
        for package in lock["package"]
        if "version" in package  # not the project itself
    }


def choices(arch: str) -> Iterator[tuple[Pin, tuple[int, int], str | None]]:
    """Yield each package and Python with the name of a wheel that fits, or None."""
    wheels = locked()
    for pin in pins():
        for python in PYTHONS:
            if not needed(pin, python, arch):
                continue
            tags = accepted(python, arch)
            fitting = [
                name
                for name, digest in wheels.get((pin.name, pin.version), [])
                if digest in pin.hashes and parse_wheel_filename(name)[3] & tags
            ]
            yield pin, python, fitting[0] if fitting else None


def main() -> int:
    """Print the packages that are not pure Python, and what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", default="aarch64", help="as uname -m prints it (default: aarch64)")
    args = parser.parse_args()
    pure, missing, packages = set(), 0, set()
    for pin, python, wheel in choices(args.arch):
        packages.add(pin.name)
        if wheel is None:
            missing += 1
            print(f"MISSING {pin.name} {pin.version} for Python {python[0]}.{python[1]} on {args.arch}")
        elif wheel.endswith("-none-any.whl"):
            pure.add(pin.name)
        else:
            print(f"{python[0]}.{python[1]}  {wheel}")
    versions = ", ".join(f"{major}.{minor}" for major, minor in PYTHONS)
    print(
        f"{len(packages)} packages for {args.arch} and Python {versions}: {len(pure)} pure, {missing} missing"
    )
    return int(missing > 0)


if __name__ == "__main__":
    sys.exit(main())
