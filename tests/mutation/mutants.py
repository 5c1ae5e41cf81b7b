"""The mutants of a module: one small change of its syntax tree each."""

import ast
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

_COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_CALCULATED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
_STATEMENTS = (ast.Expr, ast.Assign, ast.AugAssign, ast.Delete, ast.Raise)
MAX_SHOWN = 100


@dataclass(frozen=True)
class Mutant:
    """A change: its place, the text before and after, and how to make it."""

    path: Path
    name: str  # "Class.function: before -> after", unique in its module
    number: int
    line: int

    def tree(self) -> ast.Module:
        """Return the syntax tree of the module with the change."""
        tree = ast.parse(self.path.read_text())
        for number, change in enumerate(_changes(tree, "")):
            if number == self.number:
                change.apply()
                return ast.fix_missing_locations(tree)
        raise IndexError(self.number)


@dataclass(frozen=True)
class _Change:
    parent: ast.AST
    field: str
    index: int | None
    node: ast.AST
    new: ast.AST
    place: str

    def apply(self) -> None:
        ast.copy_location(self.new, self.node)
        if self.index is None:
            setattr(self.parent, self.field, self.new)
        else:
            getattr(self.parent, self.field)[self.index] = self.new

    @property
    def text(self) -> str:
        return f"{self.place or 'module'}: {_shown(self.node)} -> {_shown(self.new)}"


def mutants(path: Path) -> list[Mutant]:
    """Return all mutants of a module, in the order of its text."""
    seen: Counter[str] = Counter()
    found = []
    for number, change in enumerate(_changes(ast.parse(path.read_text()), "")):
        seen[change.text] += 1
        again = f" #{seen[change.text]}" if seen[change.text] > 1 else ""
        line = getattr(change.node, "lineno", 0)
        found.append(Mutant(path, change.text + again, number, line))
    return found


def _changes(parent: ast.AST, place: str) -> Iterator[_Change]:
    """Yield the changes below ``parent``: not in docstrings, annotations, decorators and messages."""
    if isinstance(parent, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        place = f"{place}.{parent.name}" if place else parent.name
    for field, value in ast.iter_fields(parent):
        if field in {"annotation", "returns", "decorator_list", "bases", "keywords"} and (
            field != "keywords" or isinstance(parent, ast.ClassDef)
        ):
            continue
        if isinstance(value, list):
            children: list[tuple[int | None, object]] = list(enumerate(value))
        else:
            children = [(None, value)]
        for index, node in children:
            if isinstance(node, ast.AST) and not _is_passed_over(node):
                for new in _replacements(node, parent, in_function=_is_function(place, node)):
                    yield _Change(parent, field, index, node, new, place)
                if not isinstance(node, ast.Raise):
                    yield from _changes(node, place)


def _is_function(place: str, node: ast.AST) -> bool:
    """Return whether a statement is in a function: those of classes and modules are declarations."""
    return bool(place) and getattr(node, "col_offset", 0) >= (8 if place[0].isupper() else 4)


def _is_passed_over(node: ast.AST) -> bool:
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    declared = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "TypeVar"
    checked = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    return docstring or declared or checked or isinstance(node, ast.JoinedStr | ast.Assert)


def _replacements(node: ast.AST, parent: ast.AST, *, in_function: bool) -> Iterator[ast.AST]:
    """Yield the replacements of ``node``."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for kind in _COMPARED[type(node.ops[0])]:
            yield ast.Compare(node.left, [kind()], node.comparators)
    elif isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            new = deepcopy(node)
            new.ops[index] = _COMPARED[type(operator)][0]()
            yield new
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        if len(node.values) > 2:
            for index in range(len(node.values)):
                yield ast.BoolOp(node.op, node.values[:index] + node.values[index + 1 :])
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield node.operand
    elif isinstance(node, ast.BinOp) and type(node.op) in _CALCULATED and not _is_union(node):
        yield ast.BinOp(node.left, _CALCULATED[type(node.op)](), node.right)
    elif isinstance(node, ast.AugAssign) and type(node.op) in _CALCULATED:
        yield ast.AugAssign(node.target, _CALCULATED[type(node.op)](), node.value)
    elif isinstance(node, ast.Constant):
        yield from _constants(node)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _NAMES:
        yield ast.Call(ast.Name(_NAMES[node.func.id], ast.Load()), node.args, node.keywords)
    elif isinstance(node, ast.Slice):
        if node.lower is not None:
            yield ast.Slice(None, node.upper, node.step)
        if node.upper is not None:
            yield ast.Slice(node.lower, None, node.step)
    elif isinstance(node, ast.comprehension):
        for index in range(len(node.ifs)):
            yield ast.comprehension(
                node.target, node.iter, node.ifs[:index] + node.ifs[index + 1 :], node.is_async
            )
    elif isinstance(node, ast.Return) and node.value is not None and ast.unparse(node.value) != "None":
        yield ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Break | ast.Continue):
        yield ast.Continue() if isinstance(node, ast.Break) else ast.Break()
    if isinstance(node, _STATEMENTS) and in_function:
        yield ast.Pass()
    if isinstance(parent, ast.If | ast.IfExp | ast.While) and node is parent.test:
        if not isinstance(node, ast.Compare):  # of a comparison, the opposite operator does it
            yield ast.UnaryOp(ast.Not(), node)
        yield ast.Constant(value=False)


def _is_union(node: ast.BinOp) -> bool:
    """Return whether ``A | B`` joins types."""
    return isinstance(node.op, ast.BitOr) and any(
        (isinstance(side, ast.Name) and side.id[0].isupper()) or ast.unparse(side) in {"int", "float", "str"}
        for side in (node.left, node.right)
    )


def _constants(node: ast.Constant) -> Iterator[ast.AST]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(value=not value)
    elif isinstance(value, int | float):
        yield ast.Constant(value + 1)
    elif isinstance(value, str) and value:
        yield ast.Constant("")
    elif isinstance(value, bytes) and value:
        yield ast.Constant(b"")


def _shown(node: ast.AST) -> str:
    if isinstance(node, ast.comprehension):
        node = ast.ListComp(ast.Name("_", ast.Load()), [node])
    if isinstance(node, ast.Slice):
        node = ast.Subscript(ast.Name("_", ast.Load()), node, ast.Load())
    text = " ".join(ast.unparse(ast.fix_missing_locations(deepcopy(node))).split())
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."
