"""SIGHUP: reads the configuration again and applies what can change; a bad file changes nothing."""

import asyncio
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from agent.config import Config, ConfigError, differences, load_again, merge, settings
from agent.domain.records import AgentError

if TYPE_CHECKING:
    from agent.ai.caller import Caller
    from agent.app.rooms import Rooms
    from agent.app.systemd import Notifier

APPLY_S = 20.0
#: What a reload changes. The budget's time zone is left out: other midnights would give the money again.
SECTIONS = ("limits", "review", "ai", "logs")
FIXED = ("ai.budget.timezone",)


class Reloader:
    """Reloads one agent's configuration, one at a time, beside the main thread."""

    def __init__(
        self, rooms: "Rooms", *, path: Path, loop: asyncio.AbstractEventLoop, notifier: "Notifier"
    ) -> None:
        self._rooms = rooms
        self._path = path
        self._loop = loop
        self._notifier = notifier
        self._thread: Thread | None = None

    def start(self) -> bool:
        """Begin a reload; false while another is under way."""
        if self._thread is not None and self._thread.is_alive():
            return False
        self._thread = Thread(target=self._run, name="edge-reload", daemon=True)
        self._thread.start()
        return True

    def _run(self) -> None:
        self._notifier.reloading()
        try:
            self._reload()
        except AgentError as error:
            problems = error.problems if isinstance(error, ConfigError) else (str(error),)
            self._rooms.logs.log(
                "config_refused",
                level="error",
                path=str(self._path),
                problem="; ".join(problems),
                remedy="nothing was changed; correct it, try edge-agent check, and reload again",
            )
        self._notifier.ready()

    def _reload(self) -> None:
        """Apply what can be applied, and name the rest.

        Raises:
            AgentError: the file is wrong, or names a secret or a budget that cannot be read.
        """
        rooms = self._rooms
        wanted = load_again(self._path)
        changed = differences(rooms.config, wanted)
        waiting = [key for key in changed if key in FIXED or key.split(".")[0] not in SECTIONS]
        config = merge(rooms.config, wanted, sections=SECTIONS, keep=FIXED)
        asyncio.run_coroutine_threadsafe(self._apply(config), self._loop).result(APPLY_S)
        if waiting:
            rooms.logs.log(
                "config_restart_needed",
                level="warning",
                keys=", ".join(waiting),
                remedy="these keys hold after a restart only: systemctl restart edge-agent",
            )
        rooms.logs.log(
            "config_reloaded",
            path=str(self._path),
            changed=", ".join(key for key in changed if key not in waiting) or "nothing",
        )

    async def _apply(self, config: Config) -> None:
        """Change the rooms between two turns of the analyst's loop; what can fail comes first."""
        rooms = self._rooms
        replaced = rooms.asking.reopen(config)
        moved = replaced is not None and replaced.breaker != "closed"
        rooms.metrics.breaker(rooms.config.ai.profile, "closed", moved=moved)  # by its old name
        rooms.config = config
        rooms.metrics.know(rooms.asking.models, config.ai.profile)
        rooms.metrics.breaker(config.ai.profile, "closed", moved=False)
        rooms.logs.reconfigure(
            level=config.logs.level, format=config.logs.format, content=config.logs.content
        )
        rooms.detector.reconfigure(settings.of_limits(config))
        calls, asking = set(rooms.pipeline.desk.calls), rooms.asking.caller
        rooms.pipeline.reconfigure(settings.of_pipeline(config, endpoint=asking is not None), asking)
        rooms.pipeline.snapshot()  # what was judged by the old limits is not judged again after a restart
        if replaced is not None:
            rooms.crossings.spawn(self._close(replaced, calls))

    async def _close(self, replaced: "Caller", calls: set[asyncio.Task[Any]]) -> None:
        """Let the calls of a replaced caller end, then close its connections."""
        if calls:
            await asyncio.wait(calls)
            if (now := self._rooms.asking.caller) is not None:  # the last of them may have shown theirs
                breaker = now.breaker
                self._rooms.metrics.breaker(self._rooms.config.ai.profile, breaker, moved=False)
        await replaced.aclose()
