"""The settings of the caller, made from the configuration."""

from dataclasses import dataclass

from agent.budget.pricing import Pricing


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerSettings:
    """One endpoint, its models, and the bounds of a call."""

    agent: str  # the agent's id, the user of a batch of several devices
    model: str
    pricing: Pricing
    provider: str = "openai"  # name of the profile
    fallback: tuple[str, ...] = ()  # further models of the same endpoint, in order
    deadline_s: float = 30.0  # in all, from the question to the outcome
    max_concurrent: int = 2
    max_input_tokens: int = 4000
    temperature: float | None = 0.0
    seed: int | None = 7
    server_address: str = ""
    server_port: int = 443
    max_retries: int = 2
    device_share: float = 0.25  # of the hour's money that one device may use up
    cache_ttl_s: float = 6 * 3600.0  # 0: no cache
    max_cache_bytes: int = 1024 * 1024
    moderation_model: str | None = None
    safety_categories: frozenset[str] | None = None  # moderation categories that count; None: all

    @property
    def models(self) -> tuple[str, ...]:
        """The models in the order in which they are asked."""
        return tuple(dict.fromkeys((self.model, *self.fallback)))
