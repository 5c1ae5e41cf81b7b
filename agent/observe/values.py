"""The closed lists of label values; every child of them exists from the start."""

from agent.observe.labels import OTHER

MAX_MODELS, MAX_CATEGORIES = 4, 16  # `other` among them

ERROR_TYPES = (
    "timeout", "connection", "rate_limited", "quota", "auth", "bad_request",
    "server_error", "malformed_response", "truncated", "content_filter", "internal", OTHER,
)  # fmt: skip
#: What is ever retried; the rest ends the call.
RETRIED_TYPES = (
    "timeout", "connection", "rate_limited", "bad_request", "server_error", "malformed_response", OTHER,
)  # fmt: skip
#: The budget is not used up, one device's part of it is: no verdict's reason, and no alert.
SHARE = "device_share"
SUPPRESSED = (
    "not_suspicious", "review_off", "no_endpoint", "open_finding", "cooldown",
    "cached", "budget", "breaker", "shutdown", SHARE,
)  # fmt: skip
CATEGORIES = ("refusal", "content_filter", "injection_suspected")
STATUSES = ("normal", "anomaly", "uncertain")
SOURCES = ("ai", "cache", "local")
WINDOWS = ("hour", "day", "month")
BREAKER_STATES = ("closed", "half_open", "open")  # a state's place is the gauge's value
INJECTION_RULES = ("instruction", "role_marker", "control_chars", "oversize")
