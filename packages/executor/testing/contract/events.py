"""Events and links."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from executor.errors import ExecutionNotFound, InvalidInput, InvalidLimit, UnknownEvent
from executor.models.execution import LinkRecord
from executor.storage.base import ExecutionStorage
from executor.testing.contract.base import Contract
from executor.testing.factories import finish, row, start
from executor.testing.harness import StoreHarness


class EventContract(Contract):
    def test_recording_alone_tells_the_story(self, store: ExecutionStorage) -> None:
        start(store, "first", correlation_id="task")
        start(store, "e", "first", title="t", why="because", actor="ada")
        step = store.record_step_start("e", 1, "apply", log_ref="steps/1.log")
        store.record_step_end(step, "failed", 0.5, "E1", "boom")
        store.record_execution_end("e", "rolled_back", 1.0, 2, rolled_back=True, error_step="apply")

        events = store.list_events("e")

        assert ["execution_start", "step_start", "step_end", "execution_end"] == [e.event for e in events]
        assert [1, 2, 3, 4] == [event.seq for event in events]
        assert {"task"} == {event.correlation_id for event in events}
        begun, step_begun, step_ended, ended = (event.data for event in events)
        assert ("retry", "first", 2, "t", "because", "ada") == tuple(
            begun[name]
            for name in ("trigger_kind", "parent_execution_id", "attempt", "title", "why", "actor")
        )
        assert {"step_id": step, "step_num": 1, "step_name": "apply", "log_ref": "steps/1.log"} == step_begun
        assert ("failed", 0.5, "E1", "boom", "apply") == tuple(
            step_ended[n] for n in ("status", "duration_seconds", "error_code", "error_message", "step_name")
        )
        assert {
            "status": "rolled_back",
            "duration_seconds": 1.0,
            "files_changed": 2,
            "verification_passed": False,
            "health_checks_passed": False,
            "rolled_back": True,
            "error_step": "apply",
        } == ended

    def test_appended_events_continue_the_count_also_after_the_end(self, store: ExecutionStorage) -> None:
        finish(store, "e")

        appended = store.append_events(
            "e", [("drift", {"path": "a"}), ("health_warning", {"n": [1, None, "ä"]})]
        )

        assert [3, 4] == [event.seq for event in appended]
        assert {"n": [1, None, "ä"]} == appended[1].data
        assert appended == store.list_events("e", after=2)
        assert [] == store.append_events("e", [])

    def test_events_are_appended_all_or_none(self, store: ExecutionStorage) -> None:
        finish(store, "e")
        bad: list[Any] = [
            ("drifted", {}),
            ("drift", {"seq": 1}),
            ("drift", {"x": math.nan}),
            ("drift", {"x": object()}),
            (None, {}),
        ]
        for event in bad:
            with pytest.raises((UnknownEvent, InvalidInput)):
                store.append_events("e", [("drift", {}), event])

        assert 2 == len(store.list_events("e"))

    @pytest.mark.parametrize(
        "data",
        [
            {"text": "x" * 100_000, "kept": 1},
            {"text": "\0" * 20_000, "kept": 1},
            {"text": "🙂" * 20_000, "kept": 1},
            {"list": ["x" * 100] * 10_000, "kept": 1},
            {"deep": {"deeper": ["x" * 70_000]}, "kept": 1},
            {**{f"k{n}": "x" * 50 for n in range(5000)}},
            {"k" * 100_000: 1},
        ],
        ids=lambda data: next(iter(data))[:10],
    )
    def test_a_long_event_is_shortened_and_says_so(
        self, store: ExecutionStorage, data: dict[str, Any]
    ) -> None:
        start(store, "e")

        (appended,) = store.append_events("e", [("drift", data)])

        assert appended.data["truncated"] is True
        assert len(json.dumps(appended.to_dict())) <= 64 * 1024
        assert appended.data.get("kept", 1) == 1

    def test_text_of_events_is_clean(self, store: ExecutionStorage) -> None:
        start(store, "e")

        (appended,) = store.append_events("e", [("drift", {"a\0": ["\ud83d", "🙂"], "n": (1,)})])

        assert {"a␀": ["\\ud83d", "🙂"], "n": [1]} == appended.data

    def test_a_part_of_the_events_can_be_read(self, store: ExecutionStorage) -> None:
        finish(store, "e")
        store.append_events("e", [("drift", {"n": n}) for n in range(8)])

        assert [4, 5] == [event.seq for event in store.list_events("e", after=3, limit=2)]
        assert [9, 10] == [event.seq for event in store.list_events("e", tail=2)]
        assert [10] == [event.seq for event in store.list_events("e", after=9, tail=5)]
        assert [] == store.list_events("gone")
        for values in ({"after": -1}, {"after": True}, {"tail": 0}):
            with pytest.raises(InvalidLimit):
                store.list_events("e", **values)

    def test_the_position_orders_the_events_of_all_executions(self, store: ExecutionStorage) -> None:
        finish(store, "a")
        finish(store, "b")

        first = store.read_events_after(0, limit=3)
        rest = store.read_events_after(first[-1].position)

        assert [("a", 1), ("a", 2), ("b", 1)] == [(event.execution_id, event.seq) for event in first]
        assert [("b", 2)] == [(event.execution_id, event.seq) for event in rest]
        assert rest[-1].position == store.last_event_position()
        assert [] == store.read_events_after(2**70)
        with pytest.raises(InvalidLimit):
            store.read_events_after(-1)

    def test_a_reader_by_position_misses_nothing_while_many_write(
        self, store: ExecutionStorage, harness: StoreHarness
    ) -> None:
        stores = [harness.another_store() for _ in range(3)]

        def write(number: int) -> None:
            finish(stores[number % 3], f"e{number:03}")

        seen: list[tuple[str, int]] = []
        position = 0
        with ThreadPoolExecutor(6) as pool:
            writing = [pool.submit(write, number) for number in range(100)]
            while len(seen) < 200:
                # Asked before reading: what was written in between has to be read yet.
                done = all(future.done() for future in writing)
                events = store.read_events_after(position, limit=7)
                seen += [(event.execution_id, event.seq) for event in events]
                position = events[-1].position if events else position
                if done and not events:
                    break

        assert sorted(seen) == [(f"e{number:03}", seq) for number in range(100) for seq in (1, 2)]

    def test_damaged_event_data_reads_as_none(self, store: ExecutionStorage, harness: StoreHarness) -> None:
        start(store, "e")
        for seq, data in enumerate(("{", "[]", "7", "", "[" * 100_000), 2):
            values = {"execution_id": "e", "correlation_id": "e", "seq": seq, "position": seq, "data": data}
            harness.write_behind([values | {"event": "drift", "timestamp": "t"}], "execution_events")

        assert [{}] * 5 == [event.data for event in store.list_events("e", after=1)]

    def test_what_an_execution_undoes_is_recorded_with_its_start(self, store: ExecutionStorage) -> None:
        finish(store, "change")
        for _ in range(2):
            start(store, "undo", "change", trigger_kind="manual", reverts="change")
        with pytest.raises(ExecutionNotFound):
            start(store, "other", reverts="gone")

        assert [LinkRecord("undo", "reverts", "change")] == store.list_links("change")
        assert "change" == store.list_events("undo")[0].data["reverts"]
        assert None is store.get_execution("other")

    def test_links_are_kept_once_and_seen_from_both_ends(
        self, store: ExecutionStorage, harness: StoreHarness
    ) -> None:
        harness.write_behind([row("a"), row("b"), row("c")])
        store.add_link("b", "reverts", "a")
        store.add_link("b", "reverts", "a")
        store.add_link("c", "evidence", "b")

        links = [LinkRecord("b", "reverts", "a"), LinkRecord("c", "evidence", "b")]

        assert links == store.list_links("b")
        assert links[:1] == store.list_links("a")
        assert [] == store.list_links("gone")
        for source, target in (("gone", "a"), ("a", "gone")):
            with pytest.raises(ExecutionNotFound):
                store.add_link(source, "reverts", target)
        with pytest.raises(InvalidInput):
            store.add_link("a", "likes", "b")

    def test_a_watch_tells_of_what_any_store_records(
        self, store: ExecutionStorage, harness: StoreHarness
    ) -> None:
        """From the moment it is made: nothing that comes between two waits is missed."""
        watch = store.watch_events()
        try:
            for n, other in enumerate((store, harness.another_store())):
                before = store.last_event_position()
                start(other, f"e{n}")
                while not store.read_events_after(before):
                    assert watch.wait(30)
                assert watch.wait(30)
                finish(other, f"f{n}")

                assert watch.wait(30)
        finally:
            watch.close()
