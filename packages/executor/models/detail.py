"""One execution with everything that is kept beside it."""

from __future__ import annotations

from dataclasses import dataclass

from executor.models.approval import Approval
from executor.models.decision import GovernanceDecision
from executor.models.execution import EventRecord, ExecutionRecord, LinkRecord, StepRecord
from executor.models.plan import ChangePlan


@dataclass(frozen=True, slots=True)
class ExecutionDetail:
    """What the store holds of an execution at one moment; documents that were not kept are None.

    `reverted_by` is the execution that undid it, as long as that stands; `payload_dropped` tells when, and that,
    files and contents were given up.
    """

    execution: ExecutionRecord
    unresolved: bool
    steps: list[StepRecord]
    plan: ChangePlan | None
    decision: GovernanceDecision | None
    approval: Approval | None
    links: list[LinkRecord]
    reverted_by: str | None
    payload_dropped: EventRecord | None
