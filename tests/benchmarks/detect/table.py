"""Tables of figures, mean and spread over seeds, as plain text and as JSON."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Figure:
    """Mean and spread (population standard deviation) over seeds."""

    mean: float
    spread: float = 0.0
    digits: int = 0

    @classmethod
    def of(cls, values: Iterable[float], digits: int = 0) -> "Figure | None":
        """Return the figure of one value per seed, None without values."""
        known = list(values)
        return cls(statistics.fmean(known), statistics.pstdev(known), digits) if known else None

    def __str__(self) -> str:
        text = f"{self.mean:.{self.digits}f}"
        spread = f"{self.spread:.{self.digits}f}"
        return text if not float(spread) else f"{text}±{spread}"


Cell = Figure | str | int | None


@dataclass(slots=True)
class Table:
    """Rows of a name and one cell per column."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, tuple[Cell, ...]]] = field(default_factory=list)

    def add(self, name: str, *cells: Cell) -> None:
        """Append a row."""
        self.rows.append((name, cells))

    def __str__(self) -> str:
        lines = [("", *self.columns)]
        lines += [(name, *("" if cell is None else str(cell) for cell in cells)) for name, cells in self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        body = (
            "  ".join(
                text.ljust(width) if place == 0 else text.rjust(width)
                for place, (text, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )
        return "\n".join((self.title, *body))

    def as_json(self) -> dict[str, Any]:
        """Return the table as JSON values; a figure is ``[mean, spread]``."""
        return {
            "title": self.title,
            "columns": list(self.columns),
            "rows": [[name, *map(_plain, cells)] for name, cells in self.rows],
        }


def _plain(cell: Cell) -> Any:
    return [round(cell.mean, 4), round(cell.spread, 4)] if isinstance(cell, Figure) else cell


@dataclass(frozen=True, slots=True)
class Promise:
    """One promised figure: what, the line that is promised, the figure, and whether it is kept."""

    what: str
    wanted: str
    shown: Cell
    kept: bool


@dataclass(slots=True)
class Report:
    """The tables, promises and pictures of one family of rows."""

    tables: list[Table] = field(default_factory=list)
    promises: list[Promise] = field(default_factory=list)
    pictures: dict[str, str] = field(default_factory=dict)  # SVG text by file name


def spread_out(work: Callable[[Item], Result], items: Sequence[Item], jobs: int) -> list[Result]:
    """Return ``work`` of each item, in order, by ``jobs`` processes."""
    if jobs <= 1 or len(items) <= 1:
        return [work(item) for item in items]
    with ProcessPoolExecutor(jobs) as pool:
        return list(pool.map(work, items))
