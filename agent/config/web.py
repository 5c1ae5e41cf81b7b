"""The section ``web``: who may look at the agent, and from where."""

from typing import Self

from pydantic import Field, field_validator, model_validator

from agent.config.addresses import is_loopback, split_url
from agent.config.fields import ExistingFile, SecretFile, Section


class WebSection(Section):
    """The local HTTP port."""

    listen: str = "127.0.0.1:8000"
    insecure: bool = False
    quarantine_text: bool = False
    cert_file: ExistingFile = None
    key_file: SecretFile = None
    username: str | None = Field(default=None, min_length=1, max_length=64, pattern=r"^[^:\s]+$")
    password_file: SecretFile = None

    @model_validator(mode="after")
    def _closed_or_said_so(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together; give both or neither")
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and password_file belong together; give both or neither")
        if not is_loopback(self.host) and not self.insecure and not (self.cert_file and self.username):
            raise ValueError(
                f"listen {self.listen} can be reached from outside; use 127.0.0.1, or give cert_file, "
                "key_file, username and password_file, or set web.insecure: true"
            )
        return self

    @field_validator("listen")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        parts = split_url(f"http://{value}")
        if not parts.hostname or parts.port is None or parts.netloc != value or "@" in value:
            raise ValueError("is not host:port; write 127.0.0.1:8000")
        return value

    @property
    def host(self) -> str:
        """Address to bind."""
        return split_url(f"http://{self.listen}").hostname or ""

    @property
    def port(self) -> int:
        """Port to bind; 0 takes a free one."""
        return split_url(f"http://{self.listen}").port or 0
