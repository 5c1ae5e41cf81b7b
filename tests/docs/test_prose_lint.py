"""The prose lint: each rule finds its construction, and plain sentences pass."""

from pathlib import Path

import pytest

from docs import prose_lint

BROKEN = (  # one sentence for each rule, in the order of the rules
    "Whoever has no login is refused.",
    "What arrived is journaled.",
    "The queue is full. What arrives is dropped.",
    "A copy of what arrived.",
    "The slot comes first, so who waits holds no money.",
    "The journal tells the link.",
    "The broker says that it is full.",
    "The agent heard a message.",
    "The agent starts anew.",
    "The reason stands in the log.",
    "The value is kept, for it may be right.",
    "Empty, but for the lock.",
    "Refused for want of a price.",
    "It runs beside the broker.",
    "The file is no database.",
    "An id by which repeats are found.",
    "A turn may end amid a row.",
    "A second connection is the witness.",
    "- The first item ends. - The second begins.",
    "1 call(s) failed.",
)
PLAIN = (
    "The log reports what is wrong and what to do.",
    "There is no limit.",
    "It is no longer read.",
    "Who may read this topic?",
    "The status quotes `what is told`.",
    "A person who has a login can subscribe.",
)


def lint(folder: Path, name: str, text: str) -> list[str]:
    """Return the findings in a file of this name."""
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return [finding.words for finding in prose_lint.check(file)]


def test_each_rule_has_an_example() -> None:
    """Each sentence breaks its own rule."""
    for sentence, (pattern, _) in zip(BROKEN, prose_lint.RULES, strict=True):
        assert pattern.search(sentence), sentence


@pytest.mark.parametrize("sentence", PLAIN)
def test_plain_sentences_pass(tmp_path: Path, sentence: str) -> None:
    """Indirect questions, code and relative clauses after a noun are right."""
    assert lint(tmp_path, "page.md", sentence) == []


def test_code_of_a_page_is_not_prose(tmp_path: Path) -> None:
    """Fenced and indented code is left out, prose around it is not."""
    page = "```\nit says so\n```\n\n    it says so\n\nit says so\n"
    assert lint(tmp_path, "page.md", page) == ["says"]


def test_long_lines_of_a_page_are_found(tmp_path: Path) -> None:
    """Prose wraps at 100 characters; rows of tables do not."""
    assert lint(tmp_path, "page.md", "word " * 21) != []
    assert lint(tmp_path, "page.md", "| " + "word " * 21 + "|") == []


def test_docstrings_comments_and_messages_are_prose(tmp_path: Path) -> None:
    """A name, a key or SQL is not a message."""
    source = '"""It says."""\n# it said\nfail(f"{1} stood in the file")\nkey = "says"\n'
    source += 'rows = "SELECT id FROM told"\n'
    assert lint(tmp_path, "code.py", source) == ["said", "says", "stood"]


def test_messages_of_tests_are_data(tmp_path: Path) -> None:
    """Tests hold foreign texts; only their docstrings and comments count."""
    (tmp_path / "tests").mkdir()
    assert lint(tmp_path / "tests", "code.py", 'x = "he said so there"\n') == []


def test_an_escape_counts_for_its_literal(tmp_path: Path) -> None:
    """The comment may be on any line of the literal."""
    assert lint(tmp_path, "code.py", '"""A person\nsays so."""  # prose: ok\n') == []


def test_a_long_head_is_found(tmp_path: Path) -> None:
    """The first line of a module fits a list of modules."""
    assert lint(tmp_path, "code.py", f'"""{"word " * 17}."""\n') != []
