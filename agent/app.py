"""The process as an object: owns clocks, threads and signals, and stops everything under one limit."""

import asyncio
import os
import signal
import time
from types import FrameType

from agent import __version__
from agent.config import Config
from agent.lifecycle import Lifecycle
from agent.notify import Notifier
from agent.observe.logs import configure
from agent.records import AgentError
from agent.rooms import Rooms
from agent.threads import Crew, Death

STOP_S = 9.0  # from the signal to the end of the process
CALLS_S = 5.0  # of these, for AI calls in flight
LINK_S = 2.0
TELEMETRY_S = 2.0
STUCK_S = 20.0  # a loop without a turn for this long is stuck
BEAT_S = 0.5

EXIT_OK, EXIT_FAULT = 0, 70


class App:
    """One agent. :meth:`run` blocks until a signal or a fault and returns the exit code."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._crew = Crew()
        self._notifier = Notifier()
        self._signals = 0
        self._loop = asyncio.new_event_loop()
        self._logs = configure(
            level=config.logs.level, format=config.logs.format, content=config.logs.content
        )
        self._ready = False

    def run(self) -> int:
        """Start everything, wait for the end, stop everything.

        Raises:
            AgentError: start-up is impossible, in words for a person.
        """
        try:
            rooms = self._build()
            self._start(rooms)
            death = self._watch(rooms)
        except AgentError:
            self._logs.close(1.0)
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours: said, then exit 70
            death = Death("main", error)
        if death is not None:
            self._die(death)
        self._stop(rooms)
        return EXIT_OK

    def _build(self) -> Rooms:
        return Rooms(
            self._config,
            logs=self._logs,
            loop=self._loop,
            fail=lambda error: self._crew.fail("analyst", error),
        )

    # -------------------------------------------------------------------------------------- start

    def _start(self, rooms: Rooms) -> None:
        """Replay what the last process left, then start the threads; signals count from now on."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._logs.report("agent_started", version=__version__, agent=self._config.agent.id, pid=os.getpid())
        crew = self._crew
        crew.start("analyst", self._run_loop)
        replayed = asyncio.run_coroutine_threadsafe(
            Lifecycle(rooms, loop=self._loop).recover(self._extend), self._loop
        )
        while not replayed.done() and not crew.wake.wait(0.05):
            pass
        if crew.death is None:
            crew.start("journal", rooms.journal.run)
            crew.start("net", rooms.link.run)
            crew.start("web", rooms.web.run)

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(self._on_loop_error)
        self._loop.run_forever()

    def _on_loop_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        if not isinstance(error, Exception):
            error = RuntimeError(str(context.get("message", "the analyst's loop failed")))
        self._crew.fail("analyst", error)

    def _extend(self, rows: int) -> None:
        self._notifier.extend(STUCK_S)
        self._notifier.status(f"replaying the journal: {rows} rows")

    # -------------------------------------------------------------------------------------- watch

    def _watch(self, rooms: Rooms) -> Death | None:
        """Feed the watchdog as long as net, journal and analyst make progress; return why it ended."""
        crew = self._crew
        self._notifier.ready(rooms.one_line())
        self._logs.report("agent_ready", **rooms.addresses())
        while not crew.wake.wait(BEAT_S):
            stuck = rooms.stuck(STUCK_S)
            if stuck is not None:
                return Death(stuck, TimeoutError(f"{stuck} made no turn for {STUCK_S:.0f} s"))
            self._notifier.watchdog()
        return crew.death

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1:
            os._exit(EXIT_OK)  # asked twice: everything that counts is in the journal
        self._crew.wake.set()

    def _die(self, death: Death) -> None:
        """Say why and end at once: start-up is the only recovery path."""
        self._logs.report(
            "agent_failed",
            level="error",
            thread=death.thread,
            error=type(death.error).__name__,
            exc_info=death.error,
        )
        self._logs.close(1.0)
        os._exit(EXIT_FAULT)

    # --------------------------------------------------------------------------------------- stop

    def _stop(self, rooms: Rooms) -> None:
        """Stop all rooms under one limit; nothing is sealed, the journal keeps the rest."""
        deadline = time.monotonic() + STOP_S
        self._notifier.stopping()
        self._logs.report("agent_stopping")
        clean = True
        course = Lifecycle(rooms, loop=self._loop)
        steps = (
            ("calls", lambda limit: course.finish_calls(min(limit, CALLS_S))),
            ("link", lambda limit: rooms.link.stop(min(limit, LINK_S))),
            ("snapshot", course.last_snapshot),
            ("journal", lambda limit: rooms.journal.stop(min(limit, LINK_S))),
            ("telemetry", lambda limit: course.close_telemetry(min(limit, TELEMETRY_S))),
        )
        for name, step in steps:
            limit = deadline - time.monotonic()
            if limit <= 0 or not step(limit):
                clean = False
                self._logs.report("agent_stop_slow", level="warning", step=name)
        self._logs.report("agent_stopped", clean=clean)
        self._logs.close(1.0)


def run(config: Config) -> int:
    """Run one agent in this process until a signal; return its exit code."""
    app = App(config)
    code = app.run()
    os._exit(code)  # library threads may still wait for a collector or a model
