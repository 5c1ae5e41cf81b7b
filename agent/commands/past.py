"""Journaled batches, and the prompts of a replay."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from agent.config import ConfigError
from agent.domain.records import Batch
from agent.journal.reader import BatchRecord, Reader, VerdictRecord
from agent.prompt import (
    NAME,
    SCHEMA,
    Prompt,
    Site,
    estimate_tokens,
    output_tokens,
    render,
    version_of,
)

MAX_SEARCHED = 10_000
MAX_PROMPT = 16_384  # bytes of a system part in a file
CURRENT, JOURNALED = "current", "journaled"

Render = Callable[..., Prompt]


@dataclass(frozen=True, slots=True)
class Past:
    """One journaled batch: its windows, the verdicts that were published on them, and how it was asked then.

    ``asked`` is the prompt as it was sent, None where no call was journaled that had just these windows.
    """

    batch: Batch
    verdicts: tuple[dict[str, Any], ...]
    asked: Prompt | None


def past_batches(reader: Reader, *, since: float, limit: int, exact: bool, site: Site) -> Iterator[Past]:
    """Yield the newest ``limit`` batches that were answered since then (Unix seconds), oldest first.

    Args:
        reader: of the journal.
        since: verdicts before that are left out.
        limit: of batches.
        exact: cut each batch to the windows of its first call; leave out those whose call is not journaled,
            or had names and facts that may not leave today.
        site: names and facts that may leave.
    """
    found: list[Past] = []
    for record in reader.batches(limit=MAX_SEARCHED):
        if len(found) >= limit:
            break
        call = _first_call(record, site if exact else None)
        wanted = call["windows"] if exact and call else record.windows
        kept = [one for one in map(reader.verdict, wanted) if one is not None and _fits(one, since)]
        if not kept or (exact and (call is None or len(kept) < len(wanted))):
            continue
        windows = tuple(one.window for one in kept if one.window is not None)
        batch = Batch(record.id, windows, audit=frozenset(record.audit))
        verdicts = tuple(json.loads(one.body) for one in kept)
        found.append(Past(batch, verdicts, _as_sent(call, batch, site) if exact and call else None))
    yield from reversed(found)


def _fits(verdict: VerdictRecord, since: float) -> bool:
    return verdict.window is not None and bool(verdict.window.section) and verdict.created >= since


def _first_call(record: BatchRecord, site: Site | None) -> dict[str, Any] | None:
    detail = json.loads(record.detail) if record.detail else {}
    calls: list[dict[str, Any]] = detail.get("calls", [])
    first = next((call for call in calls if call.get("windows") and call.get("user")), None)
    if first is None or site is None:
        return first
    shared = _text_version(first).partition("-")[2]
    return first if shared in {"", site.digest} else None


def _as_sent(call: dict[str, Any], batch: Batch, site: Site) -> Prompt:
    system, user = str(call["system"]), str(call["user"])
    version = _text_version(call)
    lines = [line for line in user.splitlines() if line.startswith('{"w":')]
    return Prompt(
        system=system,
        user=user,
        schema=SCHEMA,
        max_tokens=output_tokens(len(call["windows"])),
        name=NAME,
        version=version,
        hash=str(call["prompt_hash"]),
        estimated_tokens=estimate_tokens(system) + estimate_tokens(user),
        weights=tuple(map(len, lines)),
        shared=site.shared((window.device for window in batch.windows), len(user)) if "-" in version else {},
    )


def _text_version(call: dict[str, Any]) -> str:
    """Return the version without that of plots, which are drawn again if they are wanted today."""
    return str(call["prompt_version"]).partition("+")[0]


def prompter(name: str, found: list[Past]) -> Render:
    """Return the renderer of the prompts: today's, the journaled ones, or those of a file.

    Args:
        name: ``current``, ``journaled``, or the path of a text file with the system part.
        found: the batches that will be asked about.

    Raises:
        ConfigError: the file cannot be read as a prompt.
    """
    if name == CURRENT:
        return render
    if name == JOURNALED:
        sent = {past.batch.id: past.asked for past in found if past.asked is not None}
        return lambda batch, _max_input_tokens, **_: sent[batch.id]  # delimiter and facts are in it
    system = _read(Path(name))
    digest = sha256(system.encode()).hexdigest()[:16]
    version = f"file-{digest[:8]}"

    def other(batch: Batch, max_input_tokens: int, *, delimiter: str, site: Site) -> Prompt:
        prompt = render(batch, max_input_tokens, delimiter=delimiter, site=site)
        estimated = prompt.estimated_tokens - estimate_tokens(prompt.system) + estimate_tokens(system)
        return replace(prompt, system=system, version=version, hash=digest, estimated_tokens=estimated)

    return other


def versions(name: str, found: list[Past], site: Site) -> str:
    """Return the version, or the versions, of the prompts that :func:`prompter` renders."""
    if name == CURRENT:
        return version_of(site)
    if name == JOURNALED:
        return ", ".join(dict.fromkeys(past.asked.version for past in found if past.asked)) or "none"
    return f"file {Path(name).name}"


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_PROMPT + 1)
        text = raw.decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise ConfigError(
            [f"--prompt: {path}: {why}; write current, journaled or the path of a text file"]
        ) from error
    if not text or len(raw) > MAX_PROMPT:
        raise ConfigError([f"--prompt: {path}: is empty or above {MAX_PROMPT} bytes; write a shorter prompt"])
    return text
