"""Readings from Prometheus, or a server with its API: range queries over HTTP.

A query is made in pieces, so that neither side holds all of it: at most so many steps, samples and bytes in
one answer. Redirects are not followed, because they could carry the login elsewhere.
"""

import json
import re
import ssl
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from itertools import groupby
from operator import itemgetter
from typing import Any
from urllib.parse import SplitResult, urlencode, urlsplit

from agent.commands.offline.stream import Stream, Tabled, Unread, tabled
from agent.commands.offline.table import MAX_NAME
from agent.commands.printing import UnknownError, printable
from agent.decode.values import is_name
from agent.domain.records import Reading
from agent.journal import JournalError

MAX_STEPS = 5_000  # in one answer; Prometheus refuses more than 11,000
MAX_SAMPLES = 500_000  # the next pieces are shorter, once there are more in one
MAX_BYTES = 64 * 1024 * 1024
MAX_TEXT = 200  # characters of a server's own words
TIMEOUT_S = 30.0  # without a byte
DEADLINE_S = 120.0  # for one answer
LONG_QUERY = 2000  # characters; a longer one is posted
LABEL = "prometheus"
_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class TooLargeError(Exception):
    """An answer of more than :data:`MAX_BYTES`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """The login at the server, and the certificate of its CA."""

    bearer: str | None = None
    username: str | None = None
    password: str | None = None
    ca_file: str | None = None

    def headers(self) -> dict[str, str]:
        """Return the header with the login, if there is one."""
        if self.bearer is not None:
            return {"Authorization": f"Bearer {self.bearer}"}
        if self.username is not None:
            text = f"{self.username}:{self.password or ''}"
            return {"Authorization": f"Basic {b64encode(text.encode()).decode()}"}
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A range query: its expression, its times (Unix seconds) and step (seconds)."""

    query: str
    start: float
    end: float
    step: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """How labels become names: templates such as ``{site}/{instance}``, and the unit of all values.

    Of the templates of a device the first one counts whose labels a series has.
    """

    devices: tuple[str, ...]
    metric: str
    unit: str | None = None

    def name(self, labels: Mapping[str, str]) -> tuple[str, str] | None:
        """Return device and metric of a series, None where it does not have the labels."""
        metric = _fill(self.metric, labels)
        device = next((name for one in self.devices if (name := _fill(one, labels))), None)
        if device is None or metric is None:
            return None
        return device, metric


def _fill(template: str, labels: Mapping[str, str]) -> str | None:
    missing = [name for name in _PLACE.findall(template) if not labels.get(name)]
    if missing:
        return None
    text = _PLACE.sub(lambda found: labels[found[1]], template)
    return text if len(text) <= MAX_NAME and is_name(text) else None


def open_prometheus(url: str, wanted: Range, mapped: Mapped, login: Login) -> Stream:
    """Return the stream of a range query; the server is asked while it plays.

    Raises:
        UnknownError: address, times or step are wrong.
    """
    address = _address(url)
    if wanted.step <= 0.0 or wanted.end <= wanted.start:
        raise UnknownError("--end is not after --start, or --step is not above 0; correct them")
    return Stream(
        label=LABEL,
        kind="prometheus",
        first=wanted.start,
        timed=True,
        play=partial(_play, address, wanted, mapped, login),
    )


def _address(url: str) -> SplitResult:
    try:
        address = urlsplit(url)
        port = address.port
    except ValueError:
        raise UnknownError(f"{printable(url)}: is not an address; write http://host:9090") from None
    if "@" in address.netloc:
        raise UnknownError(
            "the address holds a login; give --username and --password-file, or --bearer-file, instead"
        )
    if not address.hostname or port == 0:
        raise UnknownError(f"{printable(url)}: is not an address; write http://host:9090")
    return address


def _play(
    address: SplitResult, wanted: Range, mapped: Mapped, login: Login, unread: Unread
) -> Iterator[Tabled]:
    at, steps = wanted.start, MAX_STEPS
    names: dict[tuple[tuple[str, str], ...], tuple[str, str] | None] = {}
    while at <= wanted.end:
        end = min(wanted.end, at + (steps - 1) * wanted.step)
        try:
            result = _ask(address, wanted, at, end, login)
        except TooLargeError:
            if steps == 1:
                raise UnknownError(
                    f"one step of the query is more than {MAX_BYTES // 2**20} MiB; narrow the query"
                ) from None
            steps = max(1, steps // 4)
            continue
        samples = list(_samples(result, mapped, names, unread))
        samples.sort(key=itemgetter(0, 1, 2))
        for (time_at, device), group in groupby(samples, key=itemgetter(0, 1)):
            readings = (Reading(device, metric, time_at, value, mapped.unit) for _, _, metric, value in group)
            yield tabled(LABEL, time_at, tuple(readings))
        if len(samples) > MAX_SAMPLES:
            steps = max(1, steps // 2)
        at = end + wanted.step
    if names and not any(names.values()):
        labels = sorted({name for series in names for name, _ in series})
        needed = " or ".join((*mapped.devices, mapped.metric))
        raise UnknownError(
            f"no series has the labels of {printable(needed)}; there are:"
            f" {printable(', '.join(labels)[:MAX_TEXT])}; see --device-label and --metric-label"
        )


def _samples(
    result: list[Any],
    mapped: Mapped,
    names: dict[tuple[tuple[str, str], ...], tuple[str, str] | None],
    unread: Unread,
) -> Iterator[tuple[float, str, str, float]]:
    for series in result:
        labels, values = series["metric"], series.get("values", [])
        if not values and "histograms" in series:
            unread.note("native histogram", _shown(labels))
            continue
        key = tuple(sorted((str(name), str(text)) for name, text in labels.items()))
        if key not in names:
            names[key] = mapped.name(dict(key))
        name = names[key]
        if name is None:
            unread.note("label missing or not a name", _shown(labels))
            continue
        for at, text in values:
            value = float(text)
            if value - value != 0.0:  # NaN and infinities
                unread.note("not finite", _shown(labels))
            else:
                yield float(at), *name, value


def _shown(labels: Mapping[str, Any]) -> str:
    text = ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))
    return printable(text[:MAX_TEXT])


# ------------------------------------------------------------------------------------------ HTTP


def _ask(address: SplitResult, wanted: Range, start: float, end: float, login: Login) -> list[Any]:
    """Return the series of one piece.

    Raises:
        TooLargeError: the answer is too long.
        UnknownError: the server refuses the query, or another kind of server answers.
        JournalError: nothing answers.
    """
    form = {"query": wanted.query, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{wanted.step:.3f}"}
    status, raw = _fetch(address, urlencode(form), login)
    where = f"{address.scheme}://{address.netloc}"
    try:
        body = json.loads(raw)
        state = body["status"]
        if state == "success":
            data = body["data"]
            if data["resultType"] != "matrix":
                raise UnknownError(f"{where}: the query gives no series over time; leave out its range")
            return _checked(data["result"])
        words = printable(str(body.get("error", ""))[:MAX_TEXT])
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        words = ""
    remedy = {
        401: "give --bearer-file, or --username and --password-file",
        403: "this login may not query",
        404: "is there a path before /api/v1?",
    }.get(status, "correct the query" if status in (400, 422) else "is it a Prometheus?")
    said = f"answers {status}" if status != 200 or not words else "refuses"  # noqa: PLR2004 - OK
    text = f"{where}: {said}{f': {words}' if words else ''}; {remedy}"
    if status in (400, 404, 422) or status == 200:  # noqa: PLR2004 - as above
        raise UnknownError(text)
    raise JournalError(text)


def _checked(result: Any) -> list[Any]:
    """Return the result if its form is that of the API.

    Raises:
        ValueError: it is not.
    """
    for series in result:
        sound = isinstance(series["metric"], dict)
        for at, text in series.get("values", ()):
            sound = sound and type(at) in (int, float) and isinstance(text, str)
            float(text)
        if not sound:
            raise ValueError
    return list(result)


def _fetch(address: SplitResult, form: str, login: Login) -> tuple[int, bytes]:
    path = address.path.rstrip("/")
    path += "" if path.endswith("/api/v1/query_range") else "/api/v1/query_range"
    headers = {"Accept": "application/json", **login.headers()}
    where = f"{address.scheme}://{address.netloc}"
    try:
        connection = _connect(address, login)
        try:
            if len(form) <= LONG_QUERY:
                connection.request("GET", f"{path}?{form}", headers=headers)
            else:
                headers["Content-Type"] = "application/x-www-form-urlencoded"
                connection.request("POST", path, body=form, headers=headers)
            response = connection.getresponse()
            if 300 <= response.status < 400:  # noqa: PLR2004 - redirects
                to = printable(str(response.headers.get("Location", "elsewhere"))[:MAX_TEXT])
                raise UnknownError(f"{where}: redirects to {to}; give that address")
            return response.status, _read(response, where)
        finally:
            connection.close()
    except (OSError, HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise JournalError(f"{where}: cannot be queried: {printable(why)[:MAX_TEXT]}; is it there?") from None


def _connect(address: SplitResult, login: Login) -> HTTPConnection:
    host, port = address.hostname or "", address.port
    if address.scheme == "http":
        return HTTPConnection(host, port, timeout=TIMEOUT_S)
    context = ssl.create_default_context(cafile=login.ca_file)
    return HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)


def _read(response: HTTPResponse, where: str) -> bytes:
    raw, until = bytearray(), time.monotonic() + DEADLINE_S
    while chunk := response.read1(65_536):
        raw += chunk
        if len(raw) > MAX_BYTES:
            raise TooLargeError
        if time.monotonic() > until:
            raise JournalError(f"{where}: the answer takes more than {DEADLINE_S:.0f} s; narrow the query")
    return bytes(raw)
