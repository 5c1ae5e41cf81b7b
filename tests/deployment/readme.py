"""The commands of docs/deployment.md in order, and those of the README."""

import re
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
INSTALL = "Install on a gateway"  # the README's section
ELSEWHERE = "on another machine"  # a comment with these words: not typed on the gateway


@dataclass(frozen=True, slots=True)
class Command:
    """One line to type; ``block`` counts the blocks of commands from 1 on."""

    block: int
    text: str
    elsewhere: bool


def page() -> str:
    """Return the text of docs/deployment.md."""
    return (REPO / "docs" / "deployment.md").read_text()


def section(title: str = INSTALL) -> str:
    """Return the text of a section of the README, without its title."""
    text = (REPO / "README.md").read_text()
    return text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def commands(text: str | None = None) -> list[Command]:
    """Return the indented lines of the page, or of ``text``, without their comments."""
    found, block, inside = [], 0, False
    for line in (page() if text is None else text).splitlines():
        if not line.startswith("    "):
            inside = False
            continue
        block += not inside
        inside = True
        command, _, comment = re.sub(r"\s{2,}#", "\0", line.strip(), count=1).partition("\0")
        found.append(Command(block, command.strip(), ELSEWHERE in comment))
    return found


def typed(block: int) -> list[str]:
    """Return what is typed on the gateway in one block."""
    return [one.text for one in commands() if one.block == block and not one.elsewhere]
