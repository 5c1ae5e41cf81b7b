"""Lift: questions, scripted models, the cap on money, recordings and figures."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from agent.domain.records import Answer, Grounding, Status
from agent.prompt import Site, render
from agent.prompt.ground import ground
from agent.prompt.parse import parse
from simulator import scenario as scenarios
from simulator.cli import main
from simulator.faults import FaultKind, Label
from simulator.lift import Gateway, Price, Recording, RecordingError, Replay, Scripted, Upstream, join
from simulator.lift.figures import bootstrap, f1, wilson
from simulator.lift.question import questions, truth_of
from simulator.lift.replay import recorded
from simulator.lift.run import agent_name
from simulator.model.replies import Response
from simulator.scenario import ScenarioError, parse as parse_scenario
from tests.ai.kit import batch, window

START = 600.0  # 1 January 1970, a Thursday, 00:10; the kit's windows end at 00:17:40
SITE = Site.of(
    "names", {"kitchen/*": "It steams on Thursdays. Above 95 degC only then.", "hall": "It is calm."}
)
FAULT = Label(device="kitchen/th1", metric=None, kind=FaultKind.SPIKE, start=1000.0, end=2000.0)
PLANNED = Label(
    device="kitchen/th1", metric=None, kind=FaultKind.SPIKE, start=900.0, end=2000.0, truth="normal"
)


def request(*, score: float = 1.7) -> dict[str, Any]:
    """Return a request as the agent makes it, on two devices that share facts."""
    windows = [window("w1", score=score), window("w2", device="hall", score=score)]
    prompt = render(batch(*windows), 4000, delimiter="7f3a", site=SITE)
    messages = [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}]
    return {"model": "m", "messages": messages, "max_tokens": prompt.max_tokens}


def content(response: Response) -> str:
    return str(json.loads(response.body)["choices"][0]["message"]["content"])


def outcomes(name: str, labels: list[Label], *, score: float = 1.7) -> list[tuple[Status, Grounding]]:
    """Return what the agent makes of a scripted model's answers to two windows."""
    asked = batch(window("w1", score=score), window("w2", device="hall", score=score))
    reply = content(Scripted(name, labels=labels, start=START)(request(score=score)))
    shared = SITE.shared(["kitchen/th1", "hall"], 4000)
    answers = parse(reply, asked).answers
    found = []
    for one in asked.windows:
        answer = answers[one.id]
        assert isinstance(answer, Answer)
        found.append((answer.status, ground(answer, one, shared[one.device])[0]))
    return found


def test_a_question_names_device_time_and_facts() -> None:
    """They are what a person would read from the prompt."""
    one, two = questions("\n".join(message["content"] for message in request()["messages"]))
    assert (one.w, one.device, one.at) == (1, "kitchen/th1", "thu 00:17")
    assert one.facts == {"k1": "It steams on Thursdays.", "k2": "Above 95 degC only then."}
    assert two.facts == {"k3": "It is calm."}
    assert one.offset_s(START) == 7 * 60.0
    assert one.key != two.key


def test_the_truth_of_a_window_is_the_label_that_covers_its_end() -> None:
    """A fault goes first; another device has its own."""
    one, two = questions(request()["messages"][1]["content"])
    assert truth_of(one, [PLANNED, FAULT], START) == FAULT
    assert truth_of(one, [PLANNED], START) == PLANNED
    assert truth_of(two, [PLANNED, FAULT], START) is None
    over = Label(device="hall", metric=None, kind=FaultKind.SPIKE, start=700.0, end=900.0)
    assert truth_of(two, [over], START) is None


N, A = Status.NORMAL, Status.ANOMALY
HELD, FAILED = Grounding.GROUNDED, Grounding.UNGROUNDED


@pytest.mark.parametrize(
    ("name", "score", "answers"),
    [
        ("perfect", 1.7, [(A, HELD), (N, HELD)]),
        ("perfect", 0.4, [(A, HELD), (N, HELD)]),
        ("copycat", 1.7, [(A, HELD), (A, HELD)]),
        ("copycat", 0.4, [(N, HELD), (N, HELD)]),
        ("lazy", 1.7, [(N, HELD), (N, HELD)]),
        ("hasty", 1.7, [(N, HELD), (N, HELD)]),
        ("mute", 1.7, [(N, FAILED), (N, FAILED)]),
        ("mute", 0.4, [(N, HELD), (N, HELD)]),
        ("alarmist", 0.4, [(A, HELD), (A, HELD)]),
        ("liar", 1.7, [(N, FAILED), (A, FAILED)]),
    ],
)
def test_scripted_models_are_what_they_are_called(
    name: str, score: float, answers: list[tuple[Status, Grounding]]
) -> None:
    """A fault on the first device; the agent's own checks see that the liar's claims do not hold."""
    assert outcomes(name, [FAULT], score=score) == answers


def test_a_perfect_model_cites_the_site() -> None:
    """The lazy one cites the reading itself, the mute one nothing, the hasty one what states a bound."""
    told = json.loads(content(Scripted("perfect", labels=[PLANNED], start=START)(request())))["windows"]
    assert [one["evidence"] for one in told] == [["k1"], ["k3"]]
    cited = {"lazy": [["r17"], ["r17"]], "mute": [[], []], "hasty": [["k2"], ["k3"]]}
    for name, evidence in cited.items():
        told = json.loads(content(Scripted(name, labels=[], start=START)(request())))["windows"]
        assert [one["evidence"] for one in told] == evidence


# ------------------------------------------------------------------------------------- recordings


def test_recorded_answers_are_repeated_for_the_same_windows(tmp_path: Path) -> None:
    """In another batch and under another wording; a window without one is left out and counted."""
    gateway = Gateway(Scripted("perfect", labels=[FAULT], start=START))
    first = gateway.respond(request())
    path = tmp_path / "a.jsonl"
    Recording("m", "3-x", ("s",), {"seed": 1}, recorded(gateway.exchanges)).write(path)
    replay = Replay(Recording.read(path))
    assert json.loads(content(replay(request()))) == json.loads(content(first))
    one = json.loads(json.dumps(request()).replace("You review", "Please look at"))
    assert json.loads(content(replay(one))) == json.loads(content(first))
    used = json.loads(replay(request()).body)["usage"]
    assert used["prompt_tokens"] == json.loads(first.body)["usage"]["prompt_tokens"]
    assert replay.missing == []
    assert (
        json.loads(content(replay(request(score=0.9))))["windows"] != []
    )  # the same window, its score aside
    other = json.loads(json.dumps(request()).replace("98.66", "99.99"))
    assert json.loads(content(replay(other))) == {"windows": []}
    assert replay.missing == ["kitchen/th1 thu 00:17", "hall thu 00:17"]


def test_a_reply_that_was_no_json_is_repeated_as_it_was(tmp_path: Path) -> None:
    """A weak model's recording stays as weak."""
    windows = batch(window("w1"))
    prompt = render(windows, 4000, delimiter="x", site=SITE)
    ask = {"messages": [{"role": "user", "content": prompt.user}]}
    broken = json.dumps({"choices": [{"message": {"content": "It is fine!"}}]}).encode()
    gateway = Gateway(lambda _request: Response(200, broken))
    gateway.respond(ask)
    path = tmp_path / "a.jsonl"
    Recording("m", "", ("s",), {}, recorded(gateway.exchanges)).write(path)
    assert content(Replay(Recording.read(path))(ask)) == "It is fine!"


@pytest.mark.parametrize("text", ["", "[]", '{"recording":"x"}', "{", '{"recording":"edge-sim-lift"}'])
def test_a_file_that_is_no_recording_is_refused(text: str, tmp_path: Path) -> None:
    """In one line that names it."""
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(RecordingError, match=r"a\.jsonl: is not a recording; make one"):
        Recording.read(path)


# ------------------------------------------------------------------------------------------ money


@contextmanager
def endpoint(status: int = 200) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve completions of 1,000 tokens in and 100 out; give its address and what it was sent."""
    seen: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            seen[-1]["key"] = self.headers["Authorization"]
            body = json.dumps({"choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 100}})
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", seen
    finally:
        server.shutdown()
        server.server_close()


def test_no_call_is_sent_that_could_exceed_the_cap() -> None:
    """The worst case is reserved first; a refused call costs nothing and reaches nobody."""
    ask = request()
    worst = (len(json.dumps(ask).encode()) * 10.0 + ask["max_tokens"] * 20.0) / 1e6
    with endpoint() as (url, seen):
        model = Upstream(url, key="k", price=Price(10.0, 20.0), max_usd=2 * worst, timeout_s=5.0)
        statuses = [model(ask).status for _ in range(20)]
    assert statuses[0] == 200
    assert statuses[-1] == 429
    assert seen[0]["key"] == "Bearer k"
    assert len(seen) == statuses.count(200) == 20 - model.refused
    assert model.spent_usd == pytest.approx(len(seen) * 0.012)
    assert model.spent_usd <= 2 * worst


def test_an_image_is_reserved_as_such() -> None:
    """Its bytes may be fewer than the tokens that a provider counts for it."""
    ask = request()
    text, image = (
        ask["messages"][-1]["content"],
        {"type": "image_url", "image_url": {"url": "data:image/png;"}},
    )
    ask["messages"][-1]["content"] = [{"type": "text", "text": text}, image]
    worst = ((len(json.dumps(ask).encode()) + 3000) * 10.0 + ask["max_tokens"] * 20.0) / 1e6
    with endpoint() as (url, _):
        for share, status in ((1.0, 200), (0.99, 429)):
            model = Upstream(url, key="k", price=Price(10.0, 20.0), max_usd=share * worst, timeout_s=5.0)
            assert model(ask).status == status


def test_a_failed_call_is_not_paid_and_its_status_is_passed_on() -> None:
    """An error of the endpoint, and an endpoint that is not there."""
    with endpoint(status=503) as (url, _):
        model = Upstream(url, key=None, price=Price(10.0, 20.0), max_usd=1.0, timeout_s=5.0)
        assert (model(request()).status, model.spent_usd) == (503, 0.0)
    assert (model(request()).status, model.spent_usd) == (502, 0.0)


# ---------------------------------------------------------------------------------------- figures


def test_f1_and_its_interval() -> None:
    """Equal agents have no lift at all; a better one has an interval above 0."""
    hit, miss, false, calm = (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)
    assert f1([hit, hit, false, calm]) == pytest.approx(0.8)
    assert f1([calm]) == f1([]) == 0.0
    same = [(hit, hit), (miss, miss), (false, false)] * 8
    assert bootstrap(same) == (0.0, 0.0)
    low, high = bootstrap([(hit, miss), (calm, false), (hit, hit)] * 8)
    assert 0 < low < high <= 1
    assert bootstrap([]) == (0.0, 0.0)


def test_wilson_is_the_published_interval() -> None:
    """Of 7 in 10: 0.397 to 0.892 (Wilson 1927, as in Brown, Cai and DasGupta 2001)."""
    low, high = wilson(7, 10)
    assert (round(low, 3), round(high, 3)) == (0.397, 0.892)
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(5, 5)[1] == 1.0


# ----------------------------------------------------------------------------------------- the site

CONTEXT = [name for name in scenarios.names() if name.startswith(scenarios.CONTEXT)]


@pytest.mark.parametrize(
    ("model", "name"),
    [("gpt-4o-mini", "1-gpt-4o-mini"), ("org/Model:free +#", "1-org_Model_free___"), ("../x", "1-.._x")],
)
def test_a_model_of_any_name_has_an_agent_of_its_own(model: str, name: str) -> None:
    """A level of topics and a folder, never a path."""
    assert agent_name(1, model) == name
    assert len(agent_name(1, 100 * "x")) < 50


def test_six_scenarios_need_context() -> None:
    """Each has facts, faults and normal events, and all fit together."""
    loaded = [scenarios.load(name) for name in CONTEXT]
    assert len(loaded) >= 6
    for one in loaded:
        truths = {fault.normal for fault in one.faults}
        assert truths == {True, False}, one.name
        assert one.agent.knowledge
    site = join(loaded)
    assert len(site.scenario.devices) == len(site.origin) == sum(len(one.devices) for one in loaded)
    start = site.start(129_600.0, now=1_773_500_000.0)
    assert (start, site.scenario.start_day) == (1_773_100_800.0, "tuesday")  # Tuesday 10 March 2026, 00:00
    assert site.start(129_600.0, now=start + 129_600.0 + 3600.0) == start
    assert site.start(129_600.0, now=start + 129_600.0 + 3599.0) == start - 7 * 86_400.0


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("start_hour: 3", "a lift needs start_hour and agent.knowledge"),
        ("start_hour: 3\nagent: {knowledge: {d: It is.}}", "start_day differ"),
        (
            "start_hour: 0\nstart_day: tuesday\ninterval_s: 300\nagent: {knowledge: {d: It is.}}",
            "store-1 is in",
        ),
    ],
)
def test_scenarios_that_do_not_fit_are_refused(text: str, match: str) -> None:
    """In one line."""
    whole = f"title: x\n{text}\ndevices: [{{id: store-1, signal: room}}]\n"
    with pytest.raises(ScenarioError, match=match):
        join([scenarios.load("context-delivery"), parse_scenario(whole, name="x", source="x.yaml")])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "give --model M --base-url U, --scripted or --replay FILE"),
        (["--model", "m"], "give both"),
        (["--scripted", "oracle"], "is not a script"),
        (["--scripted", "--record", "x"], "--record"),
        (["--model", "m", "--base-url", "http://x/v1", "--max-usd", "1"], "needs --price"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit code 2, before anything is started."""
    assert main(["lift", *arguments]) == 2
    assert told in capsys.readouterr().err
