import base64
import json
import string
import time
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, strategies as st

from agent.observe.redact import MASK, Secrets, content, describe

SECRET_KEYS = [
    "password", "api_key", "apikey", "Authorization", "token", "access_token", "mqtt.password",
    "client_secret", "cookie", "private_key", "credentials", "accessToken", "X-Api-Key", "'token'",
    "Set-Cookie", "wifi_psk", "passwords", "x" * 80 + "_token",
]  # fmt: skip
OPEN_KEYS = ["input_tokens", "total_tokens", "max_tokens", "prompt_version", "keepalive_s", "tokens"]

secret_text = st.text(string.ascii_letters + string.digits + '+/=-_."\\ü%', min_size=4, max_size=40).map(
    str.strip
)
any_text = st.text(max_size=60)


@pytest.mark.parametrize("key", SECRET_KEYS)
@pytest.mark.parametrize(
    "wrap", [lambda key: {key: "q"}, lambda key: [{"a": {key: "q"}}], lambda key: {"b": ({key: 1},)}]
)
def test_values_of_secret_keys_are_masked(key: str, wrap: Any) -> None:
    """The value under a secret's name is masked at every depth, whatever its type."""
    assert MASK in json.dumps(Secrets().tidy("field", wrap(key)))
    assert '"q"' not in json.dumps(Secrets().tidy("field", wrap(key)))
    assert Secrets().tidy(key, "q") == MASK


@pytest.mark.parametrize("key", OPEN_KEYS)
def test_names_that_only_look_secret_are_shown(key: str) -> None:
    """Token counts and the like are not secrets."""
    assert Secrets().tidy(key, 812) == 812


@given(secret=secret_text.filter(lambda text: len(text) >= 4), before=any_text, after=any_text)
def test_a_secret_is_in_no_text(secret: str, before: str, after: str) -> None:
    """A registered value is in no string, list or key that passed, plain or encoded, cut or whole."""
    secrets = Secrets()
    secrets.add(secret)
    encoded = base64.b64encode(secret.encode()).decode()
    for form in (secret, encoded, quote(secret, safe="")):
        if form in MASK:
            continue
        text = f"{before}{form}{after}"
        assert form not in secrets.one_line(text).replace(MASK, "")
        shown = json.dumps(secrets.tidy("k", {"a": [text, {text: text}]}), ensure_ascii=False)
        assert json.dumps(form, ensure_ascii=False)[1:-1] not in shown.replace(MASK, "")


def test_a_cut_does_not_leave_half_a_secret() -> None:
    """The text is cut after the masking, so a secret across the limit is not shown in part."""
    secrets = Secrets()
    secrets.add("hunter2hunter2")
    for place in (505, 4_600, 4_605, 4_607, 5_000):
        assert "hunter" not in secrets.one_line("x" * place + "hunter2hunter2" + "y" * 5_000)
        masked = "sk-abcdefghijkl " * (place // 16)
        assert "hunter" not in secrets.one_line(masked + "x" * (place % 16) + "hunter2hunter2" * 400)


@pytest.mark.parametrize(
    "text",
    [
        "key sk-proj-abcdefghijklmnop1234 refused",
        "Authorization: Bearer abcdefghijklmnop",
        "mqtt://user:pa55@broker",
        "-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----",
        "https://user:pa55@host/v1?token=pa55&x=1",
        "GET /v1?api_key=pa55",
        "token=pa55",
        '{"password": "pa55 pa55", "n": 1}',
        '{\\"password\\": \\"pa55 pa55\\", \\"n\\": 1}',
        "Config(user='u', password='pa55 pa55')",
        "{'Authorization': 'Basic abcdefgh'}",
        "password: pa55",
    ],
)
def test_what_has_the_shape_of_a_key_is_masked(text: str) -> None:
    """Keys that nobody registered are masked by their shape."""
    shown = Secrets().one_line(text)
    assert MASK in shown
    for part in ("abcdefgh", "pa55", "MIIabc"):
        assert part not in shown


nested = st.recursive(
    st.sampled_from(SECRET_KEYS).flatmap(
        lambda key: st.sampled_from(
            [
                {key: "pa55"},
                {key: ["pa55"]},
                [(key, "pa55")],
                {key.title(): {"a": ("pa55",)}},
                OSError(f"cannot open x: {key}=pa55"),
                f'POST {{"{key}": "pa55 pa55"}}',
                f"mqtt://u:{key}-pa55@broker",
            ]
        )
    ),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "headers"]), inner, min_size=1)
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
)


@given(nested)
def test_no_nesting_hides_a_secret(value: Any) -> None:
    """A value with a secret's name is masked in mappings, lists, pairs, exceptions, texts, however deep."""
    assert "pa55" not in json.dumps(Secrets().tidy("field", value))


@pytest.mark.parametrize("text", ["tokens: 812", "12 tokens: fine", "max_tokens=60", "at 12:03:04", "a=b"])
def test_plain_pairs_are_shown(text: str) -> None:
    """Counts, times and other pairs stay."""
    assert Secrets().one_line(text) == text


@given(st.text(max_size=300))
def test_no_control_character_passes(text: str) -> None:
    """C0, C1, bidirectional, zero-width and surrogate characters are out, and the length is bounded."""
    shown = Secrets().one_line(text, 100)
    assert len(shown) <= 100
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in shown)
    assert not set(shown) & set("\u2028\u2029\u202e\u200b\u2066\ufeff")
    shown.encode("utf-8")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | any_text | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(any_text, inner),
        max_leaves=20,
    )
)
def test_anything_becomes_plain_json(value: Any) -> None:
    """Whatever is logged comes out as valid, finite JSON."""
    json.dumps(Secrets().tidy("k", value), allow_nan=False).encode()


def test_an_object_that_cannot_be_shown_is_named() -> None:
    """A foreign object whose text raises is named by its type."""

    class Rude:
        def __str__(self) -> str:
            raise ValueError

    assert Secrets().tidy("k", Rude()) == "<Rude>"
    assert Secrets().tidy("k", b"canary") == "<6 bytes>"


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("none", None),
        ("hash", "sha256:df6c7acaaf26a75f length:44"),
        ("redacted", "ask [redacted] about pump with [redacted] now"),
        ("full", "ask a@b.example about pump with [redacted] now"),
    ],
)
def test_content_modes(mode: str, expected: str | None) -> None:
    """Of prompts and replies nothing, a hash, a masked text or the text is shown; a secret never."""
    secrets = Secrets()
    secrets.add("hunter2")
    shown = content("ask a@b.example about pump with hunter2 now", mode, secrets)
    if mode == "hash":
        assert shown is not None
        assert shown.startswith("sha256:")
        assert shown.endswith("length:43")
        assert len(shown) == len("sha256:0123456789abcdef length:43")
    else:
        assert shown == expected


def test_messages_that_may_repeat_input_are_not_shown() -> None:
    """A ValueError often repeats what it was given, so it is shown by its type alone."""
    assert describe(ValueError("could not convert 'canary'")) == "ValueError"
    assert describe(OSError(2, "No such file")) == "FileNotFoundError: [Errno 2] No such file"
    assert describe(ValueError("canary"), show_message=True) == "ValueError: canary"


def _forms(secret: str) -> list[str]:
    """Return the texts in which an endpoint or a library could repeat a secret."""
    escaped = json.dumps(secret)[1:-1]
    return [
        escaped,
        json.dumps(escaped)[1:-1],
        escaped.replace("/", "\\/"),
        json.dumps(secret, ensure_ascii=False)[1:-1],
        "".join(f"\\u{ord(char):04x}" for char in secret) if secret.isascii() else secret,
        quote(secret),
        quote(secret, safe="").lower() if secret.islower() else quote_plus(secret),
        base64.urlsafe_b64encode(secret.encode()).decode(),
        secret.encode().hex(),
    ]


@given(secret=secret_text.filter(lambda text: len(text) >= 8), before=any_text, after=any_text)
def test_a_secret_is_found_however_it_is_encoded(secret: str, before: str, after: str) -> None:
    """JSON escapes (once, twice, by code points), percent signs, base64 and hex."""
    secrets = Secrets()
    secrets.add(secret)
    for form in _forms(secret):
        shown = secrets.one_line(f"{before}{form}{after}")
        assert form in MASK or form not in shown.replace(MASK, "")


@given(secret=st.binary(min_size=9, max_size=40).map(lambda raw: raw.hex()), user=any_text, after=any_text)
def test_a_secret_is_found_inside_longer_base64(secret: str, user: str, after: str) -> None:
    """A password is in the header of basic authentication behind a user's name."""
    secrets = Secrets()
    secrets.add(secret)
    text = base64.b64encode(f"{user}:{secret}{after}".encode()).decode()
    shown = secrets.one_line(text)
    begin = len(f"{user}:".encode())
    inside = text[begin * 4 // 3 + 2 : (begin + len(secret)) * 4 // 3 - 2]
    assert MASK in shown
    assert inside not in shown


def test_a_keys_forms_cost_in_proportion_to_the_text() -> None:
    """Ten times the text takes at most about ten times as long, whatever it is made of."""
    secrets = Secrets()
    secrets.add('sk-"ab/ü' * 8)
    for piece in ('sk-"ab/ü' * 7, "\\u0073", "c2st", "%73", "a" * 64):
        short, long = (piece * (size // len(piece)) for size in (20_000, 200_000))
        assert _cpu_s(secrets, long) < 30 * max(_cpu_s(secrets, short), 0.0005)


def _cpu_s(secrets: Secrets, text: str) -> float:
    """Return the thread time of the quickest of three."""
    times = []
    for _ in range(3):
        started = time.thread_time()
        secrets.mask(text)
        times.append(time.thread_time() - started)
    return min(times)
