"""The words of AI calls on their way to the journal."""

import json
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, cast

from agent.app.transcripts import MAX_BATCHES, MAX_REPLY, Transcripts
from agent.domain.model_calls import CallRecord, ErrorType, Reply, Request, Usage
from agent.journal import JournalError
from agent.journal.store import Store

#: `show` and `replay` read these, also of calls that an earlier version journaled.
KEYS = {
    "batch_id", "request_id", "model", "prompt_version", "prompt_hash", "system", "user", "reply",
    "error_type", "attempts", "cost_usd", "windows", "error_message", "finish_reason", "usage", "latency_s",
    "trace_id",
}  # fmt: skip
REQUEST = Request(
    request_id="q1",
    provider="vllm",
    model="m1",
    system="rules",
    user="data",
    schema={},
    max_tokens=100,
    text_version="3",
    prompt_hash="h",
    batch_id="b1",
    window_ids=("w1",),
)
CALL = CallRecord(
    request=REQUEST,
    reply=Reply("{}", finish_reason="stop"),
    latency_s=0.5,
    attempts=1,
    cost_usd=0.001,
    usage=Usage(10, 2),
)


class Details:
    """Takes the place of the journal's thread; keeps the writes of its jobs."""

    def __init__(self, error: Exception | None = None) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.reports: list[str] = []
        self._error = error

    def finish_batch(self, batch_id: str, detail: bytes) -> None:
        self.kept[batch_id] = json.loads(detail)

    def write(self, job: Callable[[Store], None]) -> Future[None]:
        future: Future[None] = Future()
        if self._error is not None:
            future.set_exception(self._error)
            return future
        job(cast("Store", self))
        future.set_result(None)
        return future

    def report(self, event: str, **_fields: object) -> None:
        self.reports.append(event)


def test_a_batch_keeps_each_model_that_was_asked() -> None:
    """The first model's failure is kept with the second's answer, prompt and usage; replies are cut."""
    details = Details()
    transcripts = Transcripts(write=details.write, log=details.report)
    transcripts.add(replace(CALL, error_type=ErrorType.TIMEOUT, reply=Reply()))
    second_model = replace(REQUEST, model="m2")
    transcripts.add(replace(CALL, request=second_model, reply=Reply("x" * 2 * MAX_REPLY)))
    first, second = details.kept["b1"]["calls"]
    assert (first["model"], first["error_type"], first["user"]) == ("m1", "timeout", "data")
    assert (second["model"], second["error_type"], len(second["reply"])) == ("m2", None, MAX_REPLY)
    assert second["usage"]["input"] == 10
    assert first.keys() == second.keys() == KEYS
    for number in range(2 * MAX_BATCHES):
        transcripts.add(replace(CALL, request=replace(REQUEST, batch_id=f"c{number}")))
    assert len(transcripts._calls) == MAX_BATCHES


def test_a_transcript_that_is_lost_is_said() -> None:
    """A fault of the disk costs the transcript, not the answer; a journal that closes is not reported."""
    for error, said in ((OSError("no"), ["transcript_lost"]), (JournalError("closed"), [])):
        details = Details(error)
        Transcripts(write=details.write, log=details.report).add(CALL)
        assert details.reports == said
