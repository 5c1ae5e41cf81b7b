"""Access to the web port: TLS and basic auth by configuration, nothing but GET."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.http import status_of
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process

PATHS = ("/", "/metrics", "/healthz", "/readyz", "/status.json")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 and its key, in one folder."""
    openssl = shutil.which("openssl")
    assert openssl is not None
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
         "-keyout", str(tmp_path / "web.key"), "-out", str(tmp_path / "web.crt")],
        check=True, capture_output=True,
    )  # fmt: skip
    (tmp_path / "web.key").chmod(0o600)
    (tmp_path / "web.password").write_text("correct horse\n")
    (tmp_path / "web.password").chmod(0o600)
    return tmp_path


def test_tls_and_a_password_on_every_address(broker: Broker, certificate: Path, tmp_path: Path) -> None:
    """Every address answers 401 without the password, 200 with it; plain HTTP gets nothing."""
    agent = AgentProcess(
        tmp_path / "agent",
        broker_url=broker.url,
        settings={
            "agent": {"id": "web-access"},
            "sources": [{"topic": "web-access/{device}/{metric}"}],
            "web": {
                "cert_file": str(certificate / "web.crt"),
                "key_file": str(certificate / "web.key"),
                "username": "prometheus",
                "password_file": str(certificate / "web.password"),
            },
        },
    )
    context = ssl.create_default_context(cafile=str(certificate / "web.crt"))
    agent.start()
    try:
        root = f"https://127.0.0.1:{agent.port}"
        wait_for(lambda: status_of(f"{root}/", context=context), 30, "the port is open")
        for path in PATHS:
            assert status_of(root + path, context=context) == 401
            assert status_of(root + path, context=context, password="wrong") == 401
        wait_for(
            lambda: status_of(f"{root}/readyz", context=context, password="correct horse") == 200,
            20,
            "readiness",
        )
        for path in PATHS:
            assert status_of(root + path, context=context, password="correct horse") == 200
        assert status_of(f"{root}/metrics", context=context, password="correct horse", method="POST") == 405
        assert status_of(f"{root}/etc/passwd", context=context, password="correct horse") == 404
        assert agent.get("/metrics")[0] == 0
        assert "correct horse" not in agent.text()
        assert agent.stop() == 0
    finally:
        agent.kill()
