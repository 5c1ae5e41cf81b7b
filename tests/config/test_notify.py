"""Section notify: no secret inside the configuration, and each fault in words."""

from datetime import UTC
from pathlib import Path

import pytest

from agent.config import ConfigError, weaknesses
from agent.config.load import load
from agent.sinks.settings import minute_of

MAIL = "type: mail, from: a@x.org, to: [b@x.org]"


def config_of(folder: Path, sink: str, more: str = "") -> Path:
    """Write a configuration with one sink and return its path."""
    path = folder / "agent.yaml"
    path.write_text(f"notify:\n  sinks: [{{{sink}}}]\n{more}")
    for name in ("secret", "url"):
        (folder / name).write_text("https://x.org/secret")
        (folder / name).chmod(0o600)
    return path


@pytest.mark.parametrize(
    "secret",
    [
        "https://hooks.slack.com/services/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",
        "https://discord.com/api/webhooks/112233445566/AbCdEf-GhIjKlMnOpQrStUvWxYzAbCdEfGh",
        "https://api.telegram.org/bot123456:ABC-DEF1234ghIklzyx57W2v1u/sendMessage",
        "https://ha.lan/api/webhook/0123456789abcdef0123456789abcdef",
        "https://user:hunter22secret@x.org/hook",
        "https://x.org/hook?token=hunter22secret",
        "https://x.org/hook#key=hunter22secret",
    ],
)
def test_a_secret_in_an_address_is_refused_and_not_repeated(tmp_path: Path, secret: str) -> None:
    """The remedy is url_file."""
    with pytest.raises(ConfigError) as caught:
        load(config_of(tmp_path, f"type: webhook, url: '{secret}'"), {})
    (problem,) = caught.value.problems
    assert "url_file" in problem
    for part in ("k9Xq2LmZp4Rt7Wv1Yb3Nc5Df", "GhIjKlMnOp", "DEF1234ghIkl", "0123456789abcdef", "hunter22"):
        assert part not in problem


@pytest.mark.parametrize(
    "address",
    [
        "https://node-red.example.org:1880/edge-agent/notices",
        "http://127.0.0.1:8123/api/webhook/edge-agent-gateway",
        "https://alerts.example.org/v2/sites/plant-north-2/incoming",
    ],
)
def test_a_plain_address_is_taken(tmp_path: Path, address: str) -> None:
    """Words, digits and short names pass."""
    config = load(config_of(tmp_path, f"type: webhook, url: '{address}'"), {})
    assert config.notify.sinks[0].label == "webhook"


@pytest.mark.parametrize(
    ("sink", "words"),
    [
        ("type: webhook", "give url or url_file, one of them"),
        ("type: webhook, url: 'https://x.org', url_file: url", "give url or url_file, one of them"),
        ("type: apprise, url: 'json://x.org'", "is not the address of a sink"),
        ("type: apprise, url: 'https://x.org'", "url of Apprise holds a secret"),
        ("type: webhook, url: 'smtp://x.org'", "is not one of webhook"),
        (f"{MAIL}, url: 'https://x.org'", "is not one of mail"),
        ("type: mail, url: 'smtps://x.org', to: [b@x.org]", "mail needs from and to"),
        (f"{MAIL}, url: 'smtps://x.org', username: u", "username and password_file belong together"),
        (f"{MAIL}, url: 'smtps://x.org', topic: t", "topic is of ntfy; remove it"),
        ("type: mail, from: 'a b', to: [b@x.org], url: 'smtps://x.org'", "is not a mail address"),
        ("type: mail, from: a@x.org, to: ['b@x.org>,c@y.org'], url: 'smtps://x.org'", "not a mail address"),
        ("type: ntfy, url: 'https://x.org'", "url has no topic; set topic"),
        ("type: ntfy, url: 'https://x.org', topic: a/b", "is not a topic of ntfy"),
        ("type: webhook, url: 'https://x.org', name: mqtt", "and not mqtt"),
        ("type: webhook, url: 'https://x.org', headers: {Authorization: x}", "holds a key; use token_file"),
        ("type: webhook, url: 'https://x.org', headers: {X-A: 'Bearer abcdefgh1234'}", "holds a key"),
        ("type: webhook, url: 'https://x.org', headers: {Host: x}", "is not a header to be set here"),
        ("type: webhook, url: 'https://x.org', min_severity: high", "'info', 'warning' or 'critical'"),
        ("type: webhook, url: 'https://x.org'}, {type: webhook, url: 'https://y.org'", "two sinks named"),
        ("type: pager, url: 'https://x.org'", "'webhook', 'ntfy', 'mail' or 'apprise'"),
    ],
)
def test_faults_of_a_sink(tmp_path: Path, sink: str, words: str) -> None:
    """One line each."""
    with pytest.raises(ConfigError) as caught:
        load(config_of(tmp_path, sink), {})
    assert words in "\n".join(caught.value.problems)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("quiet: night", "is not a span of the day"),
        ("quiet: '22:00-22:00'", "begins when it ends"),
        ("quiet: '22:00-25:00'", "is not a time of day"),
        ("digest: '7.30'", "is not a time of day"),
        ("page_url: ftp://x", "is not an HTTP address"),
        ("max_per_hour: 0", "notify.max_per_hour"),
    ],
)
def test_faults_of_the_section(tmp_path: Path, key: str, words: str) -> None:
    """One line each."""
    with pytest.raises(ConfigError) as caught:
        load(config_of(tmp_path, "type: webhook, url: 'https://x.org'", f"  {key}\n"), {})
    assert words in "\n".join(caught.value.problems)


def test_times_of_the_day_need_no_quotes(tmp_path: Path) -> None:
    """YAML 1.1 would read 12:30 as 750."""
    path = config_of(tmp_path, "type: webhook, url_file: url", "  quiet: 22:00-7:00\n  digest: 12:30\n")
    rules = load(path, {}).notify.rules(UTC)
    assert (rules.quiet, rules.digest) == ((22 * 60, 7 * 60), 750)
    assert minute_of("00:00") == 0
    with pytest.raises(ValueError, match="24:00"):
        minute_of("24:00")


def test_what_goes_out_unencrypted_is_a_weakness(tmp_path: Path) -> None:
    """Not on this machine."""
    for address, weak in (
        ("http://10.0.0.1/x", True),
        ("http://127.0.0.1/x", False),
        ("https://x.org", False),
    ):
        config = load(config_of(tmp_path, f"type: webhook, url: '{address}'"), {})
        assert any(one.key == "notify.sinks webhook" for one in weaknesses(config, {})) == weak
    config = load(config_of(tmp_path, f"{MAIL}, url: 'smtp://x.org', require_tls: false"), {})
    assert any(one.key == "notify.sinks mail" for one in weaknesses(config, {}))
