"""Measures of the source tree: imports between folders, sizes, lines by folder.

Run as ``python -m tests.codebase.measure [CHECKOUT ...]``; each checkout is one column. A loose file
directly below ``agent/`` or ``simulator/`` counts as a folder. An arrow is an import between two folders;
imports for type checking and inside functions count. A circle is a set of folders or files that reach each
other. The floors are the folders on the longest way down.
"""

import ast
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PACKAGES = ("agent", "simulator")
FILE_SIZES = (60, 100, 200, 300, 450)
Graph = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Module:
    """One source file of a package."""

    name: str
    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    def code_lines(self) -> list[str]:
        """Return the lines that hold code: no blank lines, comments and docstrings."""
        skipped: set[int] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                skipped.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        return [
            line
            for number, line in enumerate(self.text.splitlines(), 1)
            if number not in skipped and line.strip() and not line.lstrip().startswith("#")
        ]

    def functions(self) -> Iterator[int]:
        """Yield the length of each function, in lines."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield (node.end_lineno or node.lineno) - node.lineno + 1

    def imported(self) -> Iterator[str]:
        """Yield the full names that it imports, wherever in the file."""
        package = self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    above = package.split(".")[: len(package.split(".")) - node.level + 1]
                    base = ".".join([*above, *([base] if base else [])])
                yield from (f"{base}.{alias.name}" for alias in node.names)


def modules(root: Path, package: str) -> list[Module]:
    """Return the modules of a package, in order of their names."""
    found = []
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append(Module(name, path))
    return found


def folder_arrows(files: Graph) -> Graph:
    """Return for each folder the folders that it imports."""
    graph: dict[str, set[str]] = {folder_of(name): set() for name in files if "." in name}
    for name, targets in files.items():
        if "." in name:
            graph[folder_of(name)].update(folder_of(target) for target in targets if "." in target)
    return {folder: frozenset(targets - {folder}) for folder, targets in sorted(graph.items())}


def file_arrows(found: list[Module]) -> Graph:
    """Return for each file the files of its package that it imports, by module names."""
    names = {module.name for module in found}
    graph = {}
    for module in found:
        targets = {name if name in names else name.rpartition(".")[0] for name in module.imported()}
        graph[module.name] = frozenset(targets & names - {module.name})
    return graph


def folder_of(name: str) -> str:
    """Return the second part of a module name."""
    return name.split(".")[1]


def circles(graph: Graph) -> list[frozenset[str]]:
    """Return the sets of two or more folders that reach each other."""
    reach = {folder: _reached(graph, folder) for folder in graph}
    sets = {frozenset({one} | {other for other in reach[one] if one in reach[other]}) for one in graph}
    return sorted((one for one in sets if len(one) > 1), key=sorted)


def _reached(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        folder = waiting.pop()
        if folder not in seen:
            seen.add(folder)
            waiting += graph[folder]
    return seen


def floors(graph: Graph) -> int:
    """Return the number of floors, a circle counted as one folder."""
    joined = {folder: one for one in circles(graph) for folder in one}
    heights: dict[str, int] = {}

    def height(folder: str) -> int:
        if folder not in heights:
            own = joined.get(folder, frozenset({folder}))
            below = {other for one in own for other in graph[one]} - own
            heights[folder] = 1 + max(map(height, below), default=0)
        return heights[folder]

    return max(map(height, graph), default=0)


def quantile(values: list[int], share: float) -> int:
    """Return the value that ``share`` of the sorted values do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def spread(values: list[int]) -> str:
    """Return median, 90th and 99th percentile and maximum."""
    numbers = (statistics.median_low(values), quantile(values, 0.9), quantile(values, 0.99), max(values))
    return " / ".join(map(str, numbers))


def graph_rows(root: Path, package: str) -> Iterator[tuple[str, str]]:
    """Yield the measures of the imports of a package."""
    files = file_arrows(modules(root, package))
    folders = folder_arrows(files)
    yield f"{package}: folders", str(len(folders))
    yield f"{package}: floors", str(floors(folders))
    yield f"{package}: arrows", str(sum(map(len, folders.values())))
    for what, graph in (("folders", folders), ("files", files)):
        found = [str(len(one)) for one in circles(graph)]
        yield f"{package}: circles, with so many {what} each", ", ".join(found) or "none"


def size_rows(root: Path, package: str) -> Iterator[tuple[str, str]]:
    """Yield the measures of files and functions of a package."""
    found = modules(root, package)
    files = [module.lines for module in found]
    code = [line for module in found for line in module.code_lines()]
    yield f"{package}: files, lines", f"{len(files)}, {sum(files):,}"
    yield f"{package}: lines of code", f"{len(code):,}"
    yield f"{package}: mean length of a line of code", f"{statistics.mean(map(len, code)):.1f}"
    yield f"{package}: functions", str(sum(1 for module in found for _ in module.functions()))
    lengths = [length for module in found for length in module.functions()]
    yield f"{package}: function lines, median / 90 % / 99 % / most", spread(lengths)
    yield f"{package}: file lines, median / 90 % / 99 % / most", spread(files)
    for low, high in zip((0, *FILE_SIZES), (*FILE_SIZES, 1 << 30), strict=True):
        words = f"{low} to {high - 1}" if high < 1 << 30 else f"{low} and more"
        yield f"{package}: files of {words} lines", str(sum(low <= size < high for size in files))


def folder_rows(root: Path) -> Iterator[tuple[str, str]]:
    """Yield files and lines of each folder of the packages, loose files as one row, and of the tests."""
    lines: Counter[str] = Counter()
    files: Counter[str] = Counter()
    for package in PACKAGES:
        for module in modules(root, package):
            parts = module.path.relative_to(root).parts
            folder = "/".join(parts[:2]) + "/" if len(parts) > 2 else f"{package}/*.py"
            lines[folder] += module.lines
            files[folder] += 1
    for path in (root / "tests").rglob("*.py"):
        lines["tests/"] += len(path.read_text().splitlines())
        files["tests/"] += 1
    for folder in lines:
        yield folder, f"{files[folder]}, {lines[folder]:,}"


def table(title: str, columns: Mapping[str, Mapping[str, str]], names: Iterable[str]) -> str:
    """Return a Markdown table with one column per checkout."""
    rows = [[title, *columns], ["---"] * (len(columns) + 1)]
    rows += [[name, *(column.get(name, "-") for column in columns.values())] for name in names]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def report(roots: list[Path]) -> str:
    """Return both tables: the measures, and files and lines by folder."""
    sizes = {
        root.name: dict(
            row for package in PACKAGES for row in (*graph_rows(root, package), *size_rows(root, package))
        )
        for root in roots
    }
    folders = {root.name: dict(folder_rows(root)) for root in roots}
    names = sorted({name for column in folders.values() for name in column})
    measures = table("measure", sizes, next(iter(sizes.values())))
    return f"{measures}\n\n{table('files, lines', folders, names)}"


if __name__ == "__main__":
    print(report([Path(argument).resolve() for argument in sys.argv[1:]] or [Path.cwd()]))
