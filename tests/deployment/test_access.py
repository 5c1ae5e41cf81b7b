"""The tables of docs/access.md, cell by cell, on a real broker and agent."""

import json
import re
import shutil
import sqlite3
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from paho.mqtt import publish

from agent.domain.records import Finding
from agent.journal.reader import Reader
from agent.verdict.answer_link import AnswerLinks
from tests.commands.shipped import ShippedBroker, User
from tests.deployment.readme import REPO
from tests.support.agent_process import AgentProcess, Child
from tests.support.broker import Broker
from tests.support.http import page_of, status_of
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.process]

LOGINS = {"Agent": "agent-gw1", "Viewer": "dashboard", "Device": "th1", "Other": "agent-gw2"}
ALMIGHTY = "almighty"  # the test's own: it writes everywhere, so that reading can be tried everywhere
REFUSED = 0x87
PASSWORD = "correct horse"


def table(title: str) -> list[dict[str, str]]:
    """Return the rows of the table below a title of docs/access.md."""
    text = (REPO / "docs/access.md").read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]
    head, _, *rows = [line for line in text.splitlines() if line.startswith("|")]
    names = cells(head)
    return [dict(zip(names, cells(row), strict=True)) for row in rows]


def cells(line: str) -> list[str]:
    """Return the cells of a line of a table."""
    return [cell.strip().strip("`") for cell in line.strip("|").split("|")]


class OpenBroker(ShippedBroker):
    """The shipped broker with two logins more: one that the ACL does not know, one of the test's."""

    def configure(self) -> Path:
        path = super().configure()
        more = self.folder / "more"
        more.write_text(f"{LOGINS['Other']}:{LOGINS['Other']}\n{ALMIGHTY}:{ALMIGHTY}\n")
        subprocess.run(["mosquitto_passwd", "-U", more], check=True, timeout=10)
        with (self.folder / "edge-agent.passwords").open("a") as file:
            file.write(more.read_text())
        return path


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, User]]:
    """Return a connected client for each column, and one that may write everywhere."""
    broker = OpenBroker(tmp_path_factory.mktemp("access") / "broker")
    broker.acl += f"\nuser {ALMIGHTY}\ntopic readwrite #\ntopic read $SYS/#\n"
    broker.start()
    with ExitStack() as stack:
        names = {**LOGINS, ALMIGHTY: ALMIGHTY}
        yield {role: stack.enter_context(User(broker, name)) for role, name in names.items()}
    broker.stop()


TOPICS = table("Topics")


@pytest.mark.parametrize("row", TOPICS, ids=lambda row: row["Topic"])
def test_topic(users: dict[str, User], row: dict[str, str]) -> None:
    """Every login subscribes and publishes; the messages and answers are those of the row."""
    topic, seen = row["Topic"], {}
    for role in LOGINS:
        users[role].got.clear()
        assert users[role].subscribe(topic) == 1  # granted to all: it proves nothing
    if topic.startswith("$SYS"):  # only the broker writes there, each second
        users[ALMIGHTY].got.clear()
        users[ALMIGHTY].subscribe(topic)
        wait_for(lambda: topic in users[ALMIGHTY].got, 10, f"the broker says {topic}", 0.02)
    else:
        assert users[ALMIGHTY].publish(topic) < 0x80
    for role in LOGINS:
        users[role].subscribe("fence")  # its SUBACK comes behind whatever was sent before
        seen[role] = "R" if topic in users[role].got else ""
    for role in LOGINS:
        code = users[role].publish(topic)
        assert code < 0x80 or code == REFUSED
        seen[role] += "W" if code < 0x80 else ""
    assert {role: said or "-" for role, said in seen.items()} == {role: row[role] for role in LOGINS}


def test_the_table_names_what_the_agent_uses() -> None:
    """No part of the contract is left out, and every right is somebody's."""
    topics = {row["Topic"] for row in TOPICS}
    for part in (
        "status",
        "health",
        "verdicts/th1",
        "events/th1",
        "alerts/EdgeDeviceSilent",
        "feedback",
        "command",
        "command/result",
        "incidents/1f",
        "doctor",
    ):
        assert f"edge-agent/gw1/{part}" in topics
    assert {cell for row in TOPICS for cell in row.values() if len(cell) <= 2} == {"R", "W", "RW", "-"}


@pytest.mark.parametrize(
    "login", [[], ["-u", "th1"], ["-u", "th1", "-P", "wrong"], ["-u", "nobody", "-P", "x"]]
)
def test_without_a_login_nobody_is_let_in(users: dict[str, User], login: list[str]) -> None:
    """Neither without a name, nor with a wrong password, nor under a name that is not known."""
    port = users["Agent"]._client._port
    argv = ["mosquitto_pub", "-V", "5", "-p", str(port), "-q", "1", "-t", "sensors/th1/x", "-m", "1", *login]
    told = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    assert told.returncode != 0
    assert "not authori" in told.stderr.lower()


# ------------------------------------------------------------------------------------------- addresses


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a certificate for 127.0.0.1, its key and a password."""
    folder = tmp_path_factory.mktemp("web")
    openssl = shutil.which("openssl")
    assert openssl is not None
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(folder / "web.key"),
         "-out", str(folder / "web.crt")],
        check=True, capture_output=True,
    )  # fmt: skip
    (folder / "web.password").write_text(f"{PASSWORD}\n")
    for name in ("web.key", "web.password"):
        (folder / name).chmod(0o600)
    return folder


def protected(secrets: Path) -> dict[str, str]:
    """Return the settings of a port with TLS and a password."""
    return {
        "cert_file": str(secrets / "web.crt"),
        "key_file": str(secrets / "web.key"),
        "username": "prometheus",
        "password_file": str(secrets / "web.password"),
    }


@pytest.fixture(scope="module")
def ports(
    broker: Broker, secrets: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, AgentProcess]]:
    """Return agents with the default port and with TLS and a password, each with and without the intake."""
    folder = tmp_path_factory.mktemp("agents")
    settings: dict[str, dict[str, Any]] = {
        "open": {},
        "closed": protected(secrets),
        "posted": {"intake": True},
        "posted-closed": {"intake": True, "actions": False, **protected(secrets)},
    }
    agents = {
        name: AgentProcess(
            folder / name,
            broker_url=broker.url,
            settings={
                "agent": {"id": f"access-{name}"},
                "sources": [{"topic": f"{name}/{{device}}"}, {"topic": "http/plant/{device}"}],
                "limits": {"answered/*": {"high": 1}},
                "web": web,
            },
        )
        for name, web in settings.items()
    }
    context = ssl.create_default_context(cafile=str(secrets / "web.crt"))
    try:
        for agent in agents.values():
            agent.start()
        for name, agent in agents.items():
            if "closed" not in name:
                agent.wait_ready()
                continue
            closed = f"https://127.0.0.1:{agent.port}/readyz"
            wait_for(partial(_is_ready, closed, context=context), 30, f"{name} is ready")
        yield agents
    finally:
        for agent in agents.values():
            agent.kill()


def _is_ready(url: str, *, context: ssl.SSLContext) -> bool:
    return status_of(url, context=context, password=PASSWORD) == 200


@pytest.mark.parametrize("row", table("Readings over HTTP"), ids=lambda row: row["Address"])
def test_post(ports: dict[str, AgentProcess], secrets: Path, row: dict[str, str]) -> None:
    """Every column posts one reading; a GET of an address that takes readings is 405."""
    context, body = ssl.create_default_context(cafile=str(secrets / "web.crt")), b'{"device_id": "x", "t": 1}'
    off, plain, closed = (
        f"{scheme}://127.0.0.1:{ports[name].port}{row['Address']}"
        for scheme, name in (("http", "open"), ("http", "posted"), ("https", "posted-closed"))
    )
    post = partial(status_of, method="POST", body=body)
    seen = {
        "Off": post(off),
        "Default": post(plain),
        "Foreign name": post(plain, host="evil.example"),
        "Foreign origin": post(plain, origin="http://evil.example"),
        "No password": post(closed, context=context),
        "Wrong password": post(closed, context=context, password="wrong"),
        "Password": post(closed, context=context, password=PASSWORD),
    }
    assert {name: str(code) for name, code in seen.items()} == {name: row[name] for name in seen}
    assert status_of(plain) == (200 if row["Address"] == "/status.json" else 405)


def token_of(url: str, **login: Any) -> str:
    """Return the token in the page at ``url``."""
    found = re.search(r'name="edge-agent-token" content="([^"]+)"', page_of(url, **login))
    assert found is not None
    return found[1]


@pytest.mark.parametrize("row", table("Commands over HTTP"), ids=lambda row: row["Address"])
def test_command(ports: dict[str, AgentProcess], secrets: Path, row: dict[str, str]) -> None:
    """Every column posts a command with the token of its page; without buttons the page has none."""
    context = ssl.create_default_context(cafile=str(secrets / "web.crt"))
    plain, closed, off = (
        f"{scheme}://127.0.0.1:{ports[name].port}"
        for scheme, name in (("http", "open"), ("https", "closed"), ("https", "posted-closed"))
    )
    login: dict[str, Any] = {"context": context, "password": PASSWORD}
    tokens = {plain: token_of(plain), closed: token_of(closed, **login)}
    assert 'name="edge-agent-token" content=""' in page_of(off, **login)

    def post(base: str, **changed: Any) -> int:
        body = json.dumps({"id": uuid4().hex, "do": "ack", "device": "nobody"}).encode()
        asked = {"origin": base, "token": tokens.get(base), **changed}
        return status_of(base + row["Address"], method="POST", body=body, **asked)

    seen = {
        "Off": post(off, **login),
        "Default": post(plain),
        "No token": post(plain, token=None),
        "Foreign name": post(plain, host="evil.example", origin="http://evil.example"),
        "Foreign origin": post(plain, origin="http://evil.example"),
        "No password": post(closed, context=context),
        "Wrong password": post(closed, context=context, password="wrong"),
        "Password": post(closed, **login),
    }
    assert {name: str(code) for name, code in seen.items()} == {name: row[name] for name in seen}


def link_of(agent: AgentProcess, broker: Broker, name: str) -> str:
    """Return path and query of the link in a notice of an open finding."""
    publish.single(f"{name}/answered", "2", 1, port=broker.port)

    def found() -> list[Finding]:
        with Reader.open(agent.state_dir) as reader:
            return list(reader.findings())

    wait_for(lambda: bool(found()), 30, "a finding is open")
    with closing(sqlite3.connect(agent.journal)) as journal:
        ((key,),) = journal.execute("SELECT value FROM meta WHERE key = 'answer_key'")
    now, (finding,) = datetime.now(UTC).isoformat(), found()
    notice = {"type": "finding", "event": "opened", "kind": finding.kind, "finding_id": finding.id}
    link = AnswerLinks(bytes.fromhex(key)).link({**notice, "at": now, "link": "http://x/"})
    return str(link).removeprefix("http://x")


@pytest.mark.parametrize("row", table("Links in notices"), ids=lambda row: row["Address"])
def test_answer(ports: dict[str, AgentProcess], broker: Broker, secrets: Path, row: dict[str, str]) -> None:
    """Every column opens the link of a notice and presses its button."""
    context = ssl.create_default_context(cafile=str(secrets / "web.crt"))
    links = {name: link_of(ports[name], broker, name) for name in ("open", "closed")}
    assert all(link.startswith(f"{row['Address']}?") for link in links.values())
    plain, closed, off = (
        f"{scheme}://127.0.0.1:{ports[name].port}{links.get(name, links['open'])}&do=ack"
        for scheme, name in (("http", "open"), ("https", "closed"), ("https", "posted-closed"))
    )

    def ask(url: str, **more: Any) -> str:
        get = status_of(url, **more)
        return f"{get}/{status_of(url, method='POST', body=b'', **more)}"

    seen = {
        "Off": ask(off, context=context, password=PASSWORD),
        "Default": ask(plain),
        "Foreign name": ask(plain, host="evil.example"),
        "Foreign origin": ask(plain, origin="null"),
        "No password": ask(closed, context=context),
        "Forged": ask(plain.replace("&s=", "&s=0")),
    }
    assert seen == {name: row[name] for name in seen}


@pytest.mark.parametrize("row", table("Addresses"), ids=lambda row: row["Address"])
def test_address(ports: dict[str, AgentProcess], secrets: Path, row: dict[str, str]) -> None:
    """Every column is asked; other methods are refused, and TLS is not left out."""
    context = ssl.create_default_context(cafile=str(secrets / "web.crt"))
    plain = f"http://127.0.0.1:{ports['open'].port}{row['Address']}"
    closed = f"https://127.0.0.1:{ports['closed'].port}{row['Address']}"
    seen = {
        "Default": status_of(plain),
        "Foreign name": status_of(plain, host="evil.example"),
        "No password": status_of(closed, context=context),
        "Wrong password": status_of(closed, context=context, password="wrong"),
        "Password": status_of(closed, context=context, password=PASSWORD),
    }
    assert {name: str(code) for name, code in seen.items()} == {name: row[name] for name in seen}
    assert status_of(closed.replace("https", "http")) == 0
    for method in ("POST", "PUT", "DELETE"):
        assert status_of(plain, method=method) == (405 if row["Default"] == "200" else 404)
        assert status_of(closed, context=context, method=method) == 401


@pytest.mark.parametrize("left_out", ["cert_file key_file", "username password_file"])
def test_an_open_address_wants_both(secrets: Path, tmp_path: Path, left_out: str) -> None:
    """Neither TLS alone nor a password alone opens the port to others: exit 2 and one line."""
    web = {name: value for name, value in protected(secrets).items() if name not in left_out.split()}
    path = tmp_path / "agent.yaml"
    path.write_text(yaml.safe_dump({"web": {"listen": "0.0.0.0:8000", **web}}))
    agent = Child(argv=["-m", "agent", "run", "--config", str(path)], log=tmp_path / "log").start()
    assert agent.wait(20) == 2
    assert re.search(r"can be reached from outside.*web\.insecure: true", agent.text())
    assert len(agent.text().splitlines()) == 1
