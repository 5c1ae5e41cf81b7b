"""Every compiled pattern of the product takes linear time on adversarial text."""

import ast
import importlib
import pkgutil
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from re import _parser  # type: ignore[attr-defined]  # the only way to see the words in a pattern
from types import ModuleType
from typing import Any, NamedTuple

import pytest

import agent
from agent.config.strict_yaml import _Loader
from agent.detect.limits import Limit
from agent.detect.tuning import Tuning
from tests.support.growth import MOST, growth, shapes

SIZE = 4096
MAX_WORDS = 6
FUNCTIONS = {"compile", "search", "match", "fullmatch", "split", "findall", "finditer", "sub", "subn"}
#: Modules that run a program when imported.
PROGRAMS = {"agent.__main__", "agent.config.__main__"}
SEARCHED = (
    re.compile(r"(?i)(?<!\w)pm2[_ ]5(?!\w)"),
    re.compile(r"(?:the device |device )?\bA\b", re.IGNORECASE),
)
#: Patterns that are made while the agent runs, by file and function, each with an example of it.
MADE = {
    ("detect/limits.py", "__post_init__"): Limit("*a*b*[cd]*/*?x")._regex,
    ("detect/tuning.py", "__post_init__"): Tuning("*a*b*[cd]*/*?x")._regex,
    ("prompt/sentence.py", "strip_words"): SEARCHED[0],
    ("prompt/parse.py", "_summary"): SEARCHED[1],
}
#: Those that see our own files only.
OWN = {("web/page.py", "_hashes")}


class Found(NamedTuple):
    """A pattern, and whether it is sought at every place of a text."""

    pattern: re.Pattern[Any]
    searched: bool


def modules() -> list[ModuleType]:
    names = [found.name for found in pkgutil.walk_packages(agent.__path__, "agent.")]
    return [importlib.import_module(name) for name in names if name not in PROGRAMS]


def patterns_in(value: Any, depth: int = 6) -> Iterator[re.Pattern[Any]]:
    """Yield the patterns in a module, a class or a collection."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict) and depth:
        for item in value.values():
            yield from patterns_in(item, depth - 1)
    elif isinstance(value, list | tuple | set | frozenset) and depth:
        for item in value:
            yield from patterns_in(item, depth - 1)
    elif isinstance(value, type) and value.__module__.startswith("agent") and depth:
        for item in list(vars(value).values()):
            yield from patterns_in(item, depth - 1)


class Sources(NamedTuple):
    """The product's use of patterns, as its files spell it."""

    uses: dict[str, set[str]]  # the methods that are called on objects of a name
    written: list[tuple[str, str, str | bytes | None]]  # file, function, text; None where it is put together


def nodes(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield each node below ``tree`` with the name of the function around it."""
    below = [("", tree)]
    while below:
        function, node = below.pop()
        yield function, node
        within = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else function
        below += [(within, child) for child in ast.iter_child_nodes(node)]


def is_pattern(function: ast.expr) -> bool:
    """Return whether it is one of the functions of ``re`` that take a pattern."""
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id == "re"
        and function.attr in FUNCTIONS
    )


def read_sources() -> Sources:
    """Read each file of the product once."""
    folder = Path(agent.__file__).parent
    found = Sources(defaultdict(set), [])
    for path in sorted(folder.rglob("*.py")):
        for function, node in nodes(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.module != "re", f"{path}: write re.compile(...), so that its patterns are found"
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
                name = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
                found.uses[name].add(node.attr)
            elif isinstance(node, ast.Call) and is_pattern(node.func):
                first = node.args[0]
                text = first.value if isinstance(first, ast.Constant) else None
                assert text is None or isinstance(text, str | bytes)
                found.written.append((str(path.relative_to(folder)), function, text))
    return found


def collect() -> dict[tuple[str | bytes, int], Found]:
    """Return every pattern of the product; those that are only ever matched from their start are so noted."""
    by_yaml = {one.pattern for one in patterns_in(_Loader.yaml_implicit_resolvers)}  # it calls match
    found = [Found(one, searched=False) for one in MADE.values()]
    found += [Found(one, searched=True) for one in SEARCHED]
    for module in modules():
        for name, value in vars(module).items():
            called = SOURCES.uses[name]
            searched = not called or not called <= {"match", "fullmatch"}
            found.extend(Found(one, searched and one.pattern not in by_yaml) for one in patterns_in(value))
    for _, function, text in SOURCES.written:
        if function and text is not None:
            found.append(Found(re.compile(text), searched=True))
    kept: dict[tuple[str | bytes, int], Found] = {}
    for one in found:
        key = (one.pattern.pattern, one.pattern.flags)
        kept[key] = Found(one.pattern, one.searched or (key in kept and kept[key].searched))
    return kept


SOURCES = read_sources()
PATTERNS = collect()


def words_of(pattern: re.Pattern[Any]) -> tuple[str, ...]:
    """Return the literal beginnings in a pattern: what makes it hope for more."""
    found: dict[str, None] = {}

    def walk(parsed: Any) -> None:
        word = ""
        for code, value in parsed:
            if str(code) == "LITERAL":
                word += chr(value)
                continue
            if word:
                found[word] = None
            word = ""
            for part in value if isinstance(value, tuple | list) else ():
                for inner in part if isinstance(part, list) else [part]:
                    if isinstance(inner, _parser.SubPattern):
                        walk(inner)
        if word:
            found[word] = None

    walk(_parser.parse(pattern.pattern, pattern.flags))
    # Of a long list of words, as many as differ in how they begin: one word fares as the next.
    first = {word[0]: word for word in sorted(found, reverse=True)}
    rest = [word for word in sorted(found, key=len, reverse=True) if word not in first.values()]
    return (*first.values(), *rest)[:MAX_WORDS]


def worst(found: Found) -> tuple[float, str]:
    """Return the largest growth that any text brings about, and the text."""
    pattern = found.pattern
    binary = isinstance(pattern.pattern, bytes)

    def work(text: str) -> None:
        subject: Any = text.encode("utf-8", "surrogatepass") if binary else text
        if found.searched:
            pattern.sub(subject[:0], subject)
        pattern.match(subject)
        pattern.fullmatch(subject)

    most = (0.0, "")
    for name, make in shapes(words_of(pattern), end="!"):
        ratio = growth(work, make, SIZE)
        most = max(most, (ratio, name))
        if most[0] > MOST:
            break
    return most


@pytest.mark.parametrize("key", PATTERNS, ids=lambda key: ascii(key[0])[:48])
def test_a_pattern_is_linear(key: tuple[str | bytes, int]) -> None:
    """Runs of every kind of character, after each beginning, cost in proportion to their length."""
    ratio, text = worst(PATTERNS[key])
    assert ratio <= MOST, f"{key[0]!r} grows {ratio:.0f} times with an input 8 times as long: {text}"


@pytest.mark.parametrize(
    "pattern",
    [
        re.compile(r"^\s*(?:system|user)\s*:", re.MULTILINE),
        re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL),
        re.compile(r"```[a-zA-Z]*\s*\n?(.*?)```", re.DOTALL),
        re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b"),
        re.compile(rb"\d+x"),
    ],
    ids=lambda one: ascii(one.pattern),
)
def test_a_quadratic_pattern_is_found(pattern: re.Pattern[Any]) -> None:
    """The patterns that once stopped the agent fail the test above."""
    assert worst(Found(pattern, searched=True))[0] > MOST


def test_no_pattern_is_overlooked() -> None:
    """Patterns compiled at import are found; each one built while running has an example."""
    assert len(PATTERNS) > 40
    made = {(file, function) for file, function, text in SOURCES.written if function and text is None}
    assert made == MADE.keys() | OWN
    known = {one.pattern.pattern for one in PATTERNS.values()}
    assert {text for _, function, text in SOURCES.written if not function and text is not None} <= known
    assert all(name in sys.modules for name in ("agent.observe.otlp", "agent.ai.openai_http"))
