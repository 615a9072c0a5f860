"""The way back from a change: to the byte and the mode, on any tree, and no further than it has to go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given, settings

from executor.errors import RevertConflict
from executor.governance.policy import Policy
from executor.host.executor import HostExecutor
from executor.models.change import Changeset
from executor.models.execution import ExecutionRecord
from executor.planner.planner import plan_change
from support.trees import (
    REPRESENTATIVE,
    File,
    TreeChange,
    changeset_between,
    snapshot,
    tree_changes,
    write_tree,
)

POLICY = Policy(name="anything", require_verification=False)


@contextmanager
def opened(root: Path) -> Iterator[HostExecutor]:
    with HostExecutor(root, policy=POLICY, environ={}) as host:
        yield host


def carried_out(host: HostExecutor, changeset: Changeset) -> ExecutionRecord:
    now = datetime.now(UTC)
    plan = plan_change(changeset, workspace_id=host.store.workspace_id, now=now, title="Some change")
    record = host.execute(plan, changeset, host.gate.evaluate(plan, changeset, now=now))
    assert record.status == "completed", record.error_message
    return record


@example(change=REPRESENTATIVE)
@given(change=tree_changes())
@settings(max_examples=25)
def test_any_change_is_undone_and_made_again(
    tmp_path_factory: pytest.TempPathFactory, change: TreeChange
) -> None:
    root = change.write(tmp_path_factory.mktemp("tree") / "root")
    before = snapshot(root)
    if not change.changeset.changes:
        return
    with opened(root) as host:
        first = carried_out(host, change.changeset)
        after = snapshot(root)
        undo = host.revert(first.execution_id, verification=())
        undone = snapshot(root)
        again = host.revert(undo.execution_id, verification=())

        assert (before, after) == (undone, snapshot(root))
        assert ["completed", "completed"] == [undo.status, again.status], undo.error_message
        assert {undo.execution_id: again.execution_id} == host.store.list_reverted(
            [first.execution_id, undo.execution_id]
        )


def test_a_file_in_the_way_keeps_all_others_as_they_are(tmp_path: Path) -> None:
    before = {"a": File(b"1\n"), "b": File(b"1\n"), "c": File(b"1\n", 0o755)}
    after = {"a": File(b"2\n"), "b": File(b"2\n"), "c": File(b"1\n")}
    root = write_tree(tmp_path / "root", before)
    with opened(root) as host:
        first = carried_out(host, changeset_between(before, after))
        later = carried_out(host, changeset_between(after, {**after, "b": File(b"3\n")}))
        (root / "a").write_bytes(b"mine\n")
        seen = snapshot(root)

        with pytest.raises(RevertConflict) as caught:
            host.revert(first.execution_id, verification=())

        assert ["a", "b"] == [path for path, _ in caught.value.paths]
        assert ((later.execution_id,), ("a",)) == (caught.value.executions, caught.value.edited)
        assert seen == snapshot(root)
        assert 2 == len(host.store.list_executions().items)
