"""The live view: the drawing of a board, and the demo in a pseudo-terminal."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from rich.cells import cell_len

from simulator.faults import FaultKind, Label
from simulator.score import Opening, match
from simulator.truth import Truth
from simulator.view_frame import BARS, frame, spark
from simulator.view_state import Board
from tests.simulator.demo_process import ROOT, write_config

NOW = 1_790_000_000.0
hostile = st.text(st.characters(codec="utf-8"), max_size=60)


def verdict(text: str = "temperature jumped to 8.") -> dict[str, Any]:
    return {
        "device": text[:20] or "a",
        "status": "anomaly",
        "severity": "critical",
        "kind": "spike",
        "summary": text,
        "source": "ai",
        "reason": "reviewed",
        "score": 4.0,
    }


def board(text: str = "freezer-1") -> Board:
    """Return a board with ``text`` in each field that a device or a model can write."""
    made = Board(title="demo: a freezer", web="http://127.0.0.1:8000/", began=NOW - 65)
    made.status = {
        "state": "ok",
        "problems": [text],
        "broker": {"subscribed": True},
        "ai": {
            "breaker": "closed",
            "budget": {"hour": {"spent_usd": 0.01, "reserved_usd": 0.0, "limit_usd": 0.1}},
        },
        "counters": {"verdicts": {"ai": 1, "local": 2}, "readings": 30, "windows": 3, "findings_open": 1},
        "findings": [{"id": "f1", "kind": "spike"}],
        "devices": [
            {
                "id": text,
                "finding": "f1",
                "metrics": [
                    {"name": text, "unit": "degC", "value": 8.0, "usual": [-19, -17], "recent": [-18, -18, 8]}
                ],
            }
        ],
    }
    made.take_verdict(verdict(text), NOW - 3)
    made.take_event({"event_type": "opened", "finding_id": "f1", "verdict": verdict(text)}, NOW - 3)
    return made


def shown(made: Board, width: int = 120, height: int = 40) -> str:
    return frame(made, width=width, height=height, now=NOW).plain


def test_frame_shows_devices_findings_calls_and_spend() -> None:
    """A value outside the usual range carries a sign, not only a colour; spend is next to its limit."""
    text = shown(board())
    assert re.search(r"freezer-1 .*▁▁█ +8! *degC *usual -19 to -17 +spike", text), text
    assert "1:05" in text
    assert "$0.01000 of $0.10" in text
    assert "3 verdicts (1 ai, 0 cache, 2 local)" in text
    assert re.search(r"critical for 3 s +temperature jumped|critical for 3 s +freezer-1", text), text


def test_true_fault_stands_beside_what_the_agent_said() -> None:
    """Found with its delay, missed, too new to judge; what is normal is left alone or fools the agent."""
    labels = [
        Label(device="a", metric="m", kind=FaultKind.SPIKE, start=NOW - 60, end=NOW - 58),
        Label(device="b", metric="m", kind=FaultKind.DRIFT, start=NOW - 50, end=NOW - 40),
        Label(device="c", metric=None, kind=FaultKind.DEVICE_SILENT, start=NOW - 5, end=NOW + 90),
        Label(device="d", metric=None, kind=FaultKind.DOOR_OPEN, start=NOW - 30, end=NOW - 20),
        Label(device="e", metric=None, kind=FaultKind.DEFROST, start=NOW - 30, end=NOW - 20),
    ]
    openings = [
        Opening(finding_id="1", device="a", kind="spike", seen=NOW - 59, reported=NOW - 57),
        Opening(finding_id="2", device="d", kind="spike", seen=NOW - 29, reported=NOW - 27),
    ]
    made = board()
    score = match(labels, openings, grace_s=4)
    made.truth = Truth(score=score, kinds={"1": ["spike", "level_shift"]}, now=NOW, grace_s=4)
    text = shown(made)
    for pattern in (
        r"spike +a/m +over \(2 s\) +found as spike, then level_shift after 3.0 s",
        r"drift +b/m .*MISSED",
        r"device_silent +c +goes on +not reported yet, 5 s",
        r"door_open +d .*FOOLED: it is normal, reported as spike",
        r"defrost +e .*normal, and left alone",
    ):
        assert re.search(pattern, text), (pattern, text)


def test_cleared_finding_moves_below_the_open_ones() -> None:
    made = board()
    opened = {"event_type": "opened", "finding_id": "f2", "verdict": verdict()}
    made.take_event(opened, NOW - 2)
    made.take_event({"event_type": "cleared", "finding_id": "f1", "verdict": verdict()}, NOW)
    text = shown(made)
    assert text.index("critical for 2 s") < text.index("cleared after 3 s")


@given(text=hostile, width=st.integers(1, 220), height=st.integers(1, 70))
def test_nothing_is_wider_or_higher_than_the_terminal(text: str, width: int, height: int) -> None:
    """Whatever devices and models write: no control character, no line too long, no line too many."""
    lines = shown(board(text), width, height).split("\n")
    assert len(lines) <= height
    for line in lines:
        assert cell_len(line) <= width
        assert line.isprintable() or not line


@given(st.lists(st.floats(-1e12, 1e12), max_size=40), st.integers(1, 40))
def test_sparkline_keeps_the_order_of_values(values: list[float], length: int) -> None:
    """A bar for each of the last values, and a larger value never has the lower bar."""
    bars = spark(values, None, length)
    kept = values[-length:]
    assert len(bars) == len(kept)
    heights = [BARS.index(bar) for bar in bars]
    for (one, high), (other, higher) in zip(
        zip(kept, heights, strict=True), zip(kept[1:], heights[1:], strict=True), strict=False
    ):
        assert (one <= other) <= (high <= higher)


class Terminal:
    """The demo in a pseudo-terminal of 120 x 40 cells."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OPENAI_", "EDGE_", "NO_", "COLUMNS", "LINES"))
        }
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "simulator",
                "demo",
                "--config",
                str(write_config(folder)),
                "--for",
                "300",
            ],
            cwd=ROOT,
            env={**kept, "TMPDIR": str(folder), "TERM": "xterm-256color", "LANG": "C.UTF-8", **environment},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._said = b""

    def read(self) -> tuple[int, str]:
        """Interrupt it once the model has answered; return its exit code and all that it wrote."""
        interrupted = False
        while True:
            try:
                data = os.read(self._ours, 65536)
            except OSError:  # the other end is closed
                break
            self._said += data
            if not interrupted and b"ai, reviewed" in self._said:
                interrupted = True
                self._process.send_signal(signal.SIGINT)
        os.close(self._ours)
        return self._process.wait(60), self._said.decode(errors="replace")


@pytest.fixture(scope="module")
def terminals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Three runs at the same time: an able terminal, one without colour, one that can only show lines."""
    kinds: dict[str, dict[str, str]] = {"able": {}, "plain": {"TERM": "dumb"}, "grey": {"NO_COLOR": "1"}}
    running = {kind: Terminal(tmp_path_factory.mktemp(kind), **more) for kind, more in kinds.items()}
    with ThreadPoolExecutor() as readers:
        return dict(zip(running, readers.map(Terminal.read, running.values()), strict=True))


@pytest.mark.process
@pytest.mark.slow
def test_terminal_gets_the_live_view_and_the_summary(terminals: dict[str, tuple[int, str]]) -> None:
    """The other screen is taken and given back, the cursor comes back, and the last lines stay."""
    code, said = terminals["able"]
    assert code == 0, said[-2000:]
    view, back, after = said.rpartition("\x1b[?1049l")
    assert "\x1b[?1049h" in view
    assert back
    assert "\x1b[?25h" in said[said.rindex("\x1b[?25l") :]
    assert "pump-1" in view
    assert "usual" in view
    assert any(bar * 3 in view for bar in BARS)
    assert re.search(r"\x1b\[[0-9;]*3[1-6]m", view)
    assert "--- after" in after
    assert re.search(r"readings +[\d,]+ journaled", after)


@pytest.mark.process
@pytest.mark.slow
def test_no_color_is_respected(terminals: dict[str, tuple[int, str]]) -> None:
    """With NO_COLOR the same view has no colour codes."""
    code, said = terminals["grey"]
    assert code == 0, said[-2000:]
    assert "pump-1" in said
    assert not re.search(r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7]|38;[0-9;]+)m", said)


@pytest.mark.process
@pytest.mark.slow
def test_a_terminal_that_cannot_show_it_gets_lines(terminals: dict[str, tuple[int, str]]) -> None:
    """TERM=dumb is a line for everything that happens and no escape sequence at all."""
    code, said = terminals["plain"]
    assert code == 0, said[-2000:]
    assert "\x1b" not in said
    assert re.search(r"scenario +demo:", said)
    assert "source, reason" in said
