"""The generated reference: shipped configuration and tables, current and complete."""

from dataclasses import is_dataclass, replace
from typing import Any, get_args

from agent.config import Config, checks
from agent.config.load import load
from agent.config.reference import REPO, agent_yaml, with_tables
from agent.domain.keys import keys_of


def sections(settings: type) -> set[type]:
    """Return ``settings`` and every section below it."""
    found = {settings}
    for one in keys_of(settings).values():
        for kind in (one.type, *get_args(one.type)):
            if isinstance(kind, type) and is_dataclass(kind):
                found |= sections(kind)
    return found


def test_the_shipped_configuration_is_current() -> None:
    """configs/agent.yaml follows from the settings classes; else run `make docs`."""
    assert (REPO / "configs" / "agent.yaml").read_text() == agent_yaml()


def test_the_reference_page_is_current() -> None:
    """The tables of docs/configuration.md follow from the settings classes; else run `make docs`."""
    page = (REPO / "docs" / "configuration.md").read_text()
    assert page == with_tables(page)


def test_the_shipped_configuration_has_the_defaults() -> None:
    """It changes nothing: a person may start from it or from an empty file."""
    assert replace(load(REPO / "configs" / "agent.yaml", {}), origins={}) == Config()


def test_every_key_is_in_the_shipped_configuration() -> None:
    """It leaves nothing out."""
    text = (REPO / "configs" / "agent.yaml").read_text()
    names = {name for settings in sections(Config) for name in keys_of(settings)}
    assert [name for name in sorted(names) if f"{name}:" not in text] == []


def test_every_check_belongs_to_a_key() -> None:
    """A renamed key takes its check along."""
    known: set[Any] = {(settings, name) for settings in sections(Config) for name in keys_of(settings)}
    assert set(checks.VALUES) | set(checks.RAW_VALUES) <= known
    assert set(checks.SECTIONS) <= sections(Config)
