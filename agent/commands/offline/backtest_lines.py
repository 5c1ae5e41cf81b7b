"""The result of a backtest in words."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from agent.commands.offline.inputs import listed, unread_lines
from agent.commands.printing import many, printable
from agent.detect import DetectSettings

MAX_SUSPICIONS = 20
MAX_SERIES = DetectSettings().max_series
MAX_NAME = 40  # characters of a device in a table
_OPEN = "open"

Told = Mapping[str, Any]
ToTime = Callable[[str | None], str]


def lines_of(told: Told, *, utc: bool) -> list[str]:
    """Return the lines; times are local or UTC."""
    when = _in_utc if utc else _local
    source = told["input"]
    names = ", ".join(
        printable(str(one["name"]))
        + ("" if one.get("timed", True) else " (without times)")
        + (f" (recorded at {one['pace']:.0f} times its speed)" if one.get("pace", 1.0) > 1.0 else "")
        for one in source["sources"]
    )
    lines = [
        (
            f"{names}: {many(source['messages'], 'message')}, {many(source['readings'], 'reading')} of"
            f" {many(source['devices'], 'device')} in {many(source['series'], 'series', 'series')}"
        ),
        f"  from {when(source['from'])} to {when(source['to'])}, {'UTC' if utc else 'local time'}",
    ]
    if source["findings_since"]:
        lines.append(f"  findings since {when(source['findings_since'])}; rows before that only teach")
    if any(one.get("learnt_before") for one in source["sources"]):
        lines.append("  earlier rows are deleted: it begins with the learnt state of the last snapshot")
    if source["still_learning"]:
        lines.append(f"  {many(source['still_learning'], 'series', 'series')} still learning at the end")
    lines += ["", *_findings(told["findings"], when), *_counts(told["counts"])]
    lines += ["", *_reviews(told["reviews"], when)]
    unread = unread_lines(told["sources"], told["unread"])
    if source["forgotten"]:
        unread.append(
            f"{many(source['forgotten'], 'series', 'series')} forgotten, because at most {MAX_SERIES} are"
            " kept: each learns from the beginning when it comes again, and is hardly judged; play fewer"
            " devices at once"
        )
    lines += ["", *(unread or ["Everything was read."])]
    if "against" in told:
        lines += ["", *_against(told["against"], when)]
    return lines


def _local(text: str | None) -> str:
    return "" if text is None else _moment(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _in_utc(text: str | None) -> str:
    return "" if text is None else _moment(text).strftime("%Y-%m-%d %H:%M:%S")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _findings(findings: Sequence[Told], when: ToTime) -> list[str]:
    if not findings:
        return ["No findings."]
    rows = [("opened", "cleared", "severity", "kind", "device", "summary")]
    rows += [
        (
            when(one["opened"]),
            when(one["cleared"]) or _OPEN,
            one["severity"],
            one["kind"],
            _short(one["device"]),
            printable(one["summary"]),
        )
        for one in findings
    ]
    return _table(rows)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _short(name: str) -> str:
    text = printable(name)
    return text if len(text) <= MAX_NAME else text[: MAX_NAME - 3] + "..."


def _counts(counts: Told) -> list[str]:
    sealed = sum(counts["windows"].values())
    text = f"{many(counts['findings'], 'finding')}"
    if counts["findings"]:
        text += f" in {many(counts['incidents'], 'incident')}"
        text += f" ({listed(counts['severity'])}; {listed(counts['kind'])}; {counts['open']} still open)"
    anomalies = many(counts["anomalies"], "anomaly", "anomalies")
    return [f"{text}, {many(sealed, 'window')}, {anomalies} among them"]


def _reviews(reviews: Told, when: ToTime) -> list[str]:
    windows, audits = many(reviews["windows"], "suspicion"), many(reviews["audits"], "audit")
    tokens = reviews["tokens"]
    lines = [
        f"To the model: {windows} and {audits} in {many(reviews['calls'], 'call')},"
        f" at most {tokens['input']} tokens in and {tokens['output']} out,"
        f" {reviews['cost_usd']:.6f} USD with {printable(reviews['model'])}"
        + ("" if reviews["priced"] else " (no price of its own: the dearest)"),
    ]
    shown = [one for one in reviews["suspicions"] if not one["audit"]]
    if shown:
        rows = [("at", "score", "kind", "device", "tokens", "summary")]
        rows += [
            (
                when(one["at"]),
                f"{one['score']:.2f}",
                one["kind"],
                _short(one["device"]),
                str(one["tokens"]),
                printable(one["summary"]),
            )
            for one in shown[:MAX_SUSPICIONS]
        ]
        lines += ["  " + line for line in _table(rows)]
    if reviews["windows"] > MAX_SUSPICIONS:
        lines.append(f"  and {reviews['windows'] - MAX_SUSPICIONS} more; --json lists them")
    return lines


def _against(against: Told, when: ToTime) -> list[str]:
    before, after = against["reviews"]["before"], against["reviews"]["after"]
    lines = [
        (
            f"With {printable(against['config'])}: {many(len(against['lost']), 'finding')} lost,"
            f" {len(against['gained'])} gained, {len(against['changed'])} changed, {against['same']} the same"
        )
    ]
    rows = [("", "opened", "severity", "kind", "device", "summary")]
    for sign, one in (*(("-", one) for one in against["lost"]), *(("+", one) for one in against["gained"])):
        rows.append(_change(sign, one, one["severity"], one["kind"], when))
    for pair in against["changed"]:
        old, new = pair["before"], pair["after"]
        severity, kind = _arrow(old, new, "severity"), _arrow(old, new, "kind")
        rows.append(_change("~", new, severity, kind, when))
    lines += _table(rows) if len(rows) > 1 else []
    lines.append(
        f"calls of the model {before['calls']} -> {after['calls']},"
        f" {before['cost_usd']:.6f} -> {after['cost_usd']:.6f} USD"
    )
    return lines


def _change(
    sign: str, one: Told, severity: str, kind: str, when: ToTime
) -> tuple[str, str, str, str, str, str]:
    return sign, when(one["opened"]), severity, kind, _short(one["device"]), printable(one["summary"])


def _arrow(old: Told, new: Told, name: str) -> str:
    return str(new[name]) if old[name] == new[name] else f"{old[name]} -> {new[name]}"
