"""Answers to the commands of people, over the broker."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agent.domain.records import Reply
from agent.journal.commands import Refusal
from agent.pipeline.events import CommandDecided
from agent.verdict.command import answer, correlation_of, refused, reply_topic


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Publishes what became of each command. An answer may be lost: the same id asks for it again.

    ``publish`` takes topic, payload and correlation data, from any thread.
    """

    publish: Callable[[str, bytes, bytes | None], None]
    base_topic: str
    active: Callable[[], bool] = lambda: True  # else another agent answers

    def decided(self, event: CommandDecided) -> None:
        """Answer a command whose outcome is on disk."""
        command = event.row.command
        self._send(event.row.reply, answer(command.id, command.do, event.outcome))

    def refused(self, refusals: Iterable[Refusal]) -> None:
        """Answer messages that are not commands, or too many; on the journal's thread."""
        for reply, command_id, reason, detail in refusals:
            self._send(reply, answer(command_id, None, refused(reason, detail)))

    def _send(self, reply: Reply | None, payload: bytes) -> None:
        if self.active():
            self.publish(reply_topic(self.base_topic, reply), payload, correlation_of(reply))
