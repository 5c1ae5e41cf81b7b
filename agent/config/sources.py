"""The section ``sources``: what is read, who is there, and what is the same message."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from agent.config.fields import Section, Whole
from agent.decode.availability import AvailabilitySpec, availability_pattern
from agent.decode.message_id import MessageIdPath
from agent.decode.topics import TopicPattern, covers, overlap


def _words(value: Any) -> Any:
    """Take one word for a list of it; refuse what YAML makes of a bare on, off, yes or no."""
    words = value if isinstance(value, list | tuple) else [value]
    for word in words:
        if isinstance(word, bool):
            raise ValueError(f"{word!r} is what YAML reads here; put the word in quotes")  # noqa: TRY004 - pydantic takes ValueError
        if isinstance(word, str) and not word.strip():
            raise ValueError("holds an empty word; write what the device sends")
    return words


Words = Annotated[
    tuple[Annotated[str, Field(max_length=64)], ...],
    BeforeValidator(_words),
    Field(min_length=1, max_length=16),
]


class AvailabilitySection(Section):
    """Where the devices of a source, or their last wills, say that they are there."""

    topic: str
    online: Words = ("online",)
    offline: Words = ("offline",)

    @field_validator("topic")
    @classmethod
    def _topic_is_a_pattern(cls, value: str) -> str:
        TopicPattern(value)
        return value

    @model_validator(mode="after")
    def _words_are_apart(self) -> Self:
        both = {word.casefold() for word in self.online} & {word.casefold() for word in self.offline}
        if both:
            raise ValueError(
                f"{min(both)!r} means online and offline; keep it in one of them (case is ignored)"
            )
        return self

    @property
    def spec(self) -> AvailabilitySpec:
        """What the decoder needs."""
        return AvailabilitySpec(self.topic, self.online, self.offline)


class SourceSection(Section):
    """One subscription and how its messages are read."""

    topic: str
    format: Literal["auto", "csv", "generic", "influx", "keyvalue", "tag_list"] = "auto"
    qos: Literal[0, 1] = 1
    retained: Literal["seed", "live", "ignore"] = "seed"
    availability: AvailabilitySection | None = None
    dedupe: str | None = None
    new_devices_per_min: Annotated[Whole, Field(ge=0, le=1_000_000)] = 200

    @field_validator("topic")
    @classmethod
    def _topic_is_a_pattern(cls, value: str) -> str:
        TopicPattern(value)
        return value

    @field_validator("dedupe")
    @classmethod
    def _dedupe_is_a_path(cls, value: str | None) -> str | None:
        if value is not None:
            MessageIdPath(value)
        return value

    @model_validator(mode="after")
    def _means_the_same_devices(self) -> Self:
        if self.availability is not None:
            try:
                availability_pattern(self.availability.spec, TopicPattern(self.topic))
            except ValueError as error:
                raise ValueError(f"availability.topic {self.availability.topic!r} {error}") from None
        return self


def refuse_overlaps(sources: tuple[SourceSection, ...]) -> None:
    """Refuse filters of which two match one topic; a source may cover its own availability topic.

    Raises:
        ValueError: which two, and what to do.
    """
    filters = [
        (place, f"[{place}].topic {source.topic!r}", TopicPattern(source.topic).filter)
        for place, source in enumerate(sources)
    ] + [
        (
            place,
            f"[{place}].availability.topic {source.availability.topic!r}",
            TopicPattern(source.availability.topic).filter,
        )
        for place, source in enumerate(sources)
        if source.availability is not None
    ]
    for index, (owner, first, a) in enumerate(filters):
        for other, second, b in filters[index + 1 :]:
            if overlap(a, b) and not (owner == other and covers(a, b)):
                raise ValueError(
                    f"{first} and {second} overlap, so messages would be counted twice; "
                    "make them disjoint or merge them"
                )
