"""The SDK without types that chat completions do not use, in its own process."""

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.process, pytest.mark.slow]

SCRIPT = """
import asyncio, sys
before = sys.meta_path[:]
from agent.ai import sdk_import
from agent.ai.openai_chat import OpenAIChat
sdk_import.UNUSED += ({unused})
sdk_import.TRIED = {tried} or sdk_import.TRIED
asyncio.run(OpenAIChat(base_url="http://127.0.0.1:1/v1", api_key=None).load())
from openai.types.chat import ChatCompletion
others = [one for name, one in sys.modules.items() if name.startswith("openai.types.responses.")]
read = sum(hasattr(one, "__file__") for one in others)
print(read > 100, ChatCompletion.__name__, sys.meta_path == before)
"""


def load(unused: str = "", tried: str = "") -> str:
    """Load the client with these further modules left out; return what the process reports."""
    script = SCRIPT.replace("{unused}", unused).replace("{tried}", repr(tried))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_types_of_other_interfaces_are_left_out() -> None:
    """Hundreds of modules are not read, and chat completions have theirs."""
    assert load() == "False ChatCompletion True"


def test_a_version_that_needs_them_is_imported_whole() -> None:
    """With a module left out that the import needs, the SDK is there all the same."""
    assert load("'openai._models',") == "True ChatCompletion True"


def test_a_version_that_was_not_tried_is_imported_whole() -> None:
    """It may use the types in a call."""
    assert load(tried='__version__ = "3.99.') == "True ChatCompletion True"
