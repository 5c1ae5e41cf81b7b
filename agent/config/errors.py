"""What is wrong with a configuration."""

from collections.abc import Sequence

from agent.records import AgentError


class ConfigError(AgentError):
    """One or more faults in a configuration; each of ``problems`` is one line for a person."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))
