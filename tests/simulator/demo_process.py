"""The demo as a process that is read line by line."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.broker import free_port

ROOT = Path(__file__).parents[2]


def write_config(folder: Path, name: str = "demo") -> Path:
    """Write the demo's configuration with a port that nothing else uses."""
    text = (ROOT / "configs" / "demo.yaml").read_text()
    path = folder / f"{name}.yaml"
    path.write_text(text.replace("127.0.0.1:8000", f"127.0.0.1:{free_port()}"))
    return path


class Demo:
    """One run with ``config``. It ends when it is interrupted, at the latest after five minutes."""

    def __init__(self, folder: Path, config: Path, *options: str, **environ: str) -> None:
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("OPENAI_", "EDGE_"))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "simulator", "demo", "--config", str(config), "--for", "300", *options],
            cwd=ROOT,
            env={**kept, "TMPDIR": str(folder), **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdout is not None
        self._out = self._process.stdout
        self.text = ""

    def read_until(self, *signs: str) -> None:
        """Read lines until each of ``signs`` was in one of them, however slow the machine is."""
        missing = set(signs)
        while missing:
            line = self._out.readline()
            assert line, f"it ended without {missing}:\n{self.text}"
            self.text += line
            missing = {sign for sign in missing if sign not in line}

    def end(self) -> int:
        """Read the rest and return the exit code."""
        self.text += self._out.read()
        return self._process.wait(120)

    def interrupt(self) -> int:
        """Do as Ctrl-C does, and return the exit code."""
        self._process.send_signal(signal.SIGINT)
        return self.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()  # so that it ends what it started
        self._process.wait(60)
        self._out.close()
