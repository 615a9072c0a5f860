"""The life of executions against a dictionary."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from executor.errors import ExecutionEnded, ExecutionExists, ExecutionNotFound, ParentNotFound, StepEnded
from executor.models.execution import TERMINAL_STATUSES, ExecutionStatus, StepName, TriggerKind
from executor.testing.factories import ids, start
from executor.testing.harness import StoreHarness

_RUNNING = sorted(set(map(str, ExecutionStatus)) - TERMINAL_STATUSES)
_ENDS = sorted(TERMINAL_STATUSES)
_names = st.integers(0, 12).map(lambda number: f"e{number}")


def life_cycle(harness: StoreHarness) -> type[RuleBasedStateMachine]:
    """A machine that drives the store of `harness`, emptied for each run."""

    class LifeCycle(RuleBasedStateMachine):
        executions = Bundle("executions")
        steps = Bundle("steps")

        def __init__(self) -> None:
            super().__init__()
            self.store = harness.empty()
            self.model: dict[str, dict[str, Any]] = {}
            self.steps_of: dict[int, dict[str, Any]] = {}
            self.events: dict[str, list[str]] = {}

        @rule(target=executions, name=_names, parent=st.none() | _names, kind=st.sampled_from(TriggerKind))
        def start(self, name: str, parent: str | None, kind: TriggerKind) -> Any:
            values = {"trigger_kind": kind.value}
            if parent == name:
                return multiple()
            if name in self.model:
                first = self.model[name]
                if (first["parent"], first["kind"]) == (parent, kind):
                    assert first["status"] == start(self.store, name, parent, **values).status
                else:
                    with pytest.raises((ExecutionExists, ParentNotFound)):
                        start(self.store, name, parent, **values)
                return multiple()
            if parent is not None and parent not in self.model:
                with pytest.raises(ParentNotFound):
                    start(self.store, name, parent, **values)
                return multiple()
            above = self.model.get(parent or "")
            record = start(self.store, name, parent, **values)
            attempt = above["attempt"] + 1 if above and kind in ("retry", "repair") else 1
            correlation = above["correlation"] if above else name
            assert (attempt, correlation) == (record.attempt, record.correlation_id)
            self.model[name] = {
                "parent": parent,
                "kind": kind,
                "attempt": attempt,
                "correlation": correlation,
                "status": "pending",
                "error_step": None,
            }
            self.events[name] = ["execution_start"]
            return name

        @rule(name=executions | _names, status=st.sampled_from(_RUNNING), step=st.none() | _steps())
        def move(self, name: str, status: str, step: str | None) -> None:
            model = self.model.get(name)
            if model is None:
                with pytest.raises(ExecutionNotFound):
                    self.store.update_execution_status(name, status, error_step=step)
            elif model["status"] in TERMINAL_STATUSES:
                with pytest.raises(ExecutionEnded):
                    self.store.update_execution_status(name, status, error_step=step)
            else:
                self.store.update_execution_status(name, status, error_step=step)
                model["status"] = status
                model["error_step"] = model["error_step"] or step

        @rule(name=executions | _names, status=st.sampled_from(_ENDS), step=st.none() | _steps())
        def end(self, name: str, status: str, step: str | None) -> None:
            model = self.model.get(name)
            if model is None:
                with pytest.raises(ExecutionNotFound):
                    self.store.record_execution_end(name, status, error_step=step)
            elif model["status"] in TERMINAL_STATUSES and model["status"] != status:
                with pytest.raises(ExecutionEnded):
                    self.store.record_execution_end(name, status, error_step=step)
            else:
                self.store.record_execution_end(name, status, error_step=step)
                if model["status"] != status:
                    model["status"] = status
                    model["error_step"] = model["error_step"] or step
                    self.events[name].append("execution_end")

        @rule(target=steps, name=executions, step=_steps())
        def start_step(self, name: str, step: str) -> Any:
            number = sum(model["execution"] == name for model in self.steps_of.values())
            if self.model[name]["status"] in TERMINAL_STATUSES:
                with pytest.raises(ExecutionEnded):
                    self.store.record_step_start(name, number, step)
                return multiple()
            step_id = self.store.record_step_start(name, number, step)
            assert step_id not in self.steps_of
            self.steps_of[step_id] = {"execution": name, "name": step, "status": "running"}
            self.events[name].append("step_start")
            return step_id

        @rule(step_id=steps, status=st.sampled_from(["completed", "failed", "skipped"]))
        def end_step(self, step_id: int, status: str) -> None:
            model = self.steps_of[step_id]
            if model["status"] not in ("running", status):
                with pytest.raises(StepEnded):
                    self.store.record_step_end(step_id, status)
                return
            self.store.record_step_end(step_id, status)
            if model["status"] == "running":
                self.events[model["execution"]].append("step_end")
            model["status"] = status

        @rule()
        def reopen(self) -> None:
            self.store.close()

        @invariant()
        def the_store_holds_what_the_model_holds(self) -> None:
            found = {record.execution_id: record for record in self.store.list_executions(limit=100)}
            assert {name: (m["status"], m["error_step"]) for name, m in self.model.items()} == {
                name: (record.status, record.error_step) for name, record in found.items()
            }

        def teardown(self) -> None:
            for name, events in self.events.items():
                assert events == [event.event for event in self.store.list_events(name)]
                assert list(range(1, len(events) + 1)) == [e.seq for e in self.store.list_events(name)]
                expected = [m for m in self.steps_of.values() if m["execution"] == name]
                steps = self.store.get_execution_steps(name)
                assert [(m["name"], m["status"]) for m in expected] == [
                    (s.step_name, s.status) for s in steps
                ]
            positions = [event.position for event in self.store.read_events_after(0, limit=10_000)]
            assert sorted(set(positions)) == positions
            running = {name for name, m in self.model.items() if m["status"] not in TERMINAL_STATUSES}
            assert running == set(ids(self.store.list_unended()))

    LifeCycle.TestCase.settings = settings(stateful_step_count=30)
    return LifeCycle


def _steps() -> st.SearchStrategy[str]:
    return st.sampled_from([name.value for name in StepName])
