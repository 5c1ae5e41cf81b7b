"""Topics of messages that clients post over HTTP, and the sources that read them."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import unquote_to_bytes

from agent.decode.registry import SourceSpec
from agent.decode.topics import MAX_LEVELS, MAX_TOPIC_BYTES, TopicPattern, overlap
from agent.decode.values import is_name

ROOT: Final = "http"  # the first level of their topics
DATA_TOPIC: Final = f"{ROOT}/iot/data"
DATA_PATH: Final = "/iot/data"
_PATHS: Final = "/intake/"
_BAD_ESCAPE: Final = re.compile("%(?![0-9A-Fa-f]{2})")


def is_post_path(path: str) -> bool:
    """Return whether readings may be posted to this path of a request, as it is written there."""
    return path == DATA_PATH or path.startswith(_PATHS)


def topic_of(path: str) -> str:
    """Return the topic of a message posted to ``path``: ``/intake/ttn/dev1`` is ``http/ttn/dev1``.

    Raises:
        ValueError: it cannot be the topic of a message, in words for a person.
    """
    if path == DATA_PATH:
        return DATA_TOPIC
    if len(path) > 3 * MAX_TOPIC_BYTES:
        raise ValueError(f"is longer than the {MAX_TOPIC_BYTES} bytes of a topic")
    if _BAD_ESCAPE.search(path):
        raise ValueError("holds a % without two hexadecimal digits behind it")
    try:
        rest = unquote_to_bytes(path.removeprefix(_PATHS)).decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    topic = f"{ROOT}/{rest}"
    if not rest.strip("/ "):
        raise ValueError("names no topic; post to /intake/<path>")
    if len(topic.encode()) > MAX_TOPIC_BYTES:
        raise ValueError(f"is longer than the {MAX_TOPIC_BYTES} bytes of a topic")
    if topic.count("/") >= MAX_LEVELS:
        raise ValueError(f"has more than {MAX_LEVELS - 1} levels")
    if not is_name(topic):
        raise ValueError("holds a control character")
    if not {".", ".."}.isdisjoint(rest.split("/")):
        raise ValueError("holds a level . or .., which a proxy may resolve")
    if "+" in topic or "#" in topic:
        raise ValueError("holds a wildcard (+ or #)")
    return topic


def with_posted(sources: Sequence[SourceSpec]) -> tuple[SourceSpec, ...]:
    """Mark the sources that HTTP alone feeds, and add that of ``/iot/data`` if none has its topic."""
    marked = tuple(replace(source, posted=source.topic.split("/", 1)[0] == ROOT) for source in sources)
    if any(overlap(TopicPattern(source.topic).filter, DATA_TOPIC) for source in marked):
        return marked
    return (*marked, SourceSpec(DATA_TOPIC, posted=True))
