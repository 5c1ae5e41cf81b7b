"""The process as an object: clocks, threads, signals, and a stop under one limit."""

import asyncio
import os
import select
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import TypeVar

from agent import __version__
from agent.app.build import Agent, build
from agent.app.memory import settle
from agent.app.reload import Reloader
from agent.app.systemd import Notifier
from agent.app.watchdog import BEAT_S, Fatal, Threads, WakeUp, Watchdog, read_waits
from agent.config import Config, weaknesses
from agent.domain.records import AgentError
from agent.observe.logs import configure
from agent.testing.failpoint import failpoint

STOP_S = 9.0  # from the signal to the end of the process
CALLS_S = 5.0  # of these, for AI calls in flight
LINK_S = 2.0
TELEMETRY_S = 2.0
STUCK_S = 20.0  # a loop without a turn for this long, of the time the process got to run, is stuck
FRESH_S = 5.0  # beyond this the watchdog is not fed any more
MAIN_STUCK_S = 25.0  # the same for the main thread; so much CPU time in one of its turns: the kernel ends us
STATUS_S = 2.0
MAX_START_S = 3600.0  # so long systemd is asked for more time

EXIT_OK, EXIT_FAULT = 0, 70

T = TypeVar("T")


class App:
    """One agent. :meth:`run` blocks until a signal or a fault and returns the exit code."""

    def __init__(self, config: Config, *, path: Path) -> None:
        self._config = config
        self._path = path
        self._wake_up = WakeUp()
        self._threads = Threads(self._wake_up)
        self._notifier = Notifier()
        self._stop_asked = False
        self._reload_asked = False
        self._loop = asyncio.new_event_loop()
        self._logs = configure(
            level=config.logs.level, format=config.logs.format, content=config.logs.content
        )
        self._status_at = 0.0
        self._web_hangs = False
        self._turns = 0  # of the main thread

    def run(self) -> int:
        """Start everything, wait for the end, stop everything.

        Raises:
            AgentError: start-up is impossible, in words for a person.
        """
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self._threads.guard()
        agent = None
        try:
            agent = self._start()
            fatal = self._threads.fatal if agent is None else self._watch(agent)
        except AgentError:
            self._logs.close(1.0)
            if not self._loop.is_running():
                self._loop.close()  # else Python may complain of it at its own end
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours: logged, then exit 70
            fatal = Fatal("main", error)
        if fatal is not None:
            self._die(fatal)
        self._stop(agent)
        return EXIT_OK

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Note the request; a signal handler must take no lock."""
        if number == signal.SIGHUP:
            self._reload_asked = True
        elif self._stop_asked:
            os._exit(EXIT_OK)  # asked twice: everything that counts is in the journal
        else:
            self._stop_asked = True
        self._wake_up.wake()

    # -------------------------------------------------------------------------------------- start

    def _start(self) -> Agent | None:
        """Open, replay what the last process left, then start the threads; None when a stop came first."""
        self._logs.log("agent_started", version=__version__, agent=self._config.name, pid=os.getpid())
        for weak in weaknesses(self._config):
            self._logs.log(
                "config_weak", level="warning", key=weak.key, problem=weak.what, remedy=weak.remedy
            )
        self._notifier.status("opening the journal")
        agent = self._aside(self._build)
        if agent is None:
            return None
        threads = self._threads
        threads.start("analyst", self._run_loop)
        recovery = agent.lifecycle.recover(self._show_replay)
        replayed = asyncio.run_coroutine_threadsafe(recovery, self._loop)
        if self._outlast(replayed) is None:
            return None
        threads.start("journal", agent.journal.run)
        threads.start("net", agent.link.run)
        threads.start("web", agent.web.run)
        settle()
        return agent

    def _build(self) -> Agent:
        return build(
            self._config,
            logs=self._logs,
            loop=self._loop,
            fail=lambda error: self._threads.fail("analyst", error),
        )

    def _aside(self, work: Callable[[], T]) -> T | None:
        """Run work of minutes in a thread, so that signals are handled meanwhile; None when a stop came."""
        future: Future[T] = Future()

        def body() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised again by the main thread
                future.set_exception(error)
            self._wake_up.wake()

        Thread(target=body, name="edge-start", daemon=True).start()
        return self._outlast(future)

    def _outlast(self, future: "Future[T]") -> T | None:
        """Wait for a step of the start and ask systemd for time; None when a stop was requested."""
        future.add_done_callback(lambda _future: self._wake_up.wake())
        limit = time.monotonic() + MAX_START_S
        while not future.done():
            if self._stop_asked or self._threads.fatal is not None:
                return None
            if time.monotonic() < limit:
                self._notifier.extend(STUCK_S)
            self._wake_up.wait(BEAT_S)
        return future.result()

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(self._on_loop_error)
        self._loop.run_forever()

    def _on_loop_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        if not isinstance(error, BaseException):
            error = RuntimeError(str(context.get("message", "the analyst's loop failed")))
        self._threads.fail("analyst", error)

    def _show_replay(self, rows: int) -> None:
        self._notifier.status(f"replaying the journal: {rows} rows")

    # -------------------------------------------------------------------------------------- watch

    def _watch(self, agent: Agent) -> Fatal | None:
        """Feed the watchdog as long as net, journal and analyst make progress; return why it ended."""
        threads, watchdog = self._threads, agent.watchdog
        reloader = self._make_reloader(agent)
        self._notifier.status(agent.problems.one_line(agent.page))
        self._notifier.ready()
        self._logs.log(
            "agent_ready",
            broker=self._config.mqtt.url,
            web=agent.page,
            verdicts=f"{self._config.base_topic}/verdicts/+",
            model=self._config.ai.model if agent.ai.caller is not None else "none",
        )
        threads.start("guard", self._guard)
        while True:
            # Nobody handles its SIGPROF: it kills when a thread keeps the interpreter for itself. It counts
            # CPU time, of which a process that was stopped or starved has used none.
            signal.setitimer(signal.ITIMER_PROF, MAIN_STUCK_S)
            self._wake_up.wait(BEAT_S)
            failpoint("main_turn")
            self._turns += 1
            if threads.fatal is not None or self._stop_asked:
                signal.setitimer(signal.ITIMER_PROF, 0)
                threads.ending = True
                return threads.fatal
            watchdog.look(time.monotonic(), read_waits(), agent.heartbeats())
            stuck = watchdog.stuck(STUCK_S)
            if stuck is not None:
                return Fatal(stuck, TimeoutError(f"{stuck} made no turn for {STUCK_S:.0f} s"))
            if watchdog.stuck(FRESH_S) is None:
                self._notifier.watchdog()
            if self._reload_asked and reloader.start():
                self._reload_asked = False
            self._show(agent)

    def _make_reloader(self, agent: Agent) -> Reloader:
        return Reloader(
            config=self._config,
            path=self._path,
            loop=self._loop,
            notifier=self._notifier,
            logs=self._logs,
            metrics=agent.metrics,
            ai=agent.ai,
            pipeline=agent.pipeline,
            problems=agent.problems,
            spawn=agent.bridge.spawn,
        )

    def _guard(self) -> None:
        """Watch the main thread, which watches the others."""
        watchdog, pause = Watchdog(beat_s=BEAT_S), select.poll()
        while not self._threads.ending:
            pause.poll(BEAT_S * 1000)  # no clock of its own: a wall clock that jumps cannot end or stretch it
            watchdog.look(time.monotonic(), read_waits(), {"main": self._turns})
            if watchdog.stuck(MAIN_STUCK_S, ("main",)) and not self._threads.ending:
                self._die(Fatal("main", TimeoutError(f"main made no turn for {MAIN_STUCK_S:.0f} s")))

    def _show(self, agent: Agent) -> None:
        """Show the problems in ``systemctl status``, and log a web server that hangs."""
        now = time.monotonic()
        if now - self._status_at >= STATUS_S:
            self._status_at = now
            self._notifier.status(agent.problems.one_line(agent.page))
        if (agent.watchdog.age("web") > STUCK_S) != self._web_hangs:
            self._web_hangs = not self._web_hangs
            self._logs.log(
                "web_hangs" if self._web_hangs else "web_is_back",
                level="error" if self._web_hangs else "info",
                remedy="readings and verdicts go on; restart the agent to have /healthz and /metrics again",
            )

    def _die(self, fatal: Fatal) -> None:
        """Log the reason and end at once: start-up is the only recovery path."""
        try:
            self._logs.log(
                "agent_failed",
                level="error",
                thread=fatal.thread,
                error=type(fatal.error).__name__,
                exc_info=fatal.error,
            )
            if fatal.thread == "log" or not self._logs.close(1.0):
                os.write(2, f"edge-agent: thread {fatal.thread} failed: {fatal.error!r}\n".encode())
        finally:
            os._exit(EXIT_FAULT)

    # --------------------------------------------------------------------------------------- stop

    def _stop(self, agent: Agent | None) -> None:
        """Stop all parts under one limit; nothing is sealed, the journal keeps the rest."""
        deadline = time.monotonic() + STOP_S
        self._threads.ending = True
        self._notifier.stopping()
        self._notifier.extend(STOP_S + BEAT_S)
        self._logs.log("agent_stopping")
        clean = True
        for name, step in () if agent is None else self._steps(agent):
            limit = deadline - time.monotonic()
            if limit <= 0 or not step(limit):
                clean = False
                self._logs.log("agent_stop_slow", level="warning", step=name)
        self._logs.log("agent_stopped", clean=clean)
        self._logs.close(0.5)

    def _steps(self, agent: Agent) -> tuple[tuple[str, Callable[[float], bool]], ...]:
        lifecycle = agent.lifecycle
        return (
            ("calls", lambda limit: lifecycle.finish_calls(min(limit, CALLS_S))),
            ("link", lambda limit: agent.link.stop(min(limit, LINK_S))),
            ("snapshot", lifecycle.last_snapshot),
            ("journal", lambda limit: agent.journal.stop(min(limit, LINK_S))),
            ("telemetry", lambda limit: lifecycle.close_telemetry(min(limit, TELEMETRY_S))),
        )


def run(config: Config, *, path: Path) -> int:
    """Run one agent in this process until a signal and exit with its code; SIGHUP reads ``path`` again."""
    app = App(config, path=path)
    code = app.run()
    os._exit(code)  # library threads may still wait for a collector or a model
