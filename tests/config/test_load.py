"""Every default, every check, and one clear line for each fault."""

import contextlib
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from agent.config import Config, ConfigError, load_again, load_apart
from agent.config.load import load

REPO = Path(__file__).parents[2]


def complaints(folder: Path, text: str, environ: dict[str, str] | None = None) -> tuple[str, ...]:
    path = folder / "agent.yaml"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {})
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("agnt: {}", "agnt: unknown key; did you mean 'agent'?"),
        ("review: {widow: {}}", "review.widow: unknown key; did you mean 'window'?"),
        ("journal: {zzz: 1}", "journal.zzz: unknown key; remove it, or use one of: commit_ms"),
        ("journal: 5", "journal: 5 is not a mapping; write keys below it, or {}"),
        ("- 1", "is not a mapping of sections; see configs/agent.yaml"),
        ("x: [", "not valid YAML in line 1, column 5"),
        ("a: 1\na: 2", "a: duplicate key in line 2; keep one of them"),
        ("x: &a 1\ny: *a", "line 2: YAML aliases (*name) are refused; write the value out"),
        (
            "review: {window: {max_age_s: 60s}}",
            "review.window.max_age_s: '60s': input should be a valid number",
        ),
        ("review: {window: {max_age_s: 60s}}", "give a number of seconds, without a unit"),
        ("journal: {commit_ms: true}", "journal.commit_ms: True: is true or false, not a number"),
        (
            "review: {mode: sometimes}",
            "review.mode: 'sometimes': input should be 'suspicious', 'all' or 'none'",
        ),
        ("sources: [{topic: a, format: zigbe2mqtt}]", "did you mean 'zigbee2mqtt'?"),
        ("sources: [{topic: a, format: RTL-433}]", "did you mean 'rtl_433'?"),
        (
            "ai: {budget: {hour_usd: -1}}",
            "ai.budget.hour_usd: -1: input should be greater than or equal to 0",
        ),
        ("ai: {budget: {day_usd: .nan}}", "ai.budget.day_usd: nan: input should be a finite number"),
        ("ai: {prices: {m: {input: 150000, output: 1}}}", "ai.prices.m.input: 150000"),
        ("ai: {prices: {m: {input: 150000, output: 1}}}", "give US dollars per million tokens, 0 to 1000"),
        ("ai: {prices: {}}", "price at least one model"),
        ("ai: {device_share: 0}", "ai.device_share: 0: input should be greater than 0"),
        (f"ai: {{safety_categories: {[f'c{n}' for n in range(13)]}}}", "ai.safety_categories"),
        (
            "ai: {base_url: 'http://example.com/v1'}",
            "is not encrypted and not on this machine; write https://",
        ),
        ("ai: {base_url: 'ftp://example.com/v1'}", "is not an HTTP address"),
        ("agent: {id: 'a/b'}", "agent.id: 'a/b': is part of topics and ids"),
        ("mqtt: {url: 'http://x'}", "mqtt.url: 'http://x': is not a broker address; write mqtt://host:1883"),
        ("mqtt: {url: 'mqtt://h:99999'}", "mqtt.url: 'mqtt://h:99999': is not an address"),
        ("mqtt: {url: 'mqtt://u:hunter2@h'}", "mqtt.url: 'mqtt://***@h': holds a user or a password"),
        ("mqtt: {url: 'mqtt:u:hunter2@h'}", "mqtt.url: '***@h': is not a broker address"),
        ("mqtt: {url: 'mqtt://u:hun/hunter2@h'}", "mqtt.url: 'mqtt://***@h': is not an address"),
        ("mqtt: {require_tls: true}", "require_tls is true and url is not encrypted; write url: mqtts://..."),
        ("ai: {base_url: 'https://u:hunter2@h/v1'}", "holds a user or a password; use ai.api_key_file"),
        ("ai: {base_url: 'https://@h/v1'}", "holds a user or a password; use ai.api_key_file"),
        ("ai: {base_url: 'https://h/v1?api-key=hunter2'}", "'https://h/v1?***': holds a key; use ai.api_key"),
        ("ai: {base_url: 'https://h/v1#token=hunter2'}", "'https://h/v1#***': holds a key; use ai.api_key"),
        ("traces: {endpoint: 'http://u:hunter2@h:4318'}", "use the variable OTEL_EXPORTER_OTLP_HEADERS"),
        ("traces: {endpoint: 'http://h:4318/?key=hunter2'}", "use the variable OTEL_EXPORTER_OTLP_HEADERS"),
        ("web: {listen: 'u:hunter2@127.0.0.1:80'}", "web.listen: '***@127.0.0.1:80': is not host:port"),
        ("mqtt: {base_topic: http/gw}", "mqtt.base_topic: 'http/gw': begins with http/, where readings are"),
        ("mqtt: {base_topic: 'a/#'}", "mqtt.base_topic: 'a/#': is not a plain topic"),
        ("mqtt: {ca_file: nope.pem, url: 'mqtts://h'}", "mqtt.ca_file: 'nope.pem': no such file"),
        ("mqtt: {password_file: agent.yaml}", "password_file needs username; add mqtt.username"),
        ("sources: []", "sources: []: is empty, so nothing would be read"),
        ("sources: [{topc: x}]", "sources[0].topc: unknown key; did you mean 'topic'?"),
        ("sources: [{topic: 'a/#/b'}]", "sources[0].topic: 'a/#/b'"),
        ("sources: [{topic: 'a/{d}', device: '{x}'}]", "device '{x}' names {x}, but its topic has {d}"),
        ("sources: [{topic: 'a/{d}', device: '{$.a}{d}'}]", "two parts without text between them; write /"),
        ("sources: [{topic: 'a/{d}', device: '{$.a[0]}'}]", "has {$.a[0]}, which is not a path of keys"),
        ("sources: [{topic: 'a/{d}', device: 'a{b'}]", "has a brace without its partner"),
        ("sources: [{topic: 'a/{d}', exclude: ['a/#/b']}]", "sources[0].exclude: ['a/#/b']: 'a/#/b' has"),
        ("sources: [{topic: 'a/{d}', time: {zone: Mars}}]", "sources[0].time.zone: 'Mars': is not a time"),
        ("sources: [{topic: 'a/{d}', time: {field: ts}}]", "sources[0].time.field: 'ts': is not a path"),
        ("sources: [{topic: 'a/{d}', metrics: {excludes: [a]}}]", "did you mean 'exclude'?"),
        ("sources: [{topic: 'a/{d}', metrics: {rename: {a: x, b: x}}}]", "gives two metrics the name 'x'"),
        ("sources: [{topic: 'a/{d}', metrics: {values: {open: yes}}}]", "sources[0].metrics.values.open"),
        ("sources: [{topic: 'a/{d}', metrics: {ignore_values: {'*': 85}}}]", "is not a list; write [...]"),
        ("sources: [{topic: 'a/{d}', decimal: dot}]", "sources[0].decimal: 'dot'"),
        ("sources: [{topic: x, qos: 2}]", "sources[0].qos: 2: input should be 0 or 1"),
        (
            "web: {listen: '0.0.0.0:80'}",
            "can be reached from outside; use 127.0.0.1, or give cert_file",
        ),
        ("web: {listen: 'abc'}", "web.listen: 'abc': is not host:port"),
        ("limits: {temp: {low: 1}}", "'temp' is not device/metric; write for example '*/temperature'"),
        ("limits: {'[abc/x': {low: 1}}", "limits: '[abc/x' opens a bracket that is not closed; write [0-9]"),
        ("limits: {'a[]/x': {low: 1}}", "'a[]/x' opens a bracket that is not closed"),
        ("limits: {'[!]/x': {low: 1}}", "'[!]/x' opens a bracket that is not closed"),
        ("limits: {'[a-c]x[9-0]/x': {low: 1}}", "'[a-c]x[9-0]/x' holds the empty range '[9-0]'"),
        ("tuning: [{match: 'a/x['}]", "tuning[0].match: 'a/x[': 'a/x[' opens a bracket that is not closed"),
        ("knowledge: {'f[1': b}", "'f[1' opens a bracket that is not closed"),
        ("sources: [{topic: 'a/{d}', metrics: {units: {'a[': m}}}]", "'a[' opens a bracket"),
        ("sources: [{topic: 'a/{d}', metrics: {exclude: ['b[']}}]", "'b[' opens a bracket"),
        ("limits: {'a/b': {low: 3, high: 1}}", "low 3.0 is not below high 1.0"),
        ("ai: {share: everything}", "ai.share: 'everything': input should be 'aliases' or 'names'"),
        (f"knowledge: {{a: '{'word ' * 401}'}}", "'a' has 401 words; write 1 to 400"),
        ("knowledge: {a: ' '}", "'a' has 0 words; write 1 to 400"),
        ("knowledge: {'': b}", "'' is not a device glob; write for example 'freezer/*'"),
        (f"knowledge: {{a: '{'x' * 4001}'}}", "should have at most 4000 characters"),
        (f"knowledge: {{{', '.join(f'a{n}: b' for n in range(201))}}}", "has 201 entries; write at most 200"),
        ("knowledge: [a]", "knowledge: ['a'] is not a mapping"),
        ("limits: {'a/b': {}}", "has neither low nor high; give at least one"),
        ("traces: {endpoint: 'localhost:4318'}", "traces.endpoint: 'localhost:4318': is not an HTTP address"),
        ("traces: {sample_ratio: 2}", "traces.sample_ratio"),
        ("traces: {content: sometimes}", "traces.content: 'sometimes': input should be a valid boolean"),
        ("journal: {prune: 2}", "journal.prune: 2: input should be a valid boolean"),
        ("journal: {commit_ms: 1.5}", "input should be a valid integer, got a number with a fractional part"),
        ("journal: {commit_ms: []}", "journal.commit_ms: []: input should be a valid integer; give a number"),
        ("journal: {commit_ms: 0}", "journal.commit_ms: 0: input should be greater than or equal to 1"),
        ("journal: {max_mib: 2000000}", "max_mib: 2000000: input should be less than or equal to 1048576"),
        ("journal: {keep_days: .inf}", "journal.keep_days: inf: input should be a finite number"),
        ("sources: [{topic: ''}]", "sources[0].topic: ''"),
        ("sources: {topic: x}", "sources: {'topic': 'x'} is not a list"),
        ("ai: {model: 5}", "ai.model: 5 is read as a number; put the text in quotes"),
        ("agent: {state_dir: 5}", 'agent.state_dir: 5 is not a path; write it in quotes, as "/some/folder"'),
        ("limits: {'a/b': 5}", "limits.a/b: 5 is not a mapping"),
        ("limits: {'a/b': {high: x}, 'c/d': 1}", "limits.c/d: 1 is not a mapping"),
        ("otel: {logs: true}", "otel: has no endpoint; write endpoint: http://127.0.0.1:4318, or no metrics"),
        ("otel: {endpoint: 'h:4318'}", "otel.endpoint: 'h:4318': is not an HTTP address"),
        ("otel: {endpoint: 'http://h:4318/v1/logs'}", "is the address of one signal; leave out /v1/..."),
        ("otel: {endpoint: 'http://u:hunter2@h:4318'}", "use otel.headers_file"),
        ("otel: {interval_s: 1}", "otel.interval_s: 1: input should be greater than or equal to 5"),
        ("otel: [metrics]", "otel: ['metrics'] is not a mapping"),
    ],
)
def test_each_fault_is_one_line_with_key_value_and_remedy(tmp_path: Path, text: str, line: str) -> None:
    """A person reads what is wrong, where, and what to write instead."""
    found = complaints(tmp_path, text)
    assert any(line in problem for problem in found), found
    assert all("\n" not in problem and len(problem) < 500 for problem in found)
    assert not any("hunter2" in problem for problem in found)


@pytest.mark.process
def test_the_child_hands_back_the_same_configuration() -> None:
    """The agent's copy, read without pydantic in the agent, is equal, frozen, and has the same errors."""
    shipped = REPO / "configs" / "agent.yaml"
    config = load_apart(shipped)
    assert config == load(shipped) == load_again(shipped)
    assert type(config) is Config
    with pytest.raises(FrozenInstanceError):
        config.agent.id = "other"  # type: ignore[misc]  # the type checker refuses it as well
    with pytest.raises(ConfigError, match="cannot be read"):
        load_apart(REPO / "configs" / "nope.yaml")


def test_missing_file_is_named(tmp_path: Path) -> None:
    """A missing configuration is reported with its path."""
    with pytest.raises(ConfigError, match=r"nope\.yaml: cannot be read: No such file or directory"):
        load(tmp_path / "nope.yaml", {})


def test_oversized_file_is_refused(tmp_path: Path) -> None:
    """A configuration above 256 KiB is not a configuration."""
    assert "larger than 256 KiB" in complaints(tmp_path, "#" * 300_000)[0]


def test_world_readable_secrets_are_refused(tmp_path: Path) -> None:
    """A key that every user can read is not a secret; the line names the remedy."""
    key = tmp_path / "ai.key"
    key.write_text("sk-test")
    key.chmod(0o644)
    assert "run: chmod o-rwx" in complaints(tmp_path, "ai: {api_key_file: ai.key}")[0]
    key.chmod(0o640)
    (tmp_path / "agent.yaml").write_text("ai: {api_key_file: ai.key}")
    assert load(tmp_path / "agent.yaml", {}).ai.api_key_file == key


def test_files_are_sought_in_the_credentials_folder_first(tmp_path: Path) -> None:
    """The service manager's credentials win over the files in the configuration's folder."""
    credentials = tmp_path / "credentials"
    credentials.mkdir(mode=0o700)
    for folder in (tmp_path, credentials):
        (folder / "ai.key").write_text("x")
        (folder / "ai.key").chmod(0o600)
    (tmp_path / "agent.yaml").write_text("ai: {api_key_file: ai.key}")
    config = load(tmp_path / "agent.yaml", {"CREDENTIALS_DIRECTORY": str(credentials)})
    assert config.ai.api_key_file == credentials / "ai.key"


def test_environment_lies_over_the_file(tmp_path: Path) -> None:
    """EDGE_AGENT_<SECTION>__<KEY> wins, deeper keys with more underscores, values are YAML."""
    (tmp_path / "agent.yaml").write_text("mqtt: {url: 'mqtt://a:1'}\nreview:\n")
    environ = {
        "EDGE_AGENT_MQTT__URL": "mqtt://b:2",
        "EDGE_AGENT_REVIEW__WINDOW__MAX_AGE_S": "5",
        "EDGE_AGENT_PORT": "ignored: no section has that name",
        "EDGE_AGENT_SOURCES__": "x",
        "HOME": "/",
    }
    del environ["EDGE_AGENT_SOURCES__"]
    config = load(tmp_path / "agent.yaml", environ)
    assert (config.mqtt.port, config.review.window.max_age_s) == (2, 5)
    assert complaints(tmp_path, "", {"EDGE_AGENT_MQTT__ULR": "x"}) == (
        "mqtt.ulr: unknown key; did you mean 'url'? (set by the variable EDGE_AGENT_MQTT__ULR)",
    )
    assert complaints(tmp_path, "", {"EDGE_AGENT_MQTT_URL": "mqtt://b"}) == (
        "EDGE_AGENT_MQTT_URL: unknown variable; write EDGE_AGENT_MQTT__URL, with two _, or unset it",
    )
    assert complaints(tmp_path, "", {"EDGE_AGENT_AI": "{model: x}"}) == (
        "EDGE_AGENT_AI: names a whole section; set its keys one by one, as EDGE_AGENT_AI__KEY, or unset it",
    )
    for name in ("EDGE_AGENT_SOURCES", "EDGE_AGENT_LIMITS", "EDGE_AGENT_SOURCES__0__TOPIC"):
        (line,) = complaints(tmp_path, "", {name: "[{topic: a/b}]"})
        assert line.endswith(" is set in the file alone; write it there, and unset this variable")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "sources: {topic: a}",
            "sources: {'topic': 'a'} is not a list; write [...], or lines that begin with -",
        ),
        ("agent: {state_dir: 7}", 'agent.state_dir: 7 is not a path; write it in quotes, as "/some/folder"'),
        ("limits: {'*/t': {low: x}}", "the default is null"),
        ("ai: {budget: {timezone: Mars/Base}}", "'Mars/Base': is not a time zone of this machine"),
        ("ai: {budget: {timezone: ../etc}}", "'../etc': is not a time zone of this machine"),
        ("ai: {budget: {timezone: Europe}}", "'Europe': is not a time zone of this machine"),
    ],
)
def test_wrong_kinds_are_told_in_the_users_words(tmp_path: Path, text: str, words: str) -> None:
    """No name of a Python class, and what the run would stumble over is found by the check."""
    (line,) = complaints(tmp_path, text)
    assert words in line


@given(st.binary(max_size=300))
def test_any_bytes_are_a_configuration_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    """No file, however broken, ends in a traceback."""
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_bytes(raw)
    with contextlib.suppress(ConfigError):
        load(path, {})
