"""Secrets, read from files and from the environment and removed from it."""

import os
import re
from collections.abc import Callable, MutableMapping
from pathlib import Path

from agent.config.errors import ConfigError
from agent.config.sections import Config
from agent.observe.redact import Secrets

KEY_VARIABLE = "OPENAI_API_KEY"
MAX_SECRET = 16_384
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def api_key(config: Config, environ: MutableMapping[str, str] | None = None) -> str | None:
    """Return the model's key, from the file before the environment; the variable is removed once read.

    Raises:
        ConfigError: it cannot be read, or an HTTP header cannot carry it.
    """
    environ = os.environ if environ is None else environ
    from_environment = environ.pop(KEY_VARIABLE, "").strip()
    path = config.ai.api_key_file
    if path is not None:
        return _key(read_secret(path, "ai.api_key_file"), f"ai.api_key_file: {path}")
    return _key(from_environment, KEY_VARIABLE) if from_environment else None


def _key(text: str, where: str) -> str:
    """Return a key that an HTTP header can carry."""
    if text.isascii() and text.isprintable() and " " not in text:
        return text
    raise ConfigError([f"{where} holds blanks, line ends or letters that no key has; write the key alone"])


def password_reader(path: Path | None) -> Callable[[], str | None]:
    """Return a function that reads the broker's password again at each connect."""
    return lambda: read_secret(path, "mqtt.password_file") if path is not None else None


def read_for(secrets: Secrets | None) -> Callable[[Path, str], str]:
    """Return a reader of secret files, which masks what it has read in every log line."""

    def read(path: Path, key: str) -> str:
        text = read_secret(path, key)
        if secrets is not None:
            secrets.add(text)
        return text

    return read


def push_headers(config: Config, secrets: Secrets) -> dict[str, str]:
    """Return the headers for the collector of metrics and log lines; their values are masked.

    Raises:
        ConfigError: the file cannot be read, or has another form.
    """
    path, headers = config.otel.headers_file, {}
    lines = [] if path is None else read_secret(path, "otel.headers_file").splitlines()
    for number, line in enumerate(lines, 1):
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not (colon and value and value.isascii() and value.isprintable() and _HEADER_NAME.fullmatch(name)):
            raise ConfigError(
                [f"otel.headers_file: {path}:{number} is not a header; write name: value, one a line"]
            )
        secrets.add(value)
        secrets.add(value.rpartition(" ")[2])  # without the scheme of an Authorization
        headers[name] = value
    return headers


def read_secret(path: Path, key: str) -> str:
    """Return a secret file's text without the line end.

    Raises:
        ConfigError: it cannot be read, is empty or is not text.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_SECRET + 1).decode().strip()
    except OSError as error:
        raise ConfigError(
            [f"{key}: {path} cannot be read: {error.strerror}; correct its owner or mode"]
        ) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{key}: {path} is not text; write the secret alone into it"]) from None
    if not text or len(text) > MAX_SECRET:
        raise ConfigError([f"{key}: {path} is empty or too long; write the secret alone into it"])
    return text
