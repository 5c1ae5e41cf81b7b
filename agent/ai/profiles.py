"""What each kind of endpoint understands, and what this one turned out not to."""

from dataclasses import dataclass, field

from agent.ai.protocols import Request

FORMATS = ("json_schema", "json_object", "none")


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of a kind of endpoint before it is asked."""

    name: str
    response_format: str = "json_schema"
    max_tokens_field: str = "max_tokens"
    slow_start: bool = False  # loads the model on the first call: a longer deadline once, no breaker failure
    counts_after_cut: bool = False  # reports prompt tokens after silently cutting a long prompt
    moderates: bool = False


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("openai", max_tokens_field="max_completion_tokens", moderates=True),
        Profile("azure", max_tokens_field="max_completion_tokens"),
        Profile("vllm"),
        Profile("llamacpp", slow_start=True),
        Profile("ollama", slow_start=True, counts_after_cut=True),
    )
}


@dataclass(slots=True)
class Dialect:
    """How one model of the endpoint is spoken to; what it refuses once is remembered."""

    profile: Profile
    response_format: str = ""
    max_tokens_field: str = ""
    temperature: bool = True
    seed: bool = True
    moderation: bool = True
    _refused: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.response_format = self.response_format or self.profile.response_format
        self.max_tokens_field = self.max_tokens_field or self.profile.max_tokens_field
        self.moderation = self.profile.moderates

    def differs(self, request: Request) -> bool:
        """Say whether ``request`` was made before another call found out what is not taken."""
        return (
            request.response_format != self.response_format
            or request.max_tokens_field != self.max_tokens_field
            or (request.temperature is not None and not self.temperature)
            or (request.seed is not None and not self.seed)
            or (request.moderation_model is not None and not self.moderation)
        )

    def adapt(self, refused: str) -> bool:
        """Do without what was refused; return whether that changes the request."""
        if refused == "response_format":
            place = FORMATS.index(self.response_format) + 1
            if place >= len(FORMATS):
                return False
            self.response_format = FORMATS[place]
            return True
        if refused in self._refused:
            return False
        self._refused.add(refused)
        match refused:
            case "max_tokens":
                other = self.max_tokens_field == "max_tokens"
                self.max_tokens_field = "max_completion_tokens" if other else "max_tokens"
            case "temperature":
                self.temperature = False
            case "seed":
                self.seed = False
            case "moderation":
                self.moderation = False
            case _:
                return False
        return True
