"""Names of hosts as the resolver takes them."""

import pytest

from agent.domain.address import host_bytes


@pytest.mark.parametrize(
    "name", ["", "broker", "broker.", "10.0.0.7", "::1", "a" * 63 + ".lan", "bröker.lan"]
)
def test_names_are_written_as_the_codec_writes_them(name: str) -> None:
    """With and without letters beyond ASCII."""
    assert host_bytes(name) == name.encode("idna")


@pytest.mark.parametrize("name", [".lan", "a..b", "a" * 64, "a" * 64 + ".lan", "x.\ud800"])
def test_what_is_no_name_is_refused_as_by_the_codec(name: str) -> None:
    """Empty and long parts, and letters that no name has."""
    with pytest.raises(ValueError, match=r"label|name|idna"):
        name.encode("idna")
    with pytest.raises(ValueError, match=r"label|name|idna"):
        host_bytes(name)
