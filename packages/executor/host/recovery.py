"""Putting in order what a dead process left: the workspace first, then the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was done about one execution that was cut short.

    `outcome` says which state the workspace is in now: `before` the change, `after` it, or `mixed` when
    some paths could not be brought back; `incomplete` names these with the reason.
    """

    execution_id: str
    outcome: Literal["before", "after", "mixed"]
    incomplete: Sequence[tuple[str, str]] = ()

    @property
    def complete(self) -> bool:
        return not self.incomplete

    @property
    def sentence(self) -> str:
        match self.outcome:
            case "after":
                return f"recovered {self.execution_id}: it had been verified and is complete"
            case "before":
                return f"recovered {self.execution_id}: it was cut short, the workspace is as before"
            case _:
                shown = "; ".join(f"{path}: {why}" for path, why in self.incomplete[:5])
                return f"recovered {self.execution_id}, but not every file could be put back ({shown})"

    def to_dict(self) -> dict[str, Any]:
        return {
            "execution_id": self.execution_id,
            "outcome": self.outcome,
            "incomplete": [{"path": path, "why": why} for path, why in self.incomplete],
        }
