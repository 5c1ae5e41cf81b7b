"""The cost of calls. Pure.

Money is an integer of nano-USD; a price is USD per million tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from agent.domain.keys import Key
from agent.domain.model_calls import Usage

NANO = 1_000_000_000
MAX_USD_PER_MTOK = 1000
_PICO_PER_TOKEN = 1_000_000  # of 1 USD per million tokens
_PICO_PER_NANO = 1000


@dataclass(frozen=True, slots=True)
class Price:
    """One entry of ``ai.prices`` in the configuration: USD per million tokens."""

    input: Annotated[float, Key("USD per million tokens sent", ge=0, le=MAX_USD_PER_MTOK)]
    output: Annotated[float, Key("USD per million tokens received", ge=0, le=MAX_USD_PER_MTOK)]
    cached_input: Annotated[
        float | None,
        Key(
            "USD per million tokens that the provider has cached; default: as `input`",
            ge=0,
            le=MAX_USD_PER_MTOK,
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Pricing:
    """The configured prices. A model without one costs as much as the dearest."""

    prices: Mapping[str, Price]

    def knows(self, model: str) -> bool:
        """Return whether ``model`` has a price of its own."""
        return model in self.prices

    def price(self, model: str) -> Price:
        """Return the price of ``model``; only what is priced 0 is free.

        Raises:
            ValueError: no price is configured at all.
        """
        known = self.prices.get(model)
        if known is not None:
            return known
        if not self.prices:
            raise ValueError("no model is priced, so no call can be budgeted")
        every = self.prices.values()
        return Price(max(one.input for one in every), max(one.output for one in every))

    def worst_case(self, model: str, prompt_bytes: int, max_output_tokens: int) -> int:
        """Return nano-USD that a call cannot exceed: one token per byte of text, and the full output.

        All of the text counts as cached where that is the dearer: a provider may bill it so.
        """
        return max(
            self.cost(model, Usage(prompt_bytes, max_output_tokens, cached)) for cached in (0, prompt_bytes)
        )

    def cost(self, model: str, usage: Usage) -> int:
        """Return nano-USD for ``usage``, rounded up."""
        price = self.price(model)
        cached = min(usage.cached_input, usage.input)
        cached_price = price.input if price.cached_input is None else price.cached_input
        pico = (
            (usage.input - cached) * _per_token(price.input)
            + cached * _per_token(cached_price)
            + usage.output * _per_token(price.output)
        )
        return -(-pico // _PICO_PER_NANO)


def _per_token(price: float) -> int:
    """Return pico-USD per token."""
    return round(price * _PICO_PER_TOKEN)


def nano(amount_usd: float) -> int:
    """Return USD as nano-USD."""
    return round(amount_usd * NANO)


def usd(amount: int) -> float:
    """Return nano-USD as USD."""
    return amount / NANO


def apportion(total: int, weights: list[int]) -> list[int]:
    """Share ``total`` by ``weights`` in whole units, so that the shares add up to it exactly.

    By largest remainder; equal remainders go to the earlier share. Without any weight all count the same.
    """
    if not weights:
        return []
    whole = sum(weights)
    if whole <= 0:
        weights, whole = [1] * len(weights), len(weights)
    shares = [total * weight // whole for weight in weights]
    remainders = [total * weight % whole for weight in weights]
    left = total - sum(shares)
    for place in sorted(range(len(weights)), key=lambda place: -remainders[place])[:left]:
        shares[place] += 1
    return shares
