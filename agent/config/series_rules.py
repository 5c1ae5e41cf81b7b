"""Limits and tuning rules of the series, as the detector takes them."""

from agent.config.checks import parse_interval
from agent.config.sections import Config, ExpectSettings
from agent.detect import LEARNT, Expect, Limit, QuietHours, Tuning


def of_limits(config: Config) -> list[Limit]:
    """Return the limits of the series."""
    return [Limit(pattern, item.low, item.high, item.unit) for pattern, item in config.limits.items()]


def of_tuning(config: Config) -> list[Tuning]:
    """Return the tuning rules of the series."""
    return [
        Tuning(rule.match, rule.ignore, rule.sensitivity, _expect(rule.expect) if rule.expect else LEARNT)
        for rule in config.tuning
    ]


def _expect(expect: ExpectSettings) -> Expect:
    interval_s = None if expect.interval is None else parse_interval(expect.interval)
    return Expect(interval_s, tuple(QuietHours.parse(text) for text in expect.quiet))
