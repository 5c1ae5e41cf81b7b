"""Notices reach real servers over kills, an outage, lost answers and a stop."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import paho.mqtt.publish as mqtt
import pytest

from agent.journal.reader import Reader
from agent.testing.failpoint import MARKER
from agent.testing.time_scale import VARIABLE
from tests.support.agent_process import REPO, AgentProcess
from tests.support.broker import Broker
from tests.support.http import status_of
from tests.support.model_endpoint import ModelEndpoint
from tests.support.notice_receivers import HttpReceiver, Mailbox, Post
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.broker, pytest.mark.slow]

LIMIT_S = 30.0
SPEED = 240.0


class Site:
    """An agent with a webhook and a mail sink, and devices that break their limit."""

    def __init__(self, folder: Path, broker: Broker, http: HttpReceiver, mailbox: Mailbox) -> None:
        self.http, self.mailbox, self.broker = http, mailbox, broker
        self.notify: dict[str, Any] = {
            "settle_s": 1,
            "sinks": [
                {"type": "webhook", "url": http.url},
                {"type": "mail", "url": mailbox.url, "from": "gw@x.org", "to": ["ops@x.org"]},
            ],
        }
        self.agent = AgentProcess(
            folder / "agent",
            broker_url=broker.url,
            settings={
                "sources": [{"topic": "notice/{device}/{metric}"}],
                "limits": {"*/level": {"high": 100}},
                "notify": self.notify,
            },
        )

    def break_limit(self, *devices: str) -> None:
        """Have each device send a value above its limit."""
        messages: list[Any] = [(f"notice/{device}/level", "150", 1, False) for device in devices]
        mqtt.multiple(messages, port=self.broker.port)

    def told(self) -> set[str]:
        """Return the devices of which the webhook has taken a notice, in a summary or not."""
        return {
            item["device"]
            for post in self.http.taken
            for item in post.json.get("notices", [post.json])
            if "device" in item
        }

    def waiting(self, sink: str) -> int:
        """Return how many notices of a sink the journal holds."""
        with Reader.open(self.agent.state_dir) as reader:
            return sum(row.sink == sink for row in reader.outbox(limit=1000))

    def any_told(self, devices: Iterable[str]) -> bool:
        """Return whether the webhook has taken a notice of one of ``devices``."""
        return bool(self.told() & set(devices))


def write_key(folder: Path) -> str:
    """Return the file of a model's key."""
    file = folder / "ai.key"
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text("sk-test\n")
    file.chmod(0o600)
    return str(file)


@pytest.fixture
def site(tmp_path: Path, broker: Broker) -> Iterator[Site]:
    """A site whose agent is not started yet."""
    with HttpReceiver() as http, Mailbox() as mailbox:
        site = Site(tmp_path, broker, http, mailbox)
        yield site
        site.agent.kill()


def test_each_finding_told_exactly_once_over_stops(site: Site) -> None:
    """To both sinks, with the delivery under way at a stop, and nothing again by the next process."""
    devices = [f"a{number}" for number in range(6)]
    site.http.delay_s = 0.3
    for half in (devices[:3], devices[3:]):
        with site.agent:
            site.break_limit(*half)
            wait_for(partial(site.any_told, half), LIMIT_S, "one is told")
            assert site.agent.stop() == 0
    with site.agent:
        wait_for(lambda: site.told() == set(devices), LIMIT_S, "all are told")
        wait_for(lambda: len(site.mailbox.mails) == len(devices), LIMIT_S, "all are mailed")
        assert site.agent.stop() == 0
    assert set(site.http.ids().values()) == set(site.mailbox.ids().values()) == {1}
    assert len(site.http.posts) == len(devices)
    with site.agent:
        code, metrics = site.agent.get("/metrics")
    assert code == 200
    assert 'edge_notices_total{outcome="delivered",sink="webhook"}' in metrics


def test_kills_and_lost_answers_lose_nothing(site: Site) -> None:
    """A notice comes again with its id after a kill or a lost answer, and only then."""
    devices = [f"b{number}" for number in range(12)]
    kills, lost = 4, 2
    site.notify["max_per_hour"] = 100
    site.http.delay_s = 0.05
    for number in range(kills):
        with site.agent:
            site.break_limit(*devices[3 * number : 3 * number + 3])
            wait_for(partial(site.any_told, devices[3 * number :]), LIMIT_S, "a notice is taken", 0.005)
            site.agent.kill()
    site.http.replies = [None] * lost
    site.mailbox.codes = {"DATA": [0]}
    with site.agent:
        wait_for(lambda: site.told() == set(devices), 2 * LIMIT_S, "all are told")
        wait_for(lambda: len(site.mailbox.ids()) == len(devices), 2 * LIMIT_S, "all are mailed")
        assert site.agent.stop() == 0
    for ids, faults in ((site.http.ids(), kills + lost), (site.mailbox.ids(), kills + 1)):
        assert len(ids) == len(devices)
        assert sum(ids.values()) - len(ids) <= faults, ids


def test_a_broken_limit_does_not_wait_for_the_model(site: Site) -> None:
    """It is notified while the endpoint hangs, and over a kill not again; the verdict comes all the same."""
    with ModelEndpoint(default="hang") as endpoint:
        site.agent.settings["review"]["mode"] = "suspicious"
        site.agent.settings["ai"] = {
            "base_url": endpoint.url,
            "model": "m1",
            "api_key_file": write_key(site.agent.state_dir.parent),
            "prices": {"m1": {"input": 1.0, "output": 4.0}},
            "deadline_s": 300,
        }
        with site.agent:
            site.break_limit("freezer")
            wait_for(lambda: site.told() == {"freezer"}, LIMIT_S, "it is told")
            wait_for(lambda: endpoint.requests, LIMIT_S, "the model is asked")
            status = site.agent.status()
            assert status["recent_verdicts"] == []
            (finding,) = status["findings"]
            assert finding["id"] == site.http.taken[0].json["finding_id"]
            wait_for(lambda: site.mailbox.mails, LIMIT_S, "it is mailed")
            wait_for(lambda: site.waiting("webhook") == 0, LIMIT_S, "its delivery is on disk")
            site.agent.kill()
        endpoint.default = "fine"
        with site.agent:
            wait_for(lambda: site.agent.status()["recent_verdicts"], LIMIT_S, "its verdict is there")
            assert site.agent.stop() == 0
    assert set(site.http.ids().values()) == {1}
    assert len(site.http.posts) == 1


def test_a_sink_that_is_away_for_an_hour(site: Site) -> None:
    """Nothing is lost, nothing floods, the other sink goes on, and the status has the remedy."""
    devices = [f"c{number}" for number in range(14)]
    site.notify |= {"max_per_hour": 5}
    site.notify["sinks"][1]["min_severity"] = "info"
    site.agent.state_dir.mkdir(parents=True)
    (site.agent.state_dir / MARKER).touch()
    base, mono = time.time(), time.monotonic()
    site.agent.environ[VARIABLE] = f"{base}:{mono}:{SPEED}"
    site.http.replies = [(503, {})] * 10_000
    with site.agent:
        site.break_limit(*devices)
        wait_for(lambda: len(site.mailbox.mails) >= 5, LIMIT_S, "the mail goes on")
        wait_for(
            lambda: any("The sink webhook has failed" in one for one in site.agent.status()["problems"]),
            LIMIT_S,
            "the problem is in the status",
        )
        time.sleep(3600.0 / SPEED)
        asked = len(site.http.posts)
        site.http.replies = []
        wait_for(lambda: site.told() == set(devices), 2 * LIMIT_S, "all are told")
        assert site.agent.stop() == 0
    kinds = [post.json["type"] for post in site.http.taken]
    assert kinds.count("finding") == 5
    assert kinds.count("summary") <= 2
    assert set(site.http.ids().values()) == {1}
    assert asked < 60, "it is not hammered"


def test_a_night_and_the_digest_of_the_morning(site: Site) -> None:
    """Quiet hours let the critical notice through, the other one waits over a kill for their end."""
    began, speed = datetime(2026, 3, 2, 21, 59, tzinfo=UTC), 600.0
    site.agent.settings["agent"]["timezone"] = "UTC"
    site.notify |= {"quiet": "21:00-03:00", "digest": "04:00"}
    site.agent.state_dir.mkdir(parents=True)
    (site.agent.state_dir / MARKER).touch()
    mono = time.monotonic()
    site.agent.environ[VARIABLE] = f"{began.timestamp()}:{mono}:{speed}"

    def at_night(post: Post) -> str:
        return f"{began + timedelta(seconds=(post.at - mono) * speed):%H:%M}"

    with site.agent:
        site.agent.wait_ready()
        messages: list[Any] = [("notice/cellar/water_leak", value, 1, False) for value in ("0", "0", "1")]
        mqtt.multiple(messages, port=site.broker.port)
        site.break_limit("freezer")
        wait_for(lambda: site.told() == {"freezer"}, LIMIT_S, "the critical one is told")
        wait_for(lambda: len(site.agent.status()["findings"]) == 2, LIMIT_S, "both are open")
        site.agent.kill()
    with site.agent:
        wait_for(
            lambda: {one.json["type"] for one in site.http.taken} == {"finding", "digest"}, 90.0, "digest"
        )
        wait_for(lambda: len(site.mailbox.ids()) == 3, LIMIT_S, "all are mailed")
        assert site.agent.stop() == 0
    posts = {post.json["id"]: post for post in site.http.taken}
    critical, warning, digest = posts.values()
    assert (critical.json["device"], warning.json["device"]) == ("freezer", "cellar")
    assert "03:00" <= at_night(warning) < "21:00"
    assert digest.json["type"] == "digest"
    assert (digest.json["open"], digest.json["title"]) == (2, "Digest of gw: 2 open")
    assert "critical: freezer, out_of_range, since 2026-03-02" in digest.json["text"]
    assert "04:00" <= at_night(digest) < "21:00"


def test_a_busy_receiver_is_asked_again_when_it_wants(site: Site) -> None:
    """429 with Retry-After; the notice has the same id and bytes."""
    site.http.replies = [(429, {"Retry-After": "2"})]
    with site.agent:
        site.break_limit("d0")
        wait_for(lambda: site.http.taken, LIMIT_S, "it is taken")
        assert site.agent.stop() == 0
    first, second = site.http.posts
    assert first.body == second.body
    assert second.at - first.at >= 2.0


def test_a_finding_that_a_person_knows_is_not_notified(site: Site) -> None:
    """An acknowledged finding leaves the summary that waits; maintenance makes no notice."""
    site.notify |= {"max_per_hour": 1}
    site.notify["sinks"].pop()

    def command(**keys: Any) -> None:
        mqtt.single(f"{site.agent.base_topic}/command", json.dumps(keys), 1, port=site.broker.port)

    def held() -> int:
        with Reader.open(site.agent.state_dir) as reader:
            return reader.notices(["webhook"])["webhook"].held

    with site.agent:
        command(id="m", do="maintenance", device="under*", **{"for": "1h"})
        wait_for(
            lambda: 'edge_commands_total{outcome="accepted"} 1.0' in site.agent.get("/metrics")[1],
            LIMIT_S,
            "it is decided",
        )
        site.break_limit("e0")
        wait_for(lambda: site.told() == {"e0"}, LIMIT_S, "the first is told")
        site.break_limit("e1", "under1")
        wait_for(lambda: held() == 1, LIMIT_S, "the second is in a summary")
        wait_for(lambda: len(site.agent.status()["findings"]) == 3, LIMIT_S, "all are findings")
        found = next(one["id"] for one in site.agent.status()["findings"] if one["device"] == "e1")
        command(id="a", do="ack", finding_id=found)
        wait_for(lambda: held() == 0, LIMIT_S, "the summary is withdrawn: it had nothing else")
        assert site.agent.stop() == 0
    assert site.told() == {"e0"}


def test_a_finding_that_outlasts_its_snooze_is_notified(site: Site) -> None:
    """Although its device sends nothing more; the list has no end in the past."""
    site.notify["sinks"].pop()
    with site.agent:
        site.break_limit("g0")
        wait_for(lambda: site.http.taken, LIMIT_S, "it is notified")
        (finding,) = site.agent.status()["findings"]
        command = {"id": "s", "do": "snooze", "finding_id": finding["id"], "for": "2s"}
        mqtt.single(f"{site.agent.base_topic}/command", json.dumps(command), 1, port=site.broker.port)
        wait_for(lambda: len(site.http.taken) == 2, LIMIT_S, "it is notified again")
        (finding,) = site.agent.status()["findings"]
        assert (finding["state"], finding["until"]) == ("open", None)
        assert site.agent.stop() == 0
    first, again = (post.json for post in site.http.taken)
    assert (again["event"], again["finding_id"]) == ("updated", first["finding_id"])
    assert again["id"] != first["id"]
    assert again["text"].startswith("Its snooze is over. ")


def test_a_notice_is_answered_by_its_link(site: Site) -> None:
    """Opening it changes nothing, a press acknowledges, once; a restart changes neither link nor answer."""
    site.notify |= {"page_url": f"http://127.0.0.1:{site.agent.port}/"}

    def press(url: str, method: str) -> int:
        return status_of(url, method=method, body=b"" if method == "POST" else None)

    with site.agent:
        site.break_limit("f0")
        wait_for(lambda: site.http.taken, LIMIT_S, "it is notified")
        wait_for(lambda: site.mailbox.mails, LIMIT_S, "by mail, too")
        link = site.http.taken[0].json["answer_url"]
        assert link in site.mailbox.mails[0].get_content().replace("=\r\n", "")
        assert press(link, "GET") == press(f"{link}&do=ack", "GET") == 200
        assert site.agent.status()["findings"][0]["state"] == "open"
        site.agent.kill()
    with site.agent:
        site.agent.wait_ready()
        assert press(f"{link}&do=ack", "POST") == 200
        assert site.agent.status()["findings"][0]["state"] == "acknowledged"
        assert press(f"{link}&do=snooze", "POST") == 200
        assert press(f"{link}&do=ack", "POST") == 200
        assert site.agent.status()["findings"][0]["state"] == "snoozed", "a link acknowledges once"
        metrics = site.agent.get("/metrics")[1]
        assert site.agent.stop() == 0
    assert 'edge_commands_total{outcome="accepted"} 3.0' in metrics
    assert len({post.body for post in site.http.posts}) == 1, "a repeat after the kill has the same link"


def test_notify_test_says_what_each_sink_answers(site: Site) -> None:
    """Exit code 69 when one refuses; doctor reaches them without a message."""
    site.agent.start()
    site.agent.send(signal.SIGTERM)
    site.agent.wait(LIMIT_S)
    site.http.replies = [(404, {})]

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "agent", *command, "--config", str(site.agent.config_path)],
            capture_output=True, text=True, check=False, cwd=REPO, timeout=60.0,
        )  # fmt: skip

    done = run("notify", "test")
    assert done.returncode == 69
    assert (
        "fail  webhook (webhook, from warning): HTTP 404 Not Found\n      -> correct the address"
        in done.stdout
    )
    assert "ok    mail (mail, from warning): taken" in done.stdout
    done = run("notify", "test", "--sink", "webhook", "--json")
    assert done.returncode == 0
    assert [one["taken"] for one in json.loads(done.stdout)["sinks"]] == [True]
    assert run("notify", "test", "--sink", "nobody").returncode == 2
    posts, mails = len(site.http.posts), len(site.mailbox.mails)
    assert "ok    notify.webhook: 127.0.0.1:" in run("doctor", "--listen", "0").stdout
    assert (len(site.http.posts), len(site.mailbox.mails)) == (posts, mails)


def test_a_dead_bridge_is_one_notice(tmp_path: Path, broker: Broker) -> None:
    """Over a kill while it is held; a receiver of ends gets one end."""
    count = 4
    with HttpReceiver() as http:
        agent = AgentProcess(
            tmp_path / "agent",
            broker_url=broker.url,
            settings={
                "sources": [
                    {"topic": "dead/{device}/{metric}", "availability": {"topic": "dead-bridge/state"}}
                ],
                "review": {"window": {"max_readings": 1}},
                "notify": {
                    "settle_s": 5,
                    "sinks": [{"type": "webhook", "url": http.url, "cleared": True}],
                },
            },
        )

        def send(topic: str, *values: str) -> None:
            messages: list[Any] = [(topic, value, 1, False) for value in values]
            mqtt.multiple(messages, port=broker.port)

        with agent:
            for number in range(count):
                send(f"dead/d{number}/power", "5", "6")
            wait_for(
                lambda: agent.status()["counters"]["readings"] == 2 * count, LIMIT_S, "readings are there"
            )
            send("dead-bridge/state", "offline")
            wait_for(lambda: len(agent.status()["findings"]) == count, LIMIT_S, "all are silent")
            agent.kill()
        with agent:
            wait_for(lambda: http.taken, LIMIT_S, "it is notified")
            send("dead-bridge/state", "online")
            for number in range(count):
                send(f"dead/d{number}/power", "5", "6", "5")
            wait_for(lambda: len(http.ids()) > 1, LIMIT_S, "the end is notified")
            assert agent.status()["findings"] == []
            assert agent.stop() == 0
    bodies = {post.json["id"]: post.json for post in http.taken}
    opened, ended = bodies.values()
    assert (opened["event"], opened["device_count"], ended["event"]) == ("opened", count, "cleared")
    assert {one["device"] for one in opened["findings"]} == {f"d{number}" for number in range(count)}
    assert opened["incident_id"] == ended["incident_id"]
