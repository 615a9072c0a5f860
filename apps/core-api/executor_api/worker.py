"""The process that changes one workspace for a server: `python -m executor_api.worker DIRECTORY`.

Takes one request a line on standard input and answers each with one line on standard output. Short requests are
answered in turn; executions are run one after the other in a thread beside. At the end of input it finishes what
it runs and leaves the rest to the next worker. SIGTERM interrupts, which rolls back.
"""

from __future__ import annotations

import hashlib
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import orjson

from executor.errors import (
    AlreadyApproved,
    ExecutionExists,
    ExecutionNotFound,
    ExecutorError,
    InvalidSettings,
    InvalidState,
    TryAgain,
    Unavailable,
)
from executor.host.artifacts import ArtifactFolder
from executor.host.origin import Origin
from executor.models.execution import ExecutionRecord, ExecutionStatus, TriggerKind
from executor.models.ids import check_label, new_execution_id
from executor.runtime import Proposal, open_runtime
from executor_api.accepted_queue import AcceptedQueue
from executor_api.encoding import encode
from executor_api.problems import Refused, conflict_of, described

MOST_WAITING: Final = 64
# Whoever works in the workspace beside us is waited for.
_LOCK_SECONDS: Final = 24 * 3600.0
_PAUSE_SECONDS: Final = 1.0
_REQUEST: Final = "request.json"

_log: Final = logging.getLogger("executor_api.worker")


class Worker:
    """The workspace twice: to answer requests, and to run executions meanwhile."""

    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        self._asked = open_runtime(root, environ=environ)
        self._running = open_runtime(root, environ=environ)
        self._queue = AcceptedQueue(self._asked.state)
        self._todo: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._current: tuple[str, threading.Event] | None = None
        self._withdrawn: dict[str, str] = {}
        self._ending = threading.Event()
        self._interrupted = False
        self._runner = threading.Thread(target=self._run_all, name="runner")
        self._methods: dict[str, Callable[..., dict[str, Any]]] = {
            "propose": self.propose,
            "retry": self.retry,
            "revert": self.revert,
            "approve": self.approve,
            "deny": self.deny,
            "cancel": self.cancel,
            "dismiss": self.dismiss,
        }

    def start(self) -> None:
        """Puts in order what a dead process left, then goes on with what was accepted."""
        self._running.recover_abandoned()
        for execution_id in self._queue.waiting():
            self._todo.put(execution_id)
        self._runner.start()

    def close(self) -> None:
        """Waits for the execution that runs."""
        self._ending.set()
        self._todo.put(None)
        self._runner.join()
        self._asked.close()
        self._running.close()

    def interrupt(self) -> None:
        """Stops and rolls back what runs."""
        with self._lock:
            self._interrupted = True
            if self._current is not None:
                self._current[1].set()

    def answer(self, line: bytes) -> bytes:
        """One request, one answer."""
        try:
            request = orjson.loads(line)
            return encode({"done": self._methods[request["method"]](**request["values"])})
        except (ExecutorError, Refused) as error:
            status, code, detail = described(error)
            more = conflict_of(error)
            return encode({"refused": {"status": status, "code": code, "detail": detail, "conflict": more}})
        except Exception:  # noqa: BLE001
            # The server answers 500; whoever runs it finds the trace in its log.
            _log.exception("a request to the worker failed")
            detail = "the worker failed; the log of the server says why"
            return encode({"refused": {"status": 500, "code": "internal", "detail": detail}})

    # Requests.

    def propose(
        self,
        *,
        patch: str | None,
        changeset: Any,
        verify: list[str] | None,
        title: str | None,
        why: str | None,
        correlation_id: str | None,
        parent_execution_id: str | None,
        trigger_kind: str | None,
        run_id: str | None,
        caller: dict[str, Any],
        key: str | None,
    ) -> dict[str, Any]:
        for kind, label in (("correlation id", correlation_id), ("run id", run_id)):
            if label is not None:
                check_label(kind, label)
        request = [
            patch,
            changeset,
            verify,
            title,
            why,
            correlation_id,
            parent_execution_id,
            trigger_kind,
            run_id,
        ]
        execution_id, known = self._keyed(key, caller, request)
        if known is not None:
            return _accepted(known)
        origin = self._origin(
            caller,
            trigger=trigger_kind,
            parent=parent_execution_id,
            correlation=correlation_id,
            run_id=run_id,
        )
        commands, found = self._checks(verify, admin=caller["admin"])
        proposal = self._asked.propose(
            patch.encode("utf-8", "surrogateescape") if patch is not None else orjson.dumps(changeset),
            kind="patch" if patch is not None else "changeset",
            origin=origin,
            verify=commands,
            find_checks=found,
            title=title,
            why=why,
        )
        if isinstance(proposal, ExecutionRecord):
            return {**_accepted(proposal), "already_applied": True}
        return self._accept(proposal, execution_id, request, keyed=key is not None)

    def retry(
        self,
        *,
        execution_id: str,
        why: str | None,
        run_id: str | None,
        caller: dict[str, Any],
        key: str | None,
    ) -> dict[str, Any]:
        if run_id is not None:
            check_label("run id", run_id)
        request = ["retry", execution_id, why, run_id]
        new_id, known = self._keyed(key, caller, request)
        if known is not None:
            return _accepted(known)
        origin = self._origin(
            caller, trigger=TriggerKind.RETRY, parent=execution_id, correlation=None, run_id=run_id
        )
        proposal = self._asked.propose_retry(execution_id, origin=origin, why=why)
        return self._accept(proposal, new_id, request, keyed=key is not None)

    def revert(
        self,
        *,
        execution_id: str,
        why: str | None,
        run_id: str | None,
        verify: list[str] | None,
        caller: dict[str, Any],
        key: str | None,
    ) -> dict[str, Any]:
        if run_id is not None:
            check_label("run id", run_id)
        request = ["revert", execution_id, why, run_id, verify]
        new_id, known = self._keyed(key, caller, request)
        if known is not None:
            return _accepted(known)
        proposal = self._asked.propose_revert(
            execution_id,
            origin=self._origin(caller, trigger=None, parent=execution_id, correlation=None, run_id=run_id),
            verify=self._checks_back(execution_id, verify, admin=caller["admin"]),
            why=why,
        )
        if isinstance(proposal, ExecutionRecord):
            return {**_accepted(proposal), "already_applied": True}
        return self._accept(proposal, new_id, request, keyed=key is not None)

    def approve(self, *, execution_id: str, reason: str | None, caller: dict[str, Any]) -> dict[str, Any]:
        self._refuse_full()
        approver = caller["actor"] if caller["token"] else None
        self._asked.approve(execution_id, reason=reason, at_terminal=True, approver=approver)
        record = self._record(execution_id)
        if record.workspace_id == self._asked.workspace_id and execution_id not in self._queue.waiting():
            self._queue.add(execution_id)
            self._todo.put(execution_id)
        return _accepted(record)

    def deny(self, *, execution_id: str, reason: str, caller: dict[str, Any]) -> dict[str, Any]:
        return _accepted(self._asked.deny(execution_id, reason, by=caller["actor"]))

    def cancel(self, *, execution_id: str, reason: str | None, caller: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            if self._current is not None and self._current[0] == execution_id:
                self._current[1].set()
                return _accepted(self._record(execution_id))
            record = self._record(execution_id)
            queued = execution_id in self._queue.waiting() and not record.awaiting_approval
            if queued and record.status == ExecutionStatus.PENDING:
                because = f": {reason}" if reason else ""
                self._withdrawn[execution_id] = f"withdrawn by {caller['actor']}{because}"
                return _accepted(record)
        if record.ended or record.awaiting_approval:
            return _accepted(self._asked.withdraw(execution_id, reason, by=caller["actor"]))
        # A command at a terminal runs it, or another server.
        return _accepted(self._asked.stop(execution_id, reason, patience_seconds=0.0, by=caller["actor"]))

    def dismiss(
        self, *, execution_id: str, reason: str | None, undo: bool, caller: dict[str, Any]
    ) -> dict[str, Any]:
        if undo:
            self._asked.store.undismiss(execution_id, reason, caller["actor"])
        else:
            self._asked.store.dismiss(execution_id, reason or "", caller["actor"])
        return _accepted(self._record(execution_id))

    def _record(self, execution_id: str) -> ExecutionRecord:
        record = self._asked.store.get_execution(execution_id)
        if record is None:
            raise ExecutionNotFound(execution_id)
        return record

    def _origin(self, caller: dict[str, Any], **asked: Any) -> Origin:
        """A program with a token is judged as an agent is, whatever it says it is."""
        origin = self._asked.origin(**asked)
        if not caller["token"]:
            return origin
        given = asked["trigger"]
        return replace(
            origin,
            actor=caller["actor"],
            account=caller["actor"],
            asking=TriggerKind.AGENT,
            trigger_kind=TriggerKind(given) if given else TriggerKind.AGENT,
        )

    def _checks(self, verify: list[str] | None, *, admin: bool) -> tuple[list[str], bool]:
        """The commands to verify with, and whether the planner may find others. Raises InvalidSettings."""
        named = self._asked.named_checks
        if verify is None:
            return ([], True) if admin else (list(named.values()), False)
        commands = []
        for name in verify:
            if name not in named and not admin:
                known = ", ".join(sorted(named)) or "none"
                raise InvalidSettings(
                    f"there is no check {name!r} in [checks] of .executor/config.toml (there: {known})"
                )
            commands.append(named.get(name, name))
        return commands, False

    def _checks_back(self, execution_id: str, verify: list[str] | None, *, admin: bool) -> list[str] | None:
        """The commands that verify a revert; none: those of the execution; None: it is not verified.

        Where nobody named any for the execution, others would be found: that is for `admin`, as in `_checks`.
        """
        if verify is None:
            plan = self._asked.store.get_plan(execution_id)
            if admin or any(not check.reason for check in (plan.verification if plan else ())):
                return []
        return self._checks(verify, admin=admin)[0] or None

    def _keyed(
        self, key: str | None, caller: dict[str, Any], request: list[Any]
    ) -> tuple[str, ExecutionRecord | None]:
        """The id for a request, and the execution it was accepted as before. Raises Refused for another request."""
        if key is None:
            return new_execution_id(), None
        digest = hashlib.sha256(encode([self._asked.workspace_id, caller["actor"], key])).hexdigest()
        execution_id = f"exec_{digest[:32]}"
        record = self._asked.store.get_execution(execution_id)
        if record is None:
            return execution_id, None
        file = self._asked.artifacts(execution_id).path / _REQUEST
        with suppress(OSError, ValueError):
            if orjson.loads(file.read_bytes())["sha256"] != _digest(request):
                raise Refused(
                    409, "idempotency_mismatch", "this Idempotency-Key was used for another request"
                )
        return execution_id, record

    def _refuse_full(self) -> None:
        if self._ending.is_set() or len(self._queue.waiting()) >= MOST_WAITING:
            raise Refused(503, "queue_full", "too many executions wait for this workspace; try again later")

    def _accept(
        self, proposal: Proposal, execution_id: str, request: list[Any], *, keyed: bool
    ) -> dict[str, Any]:
        self._refuse_full()
        if keyed:
            folder = ArtifactFolder(self._asked.state, execution_id)
            folder.create()
            folder.write_json(_REQUEST, {"sha256": _digest(request)})
        # The file first: a worker that finds a file without an execution drops it.
        self._queue.add(execution_id)
        try:
            record = self._asked.accept(proposal, execution_id=execution_id)
        except ExecutionExists:
            # The same key at the same time: that request was quicker.
            return _accepted(self._record(execution_id))
        except BaseException:
            self._queue.remove(execution_id)
            raise
        if record.ended or record.awaiting_approval:
            self._queue.remove(execution_id)
        else:
            self._todo.put(execution_id)
        return _accepted(record)

    # Executions.

    def _run_all(self) -> None:
        while True:
            execution_id = self._todo.get()
            if execution_id is None or self._ending.is_set():
                return
            while not self._run(execution_id):
                if self._ending.wait(_PAUSE_SECONDS):
                    return

    def _run(self, execution_id: str) -> bool:
        """Whether it needs no second try."""
        cancel = threading.Event()
        with self._lock:
            if self._interrupted:
                return True
            self._current = (execution_id, cancel)
            withdrawn = self._withdrawn.pop(execution_id, None)
        try:
            record = self._running.store.get_execution(execution_id)
            if record is None or record.ended:
                pass
            elif withdrawn is not None and not record.awaiting_approval:
                self._running.store.record_execution_end(
                    execution_id, ExecutionStatus.CANCELLED, error_message=withdrawn, error_code="withdrawn"
                )
            elif record.awaiting_approval:
                self._running.resume(execution_id, cancel=cancel, wait_seconds=_LOCK_SECONDS)
            else:
                self._running.run_accepted(execution_id, cancel=cancel, wait_seconds=_LOCK_SECONDS)
        except (TryAgain, Unavailable) as error:
            _log.warning("execution %s has to wait: %s", execution_id, error)
            # What was begun and could not be recorded is put in order before the next try.
            with suppress(ExecutorError):
                self._running.recover_abandoned()
            return False
        except (InvalidState, AlreadyApproved) as error:
            # Somebody else ran it, or it ended otherwise meanwhile.
            _log.info("execution %s is not run: %s", execution_id, error)
        except ExecutorError as error:
            _log.error("execution %s could not be run: %s", execution_id, error)
        finally:
            with self._lock:
                self._current = None
        self._queue.remove(execution_id)
        return True


def _accepted(record: ExecutionRecord) -> dict[str, Any]:
    return {
        "execution_id": record.execution_id,
        "status": record.status,
        "verdict": record.verdict,
        "already_applied": False,
    }


def _digest(request: list[Any]) -> str:
    return hashlib.sha256(encode(request)).hexdigest()


def main(arguments: list[str]) -> int:
    """Serves standard input until it ends."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(message)s")
    # Whatever the checks or libraries print, the server reads answers alone.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    worker = Worker(Path(arguments[0]), os.environ)
    signal.signal(signal.SIGTERM, lambda *_: worker.interrupt())
    worker.start()
    try:
        for line in sys.stdin.buffer:
            answers.write(worker.answer(line) + b"\n")
    except BrokenPipeError:
        # The server is gone.
        pass
    finally:
        worker.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
