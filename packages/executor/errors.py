"""Everything that can go wrong, as one tree.

ExecutorError
├── InvalidInput (ValueError)          the caller's values cannot be used
│   ├── InvalidId                      an execution, correlation or run id of a forbidden shape
│   ├── AmbiguousId                    a shortened id fits several executions
│   ├── InvalidLimit                   a limit, depth or offset that is zero, negative or no number
│   ├── InvalidNumber                  a duration or count that is negative, not finite or no number
│   ├── InvalidTime                    a time without zone, or no time
│   ├── InvalidFilter                  a filter value that can match nothing by its shape
│   ├── InvalidCursor                  a cursor this store did not give out
│   ├── UnknownTriggerKind
│   ├── UnknownStatus
│   ├── UnknownStep
│   ├── UnknownVerdict
│   ├── UnknownRiskLevel
│   ├── UnknownEvent
│   ├── SelfParent                     an execution named as its own parent
│   ├── CorrelationMismatch            another correlation than the parent's
│   ├── InvalidChange                  a patch or changeset that cannot be understood
│   │   └── UnsafePath                 a path that leaves, or could leave, the workspace
│   ├── InvalidPolicy                  a policy file that is empty, malformed or has unknown keys
│   ├── InvalidArchive                 an archive that is damaged, unsafe, or of a newer executor
│   ├── InvalidSettings                an environment variable, option or config.toml value
│   └── InvalidState                   the operation does not fit the execution's status
├── NotFound (LookupError)
│   ├── ExecutionNotFound
│   ├── ParentNotFound                 a parent that is not in the store
│   ├── StepNotFound
│   ├── CorrelationNotFound
│   ├── ArtifactNotFound
│   ├── PayloadDropped                 it was there, and was dropped to make room
│   ├── TokenNotFound
│   └── WorkspaceNotFound              no such directory, or not one Executor may work in
├── Conflict (ValueError)              the world is not as the operation needs it
│   ├── ExecutionExists                same id, other content
│   ├── ExecutionEnded                 a second terminal status, or a write after the end
│   ├── StepEnded                      a second, different end of a step
│   ├── BaseChanged                    a file is no longer what the changeset was made for
│   ├── RevertConflict                 what is to be undone has been changed again since
│   ├── CommitRefused                  git has no commit of what an execution changed
│   ├── LockHeld                       another execution works in the workspace
│   ├── DecisionMismatch               the decision is not about this workspace, plan or changeset
│   ├── ApprovalVoid                   what was approved is no longer what would be done
│   ├── AlreadyApproved                somebody else was quicker
│   ├── WrongWorkspace                 the execution belongs to another workspace
│   ├── ImportConflict                 what an archive holds is there already, and is something else
│   ├── CopyRefused                    the target of a copy is not, or did not become, a copy of the source
│   └── DowngradeBlocked               views, triggers, indexes or tables of the user need what would go
├── RollbackIncomplete                 a change could not be undone completely
├── WorkspaceUnwritable                the system refused a file operation: no room, no permission, read-only
├── Unavailable                        the database or server cannot be used now
│   ├── DatabaseUnavailable            cannot be opened, read-only or full
│   ├── DatabaseDamaged                truncated, or no database at all
│   ├── SchemaTooNew                   written by a newer executor
│   ├── SchemaOutdated                 older than this executor needs, and it may not upgrade now
│   └── MigrationFailed                a step raised; the database is as before
├── TryAgain                           busy; the same call may succeed later
└── Interrupted                        stopped by the user or a signal

Errors know nothing of exit codes and HTTP; `executor.cli` and the API map them.
"""

from collections.abc import Sequence
from typing import ClassVar


class ExecutorError(Exception):
    """Root of all errors Executor raises on purpose. `code` is stable and safe to match on."""

    code: ClassVar[str] = "error"


class InvalidInput(ExecutorError, ValueError):
    """A value given by the caller cannot be used; nothing was written."""

    code = "invalid_input"


class InvalidId(InvalidInput):
    """An id breaks the rule for new ids of its kind."""

    code = "invalid_id"

    def __init__(self, kind: str, value: object, rule: str) -> None:
        self.kind, self.value, self.rule = kind, value, rule
        super().__init__(f"{kind} {value!r} is not allowed: {rule}")


class AmbiguousId(InvalidInput):
    """A shortened id fits more than one execution. `candidates` holds some of them."""

    code = "ambiguous_id"

    def __init__(self, value: str, candidates: Sequence[str]) -> None:
        self.value, self.candidates = value, tuple(candidates)
        shown = ", ".join(self.candidates[:5])
        super().__init__(f"{value!r} fits several executions ({shown}); give more characters")


class InvalidLimit(InvalidInput):
    """A limit, depth or offset is zero, negative, too large or not a whole number."""

    code = "invalid_limit"

    def __init__(self, name: str, value: object, rule: str = "a whole number of at least 1") -> None:
        self.name, self.value = name, value
        super().__init__(f"{name} is {value!r}; it must be {rule}")


class InvalidNumber(InvalidInput):
    """A number is negative, infinite, not a number, or of the wrong type."""

    code = "invalid_number"

    def __init__(self, name: str, value: object, rule: str = "a finite number of at least 0") -> None:
        self.name, self.value = name, value
        super().__init__(f"{name} is {value!r}; it must be {rule}")


class InvalidTime(InvalidInput):
    """A time has no zone or cannot be read as a time."""

    code = "invalid_time"

    def __init__(self, name: str, value: object) -> None:
        self.name, self.value = name, value
        super().__init__(f"{name} is {value!r}; give a time with its zone, such as 2026-01-31T12:00:00Z")


class InvalidFilter(InvalidInput):
    """A filter value has a shape that cannot be meant."""

    code = "invalid_filter"


class InvalidCursor(InvalidInput):
    """A cursor was not given out by this store, or for another question."""

    code = "invalid_cursor"

    def __init__(self) -> None:
        super().__init__("the cursor is not one of this list; start again without it")


class UnknownTriggerKind(InvalidInput):
    """A trigger kind outside the closed list."""

    code = "unknown_trigger_kind"

    def __init__(self, value: object, known: Sequence[str]) -> None:
        self.value = value
        super().__init__(f"trigger kind {value!r} is unknown; use one of {', '.join(known)}")


class UnknownStatus(InvalidInput):
    """A status outside the closed list, or one that does not fit the call."""

    code = "unknown_status"

    def __init__(self, value: object, known: Sequence[str]) -> None:
        self.value = value
        super().__init__(f"status {value!r} cannot be used here; use one of {', '.join(known)}")


class UnknownStep(InvalidInput):
    """A step name outside the closed list."""

    code = "unknown_step"

    def __init__(self, value: object, known: Sequence[str]) -> None:
        self.value = value
        super().__init__(f"step {value!r} is unknown; use one of {', '.join(known)}")


class UnknownVerdict(InvalidInput):
    """A verdict outside the closed list."""

    code = "unknown_verdict"

    def __init__(self, value: object, known: Sequence[str]) -> None:
        self.value = value
        super().__init__(f"verdict {value!r} is unknown; use one of {', '.join(known)}")


class UnknownRiskLevel(InvalidInput):
    """A risk level outside the closed list."""

    code = "unknown_risk_level"

    def __init__(self, value: object, known: Sequence[str]) -> None:
        self.value = value
        super().__init__(f"risk level {value!r} is unknown; use one of {', '.join(known)}")


class UnknownEvent(InvalidInput):
    """An event type outside the closed list."""

    code = "unknown_event"

    def __init__(self, value: object, known: Sequence[str]) -> None:
        self.value = value
        super().__init__(f"event {value!r} is unknown; use one of {', '.join(known)}")


class SelfParent(InvalidInput):
    """An execution was given itself as parent."""

    code = "self_parent"

    def __init__(self, execution_id: str) -> None:
        self.execution_id = execution_id
        super().__init__(f"execution {execution_id!r} cannot be its own parent")


class CorrelationMismatch(InvalidInput):
    """The correlation given is not the parent's; a family lies inside one correlation."""

    code = "correlation_mismatch"

    def __init__(
        self, execution_id: str, correlation_id: str, parent_id: str, parent_correlation: str
    ) -> None:
        self.execution_id, self.correlation_id = execution_id, correlation_id
        self.parent_id, self.parent_correlation = parent_id, parent_correlation
        super().__init__(
            f"execution {execution_id!r} asks for correlation {correlation_id!r}, "
            f"but its parent {parent_id!r} belongs to {parent_correlation!r}; "
            "leave the correlation out or give the parent's"
        )


class InvalidChange(InvalidInput):
    """A patch or changeset cannot be understood or contradicts itself.

    `path` and `line` (1-based, in the input) are set where they are known.
    """

    code = "invalid_change"

    def __init__(self, message: str, *, path: str | None = None, line: int | None = None) -> None:
        self.path, self.line = path, line
        where = f"line {line}: " if line is not None else ""
        super().__init__(f"{where}{message}")


class UnsafePath(InvalidChange):
    """A path leaves the workspace, could leave it, or names something that must not be written."""

    code = "unsafe_path"

    def __init__(self, path: str, reason: str, *, line: int | None = None) -> None:
        self.reason = reason
        super().__init__(f"path {path!r} is refused: {reason}", path=path, line=line)


class InvalidPolicy(InvalidInput):
    """A policy file is empty, malformed or holds unknown keys; nothing is allowed until it is mended."""

    code = "invalid_policy"

    def __init__(self, source: str, reason: str, *, line: int | None = None) -> None:
        self.source, self.reason, self.line = source, reason, line
        where = f"{source}:{line}" if line is not None else source
        super().__init__(f"{where}: {reason}")


class InvalidSettings(InvalidInput):
    """An option, environment variable or config.toml value cannot be used."""

    code = "invalid_settings"


class InvalidArchive(InvalidInput):
    """An archive is damaged, truncated, too large, not safe to read, or was written by a newer executor."""

    code = "invalid_archive"

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"{path}: {reason}; nothing was imported")


class InvalidState(InvalidInput):
    """The operation does not fit the status the execution has."""

    code = "invalid_state"

    def __init__(self, execution_id: str, status: str, message: str) -> None:
        self.execution_id, self.status = execution_id, status
        super().__init__(f"execution {execution_id!r} is {status}: {message}")


class NotFound(ExecutorError, LookupError):
    """Something named by the caller does not exist."""

    code = "not_found"


class ExecutionNotFound(NotFound):
    """No execution has this id."""

    code = "execution_not_found"

    def __init__(self, execution_id: str) -> None:
        self.execution_id = execution_id
        super().__init__(f"no execution {execution_id!r}; `executor list` shows what there is")


class ParentNotFound(NotFound):
    """The parent named for a new execution is not in the store."""

    code = "parent_not_found"

    def __init__(self, execution_id: str, parent_id: str) -> None:
        self.execution_id, self.parent_id = execution_id, parent_id
        super().__init__(
            f"execution {execution_id!r} names the parent {parent_id!r}, which is not recorded here"
        )


class StepNotFound(NotFound):
    """No step has this id."""

    code = "step_not_found"

    def __init__(self, step_id: int) -> None:
        self.step_id = step_id
        super().__init__(f"no step {step_id}")


class CorrelationNotFound(NotFound):
    """No execution belongs to this correlation."""

    code = "correlation_not_found"

    def __init__(self, correlation_id: str) -> None:
        self.correlation_id = correlation_id
        super().__init__(f"no execution belongs to correlation {correlation_id!r}")


class ArtifactNotFound(NotFound):
    """The execution has no artifact of this name."""

    code = "artifact_not_found"

    def __init__(self, execution_id: str, name: str) -> None:
        self.execution_id, self.name = execution_id, name
        super().__init__(f"execution {execution_id!r} has no artifact {name!r}")


class PayloadDropped(NotFound):
    """What is asked for was dropped by `executor gc`; record, steps and events of the execution are kept."""

    code = "payload_dropped"

    def __init__(self, execution_id: str, dropped_at: str) -> None:
        self.execution_id, self.dropped_at = execution_id, dropped_at
        super().__init__(
            f"the files and contents of execution {execution_id!r} were dropped by gc on {dropped_at}; "
            "its record, steps and events are kept"
        )


class TokenNotFound(NotFound):
    """No token has this id."""

    code = "token_not_found"

    def __init__(self, token_id: str) -> None:
        self.token_id = token_id
        super().__init__(f"no token {token_id!r}; `executor token list` shows what there is")


class WorkspaceNotFound(NotFound):
    """The directory does not exist or cannot be a workspace."""

    code = "workspace_not_found"

    def __init__(self, path: str, reason: str = "no such directory") -> None:
        self.path = path
        super().__init__(f"workspace {path}: {reason}")


class Conflict(ExecutorError, ValueError):
    """The world is not as the operation needs it; nothing was changed."""

    code = "conflict"


class ExecutionExists(Conflict):
    """The id is taken by an execution with other content."""

    code = "execution_exists"

    def __init__(self, execution_id: str, differing: Sequence[str]) -> None:
        self.execution_id, self.differing = execution_id, tuple(differing)
        super().__init__(
            f"execution {execution_id!r} is already recorded with another {', '.join(self.differing)}"
        )


class ExecutionEnded(Conflict):
    """The execution has its terminal status; it cannot get another, nor more steps."""

    code = "execution_ended"

    def __init__(self, execution_id: str, status: str) -> None:
        self.execution_id, self.status = execution_id, status
        super().__init__(f"execution {execution_id!r} has already ended as {status}")


class StepEnded(Conflict):
    """The step has ended; it cannot end otherwise."""

    code = "step_ended"

    def __init__(self, step_id: int, status: str) -> None:
        self.step_id, self.status = step_id, status
        super().__init__(f"step {step_id} has already ended as {status}")


class BaseChanged(Conflict):
    """A file is not what the changeset was made for. `paths` names each such file with what was found."""

    code = "base_changed"

    def __init__(self, paths: Sequence[tuple[str, str]]) -> None:
        self.paths = tuple(paths)
        shown = "; ".join(f"{path}: {found}" for path, found in self.paths[:5])
        more = f" and {len(self.paths) - 5} more" if len(self.paths) > 5 else ""
        super().__init__(f"the workspace is not what the change was made for ({shown}{more}); make it anew")


class RevertConflict(Conflict):
    """What an execution did cannot be undone, for it has been changed again since; nothing was written.

    `paths` names each such file with the reason, `executions` what completed since and changed the same lines,
    newest first, `edited` the files that were changed outside Executor.
    """

    code = "revert_conflict"

    def __init__(
        self,
        execution_id: str,
        paths: Sequence[tuple[str, str]],
        executions: Sequence[str],
        edited: Sequence[str],
    ) -> None:
        self.execution_id, self.paths = execution_id, tuple(paths)
        self.executions, self.edited = tuple(executions), tuple(edited)
        shown = "; ".join(f"{path}: {why}" for path, why in self.paths[:5])
        more = f" and {len(self.paths) - 5} more" if len(self.paths) > 5 else ""
        causes = []
        if self.executions:
            causes.append(f"by {', '.join(self.executions)} (revert these first, in this order)")
        if self.edited:
            causes.append(f"edited outside Executor ({', '.join(self.edited[:5])})")
        because = f"; {', and '.join(causes)}" if causes else ""
        super().__init__(
            f"execution {execution_id!r} cannot be undone, nothing was changed ({shown}{more}){because}; "
            f"executor diff {execution_id} shows what it did"
        )


class CommitRefused(Conflict):
    """What an execution changes cannot be committed alone, or git did not take the commit. `reason` says why.

    Raised before the execution, which then does not run, or after it has completed; then its change stays.
    """

    code = "commit_refused"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"no commit: {reason}")


class LockHeld(Conflict):
    """Another execution holds the workspace and did not let go within the waiting time."""

    code = "lock_held"

    def __init__(self, workspace: str, holder: str, waited_seconds: float) -> None:
        self.workspace, self.holder, self.waited_seconds = workspace, holder, waited_seconds
        super().__init__(
            f"{workspace} is in use by {holder}; waited {waited_seconds:g} s (--wait SECONDS waits longer)"
        )


class DecisionMismatch(Conflict):
    """The decision was taken about something else than what is to be applied."""

    code = "decision_mismatch"

    def __init__(self, what: str, decided: str, actual: str) -> None:
        self.what, self.decided, self.actual = what, decided, actual
        super().__init__(
            f"the decision is about {what} {decided!r}, not {actual!r}; let the gate decide anew"
        )


class ApprovalVoid(Conflict):
    """An approval no longer holds: `reason` says what has changed since."""

    code = "approval_void"

    def __init__(self, execution_id: str, reason: str) -> None:
        self.execution_id, self.reason = execution_id, reason
        super().__init__(
            f"the approval of execution {execution_id!r} does not hold: {reason}; propose the change anew"
        )


class AlreadyApproved(Conflict):
    """The execution has been approved by somebody else, or is being run by their approval."""

    code = "already_approved"

    def __init__(self, execution_id: str, approved_by: str, approved_at: str) -> None:
        self.execution_id, self.approved_by, self.approved_at = execution_id, approved_by, approved_at
        super().__init__(
            f"execution {execution_id!r} was approved by {approved_by} at {approved_at}; "
            f"executor wait {execution_id} tells how it comes out"
        )


class WrongWorkspace(Conflict):
    """The execution belongs to another workspace; it can only be read here."""

    code = "wrong_workspace"

    def __init__(self, execution_id: str, workspace: str) -> None:
        self.execution_id, self.workspace = execution_id, workspace
        super().__init__(f"execution {execution_id!r} belongs to {workspace}; run the command there")


class DowngradeBlocked(Conflict):
    """Objects of the user need tables or columns that an older schema lacks; the database is as before.

    `objects` names each with what was found.
    """

    code = "downgrade_blocked"

    def __init__(self, database: str, target: int, objects: Sequence[tuple[str, str]]) -> None:
        self.database, self.target, self.objects = database, target, tuple(objects)
        shown = "; ".join(f"{name}: {found}" for name, found in self.objects)
        super().__init__(
            f"{database} cannot go back to schema version {target}, nothing was changed ({shown}); "
            "drop these first, and make them anew after the next upgrade"
        )


class CopyRefused(Conflict):
    """The target of a copy holds what the source does not have, or is not equal to it in the end."""

    code = "copy_refused"


class ImportConflict(Conflict):
    """Executions of an archive are recorded here with other content; nothing was imported.

    `conflicts` names what differs.
    """

    code = "import_conflict"

    def __init__(self, path: str, conflicts: Sequence[str]) -> None:
        self.path, self.conflicts = path, tuple(conflicts)
        shown = "; ".join(self.conflicts[:5])
        more = f" and {len(self.conflicts) - 5} more" if len(self.conflicts) > 5 else ""
        super().__init__(
            f"{path} is not what is recorded here, nothing was imported ({shown}{more}); "
            "import it into another database"
        )


class ApprovalRefused(ExecutorError):
    """Who asks may not approve this execution, or not from where they ask; nothing was recorded."""

    code = "approval_refused"

    def __init__(self, execution_id: str, reason: str) -> None:
        self.execution_id, self.reason = execution_id, reason
        super().__init__(f"execution {execution_id!r} is not approved: {reason}")


class RollbackIncomplete(ExecutorError):
    """Some paths could not be brought back; `paths` says which and why."""

    code = "rollback_incomplete"

    def __init__(self, execution_id: str, paths: Sequence[tuple[str, str]]) -> None:
        self.execution_id, self.paths = execution_id, tuple(paths)
        shown = "; ".join(f"{path}: {why}" for path, why in self.paths[:5])
        super().__init__(f"execution {execution_id!r} could not be undone completely ({shown})")


class WorkspaceUnwritable(ExecutorError):
    """The system refused a file operation in the workspace or its state directory.

    `errno` tells no room (ENOSPC, EDQUOT), read-only (EROFS), no permission (EACCES, EPERM) and damage
    (EIO) apart.
    """

    code = "workspace_unwritable"

    def __init__(self, path: str, operation: str, errno: int, reason: str) -> None:
        self.path, self.operation, self.errno, self.reason = path, operation, errno, reason
        super().__init__(f"cannot {operation} {path}: {reason}")


class Unavailable(ExecutorError):
    """The database or server cannot be used."""

    code = "unavailable"


class DatabaseUnavailable(Unavailable):
    """The database cannot be opened, is read-only or has no room."""

    code = "database_unavailable"


class DatabaseDamaged(Unavailable):
    """The file is truncated, damaged or no database; it was not touched."""

    code = "database_damaged"


class SchemaTooNew(Unavailable):
    """A newer executor wrote this database; it was not touched."""

    code = "schema_too_new"

    def __init__(self, database: str, found: int, known: int) -> None:
        self.database, self.found, self.known = database, found, known
        super().__init__(
            f"{database} has schema version {found}, this executor knows up to {known}; "
            "install a newer executor-graph (pip install -U executor-graph)"
        )


class SchemaOutdated(Unavailable):
    """The database is older than this executor needs and was opened without leave to upgrade it."""

    code = "schema_outdated"

    def __init__(self, database: str, found: int, needed: int) -> None:
        self.database, self.found, self.needed = database, found, needed
        super().__init__(
            f"{database} has schema version {found}, this executor needs {needed}; run `executor db upgrade`"
        )


class MigrationFailed(Unavailable):
    """A migration step raised; the database is as it was before.

    `kept` is None, or the schema version it has now: large databases of a server are upgraded in parts.
    """

    code = "migration_failed"

    def __init__(
        self,
        database: str,
        version: int,
        description: str,
        reason: str,
        action: str = "upgrade to",
        kept: int | None = None,
    ) -> None:
        self.database, self.version, self.kept = database, version, kept
        state = "nothing was changed" if kept is None else f"it stays at version {kept}"
        super().__init__(f"{database}: {action} version {version} ({description}) failed, {state}: {reason}")


class TryAgain(ExecutorError):
    """The database is busy or the connection was lost; the same call may succeed later."""

    code = "try_again"


class Interrupted(ExecutorError):
    """The user or a signal stopped the work; what was begun has been rolled back."""

    code = "interrupted"
