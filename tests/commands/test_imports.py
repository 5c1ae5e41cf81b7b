"""Modules that a command loads: start-up costs CPU and memory by the module."""

import json
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.commands.kit import write_config
from tests.support.agent_process import REPO, AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process

PRINTING = """
import json, os, sys
from agent.cli import main

parent, end = os.getpid(), os._exit

def leave(code):
    if os.getpid() == parent:  # not the child that reads the configuration
        print(json.dumps(sorted(sys.modules)), flush=True)
    end(code)

os._exit = leave
try:
    leave(main(sys.argv[1:]))
except SystemExit:
    leave(0)
"""
# The SDK of the model, the exporters of traces, and what reads a file in a child process.
HEAVY = {
    "grpc",
    "httpx2",
    "jiter",
    "openai",
    "opentelemetry.exporter",
    "opentelemetry.sdk",
    "pydantic",
    "yaml",
}
# Of the standard library, what an agent without a model has no use for; of its own what calls a model.
UNUSED = {
    "_hashlib", "_ssl", "agent.ai.caller", "agent.budget.ledger", "ast", "decimal", "difflib", "dis", "email",
    "encodings.idna", "html", "http.client", "http.server", "lzma", "pkgutil", "shutil", "socketserver",
    "statistics", "tempfile", "urllib.error", "urllib.request", "wsgiref",
}  # fmt: skip


def loaded_by(*argv: str) -> set[str]:
    """Return the modules that a command has loaded when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", PRINTING, *argv], capture_output=True, text=True, cwd=REPO, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_version_loads_the_arguments_alone() -> None:
    """Of the product its name and its command line, of other packages none."""
    loaded = loaded_by("--version")
    assert {name for name in loaded if name.split(".")[0] == "agent"} == {"agent", "agent.cli"}
    assert not {"paho", "prometheus_client", "sqlite3", "structlog", *HEAVY} & loaded


def test_a_check_loads_settings_and_no_machinery(tmp_path: Path) -> None:
    """The sections of the configuration come from all folders, their threads and libraries do not."""
    loaded = loaded_by("check", "--config", str(write_config(tmp_path)))
    assert {"agent.config.sections", "agent.journal.settings"} <= loaded
    machinery = {
        "agent.app",
        "agent.ai.caller",
        "agent.journal.journal",
        "agent.mqtt.link",
        "agent.web.server",
    }
    assert not {"paho", "prometheus_client", "structlog", *machinery, *HEAVY} & loaded


@pytest.mark.slow
def test_an_agent_without_a_model_loads_neither_its_sdk_nor_the_other_commands(
    tmp_path: Path, broker: Broker
) -> None:
    """With review `none`, from the start to the end."""
    agent = AgentProcess(tmp_path, broker_url=broker.url)
    agent.argv = [sys.executable, "-c", PRINTING, "run", "--config", str(agent.config_path)]
    with agent:
        assert agent.status()
        agent.stop()
    loaded = set(json.loads(agent.text().splitlines()[-1]))
    assert {"agent.journal.writer", "agent.mqtt.link", "agent.web.server", "paho"} <= loaded
    assert not (HEAVY | UNUSED) & loaded
    commands = {name for name in loaded if name.startswith("agent.commands.")}
    assert commands == {f"agent.commands.{name}" for name in ("ending", "printing", "start")}


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "loaded"), [("mqtt", False), ("mqtts", True)])
def test_openssl_is_loaded_for_tls_alone(tmp_path: Path, scheme: str, loaded: bool) -> None:
    """Not by an attempt to connect that fails, whose error may be one of TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections, and ends each
        server.settimeout(0.05)
        agent = AgentProcess(tmp_path, broker_url=f"{scheme}://127.0.0.1:{server.getsockname()[1]}")

        def failed() -> bool:
            with suppress(TimeoutError):
                server.accept()[0].close()
            return bool(agent.events("mqtt_connect_failed"))

        try:
            agent.start()
            wait_for(failed, 20, "an attempt to connect failed")
            assert agent.maps("libcrypto") == loaded
        finally:
            agent.kill()
