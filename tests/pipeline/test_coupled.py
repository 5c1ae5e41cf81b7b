"""Coupled devices: those that people described together."""

from agent.detect import Detector
from agent.domain.records import Reading
from agent.pipeline.coupled import MAX_COVERED, MAX_OTHERS, Coupled


def fleet(*devices: str) -> Detector:
    detector = Detector()
    for place, device in enumerate(devices):
        for metric in ("temperature", "power"):
            detector.update(
                Reading(device=device, metric=metric, value=20.0 + place, unit="°C", at=1000.0), 1000.0
            )
    return detector


def shown(coupled: Coupled, device: str, *metrics: str) -> list[tuple[str, str]]:
    return [(view.device, view.metric) for view in coupled.views(device, metrics)]


def test_devices_under_one_glob_are_coupled() -> None:
    """The suspicious metrics of the others, not of the device itself; a narrow glob comes first."""
    coupled = Coupled(fleet("tank-1a", "tank-1b", "tank-2a", "hall"))
    assert shown(coupled, "tank-1a", "temperature") == []
    coupled.reconfigure(["tank-*", "tank-1?"])
    assert shown(coupled, "tank-1a", "temperature") == [
        ("tank-1b", "temperature"),
        ("tank-2a", "temperature"),
    ]
    assert shown(coupled, "tank-1a", "power")[0] == ("tank-1b", "power")
    assert shown(coupled, "tank-1a") == shown(coupled, "hall", "temperature") == []
    assert shown(coupled, "tank-1a", "humidity") == []


def test_a_glob_for_many_couples_nothing() -> None:
    """A fact on the whole site does not make each prompt long."""
    names = [f"room-{place:02d}" for place in range(MAX_COVERED + 1)]
    coupled = Coupled(fleet(*names))
    coupled.reconfigure(["*"])
    assert shown(coupled, "room-00", "temperature") == []
    coupled = Coupled(fleet(*names[1:]))
    coupled.reconfigure(["*"])
    assert len(shown(coupled, "room-01", "temperature")) == MAX_OTHERS


def test_a_device_that_comes_later_is_coupled() -> None:
    """The globs are compared again."""
    detector = fleet("tank-1a")
    coupled = Coupled(detector)
    coupled.reconfigure(["tank-1?"])
    assert shown(coupled, "tank-1a", "temperature") == []
    detector.update(Reading(device="tank-1b", metric="temperature", value=21.0, unit="°C", at=1001.0), 1001.0)
    assert shown(coupled, "tank-1a", "temperature") == [("tank-1b", "temperature")]
