"""The release check: does this installation keep its promises, shown on real changes.

It carries changes to one file of its own through plan, gate, apply and verification, compares what the record,
the events and the artifacts say with what happened, and takes the file away again by a change like any other.
Records of it stay in the database, as those of every execution do.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener
from uuid import uuid4

from executor.errors import ExecutorError, InvalidSettings, WorkspaceNotFound
from executor.host.git import find_workspace
from executor.migrations.target import URL_VARIABLE, DatabaseTarget
from executor.models.execution import ExecutionRecord, ExecutionStatus, StepRecord, TriggerKind, Verdict
from executor.runtime import open_runtime
from executor.storage.location import STATE_DIRECTORY, resolve_workspace, state_directory

if TYPE_CHECKING:
    from executor.runtime import Runtime

_GIT: Final = ("git", "-c", "core.hooksPath=/dev/null", "-c", "init.defaultBranch=main")
# What links this run to an execution around it; the check makes one family of its own.
_INHERITED: Final = frozenset(
    {
        "EXECUTOR_CHECK_RUN",
        "EXECUTOR_CORRELATION_ID",
        "EXECUTOR_INSIDE",
        "EXECUTOR_PARENT_EXECUTION_ID",
        "EXECUTOR_WORKSPACE",
    }
)
# They name the state of one workspace, so no temporary one can use them.
_OF_ONE_WORKSPACE: Final = ("EXECUTOR_STATE_DIR", "EXECUTOR_WORKSPACE_ID")
# What a server gets to start, to answer, and to end.
_SERVER_SECONDS: Final = 60
_GOOD: Final = "good\n"
_BAD: Final = "bad\n"
_REPAIRED: Final = "good again\n"


class CheckFailed(Exception):
    """What is not as promised, as one sentence."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """How one check came out; `detail` says what was seen."""

    name: str
    passed: bool
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """`engine` is `sqlite` or `postgresql`."""

    workspace: str
    engine: str
    results: tuple[CheckResult, ...]

    @property
    def passed(self) -> bool:
        return all(result.passed for result in self.results)


@dataclass(slots=True)
class Validation:
    """What the checks share: the workspace, the file they change, and the executions so far by role."""

    runtime: Runtime
    environ: Mapping[str, str]
    path: str
    before: Mapping[str, tuple[int, ...]]
    records: dict[str, ExecutionRecord] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.runtime.root / self.path

    def record(self, role: str) -> ExecutionRecord:
        """The execution an earlier check made. Raises CheckFailed when it did not come that far."""
        if role not in self.records:
            raise CheckFailed(f"there is no execution {role!r}: an earlier check failed")
        return self.records[role]

    def change(
        self,
        role: str,
        change: Mapping[str, str],
        *,
        verify: str,
        expected: ExecutionStatus,
        trigger: TriggerKind = TriggerKind.MANUAL,
        parent: str | None = None,
    ) -> ExecutionRecord:
        """Carries one change out. Raises CheckFailed unless it ends as expected."""
        proposal = self.runtime.propose(
            json.dumps({"version": 1, "changes": [{"path": self.path, **change}]}).encode(),
            kind="changeset",
            origin=self.runtime.origin(trigger=trigger, parent=parent),
            verify=[verify],
            title=f"Release check: {role}",
            why="executor doctor --validate",
        )
        if isinstance(proposal, ExecutionRecord):
            raise CheckFailed(f"taken for a repetition of {proposal.execution_id}")
        record = self.runtime.execute(proposal)
        if record.awaiting_approval:
            self.runtime.withdraw(record.execution_id, "the release check does not wait for a person")
            reasons = "; ".join(rule.reason for rule in proposal.decision.rules if rule.reason)
            raise CheckFailed(f"the policy wants a person to approve {self.path}: {reasons}")
        return self.keep(role, record, expected)

    def keep(self, role: str, record: ExecutionRecord, expected: ExecutionStatus) -> ExecutionRecord:
        if record.status != expected:
            raise CheckFailed(
                f"{record.execution_id} is {record.status}, not {expected}: {record.error_message or 'no error'}"
            )
        self.records[role] = record
        return record

    def expect_content(self, expected: str | None) -> None:
        found = self.file.read_text() if self.file.exists() else None
        if found != expected:
            raise CheckFailed(f"{self.path} holds {found!r}, not {expected!r}")


@dataclass(frozen=True, slots=True)
class Check:
    """A named check. `run` returns what it saw and raises CheckFailed or ExecutorError."""

    name: str
    run: Callable[[Validation], str]


def _change(validation: Validation) -> str:
    """A low-risk change goes through plan, gate, apply and verification."""
    record = validation.change(
        "change",
        {"operation": "create", "content": _GOOD},
        verify=f"grep -q good {validation.path}",
        expected=ExecutionStatus.COMPLETED,
    )
    validation.expect_content(_GOOD)
    if (record.verdict, record.risk_level) != ("allow", "low"):
        raise CheckFailed(f"judged {record.verdict} at {record.risk_level} risk, not allow at low")
    return f"{record.execution_id} completed, {record.files_changed} file"


def _record(validation: Validation) -> str:
    """The record and its steps say what happened."""
    store, execution_id = validation.runtime.store, validation.record("change").execution_id
    record, decision = store.get_execution(execution_id), store.get_decision(execution_id)
    if record is None or store.get_plan(execution_id) is None or decision is None:
        raise CheckFailed(f"{execution_id} lacks its record, plan or decision")
    if decision.verdict != Verdict.ALLOW or record.affected_paths != [validation.path]:
        raise CheckFailed(f"{execution_id} says {decision.verdict}, {record.affected_paths}")
    if not record.verification_passed or record.rolled_back or record.ended_at is None:
        raise CheckFailed(f"{execution_id} does not say that it was verified and has ended")
    steps = store.get_execution_steps(execution_id)
    _expect_steps(steps, ("validate", "backup", "apply", "verify"), failed=None)
    return ", ".join(step.step_name for step in steps)


def _artifacts(validation: Validation) -> str:
    """Every artifact is listed, opens by its name, and is readable by the owner only."""
    folder = validation.runtime.artifacts(validation.record("change").execution_id)
    names = folder.names()
    wanted = {"plan.json", "changeset.json", "decision.json", "execution.json", "events.jsonl"}
    missing = wanted.difference(names)
    if missing or not any(name.startswith("steps/") and name.endswith(".log") for name in names):
        raise CheckFailed(f"missing among the artifacts: {', '.join(sorted(missing)) or 'the log of a step'}")
    for name in names:
        with os.fdopen(folder.open(name), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            text = file.read()
        if mode & 0o077:
            raise CheckFailed(f"{name} is readable by others: mode {mode:04o}")
        try:
            for line in [text] if name.endswith(".json") else text.splitlines() * name.endswith(".jsonl"):
                json.loads(line)
        except ValueError as cause:
            raise CheckFailed(f"{name} does not parse: {cause}") from cause
    return f"{len(names)} artifacts"


def _family(validation: Validation) -> str:
    """A failing change is put back, so is its retry, and its repair completes."""
    validation.record("change")
    bad = {"operation": "update", "content": _BAD}
    verify = f"grep -q good {validation.path}"
    failed = validation.change("failing", bad, verify=verify, expected=ExecutionStatus.ROLLED_BACK)
    validation.expect_content(_GOOD)
    retried = validation.keep(
        "retry", validation.runtime.retry(failed.execution_id), ExecutionStatus.ROLLED_BACK
    )
    validation.expect_content(_GOOD)
    validation.change(
        "repair",
        {"operation": "update", "content": _REPAIRED},
        verify=verify,
        expected=ExecutionStatus.COMPLETED,
        trigger=TriggerKind.REPAIR,
        parent=retried.execution_id,
    )
    validation.expect_content(_REPAIRED)
    steps = validation.runtime.store.get_execution_steps(failed.execution_id)
    _expect_steps(steps, ("validate", "backup", "apply", "verify", "rollback"), failed="verify")
    return "rolled back, retried, repaired"


def _lineage(validation: Validation) -> str:
    """The family is found from any of its members."""
    store = validation.runtime.store
    ids = [validation.record(role).execution_id for role in ("failing", "retry", "repair")]
    first, last = store.get_execution_lineage(ids[0]), store.get_execution_lineage(ids[2])
    chain = store.list_executions_by_correlation(ids[0])
    seen = (
        [record.execution_id for record in first["descendants"]],
        [record.execution_id for record in last["ancestors"]],
        [record.execution_id for record in chain],
        [(record.trigger_kind, record.attempt) for record in chain],
    )
    kinds = [(TriggerKind.MANUAL, 1), (TriggerKind.RETRY, 2), (TriggerKind.REPAIR, 3)]
    if seen != (ids[1:], ids[:2], ids, kinds):
        raise CheckFailed(f"the family of {ids[0]} reads as {seen}")
    if any(store.is_unresolved(execution_id) for execution_id in ids):
        raise CheckFailed(f"{ids[0]} counts as unresolved though its repair completed")
    return "three attempts, resolved by the repair"


def _revert(validation: Validation) -> str:
    """A completed change is undone to the byte by a child of it, and the record says by which."""
    repair, runtime = validation.record("repair"), validation.runtime
    proposal = runtime.propose_revert(
        repair.execution_id,
        origin=runtime.origin(parent=repair.execution_id),
        verify=[f"grep -qx good {validation.path}"],
        why="executor doctor --validate",
    )
    if isinstance(proposal, ExecutionRecord):
        raise CheckFailed(f"{repair.execution_id} is taken for undone, by {proposal.execution_id}")
    record = validation.keep("revert", runtime.execute(proposal), ExecutionStatus.COMPLETED)
    validation.expect_content(_GOOD)
    if record.parent_execution_id != repair.execution_id:
        raise CheckFailed(f"{record.execution_id} is no child of {repair.execution_id}, which it undoes")
    undone = runtime.store.list_reverted([repair.execution_id]).get(repair.execution_id)
    if undone != record.execution_id:
        raise CheckFailed(f"{repair.execution_id} counts as undone by {undone}, not by {record.execution_id}")
    if not runtime.store.is_unresolved(validation.record("failing").execution_id):
        raise CheckFailed("a failure counts as resolved though its repair is undone")
    return f"{record.execution_id} undid the repair"


def _events(validation: Validation) -> str:
    """Events are numbered without a gap, begin and end as they should, and stand in the artifact alike."""
    count = 0
    for role in ("change", "failing", "retry", "repair", "revert"):
        validation.record(role)
    for role, record in validation.records.items():
        events = validation.runtime.store.list_events(record.execution_id)
        kinds = [event.event for event in events]
        if [event.seq for event in events] != list(range(1, len(events) + 1)):
            raise CheckFailed(f"the events of {role} have a gap")
        if (kinds[:1], kinds[-1:]) != (["execution_start"], ["execution_end"]):
            raise CheckFailed(f"the events of {role} are {', '.join(kinds)}")
        if ("rollback_end" in kinds) != (record.status == ExecutionStatus.ROLLED_BACK):
            raise CheckFailed(f"the events of {role} tell of another rollback than its record")
        lines = validation.runtime.artifacts(record.execution_id).events.read_text().splitlines()
        if [json.loads(line)["seq"] for line in lines] != [event.seq for event in events]:
            raise CheckFailed(f"events.jsonl of {role} holds other events than the database")
        count += len(events)
    return f"{count} events of {len(validation.records)} executions"


class _Server:
    """`executor serve` in a process of its own, as this installation runs it. Raises CheckFailed."""

    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        # Whatever it says goes to a file: a pipe that nobody empties would stop it.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed where the process has ended
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "executor", "-C", str(root), "serve", "--port", "0"],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def address(self) -> str:
        """Where it listens, as soon as it says so."""
        deadline = time.monotonic() + _SERVER_SECONDS
        while time.monotonic() < deadline:
            ended = self._process.poll() is not None
            found = re.search(r"^(http://\S+)/ui/session", self._output(), re.MULTILINE)
            if found:
                return found[1]
            if ended:
                raise CheckFailed(f"executor serve ended at once: {self._output().strip()}")
            time.sleep(0.05)
        raise CheckFailed(
            f"executor serve said no address within {_SERVER_SECONDS} s: {self._output().strip()}"
        )

    def stop(self) -> None:
        """As Ctrl-C does. Kills it when that is not enough."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_SERVER_SECONDS)
        except subprocess.TimeoutExpired as cause:
            raise CheckFailed(f"executor serve did not end within {_SERVER_SECONDS} s") from cause
        if "Traceback" in self._output():
            raise CheckFailed(f"executor serve ended with an error: {self._output().strip()}")

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._said.close()

    def _output(self) -> str:
        # By its position: the process writes where its own descriptor, which is the same, stands.
        size = os.fstat(self._said.fileno()).st_size
        return os.pread(self._said.fileno(), size, 0).decode("utf-8", "replace")


def _server(validation: Validation) -> str:
    """A server of this installation answers what the store answers, refuses who has no token, and ends in order."""
    change, failing = validation.record("change"), validation.record("failing")
    server = _Server(validation.runtime.root, validation.environ)
    try:
        base = server.address()
        _expect_answers(validation, base, change.execution_id, failing.execution_id)
        status, kind, _ = _asked(f"{base}/ui/")
        server.stop()
    finally:
        server.close()
    if (status, kind) == (200, "text/html"):
        return "answers, refuses, shows the console, ends"
    if status == 404:
        return "answers, refuses, ends; has no console, which this source tree has not built"
    raise CheckFailed(f"/ui/ answers {status} {kind}")


def _expect_answers(validation: Validation, base: str, good: str, bad: str) -> None:
    store = validation.runtime.store
    lineage = store.get_execution_lineage(bad)
    asked: tuple[tuple[str, Callable[[Any], object], object], ...] = (
        ("/healthz", lambda answer: answer["status"], "ok"),
        ("/readyz", lambda answer: answer["ready"], True),
        ("/executions?limit=1", lambda answer: len(answer["executions"]), 1),
        (
            f"/executions/{good}",
            lambda answer: answer["execution"]["status"],
            ExecutionStatus.COMPLETED.value,
        ),
        (
            f"/executions/{bad}/lineage",
            lambda answer: [item["execution_id"] for item in answer["descendants"]],
            [record.execution_id for record in lineage["descendants"]],
        ),
        (f"/executions/{bad}/events", lambda answer: answer["last_seq"], len(store.list_events(bad))),
    )
    for path, seen, expected in asked:
        status, _, body = _asked(base + path)
        try:
            found = seen(json.loads(body)) if status == 200 else None
        except (ValueError, KeyError, TypeError) as cause:
            raise CheckFailed(f"{path} answers what is no answer: {body[:200]!r}") from cause
        if status != 200 or found != expected:
            raise CheckFailed(f"{path} answers {status}, {found!r}, not {expected!r}: {body[:200]!r}")
    status, _, body = _asked(f"{base}/executions", b'{"changeset": {}}')
    if status != 401:
        raise CheckFailed(f"a change without a token is answered with {status}, not 401: {body[:200]!r}")


def _asked(url: str, body: bytes | None = None) -> tuple[int, str, bytes]:
    """Status, type and content of an answer; no proxy of the environment stands in between."""
    request = Request(url, body, {"Content-Type": "application/json"} if body else {})
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=_SERVER_SECONDS) as answer:
            return answer.status, answer.headers.get_content_type(), answer.read()
    except HTTPError as refused:
        with refused:
            return refused.code, refused.headers.get_content_type(), refused.read()


def _undone(validation: Validation) -> str:
    """What the check did is undone, through the gate, and no other file was touched."""
    if validation.file.exists():
        validation.change(
            "undo",
            {"operation": "delete"},
            verify=f"test ! -e {validation.path}",
            expected=ExecutionStatus.COMPLETED,
        )
    after = _tree(validation.runtime.root, validation.runtime.state)
    differing = sorted(
        path
        for path in validation.before.keys() | after.keys()
        if validation.before.get(path) != after.get(path)
    )
    if differing:
        raise CheckFailed(f"not as before: {', '.join(differing[:5])}")
    return f"{len(after)} {'file' if len(after) == 1 else 'files'} as before"


# In the order they run. A later one may build on the executions of those before; `undone` comes last.
CHECKS: Final = (
    Check("change", _change),
    Check("record", _record),
    Check("artifacts", _artifacts),
    Check("family", _family),
    Check("lineage", _lineage),
    Check("revert", _revert),
    Check("events", _events),
    Check("server", _server),
    Check("undone", _undone),
)


def validate(
    workspace: Path | None,
    *,
    environ: Mapping[str, str],
    checks: tuple[Check, ...] = CHECKS,
    observer: Callable[[CheckResult], None] = lambda _: None,
) -> ValidationReport:
    """Runs every check, in a temporary git repository unless a workspace is given.

    Raises WorkspaceNotFound for one where nothing is recorded yet, InvalidSettings, and what opening a
    workspace raises: then nothing was checked.
    """
    with _place(workspace, environ) as root:
        surroundings = {name: value for name, value in environ.items() if name not in _INHERITED}
        runtime = open_runtime(root, environ=surroundings)
        try:
            runtime.recover_abandoned()
            if workspace is None:
                runtime.write_default_settings()
            path = f"executor-release-check-{uuid4().hex[:12]}.txt"
            validation = Validation(runtime, surroundings, path, _tree(runtime.root, runtime.state))
            try:
                results = tuple(_run(check, validation, observer) for check in checks)
            finally:
                # Nothing but this check writes a file of this name.
                validation.file.unlink(missing_ok=True)
            server = DatabaseTarget.parse(environ.get(URL_VARIABLE) or ":memory:", environ).is_server
            return ValidationReport(str(runtime.root), "postgresql" if server else "sqlite", results)
        finally:
            runtime.close()


def _run(check: Check, validation: Validation, observer: Callable[[CheckResult], None]) -> CheckResult:
    began = time.monotonic()
    try:
        detail, passed = check.run(validation), True
    except (CheckFailed, ExecutorError, OSError) as failure:
        detail, passed = str(failure), False
    result = CheckResult(check.name, passed, detail, round(time.monotonic() - began, 3))
    observer(result)
    return result


@contextmanager
def _place(workspace: Path | None, environ: Mapping[str, str]) -> Iterator[Path]:
    if workspace is not None:
        root = find_workspace(resolve_workspace(workspace))
        if not environ.get(URL_VARIABLE) and not state_directory(root, environ).is_dir():
            raise WorkspaceNotFound(
                str(root), "nothing is recorded here yet; executor init begins, or leave --workspace out"
            )
        yield root
        return
    for name in _OF_ONE_WORKSPACE:
        if environ.get(name):
            raise InvalidSettings(f"{name} is set, for another workspace: unset it or give --workspace")
    with tempfile.TemporaryDirectory(prefix="executor-validate-") as temporary:
        root = Path(temporary).resolve() / "workspace"
        root.mkdir()
        try:
            subprocess.run([*_GIT, "init", "--quiet"], cwd=root, check=True, capture_output=True, text=True)
        except FileNotFoundError as cause:
            raise InvalidSettings("the release check needs git on the PATH") from cause
        except subprocess.CalledProcessError as cause:
            raise InvalidSettings(f"git init failed: {cause.stderr.strip()}") from cause
        (root / "README.md").write_text("A file that the release check leaves alone.\n")
        yield root


def _tree(root: Path, state: Path) -> dict[str, tuple[int, ...]]:
    """Path → what changes whenever a file does: type and mode, size, time, identity."""
    found: dict[str, tuple[int, ...]] = {}
    skipped = {root / ".git", root / STATE_DIRECTORY, state}
    for name, folders, files in os.walk(root):
        folder = Path(name)
        folders[:] = [inner for inner in folders if folder / inner not in skipped]
        for path in (folder / file for file in files):
            # In a linked worktree `.git` is a file.
            if path not in skipped:
                status = path.lstat()
                found[str(path.relative_to(root))] = (
                    status.st_mode, status.st_size, status.st_mtime_ns, status.st_ino
                )  # fmt: skip
    return found


def _expect_steps(steps: list[StepRecord], names: tuple[str, ...], *, failed: str | None) -> None:
    seen = [(step.step_name, step.status) for step in steps if step.step_name != "health"]
    wanted = [(name, "failed" if name == failed else "completed") for name in names]
    if seen != wanted:
        raise CheckFailed(f"the steps are {seen}, not {wanted}")
