"""Start, status, steps and end."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis.stateful import run_state_machine_as_test

from executor.errors import (
    CorrelationMismatch,
    ExecutionEnded,
    ExecutionExists,
    ExecutionNotFound,
    InvalidId,
    InvalidInput,
    InvalidNumber,
    InvalidTime,
    ParentNotFound,
    SelfParent,
    StepEnded,
    StepNotFound,
    UnknownRiskLevel,
    UnknownStatus,
    UnknownStep,
    UnknownTriggerKind,
    UnknownVerdict,
)
from executor.models.execution import ExecutionFilter, TriggerKind
from executor.storage.base import ExecutionStorage
from executor.testing.contract.base import Contract
from executor.testing.factories import finish, ids, row, start
from executor.testing.harness import StoreHarness
from executor.testing.life_cycle import life_cycle


class RecordingContract(Contract):
    def test_the_first_nine_values_may_be_given_by_position(self, store: ExecutionStorage) -> None:
        store.record_execution_start("e", "p", "c", "d", "sum", "allow", "low", ["a", "b"], "artifacts")

        found = store.get_execution("e")

        assert found is not None
        assert ("e", "p", "c", "d", "sum", "allow", "low", ["a", "b"], "artifacts") == (
            found.execution_id,
            found.plan_id,
            found.changeset_id,
            found.decision_id,
            found.checksum,
            found.verdict,
            found.risk_level,
            found.affected_paths,
            found.artifact_path,
        )

    def test_what_a_start_returns_is_what_is_stored(self, store: ExecutionStorage) -> None:
        started = start(
            store,
            "e",
            correlation_id="task/1",
            run_id="ci/17",
            title="Fix ä",
            actor="ada",
            base_commit="c" * 40,
            branch="main",
            session="s",
            workspace_id="ws_other",
        )

        assert started == store.get_execution("e")

    def test_a_new_execution_is_pending_and_belongs_to_itself(self, store: ExecutionStorage) -> None:
        found = start(store, "e")

        assert ("pending", "e", None, "manual", 1, store.workspace_id) == (
            found.status,
            found.correlation_id,
            found.parent_execution_id,
            found.trigger_kind,
            found.attempt,
            found.workspace_id,
        )

    @pytest.mark.parametrize("kind", list(TriggerKind))
    def test_attempts_are_counted_along_retries_and_repairs_only(
        self, store: ExecutionStorage, kind: TriggerKind
    ) -> None:
        start(store, "first")
        start(store, "second", "first", trigger_kind="retry")

        third = start(store, "third", "second", trigger_kind=kind)

        assert (3 if kind in ("retry", "repair") else 1) == third.attempt

    def test_a_child_belongs_to_the_correlation_of_its_parent(self, store: ExecutionStorage) -> None:
        start(store, "root", correlation_id="task")

        assert "task" == start(store, "child", "root").correlation_id
        assert "task" == start(store, "other", "child", correlation_id="task").correlation_id

    def test_a_child_of_an_old_row_belongs_to_the_correlation_of_its_id(
        self, store: ExecutionStorage, harness: StoreHarness
    ) -> None:
        harness.write_behind([row("old")])

        assert "old" == start(store, "new", "old", correlation_id="old").correlation_id

    def test_an_equal_second_start_returns_the_first_record_as_it_is_now(
        self, store: ExecutionStorage, harness: StoreHarness
    ) -> None:
        first = start(store, "e", title="t")
        store.record_execution_end("e", "failed")

        again = start(harness.another_store(), "e", title="t")

        assert (first.started_at, "failed") == (again.started_at, again.status)
        assert 2 == len(store.list_events("e"))

    @pytest.mark.parametrize(
        "other",
        [
            {"plan_id": "p"},
            {"changeset_id": "c"},
            {"decision_id": "d"},
            {"checksum": "s"},
            {"verdict": "deny"},
            {"risk_level": "high"},
            {"affected_paths": ["src/b.py"]},
            {"artifact_path": "elsewhere"},
            {"correlation_id": "task"},
            {"parent_execution_id": "parent"},
            {"trigger_kind": "agent"},
            {"run_id": "r"},
            {"workspace_id": "ws"},
            {"title": "t"},
            {"actor": "a"},
            {"base_commit": "b"},
            {"branch": "b"},
            {"session": "s"},
            {"started_at": "2020-01-01T00:00:00Z"},
        ],
        ids=lambda other: next(iter(other)),
    )
    def test_a_second_start_with_other_content_is_refused(
        self, store: ExecutionStorage, other: dict[str, Any]
    ) -> None:
        start(store, "parent", correlation_id="e")
        first = start(store, "e")

        with pytest.raises(ExecutionExists) as caught:
            start(store, "e", **other)

        assert next(iter(other)) in caught.value.differing
        assert first == store.get_execution("e")

    @pytest.mark.parametrize(
        ("values", "error"),
        [
            ({"parent": "gone"}, ParentNotFound),
            ({"parent": "e"}, SelfParent),
            ({"parent": "root", "correlation_id": "another"}, CorrelationMismatch),
            ({"trigger_kind": "cron"}, UnknownTriggerKind),
            ({"trigger_kind": None}, UnknownTriggerKind),
            ({"verdict": "maybe"}, UnknownVerdict),
            ({"risk_level": "tiny"}, UnknownRiskLevel),
            ({"correlation_id": ""}, InvalidId),
            ({"correlation_id": "a\nb"}, InvalidId),
            ({"correlation_id": "x" * 257}, InvalidId),
            ({"run_id": "\ud800"}, InvalidId),
            ({"workspace_id": ""}, InvalidId),
            ({"parent_execution_id": 7}, InvalidId),
            ({"affected_paths": "src/a.py"}, InvalidInput),
            ({"affected_paths": [b"a"]}, InvalidInput),
            ({"affected_paths": None}, InvalidInput),
            ({"plan_id": None}, InvalidInput),
            ({"title": 7}, InvalidInput),
            ({"started_at": datetime(2026, 1, 1)}, InvalidTime),  # noqa: DTZ001 - what is refused
            ({"started_at": "2026-01-01T00:00:00"}, InvalidTime),
            ({"started_at": "yesterday"}, InvalidTime),
            ({"started_at": math.nan}, InvalidTime),
        ],
        ids=str,
    )
    def test_a_start_that_cannot_stand_is_refused_and_leaves_nothing(
        self, store: ExecutionStorage, values: dict[str, Any], error: type[Exception]
    ) -> None:
        start(store, "root")

        with pytest.raises(error) as caught:
            start(store, "e", **values)

        assert isinstance(caught.value, ValueError | LookupError)
        assert store.get_execution("e") is None
        assert [] == store.list_events("e")

    @pytest.mark.parametrize(
        "execution_id",
        ["", " ", "a b", "-a", ".a", "a/b", "ä", "a\0", "x" * 129, "correlation", "statistics", None, 7],
    )
    def test_ids_that_make_trouble_are_refused(self, store: ExecutionStorage, execution_id: Any) -> None:
        with pytest.raises(InvalidId):
            start(store, execution_id)

    @pytest.mark.parametrize("execution_id", ["a", "A-1_b.c", "0", "x" * 128, "Correlation"])
    def test_other_ids_of_callers_are_taken(self, store: ExecutionStorage, execution_id: str) -> None:
        start(store, execution_id)

        assert store.get_execution(execution_id) is not None

    def test_a_given_time_is_stored_as_utc(self, store: ExecutionStorage) -> None:
        zone = timezone(timedelta(hours=2))
        start(store, "a", started_at=datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=zone))
        start(store, "b", started_at="2026-01-01T12:00:00+02:00")

        assert "2026-01-01T10:00:00.000005Z" == _get(store, "a").started_at
        assert "2026-01-01T10:00:00.000000Z" == _get(store, "b").started_at

    def test_text_no_engine_can_hold_is_stored_escaped(self, store: ExecutionStorage) -> None:
        start(store, "e", title="nul \0, half \ud83d", affected_paths=["a\0b", "c\udc80"])

        found = _get(store, "e")

        assert ("nul ␀, half \\ud83d", ["a␀b", "c\\udc80"]) == (found.title, found.affected_paths)

    @pytest.mark.parametrize("status", ["completed", "failed", "rolled_back", "cancelled"])
    def test_an_end_is_stored_whole(self, store: ExecutionStorage, status: str) -> None:
        start(store, "e")

        store.record_execution_end(
            "e",
            status,
            1.5,
            3,
            True,
            True,
            True,
            "boom",
            "verify",
            "check_failed",
            ended_at="2026-02-01T00:00Z",
        )

        found = _get(store, "e")
        assert (status, 1.5, 3, True, True, True, "boom", "verify", "check_failed") == (
            found.status,
            found.duration_seconds,
            found.files_changed,
            found.verification_passed,
            found.health_checks_passed,
            found.rolled_back,
            found.error_message,
            found.error_step,
            found.error_code,
        )
        assert "2026-02-01T00:00:00.000000Z" == found.ended_at
        assert found.rolled_back is True

    def test_an_equal_second_end_changes_nothing(self, store: ExecutionStorage) -> None:
        start(store, "e")
        store.record_execution_end("e", "failed", 1.0, error_message="a", error_step="apply")
        first = store.get_execution("e")

        store.record_execution_end("e", "failed", 1.0, error_message="a", error_step="apply")

        assert first == store.get_execution("e")
        assert 2 == len(store.list_events("e"))

    @pytest.mark.parametrize(
        "other",
        [
            {"status": "completed"},
            {"status": "failed", "duration_seconds": 2.0},
            {"status": "failed", "files_changed": 1},
            {"status": "failed", "rolled_back": True},
            {"status": "failed", "error_message": "b"},
            {"status": "failed", "error_code": "c"},
            {"status": "failed", "ended_at": "2020-01-01T00:00:00Z"},
        ],
        ids=str,
    )
    def test_a_second_end_with_other_values_is_refused(
        self, store: ExecutionStorage, other: dict[str, Any]
    ) -> None:
        start(store, "e")
        store.record_execution_end("e", "failed", 1.0, error_message="a")
        first = store.get_execution("e")

        with pytest.raises(ExecutionEnded):
            store.record_execution_end("e", **other)

        assert first == store.get_execution("e")

    @pytest.mark.parametrize(
        ("values", "error"),
        [
            ({"status": "verifying"}, UnknownStatus),
            ({"status": "done"}, UnknownStatus),
            ({"status": None}, UnknownStatus),
            ({"duration_seconds": math.nan}, InvalidNumber),
            ({"duration_seconds": math.inf}, InvalidNumber),
            ({"duration_seconds": -1.0}, InvalidNumber),
            ({"duration_seconds": "1"}, InvalidNumber),
            ({"duration_seconds": True}, InvalidNumber),
            ({"duration_seconds": 10**400}, InvalidNumber),
            ({"files_changed": -1}, InvalidNumber),
            ({"files_changed": 1.0}, InvalidNumber),
            ({"files_changed": 2**63}, InvalidNumber),
            ({"rolled_back": 1}, InvalidInput),
            ({"error_step": "deploy"}, UnknownStep),
            ({"error_message": b"boom"}, InvalidInput),
            ({"ended_at": datetime(2026, 1, 1)}, InvalidTime),  # noqa: DTZ001 - what is refused
        ],
        ids=str,
    )
    def test_an_end_that_cannot_stand_is_refused(
        self, store: ExecutionStorage, values: dict[str, Any], error: type[Exception]
    ) -> None:
        start(store, "e")

        with pytest.raises(error):
            store.record_execution_end("e", **({"status": "failed"} | values))

        assert "pending" == _get(store, "e").status

    def test_nothing_is_recorded_about_unknown_executions(self, store: ExecutionStorage) -> None:
        for write in (
            lambda: store.record_execution_end("gone", "completed"),
            lambda: store.update_execution_status("gone", "applying"),
            lambda: store.record_step_start("gone", 1, "apply"),
            lambda: store.append_events("gone", [("drift", {})]),
            lambda: store.dismiss("gone", "why"),
            lambda: store.undismiss("gone"),
        ):
            with pytest.raises(ExecutionNotFound):
                write()
        with pytest.raises(StepNotFound):
            store.record_step_end(1, "completed")
        with pytest.raises(StepNotFound):
            store.record_step_end(True, "completed")
        assert 0 == store.last_event_position()

    def test_a_running_execution_moves_through_its_states(self, store: ExecutionStorage) -> None:
        start(store, "e")

        for status in ("validating", "backing_up", "applying", "verifying", "health_checking", "pending"):
            store.update_execution_status("e", status)

            assert status == _get(store, "e").status

    def test_the_first_failing_step_stays(self, store: ExecutionStorage) -> None:
        start(store, "e")
        store.update_execution_status("e", "verifying", "first", "verify")
        store.update_execution_status("e", "verifying", error_step="health")

        store.record_execution_end("e", "rolled_back", error_step="rollback")

        found = _get(store, "e")
        assert ("verify", "first") == (found.error_step, found.error_message)

    @pytest.mark.parametrize("status", ["completed", "failed", "rolled_back", "cancelled", "lost", None])
    def test_a_status_update_is_never_an_end(self, store: ExecutionStorage, status: Any) -> None:
        start(store, "e")

        with pytest.raises(UnknownStatus):
            store.update_execution_status("e", status)

    def test_what_has_ended_moves_no_more(self, store: ExecutionStorage) -> None:
        finish(store, "e")

        with pytest.raises(ExecutionEnded):
            store.update_execution_status("e", "applying")
        with pytest.raises(ExecutionEnded):
            store.record_step_start("e", 1, "apply")
        assert "completed" == _get(store, "e").status

    def test_an_old_status_is_no_end(self, store: ExecutionStorage, harness: StoreHarness) -> None:
        harness.write_behind([row("e", status="running")])

        store.record_execution_end("e", "cancelled")

        assert "cancelled" == _get(store, "e").status

    def test_steps_are_kept_in_order(self, store: ExecutionStorage) -> None:
        start(store, "e")
        second = store.record_step_start("e", 2, "apply", log_ref="steps/2.log")
        first = store.record_step_start("e", 1, "validate")
        store.record_step_end(second, "failed", 0.5, "E1", "boom")

        steps = store.get_execution_steps("e")

        assert [first, second] == [step.id for step in steps]
        assert ("running", None, None) == (steps[0].status, steps[0].ended_at, steps[0].log_ref)
        assert ("apply", "failed", 0.5, "E1", "boom", "steps/2.log") == (
            steps[1].step_name,
            steps[1].status,
            steps[1].duration_seconds,
            steps[1].error_code,
            steps[1].error_message,
            steps[1].log_ref,
        )
        assert {"e": steps, "gone": []} == store.list_steps(["e", "gone"])
        assert {"apply": 1, "validate": 1} == store.count_steps().by_name
        assert {"failed": 1, "running": 1} == store.count_steps().by_status

    def test_a_step_ends_once_also_after_the_execution(self, store: ExecutionStorage) -> None:
        start(store, "e")
        step = store.record_step_start("e", 1, "apply")
        store.record_execution_end("e", "failed")
        store.record_step_end(step, "skipped")
        events = store.list_events("e")

        store.record_step_end(step, "skipped")

        assert events == store.list_events("e")
        with pytest.raises(StepEnded):
            store.record_step_end(step, "failed")

    @pytest.mark.parametrize(
        ("step_num", "step_name", "error"),
        [(-1, "apply", InvalidNumber), (True, "apply", InvalidNumber), (1, "deploy", UnknownStep)],
    )
    def test_a_step_that_cannot_be_is_refused(
        self, store: ExecutionStorage, step_num: int, step_name: str, error: type[Exception]
    ) -> None:
        start(store, "e")

        with pytest.raises(error):
            store.record_step_start("e", step_num, step_name)

        assert [] == store.get_execution_steps("e")

    @pytest.mark.parametrize("status", ["running", "cancelled", "done"])
    def test_a_step_ends_in_a_known_way(self, store: ExecutionStorage, status: str) -> None:
        start(store, "e")
        step = store.record_step_start("e", 1, "apply")

        with pytest.raises(UnknownStatus):
            store.record_step_end(step, status)

    def test_old_rows_read_with_what_their_gaps_mean(
        self, store: ExecutionStorage, harness: StoreHarness
    ) -> None:
        harness.write_behind([row("old", affected_paths="not json", files_changed=None, rolled_back=None)])

        found = _get(store, "old")

        assert ("old", "manual", 1, [], 0, False) == (
            found.correlation_id,
            found.trigger_kind,
            found.attempt,
            found.affected_paths,
            found.files_changed,
            found.rolled_back,
        )
        assert store.workspace_id == found.workspace_id

    @pytest.mark.parametrize("damage", ["[", "{}", "[1, null]", "[" * 100_000, '"a"', "", "NaN", "\0"])
    def test_damaged_paths_read_as_none(
        self, store: ExecutionStorage, harness: StoreHarness, damage: str
    ) -> None:
        harness.write_behind([row("old", affected_paths=damage)])

        assert [] == _get(store, "old").affected_paths
        assert [] == store.list_executions().items[0].affected_paths

    def test_ids_are_exact(self, store: ExecutionStorage, harness: StoreHarness) -> None:
        harness.write_behind([row("Abc"), row("äb"), row("a%")])

        assert store.get_execution("abc") is None
        assert store.get_execution("ABC") is None
        assert store.get_execution("a\u0308b") is None
        assert store.get_execution("a_") is None
        assert store.get_execution("\udcff") is None
        assert "äb" == _get(store, "äb").execution_id

    def test_a_row_without_an_id_is_no_execution(
        self, store: ExecutionStorage, harness: StoreHarness
    ) -> None:
        """Version 0 lets it be written on SQLite."""
        if not harness.ids_may_be_missing:
            pytest.skip("this engine refuses such rows itself")
        nameless = {"execution_id": None, "correlation_id": "a", "parent_execution_id": "a"}
        harness.write_behind([row("a"), row("b", parent_execution_id="a"), row("") | nameless])
        harness.write_behind([row("") | nameless])

        assert ["b", "a"] == ids(store.list_executions(limit=2))
        assert ["a", "b"] == ids(store.list_executions(oldest_first=True))
        assert 2 == store.list_executions(with_total=True).total
        assert 2 == store.get_statistics().total
        assert 2 == store.get_statistics(ExecutionFilter(status=("completed",))).total
        assert ["b"] == ids(store.get_execution_lineage("a")["descendants"])
        assert [] == store.get_execution_lineage("b")["siblings"]
        assert ["a"] == ids(store.list_executions_by_correlation("a"))
        assert 1 == store.count_executions_by_correlation("a")
        assert ["a", "b"] == ids(store.list_executions_by_plan("plan_1"))

    @pytest.mark.parametrize("value", [None, 7, b"e"])
    def test_an_id_is_text(self, store: ExecutionStorage, value: Any) -> None:
        with pytest.raises(InvalidId):
            store.get_execution(value)

    def test_a_closed_store_opens_again(self, store: ExecutionStorage) -> None:
        start(store, "e")
        store.close()
        store.close()

        assert ["e"] == ids(store.list_executions())
        start(store, "f")

    def test_the_clock_of_the_store_gives_the_times(
        self, store: ExecutionStorage, harness: StoreHarness
    ) -> None:
        harness.clock.now = datetime(2031, 1, 1, tzinfo=UTC)
        finish(store, "e")

        found = _get(store, "e")

        assert ("2031-01-01T00:00:01.000000Z", "2031-01-01T00:00:02.000000Z") == (
            found.started_at,
            found.ended_at,
        )

    def test_the_whole_life_follows_a_model(self, harness: StoreHarness) -> None:
        """Random starts, steps, status changes and ends, as a dictionary would have them."""
        run_state_machine_as_test(life_cycle(harness))


def _get(store: ExecutionStorage, execution_id: str) -> Any:
    found = store.get_execution(execution_id)
    assert found is not None
    return found
