"""The commands that the README's deployment section tells a stranger to type, in their order."""

import re
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
SECTION = "Deployment"
ELSEWHERE = "on another machine"  # a comment with these words: not typed on the gateway


@dataclass(frozen=True, slots=True)
class Command:
    """One line to type; ``block`` counts the blocks of commands from 1 on."""

    block: int
    text: str
    elsewhere: bool


def section(title: str = SECTION) -> str:
    """Return the text of a section of the README, without its title."""
    text = (REPO / "README.md").read_text()
    return text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def commands() -> list[Command]:
    """Return the indented lines of the section, without their comments."""
    found, block, inside = [], 0, False
    for line in section().splitlines():
        if not line.startswith("    "):
            inside = False
            continue
        block += not inside
        inside = True
        text, _, comment = re.sub(r"\s{2,}#", "\0", line.strip(), count=1).partition("\0")
        found.append(Command(block, text.strip(), ELSEWHERE in comment))
    return found


def typed(block: int) -> list[str]:
    """Return what is typed on the gateway in one block."""
    return [one.text for one in commands() if one.block == block and not one.elsewhere]
