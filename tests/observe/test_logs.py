import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import structlog

from agent.observe.library_logs import LibraryHandler
from agent.observe.line_writer import LineWriter, RateLimit
from agent.observe.logs import (
    MAX_CONTENT_EVENT_BYTES,
    MAX_EVENT_BYTES,
    LogWriter,
    bind_ids,
    configure,
    reset_ids,
)
from tests.observe.sink import Log, logging_to


def test_an_event_is_one_json_object_a_line() -> None:
    """Time in UTC, level, event and fields are one object on one line."""
    log = Log()
    log.log("mqtt_connected", protocol="5", attempts=3)
    [line] = log.lines()
    assert list(line) == ["timestamp", "level", "event", "protocol", "attempts"]
    assert (line["level"], line["event"], line["protocol"]) == ("info", "mqtt_connected", "5")
    assert line["timestamp"].endswith("Z")
    datetime.fromisoformat(line["timestamp"])


def test_levels_below_are_silent_and_can_change() -> None:
    """A level below the configured one logs nothing; a reload changes it."""
    log = Log(level="warning")
    log.log("quiet", level="info")
    log.writer.reconfigure(level="debug", format="json", content="hash")
    log.log("loud", level="debug")
    assert log.writer.show("x") is not None
    assert log.events() == ["loud"]


def test_context_and_trace_ids_are_added() -> None:
    """The fields bound in this context and the ids of its span are in the line."""
    log = Log()
    bound = bind_ids(trace_id="ab" * 16, span_id="cd" * 8)
    with structlog.contextvars.bound_contextvars(batch_id="b1"):
        log.log("inside")
    reset_ids(**bound)
    log.log("outside")
    inside, outside = log.lines()
    assert (inside["batch_id"], inside["trace_id"], inside["span_id"]) == ("b1", "ab" * 16, "cd" * 8)
    assert not {"batch_id", "trace_id"} & outside.keys()


def test_no_event_of_a_call_is_held_back() -> None:
    """A storm of calls leaves all its lines; other events keep their limit."""
    log = Log()
    calls = ("ai_call_start", "ai_retry", "gen_ai.evaluation.result", "ai_call_success", "ai_call_failure")
    for number in range(700):
        for event in (*calls, "storm"):
            log.log(event, "error", number=number)
    events = Counter(log.events())
    assert [events[event] for event in calls] == [700] * 5
    assert events["storm"] < 100


def test_the_id_of_the_call_is_added() -> None:
    """A line that is logged while a call runs has its request id, with tracing off as well."""
    log = Log()
    bound = bind_ids(request_id="feed0123feed0123")
    log.log("inside")
    log.log("own", request_id="mine")
    reset_ids(**bound)
    log.log("outside")
    inside, own, outside = log.lines()
    assert (inside["request_id"], own["request_id"]) == ("feed0123feed0123", "mine")
    assert "request_id" not in outside


@pytest.mark.parametrize("event", ["ai_call_start", "ai_call_failure", "ai_retry"])
def test_all_devices_of_a_call_are_named(event: str) -> None:
    """A hundred long names fit, next to a prompt too; a name that looks like a secret's hides no other."""
    devices = tuple(f"site/{number:03}/{'ü' * 110}" for number in range(100))
    log = Log(content="full")
    log.log(event, devices=devices[:60], prompt="p" * 16_000)
    log.log(event, devices=devices)
    log.log(event, devices=("front/token", "attic/th1"))
    first, second, third = log.lines()
    assert tuple(first["devices"]) == devices[:60]
    assert tuple(second["devices"]) == devices
    assert third["devices"] == ["front/token", "attic/th1"]


@pytest.mark.parametrize("format_", ["json", "console"])
def test_a_prompt_keeps_its_line_breaks_in_one_line(format_: str) -> None:
    """Whatever control characters it holds: one line of the log, and JSON gives back the exact text."""
    prompt = "rules\n\tdata \x1b[2J\x85\u2028\u202e\U000e0041\r\nend"
    log = Log(content="full", format=format_)
    log.log("ai_call_start", prompt=log.writer.show(prompt))
    assert log.writer.close(5)
    (line,) = log.stream.getvalue().decode().split("\n")[:-1]
    assert line.isprintable()
    if format_ == "json":
        assert json.loads(line)["prompt"] == prompt


def test_a_control_character_hides_no_secret() -> None:
    """A key that is cut by one is masked, though the text is flattened for it."""
    log = Log(content="full")
    log.writer.secrets.add("canary 8d1f")
    text = "a\nkey canary\u200b8d1f, sk-abcdefgh12345678\nb"
    log.log("ai_call_start", prompt=log.writer.show(text))
    ((line),) = log.lines()
    assert "8d1f" not in line["prompt"]
    assert "sk-abc" not in line["prompt"]


def test_a_secret_is_in_no_line() -> None:
    """A registered secret is masked in fields, keys, nested data, exceptions and the event's name."""
    log = Log(content="full")
    log.writer.secrets.add("canary-8d1f")
    error = ValueError("canary-8d1f")
    log.log("failed", level="error", exc_info=error, cause=error)
    log.log(
        "x canary-8d1f", note="a canary-8d1f b", nested={"canary-8d1f": ["canary-8d1f"]}, prompt="canary-8d1f"
    )
    assert log.writer.close(5)
    assert b"canary" not in log.stream.getvalue()
    assert log.stream.getvalue().count(b"\n") == 2


def test_an_exception_gives_its_place_but_not_its_input() -> None:
    """A crash is logged with type and frames; the message of a ValueError, which may hold input, is not."""
    log = Log()
    try:
        float("canary")
    except ValueError:
        log.log("failed", level="error", exc_info=True)
    [line] = log.lines()
    assert line["exception"].startswith("ValueError at ")
    assert "test_logs.py" in line["exception"]
    assert "canary" not in json.dumps(line)


@pytest.mark.parametrize("size", [600, 5_000, 100_000])
def test_an_event_is_bounded(size: int) -> None:
    """No event is longer than 2 KiB, however long its fields; a cut one is marked."""
    log = Log()
    log.log(
        "big", a="é" * size, b=["x" * size] * 60, c={str(place): "y" * size for place in range(60)}, last=1
    )
    assert log.writer.close(5)
    raw = log.stream.getvalue()
    assert len(raw) <= MAX_EVENT_BYTES
    assert json.loads(raw)["truncated"] is True


def test_content_may_be_longer() -> None:
    """Where the configuration allows prompts in the log, one fits."""
    log = Log(content="full")
    text = log.writer.show("p" * 9_000)
    log.log("ai_call_start", prompt=text)
    assert log.writer.close(5)
    assert json.loads(log.stream.getvalue())["prompt"] == "p" * 9_000
    assert len(log.stream.getvalue()) < MAX_CONTENT_EVENT_BYTES


def test_control_characters_cannot_forge_a_line() -> None:
    """A newline in a field or a name does not begin another line, in console format neither."""
    for form in ("json", "console"):
        log = Log(format=form)
        log.log("event\nforged", device="pump\r\n2026-01-01 info forged\x1b[2J")
        assert log.writer.close(5)
        assert log.stream.getvalue().count(b"\n") == 1
        assert b"\x1b" not in log.stream.getvalue()


def test_reserved_names_stay_ours() -> None:
    """A field named like one of ours is kept under another name."""
    log = Log()
    log.log("x", timestamp="forged")
    [line] = log.lines()
    assert line["timestamp"] != "forged"
    assert line["timestamp_"] == "forged"


def test_a_storm_is_limited_and_counted() -> None:
    """Of 1,000 equal warnings 20 are logged; the number held back is logged with the next, or at the end."""
    now = [0.0]
    log = Log(mono=lambda: now[0])
    for _ in range(1_000):
        log.log("journal_slow", level="warning")
    now[0] = 60.0
    log.log("journal_slow", level="warning")
    for _ in range(500):
        log.log("journal_slow", level="warning")
    lines = log.lines()
    assert lines[20] == lines[20] | {"event": "journal_slow", "suppressed": 980}
    assert lines[-1] == lines[-1] | {"event": "log_events_suppressed", "about": "journal_slow"}
    written = sum(line["event"] == "journal_slow" for line in lines)
    assert sum(line.get("suppressed", 0) + line.get("count", 0) for line in lines) == 1_501 - written
    assert len(lines) < 45


def test_one_storm_does_not_silence_other_events() -> None:
    """The limit is per event name."""
    with logging_to() as log:
        for _ in range(100):
            log.log("storm", level="error")
        log.log("other", level="error")
        assert "other" in log.events()


def test_names_of_the_limit_are_bounded() -> None:
    """Ever new names share one bucket after 256 of them."""
    limit = RateLimit(burst=1, per_s=0.0, mono=lambda: 0.0)
    assert sum(limit.allow(f"event{place}") is not None for place in range(1_000)) == 257


def test_a_stuck_stdout_stalls_nobody() -> None:
    """With a reader that does not read, logging goes on, drops and counts, and closing has a limit."""
    read_end, write_end = os.pipe()
    stream = os.fdopen(write_end, "wb", closefd=False)
    log = LogWriter(stream=stream)
    for place in range(3_000):
        log.log(f"event{place % 200}", text="x" * 500)
    assert log.dropped > 0
    assert not log.close(0.05)
    os.close(read_end)  # the writer's thread ends with a broken pipe
    assert log.close(5)
    os.close(write_end)


def test_what_was_dropped_is_said() -> None:
    """Each line is written or counted as dropped."""
    gate = threading.Event()

    class Slow(io.BytesIO):
        def write(self, data: Any) -> int:
            gate.wait(5)
            return super().write(data)

    stream = Slow()
    lines = LineWriter(stream=stream, max_queued_bytes=100)
    for _ in range(50):
        lines.put(b"0123456789\n")
    gate.set()
    assert lines.close(5)
    assert lines.dropped >= 30
    assert stream.getvalue().count(b"\n") + lines.dropped == 50


def test_lines_of_calls_have_room_of_their_own() -> None:
    """While stdout hangs, a storm of other lines cannot take the place of those of calls."""
    gate = threading.Event()

    class Stuck(io.BytesIO):
        def write(self, data: Any) -> int:
            gate.wait(10)
            return super().write(data)

    log = Log(content="full")
    log.writer.close(5)
    log.stream = Stuck()
    log.writer = LogWriter(stream=log.stream, content="full")
    for number in range(3000):
        log.writer.log(f"storm{number % 200}", text="x" * 500)
    for number in range(60):
        log.writer.log("ai_call_failure", "error", number=number, prompt="p" * 16_000)
    gate.set()
    calls = [line["number"] for line in log.lines() if line["event"] == "ai_call_failure"]
    assert calls == list(range(60))
    assert log.writer.dropped > 0


def test_a_closed_stream_is_counted() -> None:
    """Lines that cannot be written are dropped, not raised."""
    stream = io.BytesIO()
    stream.close()
    lines = LineWriter(stream=stream)
    lines.put(b"x\n")
    assert lines.close(5)
    assert lines.dropped == 1


@pytest.fixture
def routed() -> Iterator[Log]:
    """A log that the standard library's logging goes to."""
    log = Log()
    log.writer.close(1)
    log.stream = io.BytesIO()
    root_level = logging.getLogger().level
    log.writer = configure(stream=log.stream)
    yield log
    log.writer.close(5)
    logging.getLogger().setLevel(root_level)


def test_library_logs_come_through_limited(routed: Log) -> None:
    """Paho and others are logged from warning on, a few times a minute, masked, without their later lines."""
    routed.writer.secrets.add("canary-8d1f")
    logging.getLogger("paho.mqtt").info("quiet")
    for _ in range(100):
        logging.getLogger("paho.mqtt").warning("lost canary-8d1f\nsecond line %s", "canary2")
    logging.getLogger("openai").debug("request body canary2")
    logging.getLogger("httpx2").info("HTTP Request canary2")
    logging.getLogger("opentelemetry.exporter.otlp").error("Failed to export")
    lines = routed.lines()
    assert len(lines) == 10
    assert lines[0]["event"] == "library_logged"
    assert lines[0]["message"] == "lost [redacted]"
    assert "canary" not in json.dumps(lines)


def test_a_bad_format_string_of_a_library_is_silent(routed: Log, capfd: pytest.CaptureFixture[str]) -> None:
    """A library's broken log call neither raises nor prints its arguments."""
    record = logging.LogRecord("paho", logging.WARNING, __file__, 1, "%d", ("canary",), None)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LibraryHandler):
            handler.handle(record)
    routed.lines()
    assert "canary" not in capfd.readouterr().err


def test_closing_leaves_the_root_logger_alone(routed: Log) -> None:
    """After the log is closed, the root logger has no handler of ours."""
    routed.lines()
    assert not [item for item in logging.getLogger().handlers if "agent." in type(item).__module__]


def test_two_logs_do_not_share_anything() -> None:
    """Two agents in one process have logs, levels and secrets of their own."""
    one, two = Log(level="debug"), Log(level="error")
    one.writer.secrets.add("canary-one")
    one.log("a", text="canary-one")
    two.log("b", level="error", text="canary-one")
    two.log("c", level="info")
    assert one.lines()[0]["text"] == "[redacted]"
    assert [line["text"] for line in two.lines()] == ["canary-one"]


@pytest.mark.process
def test_rich_is_not_imported() -> None:
    """The log costs no module that it does not use, even where rich and greenlet are installed."""
    unused = {"rich", "greenlet", "opentelemetry", "attr"}
    script = f"import sys, agent.observe.logs; print({unused} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
