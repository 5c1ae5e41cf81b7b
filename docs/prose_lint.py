"""Prose lint over pages, docstrings, comments and messages.

`python docs/prose_lint.py` checks the whole tree, and `python docs/prose_lint.py PATH...` those files
and folders. A line that is right nevertheless ends with the comment `prose: ok`.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
ESCAPE = "prose: ok"
WIDTH = 100
HEAD = 80
SUFFIXES = {".md", ".py", ".yaml", ".yml", ".sh", ".service", ".toml", ".conf"}
WORDS = 3  # a literal of fewer words is a key, a label or a name
SQL = re.compile(r"\s*(?:CREATE|DELETE|INSERT|SELECT|UPDATE|WITH) ")  # names of tables are not prose


class Line(NamedTuple):
    """A line of prose and where it is."""

    path: Path
    number: int
    text: str


class Finding(NamedTuple):
    """A broken rule: the place, the words, the remedy."""

    path: Path
    number: int
    words: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}:{self.number}: {self.words!r}: {self.remedy}"


PREPOSITIONS = (
    "of|from|to|by|with|for|than|behind|after|before|at|in|on|into|as|beyond|above|below|without|over|between"
)

# Words and their replacements. A clause that begins with "what" may be an indirect question ("reports what is
# wrong") and then is right, so a rule refuses only the positions of a noun.
RULES = tuple(
    (re.compile(pattern, re.IGNORECASE if pattern.islower() else 0), remedy)
    for pattern, remedy in (
        (r"\bwhoever\b", "name the person or the program"),
        (r"^(?:What|Who) (?!.*\?)", "begin with the thing, not with a clause"),
        (r"(?<=[.:;] )(?:What|Who) [^?]*(?:$|\.)", "begin with the thing, not with a clause"),
        (rf"\b(?:{PREPOSITIONS}) what\b", "name the thing"),
        (rf"\b(?:so|that|but|because|{PREPOSITIONS}) who\b", "name the person or the program"),
        (r"\b(?:tells?|told|telling|untold)\b", "report, notify, log, return"),
        (r"\b(?:says?|said|saying)\b", "report, state, log, print"),
        (r"\b(?:hears?|heard)\b", "receive"),
        (r"\banew\b", "again, restart"),
        (r"\b(?:stands?|stood|lies?|lay|lain|bears?|bore|borne)\b(?!-)", "is, has, remains"),
        (r"[,;:] for (?:it|they|there|we|you|nobody|nothing|this|that|he|she)\b", "because"),
        (r"\bbut for\b", "except"),
        (r"\bfor want of\b", "without"),
        (r"\bbesides?\b", "next to, in addition to, except"),
        (r"(?<!\bthere )\b(?:is|are|was|were|be) no (?!longer|more\b)", "is not a, has no"),
        (r"\bby which\b", "so that, with which"),
        (r"\b(?:amid|lest|whence|whereby|wherein|thereby|thereof|ere|aught|nought)\b", "use a plain word"),
        (
            r"\b(?:crossings|rooms|desk|scribe|witness(?:es)?|harvest(?:s|ed)?|wary)\b",
            "use the term of the field",
        ),
        (r"\. - (?=[A-Z`])", "begin each item of a list on a line of its own"),
        (r"\w\(s\)", "count, then write the singular or the plural"),
    )
)


def prose(path: Path) -> Iterator[Line]:
    """Yield the lines of prose in a file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return markdown(path, text)
    if path.suffix == ".py":
        return python(path, text)
    return comments_of_hash(path, text)


def markdown(path: Path, text: str) -> Iterator[Line]:
    """Yield the lines outside code; code within a line becomes a placeholder."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and not line.startswith("    ") and ESCAPE not in line:
            yield Line(path, number, line)


def python(path: Path, text: str) -> Iterator[Line]:
    """Yield docstrings, comments and, outside tests, literals of several words."""
    escaped = set[int]()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            if ESCAPE in token.string:
                escaped.add(token.start[0])
            else:
                yield Line(path, token.start[0], token.string.lstrip("# "))
    for node, body in literals(ast.parse(text), messages="tests" not in path.parts):
        if escaped.isdisjoint(range(node.lineno, (node.end_lineno or node.lineno) + 1)):
            for offset, line in enumerate(body.split("\n")):
                yield Line(path, node.lineno + offset, line.strip())


def literals(tree: ast.Module, *, messages: bool) -> Iterator[tuple[ast.expr, str]]:
    """Yield each docstring, and each other literal of several words if `messages`."""
    docstrings = set[ast.AST]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str(body)) as literal), *_]:
                    docstrings.add(literal)
                    yield literal, body
    for node in ast.walk(tree) if messages else ():
        if isinstance(node, ast.JoinedStr):
            parts = [value for value in node.values if isinstance(value, ast.Constant)]
            docstrings.update(parts)
            body = "{}".join(str(part.value) for part in parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
            body = node.value
        else:
            continue
        if len(re.findall(r"[A-Za-z]{2,}", body)) >= WORDS and not SQL.match(body):
            yield node, body


def comments_of_hash(path: Path, text: str) -> Iterator[Line]:
    """Yield the comments of YAML, shell and configuration files."""
    for number, line in enumerate(text.splitlines(), 1):
        comment = re.search(r"(?:^|\s)#\s+(.*)", line)
        if comment and ESCAPE not in line:
            yield Line(path, number, comment[1])


def check(path: Path) -> Iterator[Finding]:
    """Yield what breaks a rule in one file."""
    for line in prose(path):
        text = re.sub(r"^#+ .*|^\s*(?:[-*>]|\d+\.) ", "", line.text)
        text = re.sub(r"`[^`]*`|\]\([^)]*\)|\"[^\"]*\"", "CODE", text)
        for pattern, remedy in RULES:
            if found := pattern.search(text):
                yield Finding(path, line.number, found[0][:40], remedy)
        if path.suffix == ".md" and len(line.text) > WIDTH and not line.text.startswith(("|", "!", "[", "#")):
            yield Finding(path, line.number, line.text[:40], f"wrap at {WIDTH} characters")
    if path.suffix == ".py":
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        head = docstring.split("\n", 1)[0]
        if len(head) > HEAD:
            yield Finding(path, 1, head[:40], f"a first line has at most {HEAD} characters")


def tracked(paths: list[str]) -> list[Path]:
    """List the files with prose that git knows below `paths`, without this one, which lists the words."""
    listed = subprocess.run(  # noqa: S603  # fixed program, paths of a developer
        ["git", "ls-files", "-co", "--exclude-standard", "--", *paths],  # noqa: S607
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    files = [ROOT / name for name in listed.stdout.splitlines()]
    return [
        file
        for file in files
        if file.suffix in SUFFIXES and file.is_file() and file != Path(__file__).resolve()
    ]


def main(paths: list[str]) -> int:
    """Print the findings, return 1 if there is any."""
    findings = [finding for path in tracked(paths or ["."]) for finding in check(path)]
    for finding in findings:
        print(finding._replace(path=finding.path.relative_to(ROOT)))
    return min(len(findings), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
