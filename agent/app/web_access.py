"""TLS and login of the web port, from their files."""

from typing import TYPE_CHECKING

from agent.config import Config
from agent.config.credentials import read_secret
from agent.observe.redact import Secrets
from agent.web.http import BasicAuth
from agent.web.server import server_tls

if TYPE_CHECKING:
    import ssl


def web_tls(config: Config) -> "ssl.SSLContext | None":
    """Return the web port's TLS context, or None without a certificate.

    Raises:
        WebError: the files are not a certificate and its key.
    """
    web = config.web
    if web.cert_file is None or web.key_file is None:
        return None
    return server_tls(cert_file=web.cert_file, key_file=web.key_file)


def web_auth(config: Config, secrets: Secrets) -> BasicAuth | None:
    """Return the one user of the web port, or None; the password is masked in every log line."""
    web = config.web
    if web.username is None or web.password_file is None:
        return None
    password = read_secret(web.password_file, "web.password_file")
    secrets.add(password)
    return BasicAuth(web.username, password)
