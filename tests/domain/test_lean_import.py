"""Libraries that are imported with placeholders for unused modules."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.domain.lean_import import import_without

Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write modules ``lib_...`` and ``rest_...`` that can be imported until the end of the test."""
    monkeypatch.syspath_prepend(tmp_path)
    path = sys.meta_path[:]

    def write_one(name: str, text: str) -> None:
        file = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")

    yield write_one
    assert sys.meta_path == path
    for name in [one for one in sys.modules if one.startswith(("lib_", "rest_"))]:
        del sys.modules[name]


def test_what_is_left_out_can_be_a_base_class_and_is_there_for_others(write: Write) -> None:
    """The library has empty classes; a later import gets the real module."""
    write("rest_of.server", "class Server:\n    port = 80\n")
    write("rest_of.kept", "")
    write(
        "lib_a",
        "import rest_of.kept\nfrom rest_of.server import Server\nclass Mine(Server): ...\nworks = 1\n",
    )
    import_without(["rest_of.server"], "lib_a")
    library = sys.modules["lib_a"]
    assert (library.works, hasattr(library.Mine, "port")) == (1, False)
    assert "rest_of.server" not in sys.modules
    assert not hasattr(sys.modules["rest_of"], "server")

    from rest_of.server import Server  # type: ignore[import-not-found]  # noqa: PLC0415

    assert Server.port == 80


def test_a_module_that_is_there_already_is_used(write: Write) -> None:
    """Nothing is taken away from those who imported it before."""
    write("rest_b", "port = 80\n")
    write("lib_b", "from rest_b import port\n")
    import_without([], "rest_b")
    import_without(["rest_b"], "lib_b")
    assert sys.modules["lib_b"].port == sys.modules["rest_b"].port == 80


def test_a_version_that_needs_what_is_left_out_is_imported_whole(write: Write) -> None:
    """It may call a function of it, or calculate with a value."""
    write("rest_c", "port = 80\n")
    write("lib_c", "import rest_c\nnext_port = rest_c.port + 1\n")
    import_without(["rest_c"], "lib_c")
    assert sys.modules["lib_c"].next_port == 81


def test_a_fault_of_the_library_is_raised(write: Write) -> None:
    """With placeholders and without them."""
    write("lib_d", "import rest_e\n1 / 0\n")
    with pytest.raises(ModuleNotFoundError, match="rest_e"):
        import_without(["rest_e"], "lib_d")
