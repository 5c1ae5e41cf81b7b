"""Uplinks of LoRaWAN network servers: values, and the radio of the best gateway."""

from typing import Any

from agent.decode.family import Content, Skip, Skipped
from agent.decode.json_family import Frame, JsonFamily, nothing
from agent.decode.times import Moment
from agent.domain.records import Reading

_MAX_GATEWAYS = 64
_SNR = ("snr", "loRaSNR")


def read_uplink(
    family: JsonFamily, frame: Frame, device: str, values: Any, gateways: Any, *, name: str
) -> Content:
    """Return the readings of one uplink.

    Without decoded values there is no reading at all, so that the device shows as unreadable: a payload
    formatter is missing, and the bytes are not guessed.
    """
    if type(values) is not dict or not values:
        return nothing(name, Skip.NO_VALUE, heard=(device,), notes=frame.moment.notes)
    # The default formatter of new applications returns the bytes of the frame.
    raw = [key for key in ("bytes", "raw") if type(values.get(key)) is list]
    content = family.take({key: one for key, one in values.items() if key not in raw}, frame, device=device)
    skipped = content.skipped + tuple(Skipped(key, Skip.NOT_A_VALUE) for key in raw)
    if not content.readings:
        return content._replace(skipped=skipped)
    taken = {reading.metric for reading in content.readings}
    radio = tuple(one for one in _radio(device, gateways, frame.moment) if one.metric not in taken)
    return content._replace(readings=content.readings + radio, skipped=skipped)


def _radio(device: str, gateways: Any, moment: Moment) -> tuple[Reading, ...]:
    """Return signal strength and noise ratio at the gateway with the best reception."""
    heard = [
        one
        for one in (gateways if type(gateways) is list else [])[:_MAX_GATEWAYS]
        if type(one) is dict and type(one.get("rssi")) is float
    ]
    if not heard:
        return ()
    best = max(heard, key=lambda one: float(one["rssi"]))
    # Protobuf JSON leaves out a ratio of 0.
    snr = next((best[key] for key in _SNR if type(best.get(key)) is float), 0.0)
    return (
        Reading(device, "rssi", moment.at, best["rssi"], "dBm"),
        Reading(device, "snr", moment.at, snr, "dB"),
    )
