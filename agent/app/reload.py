"""Reload on SIGHUP: a good file is applied, a faulty one changes nothing."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from agent.app.ai import AiService
from agent.app.systemd import Notifier
from agent.config import Config, ConfigError, differences, load_again, merge, settings
from agent.config.series_rules import of_limits
from agent.domain.records import AgentError
from agent.observe.logs import LogWriter
from agent.observe.metrics import Metrics
from agent.pipeline.pipeline import Pipeline
from agent.pipeline.review_queue import Spawn
from agent.status.problems import Problems

if TYPE_CHECKING:
    from agent.ai.caller import Caller

#: The sections that a reload changes, without the budget's time zone: other midnights would reset the
#: spend. A sink has a thread of its own.
SECTIONS = ("limits", "tuning", "review", "ai", "knowledge", "notify", "logs")
FIXED = ("ai.budget.timezone", "notify.sinks")


@dataclass(slots=True, kw_only=True)
class Reloader:
    """Reloads one agent's configuration, one at a time, in a thread of its own."""

    config: Config
    path: Path
    loop: asyncio.AbstractEventLoop
    notifier: Notifier
    logs: LogWriter
    metrics: Metrics
    ai: AiService
    pipeline: Pipeline
    problems: Problems
    spawn: Spawn
    _thread: Thread | None = None

    def start(self) -> bool:
        """Begin a reload; false while another is under way."""
        if self._thread is not None and self._thread.is_alive():
            return False
        self._thread = Thread(target=self._run, name="edge-reload", daemon=True)
        self._thread.start()
        return True

    def _run(self) -> None:
        self.notifier.reloading()
        try:
            self._reload()
        except AgentError as error:
            problems = error.problems if isinstance(error, ConfigError) else (str(error),)
            self.logs.log(
                "config_refused",
                level="error",
                path=str(self.path),
                problem="; ".join(problems),
                remedy="nothing was changed; correct it, try edge-agent check, and reload again",
            )
        self.notifier.ready()

    def _reload(self) -> None:
        """Apply what can be applied, and name the rest.

        Raises:
            AgentError: the file is wrong, or names a secret or a budget that cannot be read.
        """
        wanted = load_again(self.path)
        changed = differences(self.config, wanted)
        waiting = [key for key in changed if key in FIXED or key.split(".")[0] not in SECTIONS]
        config = merge(self.config, wanted, sections=SECTIONS, keep=FIXED)
        asyncio.run_coroutine_threadsafe(self._apply(config), self.loop).result()
        if waiting:
            self.logs.log(
                "config_restart_needed",
                level="warning",
                keys=", ".join(waiting),
                remedy="these keys hold after a restart only: systemctl restart edge-agent",
            )
        self.logs.log(
            "config_reloaded",
            path=str(self.path),
            changed=", ".join(key for key in changed if key not in waiting) or "nothing",
        )

    async def _apply(self, config: Config) -> None:
        """Change the parts between two turns of the analyst's loop; steps that can fail come first."""
        ai, metrics = self.ai, self.metrics
        replaced = ai.reopen(config)
        moved = replaced is not None and replaced.breaker != "closed"
        metrics.breaker(self.config.ai.profile, "closed", moved=moved)  # by its old name
        self.config = config
        metrics.know(ai.models, config.ai.profile, ai.prompt)
        metrics.breaker(config.ai.profile, "closed", moved=False)
        self.logs.reconfigure(level=config.logs.level, format=config.logs.format, content=config.logs.content)
        self.problems.reconfigure(of_limits(config))
        calls = set(self.pipeline.review_queue.calls)
        wanted = settings.of_pipeline(config, endpoint=ai.caller is not None)
        self.pipeline.reconfigure(wanted, ai.caller)
        if replaced is not None:
            self.spawn(self._close(replaced, calls))
        on_disk = asyncio.Event()
        self.pipeline.judge_by(wanted.judging, on_disk.set)
        await on_disk.wait()

    async def _close(self, replaced: "Caller", calls: set[asyncio.Task[Any]]) -> None:
        """Let the calls of a replaced caller end, then close its connections."""
        if calls:
            await asyncio.wait(calls)
            if (now := self.ai.caller) is not None:  # the last of them may have shown theirs
                self.metrics.breaker(self.config.ai.profile, now.breaker, moved=False)
        await replaced.aclose()
