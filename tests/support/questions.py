"""What a store is asked in the tests of query plans, by name, and the executions it is asked about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from executor.models.execution import ExecutionFilter
from executor.storage.store import ExecutionStore
from executor.testing.contract.lists import PARAMETERS
from executor.testing.factories import row

# Every index, and a question whose answer needs it.
USES: Final = {
    "idx_executions_checksum": "find_completed_by_checksum",
    "idx_executions_correlation_id": "chain",
    "idx_executions_parent_execution_id": "lineage",
    "idx_executions_plan_id": "by_plan",
    "idx_executions_risk_level": "statistics",
    "idx_executions_run_id": "list run",
    "idx_executions_started_at": "list",
    "idx_executions_status": "statistics",
    "idx_executions_status_started_at": "list status",
    "idx_executions_trigger_kind": "list trigger",
    "idx_executions_verdict": "statistics",
    "idx_executions_workspace_id": "list workspace_own",
    "idx_execution_steps_execution_id": "steps",
    "idx_execution_steps_step_name": "count_steps",
    "idx_execution_steps_status": "count_steps",
    "idx_execution_events_position": "events after",
    "idx_execution_events_dismissal": "is_unresolved",
    "idx_execution_links_target_id": "is_unresolved",
    "idx_approvals_correlation_id": "approvals",
    "idx_test_results_test_id": "test history",
}

OF_ONE_FAMILY: Final = (
    *(
        "lineage",
        "cut lineage",
        "chain",
        "attempt tree",
        "is_unresolved",
        "events",
        "links",
        "steps",
        "detail",
    ),
    *("steps of some", "lines of some", "first attempts of some"),
    *("approval", "approvals", "expired approvals", "test results", "test history", "step logs"),
    *("payloads", "sizes of payloads", "dropped payload"),
    "reverted",
)


def ask(store: ExecutionStore, question: str) -> Any:
    """What the store answers."""
    if question == "list":
        return store.list_executions(limit=20)
    if question.startswith("list "):
        values = dict(PARAMETERS[question.removeprefix("list ")])
        if "workspace" in values:
            values["workspace"] = tuple(v.replace("@own", store.workspace_id) for v in values["workspace"])
        page = store.list_executions(ExecutionFilter(**values), 2, with_total=True)
        return store.list_executions(ExecutionFilter(**values), 2, page.next_cursor)
    questions: dict[str, Callable[[], Any]] = {
        "lineage": lambda: store.get_execution_lineage("e0500"),
        "cut lineage": lambda: store.get_execution_lineage("e0000", depth=2, limit=2),
        "chain": lambda: (
            store.list_executions_by_correlation("e0000"),
            store.get_root_execution("e0000"),
        ),
        "attempt tree": lambda: store.get_attempt_tree("e0500"),
        "is_unresolved": lambda: store.is_unresolved("e0500"),
        "reverted": lambda: store.list_reverted(["e0500", "e0501"]),
        "statistics": store.get_statistics,
        "by_plan": lambda: store.list_executions_by_plan("plan_1"),
        "unended": store.list_unended,
        "find_completed_by_checksum": lambda: store.find_completed_by_checksum("abc"),
        "steps": lambda: store.get_execution_steps("e0500"),
        "detail": lambda: store.get_execution_detail("e0500"),
        "steps of some": lambda: store.list_steps(["e0500", "e0501", "gone"]),
        "first attempts of some": lambda: store.list_first_attempts(["e0500", "e0501", "e2050", "gone"]),
        "lines of some": lambda: store.count_lines(["e0500", "e0501", "gone"]),
        "count_steps": store.count_steps,
        "events": lambda: (store.list_events("e0500"), store.list_events("e0500", tail=1)),
        "events after": lambda: (store.read_events_after(5), store.last_event_position()),
        "links": lambda: store.list_links("e0500"),
        "approval": lambda: store.get_approval("e0500"),
        "approvals": lambda: store.list_approvals("e0500", "sum500"),
        "expired approvals": lambda: store.list_expired_approvals(datetime(2026, 1, 1, tzinfo=UTC)),
        "payloads": lambda: store.list_payloads(["e0500", "e0501"]),
        "sizes of payloads": lambda: store.measure_payloads(["e0500", "e0501"]),
        "dropped payload": lambda: store.get_payload_dropped("e0500"),
        "test results": lambda: store.list_test_results("e0500"),
        "test history": lambda: store.list_test_history("test_0"),
        "step logs": lambda: (
            store.list_step_logs("e0500"),
            store.get_step_log("e0500", "steps/01-verify.log"),
        ),
        "prefix": lambda: store.resolve_execution_id("e050", workspace_id=None),
    }
    return questions[question]()


def families() -> Iterator[dict[str, Any]]:
    """Families of ten, one of 1,000 children and a chain of 100."""
    for number in range(3000):
        parent = number - 1 if number % 10 else None
        if 1000 <= number < 2000:
            parent = 999
        if 2001 <= number < 2100:
            parent = number - 1
        yield row(
            f"e{number:04}",
            parent_execution_id=None if parent is None else f"e{parent:04}",
            correlation_id=f"e{number - number % 10:04}",
            trigger_kind=("manual", "retry", "repair", "agent")[number % 4],
            status=("completed", "failed", "rolled_back", "pending")[number % 4],
            verdict=("allow", "need_approval")[number % 2],
            risk_level=("low", "high")[number % 2],
            run_id=f"run/{number // 500}" if number % 7 == 0 else None,
            plan_id=f"plan_{number}",
            checksum=f"sum{number}",
            workspace_id=None if number % 5 else "ws_other",
            started_at=f"2026-01-01T00:{number // 60:02}:{number % 60:02}.000000Z",
        )
