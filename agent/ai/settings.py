"""Section ``ai`` of the configuration, and the settings of the caller made of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from agent.ai.profiles import PROFILES
from agent.budget.pricing import Price, Pricing
from agent.domain.keys import Key
from agent.prompt.site import ALIASES, NOTHING, SHARES, Site


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSettings:
    """Section ``ai.budget`` of the configuration."""

    hour_usd: Annotated[float, Key("cap on the spend of an hour", ge=0)] = 0.10
    day_usd: Annotated[float, Key("cap on the spend of a day", ge=0)] = 1.00
    month_usd: Annotated[float, Key("cap on the spend of a month", ge=0)] = 20.00
    timezone: Annotated[
        str | None, Key("zone of the periods' midnights, such as Europe/Berlin; default: the system's")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AiSettings:
    """Section ``ai`` of the configuration."""

    base_url: Annotated[str | None, Key("any OpenAI-compatible endpoint; default: OpenAI's")] = None
    model: Annotated[str, Key("model that is asked first", min_length=1, max_length=100)] = "gpt-4o-mini"
    api_key_file: Annotated[
        Path | None,
        Key(
            "file with the key; else the variable `OPENAI_API_KEY`; without both, and without `base_url`,"
            " the local detector works alone",
            file="secret",
        ),
    ] = None
    profile: Annotated[str, Key("what the endpoint understands", one_of=tuple(PROFILES))] = "openai"
    deadline_s: Annotated[float, Key("for a call with all its retries", gt=0, le=86_400)] = 30.0
    concurrency: Annotated[int, Key("calls at once", ge=1, le=16)] = 2
    temperature: Annotated[
        float | None, Key("sampling temperature; `null` leaves it to the endpoint", ge=0, le=2)
    ] = 0.0
    moderation_model: Annotated[
        str | None,
        Key(
            "`omni-moderation-latest`: OpenAI checks prompt and reply too (profile `openai` only)",
            min_length=1,
            max_length=100,
        ),
    ] = None
    safety_categories: Annotated[
        tuple[str, ...] | None,
        Key(
            "moderation categories that are counted, such as `[violence]`; `null`: all",
            min_length=1,
            max_length=64,
            max_items=12,  # more would not fit the label
        ),
    ] = None
    share: Annotated[
        str,
        Key(
            "`names`: device names and `knowledge` are part of prompts and leave the site;"
            " `aliases`: devices are `dev_01`, and `knowledge` stays",
            one_of=SHARES,
        ),
    ] = ALIASES
    plot: Annotated[
        bool,
        Key("with each question a small plot of its readings, for a model that sees; numbers, no names"),
    ] = False
    plot_tokens: Annotated[
        int, Key("the most tokens that the provider counts for one plot; booked for each", ge=1, le=100_000)
    ] = 3000
    device_share: Annotated[
        float, Key("share of the hour's money that one device may use up", gt=0, le=1)
    ] = 0.25
    cache_ttl_s: Annotated[
        float, Key("an answer serves equal windows for this long; 0: no cache", ge=0, le=7 * 86_400)
    ] = 21_600.0
    budget: Annotated[BudgetSettings, Key("caps on the spend")] = BudgetSettings()
    prices: Annotated[
        Mapping[str, Price],
        Key("USD per million tokens; a model without a price costs as much as the dearest one here"),
    ] = field(default_factory=lambda: {"gpt-4o-mini": Price(input=0.15, cached_input=0.075, output=0.60)})
    fallback: Annotated[
        tuple[str, ...], Key("further models of the same endpoint, in order", min_length=1, max_length=100)
    ] = ()


_DEFAULT = AiSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerSettings:
    """One endpoint, its models, and the bounds of a call."""

    agent: str  # the agent's id, the user of a batch of several devices
    model: str
    pricing: Pricing
    provider: str = _DEFAULT.profile
    fallback: tuple[str, ...] = _DEFAULT.fallback
    deadline_s: float = _DEFAULT.deadline_s  # in all, from the question to the outcome
    max_concurrent: int = _DEFAULT.concurrency
    max_input_tokens: int = 4000
    temperature: float | None = _DEFAULT.temperature
    seed: int | None = 7
    server_address: str = ""
    server_port: int = 443
    max_retries: int = 2
    device_share: float = _DEFAULT.device_share
    cache_ttl_s: float = _DEFAULT.cache_ttl_s
    max_cache_bytes: int = 1024 * 1024
    moderation_model: str | None = _DEFAULT.moderation_model
    plot_tokens: int = 0  # that are booked for a plot; 0: none is sent
    site: Site = NOTHING  # names and facts of the prompts
    safety_categories: frozenset[str] | None = None  # moderation categories that count; None: all

    @classmethod
    def of(
        cls, ai: AiSettings, *, agent: str, endpoint: str, max_input_tokens: int, site: Site
    ) -> "CallerSettings":
        """Return the settings of a caller of ``endpoint``, as section ``ai`` describes it."""
        address = urlsplit(endpoint)
        return cls(
            agent=agent,
            model=ai.model,
            fallback=ai.fallback,
            provider=ai.profile,
            pricing=Pricing(ai.prices),
            deadline_s=ai.deadline_s,
            max_concurrent=ai.concurrency,
            max_input_tokens=max_input_tokens,
            temperature=ai.temperature,
            server_address=address.hostname or "",
            server_port=address.port or (443 if address.scheme == "https" else 80),
            device_share=ai.device_share,
            cache_ttl_s=ai.cache_ttl_s,
            site=site,
            plot_tokens=ai.plot_tokens if ai.plot else 0,
            moderation_model=ai.moderation_model,
            safety_categories=None if ai.safety_categories is None else frozenset(ai.safety_categories),
        )

    @property
    def models(self) -> tuple[str, ...]:
        """The models in the order in which they are asked."""
        return tuple(dict.fromkeys((self.model, *self.fallback)))
