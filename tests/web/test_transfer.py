"""Entity tags and compression of responses."""

import gzip

import pytest

from agent.web.http import MIN_GZIP_BYTES, Response, fit
from tests.web.serving import get, serving

BIG = Response(b"temperature 21.5\n" * 500, tag=b"one")
TAG = dict(fit(BIG, {}).headers)["ETag"]


def test_a_client_that_has_it_gets_no_body() -> None:
    """The same content is 304, another one is sent."""
    with serving(
        {"/": lambda _request: BIG, "/other": lambda _request: Response(b"x", tag=b"two")}
    ) as server:
        status, head, body = get(server, "/", f"If-None-Match: {TAG}")
        assert (status, body, TAG in head) == (304, b"", True)
        assert get(server, "/other", f"If-None-Match: {TAG}")[0] == 200


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        ("gzip", True),
        ("gzip, deflate, br", True),
        ("br;q=1.0, GZIP;q=0.5", True),
        ("deflate", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, br", False),
        ("", False),
    ],
)
def test_it_is_compressed_for_clients_that_take_it(accepted: str, compressed: bool) -> None:
    """The content is the same either way."""
    answer = fit(BIG, {"accept-encoding": accepted})
    names = dict(answer.headers)
    assert ("Content-Encoding" in names) is compressed
    assert names["Vary"] == "Accept-Encoding"
    assert (gzip.decompress(answer.body) if compressed else answer.body) == BIG.body


def test_small_and_failed_responses_stay_as_they_are() -> None:
    """Compression would not pay, and an error is never remembered."""
    small = Response(b"x" * (MIN_GZIP_BYTES - 1))
    assert fit(small, {"accept-encoding": "gzip"}) == small
    failed = Response(b"x" * MIN_GZIP_BYTES, 503, tag=b"one")
    assert fit(failed, {"accept-encoding": "gzip", "if-none-match": TAG}) == failed
