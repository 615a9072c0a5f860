"""Approvals: given once, used once, taken back before they are used."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from executor.errors import AlreadyApproved, ExecutionNotFound, InvalidState
from executor.models.approval import Approval
from executor.models.decision import BaseFile
from executor.models.times import format_time
from executor.storage.base import ExecutionStorage
from executor.testing.contract.base import Contract
from executor.testing.factories import start
from executor.testing.harness import StoreHarness

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def approval(
    execution_id: str, *, by: str = "ann", hours: float = 24, checksum: str | None = None
) -> Approval:
    return Approval(
        approval_id=f"appr_{execution_id}_{by}",
        execution_id=execution_id,
        workspace_id="ws",
        decision_id=f"dec_{execution_id}",
        changeset_checksum=checksum or f"sum_{execution_id}",
        policy_hash="0" * 64,
        base=(BaseFile(path="ä.py", kind="file", sha256="1" * 64),),
        asks=("limits",),
        checks=(("pytest", "-q"),),
        approved_by=by,
        reason="read ä\0",
        approved_at=format_time(NOW),
        expires_at=format_time(NOW + timedelta(hours=hours)),
    )


def await_approval(
    store: ExecutionStorage, execution_id: str, parent: str | None = None, **values: Any
) -> None:
    start(store, execution_id, parent, **{"verdict": "need_approval", **values})


def events(store: ExecutionStorage, execution_id: str) -> list[str]:
    return [event.event for event in store.list_events(execution_id)]


class ApprovalContract(Contract):
    def test_an_approval_comes_back_as_it_was_given_with_its_event(self, store: ExecutionStorage) -> None:
        await_approval(store, "e")
        assert store.get_approval("e") is None

        store.record_approval(approval("e"))

        assert store.get_approval("e") == approval("e")
        record = store.get_execution("e")
        assert record is not None
        assert (record.status, record.awaiting_approval) == ("pending", True)
        assert events(store, "e") == ["execution_start", "approved"]
        assert dict(store.list_events("e")[-1].data) == {
            "approval_id": "appr_e_ann",
            "approved_by": "ann",
            "reason": "read ä\u2400",
            "expires_at": "2026-01-02T00:00:00.000000Z",
        }

    def test_of_two_approvals_the_first_one_counts_and_the_second_learns_of_it(
        self, store: ExecutionStorage
    ) -> None:
        await_approval(store, "e")
        store.record_approval(approval("e"))

        with pytest.raises(AlreadyApproved) as caught:
            store.record_approval(approval("e", by="bob"))

        assert caught.value.approved_by == "ann"
        assert store.get_approval("e") == approval("e")
        assert events(store, "e") == ["execution_start", "approved"]
        assert store.begin_approved("e")
        with pytest.raises(AlreadyApproved):
            store.record_approval(approval("e", by="bob"))

    def test_of_many_who_approve_and_begin_at_once_one_wins(self, harness: StoreHarness) -> None:
        store, other = harness.empty(), harness.another_store()
        await_approval(store, "e")

        def approve(number: int) -> bool:
            try:
                (store, other)[number % 2].record_approval(approval("e", by=f"p{number}"))
            except AlreadyApproved:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sorted(pool.map(approve, range(8))) == [False] * 7 + [True]
            begun = pool.map(lambda number: (store, other)[number % 2].begin_approved("e"), range(8))
            assert sorted(begun) == [False] * 7 + [True]

        record = store.get_execution("e")
        assert record is not None
        assert record.status == "validating"

    def test_only_what_awaits_approval_is_approved(self, store: ExecutionStorage) -> None:
        start(store, "allowed")
        await_approval(store, "ended")
        store.record_execution_end("ended", "cancelled")

        for execution_id in ("allowed", "ended"):
            with pytest.raises(InvalidState):
                store.record_approval(approval(execution_id))
            assert store.get_approval(execution_id) is None
            assert store.begin_approved(execution_id) is False
        with pytest.raises(ExecutionNotFound):
            store.record_approval(approval("unknown"))
        assert store.begin_approved("unknown") is False
        assert store.get_approval("unknown") is None

    def test_what_awaits_approval_is_cancelled_once(self, store: ExecutionStorage) -> None:
        await_approval(store, "e")

        assert store.cancel_awaiting(
            "e", error_code="denied", error_message="no", denied={"denied_by": "ann"}
        )
        assert not store.cancel_awaiting("e", error_code="withdrawn", error_message="late")

        record = store.get_execution("e")
        assert record is not None
        assert (record.status, record.error_code, record.error_message) == ("cancelled", "denied", "no")
        assert record.ended_at is not None
        assert events(store, "e") == ["execution_start", "denied", "execution_end"]
        assert dict(store.list_events("e")[1].data) == {"denied_by": "ann"}
        assert store.list_events("e")[2].data["status"] == "cancelled"

    def test_what_runs_or_never_waited_is_not_cancelled(self, store: ExecutionStorage) -> None:
        await_approval(store, "running")
        store.record_approval(approval("running"))
        assert store.begin_approved("running")
        start(store, "allowed")

        for execution_id in ("running", "allowed", "unknown"):
            assert not store.cancel_awaiting(execution_id, error_code="denied", error_message="no")
        assert events(store, "running") == ["execution_start", "approved"]

    def test_approvals_of_a_change_are_found_within_its_correlation(self, store: ExecutionStorage) -> None:
        await_approval(store, "root", checksum="same")
        await_approval(store, "retry", "root", checksum="same")
        await_approval(store, "repair", "retry", checksum="other", trigger_kind="repair")
        await_approval(store, "elsewhere", checksum="same")
        for execution_id, checksum in (
            ("root", "same"), ("retry", "same"), ("repair", "other"), ("elsewhere", "same"),
        ):  # fmt: skip
            store.record_approval(approval(execution_id, checksum=checksum))

        assert [a.execution_id for a in store.list_approvals("root", "same")] == ["retry", "root"]
        assert [a.execution_id for a in store.list_approvals("root", "other")] == ["repair"]
        assert store.list_approvals("root", "unknown") == []

    def test_approvals_that_ran_out_are_listed_while_nothing_has_begun(self, store: ExecutionStorage) -> None:
        for execution_id, hours in (("short", 1), ("begun", 1), ("denied", 1), ("long", 24)):
            await_approval(store, execution_id)
            store.record_approval(approval(execution_id, hours=hours))
        await_approval(store, "never")
        store.begin_approved("begun")
        store.cancel_awaiting("denied", error_code="denied", error_message="no")

        assert store.list_expired_approvals(NOW + timedelta(minutes=59)) == []
        assert store.list_expired_approvals(NOW + timedelta(hours=1)) == ["short"]
        assert store.list_expired_approvals(NOW + timedelta(days=1)) == ["short", "long"]
