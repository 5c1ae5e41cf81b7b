"""``edge-agent check``: validates a configuration without I/O."""

import argparse
import os

from agent.commands.checks.configuration import look_at_settings
from agent.commands.checks.telemetry import look_at_push, look_at_traces
from agent.commands.ending import complain
from agent.config import load_apart, one_line, overlaps, weaknesses
from agent.config.client_id import client_id_of
from agent.config.endpoint import describe_model, describe_notices, has_key


def run(args: argparse.Namespace) -> int:
    """Print what the configuration means, and a warning for each weakness."""
    config = load_apart(args.config)
    subscribed, posted = (
        ", ".join(source.topic for source in config.sources if source.posted is over_http)
        for over_http in (False, True)
    )
    more = f", and {posted} over HTTP" if posted else ""
    print(
        one_line(
            f"{args.config}: valid. Agent {config.name} reads {subscribed or 'nothing'}"
            f" from {config.mqtt.url}{more}"
        )
    )
    print(one_line(f"Client id: {client_id_of(config)}"))
    print(one_line(f"Model: {describe_model(config, key=has_key(config, os.environ))}"))
    print(one_line(f"Traces: {look_at_traces(config)}"))
    print(one_line(f"Push: {look_at_push(config)}"))
    print(one_line(f"Notices: {describe_notices(config)}"))
    for weak in (*weaknesses(config), *overlaps(config)):
        complain(f"warning: {args.config}: {weak}")
    lines = [*look_at_settings(config)]
    if config.tuning:
        from agent.commands.checks.rules import look_at_unmatched_tuning  # noqa: PLC0415 - it needs the detector

        lines += look_at_unmatched_tuning(config)
    for line in lines:
        complain(f"warning: {args.config}: {line.what}; {line.remedy}")
    return 0
