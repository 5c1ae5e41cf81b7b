"""Model Context Protocol over lines: requests in, replies out, no state between.

Revisions with the handshake and 2026-07-28, where each request carries its revision, by
https://modelcontextprotocol.io/specification/2026-07-28. Of a server's features only the tools exist.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

HANDSHAKE = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
STATELESS = "2026-07-28"
MAX_LINE = 512 * 1024  # bytes of a request; the longest argument, a payload, may be written in escapes
MAX_QUOTED = 80
_VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
_SERVER_KEY = "io.modelcontextprotocol/serverInfo"
_PARSE_ERROR, _INVALID_REQUEST, _NO_METHOD, _INVALID_PARAMS = -32700, -32600, -32601, -32602
_INTERNAL, _UNSUPPORTED_VERSION = -32603, -32022
_FRESH_MS = 300_000  # for so long a client may keep the list of tools


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool.

    Args:
        name: As called.
        about: For the model that chooses it.
        arguments: JSON schemas by name; those that are required.
        call: Takes checked arguments, returns the text of the result.
    """

    name: str
    about: str
    call: Callable[[Mapping[str, str]], str]
    arguments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    required: tuple[str, ...] = ()

    def described(self) -> dict[str, Any]:
        """Return it as an entry of ``tools/list``."""
        return {
            "name": self.name,
            "description": self.about,
            "inputSchema": {
                "type": "object",
                "properties": {name: dict(schema) for name, schema in self.arguments.items()},
                "required": list(self.required),
                "additionalProperties": False,
            },
            "annotations": {"readOnlyHint": True, "openWorldHint": False},
        }

    def wrong(self, given: Mapping[str, object]) -> str | None:
        """Return in words the first fault of the arguments, None when they are right."""
        for name in self.required:
            if name not in given:
                return f"{name}: is missing"
        for name, value in given.items():
            schema = self.arguments.get(name)
            if schema is None:
                return f"{quoted(name)}: is not an argument; write {', '.join(self.arguments) or 'none'}"
            if not isinstance(value, str):
                return f"{name}: is not a text"
            longest = schema.get("maxLength", MAX_QUOTED)
            if len(value) > longest:
                return f"{name}: has {len(value)} characters, at most {longest} are read"
            if "enum" in schema and value not in schema["enum"]:
                return f"{name}: {quoted(value)} is unknown; write {' or '.join(schema['enum'])}"
        return None


class ToolError(Exception):
    """A call of a tool that has no result; the text is for the model."""


class _RequestError(Exception):
    """A request that cannot be answered."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message} | ({} if data is None else {"data": data})


class Server:
    """Answers requests with the results of tools.

    Args:
        name: of the server.
        version: of the agent.
        instructions: for the model.
        tools: all of them.
        fail: takes a fault of a tool, returns the words for the client.
    """

    def __init__(
        self,
        *,
        name: str,
        version: str,
        instructions: str,
        tools: list[Tool],
        fail: Callable[[Exception], str],
    ) -> None:
        self._about = {"name": name, "version": version}
        self._instructions = instructions
        self._tools = {tool.name: tool for tool in tools}
        self._fail = fail

    def answer(self, line: bytes) -> bytes | None:
        """Return the reply to one line, None where there is none to give."""
        request: Any = None
        try:
            request = _read(line)
            if "method" not in request or "id" not in request:
                return None  # a notification; or a reply, and nothing was asked
            result = self._result(request)
            reply: dict[str, Any] = {"id": request["id"], "result": result}
        except _RequestError as error:
            reply = {"id": _id_of(request), "error": error.error}
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the session: it is reported
            reply = {"id": _id_of(request), "error": {"code": _INTERNAL, "message": self._fail(error)}}
        return json.dumps({"jsonrpc": "2.0", **reply}, separators=(",", ":")).encode() + b"\n"

    def _result(self, request: dict[str, Any]) -> dict[str, Any]:
        params = request.get("params", {})
        if not isinstance(params, dict):
            raise _RequestError(_INVALID_PARAMS, "params is not an object")
        meta = params.get("_meta")
        version = meta.get(_VERSION_KEY) if isinstance(meta, dict) else None
        if version is not None and version != STATELESS:
            raise _RequestError(
                _UNSUPPORTED_VERSION,
                "this revision of the protocol is not served",
                {"supported": [STATELESS, *reversed(HANDSHAKE)], "requested": str(version)[:MAX_QUOTED]},
            )
        match request["method"]:
            case "initialize":
                return self._initialize(params)
            case "ping":
                result: dict[str, Any] = {}
            case "tools/list":
                result = {"tools": [tool.described() for tool in self._tools.values()]}
            case "tools/call":
                result = self._call(params)
            case "server/discover" if version:
                result = {"supportedVersions": [STATELESS, *reversed(HANDSHAKE)], **self._features()}
            case method:
                raise _RequestError(_NO_METHOD, f"{quoted(method)}: there is no such method")
        if not version:
            return result
        if request["method"] in {"tools/list", "server/discover"}:
            result |= {"ttlMs": _FRESH_MS, "cacheScope": "private"}
        return {"resultType": "complete", **result, "_meta": {_SERVER_KEY: self._about}}

    def _initialize(self, params: Mapping[str, Any]) -> dict[str, Any]:
        asked = params.get("protocolVersion")
        version = asked if asked in HANDSHAKE else HANDSHAKE[-1]
        return {"protocolVersion": version, "serverInfo": self._about, **self._features()}

    def _features(self) -> dict[str, Any]:
        return {"capabilities": {"tools": {}}, "instructions": self._instructions}

    def _call(self, params: Mapping[str, Any]) -> dict[str, Any]:
        name, given = params.get("name"), params.get("arguments") or {}
        tool = self._tools.get(name) if isinstance(name, str) else None
        if tool is None:
            raise _RequestError(_INVALID_PARAMS, f"{quoted(name)}: there is no such tool")
        if not isinstance(given, dict):
            raise _RequestError(_INVALID_PARAMS, "arguments is not an object")
        given = {key: value for key, value in given.items() if value is not None}
        wrong = tool.wrong(given)
        if wrong is not None:
            return _content(wrong, failed=True)
        try:
            return _content(tool.call(given))
        except ToolError as error:
            return _content(str(error), failed=True)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the session: it is reported
            return _content(self._fail(error), failed=True)


def _content(text: str, *, failed: bool = False) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "isError": failed}


def _read(line: bytes) -> dict[str, Any]:
    """Return the request of a line.

    Raises:
        _RequestError: it is none.
    """
    if len(line) > MAX_LINE:
        raise _RequestError(_INVALID_REQUEST, f"the request is longer than {MAX_LINE} bytes")
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise _RequestError(_PARSE_ERROR, "the line is not JSON") from None
    if not isinstance(request, dict) or request.get("jsonrpc") != "2.0":
        raise _RequestError(_INVALID_REQUEST, "the line is not a request of JSON-RPC 2.0")
    if "method" in request and not isinstance(request["method"], str):
        raise _RequestError(_INVALID_REQUEST, "method is not a text")
    if "id" in request and _id_of(request) is None:
        raise _RequestError(_INVALID_REQUEST, "id is neither a text nor a whole number")
    return request


def _id_of(request: Any) -> str | int | None:
    found = request.get("id") if isinstance(request, dict) else None
    return found if isinstance(found, str | int) and not isinstance(found, bool) else None


def quoted(text: object) -> str:
    """Return a text of the client as it is repeated: printable, and cut."""
    return "".join(char if char.isprintable() else "?" for char in str(text)[:MAX_QUOTED])
