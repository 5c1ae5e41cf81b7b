"""No broad handler swallows a fault: it raises, reports, or gives the reason."""

import ast
from collections.abc import Iterator
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
BROAD = {"Exception", "BaseException"}
#: Calls that log or count a fault, or hand it to such a call.
TELLS = {
    "_complain", "_fall_back", "_note", "_log", "_stumbled", "_break", "_put_aside", "append",
    "excepthook", "fail", "fault", "note", "set_exception", "tell",
}  # fmt: skip
#: Handlers that swallow, and why they may.
ALLOWED = {
    ("agent/domain/lean_import.py", "import_without"): "the import is made again, whole, and raises again",
    (
        "agent/ai/stats.py",
        "report",
    ): "it is what reports a fault; a counter holds it already",
    ("agent/decode/receive.py", "plain"): "the long way comes next, fails in the same place, and reports it",
    ("agent/observe/faults.py", "_safely"): "log or metrics are broken; the status still has the fault",
    ("agent/observe/redact.py", "_tidy_nested"): "a foreign __str__; the line names the type in its place",
    ("agent/observe/library_logs.py", "emit"): "a bad format string of a library, in its own handler",
    ("simulator/embedded.py", "run"): "a test broker's client that went away; the message stays owed",
}


def broad(node: ast.expr | None) -> bool:
    """Return whether an exception expression covers everything; None is a bare ``except``."""
    if node is None:
        return True
    names = node.elts if isinstance(node, ast.Tuple) else [node]
    return any(isinstance(name, ast.Name) and name.id in BROAD for name in names)


def tells(body: list[ast.stmt]) -> bool:
    """Return whether the handler raises, reports, or keeps the error for another to raise."""
    for node in (inner for statement in body for inner in ast.walk(statement)):
        if isinstance(node, ast.Raise):
            return True
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in TELLS:
                return True
    return False


def keeps(handler: ast.ExceptHandler) -> bool:
    """Return whether the error itself is returned, put into words or stored, so that it is not lost."""
    if handler.name is None:
        return False
    inner = [one for statement in handler.body for one in ast.walk(statement)]
    return any(isinstance(one, ast.Name) and one.id == handler.name for one in inner)


def silent(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield function and line of each broad handler that neither raises nor reports."""

    def visit(node: ast.AST, function: str) -> Iterator[tuple[str, int]]:
        for child in ast.iter_child_nodes(node):
            inside = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
            if isinstance(child, ast.ExceptHandler) and broad(child.type):
                if not (tells(child.body) or keeps(child)):
                    yield inside, child.lineno
            elif isinstance(child, ast.Call):
                name = getattr(child.func, "attr", getattr(child.func, "id", ""))
                if name == "suppress" and any(broad(one) for one in child.args):
                    yield inside, child.lineno
            yield from visit(child, inside)

    yield from visit(tree, "")


def test_no_broad_handler_is_silent() -> None:
    """In agent and simulator each one raises, reports or keeps the error; the rest is listed."""
    found = set()
    for path in sorted(p for top in ("agent", "simulator") for p in (REPO / top).rglob("*.py")):
        name = path.relative_to(REPO).as_posix()
        for function, line in silent(ast.parse(path.read_text())):
            assert (name, function) in ALLOWED, f"{name}:{line}: a fault of ours would be lost here"
            found.add((name, function))
    assert found == set(ALLOWED)  # an entry whose handler is gone goes too


def test_the_walk_sees_what_it_should() -> None:
    """Each form of swallowing is found; narrow handlers and those that report are not."""
    swallows = [
        "try: f()\nexcept Exception: pass",
        "try: f()\nexcept: pass",
        "try: f()\nexcept (ValueError, BaseException): x = 1",
        "with suppress(Exception): f()",
        "with contextlib.suppress(KeyError, BaseException): f()",
        "try: f()\nexcept Exception as error: x = 1",
    ]
    honest = [
        "try: f()\nexcept ValueError: pass",
        "try: f()\nexcept BaseException:\n    g()\n    raise",
        "try: f()\nexcept Exception as error: self._log('x', exc_info=error)",
        "with suppress(OSError): f()",
    ]
    assert [len(list(silent(ast.parse(one)))) for one in swallows] == [1] * len(swallows)
    assert [len(list(silent(ast.parse(one)))) for one in honest] == [0] * len(honest)
