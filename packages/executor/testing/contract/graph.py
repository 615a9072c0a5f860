"""Lineage, chains, roots, attempt trees: as `executor.graph` says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, note
from hypothesis import strategies as st

from executor import graph
from executor.errors import ExecutionNotFound, InvalidLimit, InvalidState
from executor.models.execution import ExecutionRecord
from executor.storage.base import ExecutionStorage
from executor.testing.contract.base import Contract
from executor.testing.factories import as_record, finish, ids, row, start
from executor.testing.harness import StoreHarness
from executor.testing.strategies import MISSING_IDS
from executor.testing.strategies import rows as any_rows

_limits = st.one_of(st.integers(1, 4), st.just(10_000), st.integers(5, 2**70))


def _paged(store: ExecutionStorage, correlation_id: str, limit: int) -> list[ExecutionRecord]:
    """The first `limit` of a chain, joined from pages of three."""
    found: list[ExecutionRecord] = []
    cursor = None
    while len(found) < limit:
        page = store.list_chain(correlation_id, 3, cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    return found[:limit]


class GraphContract(Contract):
    def test_every_lineage_is_as_the_pure_functions_say(self, harness: StoreHarness) -> None:
        """Also for cycles, dangling parents, links between correlations, gaps and odd ids."""

        @given(rows=any_rows(), data=st.data())
        def check(rows: list[dict[str, Any]], data: st.DataObject) -> None:
            store, records = _written(harness, rows)
            depth, limit = data.draw(_limits, "depth"), data.draw(_limits, "limit")
            for record in records:
                note(f"lineage of {record.execution_id!r}")
                expected = graph.lineage(
                    records, record.execution_id, depth, limit, workspace_id=store.workspace_id
                )

                assert expected == store.get_execution_lineage(record.execution_id, depth, limit)

        check()

    def test_every_chain_root_and_attempt_tree_is_as_the_pure_functions_say(
        self, harness: StoreHarness
    ) -> None:
        @given(rows=any_rows(), data=st.data())
        def check(rows: list[dict[str, Any]], data: st.DataObject) -> None:
            store, records = _written(harness, rows)
            limit, own = data.draw(_limits, "limit"), store.workspace_id
            correlations = {r.correlation_id or r.execution_id for r in records} | {"nowhere", "task"}
            for name in correlations:
                chain = graph.chain(records, name, limit, workspace_id=own)

                assert chain == store.list_executions_by_correlation(name, limit)
                assert chain == _paged(store, name, limit)
                assert graph.root(records, name, workspace_id=own) == store.get_root_execution(name)
                assert len(graph.chain(records, name, 10**9)) == store.count_executions_by_correlation(name)
            for record in records:
                tree = graph.attempt_tree(records, record.execution_id, workspace_id=own)

                assert tree[:limit] == store.get_attempt_tree(record.execution_id, limit)
            # A NUL in old ids is in no list of ids.
            places = {
                r.execution_id: graph.place(records, r.execution_id)
                for r in records
                if "\0" not in r.execution_id
            }

            assert {
                name: place.first_attempt.execution_id
                for name, place in places.items()
                if place.first_attempt is not None
            } == store.list_first_attempts([*places, "unknown"])
            assert {} == store.list_first_attempts([])

        check()

    def test_what_is_unresolved_is_as_the_pure_functions_say(self, harness: StoreHarness) -> None:
        @given(rows=any_rows(max_size=8), data=st.data())
        def check(rows: list[dict[str, Any]], data: st.DataObject) -> None:
            store, records = _written(harness, rows)
            names = st.sampled_from([record.execution_id for record in records])
            for source, target in data.draw(st.lists(st.tuples(names, names), max_size=5), "reverts"):
                store.add_link(source, "reverts", target)
            dismissed = set()
            for name in data.draw(st.lists(names, max_size=3), "dismissed"):
                try:
                    store.dismiss(name, "known")
                except InvalidState:
                    continue
                dismissed.add(name)
            for name in data.draw(st.lists(names, max_size=1), "undismissed"):
                store.undismiss(name)
                dismissed.discard(name)
            upgraded = data.draw(st.sampled_from(["2000-01-01 00:00:00", "2026-01-02 00:00:00"]), "upgraded")
            harness.set_upgraded_at(upgraded)
            links = [link for record in records for link in store.list_links(record.execution_id)]
            since = upgraded.replace(" ", "T")
            for record in records:
                expected = graph.unresolved(
                    records, record.execution_id, links=links, dismissed=dismissed, since=since
                )

                assert expected == store.is_unresolved(record.execution_id)
            every = [*(record.execution_id for record in records), "unknown"]

            assert graph.reverted(records, links) == store.list_reverted(every)
            assert {} == store.list_reverted([])

        check()

    def test_the_first_of_very_many_attempts_is_not_looked_for(
        self, store: ExecutionStorage, harness: StoreHarness
    ) -> None:
        """The nearest 10,000 are; what is asked for beside them is answered."""
        chain = [
            row(
                f"e{number:05}",
                parent_execution_id=f"e{number - 1:05}" if number else None,
                correlation_id="e00000",
                trigger_kind="retry" if number else "manual",
            )
            for number in range(10_002)
        ]
        harness.write_behind(chain)

        assert {"e09999": "e00000"} == store.list_first_attempts(["e09999"])
        assert {} == store.list_first_attempts(["e10001"])
        assert {"e00000": "e00000"} == store.list_first_attempts(["e10001", "e00000"])

    def test_a_family_of_attempts_reads_as_it_happened(self, store: ExecutionStorage) -> None:
        start(store, "exec_001")
        start(store, "exec_002", "exec_001", correlation_id="exec_001")
        start(store, "exec_003", "exec_002", trigger_kind="repair")
        start(store, "exec_004", "exec_001", trigger_kind="child")

        lineage = store.get_execution_lineage("exec_002")

        assert ["exec_001"] == ids(lineage["ancestors"])
        assert "exec_002" == lineage["execution"].execution_id
        assert ["exec_003"] == ids(lineage["descendants"])
        assert ["exec_004"] == ids(lineage["siblings"])
        assert {"ancestors": False, "descendants": False, "siblings": False} == lineage["truncated"]
        assert ["exec_001", "exec_002", "exec_003", "exec_004"] == ids(
            store.list_executions_by_correlation("exec_001")
        )
        assert ["exec_001", "exec_002", "exec_003"] == ids(store.get_attempt_tree("exec_002"))

    def test_unknown_executions_correlations_and_roots_are_told_apart(self, store: ExecutionStorage) -> None:
        with pytest.raises(ExecutionNotFound):
            store.get_execution_lineage("gone")
        with pytest.raises(ExecutionNotFound):
            store.get_attempt_tree("gone")
        with pytest.raises(ExecutionNotFound):
            store.is_unresolved("gone")
        assert [] == store.list_executions_by_correlation("gone")
        assert [] == store.list_chain("gone").items
        assert store.get_root_execution("gone") is None

    @pytest.mark.parametrize("value", [0, -1, True, 1.0, "1", None])
    def test_limits_are_whole_numbers_of_at_least_one(self, store: ExecutionStorage, value: Any) -> None:
        start(store, "e")
        for ask in (
            lambda: store.get_execution_lineage("e", depth=value),
            lambda: store.get_execution_lineage("e", limit=value),
            lambda: store.list_executions_by_correlation("e", limit=value),
            lambda: store.get_attempt_tree("e", limit=value),
            lambda: store.list_executions(limit=value),
            lambda: store.list_executions_by_plan("p", limit=value),
            lambda: store.list_events("e", limit=value),
            lambda: store.read_events_after(0, limit=value),
        ):
            with pytest.raises(InvalidLimit):
                ask()

    def test_a_chain_of_a_hundred_thousand_is_walked_to_its_end(
        self, store: ExecutionStorage, harness: StoreHarness
    ) -> None:
        length = 100_000
        harness.write_behind(_chain(length))

        top = store.get_execution_lineage("e000000", depth=10**9, limit=10**9)
        bottom = store.get_execution_lineage(f"e{length - 1:06}", depth=10**9, limit=10**9)
        middle = store.get_execution_lineage(f"e{length // 2:06}", depth=3, limit=10**9)

        assert [f"e{n:06}" for n in range(1, length)] == ids(top["descendants"])
        assert [f"e{n:06}" for n in range(length - 1)] == ids(bottom["ancestors"])
        assert [f"e{length // 2 + n:06}" for n in (-3, -2, -1)] == ids(middle["ancestors"])
        assert [f"e{length // 2 + n:06}" for n in (1, 2, 3)] == ids(middle["descendants"])
        assert {"ancestors": True, "descendants": True, "siblings": False} == middle["truncated"]

    def test_ten_thousand_siblings_are_cut_in_order(
        self, store: ExecutionStorage, harness: StoreHarness
    ) -> None:
        count = 10_000
        children = [
            row(f"c{n:05}", parent_execution_id="root", started_at=f"2026-01-01T00:00:00.{count - n:06}Z")
            for n in range(count)
        ]
        harness.write_behind([row("root"), *children])
        in_order = [child["execution_id"] for child in reversed(children)]

        assert in_order == ids(store.get_execution_lineage("root")["descendants"])
        assert in_order[:10] == ids(store.get_execution_lineage("root", limit=10)["descendants"])
        lineage = store.get_execution_lineage(in_order[0], limit=count - 2)
        assert in_order[1 : count - 1] == ids(lineage["siblings"])
        assert {"ancestors": False, "descendants": False, "siblings": True} == lineage["truncated"]

    def test_a_cycle_that_does_not_hold_the_execution_ends(
        self, store: ExecutionStorage, harness: StoreHarness
    ) -> None:
        """The ancestors run into it; every one of them is named once, whatever the depth."""
        harness.write_behind(
            [row(f"c{n}", parent_execution_id=f"c{(n + 1) % 2000}") for n in range(2000)]
            + [row("e", parent_execution_id="c0")]
        )

        lineage = store.get_execution_lineage("e", depth=10**9, limit=10**9)

        assert [f"c{n}" for n in reversed(range(2000))] == ids(lineage["ancestors"])
        assert not lineage["truncated"]["ancestors"]

    def test_siblings_share_a_parent_that_is_missing_too(
        self, store: ExecutionStorage, harness: StoreHarness
    ) -> None:
        missing = MISSING_IDS[0]
        harness.write_behind([row(name, parent_execution_id=missing) for name in ("a", "b", "c")])

        lineage = store.get_execution_lineage("b")

        assert ([], ["a", "c"]) == (ids(lineage["ancestors"]), ids(lineage["siblings"]))

    def test_a_failure_is_unresolved_until_a_later_attempt_completes(self, store: ExecutionStorage) -> None:
        finish(store, "first", status="failed")
        finish(store, "second", "first", status="rolled_back")

        assert [True, True] == [store.is_unresolved(name) for name in ("first", "second")]

        finish(store, "fix", "first", trigger_kind="repair")

        assert [False, False, False] == [store.is_unresolved(n) for n in ("first", "second", "fix")]

    def test_a_failure_is_unresolved_again_once_its_fix_was_reverted(self, store: ExecutionStorage) -> None:
        finish(store, "failed", status="failed")
        finish(store, "fix", "failed")
        start(store, "revert", "fix", trigger_kind="manual")
        store.add_link("revert", "reverts", "fix")

        assert not store.is_unresolved("failed")

        store.record_execution_end("revert", "completed")

        assert store.is_unresolved("failed")
        assert {"fix": "revert"} == store.list_reverted(["failed", "fix", "revert"])

    def test_who_reverts_a_revert_puts_back_what_it_undid(self, store: ExecutionStorage) -> None:
        finish(store, "failed", status="failed")
        finish(store, "fix", "failed")
        seen = []
        for name, target in (("r1", "fix"), ("r2", "r1"), ("r3", "fix"), ("r4", "r3"), ("r5", "r4")):
            start(store, name, target, trigger_kind="manual", reverts=target)
            seen.append((store.is_unresolved("failed"), store.list_reverted(["fix"])))
            store.record_execution_end(name, "completed")
        seen.append((store.is_unresolved("failed"), store.list_reverted(["fix"])))

        undone = (True, {"fix": "r1"})
        assert [(False, {}), undone, (False, {}), (True, {"fix": "r3"}), (False, {})] == seen[:5]
        assert (True, {"fix": "r3"}) == seen[5]
        assert {"r4": "r5", "r1": "r2", "fix": "r3"} == store.list_reverted(
            ["r1", "r2", "r3", "r4", "r5", "fix"]
        )

    def test_a_dismissal_can_be_taken_back(self, store: ExecutionStorage) -> None:
        finish(store, "e", status="failed")
        store.dismiss("e", "flaky network", actor="ada")
        store.dismiss("e", "again")

        assert not store.is_unresolved("e")

        store.undismiss("e", actor="ada")
        store.undismiss("e")

        assert store.is_unresolved("e")
        assert ["dismissed", "undismissed"] == [event.event for event in store.list_events("e", after=2)]

    def test_what_needs_no_one_is_not_dismissed(self, store: ExecutionStorage) -> None:
        finish(store, "e")

        with pytest.raises(InvalidState):
            store.dismiss("e", "why")

    def test_an_execution_that_awaits_approval_is_unresolved(self, store: ExecutionStorage) -> None:
        start(store, "e", verdict="need_approval")

        assert store.is_unresolved("e")

        store.record_execution_end("e", "cancelled")

        assert not store.is_unresolved("e")

    def test_rows_from_before_the_graph_are_neither_unresolved_nor_running(
        self, store: ExecutionStorage, harness: StoreHarness
    ) -> None:
        harness.write_behind(
            [
                row("failed", status="failed", started_at="2026-01-01T11:59:59.999999Z"),
                row("running", status="applying", started_at="2026-01-01T11:59:59.999999Z"),
                row("new", status="applying", started_at="2026-01-01T12:00:00.000000Z"),
            ]
        )
        harness.set_upgraded_at("2026-01-01 12:00:00")

        assert not store.is_unresolved("failed")
        assert ["new"] == ids(store.list_unended())


def _written(
    harness: StoreHarness, rows: list[dict[str, Any]]
) -> tuple[ExecutionStorage, list[ExecutionRecord]]:
    assume(harness.nul_is_held or not any("\0" in v for r in rows for v in r.values() if isinstance(v, str)))
    store = harness.empty()
    harness.write_behind(rows)
    return store, [as_record(values) for values in rows]


def _chain(length: int) -> list[dict[str, Any]]:
    return [row(f"e{n:06}", parent_execution_id=f"e{n - 1:06}" if n else None) for n in range(length)]
