"""Played files: a hostile or broken one is one clear line, and nothing is sent."""

import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from simulator.outgoing import Outgoing
from simulator.playback import open_tape
from simulator.recording import MAX_LINE, FileError, Recorded, dump, parse
from simulator.table import rows

GOOD = {"offset": 0, "topic": "a", "payload": "MQ=="}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"payload": "M"}, "has a payload that is not base64"),
        ({"payload": "M Q=="}, "has a payload that is not base64"),
        ({"payload": "\u00fc"}, "has a payload that is not base64"),
        ({"payload": 1}, "has a payload that is not base64"),
        ({"payload": None}, "has a payload that is not base64"),
        ({"topic": ""}, "has a topic that is not a text"),
        ({"topic": "a/+"}, "with a wildcard"),
        ({"topic": "a\0"}, "with a wildcard or NUL"),
        ({"topic": "\ud800"}, "has a topic that is too long or no Unicode"),
        ({"topic": "x" * 70_000}, "has a topic that is too long"),
        ({"offset": -1}, "has an offset that is negative"),
        ({"offset": "1"}, "has an offset that is not a number"),
        ({"offset": True}, "has an offset that is not a number"),
        ({"offset": 10**400}, "has an offset that is negative or too large"),
        ({"qos": 2}, "has qos '2', not 0 or 1"),
        ({"qos": True}, "has qos 'True', not 0 or 1"),
        ({"retain": 1}, "has retain '1', not false or true"),
        ({"more": 1}, "has an unknown key 'more'"),
        ({"properties": []}, "has properties that are not an object"),
        ({"properties": {"x": 1}}, "has an unknown property 'x'"),
        ({"properties": {"user": [["a"]]}}, "has user properties that are not a list of pairs"),
        ({"properties": {"user": [["a", 1]]}}, "has user properties that are not a list of pairs"),
        ({"properties": {"user": [["a", "\udc00"]]}}, "has a user property that is too long or no Unicode"),
        ({"properties": {"expiry_s": 2**32}}, "has expiry_s that is not a number from 0 to 4294967295"),
        ({"properties": {"payload_format": True}}, "has payload_format that is not a number from 0 to 1"),
        ({"properties": {"response_topic": "#"}}, "has the topic '#' with a wildcard"),
        ({"properties": {"content_type": 1}}, "has content_type that is not a text"),
        ({"properties": {"correlation_data": "!"}}, "has a correlation_data that is not base64"),
    ],
)
def test_a_broken_line_of_a_recording_is_named(change: dict[str, object], says: str, tmp_path: Path) -> None:
    """The second line is reported with its number and the error."""
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + json.dumps({**GOOD, **change}) + "\n")
    with pytest.raises(FileError) as caught:
        open_tape(path)
    assert str(caught.value).startswith(f"{path}: line 2 {says}"[:40])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"{", "line 1 is not JSON"),
        (b"[]", "line 1 is not an object"),
        (b"\xff\xfe", "line 1 is not JSON"),
        (b'{"offset":NaN,"topic":"a","payload":""}', "line 1 is not JSON: NaN is not JSON"),
        (b'{"offset":1e999,"topic":"a","payload":""}', "line 1 has an offset that is negative or too large"),
        (b"[" * 100_000, "line 1 is nested too deeply"),
        (b'{"offset":' + b"9" * 5000 + b"}", "line 1 is not JSON"),
        (b'{"topic":"a","payload":""}', "line 1 has no offset"),
        (
            b'{"offset":2,"topic":"a","payload":""}\n{"offset":1,"topic":"a","payload":""}',
            "line 2 is earlier than the one before; sort by offset",
        ),
    ],
)
def test_what_is_no_recording_is_said(raw: bytes, says: str, tmp_path: Path) -> None:
    """Whatever the bytes are, it is one line."""
    path = tmp_path / "x.jsonl"
    path.write_bytes(raw)
    with pytest.raises(FileError) as caught:
        open_tape(path)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
def test_a_huge_line_is_refused_before_it_is_in_memory(name: str, tmp_path: Path) -> None:
    """64 MiB without an end cost no more than the limit."""
    path = tmp_path / name
    path.write_bytes(b"timestamp,value\n" if name == "x.csv" else b"\n")
    with path.open("ab") as file:
        for _ in range(64):
            file.write(b"x" * 1024**2)
    tracemalloc.start()
    with pytest.raises(FileError, match="line 2 is longer than 4 MiB; shorten it"):
        open_tape(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * MAX_LINE


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the header is ''; begin with timestamp,value"),
        ("1,2\n3,4\n", "the header is '1,2'; begin with timestamp,value"),
        ("timestamp\n1\n", "the header is 'timestamp'; begin with"),
        ("timestamp,a/b\n1,2\n", "column 2 is named 'a/b'; use up to 100 signs, none of /+#{}"),
        ("timestamp,\n1,2\n", "column 2 is named ''"),
        ("timestamp,a,a\n1,2,3\n", "two columns are named 'a'"),
        ("timestamp,a\x1b[31m\n1,2\n", "column 2 is named 'a\\x1b[31m'"),
        ("timestamp," + ",".join(f"c{n}" for n in range(2000)), "the header has more than 1000 columns"),
        ("timestamp,value\n1,NaN\n", "line 2, column value: 'NaN' is not a number; leave the cell empty"),
        ("timestamp,value\n1,inf\n", "line 2, column value: 'inf' is not a number"),
        ("timestamp,value\n1,1e999\n", "line 2, column value: '1e999' is not a number"),
        ("timestamp,value\n1,1_000\n", "line 2, column value: '1_000' is not a number"),
        ("timestamp,value\n1,\u0663\n", "is not a number"),
        ("timestamp,value\n1,2,3\n", "line 2 has 3 columns, the header 2"),
        ("timestamp,value\nyesterday,2\n", "line 2: 'yesterday' is not a time; write Unix seconds or"),
        ("timestamp,value\nnan,2\n", "line 2: 'nan' is not a time"),
        ("timestamp,value\n-5,2\n", "line 2: '-5' is not between 1970 and 5138"),
        ("timestamp,value\n2,1\n1,1\n", "line 3 is earlier than the one before; sort the file by time"),
        ('timestamp,value\n1,"2\n', "line 2: unexpected end of data"),
        ("timestamp,value\n1,\n", "holds no value; there is nothing to play"),
    ],
)
def test_a_broken_table_is_named(text: str, says: str, tmp_path: Path) -> None:
    """Line, column, the text there and the remedy."""
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(FileError) as caught:
        open_tape(path)
    assert says in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_a_table_that_is_no_utf_8_is_said(tmp_path: Path) -> None:
    """A file of another encoding is reported with the line."""
    path = tmp_path / "x.csv"
    path.write_bytes("timestamp,value\n1,2\n3,4°\n".encode("latin-1"))
    with pytest.raises(FileError, match="line 3 is not UTF-8; convert the file"):
        open_tape(path)


def test_a_table_topic_must_be_one(tmp_path: Path) -> None:
    """An unknown placeholder and a wildcard are refused."""
    path = tmp_path / "x.csv"
    path.write_text("timestamp,value\n1,2\n")
    for topic, says in (("a/{device}", "--topic has {device}; use {name} and {metric}"), ("a/+", "wildcard")):
        with pytest.raises(FileError, match=says.replace("{", r"\{")):
            open_tape(path, topic=topic)


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_message_or_an_error(raw: bytes) -> None:
    """No bytes raise anything else."""
    said = ""
    try:
        parse(raw)
    except ValueError as error:
        said = str(error)
    assert "\n" not in said


@given(
    topic=st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="+#\0"), min_size=1, max_size=20
    ),
    payload=st.binary(max_size=50),
    qos=st.integers(0, 1),
    retain=st.booleans(),
    offset=st.floats(0, 1e9),
)
@settings(max_examples=100, deadline=None)
def test_a_line_is_read_as_it_was_written(
    topic: str, payload: bytes, qos: int, retain: bool, offset: float
) -> None:
    """Whatever the topic and the payload are."""
    one = Recorded(offset, Outgoing(topic=topic, payload=payload, qos=qos, retain=retain))
    assert parse(dump(one).encode()) == one


def test_rows_are_read_as_they_come(tmp_path: Path) -> None:
    """Blank lines are left out, quotes are understood, whole numbers stay whole."""
    path = tmp_path / "x.tsv"
    path.write_text('ts\ta\n\n"1"\t"2"\n2\t2.50\n')
    assert [(row.at, repr(row.values)) for row in rows(path)] == [(1, "{'a': 2}"), (2, "{'a': 2.5}")]
