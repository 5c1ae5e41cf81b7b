"""Import of the OpenAI SDK without its parts that chat completions do not use.

The SDK imports the types of all its interfaces, for names of annotations. Those of Responses alone are 250
modules, 9 MiB and more than half of the time; the others are 1 MiB, the clients of other clouds 0.3. A
version that was tried is imported without them; any other is imported whole, as it may use them in a call.
"""

import importlib
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from agent.domain.lean_import import import_without

SDK = "openai"
TRIED = '__version__ = "3.54.'  # in its _version.py: all tests with the SDK pass
_OTHERS = (
    "batch container content decision eval graders image images moderation responses upload vector video"
)
_CLOUDS = "lib.azure lib.bedrock lib._bedrock_auth providers"
UNUSED = (
    *(f"openai.types.{word}" for word in _OTHERS.split()),
    *(f"openai.{word}" for word in _CLOUDS.split()),
)


def import_sdk(*names: str) -> ModuleType:
    """Import modules of the SDK and return the SDK; whole where its version may need what is left out."""
    import_without(UNUSED if _is_tried() else (), SDK, *names)
    return importlib.import_module(SDK)


def _is_tried() -> bool:
    spec = find_spec(SDK)
    folders = [] if spec is None else spec.submodule_search_locations or []
    try:
        return any(TRIED in Path(one, "_version.py").read_text(encoding="utf-8") for one in folders)
    except OSError:
        return False
