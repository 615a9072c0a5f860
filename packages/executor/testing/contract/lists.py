"""Filtered lists, cursors, totals, statistics, and finding executions by what people type."""

from __future__ import annotations

import base64
import itertools
import json
import random
import statistics
from dataclasses import replace
from typing import Any, Final

import pytest

from executor.errors import (
    AmbiguousId,
    ExecutionNotFound,
    InvalidCursor,
    InvalidFilter,
    InvalidLimit,
    InvalidTime,
)
from executor.models.execution import (
    ExecutionFilter,
    ExecutionRecord,
    ExecutionStatus,
    LinkRecord,
    RiskLevel,
    TriggerKind,
)
from executor.storage.base import ExecutionStorage
from executor.testing.contract.base import Contract
from executor.testing.factories import as_record, finish, ids, link_row, paths, row, start
from executor.testing.harness import StoreHarness
from executor.testing.oracle import filtered

ROWS: Final = 300

# For each parameter of a list one value that some of the random rows have and some have not.
PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "correlation": {"correlation_id": ("task 1", "e001")},
    "correlation_not": {"correlation_id": ("!task 1",)},
    "run": {"run_id": ("run/1",)},
    "run_not": {"run_id": ("!run/1",)},
    "parent": {"parent_execution_id": ("e000",)},
    "parents": {"parent_execution_id": ("e000", "e001", "gone")},
    "parent_not": {"parent_execution_id": ("!e000",)},
    "workspace_own": {"workspace": ("@own",)},
    "workspace_other": {"workspace": ("ws_other",)},
    "workspaces": {"workspace": ("ws_other", "@own")},
    "workspace_not": {"workspace": ("!@own",)},
    "status": {"status": ("failed",)},
    "statuses": {"status": ("failed", "completed", "pending")},
    "status_not": {"status": ("!failed", "!pending")},
    "status_but": {"status": ("failed", "completed", "!failed")},
    "all_statuses": {"status": tuple(s.value for s in ExecutionStatus if s != "completed")},
    "verdict": {"verdict": ("need_approval", "deny")},
    "verdict_not": {"verdict": ("!allow",)},
    "risk": {"risk_level": ("high",)},
    "risk_not": {"risk_level": ("!high",)},
    "trigger": {"trigger_kind": ("manual",)},
    "triggers": {"trigger_kind": ("retry", "manual")},
    "trigger_not": {"trigger_kind": ("!manual",)},
    "actor": {"actor": ("ada", "ci:nightly")},
    "actor_not": {"actor": ("!ada",)},
    "commit": {"commit": ("c" * 40,)},
    "commits": {"commit": ("c" * 40, "e" * 40, "gone")},
    "commit_not": {"commit": ("!" + "c" * 40,)},
    "path": {"path": ("src/**/*.py", "/docs/")},
    "path_not": {"path": ("!*.py",)},
    "step": {"error_step": ("verify",)},
    "steps": {"error_step": ("verify", "health")},
    "step_not": {"error_step": ("!verify",)},
    "text": {"q": "FIX"},
    "text_in_path": {"q": "ä/b"},
    "since": {"since": "2026-01-02T00:00:00.000000Z"},
    "until": {"until": "2026-01-03T00:00:00Z"},
    "unresolved": {"unresolved": True},
    "resolved": {"unresolved": False},
    "awaiting": {"awaiting": True},
    "not_awaiting": {"awaiting": False},
}


# Pairs that nothing can be.
CONTRADICTIONS: Final = frozenset(
    {
        ("status", "awaiting"),
        ("status_not", "awaiting"),
        ("status_but", "awaiting"),
        ("status_but", "unresolved"),
    }
)


def random_rows(count: int = ROWS, seed: int = 6) -> list[dict[str, Any]]:
    """Rows in which each value of PARAMETERS occurs, NULLs and damaged paths included."""
    pick = random.Random(seed)
    made = []
    for number in range(count):
        made.append(
            row(
                f"e{number:03}",
                parent_execution_id=pick.choice([None, None, "e000", "e001", f"e{pick.randrange(count):03}"]),
                correlation_id=pick.choice([None, "task 1", "task 2", "e000"]),
                run_id=pick.choice([None, "run/1", "run/2"]),
                workspace_id=pick.choice([None, None, "ws_other", "ws_third"]),
                status=pick.choice([*(status.value for status in ExecutionStatus), "failed", "pending"]),
                verdict=pick.choice(["allow", "allow", "need_approval", "deny"]),
                risk_level=pick.choice([None, *(level.value for level in RiskLevel)]),
                trigger_kind=pick.choice([None, "retry", *(kind.value for kind in TriggerKind)]),
                actor=pick.choice([None, "ada", "ci:nightly", "bob"]),
                base_commit=pick.choice([None, "a" * 40, "b" * 40]),
                title=pick.choice([None, "Fix the build", "prefix", "Äther"]),
                error_message=pick.choice([None, None, "cannot FiX this"]),
                error_step=pick.choice([None, "verify", "apply"]),
                duration_seconds=pick.choice([None, 1.5, 2.0, 60.0]),
                affected_paths=pick.choice(
                    [
                        None,
                        "{",
                        paths(),
                        paths("src/a/b.py"),
                        paths("docs/x.md", "README"),
                        paths("docs/ä/b.md"),
                        paths("src/ä/b.py"),
                        paths("Ä/B", "ä/b.py"),
                    ]
                ),
                started_at=f"2026-01-0{pick.randint(1, 4)}T00:00:0{pick.randint(0, 9)}.000000Z",
            )
        )
    return made


def random_commits(rows: list[dict[str, Any]], seed: int = 7) -> list[LinkRecord]:
    """Some of the rows became a commit, some two."""
    pick = random.Random(seed)
    names = [values["execution_id"] for values in rows if values["execution_id"] is not None]
    some = [(), (), ("c" * 40,), ("d" * 40,), ("c" * 40, "e" * 40)]
    return [LinkRecord(name, "commit", commit) for name in names for commit in pick.choice(some)]


class ListContract(Contract):
    @pytest.mark.parametrize("name", PARAMETERS)
    def test_each_parameter_lets_pass_what_a_plain_filter_lets_pass(
        self, harness: StoreHarness, name: str
    ) -> None:
        store, asked, records = _prepared(harness)

        expected = ids(_passing(store, records, asked[name]))

        _compare(store, asked[name], expected)
        assert 0 < len(expected) < len(records)

    def test_each_pair_of_parameters_lets_pass_what_both_let_pass(self, harness: StoreHarness) -> None:
        store, asked, records = _prepared(harness)
        in_order = ids(_passing(store, records, ExecutionFilter()))
        passing = {name: set(ids(_passing(store, records, filter))) for name, filter in asked.items()}
        for pair in itertools.combinations(PARAMETERS, 2):
            if PARAMETERS[pair[0]].keys().isdisjoint(PARAMETERS[pair[1]]):
                both = passing[pair[0]] & passing[pair[1]]
                expected = [name for name in in_order if name in both]

                _compare(store, _filter(store, *pair), expected)
                assert len(expected) < len(records)
                assert expected or pair in CONTRADICTIONS, pair

    def test_values_may_stand_in_lists(self, harness: StoreHarness) -> None:
        store, _, _ = _prepared(harness)
        listed = ExecutionFilter(status=["failed"], path=["*.py"])  # type: ignore[arg-type]
        tuples = ExecutionFilter(status=("failed",), path=("*.py",))

        page = store.list_executions(tuples, 1)

        assert page.next_cursor is not None
        assert store.list_executions(listed, 5) == store.list_executions(tuples, 5)
        assert 1 == len(store.list_executions(listed, 1, page.next_cursor))

    def test_everything_passes_an_empty_filter(self, harness: StoreHarness) -> None:
        store, _, records = _prepared(harness)
        expected = filtered(records, ExecutionFilter(), workspace_id=store.workspace_id)

        assert expected == store.list_executions(limit=ROWS).items
        assert expected == store.list_executions(ExecutionFilter(), limit=ROWS).items
        assert expected[::-1] == store.list_executions(limit=ROWS, oldest_first=True).items

    @pytest.mark.parametrize("oldest_first", [False, True])
    @pytest.mark.parametrize(
        "name", ["status", "statuses", "workspace_own", "actor", "unresolved", "trigger"]
    )
    def test_pages_join_to_the_whole_list(self, harness: StoreHarness, name: str, oldest_first: bool) -> None:
        store, asked, _ = _prepared(harness)
        filter = asked[name]
        whole = ids(store.list_executions(filter, ROWS, oldest_first=oldest_first))

        for size in (1, 7, len(whole), len(whole) + 1):
            pages = _pages(store, filter, size, oldest_first=oldest_first)

            assert whole == [name for page in pages for name in page]

    def test_a_thousand_inserts_while_paging_neither_repeat_nor_hide_a_row(
        self, store: ExecutionStorage, harness: StoreHarness
    ) -> None:
        """New rows land before, among and behind the page, some at the very same time."""
        pick = random.Random(11)

        def some(prefix: str, count: int) -> list[dict[str, Any]]:
            return [
                row(
                    f"{prefix}{n:04}",
                    status="failed",
                    started_at=f"2026-01-01T00:00:{pick.randrange(20):02}.0Z",
                )
                for n in range(count)
            ]

        first = some("first", 500)
        harness.write_behind(first)
        filter = ExecutionFilter(status=("failed", "rolled_back"))
        seen: list[ExecutionRecord] = []
        cursor = None
        for burst in range(100):
            page = store.list_executions(filter, 10, cursor)
            seen += page.items
            cursor = page.next_cursor
            if cursor is None:
                break
            harness.write_behind(some(f"later{burst:02}-", 20))
        while cursor is not None:
            page = store.list_executions(filter, 10, cursor)
            seen += page.items
            cursor = page.next_cursor

        assert len(seen) >= 500
        assert len({record.execution_id for record in seen}) == len(seen)
        assert {r["execution_id"] for r in first} <= {record.execution_id for record in seen}
        order = [(record.started_at, record.execution_id) for record in seen]
        assert sorted(order, reverse=True) == order

    def test_a_cursor_answers_only_the_question_it_came_from(self, harness: StoreHarness) -> None:
        store, asked, _ = _prepared(harness)
        cursor = store.list_executions(asked["status"], 1).next_cursor

        for filter, oldest_first in ((asked["statuses"], False), (None, False), (asked["status"], True)):
            with pytest.raises(InvalidCursor):
                store.list_executions(filter, 1, cursor, oldest_first=oldest_first)

    @pytest.mark.parametrize(
        "cursor",
        [
            *("", "x", "é", "====", 7, b"e30", "e30", base64.urlsafe_b64encode(b"[" * 10_000).decode()),
            *(
                base64.urlsafe_b64encode(json.dumps(c).encode()).decode()
                for c in ([], [1, 2, 3], ["", "", ""])
            ),
        ],
        ids=lambda cursor: repr(cursor)[:20],
    )
    def test_what_is_no_cursor_is_refused(self, store: ExecutionStorage, cursor: Any) -> None:
        with pytest.raises(InvalidCursor):
            store.list_executions(cursor=cursor)

    def test_a_total_is_exact_up_to_ten_thousand(
        self, store: ExecutionStorage, harness: StoreHarness
    ) -> None:
        harness.write_behind(row(f"e{n:05}", status="failed") for n in range(10_000))
        failed = ExecutionFilter(status=("failed", "rolled_back"))

        page = store.list_executions(failed, 1, with_total=True)
        assert (10_000, None) == (page.total, page.total_at_least)

        harness.write_behind([row("more", status="rolled_back")])

        page = store.list_executions(failed, 1, with_total=True)
        assert (None, 10_000) == (page.total, page.total_at_least)
        page = store.list_executions(failed, 1)
        assert (None, None) == (page.total, page.total_at_least)

    def test_an_offset_skips_rows(self, harness: StoreHarness) -> None:
        store, asked, _ = _prepared(harness)
        whole = ids(store.list_executions(asked["status"], ROWS))

        assert whole[3:8] == ids(store.list_executions(asked["status"], 5, offset=3))
        assert [] == ids(store.list_executions(asked["status"], 5, offset=ROWS))
        for offset in (-1, True, 1.0):
            with pytest.raises(InvalidLimit):
                store.list_executions(offset=offset)  # type: ignore[arg-type]
        with pytest.raises(InvalidLimit):
            store.list_executions(limit=10_001)

    @pytest.mark.parametrize(
        ("values", "error"),
        [
            ({"status": "failed"}, InvalidFilter),
            ({"actor": (None,)}, InvalidFilter),
            ({"q": 7}, InvalidFilter),
            ({"unresolved": "yes"}, InvalidFilter),
            ({"since": 7}, InvalidFilter),
            ({"path": ("",)}, InvalidFilter),
            ({"path": ("# comment",)}, InvalidFilter),
            ({"path": ("!",)}, InvalidFilter),
            ({"path": ("/",)}, InvalidFilter),
            ({"since": "yesterday"}, InvalidTime),
            ({"until": "2026-01-01T00:00:00"}, InvalidTime),
        ],
        ids=str,
    )
    def test_a_filter_that_cannot_be_meant_is_refused(
        self, store: ExecutionStorage, values: dict[str, Any], error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            store.list_executions(ExecutionFilter(**values))
        with pytest.raises(error):
            store.get_statistics(ExecutionFilter(**values))

    def test_values_nobody_has_find_nothing(self, harness: StoreHarness) -> None:
        store, _, _ = _prepared(harness)
        for filter in (
            ExecutionFilter(status=("unheard-of",)),
            ExecutionFilter(correlation_id=("\udc80",)),
            ExecutionFilter(q="%"),
            ExecutionFilter(q="_"),
            ExecutionFilter(run_id=("run/_",)),
        ):
            assert [] == store.list_executions(filter).items

    @pytest.mark.parametrize(
        "name", [None, "status", "statuses", "workspace_own", "trigger", "since", "unresolved", "path_not"]
    )
    def test_statistics_count_what_passes(self, harness: StoreHarness, name: str | None) -> None:
        store, asked, records = _prepared(harness)
        filter = asked[name] if name else None
        passing = filtered(
            records, filter or ExecutionFilter(), workspace_id=store.workspace_id, since="2000"
        )

        found = store.get_statistics(filter)

        def count(column: str, among: list[ExecutionRecord]) -> dict[str, int]:
            values = [getattr(record, column) for record in among if getattr(record, column) is not None]
            return {value: values.count(value) for value in values}

        failures = [r for r in passing if r.status in ("failed", "rolled_back")]
        decided = len([r for r in passing if r.status == "completed"]) + len(failures)
        durations = sorted(r.duration_seconds for r in passing if r.ended and r.duration_seconds is not None)
        assert len(passing) == found.total
        assert count("status", passing) == found.by_status
        assert count("verdict", passing) == found.by_verdict
        assert count("risk_level", passing) == found.by_risk_level
        assert count("trigger_kind", passing) == found.by_trigger_kind
        assert count("error_step", failures) == found.failing_steps
        if decided:
            assert (decided - len(failures)) / decided == found.success_rate
        if durations:
            assert statistics.fmean(durations) == pytest.approx(found.average_duration_seconds)
            assert statistics.median(durations) == found.median_duration_seconds
            assert durations[0] <= (found.p95_duration_seconds or 0) <= durations[-1]

    def test_statistics_of_nothing_have_no_rates(self, store: ExecutionStorage) -> None:
        found = store.get_statistics()

        assert (0, None, None, None, None, None) == (
            found.total,
            found.success_rate,
            found.rollback_rate,
            found.average_duration_seconds,
            found.median_duration_seconds,
            found.p95_duration_seconds,
        )

    def test_an_execution_is_found_by_any_unique_prefix_or_suffix(
        self, store: ExecutionStorage, harness: StoreHarness
    ) -> None:
        harness.write_behind(
            [
                row("exec_1aa"),
                row("exec_1ab"),
                row("exec_1"),
                row("Exec_2ab"),
                row("ex%"),
                row("日本\U0010ffff"),
            ]
        )

        assert "exec_1" == store.resolve_execution_id("exec_1")
        assert "exec_1aa" == store.resolve_execution_id("exec_1aa")
        assert "Exec_2ab" == store.resolve_execution_id("E")
        assert "exec_1aa" == store.resolve_execution_id("1aa")
        assert "ex%" == store.resolve_execution_id("ex%")
        assert "日本\U0010ffff" == store.resolve_execution_id("日")
        assert "日本\U0010ffff" == store.resolve_execution_id("\U0010ffff")
        assert "日本\U0010ffff" == store.resolve_execution_id("日本\U0010ffff")
        with pytest.raises(AmbiguousId) as caught:
            store.resolve_execution_id("exec_1a")
        assert {"exec_1aa", "exec_1ab"} == set(caught.value.candidates)
        with pytest.raises(AmbiguousId):
            store.resolve_execution_id("ab")
        for text in ("", "nope", "ex_c", "EXEC_1", "e%", "_%", "\udc80", "\U0010ffff\U0010ffff", "@next"):
            with pytest.raises(ExecutionNotFound):
                store.resolve_execution_id(text)

    def test_the_last_execution_and_the_last_failure_have_names(self, store: ExecutionStorage) -> None:
        for name in ("@last", "@last-failed"):
            with pytest.raises(ExecutionNotFound):
                store.resolve_execution_id(name)
        finish(store, "a", status="failed")
        finish(store, "b", status="rolled_back")
        finish(store, "c")

        assert "c" == store.resolve_execution_id("@last")
        assert "b" == store.resolve_execution_id("@last-failed")

    def test_shortened_ids_mean_the_own_workspace(
        self, store: ExecutionStorage, harness: StoreHarness
    ) -> None:
        other = harness.other_workspace()
        finish(store, "exec_1_mine", status="failed")
        finish(other, "exec_2_theirs", status="failed")

        assert "exec_1_mine" == store.resolve_execution_id("exec_")
        assert "exec_1_mine" == store.resolve_execution_id("@last")
        assert "exec_1_mine" == store.resolve_execution_id("@last-failed")
        assert "exec_2_theirs" == other.resolve_execution_id("@last")
        assert "exec_2_theirs" == store.resolve_execution_id("@last", workspace_id=None)
        assert "exec_2_theirs" == store.resolve_execution_id("theirs", workspace_id=other.workspace_id)
        assert "exec_2_theirs" == store.resolve_execution_id("exec_2_theirs")
        with pytest.raises(ExecutionNotFound):
            store.resolve_execution_id("theirs")
        with pytest.raises(AmbiguousId):
            store.resolve_execution_id("exec_", workspace_id=None)

    def test_completed_executions_are_found_by_checksum(
        self, store: ExecutionStorage, harness: StoreHarness
    ) -> None:
        finish(store, "a", checksum="x")
        finish(store, "b", checksum="x", status="failed")
        finish(store, "c", checksum="x")
        finish(store, "d", checksum="y")
        finish(harness.other_workspace(), "e", checksum="x")
        harness.write_behind([row("old", checksum="x", started_at="2025-01-01T00:00:00.000000Z")])

        assert ["c", "a", "old"] == ids(store.find_completed_by_checksum("x"))
        assert ["e", "c", "a", "old"] == ids(store.find_completed_by_checksum("x", None))
        assert ["e"] == ids(store.find_completed_by_checksum("x", harness.other_workspace().workspace_id))
        assert [] == store.find_completed_by_checksum("z")

    def test_running_executions_are_listed_oldest_first(
        self, store: ExecutionStorage, harness: StoreHarness
    ) -> None:
        start(store, "a")
        start(store, "b")
        finish(store, "c")
        store.update_execution_status("a", "verifying")
        start(harness.other_workspace(), "d")

        assert ["a", "b"] == ids(store.list_unended())
        assert ["a", "b", "d"] == ids(store.list_unended(None))
        assert ["d"] == ids(store.list_unended(harness.other_workspace().workspace_id))

    def test_the_executions_of_a_plan_are_listed_oldest_first(self, store: ExecutionStorage) -> None:
        for name in ("a", "b", "c"):
            start(store, name, plan_id="p")
        start(store, "d")

        assert ["a", "b"] == ids(store.list_executions_by_plan("p", limit=2))
        assert [] == store.list_executions_by_plan("q")

    def test_each_workspace_is_registered_once_and_may_move(self, store: ExecutionStorage) -> None:
        store.register_workspace("ws_b", "host", "/b")
        store.register_workspace("ws_a", "host", "/a")
        before = store.get_workspace("ws_a")
        store.register_workspace("ws_a", "elsewhere", "/moved")

        after = store.get_workspace("ws_a")

        assert before is not None
        assert after == replace(before, host="elsewhere", path="/moved")
        assert ["ws_a", "ws_b"] == [workspace.workspace_id for workspace in store.list_workspaces()]
        assert store.get_workspace("ws_c") is None


def _prepared(
    harness: StoreHarness,
) -> tuple[ExecutionStorage, dict[str, ExecutionFilter], list[ExecutionRecord]]:
    """The store with the random rows, the filters with the own workspace filled in, and the rows."""
    store = harness.empty()
    rows = random_rows()
    harness.write_behind(rows)
    harness.write_behind([link_row(link) for link in random_commits(rows)], "execution_links")
    return store, {name: _filter(store, name) for name in PARAMETERS}, [as_record(values) for values in rows]


def _filter(store: ExecutionStorage, *names: str) -> ExecutionFilter:
    values: dict[str, Any] = {}
    for name in names:
        values |= PARAMETERS[name]
    if "workspace" in values:
        values["workspace"] = tuple(v.replace("@own", store.workspace_id) for v in values["workspace"])
    return ExecutionFilter(**values)


def _passing(
    store: ExecutionStorage, records: list[ExecutionRecord], filter: ExecutionFilter
) -> list[ExecutionRecord]:
    """What the plain filter lets pass."""
    return filtered(
        records,
        _with_stored_times(filter),
        workspace_id=store.workspace_id,
        links=random_commits(random_rows()),
    )


def _compare(store: ExecutionStorage, filter: ExecutionFilter, expected: list[str]) -> None:
    assert expected == ids(store.list_executions(filter, limit=ROWS)), filter
    assert expected[:3] == ids(store.list_executions(filter, limit=3)), filter
    assert len(expected) == store.list_executions(filter, limit=1, with_total=True).total, filter


def _with_stored_times(filter: ExecutionFilter) -> ExecutionFilter:
    until = filter.until.replace("00Z", "00.000000Z") if filter.until else None
    return replace(filter, until=until)


def _pages(
    store: ExecutionStorage, filter: ExecutionFilter, size: int, *, oldest_first: bool
) -> list[list[str]]:
    pages = []
    cursor = None
    while True:
        page = store.list_executions(filter, max(size, 1), cursor, oldest_first=oldest_first)
        pages.append(ids(page))
        cursor = page.next_cursor
        if cursor is None:
            return pages
