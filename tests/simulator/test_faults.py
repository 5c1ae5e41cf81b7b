"""Each fault has its effect between its two instants and nowhere else."""

import statistics
from typing import Any

import pytest

from simulator.faults import FINDING_KINDS, Fault, FaultKind, Label, label
from simulator.signals import Noise

NOISE = Noise(seed=1, device="d")


def healthy(offset_s: float) -> float:
    """Return a slow ramp, so that a stuck value shows."""
    return 20.0 + offset_s / 10


def disturbed(fault: Fault, offset_s: float) -> float:
    return fault.disturb(offset_s=offset_s, healthy=healthy, noise=NOISE)


def make(kind: FaultKind, **more: Any) -> Fault:
    return Fault(device="d", metric="m", kind=kind, from_s=10, for_s=20, **more)


@pytest.mark.parametrize("kind", list(FaultKind))
def test_outside_its_time_a_fault_changes_nothing(kind: FaultKind) -> None:
    """Before its beginning and from its end on the healthy value is measured."""
    fault = make(kind, size=5.0)
    assert [disturbed(fault, at) for at in (0, 9.99, 30, 50)] == [healthy(at) for at in (0, 9.99, 30, 50)]


@pytest.mark.parametrize("kind", [FaultKind.SPIKE, FaultKind.LEVEL_SHIFT])
def test_spike_and_shift_add_their_size(kind: FaultKind) -> None:
    """Both add a constant; how long they last makes the difference."""
    assert disturbed(make(kind, size=5.0), 15) == healthy(15) + 5.0


def test_drift_grows_to_its_size() -> None:
    """A drift is nothing at its beginning and all of its size at its end."""
    fault = make(FaultKind.DRIFT, size=8.0)
    assert disturbed(fault, 10) == healthy(10)
    assert disturbed(fault, 20) == pytest.approx(healthy(20) + 4.0)


def test_noise_burst_scatters_by_its_size() -> None:
    """The spread of a noise burst is its size."""
    fault = Fault(device="d", metric="m", kind=FaultKind.NOISE_BURST, from_s=0, for_s=2000, size=3.0)
    scatter = [disturbed(fault, at) - healthy(at) for at in range(2000)]
    assert statistics.stdev(scatter) == pytest.approx(3.0, rel=0.1)


def test_flatline_repeats_the_value_at_its_beginning() -> None:
    """A stuck sensor repeats its first value."""
    fault = make(FaultKind.FLATLINE)
    assert {disturbed(fault, at) for at in (10, 15.5, 29)} == {healthy(10)}


def test_out_of_range_takes_the_value_instead() -> None:
    """Out of range replaces the value."""
    assert disturbed(make(FaultKind.OUT_OF_RANGE, size=-99.0), 12) == -99.0


def test_repeated_fault_has_a_label_for_each_time() -> None:
    """A fault that comes again is as many labels as it has beginnings before the end."""
    fault = make(FaultKind.SPIKE, size=1.0, every_s=100)
    labels = label((fault,), start=1000.0, until=1250.0)
    assert [(one.start, one.end) for one in labels] == [(1010.0, 1030.0), (1110.0, 1130.0), (1210.0, 1230.0)]
    assert fault.onset(115) == 110
    assert fault.onset(135) is None


def test_label_names_device_metric_kind_and_times() -> None:
    """A label is written with these six fields."""
    one = Label(device="d", metric="m", kind=FaultKind.DRIFT, start=1.0, end=2.0)
    fields = {"device": "d", "metric": "m", "kind": "drift", "from": 1.0, "to": 2.0, "normal": False}
    assert one.as_dict() == fields


def test_every_kind_of_fault_maps_to_kinds_of_finding() -> None:
    """The map from fault to finding is complete."""
    assert set(FINDING_KINDS) == set(FaultKind)
