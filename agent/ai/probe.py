"""The probe of an endpoint: one tiny call that shows whether it enforces a schema."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from agent.ai.profiles import PROFILES, Dialect
from agent.ai.protocols import Transport, TransportError
from agent.domain.model_calls import ErrorType, Plots, Reply, Request, Usage

MAX_TOKENS = 60
MAX_ADAPTATIONS = 5
#: The prompt asks for a value that the schema forbids: a server that returns it does not enforce the schema.
SYSTEM = "You answer with JSON."
USER = 'Reply with exactly {"colour":"purple"} and nothing else.'
COLOURS = ("red", "green")
SCHEMA = {
    "type": "object",
    "properties": {"colour": {"type": "string", "enum": list(COLOURS)}},
    "required": ["colour"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Probe:
    """The properties of one endpoint. ``error`` is the reason where they are not known."""

    model: str
    answered: bool
    response_format: str = ""  # that it takes: json_schema, json_object or none
    schema_enforced: bool = False
    inconclusive: str = ""  # why the answer does not show whether the schema is enforced
    refused: tuple[str, ...] = ()  # parameters that it does not take
    usage: Usage | None = None
    latency_s: float = 0.0
    error_type: ErrorType | None = None
    error: str = ""
    http_status: int | None = None
    billed: bool = True  # whether it may have cost something: false where nothing was sent, or it was refused


async def probe(
    transport: Transport,
    *,
    model: str,
    provider: str,
    timeout_s: float,
    clock: Callable[[], float],
    plots: Plots | None = None,
) -> Probe:
    """Ask ``model`` for a value that the schema forbids, and return the properties of the endpoint.

    It costs at most about 120 tokens, and those of ``plots``. It is not booked in the ledger, which a running
    agent may hold.

    Args:
        transport: to the endpoint.
        model: its name.
        provider: name of the profile to begin with.
        timeout_s: per attempt.
        clock: monotonic seconds.
        plots: are sent too, to see whether they are taken.
    """
    dialect = Dialect(PROFILES[provider])
    request = Request(
        request_id="probe",
        provider=provider,
        model=model,
        system=SYSTEM,
        user=USER,
        plots=plots,
        schema=SCHEMA,
        max_tokens=MAX_TOKENS,
        temperature=0.0,
        seed=7,
        timeout_s=timeout_s,
    )
    refused: list[str] = []
    started = clock()
    while True:
        try:
            reply = await transport.complete(dialect.apply(request))
        except TransportError as error:
            if error.refused and len(refused) < MAX_ADAPTATIONS and dialect.adapt(error.refused):
                refused.append(error.refused)
                continue
            return Probe(
                model,
                answered=False,
                refused=tuple(dict.fromkeys(refused)),
                latency_s=clock() - started,
                error_type=error.error_type,
                error=str(error),
                http_status=error.http_status,
                billed=error.sent and error.http_status in {None, 200},
            )
        return Probe(
            model,
            answered=True,
            response_format=dialect.response_format,
            schema_enforced=dialect.response_format == "json_schema" and _obeys(reply),
            inconclusive=_inconclusive(reply),
            refused=tuple(dict.fromkeys(refused)),
            usage=reply.usage,
            latency_s=clock() - started,
        )


def _inconclusive(reply: Reply) -> str:
    """Return why the reply is not an answer to the question, empty if it is one."""
    if reply.refusal:
        return "the model refused"
    if reply.finish_reason == "content_filter":
        return "the provider's content filter took the answer"
    if reply.finish_reason == "length":
        return f"the answer was cut off at {MAX_TOKENS} tokens, as with models that reason first"
    return ""


def _obeys(reply: Reply) -> bool:
    """Return whether the schema allows the reply, although the prompt asked for another value."""
    try:
        value = json.loads(reply.content or "")
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and set(value) == {"colour"} and value["colour"] in COLOURS
