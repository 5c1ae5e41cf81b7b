"""Refusals of the broker: logins, certificates, topics, sizes."""

import json
import socket
import ssl
import subprocess
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import pbkdf2_hmac
from pathlib import Path
from typing import Any

import pytest

from agent.mqtt.dial import tls_context
from agent.mqtt.errors import of_error
from agent.mqtt.settings import LinkSettings
from agent.mqtt.wire import Wire, WireError
from tests.mqtt.brokers import Authority, OldBroker
from tests.mqtt.link_harness import LinkHarness, outgoing, peer, running, send, until
from tests.mqtt.test_wire import publish
from tests.support.broker import Broker
from tests.support.proxy import Proxy

pytestmark = pytest.mark.broker

PLUGIN = Path("/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so")


def guarded(folder: Path, *, extra: str = "") -> Broker:
    """A Mosquitto with user agent / secret, who may write below agent/ and read sensors/."""
    folder.mkdir(parents=True, exist_ok=True)
    passwords, acl = folder / "passwords", folder / "acl"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "agent", "secret"], check=True, timeout=60)
    acl.write_text("user agent\ntopic read sensors/#\ntopic write agent/#\n")
    lines = f"allow_anonymous false\npassword_file {passwords}\nacl_file {acl}\n{extra}"
    return Broker(folder, lines)


def test_wrong_password_then_the_right_one(tmp_path: Path) -> None:
    """A refused login is reported once in words; a corrected password file works without a restart."""
    broker = guarded(tmp_path / "broker").start()
    secret = tmp_path / "password"
    secret.write_text("hunter2")
    try:
        with running(
            port=broker.port, client_id="login", username="agent", password=lambda: secret.read_text().strip()
        ) as harness:
            until(lambda: harness.link.stats.connect_failures >= 3)
            assert "mqtt.password_file" in (harness.link.state.last_error or "")
            secret.write_text("secret")
            until(lambda: harness.link.state.connected)
            secret.unlink()
    finally:
        broker.stop()
    (failure,) = harness.values("mqtt_connect_failed")
    assert "refused user name or password" in failure["error"] or "does not let" in failure["error"]
    assert "hunter2" not in repr(harness.events) + repr(harness.settings)


def test_unreadable_password_file(broker: Broker, tmp_path: Path) -> None:
    """A password file that is not there is named; the link tries again."""
    missing = tmp_path / "nowhere"
    with running(port=broker.port, client_id="nofile", username="u", password=missing.read_text) as harness:
        until(lambda: harness.link.stats.connect_failures >= 2)
        assert "nowhere" in (harness.link.state.last_error or "")
        missing.write_text("x")
        until(lambda: harness.link.state.connected)


def test_refused_publish(tmp_path: Path) -> None:
    """A topic without the right to write is settled with 0x87; the others go on."""
    broker = guarded(tmp_path / "broker", extra="max_queued_messages 1000").start()
    try:
        with running(
            port=broker.port,
            client_id="acl",
            username="agent",
            password=lambda: "secret",
            base_topic="agent/x",
        ) as harness:
            until(lambda: harness.link.state.connected)
            harness.link.publish(
                [outgoing(1, "agent/ok"), outgoing(2, "forbidden/x"), outgoing(3, "agent/ok")]
            )
            harness.link.announce("forbidden/health", b"{}")
            harness.link.announce("forbidden/health", b"{}")
            until(lambda: len(harness.published) == 3 and "mqtt_announcement_refused" in harness.names)
    finally:
        broker.stop()
    assert {row: code >= 0x80 for row, code in harness.published} == {1: False, 2: True, 3: False}
    assert (2, 0x87) in harness.published
    assert harness.names.count("mqtt_announcement_refused") == 1


def test_refused_announcements_of_a_group(tmp_path: Path) -> None:
    """A thousand topics that may not be written are one report and a few refusals; others are published."""
    broker = guarded(tmp_path / "broker", extra="max_queued_messages 1000").start()
    try:
        with running(
            port=broker.port,
            client_id="acl",
            username="agent",
            password=lambda: "secret",
            base_topic="agent/x",
        ) as harness:
            until(lambda: harness.link.state.connected)
            for number in range(100):
                harness.link.announce(f"forbidden/{number}", b"{}", group="forbidden/+")
                if not number:
                    until(lambda: "mqtt_announcement_refused" in harness.names)
            harness.link.announce("agent/health", b"{}")
            until(lambda: harness.link.stats.dropped["announcement"] == 99)
    finally:
        broker.stop()
    assert harness.names.count("mqtt_announcement_refused") == 1
    assert harness.link.stats.publish_refused == 1


def test_will_that_may_not_be_written(tmp_path: Path) -> None:
    """A user who may not write the status topic gets one report; the rest works.

    This Mosquitto closes the connection after each refused publish, which is not taken for a takeover.
    """
    broker = guarded(tmp_path / "broker").start()
    try:
        with running(
            port=broker.port, client_id="w", username="agent", password=lambda: "secret", base_topic="other"
        ) as harness:
            until(lambda: "mqtt_announcement_refused" in harness.names)
            for row in range(4):
                harness.link.publish([outgoing(row, "forbidden/x")])
                harness.wait_down(row + 2)
            harness.wait_up(6)
            assert len(harness.published) == 4
            harness.link.publish([outgoing(9, "agent/x")])
            until(lambda: len(harness.published) == 5)
    finally:
        broker.stop()
    assert harness.published[-1][1] < 0x80
    assert harness.link.stats.takeovers == 0
    assert harness.names.count("mqtt_announcement_refused") == 1


def dynamic_security(folder: Path, *, allow_b: bool) -> Path:
    """Write a configuration of Mosquitto's dynamic security: anonymous may read a/#, b/# if ``allow_b``."""
    rights = [
        {"acltype": kind, "topic": "#", "priority": 0, "allow": True}
        for kind in ("publishClientSend", "publishClientReceive", "unsubscribePattern")
    ]
    rights += [
        {"acltype": "subscribePattern", "topic": "a/#", "priority": 1, "allow": True},
        {"acltype": "subscribePattern", "topic": "b/#", "priority": 1, "allow": allow_b},
    ]
    salt = b"0123456789ab"
    admin = {
        "username": "admin",
        "salt": b64encode(salt).decode(),
        "password": b64encode(pbkdf2_hmac("sha512", b"admin", salt, 101, 64)).decode(),
        "iterations": 101,
        "roles": [],
    }
    closed = dict.fromkeys(("publishClientSend", "publishClientReceive", "subscribe", "unsubscribe"), False)
    path = folder / "dynsec.json"
    path.write_text(
        json.dumps(
            {
                "defaultACLAccess": closed,
                "clients": [admin],
                "groups": [{"groupname": "all", "roles": [{"rolename": "some"}]}],
                "roles": [{"rolename": "some", "acls": rights}],
                "anonymousGroup": "all",
            }
        )
    )
    return path


@pytest.mark.skipif(not PLUGIN.exists(), reason="Mosquitto's dynamic security plugin is not installed")
def test_refused_subscription(tmp_path: Path) -> None:
    """A filter that the broker refuses is in the state, reported once and asked for again; others work."""
    folder = tmp_path / "broker"
    folder.mkdir()
    rights = dynamic_security(folder, allow_b=False)
    broker = Broker(folder, f"plugin {PLUGIN}\nplugin_opt_config_file {rights}").start()
    try:
        with running(
            port=broker.port, client_id="sub", topics=["a/#", "b/#"], resubscribe_s=0.1, session_expiry_s=60
        ) as harness:
            harness.subscribed()
            assert harness.link.state.refused == ("b/#",)
            with peer(broker.port) as other:
                send(other, "a/t", "x")
            until(lambda: harness.arrivals)
            broker.stop()
            dynamic_security(folder, allow_b=True)
            broker.start()
            harness.wait_up(2)
            until(lambda: harness.link.state.subscribed and not harness.link.state.refused)
    finally:
        broker.stop()
    (refusal,) = harness.values("mqtt_subscription_refused")
    assert (refusal["filter"], refusal["reason_code"]) == ("b/#", 0x87)


def test_publish_above_the_brokers_packet_size(tmp_path: Path) -> None:
    """A message above the limit of the CONNACK is refused here, unsent; the others go on."""
    broker = Broker(tmp_path / "broker", "max_packet_size 2000").start()
    try:
        with running(port=broker.port, client_id="big") as harness:
            until(lambda: harness.link.state.connected)
            harness.link.publish([outgoing(1, "t", b"x" * 3000), outgoing(2, "t", b"x" * 1800)])
            until(lambda: len(harness.published) == 2)
            assert harness.link.state.limits.max_packet_size == 2000
    finally:
        broker.stop()
    assert harness.published[0] == (1, 0x95)
    assert harness.published[1][1] < 0x80
    assert harness.link.stats.connects == 1


def test_publish_above_the_brokers_message_size(tmp_path: Path) -> None:
    """Mosquitto's PUBACK 0x95, which paho takes for malformed, is a refusal and not the end of the link."""
    broker = Broker(tmp_path / "broker", "message_size_limit 2000").start()
    try:
        with running(port=broker.port, client_id="poison") as harness:
            until(lambda: harness.link.state.connected)
            harness.link.publish([outgoing(1, "t"), outgoing(2, "t", b"x" * 3000), outgoing(3, "t")])
            until(lambda: len(harness.published) == 3)
    finally:
        broker.stop()
    assert {row: code for row, code in harness.published if code >= 0x80} == {2: 0x95}
    assert harness.link.stats.connects <= 2  # this Mosquitto closes after a refusal


def test_publish_that_ends_the_connection(tmp_path: Path) -> None:
    """Over 3.1.1 a broker ends the link at too big a packet: after three times it counts as refused."""
    broker = Broker(tmp_path / "broker", "max_packet_size 2000").start()
    try:
        with running(port=broker.port, client_id="poison311", protocol="3.1.1") as harness:
            until(lambda: harness.link.state.connected)
            harness.link.publish([outgoing(n, "t", b"x" * (3000 if n == 5 else 10)) for n in range(10)])
            until(lambda: len(harness.published) == 10)
    finally:
        broker.stop()
    assert {row: code for row, code in harness.published if code >= 0x80} == {5: 0x95}
    assert harness.link.stats.connects == 4


@pytest.mark.parametrize("topic", ["a/#", "a/+/b", "x" * 70_000])
def test_impossible_topic(broker: Broker, topic: str) -> None:
    """A topic that cannot be published to is refused here and harms nothing."""
    with running(port=broker.port, client_id="topic") as harness:
        until(lambda: harness.link.state.connected)
        harness.link.publish([outgoing(1, topic), outgoing(2, "fine")])
        until(lambda: len(harness.published) == 2)
    assert harness.published[0][1] >= 0x80
    assert harness.published[1][1] < 0x80


def test_oversized_arrival_over_311(broker: Broker) -> None:
    """An old broker sends what is too big all the same: its beginning arrives and it is acknowledged."""
    with (
        OldBroker(broker.port, refusal="0x01") as old,
        peer(broker.port) as other,
        running(port=old.port, client_id="bigin", topics=["bigin/#"], max_packet_size=1000) as harness,
    ):
        harness.subscribed()
        send(other, "bigin/t", b"x" * 50_000, b"small")
        until(lambda: harness.link.stats.acks_sent == 2)
    assert [len(payload) for payload in harness.payloads] == [1000 - 2 - 7 - 2, 5]


# ------------------------------------------------------------------------------------------------ TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def server_files(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("server", "DNS:localhost")


def tls_broker(folder: Path, authority: Authority, files: tuple[Path, Path], *extra: str) -> Broker:
    certificate, key = files
    lines = (f"cafile {authority.ca}", f"certfile {certificate}", f"keyfile {key}", *extra)
    return Broker(folder, "\n".join(lines)).start()


@pytest.mark.process
def test_tls(tmp_path: Path, authority: Authority, server_files: tuple[Path, Path]) -> None:
    """Over TLS a burst arrives whole and in order, and what we send is settled."""
    broker = tls_broker(tmp_path / "b", authority, server_files)
    options = {"host": "localhost", "port": broker.port, "tls": True, "ca_file": authority.ca}
    try:
        with (
            running(**options, client_id="sender") as sender,
            running(**options, client_id="tls", topics=["tls/#"]) as harness,
        ):
            harness.subscribed()
            blobs = [bytes([n % 256]) * (1 + n * 37 % 3000) for n in range(300)] + [b"z" * 300_000]
            sender.link.publish([outgoing(n, "tls/t", blob) for n, blob in enumerate(blobs)])
            until(lambda: len(harness.arrivals) == len(blobs) == len(sender.published))
    finally:
        broker.stop()
    assert harness.payloads == blobs


def test_a_read_takes_many_tls_records(authority: Authority, server_files: tuple[Path, Path]) -> None:
    """A broker that writes a record for each message costs one read for all; its end is still found."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*server_files)
    near, far = socket.socketpair()
    with ThreadPoolExecutor(1) as pool:
        accepted = pool.submit(server.wrap_socket, far, server_side=True)
        sock = ssl.create_default_context(cafile=authority.ca).wrap_socket(near, server_hostname="localhost")
        broker = accepted.result(60)
    sock.settimeout(0.0)
    seen: list[int] = []
    wire = Wire(
        sock, v5=True, max_packet_size=1000, take=lambda *one: seen.append(one[2]), control=lambda _: None
    )
    for mid in range(1, 31):
        broker.sendall(publish(b"t", b"1", mid=mid))
    broker.close()
    assert wire.fill() == 30 * len(publish(b"t", b"1", mid=1))
    assert seen == list(range(1, 31))
    with pytest.raises(WireError, match=r"closed by the broker|connection was lost"):
        wire.fill()
    wire.close()


def test_a_tls_link_that_is_cut_is_no_takeover(
    tmp_path: Path, authority: Authority, server_files: tuple[Path, Path]
) -> None:
    """The detector receives our last will over TLS as well."""
    broker = tls_broker(tmp_path / "b", authority, server_files)
    options = {"host": "localhost", "tls": True, "ca_file": authority.ca}
    try:
        with (
            Proxy(broker.port) as proxy,
            running(**options, port=proxy.port, client_id="cut-tls", base_topic="agent/cut-tls") as harness,
        ):
            for n in range(4):
                harness.wait_up(n + 1)
                proxy.reset_newest()
                harness.wait_down(n + 1)
        assert harness.link.stats.takeovers == 0
    finally:
        broker.stop()


@pytest.mark.process
@pytest.mark.parametrize(
    ("host", "own_ca", "words"),
    [
        ("localhost", False, "certificate was refused"),
        ("127.0.0.1", True, "write the host in mqtt.url as the certificate has it"),
    ],
)
def test_tls_is_verified(
    tmp_path: Path, authority: Authority, server_files: tuple[Path, Path], host: str, own_ca: bool, words: str
) -> None:
    """A broker that the authority did not sign, or that has another name, is not spoken to."""
    broker = tls_broker(tmp_path / "b", authority, server_files)
    ca = authority.ca if own_ca else Authority(tmp_path / "other", "other-ca").ca
    harness = LinkHarness(host=host, port=broker.port, tls=True, ca_file=ca, client_id="strict").start()
    try:
        until(lambda: harness.link.stats.connect_failures >= 2)
        assert words in (harness.link.state.last_error or "")
        assert not harness.ups
    finally:
        harness.stop()
        broker.stop()


@pytest.mark.process
def test_client_certificate_is_read_again(
    tmp_path: Path, authority: Authority, server_files: tuple[Path, Path]
) -> None:
    """A broker that asks for a certificate lets us in once a good one is in the file."""
    broker = tls_broker(
        tmp_path / "b", authority, server_files, "require_certificate true", "use_identity_as_username true"
    )
    wrong = Authority(tmp_path / "other", "other-ca").issue("agent", "DNS:agent")
    good = authority.issue("agent", "DNS:agent")
    mine = tmp_path / "agent.pem", tmp_path / "agent.key"

    def install(files: tuple[Path, Path]) -> None:
        for source, target in zip(files, mine, strict=True):
            target.write_bytes(source.read_bytes())

    install(wrong)
    try:
        with running(
            host="localhost",
            port=broker.port,
            tls=True,
            ca_file=authority.ca,
            cert_file=mine[0],
            key_file=mine[1],
            client_id="mutual",
        ) as harness:
            until(lambda: harness.link.stats.connect_failures >= 2)
            assert harness.link.state.last_error
            install(good)
            until(lambda: harness.link.state.connected)
    finally:
        broker.stop()


def test_missing_ca_file(broker: Broker, tmp_path: Path) -> None:
    """A file that is not there is named with its path."""
    with running(
        host="localhost", port=broker.port, tls=True, ca_file=tmp_path / "no-ca.pem", client_id="noca"
    ) as harness:
        until(lambda: harness.names)
        assert "no-ca.pem" in (harness.link.state.last_error or "")


def test_tls_to_a_plain_port(broker: Broker, authority: Authority) -> None:
    """A port without TLS is named as such, or at least as silent."""
    with running(
        host="localhost",
        port=broker.port,
        tls=True,
        ca_file=authority.ca,
        client_id="plain",
        connect_timeout_s=1.0,
    ) as harness:
        until(lambda: harness.names)
        assert f"mqtts://localhost:{broker.port}" in (harness.link.state.last_error or "")


def test_unknown_host() -> None:
    """A name that does not resolve is reported in words."""
    with running(host="no-such-host.invalid", client_id="dns") as harness:
        until(lambda: harness.names, limit_s=30)
        assert "cannot be resolved" in (harness.link.state.last_error or "")


@pytest.mark.parametrize("broken", ["ca_file", "cert_file", "key_file"])
def test_a_broken_file_of_tls_is_named(
    tmp_path: Path, authority: Authority, server_files: tuple[Path, Path], broken: str
) -> None:
    """The port and the certificate of the broker have nothing to do with it."""
    certificate, key = server_files
    files: dict[str, Any] = {"ca_file": authority.ca, "cert_file": certificate, "key_file": key}
    bad = tmp_path / "bad.pem"
    bad.write_text("-----BEGIN CERTIFICATE-----\nxxxx\n-----END CERTIFICATE-----\n")
    good = replace(LinkSettings(host="h", client_id="c", base_topic="b", tls=True), **files)
    with pytest.raises(OSError, match="certificate") as raised:
        tls_context(replace(good, **files | {broken: bad}))
    named = bad if broken != "key_file" else certificate
    assert str(of_error(raised.value, "mqtts://h:8883")).startswith(f"{named}: ")
    assert isinstance(tls_context(good), ssl.SSLContext)
