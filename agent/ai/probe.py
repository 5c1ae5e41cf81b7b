"""One tiny call that shows what an endpoint can do: whether it answers, and whether it enforces a schema."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from agent.ai.profiles import PROFILES, Dialect
from agent.ai.protocols import ErrorType, Reply, Request, Transport, TransportError, Usage

MAX_TOKENS = 60
MAX_ADAPTATIONS = 5
#: The prompt asks for a value that the schema forbids: who obeys the prompt does not enforce the schema.
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
    """What one endpoint turned out to be. ``error`` says why there is nothing else to tell."""

    model: str
    answered: bool
    response_format: str = ""  # what it takes: json_schema, json_object or none
    schema_enforced: bool = False
    inconclusive: str = ""  # why the answer does not tell whether the schema is enforced
    max_tokens_field: str = ""
    refused: tuple[str, ...] = ()  # request fields that it does not take
    usage: Usage | None = None
    response_model: str | None = None
    latency_s: float = 0.0
    error_type: ErrorType | None = None
    error: str = ""
    http_status: int | None = None
    billed: bool = True  # whether it may have cost something: false where nothing was sent, or it was refused


async def probe(
    transport: Transport, *, model: str, provider: str, timeout_s: float, clock: Callable[[], float]
) -> Probe:
    """Ask ``model`` for a value that the schema forbids and return what that shows.

    It costs at most about 120 tokens and is not booked in the ledger, which a running agent may hold.

    Args:
        transport: to the endpoint.
        model: its name.
        provider: name of the profile to begin with.
        timeout_s: per attempt.
        clock: monotonic seconds.
    """
    dialect = Dialect(PROFILES[provider])
    refused: list[str] = []
    started = clock()
    while True:
        try:
            reply = await transport.complete(_request(model, dialect, timeout_s))
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
            inconclusive=_says_nothing(reply),
            max_tokens_field=dialect.max_tokens_field,
            refused=tuple(dict.fromkeys(refused)),
            usage=reply.usage,
            response_model=reply.response_model,
            latency_s=clock() - started,
        )


def _request(model: str, dialect: Dialect, timeout_s: float) -> Request:
    return Request(
        model=model,
        system=SYSTEM,
        user=USER,
        schema=SCHEMA,
        response_format=dialect.response_format,
        max_tokens=MAX_TOKENS,
        max_tokens_field=dialect.max_tokens_field,
        temperature=0.0 if dialect.temperature else None,
        seed=7 if dialect.seed else None,
        timeout_s=timeout_s,
        request_id="probe",
    )


def _says_nothing(reply: Reply) -> str:
    """Return why the reply is no answer to the question, empty if it is one."""
    if reply.refusal:
        return "the model refused"
    if reply.finish_reason == "content_filter":
        return "the provider's content filter took the answer"
    if reply.finish_reason == "length":
        return f"the answer was cut off at {MAX_TOKENS} tokens, as with models that reason first"
    return ""


def _obeys(reply: Reply) -> bool:
    """Say whether the reply is what the schema allows, although the prompt asked for something else."""
    try:
        value = json.loads(reply.content or "")
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and set(value) == {"colour"} and value["colour"] in COLOURS
