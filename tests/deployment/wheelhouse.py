"""A directory of wheels for the installer's tests, made without a network.

The project's own wheel is the real one. In place of its dependencies there is one small wheel that makes
those of the test environment importable, and ``requirements.txt`` of the copied checkout names it with its
hash.
"""

import base64
import hashlib
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

from tests.deployment.readme import REPO

PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "RELEASE.md")
PARTS = ("agent", "simulator", "configs", "docs", "systemd", "pyproject.toml", "LICENSE", *PAGES)
STAND_IN = "edge_agent_test_packages-1.0-py3-none-any.whl"


def copy_checkout(target: Path) -> Path:
    """Copy what an installation needs of the checkout."""
    target.mkdir(parents=True)
    for part in PARTS:
        if (REPO / part).is_dir():
            shutil.copytree(REPO / part, target / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(REPO / part, target / part)
    return target


def set_version(checkout: Path, version: str) -> None:
    """Make another release of a copied checkout."""
    path = checkout / "agent/__init__.py"
    path.write_text(path.read_text().replace('"0.1.0"', f'"{version}"'))


def build(checkout: Path, directory: Path) -> Path:
    """Build the project's wheel and the stand-in into ``directory``, and pin the stand-in."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    argv = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(argv, cwd=checkout, check=True, capture_output=True, timeout=60)
    digest = stand_in(directory / STAND_IN)
    (checkout / "systemd/requirements.txt").write_text(
        f"edge-agent-test-packages==1.0 --hash=sha256:{digest}\n"
    )
    return directory


def stand_in(path: Path) -> str:
    """Write the small wheel; return its SHA-256."""
    info = "edge_agent_test_packages-1.0.dist-info"
    files = {
        "edge_agent_test_packages.pth": sysconfig.get_path("purelib") + "\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: edge-agent-test-packages\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{name},sha256={digest},{len(text.encode())}\n"
            archive.writestr(zipfile.ZipInfo(name), text)
        archive.writestr(zipfile.ZipInfo(f"{info}/RECORD"), f"{record}{info}/RECORD,,\n")
    return hashlib.sha256(path.read_bytes()).hexdigest()
