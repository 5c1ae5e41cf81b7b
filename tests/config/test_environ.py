"""Standard variables below the file, the origin of an address, open questions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli import main
from agent.config import Config, ConfigError, load_apart, overlaps, weaknesses
from agent.config.credentials import push_headers
from agent.config.endpoint import describe_model, describe_push, describe_traces
from agent.config.load import load
from agent.observe.redact import Secrets

REPO = Path(__file__).parents[2]
SHIPPED = REPO / "configs" / "agent.yaml"


def loaded(folder: Path, text: str, environ: dict[str, str]) -> Config:
    """Return the configuration of a text under an environment."""
    path = folder / "agent.yaml"
    path.write_text(text)
    return load(path, environ)


def test_the_models_variables_are_defaults_below_the_file(tmp_path: Path) -> None:
    """The key and the address belong together: readings go only to the host of the variable."""
    environ = {"OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": "https://local/v1", "OPENAI_MODEL": "small"}
    config = loaded(tmp_path, "", environ)
    assert (config.ai.base_url, config.ai.model) == ("https://local/v1", "small")
    assert describe_model(config, key=True) == (
        "small (from the variable OPENAI_MODEL) is asked at https://local/v1"
        " (from the variable OPENAI_BASE_URL)"
    )
    assert load(SHIPPED, environ).ai.base_url == "https://local/v1"  # the file has null
    config = loaded(tmp_path, "ai: {base_url: 'https://file/v1', model: m}", environ)
    assert (config.ai.base_url, config.ai.model) == ("https://file/v1", "m")
    assert describe_model(config, key=True) == "m (ai.model) is asked at https://file/v1 (ai.base_url)"
    environ["EDGE_AGENT_AI__BASE_URL"] = "https://over/v1"
    assert loaded(tmp_path, "ai: {base_url: 'https://file/v1'}", environ).ai.base_url == "https://over/v1"
    assert loaded(tmp_path, "", {"OPENAI_BASE_URL": " "}).ai.base_url is None


def test_a_bad_variable_is_named_without_its_secret(tmp_path: Path) -> None:
    """The checks of the file hold for the standard variables."""
    for name in ("OPENAI_BASE_URL", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        with pytest.raises(ConfigError, match=f"holds a user or a password.*set by the variable {name}") as e:
            loaded(tmp_path, "", {name: "https://u:hunter2@h/v1"})
        assert "hunter2" not in str(e.value)
    with pytest.raises(ConfigError, match=r"is not encrypted and not on this machine.*OPENAI_BASE_URL"):
        loaded(tmp_path, "", {"OPENAI_BASE_URL": "http://elsewhere/v1"})


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        ("", {"ENDPOINT": "http://c:4318"}, ("http://c:4318/v1/traces", "http")),
        ("", {"ENDPOINT": "http://c:4318/x/"}, ("http://c:4318/x/v1/traces", "http")),
        ("", {"ENDPOINT": "http://c:1", "TRACES_ENDPOINT": "http://t:2/y"}, ("http://t:2/y", "http")),
        ("", {"ENDPOINT": "http://c:4317", "PROTOCOL": "grpc"}, ("http://c:4317", "grpc")),
        (
            "traces: {endpoint: null, protocol: http}",
            {"ENDPOINT": "http://c:4317", "TRACES_PROTOCOL": "grpc", "PROTOCOL": "http/json"},
            ("http://c:4317", "grpc"),
        ),
        (
            "traces: {endpoint: 'http://f:1'}",
            {"ENDPOINT": "http://c:4317", "PROTOCOL": "grpc"},
            ("http://f:1", "http"),
        ),
        ("traces: {protocol: console}", {"ENDPOINT": "http://c:1"}, (None, "console")),
        ("", {"PROTOCOL": "grpc"}, (None, "http")),
    ],
)
def test_the_collectors_variables(
    tmp_path: Path, text: str, environ: dict[str, str], expected: tuple[str | None, str]
) -> None:
    """Address and protocol are taken together, and only where the file gives no address."""
    variables = {f"OTEL_EXPORTER_OTLP_{name}": value for name, value in environ.items()}
    traces = loaded(tmp_path, text, variables).traces
    assert (traces.endpoint, traces.protocol) == expected


def test_the_sdks_switches(tmp_path: Path) -> None:
    """The variables that switch tracing off or thin it out count below the file."""
    there = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}
    for off in ({"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}):
        assert loaded(tmp_path, "", there | off).traces.endpoint is None
        assert loaded(tmp_path, "traces: {endpoint: 'http://f:1'}", off).traces.endpoint == "http://f:1"
    sampled = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}
    assert loaded(tmp_path, "", sampled).traces.sample_ratio == 0.25
    assert loaded(tmp_path, "traces: {sample_ratio: 0.5}", sampled).traces.sample_ratio == 0.5
    assert loaded(tmp_path, "", {"OTEL_TRACES_SAMPLER": "always_off"}).traces.sample_ratio == 0
    with pytest.raises(ConfigError, match="OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' is not spoken here"):
        loaded(tmp_path, "", there | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"})
    assert describe_traces(loaded(tmp_path, "", there)) == (
        "spans go to http://c:4318/v1/traces by http (from the variable OTEL_EXPORTER_OTLP_ENDPOINT)"
    )


OTLP = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.parametrize(
    ("text", "environ", "expected", "words"),
    [
        (
            "",
            {OTLP: "http://c:4318"},
            (False, False, "http://c:4318", "http"),
            "no metrics or log lines are pushed (otel.metrics and otel.logs are false)",
        ),
        (
            "otel: {logs: true}",
            {OTLP: "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            (False, True, "http://c:4317", "grpc"),
            f"log lines (otel.logs) go to http://c:4317 by grpc (from the variable {OTLP})",
        ),
        (
            "otel: {logs: false, endpoint: 'http://f:1'}",
            {OTLP: "http://c:4317", "OTEL_LOGS_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "OTLP"},
            (True, False, "http://f:1", "http"),
            "metrics (from the variable OTEL_METRICS_EXPORTER) go to http://f:1 by http (otel.endpoint)",
        ),
        (
            "",
            {"OTEL_METRICS_EXPORTER": "otlp"},
            (False, False, None, "http"),
            "no metrics or log lines are pushed (otel.metrics and otel.logs are false)",
        ),
        (
            "otel: {metrics: true, endpoint: 'http://f:1'}",
            {"OTEL_SDK_DISABLED": "true"},
            (True, False, "http://f:1", "http"),
            "no metrics or log lines are pushed (from the variable OTEL_SDK_DISABLED)",
        ),
    ],
)
def test_the_variables_of_metrics_and_logs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    environ: dict[str, str],
    expected: tuple[bool, bool, str | None, str],
    words: str,
) -> None:
    """The address is a default; they are pushed only where a key or a variable asks for it."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    config = loaded(tmp_path, text, environ)
    otel = config.otel
    assert (otel.metrics, otel.logs, otel.endpoint, otel.protocol) == expected
    assert describe_push(config) == words


def test_where_traces_are_thinned_out_or_switched_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`check` names the variable of it."""
    environ = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}
    config = loaded(tmp_path, "traces: {endpoint: 'http://f:1'}", environ)
    assert describe_traces(config) == (
        "spans go to http://f:1 by http (traces.endpoint), a share of 0.25 (from the variable"
        " OTEL_TRACES_SAMPLER_ARG)"
    )
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    for one in (config, loaded(tmp_path, "traces: {protocol: console}", {})):
        assert describe_traces(one) == "no spans are sent (from the variable OTEL_SDK_DISABLED)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Authorization: Bearer hunter2\nx-scope:  a b \n",
            {"Authorization": "Bearer hunter2", "x-scope": "a b"},
        ),
        ("no colon", "2 is not a header"),
        ("a: ", "2 is not a header"),
        ("a b: c", "2 is not a header"),
        ("a: \u00e4", "2 is not a header"),
    ],
)
def test_headers_for_the_collector(tmp_path: Path, text: str, expected: dict[str, str] | str) -> None:
    """One a line; their values are masked in every log line, and no error repeats them."""
    path = tmp_path / "headers"
    path.write_text(text if isinstance(expected, dict) else f"good: hunter2\n{text}\n")
    path.chmod(0o600)
    config = loaded(tmp_path, f"otel: {{headers_file: {path}}}", {})
    secrets = Secrets()
    if isinstance(expected, dict):
        assert push_headers(config, secrets) == expected
        assert "hunter2" not in secrets.one_line("x hunter2 y")
        return
    with pytest.raises(ConfigError, match=expected) as error:
        push_headers(config, secrets)
    assert "hunter2" not in str(error.value)


@pytest.mark.process
@pytest.mark.parametrize(
    ("text", "environ", "words"),
    [
        (
            "mqtt: {url: 'mqtt://far', username: u, password_file: p}",
            {},
            "mqtt.url: the password goes to far unencrypted; write mqtts://",
        ),
        (
            "traces: {endpoint: 'http://far:4318', content: true}",
            {},
            "traces.endpoint: prompts and replies go to far unencrypted; write https://",
        ),
        (
            "traces: {endpoint: 'http://far:4317', protocol: grpc}",
            {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY"},
            "prompts and replies go to far",
        ),
        (
            "traces: {endpoint: 'http://far:4318'}",
            {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=x"},
            "the collector's token go",
        ),
        ("sources: [{topic: '#'}]", {}, "sources #: reads topics of everybody"),
        ("sources: [{topic: '+/#'}]", {}, "sources +/#: reads topics of everybody"),
        ("sources: [{topic: '+/+/status'}]", {}, "sources +/+/status: reads topics of everybody"),
        ("sources: [{topic: '{device}/{metric}'}]", {}, "sources +/+: reads topics of everybody"),
        ("sources: [{topic: 'edge-agent/#'}]", {}, "sources edge-agent/#: overlaps edge-agent/gw1/#"),
        ("sources: [{topic: 'edge-agent/+/x/{device}'}]", {}, "overlaps edge-agent/gw1/#"),
        (
            "sources: [{topic: 'a/{d}'}, {topic: 'a/x', format: generic}]",
            {},
            "sources[1].topic 'a/x': never gets a message: 'a/{d}' before it takes all of its",
        ),
        ("sources: [{topic: 'a/x/+'}, {topic: 'a/+/y'}]", {}, None),
        ("sources: [{topic: 'z/{n+}/a'}, {topic: 'z/{n+}/b'}]", {}, None),
        (
            "",
            {"EDGE_AGENT_MQQT_URL": "secret"},
            "this variable is unknown and has no effect; write EDGE_AGENT_MQTT__URL, or unset it",
        ),
        (
            "",
            {"EDGE_AGENT_XYZZY": "1"},
            "EDGE_AGENT_XYZZY: this variable is unknown and has no effect; unset",
        ),
        ("", {"EDGE_AGENT_\x1b": "1"}, "EDGE_AGENT_\\x1b: this variable is unknown"),
        ("", {"EDGE_AGENT_PACE": "0:0:1", "EDGE_AGENT_FAILPOINT": "c3", "EDGE_AGENTS": "x"}, None),
        (
            "ai: {share: names}\nknowledge: {'cold/*': 'It is cold. Its password: hunter22.'}",
            {},
            "knowledge.cold/*: sentence k2 looks like a password or a key, and the model gets it; describe",
        ),
        ("ai: {share: names}\nknowledge: {'*': 'The token ring has a key on top.'}", {}, None),
        ("knowledge: {'*': 'Its password: hunter22.'}", {}, None),
        ("agent: {id: gw1, state_dir: OPEN}", {}, "agent.state_dir: other users can look into"),
        ("", {}, None),
        ("mqtt: {url: 'mqtts://far', username: u, password_file: p}", {}, None),
        ("mqtt: {url: 'mqtt://127.0.0.2', username: u, password_file: p}", {}, None),
        ("mqtt: {url: 'mqtt://far', username: u}", {}, None),
        ("otel: {endpoint: 'http://far', logs: true}", {}, "otel.endpoint: log lines go to far unencrypted"),
        (
            "otel: {endpoint: 'http://far', logs: true}\nlogs: {content: full}",
            {},
            "otel.endpoint: log lines, prompts and replies go to far unencrypted; write https://",
        ),
        (
            "otel: {endpoint: 'http://far', metrics: true}",
            {"OTEL_EXPORTER_OTLP_METRICS_HEADERS": "a=b"},
            "otel.endpoint: the collector's token go to far unencrypted",
        ),
        ("otel: {endpoint: 'http://far', metrics: true}", {}, None),
        *(
            (
                "traces: {endpoint: 'https://far'}",
                {name: "x", "OTEL_EXPORTER_OTLP_HEADERS": "a=b"},
                f"{name}: this variable has no effect on the agent; unset it; docs/traces.md names",
            )
            for name in (
                "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
                "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER",
                "OTEL_PYTHON_TRACER_PROVIDER",
                "OTEL_BSP_SCHEDULE_DELAY",
                "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
                "OTEL_EXPORTER_OTLP_INSECURE",
            )
        ),
        (
            "traces: {endpoint: 'https://far', protocol: grpc}",
            {
                "OTEL_PYTHON_EXPORTER_OTLP_GRPC_CREDENTIAL_PROVIDER": "x",
                "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "2",
                "OTEL_BSP_MAX_QUEUE_SIZE": " ",
            },
            None,
        ),
        ("", {"OTEL_BSP_SCHEDULE_DELAY": "5"}, None),  # nothing is sent
        ("otel: {endpoint: 'http://far'}", {"OTEL_EXPORTER_OTLP_LOGS_HEADERS": "a=b"}, None),
        ("otel: {endpoint: 'http://localhost', logs: true}\nlogs: {content: full}", {}, None),
        ("traces: {endpoint: 'http://far:4318', content: false}", {}, None),
        ("traces: {endpoint: 'https://far:4318', content: true}", {}, None),
        ("traces: {endpoint: 'http://localhost:4318', content: true}", {}, None),
        ("agent: {id: gw1, state_dir: CLOSED}", {}, None),
    ],
)
def test_what_a_configuration_leaves_open(
    tmp_path: Path, text: str, environ: dict[str, str], words: str | None
) -> None:
    """Each weakness is one line with key and remedy; a sound configuration has none."""
    for name, mode in (("OPEN", 0o755), ("CLOSED", 0o700)):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(mode)
        text = text.replace(name, str(tmp_path / name))
    (tmp_path / "p").write_text("secret")
    (tmp_path / "p").chmod(0o600)
    if "agent:" not in text:
        text = f"agent: {{id: gw1, state_dir: {tmp_path / 'none'}}}\n{text}"
    (tmp_path / "agent.yaml").write_text(text)
    for config in (load(tmp_path / "agent.yaml", {}), load_apart(tmp_path / "agent.yaml")):
        found = [str(one) for one in weaknesses(config, environ)]
        assert len(found) == (words is not None), found
        assert all((words or "") in line for line in found)


def test_sources_that_overlap_under_no_fixed_level_are_named(tmp_path: Path) -> None:
    """On a broker without MQTT 5 a message may come for each of them."""
    path = tmp_path / "agent.yaml"
    path.write_text(
        f"agent: {{state_dir: {tmp_path / 'none'}}}\nsources: [{{topic: '+/x/y'}}, {{topic: 'a/+/y'}}]"
    )
    (twice,) = (str(one) for one in overlaps(load(path, {})))
    assert twice == (
        "sources +/x/y and a/+/y: overlap in part; a broker without MQTT 5 may send a message that both match"
        " twice; use a broker that speaks MQTT 5, or begin both with the same fixed level"
    )


@pytest.mark.process
def test_check_prints_the_endpoint_and_the_weaknesses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person sees where readings go before anything goes; a warning leaves the exit code 0."""
    monkeypatch.setenv("OPENAI_BASE_URL", "https://local/v1")
    monkeypatch.delenv("OPENAI_MODEL", raising=False)
    path = tmp_path / "agent.yaml"
    path.write_text(f"agent: {{state_dir: {tmp_path / 'none'}}}\nsources: [{{topic: '#'}}]\n")
    assert main(["check", "--config", str(path)]) == 0
    told = capsys.readouterr()
    assert (
        "gpt-4o-mini (ai.model) is asked at https://local/v1 (from the variable OPENAI_BASE_URL)" in told.out
    )
    assert "Traces: no spans are sent" in told.out
    assert told.err.startswith(f"edge-agent: warning: {path}: sources #: reads topics of everybody")
    assert told.err.count("\n") == 1


@pytest.mark.process
@pytest.mark.parametrize(
    ("text", "variable", "words"),
    [
        ("traces: {endpoint: 'http://127.0.0.1:1'}", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "no spans are sent"),
        (
            "otel: {endpoint: 'http://127.0.0.1:1', protocol: grpc, logs: true}",
            "OTEL_EXPORTER_OTLP_COMPRESSION",
            "no metrics or log lines are pushed",
        ),
    ],
)
def test_check_names_a_variable_that_opentelemetry_refuses(
    tmp_path: Path, text: str, variable: str, words: str
) -> None:
    """It names no destination that the start will not have, and not the value."""
    path = tmp_path / "agent.yaml"
    path.write_text(f"agent: {{state_dir: {tmp_path / 'none'}}}\nsources: [{{topic: 'a/{{d}}/x'}}]\n{text}\n")
    argv = [sys.executable, "-m", "agent", "check", "--config", str(path)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    good, bad = (
        subprocess.run(argv, env=environ | more, capture_output=True, text=True, check=True).stdout
        for more in ({}, {variable: "CANARY"})
    )
    assert "http://127.0.0.1:1" in good
    assert f"{words}: OpenTelemetry refuses {variable}; correct or unset it" in bad
    assert "http://127.0.0.1:1" not in bad
    assert "CANARY" not in bad
