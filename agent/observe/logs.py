"""The agent's log: one JSON object a line (structlog), written by `line_writer`."""

import json
import sys
import time
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import IO, Any, Protocol

from agent.domain.fault import fault_words
from agent.observe import redact
from agent.observe.library_logs import LibraryHandler, uninstall
from agent.observe.line_writer import LineWriter, RateLimit
from agent.observe.redact import Secrets
from agent.observe.telemetry_settings import LogsSettings

# structlog imports these when it finds them, 10 and 1 MiB that nobody here uses: the `demo` extra brings
# rich, the browser of the tests brings greenlet.
_UNUSED = {"rich", "greenlet"} - sys.modules.keys()
_HIDE = [] if "structlog" in sys.modules else sorted(_UNUSED)
sys.modules.update(dict.fromkeys(_HIDE))  # type: ignore[arg-type]
import structlog  # noqa: E402 -- these must be out of sight first

for _name in _HIDE:
    del sys.modules[_name]

#: Put ids, such as those of a request and its span, into each line of this context that lacks them.
bind_ids = structlog.contextvars.bind_contextvars
reset_ids = structlog.contextvars.reset_contextvars

MAX_EVENT_BYTES = 2048
#: With `logs.content` redacted or full, prompt and reply may take this much of one event.
MAX_CONTENT_EVENT_BYTES = 32_768
INPUT_MESSAGES, OUTPUT_MESSAGES = "gen_ai.input.messages", "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
#: Their texts come from `show_message`: cut and masked once, as a second cut could break the message.
MESSAGE_KEYS = frozenset({INPUT_MESSAGES, OUTPUT_MESSAGES, SYSTEM_INSTRUCTIONS})
MAX_MESSAGE_CHARS = 8192  # three of them are in one event
CONTENT_KEYS = MESSAGE_KEYS | {"prompt", "response"}
#: Budget and concurrency bound these already, and each counts: no rate limit, and room for all devices.
CALL_EVENTS = frozenset(
    {
        "ai_call_start", "ai_call_success", "ai_call_failure", "ai_retry",
        "gen_ai.evaluation.result", "gen_ai.client.inference.operation.details",
    }
)  # fmt: skip
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_WARNING = _LEVELS["warning"]
_TRACE_CHARS = 1000
_DEFAULT = LogsSettings()
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


class Log(Protocol):
    """Logs an event: ``log("mqtt_connected", level="info", protocol="5")``."""

    def __call__(self, event: str, level: str = "info", **fields: Any) -> None: ...


class LogWriter:
    """The log of one agent. The parts of the agent get ``log``; ``secrets`` masks in every line.

    Args:
        level: Events below it cost nothing.
        format: ``json`` or ``console``.
        content: How much of prompts and replies may be shown (``none|hash|redacted|full``).
        stream: Where lines go.
        secrets: Values to mask; shared with the other sinks.
    """

    def __init__(
        self,
        *,
        level: str = _DEFAULT.level,
        format: str = _DEFAULT.format,  # noqa: A002 -- the configuration's word
        content: str = _DEFAULT.content,
        stream: IO[Any] | None = None,
        secrets: Secrets | None = None,
        mono: Callable[[], float] = time.monotonic,
    ) -> None:
        self.secrets = secrets or Secrets()
        self._warnings = RateLimit(burst=20, per_s=0.2, mono=mono)
        self._others = RateLimit(burst=500, per_s=100.0, mono=mono)
        self._logged_dropped = 0
        self._reporting = False
        self.tap: Callable[[bytes], None] | None = None  # gets each line too, as JSON
        self.on_fault: Callable[[Exception], None] = lambda _error: None  # gets the faults of the log itself
        self._lines = LineWriter(stream=stream or sys.stdout, idle=self._leftovers)
        self.reconfigure(level=level, format=format, content=content)

    def reconfigure(self, *, level: str, format: str, content: str) -> None:  # noqa: A002 -- as above
        """Take over a reloaded configuration; every ``log`` that was given out follows."""
        self.level = level
        self.content = content
        self._render = _console if format == "console" else _json
        self.logger: Any = structlog.wrap_logger(
            _Sink(self._lines.put),
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                self._limit,
                self._finish,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
            context_class=dict,
            cache_logger_on_first_use=True,
        ).bind()

    def log(self, event: str, level: str = "info", **fields: Any) -> None:
        """Log ``event`` with ``fields``; ``exc_info`` (True or an error) adds frames. Raises nothing."""
        try:
            getattr(self.logger, level if level in _LEVELS else "info")(event, **fields)
        except Exception as error:  # noqa: BLE001 -- a line that cannot be written must stop nobody
            self._fall_back(event, error)

    def _fall_back(self, event: str, error: Exception) -> None:
        """Write a line that names the missing one and holds nothing of it; report the fault once."""
        words = fault_words(error)
        self._lines.put(self._own("log_line_failed", about=self.secrets.one_line(event[:128]), error=words))
        if self._reporting:  # the report of a fault has failed as well
            return
        self._reporting = True
        try:
            self.on_fault(error)
        finally:
            self._reporting = False

    def bind(self, **bound: Any) -> Log:
        """Return a ``log`` whose events carry ``bound`` as well."""

        def log(event: str, level: str = "info", **fields: Any) -> None:
            self.log(event, level, **{**bound, **fields})

        return log

    def show(self, text: str) -> str | None:
        """Return what the content setting allows to be shown of a prompt or reply."""
        return redact.content(text, self.content, self.secrets)

    def show_message(self, text: str) -> str:
        """Return the same of one of the three messages that are in one event; empty where nothing may."""
        return redact.content(text, self.content, self.secrets, max_chars=MAX_MESSAGE_CHARS) or ""

    @property
    def dropped(self) -> int:
        """Lines that did not fit the queue or could not be written."""
        return self._lines.dropped

    def close(self, timeout_s: float = 2.0) -> bool:
        """Write what is queued and stop; false when it took longer than ``timeout_s``."""
        uninstall(self)
        return self._lines.close(timeout_s)

    def _limit(self, _logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if event["event"] in CALL_EVENTS:
            return event
        limit = self._warnings if _LEVELS.get(method, 0) >= _WARNING else self._others
        silent = limit.allow(str(event["event"]))
        if silent is None:
            raise structlog.DropEvent
        if silent:
            event["suppressed"] = silent
        return event

    def _finish(
        self, _logger: Any, _method: str, event: MutableMapping[str, Any]
    ) -> tuple[tuple[bytes], dict[str, bool]]:
        secrets = self.secrets
        name = str(event.pop("event"))
        line: dict[str, Any] = {
            "timestamp": _now(),
            "level": event.pop("level"),
            "event": secrets.one_line(name, 128),
        }
        trouble = event.pop("exc_info", None)
        for field, value in event.items():
            key = f"{field}_" if field in line else field
            longest = MAX_CONTENT_EVENT_BYTES if key in CONTENT_KEYS else redact.MAX_STRING
            if key in MESSAGE_KEYS:
                line[key] = value
            elif key in CONTENT_KEYS and isinstance(value, str):
                line[key] = secrets.exact(value, longest)
            else:
                line[key] = secrets.tidy(key, value, max_chars=longest)
        if trouble:
            error = trouble if isinstance(trouble, BaseException) else sys.exc_info()[1]
            if error is not None:
                line["exception"] = secrets.one_line(
                    frames(error, show_message=self.content == "full"), _TRACE_CHARS + redact.MAX_STRING
                )
        return (self._rendered(line),), {"reserved": name in CALL_EVENTS}

    def _rendered(self, line: dict[str, Any]) -> bytes:
        rendered = _fit(line, self._render)
        if self.tap is not None:
            self.tap(rendered if self._render is _json else _json(line))
        return rendered

    def _leftovers(self) -> list[bytes]:
        lines = []
        for limit in (self._warnings, self._others):
            for name, count in limit.collect().items():
                about = self.secrets.one_line(name)
                lines.append(self._own("log_events_suppressed", about=about, count=count))
        if self._lines.dropped > self._logged_dropped:
            lines.append(self._own("log_lines_dropped", count=self._lines.dropped - self._logged_dropped))
            self._logged_dropped = self._lines.dropped
        return lines

    def _own(self, event: str, **fields: Any) -> bytes:
        return self._rendered({"timestamp": _now(), "level": "warning", "event": event, **fields})


class _Sink:
    """The end of structlog's chain: every level is the same ``put``."""

    def __init__(self, put: Callable[..., None]) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = self.msg = put


def configure(
    *,
    level: str = _DEFAULT.level,
    format: str = _DEFAULT.format,  # noqa: A002 -- the configuration's word
    content: str = _DEFAULT.content,
    stream: IO[Any] | None = None,
    secrets: Secrets | None = None,
) -> LogWriter:
    """Return the agent's log, with the standard library's ``logging`` (paho, openai, ...) routed into it."""
    writer = LogWriter(level=level, format=format, content=content, stream=stream, secrets=secrets)
    LibraryHandler.install(writer.log, owner=writer)
    return writer


def frames(error: BaseException, *, show_message: bool = False) -> str:
    """Return where ``error`` was raised, innermost last and bounded, without source lines or locals."""
    lines = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        short = "/".join(code.co_filename.split("/")[-3:])
        lines.append(f"{short}:{trace.tb_lineno} in {code.co_name}")
        trace = trace.tb_next
    text = " > ".join(lines)
    if len(text) > _TRACE_CHARS:
        text = "… " + text[-_TRACE_CHARS:]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    after = f" (after {type(cause).__name__})" if cause is not None else ""
    return f"{redact.describe(error, show_message=show_message)}{after} at {text}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def _json(line: dict[str, Any]) -> bytes:
    text = _encode(line)
    # A prompt keeps its line breaks, but the line stays one: JSON escapes them, and the rest is escaped here.
    return (redact.escape(text) if CONTENT_KEYS & line.keys() else text).encode() + b"\n"


def _console(line: dict[str, Any]) -> bytes:
    rest = (f"{key}={value}" for key, value in line.items() if key not in {"timestamp", "level", "event"})
    text = f"{line['timestamp'][11:23]} {line['level']:<8} {line['event']:<28} {' '.join(rest)}"
    return redact.escape(text.rstrip()).encode() + b"\n"


def _fit(line: dict[str, Any], render: Callable[[dict[str, Any]], bytes]) -> bytes:
    """Return the rendered line, its longest values cut until it is within the limit."""
    rendered = render(line)
    if len(rendered) <= MAX_EVENT_BYTES:
        return rendered
    roomy = CONTENT_KEYS & line.keys() or line["event"] in CALL_EVENTS
    limit = MAX_CONTENT_EVENT_BYTES if roomy else MAX_EVENT_BYTES
    while len(rendered) > limit:
        line["truncated"] = True
        names = [name for name in line if name not in {"timestamp", "level", "event", "truncated"}]
        if not names:
            break
        longest = max(names, key=lambda name: len(str(line[name])))
        text = line[longest]
        if isinstance(text, str) and len(text) > 64:  # noqa: PLR2004 -- below, dropping is kinder than cutting
            line[longest] = text[: max(32, len(text) - (len(rendered) - limit) - 16)] + "…"
        elif isinstance(text, list) and len(text) > 1:
            line[longest] = text[: len(text) // 2]
        else:
            del line[longest]
        rendered = render(line)
    return rendered
