"""Checks inside the unit's sandbox, with the installed release.

Prints one line per check, ``ok NAME`` or ``FAULT NAME: why``.
"""

import ctypes
import importlib
import mmap
import os
import socket
import ssl
import sys
from collections.abc import Callable
from functools import partial

CLONE_NEWUSER = 0x1000_0000
WHEELS = (
    "paho.mqtt.client", "openai", "httpx2", "jiter", "pydantic_core", "pydantic", "yaml", "yaml._yaml",
    "structlog", "prometheus_client", "opentelemetry.sdk.trace", "google.protobuf.message",
    "grpc._cython.cygrpc", "requests", "charset_normalizer", "sqlite3", "agent.app.app",
    "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter", "agent.ai.openai_chat",
)  # fmt: skip


def grpc_channel() -> None:
    """Start gRPC's threads; nobody answers on that port, and that is all it must find out."""
    grpc = importlib.import_module("grpc")
    channel = grpc.insecure_channel("127.0.0.1:9")
    try:
        grpc.channel_ready_future(channel).result(timeout=0.5)
    except grpc.FutureTimeoutError:
        return
    finally:
        channel.close()


def refused(action: Callable[[], object], *errors: type[BaseException]) -> Callable[[], None]:
    """Return a check that holds when ``action`` is refused."""

    def check() -> None:
        try:
            action()
        except errors:
            return
        raise AssertionError("was allowed")

    return check


def new_namespace() -> None:
    """Ask the C library for a user namespace; os.unshare is not there before Python 3.12."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


CHECKS: dict[str, Callable[[], object]] = {
    **{f"import {name}": partial(importlib.import_module, name) for name in WHEELS},
    "TLS": ssl.create_default_context,
    "gRPC": grpc_channel,
    "no memory that is writable and executable": refused(
        lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC), OSError
    ),
    "no write to /etc": refused(lambda: open("/etc/edge-agent/x", "w"), OSError),  # noqa: PTH123, SIM115
    "no look into /root": refused(lambda: os.listdir("/root"), OSError),  # noqa: PTH208
    "no other processes in /proc": refused(lambda: os.stat("/proc/1/status"), OSError),  # noqa: PTH116
    "no netlink": refused(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW), OSError),
    "no raw socket": refused(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW), OSError),
    "no change of the host name": refused(lambda: socket.sethostname("x"), OSError),
    "no new namespace": refused(new_namespace, OSError),
}


def main() -> int:
    """Run all checks; 1 when one does not hold."""
    faults = 0
    for name, check in CHECKS.items():
        try:
            check()
        except BaseException as error:  # noqa: BLE001 - each check is reported by itself
            faults += 1
            print(f"FAULT {name}: {type(error).__name__}: {error}")
        else:
            print(f"ok {name}")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
