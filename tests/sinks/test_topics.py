"""Device ids as one topic level."""

import re

import pytest
from hypothesis import given, strategies as st

from agent.sinks.mqtt import encode_device


@pytest.mark.parametrize(
    ("device", "level"),
    [
        ("th1", "th1"),
        ("kitchen/th1", "kitchen=2Fth1"),
        ("a_b-C9", "a_b-C9"),
        ("a.b~c", "a=2Eb=7Ec"),
        ("a=b", "a=3Db"),
        ("50%", "50=25"),
        ("küche", "k=C3=BCche"),
        ("#", "=23"),
        ("+/$SYS", "=2B=2F=24SYS"),
        ("=gateway", "=3Dgateway"),
    ],
)
def test_known_devices(device: str, level: str) -> None:
    """Everything outside letters, digits, _ and - is percent-encoded with = for %."""
    assert encode_device(device) == level


def test_long_devices() -> None:
    """Above 120 bytes a device becomes =~ and a hash; at 120 it is still itself."""
    assert encode_device("x" * 120) == "x" * 120
    assert re.fullmatch(r"=~[0-9a-f]{40}", encode_device("x" * 121))
    assert encode_device("x" * 121) != encode_device("x" * 122)


@given(st.text(max_size=60))
def test_is_one_safe_level(device: str) -> None:
    """Any device gives a level of safe characters, at most 120 bytes long."""
    level = encode_device(device)
    assert re.fullmatch(r"[A-Za-z0-9_=~-]{1,120}", level)
    assert level != "=gateway"


@given(st.text(max_size=60), st.text(max_size=60))
def test_is_collision_free(one: str, other: str) -> None:
    """Two devices never share a level."""
    assert (encode_device(one) == encode_device(other)) == (one == other)


@given(st.text(alphabet="=~%2FfGgateway/.", max_size=12), st.text(alphabet="=~%2FfGgateway/.", max_size=12))
def test_is_collision_free_for_look_alikes(one: str, other: str) -> None:
    """Nor do devices that are named like encodings."""
    assert (encode_device(one) == encode_device(other)) == (one == other)
