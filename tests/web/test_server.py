import base64
import contextlib
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from agent.web.http import BasicAuth, Request, Response
from agent.web.server import WebError, WebServer, server_tls
from tests.support.waiting import wait_for
from tests.web.serving import ask, connect, get, read_all, serving, split

WAIT_S = 60.0  # of a silent client; an answer that comes before it did not wait for one
BIG = b"x" * (32 << 20)  # more than the buffers of a loopback connection hold


def test_serves_a_route_and_closes() -> None:
    """A GET of a known path gives the route's body, its length and the end of the connection."""
    with serving() as server:
        status, head, body = get(server, "/metrics?name=x")
    assert (status, body) == (200, b"up 1\n")
    assert "Content-Length: 5" in head
    assert "Connection: close" in head
    assert "X-Content-Type-Options: nosniff" in head


def test_head_is_not_allowed_and_has_no_body() -> None:
    """GET is the one method; the refusal of a HEAD has no body, as HTTP demands."""
    with serving() as server:
        status, head, body = ask(server, "HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (status, body) == (405, b"")
    assert "Allow: GET\r\n" in f"{head}\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (b"GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"DELETE /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"POST /other HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"nonsense\r\n\r\n", 400),
        (b"GET  /metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics HTTP/2.0\r\n\r\n", 400),
        (b"GET http://elsewhere/ HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nbroken field\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /metrics HTTP/1.1\r\n" + b"X: " + b"a" * 9000 + b"\r\n\r\n", 431),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 9000, 431),
        (b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n", 200),
        (b"GET /metrics HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", 200),
        (b"GET /metrics HTTP/1.0\r\n\r\n", 200),
        (b"GET /metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\nhOST: localhost\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost, evil.example\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost:evil.example\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost@evil.example\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost:\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\n Host: localhost\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost\nX: a\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: \x00\r\n\r\n", 400),
        (b"GET /met\rrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nAuthorization: y\r\n\r\n", 400),
    ],
)
def test_answers_what_it_does_not_serve(request_bytes: bytes, expected: int) -> None:
    """Whatever is not one clear GET of a route gets its own status; a foreign or second Host is refused."""
    with serving() as server:
        assert ask(server, request_bytes)[0] == expected


def test_a_request_may_come_in_pieces() -> None:
    """A head that arrives byte by byte is one request."""
    with serving() as server, connect(server) as sock:
        for byte in b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n":
            sock.send(bytes([byte]))
        assert split(read_all(sock))[0] == 200


def test_a_route_that_fails_is_500_and_reported() -> None:
    """An exception of a route is written to the log, not to the client, and ends nothing."""
    told: list[str] = []

    def fail(_request: Request) -> Response:
        raise KeyError("canary")

    routes = {"/bad": fail, "/good": lambda _request: Response(b"ok")}
    with serving(routes, log=lambda event, **_fields: told.append(event)) as server:
        status, _, body = get(server, "/bad")
        assert get(server, "/good")[0] == 200
    assert (status, told) == (500, ["web_request_failed"])
    assert b"canary" not in body


@pytest.mark.slow
def test_idle_clients_give_way_to_a_scrape() -> None:
    """With every slot taken by silent clients, a scrape is answered at once."""
    with serving(timeout_s=WAIT_S) as server, contextlib.ExitStack() as clients:
        for _ in range(300):
            clients.enter_context(connect(server))
        started = time.monotonic()
        assert get(server, "/metrics")[0] == 200
        assert time.monotonic() - started < WAIT_S
        assert server.connections <= 8


def test_dripping_clients_give_way_and_end() -> None:
    """A client that drips its request has a limit in all, not one per byte, and does not hold up a scrape."""
    with serving(timeout_s=0.5) as server, connect(server) as drip:
        drip.settimeout(0.05)
        started = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - started < WAIT_S:
                drip.send(b"G")
                try:
                    if drip.recv(1) == b"":
                        break
                except TimeoutError:
                    continue
        assert time.monotonic() - started < WAIT_S
        assert get(server, "/metrics")[0] == 200


@pytest.mark.slow
def test_clients_that_do_not_read_give_way_to_a_scrape() -> None:
    """With every slot taken by clients that never read their response, a scrape waits about a second."""
    routes = {"/big": lambda _request: Response(BIG), "/metrics": lambda _request: Response(b"up 1\n")}
    with serving(routes, timeout_s=WAIT_S) as server, contextlib.ExitStack() as clients:
        for _ in range(8):
            sock = clients.enter_context(connect(server))
            sock.sendall(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_for(lambda: server.connections == 8)
        started = time.monotonic()
        assert get(server, "/metrics")[0] == 200
        assert time.monotonic() - started < WAIT_S


def test_a_response_that_is_not_read_ends() -> None:
    """A slow reader is cut off after the time limit and its slot is free again."""
    with serving({"/big": lambda _request: Response(BIG)}, timeout_s=0.4) as server, connect(server) as sock:
        sock.sendall(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_for(lambda: server.connections == 1)
        wait_for(lambda: server.connections == 0)


def test_a_large_response_arrives_whole() -> None:
    """A body larger than the socket's buffers is sent to the last byte."""
    with serving({"/big": lambda _request: Response(BIG)}) as server:
        assert len(get(server, "/big")[2]) == len(BIG)


def test_basic_auth() -> None:
    """Without the right user and password there is no answer on any path but 401."""
    auth = BasicAuth("prometheus", "s3cret-ü")
    assert "s3cret" not in repr(auth)
    right = base64.b64encode("prometheus:s3cret-ü".encode()).decode()
    wrong = base64.b64encode(b"prometheus:s3cret").decode()
    with serving(auth=auth) as server:
        assert get(server, "/metrics")[0] == 401
        assert get(server, "/nowhere")[0] == 401
        assert "WWW-Authenticate: Basic" in get(server, "/metrics")[1]
        assert get(server, "/metrics", f"Authorization: Basic {wrong}")[0] == 401
        assert get(server, "/metrics", f"Authorization: Basic {right}")[0] == 200


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate and key for localhost."""
    openssl = shutil.which("openssl")
    assert openssl is not None
    folder = tmp_path_factory.mktemp("tls")
    path = folder / "both.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    argv = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    argv += ["-days", "1", "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"), *names]
    subprocess.run(argv, check=True, capture_output=True)
    path.write_bytes((folder / "cert.pem").read_bytes() + (folder / "key.pem").read_bytes())
    return path


@pytest.mark.process
def test_tls_with_clients_that_never_shake_hands(certificate: Path) -> None:
    """Idle TCP clients on the TLS port do not hold up a scrape over TLS; plain HTTP gets no answer."""
    context = server_tls(cert_file=certificate, key_file=certificate)
    client = ssl.create_default_context(cafile=str(certificate))
    routes = {"/big": lambda _request: Response(BIG[:5_000_000])}
    with serving(routes, tls=context, timeout_s=WAIT_S) as server:
        with contextlib.ExitStack() as clients:
            for _ in range(40):
                clients.enter_context(connect(server))
            started = time.monotonic()
            status, _, body = get(server, "/big", tls=client)
            assert time.monotonic() - started < WAIT_S
        assert (status, len(body)) == (200, 5_000_000)
        with connect(server) as plain, contextlib.suppress(ConnectionError):
            plain.sendall(b"GET /big HTTP/1.1\r\n\r\n")
            assert b"HTTP" not in read_all(plain)


def test_a_wrong_certificate_is_said_in_one_line(tmp_path: Path) -> None:
    """A missing or foreign file raises an error that names both files."""
    with pytest.raises(WebError, match=r"no\.pem .* are not a certificate and its key"):
        server_tls(cert_file=tmp_path / "no.pem", key_file=tmp_path / "no.key")


def test_a_taken_port_is_said_in_one_line() -> None:
    """A port in use raises an error that names the setting and the remedy."""
    with serving() as server, pytest.raises(WebError, match=r"web\.listen .* cannot be opened: .* free it"):
        WebServer(host="127.0.0.1", port=server.port, routes={})


def test_serves_ipv6() -> None:
    """The loopback of IPv6 works where the machine has it."""
    try:
        probe = socket.socket(socket.AF_INET6)
        probe.bind(("::1", 0))
        probe.close()
    except OSError:
        pytest.skip("no IPv6 here")
    server = WebServer(host="::1", port=0, routes={})
    assert server.port > 0
    server.stop()
    server.run()


def test_stop_ends_the_thread_with_clients_connected() -> None:
    """Stopping closes what is open and does not wait for anybody."""
    with serving(timeout_s=WAIT_S) as server:
        sock = connect(server)
        wait_for(lambda: server.connections == 1)
        started = time.monotonic()
        server.stop()
    assert time.monotonic() - started < WAIT_S
    assert sock.recv(1) == b""
    sock.close()
