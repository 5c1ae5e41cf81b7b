"""The AI service of one agent: caller and ledger, their problems, their status."""

import os
import random
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agent.ai.budget_guard import BudgetState, state_of
from agent.ai.protocols import Recorder
from agent.budget.periods import find_zone
from agent.config import Config, settings
from agent.config.credentials import KEY_VARIABLE, api_key
from agent.config.endpoint import endpoint_of
from agent.domain.model_calls import BudgetWindow, CallRecord, Spend, plotted
from agent.observe.redact import Secrets
from agent.prompt import NAME, Site, hash_of, version_of
from agent.prompt.site import NAMES, facts_of
from agent.status.schema import Ai, Answering, Money
from agent.verdict.encode import iso
from agent.verdict.verdict import clean

if TYPE_CHECKING:
    from agent.ai.caller import Caller
    from agent.budget.ledger import BudgetLedger

MANY_FAILURES = 3  # in a row: no longer chance
MAX_NAMED = 3
_RESUME = "a person has paused it; edge-agent model resume ends that"
_WORDS = {"hard": "spent: verdicts are local until it renews", "soft": "80 % spent: audits stop"}


class AiService:
    """The caller and its ledger, or neither: review ``none``, or no endpoint. Imported when needed."""

    def __init__(self, config: Config, *, secrets: Secrets) -> None:
        self._config = config
        self._secrets = secrets
        self._key = self._find_key(config, environ=os.environ)
        self.endpoint = endpoint_of(config, key=self._key is not None)
        self.ledger: BudgetLedger | None = None
        self.caller: Caller | None = None
        self._calls = 0  # of callers that a reload replaced
        #: Until when a person wants no calls, agent time.
        self.paused_to: Callable[[], float | None] = lambda: None

    @property
    def models(self) -> tuple[str, ...]:
        """The configured models, empty without an endpoint."""
        return () if self.endpoint is None else (self._config.ai.model, *self._config.ai.fallback)

    @property
    def prompt(self) -> tuple[str, str, str] | None:
        """Name, version and hash of the prompt, or None without an endpoint."""
        return None if self.endpoint is None else (NAME, self._version, hash_of(self._site))

    @property
    def _version(self) -> str:
        version = version_of(self._site)
        return plotted(version) if self._config.ai.plot else version

    @property
    def _site(self) -> Site:
        return settings.of_site(self._config)

    def _find_key(self, config: Config, *, environ: MutableMapping[str, str]) -> str | None:
        key = api_key(config, environ)
        self._secrets.add(key)
        return key

    def open(
        self, recorder: Recorder, log: Callable[..., None], transcribe: Callable[[CallRecord], None]
    ) -> None:
        """Open the ledger and make the caller; the SDK is imported at the first call only.

        Raises:
            JournalError: the ledger cannot be opened, in words for a person.
        """
        self._recorder, self._log, self._transcribe = recorder, log, transcribe
        self._advise(self._config)
        if self.endpoint is not None:
            self.ledger = self._open_ledger(self._config)
            self.caller = self._make_caller(self._config, self.endpoint, self._key, self.ledger)

    def reopen(self, config: Config) -> "Caller | None":
        """Take a reloaded configuration; return the replaced caller, whose calls may be under way.

        Key file and SDK settings are read again and the breaker is closed, also when nothing changed.

        Raises:
            AgentError: the key or the ledger cannot be read; nothing was changed.
        """
        kept = {KEY_VARIABLE: self._key} if self._key and self._config.ai.api_key_file is None else {}
        key = self._find_key(config, environ=kept)
        endpoint = endpoint_of(config, key=key is not None)
        if endpoint is not None and self.ledger is None:
            self.ledger = self._open_ledger(config)
        if self.ledger is not None:
            self.ledger.reconfigure(limits_of(config))
        before, self.caller = self.caller, None
        self._config, self._key, self.endpoint = config, key, endpoint
        self._advise(config)
        if endpoint is not None and self.ledger is not None:
            self.caller = self._make_caller(config, endpoint, key, self.ledger)
        self._calls += 0 if before is None else before.stats.calls
        return before

    def _advise(self, config: Config) -> None:
        if self.endpoint is None and config.review.mode != "none":
            self._log(
                "ai_not_configured",
                level="warning",
                remedy="set ai.base_url, ai.api_key_file or OPENAI_API_KEY; until then all is local",
            )
        for fact in facts_of(config.knowledge) if config.ai.share == NAMES else ():
            for rule in fact.suspicions:
                self._recorder.injection_suspected(rule, f"knowledge.{fact.glob}")

    def _open_ledger(self, config: Config) -> "BudgetLedger":
        from agent.budget.ledger import BudgetLedger  # noqa: PLC0415

        return BudgetLedger(
            config.agent.state_dir / "budget.sqlite",
            limits=limits_of(config),
            zone=find_zone(config.ai.budget.timezone),
            wall=time.time,
            mono=time.monotonic,
            log=self._log,
        )

    def _make_caller(
        self, config: Config, endpoint: str, key: str | None, ledger: "BudgetLedger"
    ) -> "Caller":
        from agent.ai.caller import Caller  # noqa: PLC0415 - 1 MiB
        from agent.ai.openai_chat import OpenAIChat  # noqa: PLC0415
        from agent.ai.settings import CallerSettings  # noqa: PLC0415

        transport = OpenAIChat(base_url=endpoint, api_key=key)
        return Caller(
            settings=CallerSettings.of(
                config.ai,
                agent=config.name,
                endpoint=endpoint,
                max_input_tokens=config.review.batch.max_input_tokens,
                site=settings.of_site(config),
            ),
            transport=transport,
            load=transport.load,
            ledger=ledger,
            recorder=self._recorder,
            clock=time.monotonic,
            rng=random.SystemRandom(),
            transcribe=self._transcribe,
        )

    # ----------------------------------------------------------------------------------- its state

    def audits_allowed(self) -> bool:
        """Return whether calm windows may be audited: not from 80 % of a budget on, nor above their share."""
        return self.caller is not None and self.caller.audits_allowed()

    def spend(self) -> Mapping[str, tuple[float, float, float]]:
        """Return limit, spent and reserved of each period, USD."""
        return {window: (one.limit, one.spent, one.reserved) for window, one in self._spend().items()}

    def _spend(self) -> Mapping[BudgetWindow, Spend]:
        return {} if self.ledger is None else self.ledger.spend()

    def problems(self) -> list[str]:
        """Return the problems of the model and the budget, in sentences."""
        found = [
            f"The {window} budget of {one.limit:.2f} USD is {_WORDS[state]}."
            for window, one in self._spend().items()
            if (state := self._state(window, one)) != "ok"
        ]
        return found if self.caller is None else found + _model_problems(self.caller)

    def notes(self) -> list[str]:
        """Return a pause, refused plots, and which devices have used up their share, in sentences."""
        until = self.paused_to()
        found = [] if until is None else [f"The model is not asked until {iso(until)}: {_RESUME}."]
        blind = [] if self.caller is None else self.caller.blind_models()
        found += [f"The endpoint refused plots for {clean(model)}: it is asked without." for model in blind]
        spent = [] if self.caller is None else self.caller.spent_devices()
        if not spent:
            return found
        more = f" and {len(spent) - MAX_NAMED} more" if len(spent) > MAX_NAMED else ""
        named = ", ".join(clean(device)[:60] for device in spent[:MAX_NAMED])
        text = (
            f"{named}{more}: used up the share of the hour's money for one device"
            f" ({self._config.ai.device_share:.0%}), so that others keep theirs; judged locally meanwhile."
            " Look at the device's messages, or raise ai.device_share."
        )
        return [*found, text]

    def _state(self, window: BudgetWindow, one: Spend) -> BudgetState:
        """Return the caller's state, to which a remainder too small for a call is nothing."""
        return state_of(one) if self.caller is None else self.caller.budget_state(window)

    def _money(self, window: BudgetWindow, one: Spend | None) -> Money:
        if one is None:
            return {"limit_usd": 0.0, "spent_usd": 0.0, "reserved_usd": 0.0, "state": "ok"}
        return {
            "limit_usd": one.limit,
            "spent_usd": round(one.spent, 9),
            "reserved_usd": round(one.reserved, 9),
            "state": self._state(window, one),
        }

    def status(self) -> Ai:
        """Return the model's part of the status object."""
        config, caller = self._config, self.caller
        spend, until = self._spend(), self.paused_to()
        hour, day, month = (self._money(window, spend.get(window)) for window in BudgetWindow)
        return {
            "mode": config.review.mode,
            "endpoint": None if self.endpoint is None else urlsplit(self.endpoint).hostname,
            "model": None if caller is None else config.ai.model,
            "provider": None if caller is None else config.ai.profile,
            "prompt_version": None if caller is None else self._version,
            "breaker": "closed" if caller is None else caller.breaker.value,
            "in_flight": 0 if caller is None else caller.in_flight,
            "calls": self._calls + (0 if caller is None else caller.stats.calls),
            "answering": _answering(caller),
            "budget": {"hour": hour, "day": day, "month": month},
            "last_error": None if caller is None else caller.stats.last_error or None,
            "paused_until": None if until is None else iso(until),
        }


def _answering(caller: "Caller | None") -> Answering:
    """Return whether the model answers; that of a model without calls is unknown."""
    if caller is None:
        return "not_asked"
    stats = caller.stats
    if stats.failed_in_a_row and not stats.succeeded:
        return "never"
    if stats.failed_in_a_row >= MANY_FAILURES:
        return "failing"
    return "yes" if stats.succeeded else "not_asked"


def _model_problems(caller: "Caller") -> list[str]:
    """Return the problems of the model."""
    stats, breaker = caller.stats, caller.breaker
    paused = "" if breaker == "closed" else f" It is not being asked now (circuit breaker {breaker})."
    failed, last = stats.failed_in_a_row, stats.last_failure or stats.last_error or "no answer"
    match _answering(caller):
        case "never":
            calls = f"{failed} call{'s' * (failed != 1)} failed, none succeeded"
            return [f"The model has never answered: {last} ({calls}).{paused}"]
        case "failing":
            return [f"The last {failed} calls of the model failed: {last}.{paused}"]
    found = [
        f"The model {model} has never answered: {stats.failures[model]} ({count} calls failed); another one"
        " answers in its place."
        for model, count in stats.silent.items()
        if count >= MANY_FAILURES
    ]
    return [*found, f"The model is not being asked (circuit breaker {breaker}): {last}."] if paused else found


def limits_of(config: Config) -> Mapping[BudgetWindow, float]:
    """Return the caps on spend, USD."""
    budget = config.ai.budget
    return {
        BudgetWindow.HOUR: budget.hour_usd,
        BudgetWindow.DAY: budget.day_usd,
        BudgetWindow.MONTH: budget.month_usd,
    }
