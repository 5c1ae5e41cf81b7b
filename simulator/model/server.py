"""The model endpoint: HTTP on loopback, ``/v1/chat/completions``, ``/control``."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from simulator.model.behaviours import Behaviour, ControlError, Director, Knobs
from simulator.model.replies import Response, completion, prompt_of, refusal

Responder = Callable[[dict[str, Any]], Response]

MAX_HEAD = 32 * 1024
MAX_BODY = 4 * 1024 * 1024
_CHUNK = 64 * 1024
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    body: bytes


class ModelEndpoint:
    """One endpoint on a loopback port, in a thread of its own. Usable as a context manager.

    ``respond`` makes the response to a completion request in place of the fixed rules, in a worker thread.
    """

    def __init__(
        self, *, port: int = 0, director: Director | None = None, respond: Responder | None = None
    ) -> None:
        self.director = director or Director()
        self._respond = respond
        self.port = port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self._error: OSError | None = None

    @property
    def url(self) -> str:
        """The value of ``ai.base_url``."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def control_url(self) -> str:
        """Where behaviours are changed at run time."""
        return f"http://127.0.0.1:{self.port}/control"

    def start(self) -> Self:
        """Begin to listen.

        Raises:
            OSError: the port is taken.
        """
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise self._error
        return self

    def stop(self) -> None:
        """Cut all connections and end the thread."""
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join(5)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            await self._listen()
        except OSError as error:
            self._error = error
            return
        finally:
            self._ready.set()
        await self._stop.wait()
        await self._close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, limit=MAX_HEAD)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _refuse(self, seconds: float) -> None:
        """Close the port for a while: the kernel refuses connections."""
        await self._close()
        await asyncio.sleep(seconds)
        with contextlib.suppress(OSError):
            await self._listen()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            while (request := await _read(reader)) is not None:
                if not await self._handle(request, writer):
                    break
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _handle(self, request: _Request, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False ends the connection."""
        path = request.path.partition("?")[0].rstrip("/")
        match request.method, path:
            case "POST", "/v1/chat/completions" | "/chat/completions":
                return await self._complete(request, writer)
            case "GET", "/v1/models":
                models = {"object": "list", "data": [{"id": "simulator", "object": "model"}]}
                return await _send(writer, Response(200, json.dumps(models).encode()))
            case "GET", "/control":
                return await _send(writer, self._state())
            case "POST", "/control":
                return await _send(writer, self._steer(request.body))
            case _:
                return await _send(writer, refusal(404, "No such address.", kind="invalid_request_error"))

    def _state(self) -> Response:
        return Response(200, json.dumps(self.director.state()).encode() + b"\n")

    def _steer(self, body: bytes) -> Response:
        try:
            self.director.steer(json.loads(body))
        except (ControlError, ValueError, RecursionError) as error:
            return refusal(400, str(error), kind="control_error")
        return self._state()

    async def _complete(self, request: _Request, writer: asyncio.StreamWriter) -> bool:
        try:
            wanted: Any = json.loads(request.body)
        except (ValueError, RecursionError):
            wanted = None
        if not isinstance(wanted, dict) or not isinstance(wanted.get("messages"), list):
            return await _send(writer, refusal(400, "messages is missing.", kind="invalid_request_error"))
        if self._respond is not None:
            return await _send(writer, await asyncio.to_thread(self._respond, wanted))
        behaviour = self.director.choose(prompt_of(wanted))
        knobs = self.director.knobs
        await asyncio.sleep(knobs.latency_s)
        return await self._act(behaviour, wanted, knobs, writer)

    async def _act(
        self, behaviour: Behaviour, wanted: dict[str, Any], knobs: Knobs, writer: asyncio.StreamWriter
    ) -> bool:
        response = completion(behaviour, wanted, knobs, self.director.calls)
        match behaviour:
            case Behaviour.SLOW:
                await asyncio.sleep(knobs.delay_s)
            case Behaviour.HANG:
                await asyncio.Event().wait()
            case Behaviour.DRIP:
                return await _drip(writer, response, knobs.drip_s)
            case Behaviour.HUGE:
                return await _flood(writer, knobs.huge_bytes)
            case Behaviour.RESET:
                return await _reset(writer, response)
            case Behaviour.REFUSED:
                task = asyncio.create_task(self._refuse(knobs.refused_s))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                return False
            case _:
                pass
        return await _send(writer, response)


async def _read(reader: asyncio.StreamReader) -> _Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= MAX_BODY:
        return None
    return _Request(method, path, await reader.readexactly(length))


def _head(response: Response, length: int) -> bytes:
    lines = [
        f"HTTP/1.1 {response.status} {_REASONS.get(response.status, 'Error')}",
        f"Content-Type: {response.content_type}",
        f"Content-Length: {length}",
        *(f"{name}: {value}" for name, value in response.headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _send(writer: asyncio.StreamWriter, response: Response) -> bool:
    writer.write(_head(response, len(response.body)) + response.body)
    await writer.drain()
    return True


async def _drip(writer: asyncio.StreamWriter, response: Response, pause_s: float) -> bool:
    writer.write(_head(response, len(response.body)))
    for place in range(len(response.body)):
        writer.write(response.body[place : place + 1])
        await writer.drain()
        await asyncio.sleep(pause_s)
    return True


async def _flood(writer: asyncio.StreamWriter, size: int) -> bool:
    """Send a JSON string of ``size`` bytes without holding it in memory."""
    writer.write(_head(Response(200, b""), size))
    left = size
    while left > 0:
        piece = min(left, _CHUNK)
        writer.write(b" " * piece)
        await writer.drain()
        left -= piece
    return True


async def _reset(writer: asyncio.StreamWriter, response: Response) -> bool:
    writer.write(_head(response, len(response.body)) + response.body[: len(response.body) // 2])
    await writer.drain()
    sock = writer.get_extra_info("socket")
    if sock is not None:
        # Linger 0: the kernel sends RST instead of FIN.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    writer.transport.abort()
    return False
