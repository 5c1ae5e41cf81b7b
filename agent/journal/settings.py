"""Settings of the journal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from agent.domain.keys import Key
from agent.journal.series import BURST


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalSettings:
    """Section ``journal`` of the configuration, and limits that only tests change."""

    commit_ms: Annotated[
        int,
        Key(
            "longest time until a reading is on disk and acknowledged; a longer one spares an SD card",
            ge=1,
            le=5000,
        ),
    ] = 100
    max_mib: Annotated[
        int,
        Key("at 95 % of it the agent stops acknowledging and the broker holds the rest", ge=16, le=1_048_576),
    ] = 512
    keep_days: Annotated[
        float,
        Key("how long reviewed windows, quarantined messages and samples for charts are kept", gt=0, le=3650),
    ] = 7.0
    prune: Annotated[bool, Key("`false` keeps every row; for test rigs")] = True
    new_devices_per_min: Mapping[str, int] = field(default_factory=dict)  # by source
    new_devices_burst: int = BURST
    max_inbox_bytes: int = 8 * 1024 * 1024
    max_group: int = 256
    max_pending_rows: int = 4096
    ballast_bytes: int = 4 * 1024 * 1024
