"""A run of the agent in a virtual machine, with the unit's memory limit in force.

    sudo .venv/bin/python -m tests.deployment.virtual

A container has the control groups of the kernel that it shares; a machine that qemu emulates has its own,
with cgroup v2 as on Debian 12. Slow, since the processor is emulated too. Needs root, debootstrap and
qemu-system-x86. Exit codes: 0 the limit was there, the agent stayed below it, the control did not; 1 not so;
69 it cannot be tried.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.deployment.container import ContainerError, bootstrap, needs_root
from tests.deployment.readme import REPO
from tests.deployment.site import HERE
from tests.deployment.wheelhouse import copy_checkout

PACKAGES = "linux-image-cloud-amd64 initramfs-tools python3-venv mosquitto mosquitto-clients curl"
TOOLS = ("debootstrap", "qemu-system-x86_64", "mke2fs")
LIMIT_S = 900
UNIT = """\
[Unit]
After=multi-user.target mosquitto.service
[Service]
Type=oneshot
ExecStart=/bin/bash /root/virtual.sh
StandardOutput=file:/dev/ttyS1
StandardError=file:/dev/ttyS1
[Install]
WantedBy=multi-user.target
"""


def fill(root: Path, base: Path) -> None:
    """Make the machine's files: Debian with a kernel, the checkout, its wheels and the script."""
    subprocess.run(["cp", "-a", base, root], check=True)
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    quiet = root / "usr/sbin/policy-rc.d"  # nothing is started while packages are installed
    quiet.write_text("#!/bin/sh\nexit 101\n")
    quiet.chmod(0o755)
    install = f"apt-get update -qq && apt-get install -y -qq --no-install-recommends {PACKAGES}"
    argv = ["chroot", str(root), "env", "DEBIAN_FRONTEND=noninteractive", "sh", "-c", install]
    told = subprocess.run(argv, capture_output=True, text=True, check=False)
    if told.returncode:
        raise ContainerError(f"the kernel could not be installed: {told.stderr[-300:]}")
    quiet.unlink()
    copy_checkout(root / "root/checkout")
    subprocess.run(
        [REPO / "systemd/wheels.sh", root / "root/wheels", "x86_64", "3.11"],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    shutil.copy(HERE / "virtual.sh", root / "root/virtual.sh")
    units = root / "etc/systemd/system"
    (units / "virtual.service").write_text(UNIT)
    (units / "multi-user.target.wants/virtual.service").symlink_to("../virtual.service")


def boot(folder: Path, root: Path) -> str:
    """Boot it and return what the script wrote to the second console."""
    image, console, said = folder / "disk.img", folder / "console.log", folder / "said.log"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", root, image, "3G"], check=True, capture_output=True)
    kernel, ram = next((root / "boot").glob("vmlinuz-*")), next((root / "boot").glob("initrd.img-*"))
    argv = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024"]
    argv += ["-display", "none", "-nodefaults", "-no-reboot"]
    argv += ["-serial", f"file:{console}", "-serial", f"file:{said}"]  # a login takes the first
    argv += ["-drive", f"file={image},format=raw,if=virtio,cache=unsafe"]
    argv += ["-kernel", str(kernel), "-initrd", str(ram), "-append", "root=/dev/vda rw console=ttyS0 panic=5"]
    subprocess.run(argv, check=False, timeout=LIMIT_S, capture_output=True)
    return said.read_text(errors="replace")


def judge(text: str) -> bool:
    """Return whether the limit was enforced: there, not reached by the agent, and deadly for the control."""
    return (
        "SEEN limits: memory.max 209715200, high 167772160, pids.max 64" in text
        and "edge_readings_total 20000" in text
        and re.search(r"SEEN memory: .* kills 0, restarts 0", text) is not None
        and "SEEN offline.conf: active" in text
        and re.search(r"SEEN control of 24 MiB: [1-9]", text) is not None
    )


def main() -> int:
    """Print the missing tools, or run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", type=Path, default=Path(tempfile.gettempdir()) / "edge-agent-base")
    args = parser.parse_args()
    missing = [tool for tool in TOOLS if shutil.which(tool, path="/usr/sbin:/sbin:/usr/bin:/bin") is None]
    if not needs_root() or missing:
        why = "root is needed" if not needs_root() else f"missing: {', '.join(missing)}"
        print(f"virtual: {why}; apt-get install debootstrap qemu-system-x86 e2fsprogs", file=sys.stderr)
        return 69
    folder = Path(tempfile.mkdtemp(prefix="edge-agent-virtual-"))
    try:
        bootstrap(args.base)
        fill(folder / "root", args.base)
        begun = time.monotonic()
        text = boot(folder, folder / "root")
        print("\n".join(line for line in text.splitlines() if line.startswith("SEEN ")))
        print(f"{'all held' if judge(text) else 'NOT as it should be'}, {time.monotonic() - begun:.0f} s")
        return int(not judge(text))
    except (ContainerError, subprocess.TimeoutExpired) as error:
        print(f"virtual: {error}", file=sys.stderr)
        return 69
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
