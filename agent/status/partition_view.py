"""The partition of an agent, as status and problems show it."""

from dataclasses import dataclass

from agent.decode.partition import Partition
from agent.pipeline.epochs import Epochs, Phase
from agent.pipeline.review_queue import ReviewQueue
from agent.status.schema import PartitionStatus

SLOW_S = 30.0  # for the broker to return a claim


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionView:
    """Reads the parts that know of the partition, from any thread."""

    partition: Partition
    epochs: Epochs
    queue: ReviewQueue

    def status(self) -> PartitionStatus:
        """Return its part of the status object."""
        epochs, queue = self.epochs, self.queue
        return {
            "index": self.partition.settings.index,
            "of": self.partition.settings.of,
            "standby": self.partition.settings.standby,
            "phase": str(epochs.phase),
            "epoch": epochs.own if epochs.active else None,
            "highest_epoch": epochs.known,
            "others": self.partition.others,
            "waiting": queue.waiting,
            "superseded": epochs.superseded,
            "given_up": queue.given_up,
        }

    def problems(self) -> list[str]:
        """Return what a person has to do something about, in sentences."""
        epochs = self.epochs
        if epochs.phase is Phase.HOLDING and epochs.standby:
            return [f"This standby publishes in place of {epochs.first}, which is offline: start it again."]
        if epochs.waits_s() > SLOW_S:
            what = f"The broker does not return the claim on {epochs.topic}, so that nothing is published"
            return [f"{what}: allow this user to read and write it."]
        return []

    def notes(self) -> list[str]:
        """Return the weaknesses that do not stop the work, in sentences."""
        if not self.queue.given_up:
            return []
        what = f"{self.queue.given_up} windows were concluded before the other agent published about them"
        return [f"{what}, because too many waited: look whether that agent works."]
