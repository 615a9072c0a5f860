"""The pure functions that say what every engine has to answer, and the page that explains them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.errors import ExecutionNotFound, InvalidLimit
from executor.graph import attempt_tree, chain, effective, lineage, place, reverted, root, unresolved
from executor.models.execution import ExecutionRecord, LinkRecord
from executor.storage.store import ExecutionStore
from executor.testing.factories import as_record, ids, row, start
from executor.testing.strategies import rows as any_rows

PAGE = Path(__file__).parents[1] / "docs" / "graph.md"


def record(execution_id: str, parent: str | None = None, **values: Any) -> ExecutionRecord:
    """A row; children are retries, and each starts later than the one made before it."""
    given = {"parent_execution_id": parent, "trigger_kind": "retry" if parent else "manual"}
    return as_record(row(execution_id, **(given | values)))


def shown(rows: list[ExecutionRecord], execution_id: str, **limits: Any) -> tuple[list[str], ...]:
    found = lineage(rows, execution_id, **limits)
    return ids(found["ancestors"]), ids(found["descendants"]), ids(found["siblings"])


FAMILY = [record("root"), record("a", "root"), record("b", "root"), record("a1", "a"), record("a11", "a1")]


def test_a_lineage_names_ancestors_descendants_and_siblings() -> None:
    assert (["root"], ["a1", "a11"], ["b"]) == shown(FAMILY, "a")
    assert (["root", "a", "a1"], [], []) == shown(FAMILY, "a11")
    assert ([], ["a", "b", "a1", "a11"], []) == shown(FAMILY, "root")


def test_depth_counts_generations_both_ways() -> None:
    assert (["a1"], [], []) == shown(FAMILY, "a11", depth=1)
    assert ([], ["a", "b"], []) == shown(FAMILY, "root", depth=1)
    assert ([], ["a", "b", "a1"], []) == shown(FAMILY, "root", depth=2)


def test_a_limit_keeps_the_nearest_and_the_first_of_each_list() -> None:
    assert (["a", "a1"], [], []) == shown(FAMILY, "a11", limit=2)
    assert ([], ["a", "b", "a1"], []) == shown(FAMILY, "root", limit=3)
    assert (["root"], [], ["a"]) == shown([*FAMILY, record("c", "root")], "b", limit=1)


@pytest.mark.parametrize(
    ("execution_id", "limits", "truncated"),
    [
        ("a11", {"depth": 3}, (False, False, False)),
        ("a11", {"depth": 2}, (True, False, False)),
        ("a11", {"limit": 2}, (True, False, False)),
        ("root", {"depth": 3}, (False, False, False)),
        ("root", {"depth": 2}, (False, True, False)),
        ("root", {"limit": 4}, (False, False, False)),
        ("root", {"limit": 3}, (False, True, False)),
        ("b", {"limit": 1}, (False, False, True)),
    ],
)
def test_a_lineage_says_what_was_cut(
    execution_id: str, limits: dict[str, Any], truncated: tuple[bool, bool, bool]
) -> None:
    rows = [*FAMILY, record("c", "root")] if execution_id == "b" else FAMILY
    found = lineage(rows, execution_id, **limits)["truncated"]

    assert truncated == (found["ancestors"], found["descendants"], found["siblings"])


def test_a_generation_is_in_the_order_of_time_then_id() -> None:
    rows = [record("r"), record("b", "r"), record("a", "r"), record("z", "r", started_at="2020")]

    assert ["z", "a", "b"] == ids(lineage(rows, "r")["descendants"])


def test_cycles_end_and_nobody_is_a_relative_of_itself() -> None:
    rows = [
        record("a", "c"),
        record("b", "a"),
        record("c", "b"),
        record("below", "a"),
        record("self", "self"),
    ]

    assert (["b", "c"], ["b", "below", "c"], []) == shown(rows, "a")
    assert (["b", "c", "a"], [], ["b"]) == shown(rows, "below")
    assert ([], [], []) == shown(rows, "self")


def test_siblings_may_share_a_parent_that_is_missing() -> None:
    assert ([], [], ["b"]) == shown([record("a", "gone"), record("b", "gone")], "a")


def test_links_between_correlations_are_followed() -> None:
    rows = [record("a", correlation_id="x"), record("b", "a", correlation_id="y")]

    assert (["a"], [], []) == shown(rows, "b")
    assert ["b"] == ids(chain(rows, "y"))


def test_missing_values_have_a_meaning() -> None:
    found = effective(as_record(row("a")), "ws")

    assert ("a", "manual", 1, "ws") == (
        found.correlation_id,
        found.trigger_kind,
        found.attempt,
        found.workspace_id,
    )
    full = record("a", correlation_id="t", workspace_id="w", attempt=2)
    assert full == effective(full, "ws")


def test_a_chain_is_cut_after_its_earliest_and_its_root_has_no_parent() -> None:
    rows = [
        record("b", "gone", correlation_id="t"),
        record("c", correlation_id="t"),
        record("t", started_at="3"),
    ]

    assert ["b", "c"] == ids(chain(rows, "t", limit=2))
    assert ["b", "c", "t"] == ids(chain(rows, "t"))
    assert "c" == getattr(root(rows, "t"), "execution_id", None)
    assert root(rows[:1], "t") is None
    assert root(rows, "nowhere") is None
    assert [] == chain(rows, "nowhere")


def test_an_attempt_tree_is_connected_by_retries_and_repairs() -> None:
    rows = [
        record("task"),
        record("retry", "task"),
        record("repair", "task", trigger_kind="repair"),
        record("spawned", "repair", trigger_kind="child"),
        record("spawned again", "spawned"),
        record("lost", "gone"),
        record("lost too", "gone"),
    ]

    assert ["repair", "retry", "task"] == ids(attempt_tree(rows, "retry"))
    assert ["spawned", "spawned again"] == ids(attempt_tree(rows, "spawned again"))
    assert ["lost", "lost too"] == ids(attempt_tree(rows, "lost"))


def test_a_place_that_was_never_recorded_is_unknown() -> None:
    rows = [
        record("lost", "gone"),
        record("a", "b"),
        record("b", "a"),
        record("c", "a", trigger_kind="child"),
    ]

    assert (None, None, None) == place(rows, "lost")
    assert (None, None, None) == place(rows, "a")
    found = place(rows, "c")
    assert (None, "c", "a") == (found.root, *ids([r for r in found[1:] if r]))


def test_unknown_executions_are_no_rows() -> None:
    for ask in (lineage, place, attempt_tree, unresolved):
        with pytest.raises(ExecutionNotFound):
            ask(FAMILY, "gone")


@pytest.mark.parametrize("value", [0, -1, True, 1.0, "1", None])
def test_limits_are_whole_numbers_of_at_least_one(value: Any) -> None:
    for ask in (
        lambda: lineage(FAMILY, "a", depth=value),
        lambda: lineage(FAMILY, "a", limit=value),
        lambda: chain(FAMILY, "a", limit=value),
    ):
        with pytest.raises(InvalidLimit):
            ask()


def test_what_is_unresolved() -> None:
    first = record("first", status="failed", started_at="1")
    second = record("second", "first", status="rolled_back", started_at="2")
    fix = record("fix", "first", status="completed", trigger_kind="repair", started_at="3")
    revert = record("revert", "fix", status="completed", trigger_kind="manual", started_at="4")
    reverts = LinkRecord("revert", "reverts", "fix")

    assert unresolved([first], "first")
    assert unresolved([first, second], "first")
    assert not unresolved([first, second, fix], "first")
    assert not unresolved([first, second, fix], "fix")
    assert unresolved([first, second, fix, revert], "first", links=[reverts])
    assert not unresolved([first, fix], "first", links=[reverts])
    assert not unresolved([first, fix, revert], "first", links=[LinkRecord("revert", "evidence", "fix")])
    again = record("again", "revert", status="completed", trigger_kind="manual", started_at="5")
    back = [reverts, LinkRecord("again", "reverts", "revert")]
    assert not unresolved([first, fix, revert, again], "first", links=back)
    assert {"revert": "again"} == reverted([first, fix, revert, again], back)
    assert {"fix": "revert"} == reverted([first, fix, revert], back)
    assert not unresolved([first], "first", dismissed=["first"])
    assert not unresolved([first], "first", since="2")
    assert unresolved([record("waits", status="pending", verdict="need_approval")], "waits")


def test_only_a_later_success_makes_up_for_a_failure() -> None:
    earlier = record("task", status="completed", started_at="1")
    failed = record("again", "task", status="failed", started_at="2")

    assert unresolved([earlier, failed], "again")


@given(rows=any_rows(max_size=20), depth=st.integers(1, 5), limit=st.integers(1, 5))
def test_in_any_graph_no_one_is_its_own_relative_and_no_list_repeats(
    rows: list[dict[str, Any]], depth: int, limit: int
) -> None:
    records = [as_record(values) for values in rows]
    for execution in records:
        found = lineage(records, execution.execution_id, depth, limit)
        whole = lineage(records, execution.execution_id, 10**6, 10**6)
        for name in ("ancestors", "descendants", "siblings"):
            near, far = ids(found[name]), ids(whole[name])

            assert execution.execution_id not in far
            assert len(set(far)) == len(far)
            assert near == (far[-len(near) :] if name == "ancestors" and near else far[: len(near)])
            assert found["truncated"][name] == (near != far)


def _table(heading: str) -> Iterator[dict[str, str | None]]:
    """The rows of the table of the page whose first column has this heading."""
    lines = PAGE.read_text("utf-8").splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    names = [cell.strip() for cell in lines[first].strip("|").split("|")]
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            return
        cells = [re.sub(r"`(.*)`", r"\1", cell.strip()) for cell in line.strip("|").split("|")]
        yield {name: None if cell == "–" else cell for name, cell in zip(names, cells, strict=True)}


def test_the_truth_table_is_what_the_store_records(tmp_path: Path) -> None:
    rows = list(_table("Execution"))
    with ExecutionStore(tmp_path) as store:
        for told in rows:
            start(store, str(told["Execution"]), told["Parent"], trigger_kind=told["Trigger kind"])
        records = store.list_executions(limit=100).items
    by_id = {r.execution_id: r for r in records}

    assert {"manual", "agent", "retry", "repair", "child", "scheduled"} == {
        told["Trigger kind"] for told in rows
    }
    for told in rows:
        found = by_id[str(told["Execution"])]
        where = place(records, found.execution_id)
        assert told == {
            "Execution": found.execution_id,
            "Trigger kind": found.trigger_kind,
            "Parent": found.parent_execution_id,
            "Correlation": found.correlation_id,
            "Attempt": str(found.attempt),
            "Root": where.root and where.root.execution_id,
            "First attempt": where.first_attempt and where.first_attempt.execution_id,
            "Spawner": where.spawner and where.spawner.execution_id,
        }


def test_the_page_names_every_trigger_kind() -> None:
    assert {"manual", "agent", "retry", "repair", "child", "scheduled"} == {
        told["Trigger kind"] for told in _table("Trigger kind")
    }
