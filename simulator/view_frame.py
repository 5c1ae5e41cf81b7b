"""The live view's lines of text: most important first, cut to the terminal.

Every text that a device or a model can reach goes through ``clean`` and into ``Text`` objects, which know
no markup. Colour only repeats the meaning of a word or a sign.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from simulator.score import Match
from simulator.text import clean, clock, verdict_words
from simulator.truth import Truth
from simulator.view_state import Board, FindingRow

BARS = "▁▂▃▄▅▆▇█"
WIDE = 100  # columns from which there is room for long sparklines and the usual range
LONG, SHORT = 30, 14  # bars of a sparkline
_STATES = {"ok": "green", "degraded": "yellow", "down": "bold red"}
_SEVERITIES = {"critical": "bold red", "warning": "yellow", "info": "cyan"}


def frame(board: Board, *, width: int, height: int, now: float | None = None) -> Text:
    """Return the whole screen, ``height`` lines of at most ``width`` cells."""
    at = time.time() if now is None else now
    top = [*_header(board, at), *_money(board, width)]
    sections = [
        ("Devices", _devices(board, width)),
        ("The truth, and the agent's verdicts", _truths(board.truth)),
        ("Findings", _findings(board, at)),
        ("Verdicts", _verdicts(board)),
    ]
    lines = top + _fit(sections, height - len(top), width)
    lines = lines[:height]
    for line in lines:
        line.truncate(max(1, width), overflow="ellipsis")
    return Text("\n", no_wrap=True, overflow="crop", end="").join(lines)


def spark(values: Sequence[float], usual: Sequence[float] | None, length: int) -> str:
    """Return the last ``length`` values as bars, on a scale that holds the usual range too."""
    shown = list(values)[-length:]
    if not shown:
        return ""
    low, high = min(*shown, *(usual or shown)), max(*shown, *(usual or shown))
    if not high > low:
        return BARS[3] * len(shown)
    top = len(BARS) - 1
    return "".join(BARS[round((value - low) / (high - low) * top)] for value in shown)


def _fit(sections: Sequence[tuple[str, list[Text]]], height: int, width: int) -> list[Text]:
    """Share out the lines: first some for each section in order, then what is left, in order."""
    shares = [0] * len(sections)
    left = max(0, height)
    for least in (4, 7, 200):
        for place, (_, rows) in enumerate(sections):
            more = min(len(rows), least) - shares[place]
            heading = 1 if shares[place] == 0 else 0
            if more <= 0 or left <= heading:
                continue
            more = min(more, left - heading)
            shares[place] += more
            left -= more + heading
    out: list[Text] = []
    for share, (title, rows) in zip(shares, sections, strict=True):
        if share:
            hidden = len(rows) - share
            name = f"{title} ({hidden} more)" if hidden and title != "Verdicts" else title
            out += [_rule(name, width), *rows[:share]]
    return out


def _rule(title: str, width: int) -> Text:
    line = "─" * max(0, width - cell_len(title) - 4)
    return Text.assemble(("── ", "bright_black"), (title, "bold"), (f" {line}", "bright_black"))


def _header(board: Board, now: float) -> list[Text]:
    state = str(board.status.get("state", "no answer"))
    passed = max(0, int(now - board.began))
    first = Text.assemble(
        (board.title.partition(":")[0] or "edge-agent", "bold"),
        ("  ", ""),
        (board.web or "", "bold cyan underline"),
        f"  {passed // 60}:{passed % 60:02d}  ",
        ("Ctrl-C ends it  ", "bright_black"),
        board.phase,
    )
    link = board.status.get("broker", {})
    connected = "connected" if link.get("subscribed") else "not connected"
    facts = ", ".join(text for text in (board.broker, board.model and f"model {board.model}") if text)
    second = Text.assemble(
        "agent ",
        (clean(state, 12), _STATES.get(state, "bold red")),
        "  broker ",
        (connected, "green" if link.get("subscribed") else "bold red"),
        "  model ",
        _breaker(board.status),
        (f"  {facts}", "bright_black"),
    )
    lines = [first, second]
    lines += [Text(f"! {clean(text, 200)}", "yellow") for text in board.status.get("problems", [])[:1]]
    return lines


def _breaker(status: Mapping[str, Any]) -> tuple[str, str]:
    ai = status.get("ai", {})
    if ai.get("answering") == "never":
        return "has never answered", "bold red"
    words = {"half_open": ("probing", "yellow"), "open": ("paused after failures", "bold red")}
    answers = {"yes": ("answers", "green"), "failing": ("its last calls failed", "bold red")}
    unknown = ("not known yet", "bright_black")
    return words.get(str(ai.get("breaker"))) or answers.get(str(ai.get("answering")), unknown)


def _money(board: Board, width: int) -> list[Text]:
    samples, budget = board.metrics, board.status.get("ai", {}).get("budget", {})
    first = Text.assemble(("AI     ", "bold"))
    if samples is None:
        first.append("no answer yet", "bright_black")
    else:
        good, bad = (samples.total("ai_api_calls_total", status=word) for word in ("success", "failure"))
        tokens = [samples.total("ai_tokens_processed_total", direction=way) for way in ("input", "output")]
        first.append(f"{good + bad:,.0f} calls", "bold")
        first.append(f", {bad:,.0f} failed", "bold red" if bad else "bright_black")
        first.append(f"  {tokens[0]:,.0f} tokens in, {tokens[1]:,.0f} out  ")
    for period in ("hour", "day") if width >= WIDE else ("hour",):
        if money := budget.get(period):
            first.append_text(_budget(period, money))
    counts = board.status.get("counters", {})
    said = counts.get("verdicts", {})
    second = Text.assemble(("sent   ", "bold"))
    if counts:
        second.append(f"{sum(said.values()):,} verdicts", "bold")
        by = ", ".join(f"{said.get(source, 0):,} {source}" for source in ("ai", "cache", "local"))
        second.append(f" ({by})")
        second.append(f"  {counts.get('readings', 0):,} readings, {counts.get('windows', 0):,} windows")
        second.append(
            f"  {counts.get('findings_open', 0)} open", "yellow" if counts.get("findings_open") else ""
        )
    return [first, second]


def _budget(period: str, money: Mapping[str, float]) -> Text:
    used, limit = money["spent_usd"] + money["reserved_usd"], money["limit_usd"]
    share = min(1.0, used / limit) if limit > 0 else 1.0
    length = 8
    filled = max(1 if used > 0 else 0, round(share * length))
    style = "green" if share < 0.8 else "bold red"  # noqa: PLR2004 - where the budget turns soft
    return Text.assemble(
        (f"{period} "),
        ("█" * filled, style),
        ("░" * (length - filled), "bright_black"),
        (f" ${used:.5f} of ${limit:.2f}  "),
    )


def _devices(board: Board, width: int) -> list[Text]:
    kinds = {found.get("id"): clean(found.get("kind"), 14) for found in board.status.get("findings", [])}
    length = LONG if width >= WIDE else SHORT
    rows: list[Text] = []
    for device in board.status.get("devices", []):
        name = clean(device.get("id"), 40)
        state = kinds.get(device.get("finding")) if device.get("finding") else None
        said = Text()
        if device.get("silent"):
            said = Text("silent", "bold red")
        elif state:
            said = Text(state, "bold red")
        for place, metric in enumerate(device.get("metrics", [])):
            rows.append(_metric(name if place == 0 else "", metric, length))
            if place == 0 and said:
                rows[-1].append("  ").append_text(said)
        if not device.get("metrics"):
            rows.append(Text(f"{_cells(name, 11)} ", "bold").append_text(said))
    return rows or [Text("none has arrived yet", "bright_black")]


def _metric(device: str, metric: Mapping[str, Any], length: int) -> Text:
    value, usual = metric.get("value"), metric.get("usual")
    recent = [one for one in metric.get("recent", []) if isinstance(one, int | float)]
    far = usual is not None and value is not None and not usual[0] <= value <= usual[1]
    bars = spark(recent, usual, length)
    unit = clean(metric.get("unit") or "", 6)
    shown = "-" if value is None else f"{_number(value)}{'!' if far else ' '}"
    words = "learning" if not usual else f"usual {_number(usual[0])} to {_number(usual[1])}"
    return Text.assemble(
        (_cells(device, 11) + " ", "bold"),
        _cells(clean(metric.get("name"), 40), 12) + " ",
        (bars.rjust(length), "red" if far else "cyan"),
        (f" {shown:>9}", "bold red" if far else "bold"),
        (_cells(unit, 5) + " ", "bright_black"),
        (_cells(words, 26) if length >= LONG else "", "bright_black"),
    )


def _truths(truth: Truth | None) -> list[Text]:
    if truth is None or not truth.score.matches:
        return [Text("nothing has gone wrong yet", "bright_black")]
    return [_truth(row, truth) for row in reversed(truth.score.matches)]


def _truth(row: Match, truth: Truth) -> Text:
    label, age = row.label, truth.now - row.label.start
    ongoing = truth.now < label.end
    where = f"{label.device}/{label.metric}" if label.metric else label.device
    return Text.assemble(
        (f"{clock(label.start)} ", "bright_black"),
        (_cells(str(label.kind), 14) + " ", "bold"),
        _cells(where, 22) + " ",
        (_cells("goes on" if ongoing else f"over ({label.end - label.start:.0f} s)", 12), "bright_black"),
        _said(row, truth, age),
    )


def _said(row: Match, truth: Truth, age: float) -> tuple[str, str]:
    normal = row.label.normal
    if row.opening is not None:
        named = clean(", then ".join(truth.kinds.get(row.opening.finding_id, [row.opening.kind])), 30)
        if normal:
            return f"FOOLED: it is normal, reported as {named}", "bold red"
        return f"found as {named} after {row.delay_s:.1f} s", "bold green"
    if normal:
        return "normal, and left alone", "green"
    if truth.now < row.label.end + truth.grace_s:
        return f"not reported yet, {age:.0f} s", "yellow"
    return "MISSED", "bold red"


def _findings(board: Board, now: float) -> list[Text]:
    rows = sorted(
        board.findings.values(), key=lambda one: (one.cleared is not None, -(one.cleared or one.opened))
    )
    return [_finding(row, now) for row in rows] or [Text("none has opened", "bright_black")]


def _finding(row: FindingRow, now: float) -> Text:
    if row.cleared is not None:
        state, style = f"cleared after {row.cleared - row.opened:.0f} s", "green"
    else:
        state, style = f"{row.severity} for {now - row.opened:.0f} s", _SEVERITIES.get(row.severity, "")
    return Text.assemble(
        (f"{clock(row.opened)} ", "bright_black"),
        (_cells(row.device, 11) + " ", "bold"),
        _cells(row.kind, 12) + " ",
        (_cells(state, 20) + " ", style),
        (row.summary, "" if row.cleared is None else "bright_black"),
    )


def _verdicts(board: Board) -> list[Text]:
    rows = []
    for at, verdict in board.verdicts:
        word, source = verdict_words(verdict)
        style = "bright_black"
        if verdict["status"] != "normal":
            style = _SEVERITIES.get(str(verdict["severity"]), "yellow")
        rows.append(
            Text.assemble(
                (f"{clock(at)} ", "bright_black"),
                (_cells(clean(verdict["device"], 40), 11) + " ", "bold"),
                (_cells(word, 20) + " ", style),
                (_cells(source, 22) + " ", "cyan" if verdict["source"] != "local" else "bright_black"),
                clean(verdict["summary"], 200),
            )
        )
    return rows or [Text("none yet", "bright_black")]


def _cells(text: str, length: int) -> str:
    """Return text of exactly ``length`` cells."""
    return text[: length - 1] + "…" if cell_len(text) == len(text) > length else set_cell_size(text, length)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"  # noqa: PLR2004 - where digits stop helping
