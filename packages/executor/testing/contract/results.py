"""How tests came out."""

import pytest

from executor.errors import ExecutionNotFound, InvalidInput, InvalidLimit
from executor.models.execution import TestResult
from executor.storage.base import ExecutionStorage
from executor.testing.contract.base import Contract
from executor.testing.factories import start


def result(execution_id: str, test_id: str, outcome: str = "passed", step_num: int = 4) -> TestResult:
    return TestResult(execution_id, step_num, test_id, outcome)


class ResultContract(Contract):
    def test_results_come_back_as_they_were_given_by_step_and_test(self, store: ExecutionStorage) -> None:
        start(store, "e")
        start(store, "other")
        failed = TestResult(
            "e",
            4,
            "tests/test_a.py::test_ö[x y]",
            "failed",
            0.25,
            "ValueError",
            "no\ud800",
            "tests/test_a.py",
            7,
        )
        later = result("e", "a", step_num=11)

        store.record_test_results([later, failed, result("other", "a"), result("e", "z", "skipped")])

        kept = store.list_test_results("e")
        assert ["tests/test_a.py::test_ö[x y]", "z", "a"] == [found.test_id for found in kept]
        assert (0.25, "ValueError", "no\\ud800", "tests/test_a.py", 7) == (
            kept[0].duration_seconds,
            kept[0].exception_type,
            kept[0].message,
            kept[0].file,
            kept[0].line,
        )
        assert [True, False, False] == [found.failing for found in kept]
        assert later == kept[2]
        assert [] == store.list_test_results("unknown")

    def test_the_first_result_of_a_test_in_a_step_stays(self, store: ExecutionStorage) -> None:
        start(store, "e")
        store.record_test_results([result("e", "a")])

        store.record_test_results([result("e", "a", "failed"), result("e", "b", "error")])

        assert [("a", "passed"), ("b", "error")] == [
            (found.test_id, found.outcome) for found in store.list_test_results("e")
        ]

    def test_of_results_one_of_which_is_wrong_none_is_kept(self, store: ExecutionStorage) -> None:
        start(store, "e")

        with pytest.raises(ExecutionNotFound):
            store.record_test_results([result("e", "a"), result("unknown", "a")])
        with pytest.raises(InvalidInput):
            store.record_test_results([result("e", "a"), result("e", "b", "broken")])
        with pytest.raises(InvalidInput):
            store.record_test_results([result("e", "a"), TestResult("e", 4, "b", "passed", float("nan"))])

        assert [] == store.list_test_results("e")

    def test_the_history_of_a_test_begins_with_the_greatest_id(self, store: ExecutionStorage) -> None:
        for name in ("e1", "e2", "e3"):
            start(store, name)
            store.record_test_results([result(name, "a"), result(name, "b", "failed")])

        assert ["e3", "e2"] == [found.execution_id for found in store.list_test_history("a", 2)]
        assert [] == store.list_test_history("unknown")
        with pytest.raises(InvalidLimit):
            store.list_test_history("a", 0)

    def test_a_commit_is_linked_without_being_an_execution(self, store: ExecutionStorage) -> None:
        start(store, "e")

        store.add_link("e", "commit", "c0ffee")
        store.add_link("e", "commit", "c0ffee")

        assert [("e", "commit", "c0ffee")] == [
            (link.source_id, link.kind, link.target_id) for link in store.list_links("e")
        ]
        with pytest.raises(ExecutionNotFound):
            store.add_link("unknown", "commit", "c0ffee")
