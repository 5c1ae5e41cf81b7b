"""A Debian that systemd boots: debootstrap, then systemd-nspawn; needs root.

The machine has a network of its own, with no way out but :mod:`tests.deployment.outlet`.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.deployment.outlet import PORT, Outlet
from tests.support.waiting import wait_for

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
# The packages of a Debian or Raspberry Pi OS image; docs/deployment.md installs the rest.
IMAGE = (
    "systemd,systemd-sysv,dbus,libnss-systemd,libpam-systemd,python3,ca-certificates,iproute2,procps,"
    "sudo,git,make"
)
CA = Path("/etc/ssl/certs/ca-certificates.crt")
CHECKOUT = "/root/edge-agent"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class ContainerError(Exception):
    """A machine could not be made or booted, or a command in it failed; the text has the reason."""


def missing() -> list[str]:
    """Return the tools that are not there."""
    return [tool for tool in ("debootstrap", "systemd-nspawn", "nsenter") if shutil.which(tool) is None]


def bootstrap(base: Path) -> None:
    """Make the image once; a directory that is complete is used again."""
    if (base / "complete").exists():
        return
    shutil.rmtree(base, ignore_errors=True)
    base.parent.mkdir(parents=True, exist_ok=True)
    argv = ["debootstrap", "--variant=minbase", f"--include={IMAGE}", SUITE, str(base), MIRROR]
    told = subprocess.run(argv, capture_output=True, text=True, check=False)
    if told.returncode:
        raise ContainerError(f"debootstrap failed: {told.stdout[-300:]}{told.stderr[-300:]}")
    (base / "complete").touch()


class Container:
    """One booted machine below ``folder``; :meth:`run` types a command as root in the checkout."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.root = folder / "root"
        self.log = folder / "boot.log"
        self._base = base
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._init = 0
        self._outlet: Outlet | None = None

    def __enter__(self) -> Self:
        self.root.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", self._base, self.root], check=True)
        (self.root / "etc/hostname").write_text("gw1\n")
        (self.root / "etc/hosts").write_text("127.0.0.1 localhost gw1\n")
        (self.root / "etc/pip.conf").write_text(f"[global]\ncert = {CA}\nproxy = http://127.0.0.1:{PORT}\n")
        (self.root / "etc/apt/apt.conf.d/90proxy").write_text(
            f'Acquire::http::Proxy "http://127.0.0.1:{PORT}";\nAcquire::http::Pipeline-Depth "0";\n'
        )
        (self.root / "usr/sbin/policy-rc.d").unlink(missing_ok=True)
        argv = ["systemd-nspawn", "--register=no", "--keep-unit", "--boot", "--console=pipe", "--quiet"]
        argv += [f"--directory={self.root}", "--private-network", "--resolv-conf=off", f"--bind-ro={CA}"]
        with self.log.open("wb") as log:
            self._nspawn = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        wait_for(self._booted, 60, f"systemd is up in {self.root}; see {self.log}", 0.2)
        self._outlet = Outlet(self._init).__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut_off()
        if self._nspawn is not None and self._nspawn.poll() is None:
            self._nspawn.terminate()  # an orderly shutdown of the machine
            try:
                self._nspawn.wait(30)
            except subprocess.TimeoutExpired:
                self._nspawn.kill()
                self._nspawn.wait(10)

    def cut_off(self) -> None:
        """Close the way out to the package registries."""
        if self._outlet is not None:
            self._outlet.__exit__()
            self._outlet = None

    def _booted(self) -> bool:
        if self._nspawn is None or self._nspawn.poll() is not None:
            raise ContainerError(f"systemd-nspawn ended: {self.log.read_text(errors='replace')[-500:]}")
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        if not children:
            return False
        self._init = int(children[0])
        state = self.run("systemctl is-system-running", check=False)
        return state.strip() in {"running", "degraded"}

    def run(
        self,
        command: str,
        *,
        check: bool = True,
        limit_s: float = 300,
        code: int | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> str:
        """Type a command; return what it wrote, standard error included.

        Raises:
            ContainerError: it did not end with ``code`` (0 if not given).
        """
        told = subprocess.run(
            self.argv(command, environ),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        text = told.stdout + told.stderr
        if (check or code is not None) and told.returncode != (code or 0):
            raise ContainerError(f"{command!r} ended with {told.returncode}:\n{text[-2000:]}")
        return text

    def argv(self, command: str, environ: Mapping[str, str] | None = None) -> list[str]:
        """Return the command line that types a command, with a login's environment and nothing of ours."""
        variables = {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        pairs = [f"{name}={value}" for name, value in (variables | dict(environ or {})).items()]
        where = CHECKOUT if (self.root / CHECKOUT.lstrip("/")).is_dir() else "/"
        enter = ["nsenter", "-t", str(self._init), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"]
        return [*enter, "env", "-i", *pairs, "bash", "-c", f"cd {where} && {command}"]

    def start(self, command: str, log: Path) -> "subprocess.Popen[bytes]":
        """Type a command that goes on; its output goes to ``log``."""
        with log.open("wb") as sink:
            return subprocess.Popen(
                self.argv(command), stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT
            )


def needs_root() -> bool:
    """Return whether this process may make and boot a machine."""
    return os.geteuid() == 0
