"""Payloads: dropped once, told in an event, and never those that somebody else needs."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from executor.errors import InvalidInput
from executor.models.change import Changeset, FileChange, Operation, sha256
from executor.models.execution import EventType, StepOutput, TriggerKind
from executor.models.retention import Held, PayloadSize
from executor.storage.base import ExecutionStorage
from executor.testing.contract.approvals import approval
from executor.testing.contract.base import Contract
from executor.testing.factories import start
from executor.testing.harness import StoreHarness

Files = Mapping[str, tuple[bytes | None, bytes]]


def changeset(execution_id: str, files: Files) -> Changeset:
    """Each path with its bytes before, None for a new file, and after."""
    return Changeset.of(
        [
            FileChange(
                operation=Operation.CREATE if old is None else Operation.UPDATE,
                path=path,
                old_sha256=None if old is None else sha256(old),
                new_sha256=sha256(new),
                content=new,
            )
            for path, (old, new) in files.items()
        ],
        f"cs_{execution_id}",
    )


def keep(
    store: ExecutionStorage,
    execution_id: str,
    files: Files,
    parent: str | None = None,
    *,
    ended: bool = True,
    **values: Any,
) -> None:
    """An execution with its contents."""
    start(
        store,
        execution_id,
        parent,
        changeset=changeset(execution_id, files),
        base_contents={sha256(old): old for old, _ in files.values() if old is not None},
        **values,
    )
    if ended:
        store.record_execution_end(execution_id, "failed")


def contents(store: ExecutionStorage, execution_id: str, *wanted: bytes) -> list[bytes | None]:
    return [store.get_content(execution_id, sha256(content)) for content in wanted]


def drop(store: ExecutionStorage, *execution_ids: str) -> None:
    store.drop_payloads([(name, {"actor": "ann"}) for name in execution_ids])


def dropped(store: ExecutionStorage, execution_id: str) -> list[Mapping[str, Any]]:
    return [
        event.data for event in store.list_events(execution_id) if event.event == EventType.PAYLOAD_DROPPED
    ]


def held(store: ExecutionStorage, *execution_ids: str) -> list[Held | None]:
    return [state.held for state in store.list_payloads(execution_ids)]


class PayloadContract(Contract):
    def test_contents_go_and_the_record_stays(self, store: ExecutionStorage) -> None:
        keep(store, "e", {"a": (b"old", b"newer")})
        before = (store.get_execution("e"), store.list_events("e"), store.get_changeset("e"))
        assert store.get_payload_dropped("e") is None
        assert {"e": PayloadSize(2, 8, present=True)} == store.measure_payloads(["e", "unknown"])

        drop(store, "e", "unknown")
        drop(store, "e")

        assert [None, None] == contents(store, "e", b"old", b"newer")
        assert [{"actor": "ann", "content_count": 2, "content_bytes": 8}] == dropped(store, "e")
        event = store.get_payload_dropped("e")
        assert event is not None
        assert [event] == store.list_events("e")[len(before[1]) :]
        assert before[:2] == (store.get_execution("e"), store.list_events("e")[:-1])
        kept, was = store.get_changeset("e"), before[2]
        assert kept is not None
        assert was is not None
        assert was.checksum == kept.checksum
        (state,) = store.list_payloads(["e", "unknown"])
        assert ("e", event.timestamp, None) == (state.execution_id, state.dropped_at, state.held)

    def test_what_another_execution_of_the_chain_needs_stays_until_that_one_goes(
        self, store: ExecutionStorage
    ) -> None:
        keep(store, "first", {"a": (b"base", b"one"), "b": (None, b"shared")})
        keep(store, "second", {"a": (b"base", b"two"), "b": (None, b"shared")}, "first")
        keep(store, "stranger", {"a": (b"base", b"one")})
        assert {
            "first": PayloadSize(1, 3, present=True),
            "second": PayloadSize(3, 13, present=True),
        } == store.measure_payloads(["first", "second"])

        drop(store, "first")

        assert [b"base", None, b"two", b"shared"] == contents(
            store, "second", b"base", b"one", b"two", b"shared"
        )
        assert [(1, 3)] == [(d["content_count"], d["content_bytes"]) for d in dropped(store, "first")]
        drop(store, "second")
        assert [None] * 3 == contents(store, "second", b"base", b"two", b"shared")
        assert [b"base", b"one"] == contents(store, "stranger", b"base", b"one")

    def test_several_at_once_share_out_what_they_have_in_common(self, store: ExecutionStorage) -> None:
        keep(store, "first", {"a": (None, b"same")})
        keep(store, "second", {"a": (None, b"same")}, "first")
        keep(store, "bare", {}, "first")

        drop(store, "first", "second", "bare")

        counts = [dropped(store, name) for name in ("first", "second", "bare")]
        assert [[0], [1], []] == [[data["content_count"] for data in each] for each in counts]

    def test_an_event_tells_of_files_where_there_are_no_contents(self, store: ExecutionStorage) -> None:
        keep(store, "e", {})

        store.drop_payloads([("e", {"artifact_count": 0})])
        assert [] == dropped(store, "e")
        store.drop_payloads([("e", {"artifact_count": 2})])
        assert [{"artifact_count": 2, "content_count": 0, "content_bytes": 0}] == dropped(store, "e")

    def test_logs_go_with_their_execution_alone(self, store: ExecutionStorage) -> None:
        for name, parent in (("e", None), ("next", "e")):
            keep(store, name, {}, parent, ended=False)
            step = store.record_step_start(name, 4, "verify")
            store.record_step_end(step, "completed", output=StepOutput("log", b"printed"))
            store.record_execution_end(name, "failed")
        size = store.measure_payloads(["e"])["e"]

        drop(store, "e")

        assert (1, True, 0) == (size.logs, size.present, size.contents)
        assert [(1, size.log_bytes)] == [(d["log_count"], d["log_bytes"]) for d in dropped(store, "e")]
        assert [] == store.list_step_logs("e")
        assert b"printed" == store.get_step_log("next", "log")

    def test_what_runs_or_may_run_again_is_held(self, store: ExecutionStorage) -> None:
        """Not ended; tried again right now; its change approved, for this attempt and the next."""
        keep(store, "running", {"a": (None, b"a")}, ended=False)
        keep(store, "tried", {"a": (None, b"b")})
        keep(store, "again", {"a": (None, b"b")}, "tried", ended=False)
        keep(store, "approved", {"a": (None, b"c")}, ended=False, verdict="need_approval", checksum="sum")
        store.record_approval(approval("approved", checksum="sum"))
        assert store.begin_approved("approved")
        store.record_execution_end("approved", "failed")
        keep(store, "retried", {"a": (None, b"c")}, "approved", checksum="sum")
        keep(store, "other", {"a": (None, b"d")}, "approved", trigger_kind=TriggerKind.CHILD)
        names = ("running", "tried", "approved", "retried", "other")

        drop(store, *names)

        reasons = [Held.RUNNING, Held.ATTEMPT, Held.APPROVAL, Held.APPROVAL, None]
        assert reasons == held(store, *names)
        assert [0, 0, 0, 0, 1] == [len(dropped(store, name)) for name in names]
        assert [b"a", b"b"] == contents(store, "running", b"a") + contents(store, "tried", b"b")
        store.record_execution_end("again", "completed")
        assert [None] == held(store, "tried")

    def test_an_unreadable_changeset_of_somebody_who_stays_keeps_everything(
        self, harness: StoreHarness
    ) -> None:
        store = harness.empty()
        keep(store, "first", {"a": (None, b"one")})
        start(store, "second", "first")
        store.record_execution_end("second", "failed")
        values = {"changeset_id": "cs_second", "correlation_id": "first", "checksum": "x", "created_at": "t"}
        harness.write_behind([{**values, "document": "{"}], "changesets")

        drop(store, "first")

        assert [b"one"] == contents(store, "first", b"one")
        assert [0] == [data["content_count"] for data in dropped(store, "first")]

    @pytest.mark.parametrize("data", [{"seq": 1}, {"x": float("nan")}])
    def test_fields_that_no_event_can_have_are_refused(
        self, store: ExecutionStorage, data: dict[str, Any]
    ) -> None:
        keep(store, "e", {"a": (None, b"new")})

        with pytest.raises(InvalidInput):
            store.drop_payloads([("e", data)])
        assert [b"new"] == contents(store, "e", b"new")

    def test_an_attempt_that_begins_meanwhile_keeps_its_contents(self, store: ExecutionStorage) -> None:
        """Contents are kept once: whoever relies on the row of another must not lose it."""
        keep(store, "e0", {"a": (b"base", b"shared")})
        with ThreadPoolExecutor(2) as pool:
            for n in range(1, 20):
                dropping = pool.submit(drop, store, f"e{n - 1}")
                keep(store, f"e{n}", {"a": (b"base", b"shared")}, "e0")
                dropping.result()

                assert [b"base", b"shared"] == contents(store, f"e{n}", b"base", b"shared"), n
                assert 1 == len(dropped(store, f"e{n - 1}"))
