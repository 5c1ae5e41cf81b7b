"""The form of one answer, apart because pydantic costs 15 MiB."""

from pydantic import BaseModel, ConfigDict, Field

from agent.domain.records import Kind, Severity, Status
from agent.verdict.local_opinion import MAX_CANDIDATES

MAX_EVIDENCE = 2 * MAX_CANDIDATES


class ReplyWindow(BaseModel):
    """An answer on one window, before it is checked against the readings."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    status: Status
    kind: Kind
    severity: Severity
    confidence: int = Field(ge=1, le=3)
    evidence: tuple[str, ...] = Field(max_length=MAX_EVIDENCE)
    summary: str
