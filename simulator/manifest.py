"""The run manifest: the inputs that decide the bytes of a run, to repeat it."""

import hashlib
from collections.abc import Iterable, Iterator
from importlib import metadata, resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from simulator.events import Message
from simulator.flapping import Flapping
from simulator.scenario import CONNECTIONS

MAX_BYTES = 64 * 1024
Above0 = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ManifestError(Exception):
    """A manifest that cannot be read, written or repeated; the text is one line."""


class _Flap(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    every_s: Above0
    down_s: Above0
    share: Annotated[float, Field(gt=0, le=1)]
    seed: int


class Manifest(BaseModel):
    """One run. ``messages`` and ``wire_sha256`` are present once it is over."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    manifest: Literal[1] = 1
    version: str
    scenario: str  # a name of `edge-sim list`, or a path
    scenario_sha256: str
    seed: int
    start: Above0  # event time of the live start, Unix seconds
    speed: Above0
    for_s: Above0 | None
    history: bool
    connections: Annotated[str, Field(pattern=CONNECTIONS)] | None
    qos: Literal[0, 1] | None
    flapping: _Flap | None
    messages: Annotated[int, Field(ge=0)] | None = None
    wire_sha256: str | None = None

    def flaps(self) -> Flapping | None:
        """Return how the connections break, None if they do not."""
        return None if self.flapping is None else Flapping(**self.flapping.model_dump())

    def check_scenario(self, name: str) -> None:
        """Refuse to repeat the run with a scenario that is not the one it was made with.

        Raises:
            ManifestError: the scenario ``name`` has changed.
        """
        if scenario_sha256(name) != self.scenario_sha256:
            raise ManifestError(f"scenario {name} is not what it was in that run; its bytes would be others")

    def over(self, wire: "Wire") -> "Manifest":
        """Return the manifest of the run that put ``wire`` out."""
        return self.model_copy(update={"messages": wire.messages, "wire_sha256": wire.sha256})

    def write(self, path: Path) -> None:
        """Write it to ``path``, indented JSON.

        Raises:
            ManifestError: it cannot be written.
        """
        try:
            path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise ManifestError(f"{path}: cannot be written: {error.strerror}") from None


class Wire:
    """Counts and hashes what goes out: topics and payloads in their order."""

    def __init__(self) -> None:
        self.messages = 0
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Hash of the lengths and bytes of all topics and payloads so far."""
        return self._hash.hexdigest()

    def watch(self, messages: Iterable[Message]) -> Iterator[Message]:
        """Yield ``messages`` and note each once the next is asked for: then it was sent."""
        for message in messages:
            yield message
            topic = message.topic.encode()
            self._hash.update(b"%d %d " % (len(topic), len(message.payload)) + topic + message.payload)
            self.messages += 1


def load(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        ManifestError: it cannot be read or is none; one line.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise ManifestError(f"{path}: is larger than {MAX_BYTES // 1024} KiB and so no manifest")
    try:
        return Manifest.model_validate_json(raw)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        text = " ".join([*(f"{part}:" for part in problem["loc"]), problem["msg"]])
        raise ManifestError(f"{path}: is not a run manifest: {text}") from None


def scenario_sha256(name: str) -> str:
    """Return the hash of a scenario's file; ``name`` is one that :func:`simulator.scenario.load` took."""
    path = Path(name)
    if path.suffix in {".yaml", ".yml"}:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return hashlib.sha256(
        (resources.files("simulator") / "scenarios" / f"{name}.yaml").read_bytes()
    ).hexdigest()


def version() -> str:
    """Return the version of the installed package."""
    try:
        return metadata.version("edge-agent")
    except metadata.PackageNotFoundError:
        return "unknown"
