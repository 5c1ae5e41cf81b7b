"""Addresses of the web port, and refusals before anything listens."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.cli import main
from agent.config import ConfigError, weaknesses
from agent.config.load import load
from tests.support.agent_process import AgentProcess
from tests.support.broker import free_port

OPEN = [
    "0.0.0.0:8000", "[::]:8000", "192.168.1.5:8000", "10.0.0.1:8000", "[fe80::1]:8000",
    "[::ffff:10.0.0.1]:8000", "gateway.local:8000", "localhost.evil.example:8000",
    "127.0.0.1.evil.example:8000", "2130706433:8000",
]  # fmt: skip
CLOSED = ["127.0.0.1:8000", "127.8.9.1:8000", "localhost:8000", "[::1]:8000"]
NOT_AN_ADDRESS = [
    "8000",
    ":8000",
    "127.0.0.1",
    "127.0.0.1:99999",
    "127.0.0.1:8000/x",
    "0.0.0.0@127.0.0.1:80",
    "",
]


@pytest.fixture
def secured(tmp_path: Path) -> dict[str, str]:
    """All four keys that make an address safe, with files that are there."""
    keys = {"cert_file": "web.crt", "key_file": "web.key", "password_file": "web.password"}
    for name in keys.values():
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(0o600)
    return {**keys, "username": "prometheus"}


def read(folder: Path, web: dict[str, Any]) -> str:
    """Return the address of a configuration with this section."""
    path = folder / "agent.yaml"
    path.write_text(yaml.safe_dump({"web": web}))
    return load(path, {}).web.listen


@pytest.mark.parametrize("listen", OPEN)
def test_an_open_address_needs_tls_and_a_password(
    listen: str, tmp_path: Path, secured: dict[str, str]
) -> None:
    """Refused alone, with TLS alone, with a password alone; taken with both, or with `web.insecure`."""
    tls = {key: secured[key] for key in ("cert_file", "key_file")}
    password = {key: secured[key] for key in ("username", "password_file")}
    for half in ({}, tls, password, {"insecure": False}):
        with pytest.raises(
            ConfigError, match=r"web: listen .+ can be reached from outside; use 127\.0\.0\.1"
        ):
            read(tmp_path, {"listen": listen, **half})
    assert read(tmp_path, {"listen": listen, **secured}) == listen
    assert read(tmp_path, {"listen": listen, "insecure": True}) == listen


@pytest.mark.parametrize("listen", CLOSED)
def test_the_loopback_needs_neither(listen: str, tmp_path: Path) -> None:
    """This machine alone may look without either."""
    assert read(tmp_path, {"listen": listen}) == listen


@pytest.mark.parametrize("listen", NOT_AN_ADDRESS)
def test_what_is_no_address_is_refused(listen: str, tmp_path: Path) -> None:
    """Anything but host:port is refused, whatever it looks like."""
    with pytest.raises(ConfigError, match=r"web\.listen: .+ is not (host:port|an address)"):
        read(tmp_path, {"listen": listen})


@pytest.mark.parametrize("missing", ["cert_file", "key_file", "username", "password_file"])
def test_three_of_the_four_keys_are_refused(missing: str, tmp_path: Path, secured: dict[str, str]) -> None:
    """A key without its partner is a slip, on loopback too."""
    del secured[missing]
    with pytest.raises(ConfigError, match="belong together"):
        read(tmp_path, {"listen": "127.0.0.1:8000", **secured})


@pytest.mark.parametrize(
    ("web", "warned"),
    [
        ({}, None),
        ({"listen": "[::1]:8000"}, None),
        ({"listen": "0.0.0.0:8000", "insecure": True}, "every client that reaches 0.0.0.0:8000 can"),
        ({"listen": "0.0.0.0:8000", "insecure": True, "actions": False}, None),
        ("secured", "every client that reaches 0.0.0.0:8000 with the password of prometheus can"),
    ],
)
def test_buttons_that_others_reach_are_named(
    web: Any, warned: str | None, tmp_path: Path, secured: dict[str, str]
) -> None:
    """`check`, `doctor` and the page warn of them, with a password, too, and not without buttons."""
    path = tmp_path / "agent.yaml"
    keys = {"listen": "0.0.0.0:8000", **secured} if web == "secured" else web
    path.write_text(yaml.safe_dump({"web": keys}))
    found = [one.what for one in weaknesses(load(path, {})) if one.key == "web.actions"]
    assert [text.split(" acknowledge")[0] for text in found] == ([] if warned is None else [warned])


@pytest.mark.process
def test_run_refuses_an_open_address_before_it_listens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check` and `run` report it in one line and exit 2; nothing was opened."""
    listen = f"0.0.0.0:{free_port()}"
    agent = AgentProcess(
        tmp_path, broker_url=f"mqtt://127.0.0.1:{free_port()}", settings={"web": {"listen": listen}}
    )
    agent.start()
    assert agent.wait(20) == 2
    assert not agent.state_dir.exists()
    assert main(["check", "--config", str(agent.config_path)]) == 2
    for said in (agent.text(), capsys.readouterr().err):
        (line,) = said.splitlines()
        assert f"web: listen {listen} can be reached from outside" in line
        assert "web.insecure: true" in line
