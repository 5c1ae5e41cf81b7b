"""A sink of notices: a thread that waits for its receiver."""

from collections.abc import Callable, Mapping
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import Any, Protocol

from agent.domain.messages import Outgoing
from agent.sinks.sink import Answer, Delivered, Refused, Retry

FIRST_PAUSE_S, MAX_PAUSE_S = 5.0, 300.0
MAX_ASKED_S = 3600.0  # of a receiver that asks for a pause

#: Returns the link in a notice that lets its reader answer it, None where it has none.
AnswerLink = Callable[[Mapping[str, Any]], str | None]

Job = tuple[Outgoing, Callable[[Answer], object]]


class NoticeReceiver(Protocol):
    """One way to a person. It may block, for a bounded time, and raises nothing for a failed delivery."""

    title: str

    def deliver(self, payload: bytes, properties: Mapping[str, str]) -> Answer:
        """Send one notice and return what became of it. ``after_s`` 0 leaves the pause to the caller."""

    def probe(self) -> str:
        """Reach the receiver without sending a notice; return in words what was found.

        Raises:
            ReceiverError: it cannot be reached.
        """


class ReceiverError(Exception):
    """A receiver cannot be reached or refuses; in words, with a remedy."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.remedy = remedy


def footer(notice: Mapping[str, Any], answer: AnswerLink) -> list[str]:
    """Return the links below the text of a notice."""
    link = answer(notice)
    own = [f"Acknowledge or snooze: {link}"] if link else []
    return [*own, f"Status page: {notice['link']}" if own else notice["link"]] if notice["link"] else own


class NoticeSink:
    """Hands notices to a receiver, one at a time, the next when the last is noted as delivered on disk.

    After a failure it pauses for all of them.

    ``clock`` is agent time.
    """

    pipelined = False

    def __init__(self, name: str, receiver: NoticeReceiver, *, clock: Callable[[], float]) -> None:
        self.name = name
        self.title = receiver.title
        self._receiver = receiver
        self._clock = clock
        self._queue: SimpleQueue[Job] = SimpleQueue()
        self._thread: Thread | None = None
        self._idle = Event()
        self._idle.set()
        self._noted = Event()
        self._lock = Lock()
        self._closed = False
        self._pause_s = 0.0
        self._paused_to = 0.0
        self._reason = ""

    def send(self, message: Outgoing, answer: Callable[[Answer], object]) -> None:
        """Queue a notice for the thread."""
        if self._thread is None:
            self._thread = Thread(target=self._work, name=f"edge-notify-{self.name}"[:15], daemon=True)
            self._thread.start()
        self._queue.put((message, answer))

    def noted(self) -> None:
        """Go on with the next notice."""
        self._noted.set()

    def finish(self, limit_s: float) -> bool:
        """Begin no other delivery, and wait for the one under way; true when it has ended."""
        with self._lock:
            self._closed = True
        return self._idle.wait(limit_s)

    def _work(self) -> None:
        while True:
            message, answer = self._queue.get()
            with self._lock:
                if self._closed:
                    return
                self._idle.clear()
            self._noted.clear()
            found = self._deliver(message)
            answer(found)
            self._idle.set()
            if isinstance(found, Delivered):
                self._noted.wait()

    def _deliver(self, message: Outgoing) -> Answer:
        left_s = self._paused_to - self._clock()
        if left_s > 0.0:
            return Retry(after_s=left_s, reason=self._reason)
        try:
            found = self._receiver.deliver(message.payload, dict(message.properties))
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the thread
            found = Refused(
                reason=f"a fault of ours: {type(error).__name__}", remedy="report it, with the log"
            )
        if not isinstance(found, Retry):
            self._pause_s = 0.0
            return found
        self._pause_s = min(MAX_PAUSE_S, max(FIRST_PAUSE_S, 2.0 * self._pause_s))
        wait_s = min(found.after_s, MAX_ASKED_S) or self._pause_s
        self._paused_to, self._reason = self._clock() + wait_s, found.reason
        return Retry(after_s=wait_s, reason=found.reason)
