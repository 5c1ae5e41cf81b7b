"""A log of lines that are on disk as soon as they are written."""

from pathlib import Path
from typing import TextIO


class Lines:
    """Writes lines to a file, from :meth:`open` to :meth:`close`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def open(self) -> None:
        """Begin an empty file."""
        self._file = self._path.open("w", buffering=1)

    def write(self, line: str) -> None:
        """Write one line; what comes before open or after close is dropped."""
        if self._file is not None:
            self._file.write(line + "\n")

    @property
    def is_open(self) -> bool:
        """Whether lines are kept."""
        return self._file is not None

    def close(self) -> None:
        """End the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
