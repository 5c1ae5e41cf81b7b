"""Keys of a fault or a hard negative in a scenario file."""

import math
from typing import Annotated, Self

from pydantic import Field, model_validator

from simulator.faults import (
    LASTING,
    ONE_METRIC,
    SIGNAL_KINDS,
    SIZED,
    SWAPS,
    WIRE_KINDS,
    FaultKind,
    Truth,
    is_normal,
)
from simulator.scenario_device import MAX_TIME_S, Device, Finite, Interval, Part
from simulator.signals import SIGNALS


class FaultEntry(Part):
    """One fault or hard negative as it is written down."""

    device: str
    metric: str | None = None
    """Left out where the whole device is concerned."""
    kind: FaultKind
    from_s: Annotated[float, Field(ge=-MAX_TIME_S, le=MAX_TIME_S, allow_inf_nan=False)]
    """After the live start; only what is normal may begin before it."""
    for_s: Interval
    size: Finite | None = None
    """In the unit of the metric, or as its kind defines."""
    every_s: Annotated[float, Field(ge=1, le=MAX_TIME_S, allow_inf_nan=False)] | None = None
    """Left out: once."""
    jitter_s: Annotated[float, Field(ge=0, le=MAX_TIME_S, allow_inf_nan=False)] = 0.0
    """Each time it comes up to that much later."""
    cause: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """A name that events of one cause share, on one device or several; the labels have it."""
    truth: Truth | None = None
    """Where its kind does not decide it: an open door that is a fault, a planned drift."""

    @model_validator(mode="after")
    def _size_fits_the_kind(self) -> Self:
        if (self.size is not None) != (self.kind in SIZED):
            word = "needs" if self.kind in SIZED else "takes no"
            raise ValueError(f"{self.kind} {word} size")
        if self.kind is FaultKind.DROPOUT and not 0.0 < (self.size or 0.0) <= 1.0:
            raise ValueError(f"dropout loses a share, not {self.size:g}; give a size above 0, up to 1")
        if self.kind is FaultKind.LEAK and not (self.size or 0.0) > 0.0:
            raise ValueError("leak grows to its size; give one above 0")
        if self.metric is None and self.kind in ONE_METRIC:
            raise ValueError(f"{self.kind} needs metric")
        if self.metric is not None and self.kind not in ONE_METRIC | {FaultKind.DROPOUT}:
            raise ValueError(f"{self.kind} concerns the whole device, remove metric")
        return self

    @model_validator(mode="after")
    def _times_fit_the_kind(self) -> Self:
        if self.from_s < 0 and (self.kind in WIRE_KINDS or not is_normal(self.kind, self.truth)):
            raise ValueError(f"{self.kind} cannot begin before the live part; give from_s 0 or more")
        if self.every_s is None and self.jitter_s:
            raise ValueError("jitter_s needs every_s")
        if self.every_s is None:
            return self
        if self.kind is FaultKind.LEAK:
            raise ValueError("leak comes once; remove every_s, or write it down again")
        if self.every_s <= self.for_s + self.jitter_s:
            what, lasts = ("for_s + jitter_s" if self.jitter_s else "for_s"), self.for_s + self.jitter_s
            raise ValueError(f"every_s {self.every_s:g} must be above {what} {lasts:g}")
        return self

    def hits(self, devices: dict[str, Device]) -> None:
        """Check that the device is there and can go through it.

        Raises:
            ValueError: with the key at fault, what is wrong and what to write.
        """
        if self.device not in devices:
            raise ValueError(f".device {self.device!r} is not a device; use one of {', '.join(devices)}")
        device = devices[self.device]
        if self.metric is not None and self.metric not in device.metrics:
            raise ValueError(
                f".metric {self.metric!r} is not measured by {self.device}; "
                f"use one of {', '.join(device.metrics)}"
            )
        known = SIGNALS[device.signal].EVENTS
        if self.kind in SIGNAL_KINDS and self.kind not in known:
            raise ValueError(
                f".kind {self.kind} does not happen to a {device.signal}; "
                f"use one of {', '.join(sorted(known)) or 'the other kinds'}"
            )
        unit = next((one.unit for one in device.sensors if one.name == self.metric), "")
        if self.kind is FaultKind.UNIT_SWAP and unit not in SWAPS:
            raise ValueError(
                f".metric {self.metric!r} has no other unit; use one measured in {', '.join(SWAPS)}"
            )
        if self.kind is FaultKind.CLOCK_SKEW and device.payload == "plain":
            raise ValueError(
                f".kind clock_skew needs a time in the payload of {self.device}; use payload value"
            )


def refuse_overlaps(entries: tuple[FaultEntry, ...]) -> None:
    """Two of one kind, or two that change the same values, must not overlap: one would hide the other."""
    for place, one in enumerate(entries):
        for other_place, other in enumerate(entries[:place]):
            same = one.device == other.device and one.metric == other.metric
            clash = one.kind is other.kind or {one.kind, other.kind} <= ONE_METRIC
            if not (same and clash and one.every_s is None and other.every_s is None):
                continue
            lasts = math.inf if one.kind is other.kind and one.kind in LASTING - {FaultKind.REBOOT} else 0.0
            ends, other_ends = one.from_s + max(one.for_s, lasts), other.from_s + max(other.for_s, lasts)
            if one.from_s < other_ends and other.from_s < ends:
                raise ValueError(
                    f"[{place}] overlaps with [{other_place}] on {one.device}; move or remove one of them"
                )
