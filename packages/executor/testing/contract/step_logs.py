"""What the commands of steps printed."""

import pytest

from executor.errors import InvalidInput
from executor.models.execution import STEP_LOG_BYTES, StepOutput
from executor.storage.base import ExecutionStorage
from executor.testing.contract.base import Contract
from executor.testing.factories import start
from executor.testing.harness import StoreHarness


class StepLogContract(Contract):
    def test_a_log_comes_back_byte_for_byte(self, store: ExecutionStorage) -> None:
        """Whatever the bytes, from none to the most; in the order of the steps."""
        start(store, "e")
        kept = {
            "steps/01-capture.log": b"",
            "steps/04-verify.log": bytes(range(256)) + "ö\ud7ff\0".encode(),
            "steps/05-health.log": b"x" * STEP_LOG_BYTES,
        }
        for number, (name, content) in enumerate(reversed(kept.items())):
            step = store.record_step_start("e", 9 - number, "verify", name)
            store.record_step_end(step, "completed", output=StepOutput(name, content, number == 0))

        found = store.list_step_logs("e")

        assert [(name, len(content)) for name, content in kept.items()] == [
            (log.name, log.size) for log in found
        ]
        assert [(7, False), (8, False), (9, True)] == [(log.step_num, log.truncated) for log in found]
        assert {"e"} == {log.execution_id for log in found}
        assert kept == {name: store.get_step_log("e", name) for name in kept}

    def test_what_is_not_kept_is_none(self, store: ExecutionStorage) -> None:
        start(store, "e")
        store.record_step_end(store.record_step_start("e", 1, "verify", "steps/01-verify.log"), "completed")

        assert [] == store.list_step_logs("e") == store.list_step_logs("unknown")
        assert store.get_step_log("e", "steps/01-verify.log") is None
        assert store.get_step_log("unknown", "steps/01-verify.log") is None

    def test_the_log_of_the_first_end_stays(self, store: ExecutionStorage) -> None:
        start(store, "e")
        step = store.record_step_start("e", 1, "verify")
        store.record_step_end(step, "failed", output=StepOutput("log", b"first"))

        store.record_step_end(step, "failed", output=StepOutput("log", b"second"))

        assert b"first" == store.get_step_log("e", "log")

    def test_a_step_whose_log_is_refused_has_not_ended(self, store: ExecutionStorage) -> None:
        start(store, "e")
        step = store.record_step_start("e", 1, "verify")

        with pytest.raises(InvalidInput):
            store.record_step_end(step, "failed", output=StepOutput("log", b"x" * (STEP_LOG_BYTES + 1)))

        assert ["running"] == [found.status for found in store.get_execution_steps("e")]

    @pytest.mark.parametrize("content", [b"", b"no zlib", b"x\x9c+I-.\x01\0\x04]\x01\xc1" * 2])
    def test_a_damaged_log_is_none(
        self, store: ExecutionStorage, harness: StoreHarness, content: bytes
    ) -> None:
        start(store, "e")
        row = {"correlation_id": "e", "execution_id": "e", "name": "log", "step_num": 1, "size": 7}
        harness.write_behind([{**row, "created_at": "t", "content": content}], "step_logs")

        assert store.get_step_log("e", "log") is None
