"""What to do about a failed call, in words for a person; for the log and ``doctor``."""

from agent.ai.protocols import ErrorType

_REMEDIES = {
    ErrorType.AUTH: "correct ai.api_key_file or OPENAI_API_KEY",
    ErrorType.QUOTA: "pay the provider's bill, or take another ai.base_url",
    ErrorType.RATE_LIMITED: "try again later, or raise the limit with the provider",
    ErrorType.CONNECTION: "check ai.base_url, the network and the firewall",
    ErrorType.TIMEOUT: "check ai.base_url and the network; a local model may still be loading",
    ErrorType.BAD_REQUEST: "check ai.model and ai.profile",
    ErrorType.MALFORMED_RESPONSE: "check that ai.base_url is an OpenAI-compatible endpoint, usually with /v1",
    ErrorType.INTERNAL: "report it with the log line ai_internal_fault: it is a fault of edge-agent",
}
#: No such path, or a redirect to another: the model's name is unknown, or the address is incomplete.
_NOT_THERE = frozenset({404, 405})
_NOT_THERE_REMEDY = "check ai.model, and that ai.base_url ends as the server wants it, usually in /v1"


def remedy(error: ErrorType | None, http_status: int | None = None) -> str:
    """Return what to change, or where to look."""
    if error is ErrorType.BAD_REQUEST and http_status in _NOT_THERE:
        return _NOT_THERE_REMEDY
    return _REMEDIES.get(error or ErrorType.OTHER, "look at the endpoint's log")
