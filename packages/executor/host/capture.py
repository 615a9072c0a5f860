"""Runs a command in a scratch copy of the workspace and takes what it changed as the change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from executor.errors import ExecutorError, Interrupted, TryAgain, Unavailable
from executor.host.attempt import Stopped, command_output
from executor.host.cause import cause_line
from executor.host.checks import run_check
from executor.host.environment import INSIDE, LEADS_BACK, Environment, Link
from executor.host.scratch import ScratchCopy
from executor.models.execution import EventType, StepName, StepStatus
from executor.models.plan import Check

if TYPE_CHECKING:
    from executor.events.recorder import EventRecorder
    from executor.host.artifacts import ArtifactFolder
    from executor.host.attempt import Surroundings
    from executor.models.change import FileChange

CAPTURE_FAILED: Final = "capture_failed"
CAPTURE_TIMED_OUT: Final = "capture_timed_out"
DEFAULT_TIMEOUT_SECONDS: Final = 3600.0


def capture_environment(environ: Mapping[str, str], link: Link) -> Environment:
    """The caller's environment, with what makes executions inside find their place in the graph."""
    values = {name: value for name, value in environ.items() if name != INSIDE and name not in LEADS_BACK}
    return Environment({**values, "PWD": link.workspace, **link.variables()})


def capture(
    around: Surroundings,
    scratch: ScratchCopy,
    command: Check,
    *,
    folder: ArtifactFolder,
    recorder: EventRecorder,
    environment: Environment,
    cancel: threading.Event,
    on_output: Callable[[str], None] | None = None,
) -> tuple[FileChange, ...]:
    """What `command` changed, recorded as the step `capture`; empty when it changed nothing.

    Raises Stopped when it failed, ran out of time, was cancelled, or what it changed cannot be taken.
    """
    step, store = StepName.CAPTURE, around.store
    log = folder.step_log(1, step)
    log_name = str(log.relative_to(folder.path))
    step_id = store.record_step_start(folder.execution_id, 1, step, log_name)
    recorder.catch_up()
    began = time.monotonic()
    stopped: Stopped | None = None
    truncated = False
    changes: Sequence[FileChange] = ()
    try:
        scratch.make(cancel.is_set)
        _stop_if(cancel)
        result = run_check(
            command,
            cwd=scratch.root,
            log_path=log,
            environment=environment,
            redactor=around.redactor,
            on_output=on_output,
            cancel=cancel,
        )
        truncated = result.log_truncated
        recorder.emit(EventType.COMMAND_OUTPUT, command_output(command, result, log_name))
        _stop_if(cancel)
        if not result.passed:
            code = CAPTURE_TIMED_OUT if result.timed_out else CAPTURE_FAILED
            cause = cause_line(result.tail) if result.error is None else ""
            raise Stopped(step, code, f"{command.name} {result.summary}" + (f": {cause}" if cause else ""))
        changes = scratch.changes()
    except (Unavailable, TryAgain):
        raise
    except Stopped as error:
        stopped = error
    except ExecutorError as error:
        stopped = Stopped(step, error.code, str(error))
    store.record_step_end(
        step_id,
        StepStatus.FAILED if stopped else StepStatus.COMPLETED,
        duration_seconds=time.monotonic() - began,
        error_code=stopped.code if stopped else None,
        error_message=around.redactor.redact(stopped.message) if stopped else None,
        output=folder.output(log_name, truncated=truncated),
    )
    recorder.catch_up()
    if stopped is not None:
        raise stopped
    return tuple(changes)


def _stop_if(cancel: threading.Event) -> None:
    if cancel.is_set():
        raise Stopped(StepName.CAPTURE, Interrupted.code, "stopped by the user or a signal")
