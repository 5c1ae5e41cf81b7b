"""``edge-agent inspect DEVICE[/METRIC]``: the state of the detector, in words.

The journal's last snapshot and the rows after it give the state of a running agent, without asking it.
"""

import argparse
import time
from difflib import get_close_matches
from typing import Any

from agent.commands.printing import UnknownError, instant, many, number, print_result, printable, span
from agent.config import Config, load_apart, settings
from agent.config.series_rules import of_limits, of_tuning
from agent.detect import Detector
from agent.domain.metric_names import look_up, name_for_people
from agent.domain.records import Finding, Progress, RhythmView, SeriesView
from agent.journal import JournalError
from agent.journal.reader import Reader
from agent.pipeline import snapshot
from agent.pipeline.core import teach
from agent.pipeline.window import Windows, WindowSettings
from agent.verdict.review_policy import CalmRate

MAX_NAMED = 8
ATTEMPTS = 3


def run(args: argparse.Namespace) -> int:
    """Print the state of a device, of a series, or of all devices.

    Raises:
        JournalError: there is no journal to read.
        UnknownError: the detector knows no such device.
    """
    config = load_apart(args.config)
    with Reader.open(config.agent.state_dir) as reader:
        detector, problem = learn(reader, config)
        findings = {finding.device: finding for finding in reader.findings()}
    devices = sorted(detector.devices())
    if args.series is None:
        told: dict[str, Any] = {"devices": [_summary(detector, device, findings) for device in devices]}
    else:
        device, metric = _find(detector, args.series)
        told = inspect(detector, device, metric, findings.get(device), now=time.time())
    told["problem"] = problem
    print_result(told, _device_lines if "device" in told else _overview, as_json=args.json)
    return 0


def learn(reader: Reader, config: Config) -> tuple[Detector, str | None]:
    """Return the detector as of the newest row, and in words a fault of the snapshot."""
    for _ in range(ATTEMPTS):
        before = reader.snapshot()
        detector, problem = _learn(reader, config, before)
        after = reader.snapshot()
        if (before and before[0]) == (after and after[0]):
            return detector, problem
        # A new snapshot came in between, and with it the rows after the old one may have been pruned.
    raise JournalError("journal: it changes faster than it can be read; try again in a moment")


def _learn(reader: Reader, config: Config, stored: tuple[int, bytes] | None) -> tuple[Detector, str | None]:
    detector = settings.make_detector(config)
    seq, problem = 0, None
    if stored is not None:
        seq, blob = stored
        problem = snapshot.load(blob, detector, Windows(WindowSettings()), CalmRate(), {}, {})
        detector.reconfigure(of_limits(config), of_tuning(config))
    for row in reader.rows_after(seq):
        teach(detector, row)
    return detector, problem


def _find(detector: Detector, asked: str) -> tuple[str, str | None]:
    """Return device and metric; a device id may hold slashes itself."""
    known = set(detector.devices())
    if asked in known:
        return asked, None
    parts = asked.split("/")
    for cut in range(len(parts) - 1, 0, -1):
        device, metric = "/".join(parts[:cut]), "/".join(parts[cut:])
        if device not in known:
            continue
        if detector.view(device, metric) is not None:
            return device, metric
        metrics = ", ".join(sorted(view.metric for view in detector.views(device)))
        raise UnknownError(
            f"{printable(asked)}: {printable(device)} has no such metric; it has: {printable(metrics)}"
        )
    near = get_close_matches(asked, known, n=MAX_NAMED, cutoff=0.3) or sorted(known)[:MAX_NAMED]
    said = f"known are: {', '.join(near)}" if near else "nothing was journaled yet"
    raise UnknownError(f"{printable(asked)}: the detector knows no such device; {printable(said)}")


def inspect(
    detector: Detector, device: str, metric: str | None, finding: Finding | None, *, now: float
) -> dict[str, Any]:
    """Return the state of ``device``, or of one series of it; ``now`` is Unix seconds."""
    views = [view for view in detector.views(device) if metric in (None, view.metric)]
    last_at = max((view.last_at for view in views if view.last_at is not None), default=None)
    return _summary(detector, device, {} if finding is None else {device: finding}) | {
        "last_at": instant(last_at),
        "last_ago_s": None if last_at is None else round(now - last_at, 3),
        "readings": sum(view.n for view in views),
        "series": [_series(view) for view in sorted(views, key=lambda view: view.metric)],
    }


def _summary(detector: Detector, device: str, findings: dict[str, Finding]) -> dict[str, Any]:
    finding = findings.get(device)
    seen, interval = detector.device_times(detector.device_count).get(device, (0.0, None))
    rhythm = detector.rhythm(device, seen)
    return {
        "device": device,
        "metrics": sorted(view.metric for view in detector.views(device)),
        "interval_s": interval,
        "rhythm": None if rhythm is None else _rhythm(rhythm),
        "silent": detector.silent(device),
        "finding": None
        if finding is None
        else {
            "id": finding.id,
            "kind": str(finding.kind),
            "severity": str(finding.severity),
            "opened": instant(finding.opened),
            "verdicts": finding.verdicts,
        },
    }


def _rhythm(rhythm: RhythmView) -> dict[str, Any]:
    """Return the rhythm of a device and its configured silence."""
    return {
        "learning": None if rhythm.progress is None else _progress(rhythm.progress),
        "on_events": rhythm.on_events,
        "interval_s": rhythm.interval_s,
        "patience_s": rhythm.patience_s,
        "usually_off": rhythm.rests,
        "usual_until": instant(rhythm.usual_until),
        "announced_s": rhythm.announced_s,
        "expect": {"interval_s": rhythm.expected_s, "quiet": rhythm.quiet, "muted": rhythm.muted},
    }


def _progress(progress: Progress) -> dict[str, Any]:
    return {"seen": progress.seen, "needed": progress.needed, "of": progress.of}


def _rhythm_words(rhythm: dict[str, Any] | None) -> str:
    if rhythm is None:
        return "its rhythm is not known yet"
    expect = rhythm["expect"]
    if expect["muted"]:
        return "its silence is not reported, since tuning ignores all of its metrics"
    if (learning := rhythm["learning"]) is not None:
        seen = f"{learning['seen']} of {learning['needed']} {learning['of']}"
        words = f"its rhythm is not known yet: {seen}, so that its silence is not judged"
    elif rhythm["on_events"] and not expect["interval_s"]:
        words = f"sends when something happens, silent after {span(rhythm['patience_s'])}"
    else:
        by = " (expected by tuning)" if expect["interval_s"] else ""
        words = f"usually every {span(rhythm['interval_s'])}{by}, silent after {span(rhythm['patience_s'])}"
    if rhythm["usually_off"]:
        words += f"; off {' and '.join(rhythm['usually_off'])}"
    if expect["quiet"]:
        words += f"; quiet by tuning {', '.join(expect['quiet'])}"
    return words


def _series(view: SeriesView) -> dict[str, Any]:
    low, high = view.limits
    progress = view.progress
    return {
        "metric": view.metric,
        "word": look_up(view.metric).word,
        "diagnostic": view.diagnostic,
        "tuning": {"match": view.tuned_by, "ignored": view.ignored, "sensitivity": view.sensitivity},
        "unit": view.unit,
        "said": _said(view),
        "unit_was": view.unit_was,
        "readings": view.n,
        "warm": view.warm,
        "learning": None if progress is None else {"seen": progress.seen, "needed": progress.needed},
        "goes_with": list(view.goes_with),
        "usual": view.usual,
        "median": view.median,
        "p01": view.p01,
        "p99": view.p99,
        "spread": view.spread,
        "limits": {"low": low, "high": high, "unchecked": view.unchecked},
        "last_value": view.last_value,
        "last_at": instant(view.last_at),
        "recent": view.recent,
    }


def _said(view: SeriesView) -> dict[str, Any] | None:
    """Return the last value as sent, if that was another number or a word."""
    if view.said is not None:
        return {"value": view.said[0], "unit": view.said[1], "word": None}
    return None if view.word is None else {"value": None, "unit": None, "word": view.word}


def _overview(told: dict[str, Any]) -> list[str]:
    lines = [many(len(told["devices"]), "device")]
    for one in told["devices"]:
        state = ", silent" if one["silent"] else ""
        finding = f", {one['finding']['kind']} since {one['finding']['opened']}" if one["finding"] else ""
        lines.append(f"  {printable(one['device'])}: {printable(', '.join(one['metrics']))}{state}{finding}")
    return lines + _problem(told)


def _device_lines(told: dict[str, Any]) -> list[str]:
    series = many(len(told["series"]), "series", "series")
    rhythm = _rhythm_words(told["rhythm"])
    ago = "" if told["last_ago_s"] is None else f", last {span(told['last_ago_s'])} ago"
    silent = "; it has been found silent" if told["silent"] else ""
    lines = [
        f"{printable(told['device'])}: {series}, {many(told['readings'], 'reading')}; {rhythm}{ago}{silent}"
    ]
    finding = told["finding"]
    if finding is None:
        lines.append("  no finding is open")
    else:
        lines.append(
            f"  open finding {finding['id']}: {finding['kind']}, {finding['severity']}, since"
            f" {finding['opened']}, {finding['verdicts']} verdict{'s' * (finding['verdicts'] != 1)}"
        )
    for one in told["series"]:
        lines += _series_lines(one)
    return lines + _problem(told)


def _series_lines(one: dict[str, Any]) -> list[str]:
    unit = f" {printable(one['unit'])}" if one["unit"] else ""
    tuning = one["tuning"]
    if tuning["ignored"]:
        learnt = "not judged, since tuning ignores it; limits hold"
    elif one["diagnostic"]:
        learnt = "diagnostic, which is not judged"
    elif one["learning"] is None and one["usual"] is not None:
        learnt = f"usual is {number(one['usual'][0])} to {number(one['usual'][1])}{unit}"
    else:
        seen, needed = one["learning"]["seen"], one["learning"]["needed"]
        learnt = f"still learning ({seen} of {needed}), so that only limits alarm"
        if one["unit_was"] is not None:
            learnt += f"; its unit changed from {printable(one['unit_was']) or 'no unit'} to{unit}"
    limits = one["limits"]
    bounds = [f"{name} {number(limits[name])}" for name in ("low", "high") if limits[name] is not None]
    if limits["unchecked"] is not None:
        said = f"(not checked: the limit is in {limits['unchecked']}, the readings are in{unit})"
        bounds.append(printable(said))
    said = one["said"]
    sent = ""
    if said:
        as_sent = said["word"] or f"{number(said['value'])} {said['unit']}"
        sent = f" (sent as {printable(as_sent)})"
    return [
        f"  {printable(name_for_people(one['metric']))}: {many(one['readings'], 'reading')}, {learnt}",
        (
            f"    median {number(one['median'])}, 98 % of values from {number(one['p01'])} to"
            f" {number(one['p99'])}, spread {number(one['spread'])}"
        ),
        f"    limits: {', '.join(bounds) or 'none'}",
        *_tuning_line(tuning),
        *_pair_line(one["goes_with"]),
        f"    last value {number(one['last_value'])}{unit}{sent} at {one['last_at']}",
    ]


def _pair_line(goes_with: list[str]) -> list[str]:
    """Return with which series of the device it is compared; nothing without one."""
    names = " and ".join(printable(name_for_people(one)) for one in goes_with)
    return [f"    goes with {names}"] if names else []


def _tuning_line(tuning: dict[str, Any]) -> list[str]:
    """Return which rule of the configuration holds for a series; nothing without one."""
    if tuning["match"] is None:
        return []
    what = "ignored" if tuning["ignored"] else f"sensitivity {tuning['sensitivity']}"
    return [f"    tuning: {what}, by {printable(tuning['match'])}"]


def _problem(told: dict[str, Any]) -> list[str]:
    return [f"note: {told['problem']}"] if told["problem"] else []
