"""The measures of the source tree, on a small tree."""

from pathlib import Path

from tests.codebase.measure import circles, file_arrows, floors, folder_arrows, modules, report

FILES = {
    "agent/__init__.py": "",
    "agent/app.py": "from agent import web\nfrom agent.web.page import show\n\n\ndef run():\n    show()\n",
    "agent/web/__init__.py": '"""A page."""\n\nfrom .page import show\n',
    "agent/web/page.py": (
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from agent.status import Status\n"
        "def show():\n    return 1\n"
    ),
    "agent/status.py": "def status():\n    import agent.web.page\n",
    "agent/words.py": "import json\n",
    "simulator/hub.py": "def hub():\n    return 1  # one\n",
    "tests/test_x.py": "",
}


def tree(folder: Path) -> Path:
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_folders_arrows_circles_and_floors(tmp_path: Path) -> None:
    """Imports for type checking and inside functions count; those within a room do not."""
    files = file_arrows(modules(tree(tmp_path), "agent"))
    assert files["agent.web"] == {"agent.web.page"}
    folders = folder_arrows(files)
    assert folders == {"app": {"web"}, "status": {"web"}, "web": {"status"}, "words": set()}
    assert circles(folders) == [{"status", "web"}]
    assert circles(files) == [{"agent.status", "agent.web.page"}]
    assert floors(folders) == 2


def test_the_report_compares_checkouts(tmp_path: Path) -> None:
    """A column for each, with a dash where a folder does not exist."""
    before, after = tree(tmp_path / "before"), tree(tmp_path / "after")
    (after / "agent/new").mkdir()
    (after / "agent/new/room.py").write_text('"""Doc."""\n\n# why\nONE = 1\n')
    text = report([before, after])
    assert "| measure | before | after |" in text
    assert "| agent: folders | 4 | 5 |" in text
    assert "| agent: lines of code | 13 | 14 |" in text
    assert "| agent/new/ | - | 1, 4 |" in text
