"""Mutants are small and compile, and the list of equivalent ones is of this code."""

import ast
from pathlib import Path

import pytest
import yaml

from tests.mutation.__main__ import EQUIVALENT, REPO
from tests.mutation.mutants import mutants
from tests.mutation.targets import TARGETS

pytestmark = pytest.mark.slow

MODULES = [module for target in TARGETS.values() for module in target.modules]
CODE = '''
"""A docstring stays."""

LIMIT = 3


def clip(value: int | None, items: list[int]) -> list[int]:
    """Return some."""
    if value is None or value > LIMIT:
        raise ValueError(f"{value} is too large")
    return items[1:value]
'''


def test_each_kind_of_change(tmp_path: Path) -> None:
    """Operators, constants, conditions, slices, returns and statements; not texts, types and messages."""
    path = tmp_path / "code.py"
    path.write_text(CODE)
    assert [mutant.name for mutant in mutants(path)] == [
        "module: 3 -> 4",
        "clip: value is None or value > LIMIT -> value is None and value > LIMIT",
        "clip: value is None or value > LIMIT -> not (value is None or value > LIMIT)",
        "clip: value is None or value > LIMIT -> False",
        "clip: value is None -> value is not None",
        "clip: value > LIMIT -> value >= LIMIT",
        "clip: value > LIMIT -> value <= LIMIT",
        "clip: raise ValueError(f'{value} is too large') -> pass",
        "clip: return items[1:value] -> return None",
        "clip: _[1:value] -> _[:value]",
        "clip: _[1:value] -> _[1:]",
        "clip: 1 -> 2",
    ]


@pytest.mark.parametrize("module", MODULES)
def test_every_mutant_is_a_program_of_its_own(module: str) -> None:
    """It compiles and differs from the module and from all other mutants of a sample."""
    path = REPO / module
    found = mutants(path)[::10]
    texts = {ast.dump(mutant.tree()) for mutant in found}
    assert len(texts) == len(found)
    assert ast.dump(ast.parse(path.read_text())) not in texts
    for mutant in found:
        compile(mutant.tree(), module, "exec")


def test_the_equivalent_mutants_exist_and_have_a_reason() -> None:
    """An entry that fits no mutant any more is taken out."""
    listed = yaml.safe_load(EQUIVALENT.read_text())
    for module, entries in listed.items():
        names = {mutant.name for mutant in mutants(REPO / module)}
        assert entries.keys() <= names, module
        assert all(entries.values())
