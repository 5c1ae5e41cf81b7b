"""The faults of a configuration."""

from collections.abc import Sequence

from agent.domain.records import AgentError


def one_line(text: str) -> str:
    """Return ``text`` with everything that could steer a terminal or begin a line escaped."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in text
    )


class ConfigFaultError(AgentError):
    """A fault of ours while a configuration was read; the text names kind and place."""


class ConfigError(AgentError):
    """One or more faults in a configuration; each of ``problems`` is one line for a person."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(map(one_line, problems))
        super().__init__("; ".join(self.problems))
