"""The demo's lines of text: each verdict and finding, and the summary."""

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from simulator.faults import Label
from simulator.score import Match, Score
from simulator.scrape import Samples
from simulator.watch import Received

HEADER = "time      device       verdict             score  source, reason          summary"
_SOURCES = ("ai", "cache", "local")


def clock(at: float) -> str:
    """Return a time of day, UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def clean(text: Any, length: int) -> str:
    """Return text from the broker as something that a terminal may be shown."""
    plain = "".join(one if one.isprintable() else _stand_in(one) for one in str(text))
    return plain if len(plain) <= length else plain[: length - 1] + "…"


def _stand_in(character: str) -> str:
    return " " if unicodedata.category(character) == "Zs" else "?"


def verdict_line(verdict: dict[str, Any], now: float) -> str:
    """Return the line of one verdict."""
    word, source = verdict_words(verdict)
    device = clean(verdict["device"], 12)
    return (
        f"{clock(now)}  {device:<12} {word:<19} {float(verdict['score']):5.2f}  {source:<23} "
        f"{clean(verdict['summary'], 110)}"
    )


def verdict_words(verdict: Mapping[str, Any]) -> tuple[str, str]:
    """Return a verdict's judgement, its source and its reason."""
    status = clean(verdict["status"], 10)
    word = f"{status.upper()} {clean(verdict['kind'], 12)}" if verdict["status"] != "normal" else status
    return word, f"{clean(verdict['source'], 8)}, {clean(verdict['reason'], 15)}"


def event_line(event: dict[str, Any], now: float) -> str:
    """Return the line of one change of a finding."""
    verdict = event["verdict"]
    what = f"{clean(verdict['kind'], 12)}, {clean(verdict['severity'], 8)}"
    detail = "" if event["event_type"] == "cleared" else f" ({what})"
    device = clean(verdict["device"], 12)
    return f"{clock(now)}  {device:<12} >>> finding {clean(event['event_type'], 8)}{detail}"


def fault_line(label: Label, now: float, *, begins: bool) -> str:
    """Return the line that states the true fault."""
    what = f"{label.kind}{f' of {label.metric}' if label.metric else ''}"
    word = "what is normal" if label.normal else "true fault"
    return f"{clock(now)}  {label.device:<12} --- {word} {'begins' if begins else 'ends'}: {what}"


def traffic_lines(received: Received, samples: Samples | None, *, history: int, live: int) -> list[str]:
    """Return how many readings, windows, AI calls, verdicts and findings there were, and what it cost."""
    out = []
    if samples is None:
        out.append(f"readings   {history + live:,} sent ({history:,} of history, {live:,} live)")
        out.append("           the agent's /metrics did not answer")
    else:
        out += _agent_lines(samples, history=history, live=live)
    parts = [f"{source} {_count(received, source):,}" for source in _SOURCES]
    why = ", ".join(
        f"{reason} {count:,}"
        for (source, reason), count in received.sources.most_common()
        if source == "local"
    )
    out.append(f"verdicts   {received.verdicts:,} from the broker: {', '.join(parts)} ({why or 'none'})")
    opened, cleared = received.events["opened"], received.events["cleared"]
    out.append(f"findings   {opened} opened, {received.events['updated']} updated, {cleared} cleared")
    return out


def _agent_lines(samples: Samples, *, history: int, live: int) -> list[str]:
    readings = samples.total("edge_readings_total")
    windows = samples.total("edge_windows_total")
    good = samples.total("ai_api_calls_total", status="success")
    bad = samples.total("ai_api_calls_total", status="failure")
    tokens = [samples.total("ai_tokens_processed_total", direction=way) for way in ("input", "output")]
    cost = samples.total("ai_estimated_cost_usd_total")
    sent = f"{history + live:,} sent ({history:,} of history, {live:,} live)"
    used = f"{tokens[0]:,.0f} tokens in, {tokens[1]:,.0f} out, {cost:.6f} USD"
    return [
        f"readings   {readings:,.0f} journaled of {sent}",
        f"windows    {windows:,.0f} sealed",
        f"AI calls   {good + bad:,.0f} ({good:,.0f} answered, {bad:,.0f} failed), {used}",
    ]


def model_silence(status: Mapping[str, Any]) -> str:
    """Return why the model has answered nothing; empty where it did, or was not asked."""
    ai = status.get("ai", {})
    if ai.get("answering") in {"never", "failing"}:
        said = [text for text in status.get("problems", []) if " model " in text and " failed" in text]
        return clean(said[0] if said else f"The model does not answer: {ai.get('last_error')}", 400)
    if ai.get("answering") == "not_asked" and ai.get("in_flight"):
        waiting = ai["in_flight"]
        return (
            f"The model has not answered yet: {waiting} call{'s' * (waiting != 1)} to"
            f" {clean(ai.get('endpoint'), 80)} still wait{'s' * (waiting == 1)}; check OPENAI_BASE_URL, which"
            " usually ends in /v1, or run it longer (FOR=60)"
        )
    return ""


def score_lines(score: Score, *, kinds: Mapping[str, list[str]], until: float, grace_s: float) -> list[str]:
    """Return which true faults were found, under which name, and after how long."""
    out = [_match_line(row, kinds, until, grace_s) for row in score.matches]
    if score.false:
        named = ", ".join(f"{one.kind} on {clean(one.device, 12)}" for one in score.false[:5])
        out.append(f"beside     {len(score.false)} finding{'s' if len(score.false) > 1 else ''}: {named}")
    return out


def _match_line(row: Match, kinds: Mapping[str, list[str]], until: float, grace_s: float) -> str:
    label = row.label
    what = f"{label.kind} on {label.device}{f'/{label.metric}' if label.metric else ''}"
    if label.normal:
        fooled = "left alone" if row.opening is None else f"FOOLED: reported as {clean(row.opening.kind, 40)}"
        return f"normal     {what:<38} {fooled}"
    if row.opening is None:
        open_still = until < label.start + grace_s
        return f"fault      {what:<38} {'too new to judge' if open_still else 'MISSED'}"
    named = ", then ".join(kinds.get(row.opening.finding_id, [row.opening.kind]))
    return f"fault      {what:<38} found as {clean(named, 40)} after {row.delay_s:.1f} s"


def summary(rows: Sequence[str], *, seconds: float) -> str:
    """Return the last lines as one text."""
    return "\n".join([f"--- after {seconds:.0f} s ---", *rows])


def _count(received: Received, source: str) -> int:
    return sum(count for (one, _), count in received.sources.items() if one == source)
