"""OpenTelemetry's schemas for prompts and replies that are text.

Source: OpenTelemetry semantic conventions 1.41, the JSON schemas of input messages, output messages and
system instructions in docs/gen-ai. The parts for tools, images and files, which are never sent, are left out.
"""

from typing import Any

_TEXT: dict[str, Any] = {
    "type": "object",
    "properties": {"type": {"const": "text"}, "content": {"type": "string"}},
    "required": ["type", "content"],
}
_MESSAGE: dict[str, Any] = {
    "type": "object",
    "properties": {"role": {"type": "string"}, "parts": {"type": "array", "items": _TEXT, "minItems": 1}},
    "required": ["role", "parts"],
}
SYSTEM_INSTRUCTIONS: dict[str, Any] = {"type": "array", "items": _TEXT, "minItems": 1}
INPUT_MESSAGES: dict[str, Any] = {"type": "array", "items": _MESSAGE, "minItems": 1}
OUTPUT_MESSAGES: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "items": {
        **_MESSAGE,
        "properties": {**_MESSAGE["properties"], "finish_reason": {"type": "string", "minLength": 1}},
        "required": [*_MESSAGE["required"], "finish_reason"],
    },
}
