"""A run of the agent in a Debian for arm64, the Raspberry Pi's, emulated by qemu.

    sudo .venv/bin/python -m tests.deployment.emulated

It shows that the arm64 wheels work, not how fast they are. The emulator is known to the namespaces of this
run only (Linux 6.7 or newer), whose network is their own. Needs root, debootstrap and qemu-user-static, and
Debian and Python packages from the network. Exit codes: 0 it ran, 1 it did not, 69 nothing can be emulated.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.deployment.container import MIRROR, SUITE, ContainerError, needs_root
from tests.deployment.readme import REPO
from tests.deployment.site import HERE
from tests.deployment.wheelhouse import copy_checkout
from tests.support.waiting import wait_for

PACKAGES = "python3,python3-venv,mosquitto,curl,procps"
TOOLS = ("debootstrap", "qemu-aarch64-static", "unshare", "nsenter", "dpkg-deb", "ip")
NAMESPACES = ("--user", "--mount", "--net", "--uts", "--pid")
IDS = "0 0 65536\n"
# Format: https://docs.kernel.org/admin-guide/binfmt-misc.html; F opens the emulator before the chroot.
MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
SETUP = f"""
set -e
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
printf '%s' ':aarch64:M::{MAGIC}:{MASK}:'"$1"':F' >/proc/sys/fs/binfmt_misc/register
ip link set lo up
mount --rbind /dev "$2/dev"
mount -t proc proc "$2/proc"
PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec chroot "$2" /usr/bin/env -i PATH=$PATH HOME=/root bash /root/emulated.sh
"""


def bootstrap(root: Path) -> None:
    """Unpack Debian's packages for arm64, unconfigured: programs and libraries do not need more."""
    argv = ["debootstrap", "--arch=arm64", "--foreign", "--variant=minbase", f"--include={PACKAGES}"]
    told = subprocess.run([*argv, SUITE, root, MIRROR], capture_output=True, text=True, check=False)
    if told.returncode:
        raise ContainerError(f"debootstrap failed: {told.stdout[-300:]}{told.stderr[-300:]}")
    for package in sorted((root / "var/cache/apt/archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, root], check=True, capture_output=True)
    for name in ("proc", "dev"):  # proc may be a link to /proc
        place = root / name
        if place.is_symlink():
            place.unlink()
        place.mkdir(exist_ok=True)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "tmp").chmod(0o1777)


def fill(root: Path) -> None:
    """Copy checkout, wheels, scenario and script into the root."""
    copy_checkout(root / "root/checkout")
    subprocess.run(
        [REPO / "systemd/wheels.sh", root / "root/wheels", "aarch64", "3.11"],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    for name in ("site.yaml", "emulated.sh"):
        shutil.copy(HERE / name, root / "root" / name)


@contextmanager
def namespaces() -> Iterator[int]:
    """Hold namespaces of our own in which root may mount; yields the process that holds them."""
    holder = subprocess.Popen(["unshare", *NAMESPACES, "--fork", "--kill-child", "sleep", "3600"])
    children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children")
    try:
        wait_for(lambda: children.read_text().split(), 10, "the namespaces are there")
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{holder.pid}/{name}").write_text(IDS)
        yield int(children.read_text().split()[0])
    finally:
        holder.kill()  # it lets no other signal in; its child dies with it
        holder.wait(10)


def run(folder: Path) -> int:
    """Make the machine, type the script in it, and show its output."""
    root = folder / "arm64"
    bootstrap(root)
    fill(root)
    folder.chmod(0o755)
    begun = time.monotonic()
    emulator = shutil.which("qemu-aarch64-static") or ""
    with namespaces() as holder:
        argv = ["nsenter", "-t", str(holder), *NAMESPACES, "sh", "-c", SETUP, "sh", emulator, str(root)]
        told = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=900)
    print(told.stdout + told.stderr, end="")
    print(f"exit code {told.returncode} after {time.monotonic() - begun:.0f} s of emulation")
    return int(told.returncode != 0)


def main() -> int:
    """Print the missing tools, or run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if not needs_root() or missing:
        why = "root is needed" if not needs_root() else f"missing: {', '.join(missing)}"
        print(f"emulated: {why}; apt-get install debootstrap qemu-user-static iproute2", file=sys.stderr)
        return 69
    folder = Path(tempfile.mkdtemp(prefix="edge-agent-emulated-"))
    try:
        return run(folder)
    except ContainerError as error:
        print(f"emulated: {error}", file=sys.stderr)
        return 69
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
