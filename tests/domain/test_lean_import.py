"""Libraries that are imported with placeholders for unused modules."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.domain.lean_import import import_without
from tests.support.agent_process import REPO

Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write modules ``lib_...`` and ``rest_...`` that can be imported until the end of the test."""
    monkeypatch.syspath_prepend(tmp_path)
    path = sys.meta_path[:]

    def write_one(name: str, text: str) -> None:
        file = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")

    yield write_one
    assert sys.meta_path == path
    for name in [one for one in sys.modules if one.startswith(("lib_", "rest_"))]:
        del sys.modules[name]


def test_what_is_left_out_can_be_a_base_class_and_is_there_for_others(write: Write) -> None:
    """The library has empty classes; a later import gets the real module."""
    write("rest_of.server", "class Server:\n    port = 80\n")
    write("rest_of.kept", "")
    write(
        "lib_a",
        "import rest_of.kept\nfrom rest_of.server import Server\nclass Mine(Server): ...\nworks = 1\n",
    )
    import_without(["rest_of.server"], "lib_a")
    library = sys.modules["lib_a"]
    assert (library.works, hasattr(library.Mine, "port")) == (1, False)
    assert "rest_of.server" not in sys.modules
    assert not hasattr(sys.modules["rest_of"], "server")

    from rest_of.server import Server  # type: ignore[import-not-found]  # noqa: PLC0415

    assert Server.port == 80


def test_a_module_that_is_there_already_is_used(write: Write) -> None:
    """Nothing is taken away from those who imported it before."""
    write("rest_b", "port = 80\n")
    write("lib_b", "from rest_b import port\n")
    import_without([], "rest_b")
    import_without(["rest_b"], "lib_b")
    assert sys.modules["lib_b"].port == sys.modules["rest_b"].port == 80


def test_a_version_that_needs_what_is_left_out_is_imported_whole(write: Write) -> None:
    """It may call a function of it, or calculate with a value."""
    write("rest_c", "port = 80\n")
    write("lib_c", "import rest_c\nnext_port = rest_c.port + 1\n")
    import_without(["rest_c"], "lib_c")
    assert sys.modules["lib_c"].next_port == 81


def test_a_fault_of_the_library_is_raised(write: Write) -> None:
    """With placeholders and without them."""
    write("lib_d", "import rest_e\n1 / 0\n")
    with pytest.raises(ModuleNotFoundError, match="rest_e"):
        import_without(["rest_e"], "lib_d")


def test_another_thread_gets_the_real_module_meanwhile(write: Write) -> None:
    """It imports what the library goes without while the library is being imported."""
    write("rest_f", "port = 80\n")
    write(
        "lib_f",
        "import importlib, sys\nfrom threading import Thread\n"
        "other = Thread(target=importlib.import_module, args=('rest_f',))\nother.start()\nother.join()\n"
        "import rest_f\nport = rest_f.port\n",
    )
    import_without(["rest_f"], "lib_f")
    assert sys.modules["lib_f"].port == 80


POSTPONED = """
import sys
from agent.domain.lean_import import postpone

postpone()
import asyncio, hashlib, hmac, secrets, ssl
from hashlib import blake2b, sha256

async def pause():
    await asyncio.sleep(0)

asyncio.run(pause())
assert hmac.compare_digest(sha256(b"1").digest(), hashlib.sha256(b"1").digest())
assert not {"_ssl", "_hashlib"} & sys.modules.keys()
"""
USES = {
    "a name": "assert issubclass(ssl.SSLWantReadError, OSError)",
    "a part of it": "from ssl import SSLContext; assert SSLContext is ssl.SSLContext",
    "all of it": "from ssl import *; assert SSLContext is ssl.SSLContext",
    "a class of asyncio": "assert asyncio.base_events.sslproto.SSLProtocol is asyncio.sslproto.SSLProtocol",
    "a hash of OpenSSL": "assert len(hashlib.scrypt(b'', salt=b'', n=2, r=1, p=1)) == 64",
    "a hash by its name": "assert hashlib.new('sha256', b'1').digest() == sha256(b'1').digest()",
    "a digest with a key": "assert hmac.new(b'', b'', sha256).digest() == hmac.digest(b'', b'', 'sha256')",
    "a module that asks twice": "import http.client; http.client.HTTPSConnection('127.0.0.1')",
    "threads": """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as pool:
    found = set(pool.map(lambda _: ssl.SSLContext, range(8)))
assert found == {sys.modules["ssl"].SSLContext}
""",
}


@pytest.mark.process
@pytest.mark.parametrize("use", USES)
def test_openssl_is_loaded_when_it_is_used(use: str) -> None:
    """Not by an import, a hash of the interpreter or the loop; then by whatever needs it, as ever."""
    loaded = "assert {'_ssl', '_hashlib'} & sys.modules.keys()"
    code = "\n".join((POSTPONED, USES[use], loaded))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO, check=False)
    assert (done.returncode, done.stderr) == (0, "")


PLAIN = """
from agent.sinks.http_post import HttpPost

address = "{scheme}://127.0.0.1:9/notice"
post = HttpPost(address=lambda: address, token=lambda: None, headers={{}}, ca_file=None)
print(type(post.post(b"", {{}})).__name__, "_ssl" in sys.modules)
"""


@pytest.mark.process
@pytest.mark.parametrize(("scheme", "loaded"), [("http", False), ("https", True)])
def test_a_receiver_without_tls_goes_without_openssl(scheme: str, *, loaded: bool) -> None:
    """Its import, and the error of an address where nobody listens."""
    code = POSTPONED + PLAIN.format(scheme=scheme)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO, check=False)
    assert (done.stdout.strip(), done.stderr) == (f"Retry {loaded}", "")
