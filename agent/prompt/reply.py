"""The form of one answer. Apart, for pydantic costs 15 MiB that an agent without a model need not spend."""

from pydantic import BaseModel, ConfigDict, Field

from agent.domain.records import Kind, Severity, Status
from agent.verdict.local_opinion import MAX_CANDIDATES

MAX_EVIDENCE = 2 * MAX_CANDIDATES


class ReplyWindow(BaseModel):
    """What the model says of one window, before anything of it is believed."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    status: Status
    kind: Kind
    severity: Severity
    confidence: int = Field(ge=1, le=3)
    evidence: tuple[str, ...] = Field(max_length=MAX_EVIDENCE)
    summary: str
