"""Names of devices and metrics as ``ai.share`` lets them leave.

With ``aliases`` a device is an alias of its name and the journal's id, so that it is the same in each
session, and a metric is a word of the closed list. With ``names`` both have their names, except those that
could be read as an instruction. A client may ask by either.
"""

import re
from collections.abc import Iterable
from hashlib import blake2b

from agent.commands.asking.names import Names
from agent.commands.serving.protocol import ToolError
from agent.decode.injection import suspicions
from agent.journal.reader import Reader
from agent.prompt.site import MAX_NAME
from agent.prompt.words import name_metrics, unit_word

MAX_NAMED = 8
_ALIAS = re.compile("dev_[0-9a-f]{8}")


class Naming:
    """The names of one journal.

    Args:
        reader: of the journal.
        names: they may leave.
    """

    def __init__(self, reader: Reader, *, names: bool) -> None:
        self._reader = reader
        self._key = (reader.meta("journal_id") or "").encode()[:64]
        self._metrics: dict[str, dict[str, str]] = {}
        self.names = names

    def device(self, name: str) -> str:
        """Return a device as it may leave."""
        return name if self._fit(name) and not _ALIAS.fullmatch(name) else self._alias(name)

    def metrics(self, device: str, more: Iterable[str] = ()) -> dict[str, str]:
        """Return the metrics of a device, and ``more`` of it, as they may leave, each different."""
        known = self._metrics.get(device)
        if known is None or any(metric not in known for metric in more):
            words = name_metrics([*self._reader.metrics(device), *more])
            known = {metric: metric if self._fit(metric) else word for metric, word in words.items()}
            self._metrics[device] = known
        return known

    def metric(self, device: str, name: str) -> str:
        """Return one metric of a device as it may leave."""
        return self.metrics(device, (name,))[name]

    def unit(self, unit: str | None) -> str | None:
        """Return a unit as it may leave, None without one or where none may."""
        return unit if unit and self._fit(unit) else unit_word(unit)

    def find(self, asked: str) -> str:
        """Return the device of a name, of a part of one, or of an alias.

        Raises:
            ToolError: there is none, or several; the text has no name that may not leave.
        """
        known = self._reader.devices()
        if asked in known:
            return asked
        aliased = [name for name in known if self._alias(name) == asked]
        phrases, _ = Names(known).exact(asked)
        found = aliased or list(dict.fromkeys(device for _, _, devices in phrases for device in devices))
        if len(found) == 1:
            return found[0]
        if not found:
            raise ToolError("device: none is called so; inspect without arguments lists all")
        several = ", ".join(map(self.device, found[:MAX_NAMED]))
        raise ToolError(f"device: {len(found)} are called so; write one of {several}")

    def find_metric(self, device: str, asked: str) -> str:
        """Return the metric of a device by its name or its word.

        Raises:
            ToolError: there is none; the text has no other name.
        """
        for metric, word in self.metrics(device).items():
            if asked in {metric, word}:
                return metric
        raise ToolError("metric: the device has none of that name; inspect without it lists them")

    def _alias(self, name: str) -> str:
        raw = name.encode("utf-8", "surrogatepass")
        return f"dev_{blake2b(raw, digest_size=4, key=self._key).hexdigest()}"

    def _fit(self, text: str) -> bool:
        return self.names and len(text) <= MAX_NAME and text.isprintable() and not suspicions(text)
