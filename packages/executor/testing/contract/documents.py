"""Plans, changesets, decisions and the bytes of files."""

from __future__ import annotations

import pytest
from msgspec import structs

from executor.errors import ExecutionExists, ExecutionNotFound, InvalidInput
from executor.models.change import Changeset, FileChange, Operation, sha256
from executor.models.decision import BaseFile, GovernanceDecision, RuleOutcome, RuleResult
from executor.models.detail import ExecutionDetail
from executor.models.execution import LineCounts, RiskLevel, TriggerKind, Verdict
from executor.models.plan import ChangePlan, Check, DriftRule, RiskReason
from executor.storage.base import ExecutionStorage
from executor.testing.contract.base import Contract
from executor.testing.factories import row, start
from executor.testing.harness import StoreHarness

OLD, NEW = b"old\0\xff", b"new\n"

CHANGESET = Changeset.of(
    [
        FileChange(
            operation=Operation.UPDATE,
            path="src/ä.py",
            old_sha256=sha256(OLD),
            old_mode=0o644,
            new_sha256=sha256(NEW),
            new_mode=0o755,
            content=NEW,
            lines_added=1,
        ),
        FileChange(operation=Operation.DELETE, path="gone", old_sha256=sha256(OLD), old_mode=0o644),
        FileChange(
            operation=Operation.CREATE, path="empty", new_sha256=sha256(b""), new_mode=0o644, content=b""
        ),
    ],
    "cs_1",
)
PLAN = ChangePlan(
    plan_id="plan_1",
    workspace_id="ws",
    changeset_id="cs_1",
    trigger_kind=TriggerKind.MANUAL,
    title="Fix ä",
    why=None,
    scope=("src/ä.py",),
    proposed_risk=RiskLevel.LOW,
    risk_reasons=(RiskReason(level=RiskLevel.LOW, reason="small"),),
    verification=(Check(name="tests", argv=("pytest", "-q")),),
    health_checks=(),
    rollback="restore",
    drift=DriftRule.FAIL,
    created_at="2026-01-01T00:00:00.000000Z",
)
DECISION = GovernanceDecision(
    decision_id="dec_1",
    workspace_id="ws",
    plan_id="plan_1",
    changeset_id="cs_1",
    changeset_checksum=CHANGESET.checksum,
    policy_name="built-in",
    policy_hash="0" * 64,
    verdict=Verdict.ALLOW,
    proposed_risk=RiskLevel.LOW,
    effective_risk=RiskLevel.LOW,
    rules=(RuleResult(rule="paths", outcome=RuleOutcome.PASS),),
    base=(BaseFile(path="src/ä.py", kind="file", sha256=sha256(OLD)),),
    decided_at="2026-01-01T00:00:00.000000Z",
)
IDS = {"plan_id": "plan_1", "changeset_id": "cs_1", "decision_id": "dec_1", "checksum": CHANGESET.checksum}


class DocumentContract(Contract):
    def test_documents_come_back_as_they_were_given(self, store: ExecutionStorage) -> None:
        start(
            store,
            "e",
            plan=PLAN,
            changeset=CHANGESET,
            decision=DECISION,
            base_contents={sha256(OLD): OLD},
            **IDS,
        )

        assert store.get_plan("e") == PLAN
        assert store.get_changeset("e") == CHANGESET
        assert store.get_decision("e") == DECISION
        assert store.get_content("e", sha256(OLD)) == OLD
        assert store.get_content("e", sha256(NEW)) == NEW
        assert store.get_content("e", sha256(b"")) == b""
        assert store.get_content("e", sha256(b"other")) is None

    def test_one_read_gives_what_the_others_give(
        self, store: ExecutionStorage, harness: StoreHarness
    ) -> None:
        """Also of an execution that has nothing, one that was made up for, and one of an old program."""
        start(store, "e", plan=PLAN, changeset=CHANGESET, decision=DECISION, **IDS)
        store.record_step_end(store.record_step_start("e", 1, "verify"), "failed", 0.5)
        store.record_execution_end("e", "failed")
        start(store, "awaiting", "e", trigger_kind="retry", verdict="need_approval")
        for name in ("other", "undone"):
            start(store, name)
            store.record_execution_end(name, "completed")
        store.add_link("other", "evidence", "e")
        store.add_link("other", "reverts", "undone")
        harness.write_behind([row("old", status="failed")])
        for name in ("e", "awaiting", "other", "undone", "old"):
            detail = store.get_execution_detail(name)

            assert detail == ExecutionDetail(
                execution=store.get_execution(name),  # type: ignore[arg-type]
                unresolved=store.is_unresolved(name),
                steps=store.get_execution_steps(name),
                plan=store.get_plan(name),
                decision=store.get_decision(name),
                approval=store.get_approval(name),
                links=store.list_links(name),
                reverted_by=store.list_reverted([name]).get(name),
                payload_dropped=store.get_payload_dropped(name),
            )
        assert store.get_execution_detail("e").unresolved
        assert "other" == store.get_execution_detail("undone").reverted_by
        with pytest.raises(ExecutionNotFound):
            store.get_execution_detail("gone")

    def test_the_lines_of_many_changes_are_counted_at_once(
        self, store: ExecutionStorage, harness: StoreHarness
    ) -> None:
        """Of the executions asked for; an old one has no changeset, and one may be shared."""
        changeset = Changeset.of(
            [
                FileChange(operation=Operation.DELETE, path="a", old_sha256=sha256(OLD), lines_removed=3),
                FileChange(
                    operation=Operation.CREATE, path="b", new_sha256=sha256(NEW), content=NEW, lines_added=2
                ),
                FileChange(
                    operation=Operation.CREATE, path="c", new_sha256=sha256(NEW), content=NEW, lines_added=5
                ),
            ],
            "cs_2",
        )
        start(store, "one", changeset=CHANGESET, **IDS)
        start(store, "two", changeset=changeset, changeset_id="cs_2", checksum=changeset.checksum)
        start(store, "again", "two", changeset=changeset, changeset_id="cs_2", checksum=changeset.checksum)
        harness.write_behind([row("old")])

        assert {
            "two": LineCounts(7, 3),
            "again": LineCounts(7, 3),
        } == store.count_lines(["again", "old", "gone", "two"])
        assert {"one": LineCounts(1, 0)} == store.count_lines(["one"])
        assert {} == store.count_lines([])

    def test_a_change_that_is_known_later_is_recorded_later(self, store: ExecutionStorage) -> None:
        start(store, "e")
        recorded = store.record_change(
            "e", plan=PLAN, changeset=CHANGESET, decision=DECISION, base_contents={sha256(OLD): OLD}
        )

        assert recorded == store.get_execution("e")
        assert {name: getattr(recorded, name) for name in IDS} == IDS
        assert list(recorded.affected_paths) == CHANGESET.paths
        assert (store.get_plan("e"), store.get_decision("e")) == (PLAN, DECISION)
        assert store.get_changeset("e") == CHANGESET
        assert store.get_content("e", sha256(OLD)) == OLD

        store.update_execution_status("e", "validating")
        for execution_id, error in (("e", ExecutionExists), ("gone", ExecutionNotFound)):
            with pytest.raises(error):
                store.record_change(execution_id, plan=PLAN, changeset=CHANGESET, decision=DECISION)

    def test_a_plan_that_was_kept_before_its_change_was_known_gives_way(
        self, store: ExecutionStorage
    ) -> None:
        start(store, "e", plan=structs.replace(PLAN, changeset_id="cs", scope=()), plan_id="plan_1")

        store.record_change("e", plan=PLAN, changeset=CHANGESET, decision=DECISION)

        assert PLAN == store.get_plan("e")

    def test_attempts_share_the_documents_of_their_correlation(self, store: ExecutionStorage) -> None:
        start(store, "a", plan=PLAN, changeset=CHANGESET, decision=DECISION, **IDS)
        start(store, "b", "a", plan=PLAN, changeset=CHANGESET, **IDS)
        start(store, "stranger", **IDS)

        assert store.get_changeset("b") == CHANGESET
        assert store.get_decision("b") == DECISION
        assert store.get_changeset("stranger") is None
        assert store.get_content("stranger", sha256(NEW)) is None

    def test_executions_without_documents_have_none(self, store: ExecutionStorage) -> None:
        start(store, "e")

        assert (None, None, None) == (store.get_plan("e"), store.get_changeset("e"), store.get_decision("e"))
        for ask in (store.get_plan, store.get_changeset, store.get_decision):
            with pytest.raises(ExecutionNotFound):
                ask("gone")
        with pytest.raises(ExecutionNotFound):
            store.get_content("gone", "x")

    def test_documents_of_something_else_are_refused(self, store: ExecutionStorage) -> None:
        for values in (
            {"plan": PLAN},
            {"changeset": CHANGESET},
            {"decision": DECISION},
            {"base_contents": {"0" * 64: OLD}},
        ):
            with pytest.raises(InvalidInput):
                start(store, "e", **values)

        assert store.get_execution("e") is None

    def test_damaged_documents_read_as_none(self, store: ExecutionStorage, harness: StoreHarness) -> None:
        harness.write_behind([row("e", **IDS)])
        key = {"correlation_id": "e", "created_at": "t", "document": "{"}
        harness.write_behind([key | {"plan_id": "plan_1"}], "plans")
        harness.write_behind([key | {"changeset_id": "cs_1", "checksum": "x"}], "changesets")
        harness.write_behind([key | {"decision_id": "dec_1"}], "decisions")

        assert (None, None, None) == (store.get_plan("e"), store.get_changeset("e"), store.get_decision("e"))

    def test_a_changeset_whose_contents_are_gone_keeps_its_shape(
        self, store: ExecutionStorage, harness: StoreHarness
    ) -> None:
        from executor.storage.documents import encode, without_contents

        harness.write_behind([row("e", **IDS)])
        document = {"document": encode(without_contents(CHANGESET)), "checksum": CHANGESET.checksum}
        harness.write_behind(
            [document | {"changeset_id": "cs_1", "correlation_id": "e", "created_at": "t"}], "changesets"
        )

        assert without_contents(CHANGESET) == store.get_changeset("e")
