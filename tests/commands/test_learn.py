"""Teaching a stopped agent: its detector goes on exactly from there."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.commands.inspect import learn as learnt
from agent.commands.learn import State, stopped
from agent.commands.offline import prometheus
from agent.commands.offline.inputs import make_intake
from agent.config import Config, load_apart, settings
from agent.detect import Detector
from agent.domain.records import Arrival, MessageRow, Row
from agent.journal.reader import Reader
from agent.pipeline.core import teach
from agent.pipeline.offline import EventTime
from tests.commands.history import (
    START,
    STEP_S,
    Point,
    Scripted,
    line,
    matrix,
    points,
    record,
    scripted,
    shifted,
    tabulate,
)
from tests.commands.kit import as_json, ask, write_config

pytestmark = pytest.mark.process  # a configuration is read in a child process

SOURCES = [{"topic": "sensors/{device}/{metric}"}]
HALF = START + 400 * STEP_S


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path, sources=SOURCES)


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted() as told:
        yield told


def taught(config: Config, all_points: list[Point]) -> tuple[Detector, list[Row]]:
    """Return a detector that took the points as a live agent does, and its rows."""
    detector = settings.make_detector(config)
    rows: list[Row] = []

    def take(row: Row) -> None:
        rows.append(row)
        teach(detector, row)

    event_time = EventTime(intake=make_intake(config, detector), take=take, next_due=detector.next_due)
    event_time.link(all_points[0][0], up=True)
    for at, device, value in all_points:
        body = json.dumps({"ts": at, "value": value}).encode()
        topic = f"sensors/{device}/temperature"
        event_time.arrive(Arrival(0, 0, 0, False, False, topic, body, at, at))
    return detector, rows


def state_of(config: Config) -> Detector:
    with Reader.open(config.agent.state_dir) as reader:
        detector, problem = learnt(reader, config)
    assert problem is None
    return detector


# ------------------------------------------------------------------------------------- it goes on


@pytest.mark.parametrize("form", ["recording", "table"])
def test_the_agent_goes_on_exactly_from_there(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    """Taught with the first part, it scores the rest as one detector that took all of it."""
    every = shifted(points(), "dev1", HALF + 300.0, 15.0)
    first, rest = [one for one in every if one[0] < HALF], [one for one in every if one[0] >= HALF]
    if form == "recording":
        source = record(tmp_path / "week.jsonl", first)
    else:
        source = tabulate(tmp_path / "week.csv", first)
    told = as_json(capsys, "learn", "--from", str(source), "--config", str(config))
    assert (told["series"], told["ready"], told["readings"]) == (3, 3, len(first))
    loaded = load_apart(config)
    after, (straight, _) = state_of(loaded), taught(loaded, first)
    straight.disconnected(first[-1][0])  # nobody knows what was sent after the last reading that was learnt
    for detector in (after, straight):
        detector.connected(HALF)
    _, rows = taught(loaded, rest)
    alarms = 0
    for row in rows:
        if isinstance(row, MessageRow):
            for reading in row.readings:
                one, other = after.update(reading, row.clock), straight.update(reading, row.clock)
                assert one == other
                alarms += one.alarm
    assert alarms
    assert after.dump() == straight.dump()


def test_it_says_of_which_series_it_knows_too_little(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By name, with how far each has come."""
    some = [one for one in points() if one[1] != "dev2" or one[0] < START + 50 * STEP_S]
    tape = record(tmp_path / "week.jsonl", some)
    code, out, err = ask(capsys, "learn", "--from", str(tape), "--config", str(config))
    assert (code, err) == (0, "")
    assert "3 series: 2 ready to be judged, 1 not yet" in out
    (row,) = [one for one in out.splitlines() if one.startswith("  dev2 / temperature: ")]
    seen, needed = row.split(": ")[1].split(" of ")
    assert 0 < int(seen) <= 50 < int(needed)
    assert "dev0: 1 of 1 ready; one message every 10 s" in out


def test_a_known_device_takes_only_what_is_newer(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A detector takes readings in their order; another device, and later readings, are welcome."""
    every = points()
    first = [one for one in every if one[0] < HALF and one[1] != "dev2"]
    tape, whole = record(tmp_path / "a.jsonl", first), record(tmp_path / "b.jsonl", every)
    as_json(capsys, "learn", "--from", str(tape), "--config", str(config))
    told = as_json(capsys, "learn", "--from", str(whole), "--config", str(config))
    assert told["readings"] == len(every) - len(first)
    assert told["left_out"]["older_than_known"] == len(first)
    views = {
        view.device: view.n for device in ("dev0", "dev2") for view in state_of_path(config).views(device)
    }
    assert views == {"dev0": 600, "dev2": 600}

    code, out, err = ask(capsys, "learn", "--from", str(tape), "--config", str(config))
    assert (code, out) == (2, "")
    assert "older than the last ones" in err
    told = as_json(capsys, "learn", "--from", str(tape), "--config", str(config), "--forget")
    assert told["readings"] == len(first)
    assert state_of_path(config).view("dev2", "temperature") is None


def state_of_path(config: Path) -> Detector:
    return state_of(load_apart(config))


def test_readings_of_the_future_are_left_out(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The agent's own clock could not follow them."""
    table = tmp_path / "t.csv"
    table.write_text(f"time,device,metric,value\n{START},a,t,20\n2900-01-01T00:00:00Z,a,t,20\n")
    told = as_json(capsys, "learn", "--from", str(table), "--config", str(config))
    assert (told["readings"], told["left_out"]["after"] is not None) == (1, True)


# --------------------------------------------------------------------------------- stopped, or not


def test_it_refuses_while_an_agent_runs(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And an agent cannot be started meanwhile: both hold the same lock."""
    tape = record(tmp_path / "week.jsonl", points(steps=5))
    loaded = load_apart(config)
    with stopped(loaded) as journal:
        before = journal.recovered.snapshot
        code, out, err = ask(capsys, "learn", "--from", str(tape), "--config", str(config))
        assert (code, out) == (69, "")
        assert "is in use by process" in err
    with stopped(loaded) as journal:
        assert journal.recovered.snapshot is before is None


def test_rows_behind_the_snapshot_stay_for_the_agent(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The agent replays them at its start, so history from then on is left out."""
    every = points()
    loaded = load_apart(config)
    with stopped(loaded) as journal:
        State.load(loaded, journal, forget=False).write(journal)
    path = loaded.agent.state_dir / "journal.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO series(id, device, metric) VALUES (1, 'dev0', 'temperature')")
        connection.execute(
            "INSERT INTO messages VALUES (7, 1, 1, 'sensors/dev0/temperature', x'3230', '', 0, ?, ?)",
            (HALF, HALF),
        )
        connection.execute("INSERT INTO readings VALUES (7, 0, 1, ?, 20.0)", (HALF,))
    tape = record(tmp_path / "week.jsonl", every)
    told = as_json(capsys, "learn", "--from", str(tape), "--config", str(config))
    assert told["readings"] == sum(at <= HALF for at, _, _ in every)
    with Reader.open(loaded.agent.state_dir) as reader:
        assert [row.seq for row in reader.rows_after(0) if isinstance(row, MessageRow)] == [7]
        snapshot = reader.snapshot()
        assert snapshot is not None
        assert snapshot[0] < 7
    assert state_of(loaded).views("dev0")[0].n == sum(at <= HALF and of == "dev0" for at, of, _ in every) + 1


def test_a_silence_of_the_past_is_not_reported_again(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A device that was gone long before the end of the history is known to be silent."""
    early = [one for one in points() if one[1] != "dev2" or one[0] < START + 300 * STEP_S]
    tape = record(tmp_path / "week.jsonl", early)
    as_json(capsys, "learn", "--from", str(tape), "--config", str(config))
    detector = state_of_path(config)
    now = START + 1e7
    detector.connected(now)
    assert detector.silent("dev2")
    assert detector.tick(now + 1.0) == []
    assert {one.device for one in detector.tick(now + 1e6)} == {"dev0", "dev1"}


def test_nothing_learnt_is_an_error(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the reason: here no source of the configuration reads the recording."""
    tape = tmp_path / "other.jsonl"
    tape.write_text(line(0.0, "elsewhere/a", b"1"))
    code, _, err = ask(capsys, "learn", "--from", str(tape), "--config", str(config))
    assert code == 2
    assert "nothing was learnt: no source: messages not read: 1 unmatched" in err


# --------------------------------------------------------------------------------------- Prometheus


def series(name: str, instance: str, values: list[tuple[float, str]], **labels: str) -> dict[str, Any]:
    metric = {"__name__": name, "instance": instance, "job": "plant", **labels}
    return {"metric": metric, "values": [[at, text] for at, text in values]}


def steady(form: dict[str, str]) -> list[tuple[float, str]]:
    """Return a value at each step that a request asks for."""
    start, end, step = float(form["start"]), float(form["end"]), float(form["step"])
    count = int((end - start) / step + 1e-9) + 1
    return [(start + place * step, str(20 + (place * 7 % 11) / 10)) for place in range(count)]


def learn_from(server: Scripted, config: Path, *more: str) -> tuple[str, ...]:
    return (
        "learn", "--from", server.url, "--query", '{job="plant"}', "--start", "2026-06-26T00:00:00Z",
        "--end", "2026-06-26T12:00:00Z", "--step", "30s", "--config", str(config), *more,
    )  # fmt: skip


def test_a_range_query_teaches(server: Scripted, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By default the labels device or instance, and the name; values that are not finite are counted."""
    server.answer = lambda form: (
        200,
        matrix(
            [
                series("temperature", "th1:9100", [*steady(form), (float(form["end"]), "NaN")]),
                series("humidity", "x", steady(form), device="th2"),
            ]
        ),
        {},
    )
    told = as_json(capsys, *learn_from(server, config))
    assert [one["device"] for one in told["devices"]] == ["th1:9100", "th2"]
    assert (told["ready"], told["readings"]) == (2, 2 * 1441)
    assert told["unread"]["not finite"]["count"] == 1
    ((path, form, _),) = server.asked
    assert path == "/api/v1/query_range"
    assert form["query"] == '{job="plant"}'
    assert state_of_path(config).view("th2", "humidity") is not None


def test_labels_by_template_and_option(
    server: Scripted, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names as the live agent has them, with their unit."""
    server.answer = lambda form: (200, matrix([series("t_c", "b", steady(form), site="s1", what="temp")]), {})
    told = as_json(
        capsys,
        *learn_from(
            server, config, "--device", "{site}/{instance}", "--metric-label", "what", "--unit", "degC"
        ),
    )
    (one,) = told["devices"]
    assert (one["device"], one["series"][0]["metric"], one["series"][0]["unit"]) == ("s1/b", "temp", "degC")
    code, _, err = ask(capsys, *learn_from(server, config, "--device-label", "room", "--forget"))
    assert code == 2
    assert "{room}" in err
    assert "__name__, instance, job, site, what" in err


def test_long_ranges_are_asked_for_in_pieces(
    server: Scripted, config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step comes once, also where an answer was too long and is asked for again in shorter pieces."""
    monkeypatch.setattr(prometheus, "MAX_STEPS", 400)
    monkeypatch.setattr(prometheus, "MAX_BYTES", 6000)
    server.answer = lambda form: (200, matrix([series("t", "a", steady(form))]), {})
    told = as_json(capsys, *learn_from(server, config))
    assert told["readings"] == 1441
    assert len(server.asked) > 5
    assert (told["from"], told["to"]) == ("2026-06-26T00:00:00.000Z", "2026-06-26T12:00:00.000Z")


def test_the_login_comes_from_files(
    server: Scripted, tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is neither an argument nor in an error."""
    secret = tmp_path / "token"
    secret.write_text("s3cret\n")
    server.answer = lambda form: (200, matrix([series("t", "a", steady(form))]), {})
    as_json(capsys, *learn_from(server, config, "--bearer-file", str(secret)))
    as_json(
        capsys,
        *learn_from(server, config, "--username", "u", "--password-file", str(secret), "--forget"),
    )
    assert [headers["Authorization"] for _, _, headers in server.asked] == [
        "Bearer s3cret",
        "Basic dTpzM2NyZXQ=",
    ]


def refuse(status: int, body: bytes = b"", **headers: str) -> Any:
    return lambda _form: (status, body, headers)


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (refuse(400, b'{"status":"error","error":"parse error: \\u001b[31m"}'), 2, "parse error: ?[31m"),
        (refuse(401), 69, "give --bearer-file"),
        (refuse(404, b"<html>"), 2, "is there a path"),
        (refuse(302, Location="http://evil.example/"), 2, "redirects to http://evil.example/"),
        (refuse(503, b"busy"), 69, "answers 503"),
        (refuse(200, b"<html>hello"), 2, "is it a Prometheus?"),
        (refuse(200, b"[" * 100_000), 2, "is it a Prometheus?"),
        (refuse(200, matrix([{"metric": {}, "values": [[1, 2]]}])), 2, "is it a Prometheus?"),
        (refuse(200, matrix([{"values": []}])), 2, "is it a Prometheus?"),
        (
            refuse(200, b'{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}'),
            2,
            "no series",
        ),
        (refuse(200, matrix([])), 2, "the source holds no reading"),
    ],
)
def test_a_server_that_does_not_answer_well(
    server: Scripted,
    config: Path,
    capsys: pytest.CaptureFixture[str],
    answer: Any,
    code: int,
    words: str,
) -> None:
    """One line with the address, its words made harmless, and what to do; nothing is changed."""
    server.answer = answer
    ended, out, err = ask(capsys, *learn_from(server, config))
    assert (ended, out) == (code, "")
    assert words in err
    assert len(err.splitlines()) == 1
    with Reader.open(load_apart(config).agent.state_dir) as reader:
        assert reader.snapshot() is None


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (("--from", "http://u:p@127.0.0.1:1", "--query", "x"), 2, "holds a login"),
        (("--from", "http://127.0.0.1:1", "--query", "x"), 69, "cannot be queried"),
        (("--from", "http://127.0.0.1:1"), 2, "needs --query"),
        (("--from", "http://", "--query", "x"), 2, "is not an address"),
        (("--from", "http://127.0.0.1:1", "--query", "x", "--step", "often"), 2, "is not a time span"),
        (("--from", "http://127.0.0.1:1", "--query", "x", "--step", "0s"), 2, "not above 0"),
        (("--from", "http://127.0.0.1:1", "--query", "x", "--username", "u"), 2, "belong together"),
        (("--from", "x.csv", "--query", "x"), 2, "belongs to an address"),
        (("--from", "nowhere.csv"), 2, "cannot be read"),
    ],
)
def test_wrong_usage(
    config: Path, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], code: int, words: str
) -> None:
    ended, out, err = ask(capsys, "learn", *argv, "--config", str(config))
    assert (ended, out) == (code, "")
    assert words in err
    assert "u:p" not in err
