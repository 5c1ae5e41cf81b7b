"""ntfy: a push message with title, priority, link and buttons."""

import json
from collections.abc import Mapping
from urllib.parse import unquote

from agent.sinks.http_post import HttpPost
from agent.sinks.sink import Answer, Refused
from agent.sinks.worker import AnswerLink, ReceiverError
from agent.verdict.answer_link import ANSWERS, with_answer
from agent.verdict.encode import encode

MAX_TEXT = 3000  # bytes; a server turns more than 4,096 into an attachment
_PRIORITIES = {"critical": 5, "warning": 4, "info": 3}
_TAGS = {"critical": ["rotating_light"], "warning": ["warning"], "info": []}


class Ntfy:
    """Posts JSON to the root of the server; the last level of the address is the topic if none is given."""

    def __init__(self, title: str, http: HttpPost, *, topic: str | None, answer: AnswerLink) -> None:
        self.title = title
        self._http = http
        self._topic = topic
        self._answer = answer

    def deliver(self, payload: bytes, properties: Mapping[str, str]) -> Answer:
        """Publish one notice."""
        notice = json.loads(payload)
        try:
            path = self._http.place().path
        except ReceiverError as error:
            return Refused(reason=str(error), remedy=error.remedy)
        root, _, last = path.rstrip("/").rpartition("/")
        topic = self._topic or unquote(last)
        if not topic:
            return Refused(reason="the address has no topic", remedy="set topic")
        over = notice["event"] == "cleared"
        severity = "info" if over else notice["severity"]
        message = {
            "topic": topic,
            "title": notice["title"],
            "message": notice["text"].encode()[:MAX_TEXT].decode(errors="ignore"),
            "priority": _PRIORITIES[severity],
            "tags": ["white_check_mark"] if over else _TAGS[severity],
        }
        if notice["link"]:
            message["click"] = notice["link"]
        if answer := self._answer(notice):  # the app posts them
            message["actions"] = [
                {"action": "http", "label": label, "url": with_answer(answer, do), "clear": True}
                for do, (label, _) in ANSWERS.items()
            ]
        headers = {"Content-Type": "application/json", "Idempotency-Key": properties["id"]}
        return self._http.post(encode(message), headers, path=f"{path if self._topic else root}/")

    def probe(self) -> str:
        """Connect."""
        return self._http.probe()
