"""This machine: clock, state directory, disk, journal."""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from agent.commands.checks.line import Line, fail, ok, warn
from agent.commands.printing import instant, span
from agent.config import Config
from agent.journal import JournalError
from agent.journal.reader import Reader
from agent.journal.state_dir import holder

MIB = 1 << 20
EARLIEST = 1_767_225_600.0  # 2026-01-01: this program is younger
CLOCK_SLACK_S = 300.0
TIMESYNC = Path("/run/systemd/timesync")
FSYNCS = 5
SLOW_FSYNC_S = 0.1
MARGIN_MIB = 64
LOCK = "journal.lock"


def look_at_machine(config: Config) -> list[Line]:
    """Look at everything here that the agent needs."""
    return [*look_at_clock(config, time.time()), *look_at_storage(config), *look_at_journal(config)]


def running(config: Config) -> int | None:
    """Return the process id of the agent that holds the state directory, None without one."""
    return holder(config.agent.state_dir / LOCK)


def look_at_clock(config: Config, now: float) -> Iterator[Line]:
    """Report whether ``now`` (Unix seconds) can be true."""
    check, said = "clock", instant(now)
    if now < EARLIEST:
        yield fail(check, f"{said} is in the past", "set the clock (timedatectl), or add an RTC or NTP")
        return
    try:
        with Reader.open(config.agent.state_dir) as reader:
            last = reader.last_clock()
    except JournalError:
        last = 0.0
    if last - now > CLOCK_SLACK_S:
        yield warn(
            check,
            f"{said} is {span(last - now)} before the journal's last row",
            "set the clock (timedatectl)",
        )
    elif TIMESYNC.is_dir() and not (TIMESYNC / "synchronized").exists():
        yield warn(check, f"{said}, not synchronised since boot", "check the network and timedatectl")
    else:
        yield ok(check, f"{said} is plausible")


def look_at_storage(config: Config) -> Iterator[Line]:
    """Report whether the state directory can be written, how much room it has and how fast it syncs."""
    check, folder = "storage", config.agent.state_dir
    if why := _hidden(folder):
        what = f"{folder} cannot be looked at: {why}"
        yield fail(check, what, "run the doctor as root or as the agent's user")
        return
    if not folder.exists():
        yield warn(
            check,
            f"{folder} does not exist yet",
            "systemd makes it (StateDirectory); else: create it for the agent's user",
        )
        return
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        yield fail(
            check,
            f"{folder} is not writable for user {os.geteuid()}",
            "run the doctor as the agent's user or as root, or correct agent.state_dir",
        )
        return
    yield ok(check, f"{folder} is writable")
    yield _room(config, folder)
    try:
        middle_s = time_fsync(folder)
    except OSError as error:
        yield fail("fsync", f"{folder}: {error.strerror}", "free some space, or look at the disk")
        return
    said = f"{1000 * middle_s:.2g} ms for 4 KiB"
    if middle_s > SLOW_FSYNC_S:
        yield warn(
            "fsync", f"{said}, which is slow", "raise journal.commit_ms, or use a better card or an SSD"
        )
    else:
        yield ok("fsync", said)


def time_fsync(folder: Path) -> float:
    """Return the median time of a 4 KiB write with fsync in ``folder``, s; nothing is left there."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(FSYNCS):
            started = time.perf_counter()
            file.write(os.urandom(4096))
            file.flush()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - started)
    return statistics.median(times)


def _room(config: Config, folder: Path) -> Line:
    free_mib = shutil.disk_usage(folder).free / MIB
    used_mib = _journal_bytes(folder) / MIB
    need_mib = config.journal.max_mib - used_mib
    said = f"{free_mib:.0f} MiB free, the journal may take {max(0.0, need_mib):.0f} MiB more"
    if free_mib < MARGIN_MIB:
        return fail("disk", said, "free some space: soon nothing would be acknowledged any more")
    if free_mib < need_mib + MARGIN_MIB:
        return warn("disk", said, "lower journal.max_mib or free some space")
    return ok("disk", said)


def _hidden(folder: Path) -> str:
    """Return why this user may not look into ``folder``, empty if it may or if there is none."""
    try:
        (folder / "journal.sqlite").stat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def _journal_bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.glob("journal.sqlite*"))


def look_at_journal(config: Config) -> Iterator[Line]:
    """Report whether an agent runs, and how the journal is."""
    pid, folder = running(config), config.agent.state_dir
    yield ok("agent", f"process {pid} runs on {folder}" if pid is not None else f"none runs on {folder}")
    if _hidden(folder):
        return  # reported by the storage check
    if not (folder / "journal.sqlite").exists():
        yield ok("journal", "there is none yet; the first start makes it")
        return
    try:
        with Reader.open(folder) as reader:
            damage, counts = reader.damage(), reader.counts()
            refused = sum(row.given_up for row in reader.outbox(limit=10_000))
            ids_reused = bool(int(reader.meta("ids_reused") or 0))
    except JournalError as error:
        what, _, remedy = str(error).removeprefix("journal: ").partition("; ")
        yield fail("journal", what, remedy)
        return
    if damage is not None:
        yield fail("journal", f"damaged: {damage}", "the next start moves it aside and begins a clean one")
        return
    yield ok(
        "journal",
        f"sound, {_journal_bytes(folder) / MIB:.1f} of {config.journal.max_mib} MiB,"
        f" {counts['messages']} messages, {counts['verdicts']} verdicts, {counts['outbox']} to publish",
    )
    if ids_reused:
        yield warn(
            "mqtt.redelivery",
            "the broker reuses packet ids, so what it sends again after a reconnect is journaled again",
            "set sources[].dedupe where publishers send ids of their own, or use Mosquitto",
        )
    if refused:
        yield warn(
            "outbox",
            f"{refused} messages were given up because the broker refused them for 24 h",
            "edge-agent show VERDICT_ID prints the reason code; correct the broker's ACL or limits",
        )
    if counts["quarantine"]:
        yield warn(
            "quarantine",
            f"{counts['quarantine']} messages could not be read",
            "edge-agent explain TOPIC PAYLOAD prints the reason; correct sources or the device",
        )
