"""``edge-agent ha clean``: removes what the agent announced to Home Assistant."""

import argparse
import sys
from contextlib import suppress
from dataclasses import replace

from agent.commands.printing import many
from agent.config import load_apart, one_line, settings
from agent.journal import JournalError
from agent.journal.reader import Reader
from agent.mqtt.errors import REFUSED
from agent.mqtt.probe import clear
from agent.sinks.homeassistant import agent_node, device_node, is_announcement

EXIT_OK, EXIT_UNAVAILABLE = 0, 69
LISTEN_S = 2.0  # what is retained comes at once


def clean(args: argparse.Namespace) -> int:
    """Publish an empty message for the agent, each device of its journal and each retained announcement."""
    config = load_apart(args.config)
    home, agent = config.homeassistant, config.name
    nodes = [agent_node(agent)]
    with suppress(JournalError), Reader.open(config.agent.state_dir) as reader:
        nodes += [device_node(agent, device) for device in reader.devices()]
    ended = clear(
        replace(settings.of_link(config), client_id=f"{agent}-ha-clean"),
        home.config_topic("+"),
        ours=lambda _topic, payload: is_announcement(payload, agent=agent),
        more=[home.config_topic(node) for node in nodes],
        for_s=LISTEN_S,
    )
    refused = [topic for topic, code in ended.codes.items() if code is None or code >= REFUSED]
    if ended.trouble is not None:
        return _fail(f"{ended.trouble.what}; {ended.trouble.remedy}")
    if refused:
        return _fail(f"the broker refused {refused[0]}: give this user the right to write it")
    print(f"Removed {many(len(ended.codes), 'device')} of {agent} below {home.prefix}/.")
    if home.discovery:
        print("A running agent announces them again: set homeassistant.discovery to false and restart it.")
    return EXIT_OK


def _fail(text: str) -> int:
    print(f"edge-agent: {one_line(text)}", file=sys.stderr)
    return EXIT_UNAVAILABLE
